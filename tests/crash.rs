//! What survives the end of the process: with `kill -9` everything that was acknowledged, with SIGTERM everything.

mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use support::SOON;
use support::http::{self, Connection};
use support::rooms::{Ended, Member, Place, place};
use support::server::{Server, run_to_end};

/// Kills of the server.
const KILLS: usize = 6;
/// Members that send.
const SENDERS: usize = 4;
/// Messages of a sender that are not acknowledged yet.
const IN_FLIGHT: usize = 32;

/// A store on disk, and servers on it, one after the other.
struct Disk {
    directory: TempDir,
}

impl Disk {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("rooms.db")
    }

    fn start(&self) -> Server {
        self.start_with(&[])
    }

    fn start_with(&self, more: &[&str]) -> Server {
        let store = setting(&self.path());
        // Members may send as fast as they are acknowledged.
        let arguments = [
            "--shards",
            "2",
            "--set",
            &store,
            "--set",
            "rooms.member_rate=0",
        ];
        Server::start(&[&arguments, more].concat())
    }
}

fn setting(path: &Path) -> String {
    format!("store.path={}", path.display())
}

fn kill(mut server: Server) {
    server.signal(Signal::KILL);
    server.wait(SOON);
}

fn end(mut server: Server) {
    server.signal(Signal::TERM);
    let status = server.wait(SOON);
    assert_eq!(status.code(), Some(0), "{status}");
}

/// Sends until the connection breaks, and tells of each acknowledgement.
fn send_until_the_end(mut member: Member, name: String, acknowledged: Sender<(Place, String)>) {
    let content = |number: u64| format!("{name}, message {number}");
    let epoch = member.epoch;
    let (mut sent, mut done) = (0, 0);
    loop {
        while sent < done + IN_FLIGHT as u64 {
            let message = json!({"type": "danmu", "content": content(sent), "id": sent});
            let message = tungstenite::Message::text(message.to_string());
            if member.socket.try_send(message).is_err() {
                return;
            }
            sent += 1;
        }
        match member.next(SOON) {
            Ok(frame) if frame["type"] == "ack" => {
                let number = frame["id"].as_u64().expect("our id");
                let seq = frame["seq"].as_u64().expect("a number");
                done += 1;
                let _ = acknowledged.send(((epoch, seq), content(number)));
            }
            Ok(frame) => assert_ne!(frame["type"], "error", "{frame}"),
            Err(Ended::Closed(_)) => return,
            Err(Ended::Silent) => panic!("no acknowledgement"),
        }
    }
}

/// The stored messages of a room by their place; numbers run from 1 without a gap in each epoch.
fn stored(server: &Server, room: u64) -> HashMap<Place, String> {
    let history = server.history(room);
    let mut last: Place = (0, 0);
    for message in &history {
        let (epoch, seq) = place(message);
        let expected = if epoch == last.0 { last.1 + 1 } else { 1 };
        assert!(
            epoch >= last.0 && seq == expected,
            "after {last:?}: {message}"
        );
        last = (epoch, seq);
    }
    let content = |message: &Value| message["content"].as_str().expect("text").to_owned();
    history.iter().map(|m| (place(m), content(m))).collect()
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let disk = Disk::new();
    let mut server = disk.start();
    let room = server.live_room("ada", "Rooms outlive their server");
    let idle = server.create_room("bob", "Not started");
    let ended = server.live_room("eve", "Over");
    server.change_room("eve", ended, "stop").expect(200);

    let mut all: HashMap<Place, String> = HashMap::new();
    for kills in 0..KILLS as u64 {
        let (sender, acknowledged) = mpsc::channel();
        let users: Vec<String> = (0..SENDERS)
            .map(|number| format!("user-{number}"))
            .collect();
        let members = users.iter().map(|user| Member::join(&server, room, user));
        let members: Vec<Member> = members.collect();
        let senders: Vec<_> = members
            .into_iter()
            .zip(users)
            .map(|(member, user)| {
                assert_eq!((member.epoch, member.seq), (kills + 1, 0), "a new epoch");
                let (name, sender) = (format!("{user}, life {kills}"), sender.clone());
                thread::spawn(move || send_until_the_end(member, name, sender))
            })
            .collect();
        drop(sender);
        let (first, content) = acknowledged
            .recv_timeout(SOON)
            .expect("one is acknowledged");
        all.insert(first, content);
        // The moment is the point: anywhere in a batch, a commit, or between them.
        thread::sleep(Duration::from_micros(u64::from(
            random.next_u32() % 300_000,
        )));
        kill(server);
        for sender in senders {
            sender.join().expect("senders see the end");
        }
        for (place, content) in acknowledged {
            let twice = all.insert(place, content);
            assert_eq!(twice, None, "{place:?} is acknowledged twice");
        }

        server = disk.start();
        let stored = stored(&server, room);
        println!("{} acknowledged, {} stored", all.len(), stored.len());
        for (place, content) in &all {
            assert_eq!(stored.get(place), Some(content), "{place:?} is lost");
        }
        let statuses = [room, idle, ended].map(|room| server.room(room)["status"].clone());
        assert_eq!(statuses, [1, 0, 2], "live, idle, ended");
        assert_eq!(server.room(room)["title"], "Rooms outlive their server");
        assert_eq!(server.room(room)["anchor_id"], "ada");
    }
    assert!(all.len() > KILLS * IN_FLIGHT, "only {} messages", all.len());
}

