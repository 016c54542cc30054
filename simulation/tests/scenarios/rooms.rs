//! Live rooms: members talk, come back, fall behind.

use std::time::Duration;

use serde_json::{Value, json};

use simulation::{Sim, Socket, numbers};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn members_on_any_shard_see_the_same_in_the_same_order() {
    let mut sim = Sim::new(3, 71);
    let room = sim.live_room(1);
    let mut members: Vec<Socket> = (0..6)
        .map(|n| sim.member(room, &format!("user-{n}")))
        .collect();
    for round in 0..5 {
        for (n, member) in members.iter_mut().enumerate() {
            member.say(&mut sim, &format!("{n} says {round}"));
        }
        sim.run_for(200 * MS);
    }
    let mut seen: Vec<Vec<Value>> = Vec::new();
    for member in &mut members {
        let frames = member.listen(&mut sim, 100 * MS);
        let said = |frame: &Value| frame["type"] == "danmu";
        seen.push(frames.into_iter().filter(said).collect());
    }
    assert_eq!(numbers(&seen[0]), (1..=30).collect::<Vec<_>>());
    for other in &seen[1..] {
        assert_eq!(*other, seen[0]);
    }
    let first = &seen[0][0];
    assert_eq!(first["room_id"], room);
    assert_eq!(first["timestamp"].as_u64().unwrap() / 1_000_000_000, 1_000);
    assert_eq!(first["trace_id"].as_str().unwrap().len(), 32);
}

#[test]
fn a_message_is_acknowledged_when_it_is_stored() {
    let mut sim = Sim::new(2, 72);
    let room = sim.live_room(0);
    let (mut ann, mut bob) = (sim.member(room, "ann"), sim.member(room, "bob"));
    sim.store.delay = 300 * MS;
    ann.send(
        &mut sim,
        &json!({"type": "danmu", "content": "hi", "id": "a-1"}),
    );
    let began = sim.now;
    assert_eq!(bob.expect(&mut sim, "danmu")["seq"], 1);
    assert!(sim.now - began < 100 * MS, "the broadcast does not wait");
    assert_eq!(
        ann.expect(&mut sim, "ack"),
        json!({"type": "ack", "id": "a-1", "seq": 1})
    );
    assert!(sim.now - began >= 300 * MS);
    let history = sim.read_json(&format!("/api/v1/rooms/{room}/messages"));
    assert_eq!(history["messages"][0]["content"], "hi");
    assert_eq!(history["messages"][0]["epoch"], 1);

    // Sent again, as by a client that has not seen the acknowledgement.
    ann.send(
        &mut sim,
        &json!({"type": "danmu", "content": "hi", "id": "a-1"}),
    );
    assert_eq!(ann.expect(&mut sim, "ack")["seq"], 1);
    assert!(numbers(&bob.listen(&mut sim, SECOND)).is_empty());

    sim.store.full = true;
    ann.send(
        &mut sim,
        &json!({"type": "danmu", "content": "lost", "id": 2}),
    );
    let error = ann.expect(&mut sim, "error");
    assert_eq!(
        (&error["code"], &error["id"]),
        (&json!("not_stored"), &json!(2))
    );
    assert_eq!(sim.metrics().sum("media_room_acks_total", &[]), 2.0);

    // The store has recovered: sent again, it is stored, and seen once.
    sim.store.full = false;
    ann.send(
        &mut sim,
        &json!({"type": "danmu", "content": "lost", "id": 2}),
    );
    assert_eq!(
        ann.expect(&mut sim, "ack"),
        json!({"type": "ack", "id": 2, "seq": 2})
    );
    let history = sim.read_json(&format!("/api/v1/rooms/{room}/messages?after=1"));
    assert_eq!(history["messages"][0]["content"], "lost");
    assert_eq!(numbers(&bob.listen(&mut sim, SECOND)), [2]);
}

#[test]
fn a_room_that_cannot_be_stored_is_not_there() {
    let mut sim = Sim::new(2, 73);
    sim.store.full = true;
    let client = sim.connect(0);
    let body = json!({"title": "Morning"});
    let refused = sim.post(client, "/api/v1/rooms", &body).expect(503);
    assert_eq!(refused.json()["code"], "store_failed");
    let rooms = sim.read_json("/api/v1/rooms");
    assert_eq!(rooms, json!({"rooms": [], "next_cursor": null}));
}

