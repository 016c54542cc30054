//! Members of live rooms that hang up, fall silent, do not read or come and go without end; and what is left of them:
//! nothing.

mod support;

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tungstenite::Message;

use support::rooms::{Bystander, Ended, Member};
use support::server::Server;
use support::{SOON, wait_until};

#[test]
fn half_open_sockets_and_silent_members_are_let_go() {
    let server = Server::start(&[
        "--shards",
        "2",
        "--set",
        "ws.ping_interval=500ms",
        "--set",
        "ws.pong_timeout=1s",
    ]);
    let room = server.live_room("ada", "Silence");
    let before = server.footprint();
    // Never reads, so never answers a ping; says nothing.
    let silent: Vec<Member> = (0..20)
        .map(|number| Member::join(&server, room, &format!("silent-{number}")))
        .collect();
    // Have closed their half, as a client behind a middlebox that forgot it.
    let half: Vec<Member> = (0..20)
        .map(|number| Member::join(&server, room, &format!("half-{number}")))
        .collect();
    for member in &half {
        member
            .socket
            .stream()
            .shutdown(Shutdown::Write)
            .expect("open");
    }
    // Are in the middle of a frame for ever.
    let torn: Vec<Member> = (0..20)
        .map(|number| Member::join(&server, room, &format!("torn-{number}")))
        .collect();
    for member in &torn {
        member
            .socket
            .stream()
            .write_all(&[0x81, 0xfe, 0x01])
            .expect("open");
    }
    wait_until(SOON, "the room is empty", || {
        server.room(room)["viewer_count"] == 0
    });
    let viewers = server
        .get(&format!("/api/v1/rooms/{room}/viewers"))
        .expect(200)
        .json();
    assert_eq!(viewers["viewers"], json!([]));
    let online = server.get("/api/v1/stats/online").expect(200).json();
    assert_eq!(
        (&online["users"], &online["connections"]),
        (&json!(0), &json!(0))
    );
    server.wait_nothing_left(&before);
    drop((silent, half, torn));
}

#[test]
fn a_member_that_does_not_read_is_dropped_and_nobody_waits_for_it() {
    let server = Server::start(&["--shards", "1", "--set", "rooms.member_rate=0"]);
    let room = server.live_room("ada", "Slow");
    let before = server.footprint();
    let mut bystander = Bystander::join(&server, room);
    let deaf = Member::join(&server, room, "deaf");
    // Has answers of its own waiting while its socket is in the middle of the room's frames.
    let mut rude = Member::join(&server, room, "rude");
    let mut loud = Member::join(&server, room, "loud");
    let content = "x".repeat(2000);
    let deadline = Instant::now() + SOON;
    // 2 kB each: its socket's buffers are full after some thousands.
    let mut sent = 0;
    while server.room(room)["viewer_count"].as_u64() > Some(2) {
        assert!(
            Instant::now() < deadline,
            "it is still there after {sent} messages"
        );
        for _ in 0..50 {
            loud.say(&content);
            loud.message();
            sent += 1;
        }
        assert_eq!(bystander.talks().len(), 50, "the others get everything");
        loud.message();
        // It may be gone.
        let _ = rude.socket.try_send(Message::text("[]"));
    }
    for mut member in [deaf, rude] {
        let mut last = 0;
        let end = loop {
            match member.next(SOON) {
                Ok(message) => {
                    let seq = message["seq"].as_u64();
                    assert!(
                        seq.is_none_or(|seq| seq == last + 1),
                        "after {last}: {message}"
                    );
                    last = seq.unwrap_or(last);
                }
                Err(end) => break end,
            }
        };
        let told = Ended::Closed(Some(1008));
        assert_eq!(end, told, "what it was sent is whole, then comes the end");
    }
    loud.socket.close();
    bystander.member.socket.close();
    server.wait_nothing_left(&before);
}

/// Members that come and go as fast as they can cost the others nothing, and leave nothing.
#[test]
fn a_storm_of_joins_leaves_nothing() {
    const CLIENTS: usize = 8;
    const VISITS: usize = 50;
    let server = Server::start(&["--shards", "2"]);
    let room = server.live_room("ada", "Storm");
    let before = server.footprint();
    let mut bystander = Bystander::join(&server, room);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let server = &server;
            scope.spawn(move || {
                for visit in 0..VISITS {
                    let user = format!("visitor-{client}-{}", visit % 5);
                    let member = Member::join(server, room, &user);
                    match visit % 3 {
                        0 => member.socket.close(),
                        1 => drop(member),
                        // With something unread, so that the kernel resets the connection.
                        _ => {
                            let mut member = member;
                            member.say("and gone");
                            drop(member);
                        }
                    }
                }
            });
        }
    });
    let heard = bystander.talks();
    assert!(heard.iter().all(|message| message["content"] == "and gone"));
    let begin = Instant::now();
    while server.room(room)["viewer_count"] != 1 {
        assert!(begin.elapsed() < SOON, "{}", server.room(room));
        thread::sleep(Duration::from_millis(20));
    }
    bystander.member.socket.close();
    server.wait_nothing_left(&before);
}
