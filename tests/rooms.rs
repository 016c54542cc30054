//! A live room's ordinary life, over real sockets.

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};

use support::SOON;
use support::rooms::{Ended, Member};
use support::server::Server;

/// Runs until the connection ends: what came, and the close code.
fn to_the_end(member: &mut Member) -> (Vec<Value>, Option<u16>) {
    let mut seen = Vec::new();
    loop {
        match member.next(SOON) {
            Ok(next) => seen.push(next),
            Err(Ended::Closed(code)) => return (seen, code),
            Err(Ended::Silent) => panic!("nothing ends it: {seen:?}"),
        }
    }
}

#[test]
fn a_room_lives_from_its_creation_to_its_end() {
    let server = Server::start(&["--shards", "2"]);
    let created = server
        .post_as(
            "ann",
            "/api/v1/rooms",
            &json!({"title": "Morning tea", "cover": "/tea.png", "device_id": "cam-1"}),
        )
        .expect(201);
    let room = created.json()["id"].as_u64().expect("an id");
    assert_eq!(
        created.header("location"),
        Some(&*format!("/api/v1/rooms/{room}"))
    );
    let idle = server.room(room);
    assert_eq!(idle["status"], 0);
    assert_eq!(
        (&idle["anchor_id"], &idle["cover"]),
        (&json!("ann"), &json!("/tea.png"))
    );
    assert_eq!(idle["device_id"], "cam-1");
    assert_eq!(
        server.change_room("ann", room, "start").expect(200).json()["status"],
        1
    );

    let mut ann = Member::join(&server, room, "ann");
    let mut bob = Member::join(&server, room, "bob");
    let joined = server.change_room("eve", room, "join").expect(200).json();
    assert_eq!(joined["viewer_count"], 3);
    ann.say("good morning");
    bob.socket.send(&json!({
        "type": "gift", "content": "tea", "data": {"value": 5, "count": 2}, "id": "g1",
    }));
    let mut seen = [&mut ann, &mut bob].map(|member| {
        let mut both = [member.message(), member.message()];
        both.sort_by_key(|message| message["seq"].as_u64());
        both
    });
    assert_eq!(seen[0], seen[1]);
    assert_eq!(
        (&seen[0][0]["seq"], &seen[0][1]["seq"]),
        (&json!(1), &json!(2))
    );
    seen[0].sort_by_key(|message| message["type"] == "gift");
    assert_eq!(seen[0][0]["content"], "good morning");
    assert_eq!(seen[0][1]["data"], json!({"value": 5, "count": 2}));
    assert_eq!(bob.socket.expect("ack")["id"], "g1");
    assert_eq!(server.history(room).len(), 2);

    let viewers = server
        .get(&format!("/api/v1/rooms/{room}/viewers"))
        .expect(200)
        .json();
    let names: Vec<_> = viewers["viewers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| &v["user_id"])
        .collect();
    assert_eq!(names, ["ann", "bob", "eve"]);
    let online = server.get("/api/v1/stats/online").expect(200).json();
    assert_eq!(
        online,
        json!({"users": 3, "connections": 2, "rooms_live": 1})
    );
    let hot = server.get("/api/v1/stats/hot").expect(200).json();
    assert_eq!(hot["rooms"][0]["room_id"], room);
    server.change_room("eve", room, "leave").expect(200);

    assert_eq!(
        server.change_room("ann", room, "stop").expect(200).json()["viewer_count"],
        2
    );
    for member in [&mut ann, &mut bob] {
        let (seen, code) = to_the_end(member);
        assert_eq!(seen.last().unwrap()["type"], "closing");
        assert_eq!(code, Some(1000));
    }
    assert_eq!(server.room(room)["status"], 2);
    server.change_room("ann", room, "start").expect(409);
    server.wait_metric("media_room_members", &[], |members| members == 0.0);
    let metrics = server.metrics();
    assert_eq!(
        metrics.sum("media_room_messages_total", &[("type", "gift")]),
        1.0
    );
    assert_eq!(metrics.sum("media_room_acks_total", &[]), 1.0);
    assert_eq!(metrics.sum("media_rooms", &[("status", "ended")]), 1.0);
    assert!(metrics.sum("media_room_deliveries_total", &[]) >= 4.0);
}

#[test]
fn a_shutdown_tells_members_and_the_room_is_live_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = format!("store.path={}", folder.path().join("store.db").display());
    let mut server = Server::start(&["--shards", "2", "--set", &path]);
    let room = server.live_room("ann", "Morning");
    let mut ann = Member::join(&server, room, "ann");
    ann.say_with_id("before", &json!(1));
    ann.socket.expect("ack");
    server.signal(Signal::TERM);
    let (seen, code) = to_the_end(&mut ann);
    assert_eq!(
        seen.last().unwrap()["reason"],
        "the server is shutting down"
    );
    assert_eq!(code, Some(1001));
    assert!(server.wait(SOON).success());

    let server = Server::start(&["--shards", "2", "--set", &path]);
    let mut ann = Member::rejoin(&server, room, "ann", (1, 0));
    assert_eq!((ann.epoch, ann.seq), (1, 1));
    assert_eq!(ann.message()["content"], "before");
    ann.say("after");
    assert_eq!(ann.message()["seq"], 2);
}

#[test]
fn the_demo_has_a_room() {
    let server = Server::start(&["--shards", "2", "--demo"]);
    let rooms = server.get("/api/v1/rooms?status=1").expect(200).json();
    let room = &rooms["rooms"][0];
    assert_eq!(
        (&room["title"], &room["device_id"]),
        (&json!("Demo"), &json!("demo"))
    );
    let mut ann = Member::join(&server, room["id"].as_u64().unwrap(), "ann");
    ann.say("hello");
    assert_eq!(ann.message()["content"], "hello");
}