#[test]
fn whoever_comes_back_has_missed_nothing() {
    let mut sim = Sim::with(2, 74, |config| config.rooms.recent = 20);
    let room = sim.live_room(0);
    let mut ann = sim.member(room, "ann");
    for n in 1..=12 {
        ann.say(&mut sim, &format!("message {n}"));
        sim.run_for(120 * MS);
    }
    for since in 0..=12u64 {
        let (mut bob, hello) = sim.member_with(room, "bob", &format!("&since={since}&epoch=1"));
        assert_eq!(hello["seq"], 12);
        let seen = numbers(&bob.listen(&mut sim, 50 * MS));
        assert_eq!(seen, (since + 1..=12).collect::<Vec<_>>());
        bob.vanish(&mut sim);
    }
    let (mut bob, _) = sim.member_with(room, "bob", "&recent=5");
    assert_eq!(numbers(&bob.listen(&mut sim, 50 * MS)), [8, 9, 10, 11, 12]);
    for lost in ["&since=99&epoch=1", "&since=3&epoch=7"] {
        let (mut bob, _) = sim.member_with(room, "bob", lost);
        let seen = bob.listen(&mut sim, 50 * MS);
        assert_eq!(seen[0]["code"], "history_truncated", "{lost}: {seen:?}");
        assert_eq!(seen[0]["from"], 1);
        assert_eq!(numbers(&seen), (1..=12).collect::<Vec<_>>());
    }
}

#[test]
fn a_member_that_does_not_read_is_closed_and_nobody_else_notices() {
    let mut sim = Sim::with(1, 75, |config| {
        config.rooms.member_rate = media_service::limits::Cap::OFF;
    });
    let room = sim.live_room(0);
    let (mut ann, mut bob, deaf) = (
        sim.member(room, "ann"),
        sim.member(room, "bob"),
        sim.member(room, "deaf"),
    );
    sim.wire(deaf.client).window = 1_000;
    let mut seen = Vec::new();
    for turn in 0..100 {
        for n in 0..10 {
            ann.say(&mut sim, &format!("{turn} {n} {}", "x".repeat(100)));
        }
        seen.extend(numbers(&bob.listen(&mut sim, 50 * MS)));
    }
    assert_eq!(seen, (1..=1000).collect::<Vec<_>>());
    let deadline = 5 * SECOND;
    sim.expect_closed(deadline, deaf.client);
    let metrics = sim.metrics();
    assert_eq!(metrics.sum("media_room_members_cut_total", &[]), 1.0);
    assert_eq!(metrics.sum("media_room_members", &[]), 2.0);
}

#[test]
fn a_member_that_reads_too_slowly_is_told_why() {
    let mut sim = Sim::with(1, 76, |config| {
        config.rooms.member_rate = media_service::limits::Cap::OFF;
    });
    let room = sim.live_room(0);
    let (mut ann, mut slow) = (sim.member(room, "ann"), sim.member(room, "slow"));
    sim.wire(slow.client).window = 2_000;
    for _ in 0..45 {
        for n in 0..20 {
            ann.say(&mut sim, &format!("{n} {}", "x".repeat(100)));
        }
        sim.run_for(50 * MS);
    }
    // It reads at last, and finds whole frames up to a close frame.
    sim.wire(slow.client).window = usize::MAX;
    assert_eq!(slow.closed(&mut sim), Some(1008));
}

#[test]
fn a_flood_is_handled_in_turns() {
    let mut sim = Sim::with(1, 77, |config| {
        config.rooms.member_rate = media_service::limits::Cap::OFF;
    });
    let room = sim.live_room(0);
    let (mut ann, mut bob) = (sim.member(room, "ann"), sim.member(room, "bob"));
    for n in 0..1000 {
        ann.say(&mut sim, &format!("{n}"));
    }
    let mut seen = Vec::new();
    while seen.len() < 1000 {
        seen.extend(numbers(&bob.listen(&mut sim, 5 * MS)));
    }
    assert_eq!(seen, (1..=1000).collect::<Vec<_>>());
}

#[test]
fn what_is_wrong_is_told_to_its_sender_alone() {
    let mut sim = Sim::with(1, 78, |config| config.rooms.member_burst = 3);
    let room = sim.live_room(0);
    let (mut ann, mut bob) = (sim.member(room, "ann"), sim.member(room, "bob"));
    sim.run_for(2 * SECOND);
    bob.listen(&mut sim, 100 * MS);
    for (message, code) in [
        (json!({"type": "join"}), "bad_message"),
        (
            json!({"type": "danmu", "content": "x".repeat(3_000)}),
            "content_too_long",
        ),
        (
            json!({"type": "gift", "data": "x".repeat(9_000)}),
            "data_too_long",
        ),
        (
            json!({"type": "danmu", "content": "x", "id": "x".repeat(100)}),
            "id_too_long",
        ),
        (json!([1, 2]), "bad_message"),
    ] {
        ann.send(&mut sim, &message);
        assert_eq!(ann.expect(&mut sim, "error")["code"], code, "{message}");
    }
    for n in 0..4 {
        let message = json!({"type": "danmu", "content": "x", "id": n});
        ann.send(&mut sim, &message);
    }
    let error = ann.expect(&mut sim, "error");
    assert_eq!(
        (&error["code"], &error["id"]),
        (&json!("rate_limited"), &json!(3))
    );
    assert_eq!(numbers(&bob.listen(&mut sim, SECOND)), [1, 2, 3]);
}