/// A room or a user whose 201 has come is there after any end of the process.
#[test]
fn what_was_created_survives_kill_9() {
    const LIVES: usize = 4;
    const SECRET: &str = "a secret of forty bytes for tests, no more";
    let disk = Disk::new();
    let config = disk.directory.path().join("media-service.toml");
    std::fs::write(&config, format!("[auth]\njwt_secret = '{SECRET}'\n")).expect("a file");
    let (config, store) = (config.to_str().expect("UTF-8"), setting(&disk.path()));
    let start = || Server::start(&["--shards", "2", "--config", config, "--set", &store]);
    let arguments = [
        "token", "--config", config, "--sub", "ada", "--role", "anchor",
    ];
    let (status, token, errors) = run_to_end(&arguments);
    assert!(status.success(), "{errors}");
    let bearer = format!("Bearer {}", token.trim());
    let headers = [
        ("Content-Type", "application/json"),
        ("Authorization", bearer.as_str()),
    ];

    let mut random = ChaCha20Rng::seed_from_u64(u64::from(std::process::id()));
    let (mut rooms, mut users) = (Vec::new(), Vec::new());
    let mut server = start();
    for life in 0..LIVES {
        let user = json!({"username": format!("user-{life}"), "password": "correct horse"});
        let id = server.post("/api/v1/users", &user).expect(201).json()["id"].take();
        users.push((user, id));
        let address = server.http();
        let (sender, created) = mpsc::channel();
        let creators = [0, 1].map(|creator| {
            let sender = sender.clone();
            let headers = headers.map(|(name, value)| (name, value.to_owned()));
            thread::spawn(move || {
                let headers = headers
                    .each_ref()
                    .map(|(name, value)| (*name, value.as_str()));
                let mut connection = Connection::open(address);
                for number in 0.. {
                    let title = format!("room {number} of {creator} in life {life}");
                    let body = json!({"title": title}).to_string();
                    let sent =
                        connection.send_request("POST", "/api/v1/rooms", &headers, body.as_bytes());
                    let Ok(response) = sent.and_then(|()| connection.try_response(false)) else {
                        return;
                    };
                    let room = response.expect(201).json();
                    let _ = sender.send((room["id"].as_u64().expect("an id"), title));
                }
            })
        });
        drop(sender);
        rooms.push(created.recv_timeout(SOON).expect("one is created"));
        thread::sleep(Duration::from_micros(u64::from(
            random.next_u32() % 100_000,
        )));
        kill(server);
        for creator in creators {
            creator.join().expect("creators see the end");
        }
        rooms.extend(created);

        server = start();
        for (room, title) in &rooms {
            let target = format!("/api/v1/rooms/{room}");
            let room = http::request(server.http(), "GET", &target, &headers, b"")
                .expect(200)
                .json();
            assert_eq!(
                (&room["title"], &room["anchor_id"]),
                (&json!(title), &json!("ada"))
            );
        }
        for (user, id) in &users {
            let login = server.post("/api/v1/users/login", user).expect(200).json();
            assert_eq!(login["user"]["id"], *id, "{login}");
            server
                .post("/api/v1/users", user)
                .expect_error(409, "username_taken");
        }
    }
    println!("{} rooms, {} users", rooms.len(), users.len());
}

