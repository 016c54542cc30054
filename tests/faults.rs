//! Panics and stalls on purpose in a real process: what ends, and with which code.

mod support;

use std::time::Duration;

use serde_json::json;
use support::server::Server;
use support::tokens::{path, with_secret};
use support::ws::Socket;
use support::{SOON, http};

/// A shard that makes no progress for so long ends the process.
const STALL: Duration = Duration::from_secs(10);

/// Gives a thread something to do.
type Wake<'a> = &'a dyn Fn(&Server);

/// Has something bad done to the one shard of a server. Whether it still answers depends on what.
fn strike(server: &Server, fault: &str) {
    let mut connection = server.connect();
    let headers = [("X-Fault", fault)];
    connection
        .send_request("GET", "/health", &headers, b"")
        .expect("the server reads");
    let _ = connection.try_response(false);
}

#[track_caller]
fn ends_with(server: &mut Server, code: i32, says: &str) {
    let status = server.wait(STALL + SOON);
    assert_eq!(status.code(), Some(code), "{}", server.log().text());
    let log = server.log().text();
    assert!(log.contains(says), "{log}");
}

#[test]
fn a_fault_is_taken_from_nobody_unless_the_process_was_started_for_it() {
    let server = Server::start_safe(&["--shards", "1"]);
    for fault in [
        "panic:Turn",
        "panic:Request",
        "thread:Store",
        "descriptors:9",
    ] {
        strike(&server, fault);
    }
    for _ in 0..3 {
        server.get("/health").expect(200);
    }
    assert!(!server.log().text().contains("injected"));
    let allowed = Server::start(&["--shards", "1"]);
    assert!(allowed.log().text().contains("faults are injected"));
}

#[test]
fn a_process_ends_with_a_shard_that_dies() {
    let mut server = Server::start(&["--shards", "2"]);
    strike(&server, "panic:Turn");
    ends_with(&mut server, 71, "an injected fault: Turn");
}

#[test]
fn a_process_ends_with_a_shard_that_stands_still() {
    let mut server = Server::start(&["--shards", "2"]);
    strike(&server, "stall:60000");
    ends_with(&mut server, 70, "the shard is stuck");
}

#[test]
fn a_shard_that_stands_still_for_less_goes_on() {
    let server = Server::start(&["--shards", "1"]);
    strike(&server, "stall:1500");
    server.get("/health").expect(200);
    assert!(server.log().text().contains("the shard makes no progress"));
}

#[test]
fn a_process_ends_with_each_thread_that_it_needs() {
    let file = with_secret();
    let anybody = ["--shards", "1"];
    let known = ["--shards", "1", "--config", path(&file)];
    let room = |server: &Server| {
        let mut connection = server.connect();
        let body = json!({"title": "Morning"}).to_string();
        let headers = [("X-User-Id", "ann")];
        let sent = connection.send_request("POST", "/api/v1/rooms", &headers, body.as_bytes());
        sent.expect("the server reads");
    };
    let log_in = |server: &Server| {
        let mut connection = server.connect();
        let body = json!({"username": "ada", "password": "correct horse"}).to_string();
        let sent = connection.send_request("POST", "/api/v1/users/login", &[], body.as_bytes());
        sent.expect("the server reads");
    };
    let scrape = |server: &Server| {
        let mut connection = server.connect();
        let sent = connection.send_request("GET", "/metrics", &[], b"");
        sent.expect("the server reads");
    };
    let stop = |server: &Server| server.signal(rustix::process::Signal::TERM);
    let threads: [(&str, &[&str], Wake<'_>); 4] = [
        ("Side", &anybody, &scrape),
        ("Store", &anybody, &room),
        ("Accounts", &known, &log_in),
        ("Signals", &anybody, &stop),
    ];
    for (thread, arguments, wake) in threads {
        let mut server = Server::start(arguments);
        strike(&server, &format!("thread:{thread}"));
        wake(&server);
        // The side thread and the store's do something after what has woken them.
        if server.running() {
            wake(&server);
        }
        let says = format!("an injected fault: {thread}");
        ends_with(&mut server, 72, &says);
    }
}

#[test]
fn a_room_that_fails_ends_alone_and_its_messages_are_read() {
    let server = Server::start(&["--shards", "1"]);
    let room = |title: &str| {
        let room = server.post_as("ann", "/api/v1/rooms", &json!({"title": title}));
        let id = room.expect(201).json()["id"].clone();
        let start = format!("/api/v1/rooms/{id}/start");
        server.post_as("ann", &start, &json!({})).expect(200);
        id
    };
    let (bad, good) = (room("bad"), room("good"));
    let member = |room, user| {
        let target = format!("/ws?room_id={room}&user_id={user}");
        let mut socket = Socket::open(server.http(), &target);
        socket.expect("hello");
        socket
    };
    let (mut ann, mut bob) = (member(&bad, "ann"), member(&good, "bob"));
    ann.send(&json!({"type": "danmu", "content": "before", "id": 1}));
    ann.expect("ack");
    strike(&server, "panic:RoomMessage");
    ann.send(&json!({"type": "danmu", "content": "the last straw"}));
    assert_eq!(ann.expect("closing")["reason"], "a fault of the server");
    assert_eq!(ann.closed(), Some(1011));

    bob.send(&json!({"type": "danmu", "content": "still here"}));
    assert_eq!(bob.expect("danmu")["content"], "still here");
    let page = server
        .get(&format!("/api/v1/rooms/{bad}/messages"))
        .expect(200)
        .json();
    assert_eq!(page["messages"][0]["content"], "before", "{page}");
    let metrics = server.metrics();
    assert_eq!(
        metrics.get("media_panics_caught_total", &[("part", "room")]),
        Some(1.0)
    );

    // Once with what and where, once with who.
    let log = server.log().text();
    assert_eq!(
        log.matches("an injected fault: RoomMessage").count(),
        1,
        "{log}"
    );
    assert_eq!(
        log.matches("the room ends: a fault of the server").count(),
        1,
        "{log}"
    );
    http::request(server.http(), "GET", "/health", &[], b"").expect(200);
}