#[test]
fn a_room_ends_for_everybody() {
    let mut sim = Sim::new(3, 79);
    let room = sim.live_room(2);
    let mut members: Vec<Socket> = ["ann", "bob", "eve"]
        .map(|user| sim.member(room, user))
        .into();
    members[1].say(&mut sim, "good night");
    sim.step();
    assert_eq!(sim.act(room, "stop", "ann")["viewer_count"], 3);
    for mut member in members {
        assert_eq!(member.expect(&mut sim, "danmu")["seq"], 1);
        member.expect(&mut sim, "closing");
        assert_eq!(member.closed(&mut sim), Some(1000));
    }
    let after = sim.read_json(&format!("/api/v1/rooms/{room}"));
    assert_eq!(
        (&after["status"], &after["viewer_count"]),
        (&json!(2), &json!(3))
    );
    let refused = sim.try_open(0, &format!("/ws?room_id={room}"), &[]);
    assert_eq!(refused.err().map(|response| response.status), Some(409));
}

#[test]
fn lists_and_counts_are_those_of_all_shards() {
    let mut sim = Sim::new(3, 80);
    let mut ids: Vec<u64> = (0..7).map(|n| sim.live_room(n % 3)).collect();
    ids.sort_unstable();
    let mut cursor = String::new();
    let mut listed = Vec::new();
    while cursor != "null" {
        let page = sim.read_json(&format!("/api/v1/rooms?limit=3&status=1{cursor}"));
        listed.extend(
            page["rooms"]
                .as_array()
                .unwrap()
                .iter()
                .map(|r| r["id"].as_u64().unwrap()),
        );
        cursor = match page["next_cursor"].as_str() {
            Some(next) => format!("&cursor={next}"),
            None => "null".to_owned(),
        };
    }
    assert_eq!(listed, ids);

    // The same user in rooms of several shards.
    let _bob: Vec<Socket> = ids.iter().map(|&room| sim.member(room, "bob")).collect();
    let mut eve = sim.member(ids[3], "eve");
    let online = sim.read_json("/api/v1/stats/online");
    assert_eq!(
        online,
        json!({"users": 2, "connections": 8, "rooms_live": 7})
    );
    let gift = json!({"type": "gift", "content": "rocket", "data": {"value": 100}});
    eve.send(&mut sim, &gift);
    sim.run_for(2 * SECOND);
    let hot = sim.read_json("/api/v1/stats/hot?limit=2");
    assert_eq!(hot["rooms"].as_array().unwrap().len(), 2);
    assert_eq!(hot["rooms"][0]["room_id"], ids[3]);
    assert_eq!(hot["rooms"][0]["viewer_count"], 2);
    let viewers = sim.read_json(&format!("/api/v1/rooms/{}/viewers?limit=1", ids[3]));
    assert_eq!(viewers["viewers"][0]["user_id"], "bob");
    assert_eq!(viewers["next_cursor"], "bob");
}

#[test]
fn a_silent_member_is_asked_and_given_up() {
    let mut sim = Sim::new(1, 81);
    let room = sim.live_room(0);
    let (mut ann, silent) = (sim.member(room, "ann"), sim.member(room, "silent"));
    ann.listen(&mut sim, 62 * SECOND);
    assert!(sim.wire(silent.client).closed, "no pong in 60 s");
    assert!(
        !sim.wire(ann.client).closed,
        "it answers pings when it reads"
    );
    assert_eq!(sim.read_json("/api/v1/stats/online")["connections"], 1);
}

#[test]
fn nothing_is_left_of_rooms_when_everybody_has_gone() {
    let mut sim = Sim::new(2, 82);
    let room = sim.live_room(0);
    for n in 0..20 {
        let mut member = sim.member(room, &format!("user-{n}"));
        member.say(&mut sim, "hello and goodbye");
        member.vanish(&mut sim);
    }
    sim.act(room, "stop", "ann");
    sim.run_for(120 * SECOND);
    let metrics = sim.metrics();
    for name in [
        "media_room_members",
        "media_room_users",
        "media_room_store_rows",
    ] {
        assert_eq!(metrics.sum(name, &[]), 0.0, "{name}");
    }
    assert_eq!(metrics.sum("media_websocket_connections", &[]), 0.0);
    assert_eq!(metrics.sum("media_outbound_buffer_bytes", &[]), 0.0);
}

#[test]
fn an_anchor_has_so_many_rooms_that_have_not_ended() {
    let mut sim = Sim::with(1, 83, |config| {
        config.limits.rooms_per_anchor = media_service::limits::Cap::new(2);
    });
    let first = sim.live_room(0);
    sim.idle_room(0);
    let client = sim.connect(0);
    let ann = [("X-User-Id", "ann")];
    let body = json!({"title": "Evening"}).to_string();
    let refused = sim.request(client, "POST", "/api/v1/rooms", &ann, body.as_bytes());
    assert_eq!(refused.expect(429).json()["code"], "too_many_rooms");
    let bob = [("X-User-Id", "bob")];
    let bobs = sim.request(client, "POST", "/api/v1/rooms", &bob, body.as_bytes());
    bobs.expect(201);
    sim.act(first, "stop", "ann");
    sim.idle_room(0);
}