/// A member that saw all of the last epoch but the end is told that this is another one.
#[test]
fn after_a_crash_a_member_that_comes_back_is_told_where_it_stands() {
    let disk = Disk::new();
    let server = disk.start();
    let room = server.live_room("ada", "Crashes");
    let mut member = Member::join(&server, room, "bob");
    member.say_with_id("kept", &json!("a"));
    let kept = member_message(&mut member, "kept");
    let last = place_of(&member, &kept);
    wait_for_ack(&mut member, "a");
    kill(server);

    let server = disk.start();
    let mut member = Member::rejoin(&server, room, "bob", last);
    assert_eq!((member.epoch, member.seq), (last.0 + 1, 0));
    let told = member.next(SOON).expect("it is told");
    assert_eq!(
        (&told["type"], &told["code"], &told["from"]),
        (&json!("system"), &json!("history_truncated"), &json!(1)),
        "{told}"
    );
    member.say("first of the new epoch");
    let first = member.message();
    assert_eq!(
        (&first["content"], &first["seq"]),
        (&json!("first of the new epoch"), &json!(1))
    );
    let contents: Vec<Value> = server
        .history(room)
        .iter()
        .map(|m| m["content"].clone())
        .collect();
    assert_eq!(contents[0], "kept");
}

fn member_message(member: &mut Member, content: &str) -> Value {
    let message = member.message();
    assert_eq!(message["content"], content, "{message}");
    message
}

fn place_of(member: &Member, message: &Value) -> Place {
    (member.epoch, message["seq"].as_u64().expect("a number"))
}

fn wait_for_ack(member: &mut Member, id: &str) -> u64 {
    loop {
        let frame = member.next(SOON).expect("an acknowledgement");
        if frame["type"] == "ack" {
            assert_eq!(frame["id"], id, "{frame}");
            return frame["seq"].as_u64().expect("a number");
        }
    }
}

#[test]
fn a_clean_restart_goes_on_where_it_was() {
    let disk = Disk::new();
    let server = disk.start();
    let room = server.live_room("ada", "Restarts");
    let mut ada = Member::join(&server, room, "ada");
    let mut bob = Member::join(&server, room, "bob");
    for number in 1..=100 {
        ada.say(&format!("message {number}"));
    }
    let mut last = (0, 0);
    for number in 1..=60 {
        let message = member_message(&mut bob, &format!("message {number}"));
        last = place_of(&bob, &message);
    }
    while ada.message()["seq"] != 100 {}
    end(server);

    let server = disk.start();
    assert_eq!(server.room(room)["status"], 1);
    let mut bob = Member::rejoin(&server, room, "bob", last);
    assert_eq!((bob.epoch, bob.seq), (last.0, 100), "the epoch goes on");
    for number in 61..=100 {
        let message = member_message(&mut bob, &format!("message {number}"));
        assert_eq!(message["seq"], number);
    }
    let mut ada = Member::join(&server, room, "ada");
    ada.say_with_id("and on", &json!("x"));
    for member in [&mut ada, &mut bob] {
        let message = member_message(member, "and on");
        assert_eq!(message["seq"], 101);
    }
    assert_eq!(wait_for_ack(&mut ada, "x"), 101);
    assert_eq!(stored(&server, room).len(), 101);
}

/// Memory holds the newest of what is stored; who was away for longer is told, and finds the rest in the history.
#[test]
fn what_memory_does_not_hold_after_a_restart_is_told() {
    let disk = Disk::new();
    let server = disk.start();
    let room = server.live_room("ada", "Long");
    let mut ada = Member::join(&server, room, "ada");
    for number in 1..=300 {
        ada.say(&format!("message {number}"));
    }
    while ada.message()["seq"] != 300 {}
    let epoch = ada.epoch;
    end(server);

    let server = disk.start_with(&["--set", "rooms.recent=50"]);
    for (since, from) in [(0, 251), (249, 251), (250, 251), (299, 300), (300, 301)] {
        let mut bob = Member::rejoin(&server, room, "bob", (epoch, since));
        assert_eq!((bob.epoch, bob.seq), (epoch, 300));
        if since < 250 {
            let told = bob.next(SOON).expect("it is told");
            assert_eq!(
                told,
                json!({"type": "system", "code": "history_truncated", "from": 251})
            );
        }
        for seq in from..=300 {
            assert_eq!(bob.message()["seq"], seq, "since {since}");
        }
        bob.socket.close();
    }
    assert_eq!(stored(&server, room).len(), 300);
}

/// A room that was live in a crash is live again; without its anchor it ends after a while, with it it goes on.
#[test]
fn a_recovered_room_ends_without_its_anchor() {
    let disk = Disk::new();
    let server = disk.start();
    let deserted = server.live_room("ada", "Deserted");
    let kept = server.live_room("bob", "Kept");
    kill(server);

    let server = disk.start_with(&["--set", "rooms.anchor_timeout=3s"]);
    let mut visitor = Member::join(&server, deserted, "eve");
    let mut bob = Member::join(&server, kept, "bob");
    let closing = visitor.socket.expect("closing");
    assert!(closing["reason"].as_str() > Some(""), "{closing}");
    assert_eq!(visitor.socket.closed(), Some(1000));
    assert_eq!(server.room(deserted)["status"], 2);
    assert_eq!(server.room(deserted)["viewer_count"], 1, "eve was there");
    // Both had the same time.
    assert_eq!(server.room(kept)["status"], 1);
    // What the store was handed before it is stored too.
    bob.say_with_id("still here", &json!("x"));
    wait_for_ack(&mut bob, "x");
    kill(server);
    let server = disk.start();
    assert_eq!(
        server.room(deserted)["status"],
        2,
        "that it ended is stored"
    );
}

#[test]
fn two_servers_do_not_share_a_store() {
    let disk = Disk::new();
    let server = disk.start();
    let room = server.live_room("ada", "Mine");
    let sentence = refused(&disk.path());
    assert!(sentence.contains("in use by process"), "{sentence}");
    // The first one has not noticed.
    assert_eq!(server.room(room)["status"], 1);
    let mut member = Member::join(&server, room, "bob");
    member.say_with_id("still here", &json!("x"));
    wait_for_ack(&mut member, "x");
    end(server);
    end(disk.start());
}

#[test]
fn a_store_that_cannot_be_used_is_named() {
    let disk = Disk::new();
    let directory = disk.directory.path();
    let no_database = directory.join("text.db");
    std::fs::write(&no_database, "this is not a database\n".repeat(500)).expect("a file");
    let newer = directory.join("newer.db");
    let database = rusqlite::Connection::open(&newer).expect("SQLite");
    database
        .pragma_update(None, "user_version", 1_000_000)
        .expect("a version");
    drop(database);
    for (path, what) in [
        (directory.to_owned(), "directory"),
        (directory.join("missing/rooms.db"), "No such file"),
        (PathBuf::from("/dev/null/rooms.db"), "Not a directory"),
        (no_database, "not a SQLite database"),
        (newer, "newer"),
    ] {
        let sentence = refused(&path);
        assert!(sentence.contains(what), "{what}: {sentence}");
    }
}

/// Starts a server that must not start; what it says.
fn refused(path: &Path) -> String {
    let store = setting(path);
    let (status, _, said) = run_to_end(&[
        "--listen",
        "127.0.0.1:0",
        "--media-port",
        "0",
        "--set",
        &store,
    ]);
    assert!(
        !status.success() && status.code().is_some(),
        "{status}: {said}"
    );
    assert!(
        said.contains(&path.display().to_string()),
        "names no path: {said}"
    );
    assert!(said.contains("store.path"), "names no key: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}
