//! Live rooms with members and clients that mean no good, and what is left of them: nothing.

mod support;

use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::Message;

use support::rooms::{Ended, Member};
use support::server::Server;
use support::ws::Socket;
use support::{SOON, wait_until};

/// A message larger than this closes the connection.
const MESSAGE_BYTES: usize = 512 << 10;

/// What everybody else in the room sees of an attack: their own messages, in order, and nothing wrong.
struct Bystander {
    member: Member,
    said: u64,
}

impl Bystander {
    fn join(server: &Server, room: u64) -> Self {
        Self {
            member: Member::join(server, room, "bystander"),
            said: 0,
        }
    }

    /// Says something and hears it, after what others said; gives that.
    #[track_caller]
    fn talks(&mut self) -> Vec<Value> {
        self.said += 1;
        let content = format!("all is well {}", self.said);
        self.member.say(&content);
        let mut others = Vec::new();
        loop {
            let message = self.member.message();
            if message["content"] == *content {
                return others;
            }
            others.push(message);
        }
    }
}

/// The next error that a member is told; its own broadcasts and the presence are passed over.
#[track_caller]
fn error(member: &mut Member) -> Value {
    loop {
        let next = member
            .next(SOON)
            .unwrap_or_else(|end| panic!("no error: {end:?}"));
        if next["type"] == "error" {
            let sentence = next["error"].as_str().unwrap_or_default();
            assert!(sentence.len() >= 10, "{next} helps nobody");
            for word in ["struct", "::", "Some(", "RawValue", "enum"] {
                assert!(!sentence.contains(word), "{next} speaks Rust");
            }
            return next;
        }
    }
}

#[test]
fn spam_is_refused_to_its_sender_alone() {
    const SENT: usize = 300;
    let server = Server::start(&["--shards", "2"]);
    let room = server.live_room("ada", "Spam");
    let before = server.footprint();
    let mut bystander = Bystander::join(&server, room);
    let mut spammer = Member::join(&server, room, "spammer");
    let begin = Instant::now();
    for number in 0..SENT {
        spammer.say_with_id(&format!("buy {number}"), &json!(number));
    }
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    while taken.len() + refused.len() < SENT {
        let next = spammer.next(SOON).expect("an answer to each");
        let id = next["id"].as_u64();
        match next["type"].as_str() {
            Some("ack") => taken.extend(id),
            Some("error") => {
                assert_eq!(next["code"], "rate_limited", "{next}");
                refused.push(id.expect("the message's id"));
            }
            _ => {}
        }
    }
    // 20 at once and 10 a second: whatever time the machine took.
    let most = 20 + 10 * (begin.elapsed().as_secs() as usize + 1);
    assert!(
        (20..=most).contains(&taken.len()),
        "{} taken, {most} allowed",
        taken.len()
    );
    assert_eq!(taken[..20], Vec::from_iter(0..20)[..], "the first ones");

    let heard: Vec<Value> = bystander.talks();
    let heard: Vec<_> = heard
        .iter()
        .map(|message| message["content"].clone())
        .collect();
    let expected: Vec<_> = taken
        .iter()
        .map(|number| json!(format!("buy {number}")))
        .collect();
    assert_eq!(heard, expected, "the others hear what was taken");
    // It may stay, and talk again when it has waited.
    wait_until(SOON, "a spammer may talk again", || {
        spammer.say_with_id("sorry", &json!("sorry"));
        loop {
            let next = spammer.next(SOON).expect("an answer");
            match (next["type"].as_str(), &next["id"]) {
                (Some("ack"), id) if id == "sorry" => return true,
                (Some("error"), id) if id == "sorry" => return false,
                _ => {}
            }
        }
    });
    spammer.socket.close();
    bystander.talks();
    bystander.member.socket.close();
    server.wait_nothing_left(&before);
}

#[test]
fn messages_out_of_bounds_get_an_error_and_the_member_stays() {
    let server = Server::start(&["--set", "rooms.member_rate=0"]);
    let room = server.live_room("ada", "Bounds");
    let before = server.footprint();
    let mut bystander = Bystander::join(&server, room);
    let mut member = Member::join(&server, room, "mallory");
    let danmu = |content: &str| json!({"type": "danmu", "content": content}).to_string();
    let gift = |data: Value| json!({"type": "gift", "content": "", "data": data}).to_string();
    let raw = |data: &str| format!(r#"{{"type":"gift","content":"","data":{data}}}"#);
    let nested = |depth: usize| raw(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    // Text of `data`, whose quotes count.
    let data = |bytes: usize| gift(json!("d".repeat(bytes - 2)));
    let bare = |more: &str| format!(r#"{{"type":"danmu","content":"x",{more}}}"#);
    for (message, code) in [
        (String::new(), "bad_message"),
        ("{".to_owned(), "bad_message"),
        ("null".to_owned(), "bad_message"),
        ("[]".to_owned(), "bad_message"),
        (json!(["danmu", "x"]).to_string(), "bad_message"),
        ("7".to_owned(), "bad_message"),
        ("\"danmu\"".to_owned(), "bad_message"),
        ("\u{feff}{}".to_owned(), "bad_message"),
        (json!({"content": "x"}).to_string(), "bad_message"),
        (json!({"type": "danmu"}).to_string(), "bad_message"),
        (
            json!({"type": "danmu", "content": 7}).to_string(),
            "bad_message",
        ),
        (
            json!({"type": "danmu", "content": null}).to_string(),
            "bad_message",
        ),
        (
            json!({"type": "shout", "content": "x"}).to_string(),
            "bad_message",
        ),
        (
            json!({"type": "join", "content": ""}).to_string(),
            "bad_message",
        ),
        (
            json!({"type": "leave", "content": ""}).to_string(),
            "bad_message",
        ),
        (
            json!({"type": "hello", "content": ""}).to_string(),
            "bad_message",
        ),
        (
            json!({"type": "presence", "content": ""}).to_string(),
            "bad_message",
        ),
        (
            json!({"type": ["danmu"], "content": "x"}).to_string(),
            "bad_message",
        ),
        (format!("{} trailing", danmu("x")), "bad_message"),
        // Half of a surrogate pair is no character.
        (
            r#"{"type":"danmu","content":"\ud83d"}"#.to_owned(),
            "bad_message",
        ),
        (
            r#"{"type":"danmu","content":"\u00zz"}"#.to_owned(),
            "bad_message",
        ),
        (
            "{\"type\":\"danmu\",\"content\":\"a\u{1}b\"}".to_owned(),
            "bad_message",
        ),
        (bare(r#""id":{"deep":[]}"#), "bad_message"),
        (bare(r#""id":true"#), "bad_message"),
        (
            bare(&format!(r#""id":"{}""#, "i".repeat(63))),
            "id_too_long",
        ),
        (danmu(&"c".repeat(2049)), "content_too_long"),
        // Bytes count, not characters.
        (danmu(&"é".repeat(1025)), "content_too_long"),
        (danmu(&"c".repeat(MESSAGE_BYTES - 100)), "content_too_long"),
        (data(8193), "data_too_long"),
        (
            gift(json!("d".repeat(MESSAGE_BYTES - 100))),
            "data_too_long",
        ),
        // What a member's own library cannot read would close all members.
        (nested(33), "bad_message"),
        (nested(127), "bad_message"),
        (nested(200), "bad_message"),
        (nested(4000), "bad_message"),
        ("[".repeat(MESSAGE_BYTES), "bad_message"),
        (format!("{}1", r#"{"type":"#.repeat(20_000)), "bad_message"),
        (raw(r#""\ud800""#), "bad_message"),
        (raw("01"), "bad_message"),
    ] {
        let shown: String = message.chars().take(80).collect();
        member.socket.send_text(&message);
        let told = error(&mut member);
        assert_eq!(told["code"], code, "{shown}: {told}");
    }
    member
        .socket
        .try_send(Message::binary(vec![0; 1000]))
        .expect("the server reads");
    assert_eq!(error(&mut member)["code"], "bad_message");

    // The bounds themselves are allowed, and nobody has heard of anything before.
    let allowed = [
        danmu(&"c".repeat(2048)),
        danmu(&"é".repeat(1024)),
        data(8192),
        nested(32),
    ];
    for message in &allowed {
        member.socket.send_text(message);
        let sent: Value = serde_json::from_str(message).expect("JSON");
        let heard = member.message();
        assert_eq!(
            (&heard["content"], &heard["data"]),
            (&sent["content"], &sent["data"])
        );
    }
    assert_eq!(bystander.talks().len(), allowed.len());

    // So can the history, which wraps them.
    wait_until(SOON, "all of it is stored", || {
        server.history(room).len() == allowed.len() + 1
    });

    // An octet more than a message may have.
    let _ = member
        .socket
        .try_send(Message::text("x".repeat(MESSAGE_BYTES + 1)));
    assert_eq!(member.socket.closed(), Some(1009));
    assert_eq!(bystander.talks().len(), 0);
    bystander.member.socket.close();
    server.wait_nothing_left(&before);
}

#[test]
fn content_is_data_whatever_it_looks_like() {
    let server = Server::start(&["--set", "rooms.member_rate=0"]);
    let room = server.live_room("ada", "Data");
    let mut ada = Member::join(&server, room, "ada");
    let mut bob = Member::join(&server, room, "bob");
    let contents = [
        "<script>alert(1)</script>",
        "</script><!-- <img src=x onerror=alert(1)> -->",
        "\"},{\"type\":\"system\",\"content\":\"\\",
        "\u{0}\u{1}\u{8}\u{1b}[31m\r\n\t\u{7f}\u{85}",
        "\u{2028}\u{2029}\u{202e}\u{feff}\u{fffe}\u{10ffff}",
        "' OR 1=1; DROP TABLE messages; --",
        "%s%n${jndi:ldap://x/}{{7*7}}",
        "{\"type\":\"closing\"}",
        " ",
    ];
    for content in contents {
        ada.socket.send(
            &json!({"type": "danmu", "content": content, "data": {"text": content},
            "user_id": "bob", "room_id": 1, "seq": 9, "timestamp": 0, "trace_id": "x"}),
        );
        for member in [&mut ada, &mut bob] {
            let message = member.message();
            assert_eq!(message["content"], content);
            assert_eq!(message["data"]["text"], content);
            assert_eq!(
                (&message["user_id"], &message["room_id"]),
                (&json!("ada"), &json!(room))
            );
            assert_ne!(message["timestamp"], 0);
            assert_ne!(message["trace_id"], "x");
        }
    }
    wait_until(SOON, "everything is stored", || {
        server.history(room).len() == contents.len()
    });
    let stored: Vec<Value> = server
        .history(room)
        .iter()
        .map(|m| m["content"].clone())
        .collect();
    assert_eq!(stored, contents);
    // Titles are data too.
    for content in contents.iter().filter(|content| !content.trim().is_empty()) {
        let room = server.create_room("ada", content);
        assert_eq!(server.room(room)["title"], content.trim());
    }
}

#[test]
fn ids_of_rooms_are_numbers_that_exist() {
    let server = Server::start(&["--shards", "2"]);
    let before = server.footprint();
    let unknown = (1_u64 << 53) - 1;
    let far = [
        "0",
        "-1",
        "9007199254740992",
        "18446744073709551616",
        "1e3",
        "1.0",
        "0x10",
        "room",
        "%00",
        "+1",
    ];
    for id in far {
        for target in ["", "/messages", "/viewers"] {
            let response = server.get(&format!("/api/v1/rooms/{id}{target}"));
            assert!(
                matches!(response.status, 400 | 404),
                "{id}{target}: {}",
                response.text()
            );
        }
        let refused =
            Socket::try_open(server.http(), &format!("/ws?room_id={id}&user_id=bob"), &[]);
        let refused = refused.err().unwrap_or_else(|| panic!("{id} is a room"));
        assert!(matches!(refused.status, 400 | 404), "{id}: {refused:?}");
    }
    for what in ["start", "stop", "join", "leave"] {
        server
            .change_room("ada", unknown, what)
            .expect_error(404, "unknown_room");
    }
    server
        .get(&format!("/api/v1/rooms/{unknown}"))
        .expect_error(404, "unknown_room");
    server
        .get(&format!("/api/v1/rooms/{unknown}/messages"))
        .expect_error(404, "unknown_room");
    server
        .get(&format!("/api/v1/rooms/{unknown}/viewers"))
        .expect_error(404, "unknown_room");
    for (query, status) in [
        (String::new(), 400),
        ("room_id=".to_owned(), 400),
        (format!("room_id={unknown}"), 404),
        (format!("room_id={unknown}&since=x"), 400),
        (format!("room_id={unknown}&since=-1"), 400),
        (format!("room_id={unknown}&user_id=a%20b"), 400),
    ] {
        let refused = Socket::try_open(server.http(), &format!("/ws?{query}"), &[]);
        let refused = refused.err().unwrap_or_else(|| panic!("{query} is taken"));
        assert_eq!(refused.status, status, "{query}: {}", refused.body);
        assert!(
            refused.body["error"].is_string(),
            "{query}: {}",
            refused.body
        );
    }
    server.wait_nothing_left(&before);
}

#[test]
fn a_room_that_is_not_live_takes_nobody() {
    let server = Server::start(&["--shards", "2"]);
    let before = server.footprint();
    let idle = server.create_room("ada", "Idle");
    let ended = server.live_room("ada", "Ended");
    let mut member = Member::join(&server, ended, "bob");
    server.change_room("ada", ended, "stop").expect(200);
    assert_eq!(member.socket.expect("closing")["type"], "closing");
    assert_eq!(member.socket.closed(), Some(1000));

    for room in [idle, ended] {
        let refused = Member::try_join(&server, room, "bob", "")
            .err()
            .expect("not live");
        assert_eq!(refused.status, 409, "{}", refused.body);
        let refused = Member::try_join(&server, room, "bob", "&since=0&epoch=1").err();
        assert_eq!(refused.expect("not live").status, 409);
        server.change_room("bob", room, "join").expect(409);
        server.change_room("ada", room, "stop").expect(409);
    }
    server.change_room("ada", ended, "start").expect(409);
    server.change_room("bob", ended, "leave");
    assert_eq!(server.room(ended)["status"], 2, "it can still be read");
    server.wait_nothing_left(&before);
}

#[test]
fn rooms_are_created_up_to_the_cap_and_no_more() {
    const CAP: usize = 1000;
    const CLIENTS: usize = 16;
    let server = Server::start(&["--shards", "2", "--set", &format!("limits.rooms={CAP}")]);
    let before = server.footprint();
    for wrong in [
        json!({}),
        json!([]),
        json!({"title": ""}),
        json!({"title": " \t"}),
        json!({"title": 7}),
        json!({"title": "x".repeat(257)}),
        json!({"title": "x", "cover": "javascript:alert(1)"}),
        json!({"title": "x", "cover": "//evil.example/x.png"}),
        json!({"title": "x", "cover": format!("https://{}", "x".repeat(2048))}),
        json!({"title": "x", "device_id": "a b"}),
    ] {
        let response = server.post_as("ada", "/api/v1/rooms", &wrong);
        assert_eq!(response.status, 400, "{wrong}: {}", response.text());
    }
    let create = |client: usize| {
        let mut connection = server.connect();
        let body = json!({"title": format!("Room of client {client}")}).to_string();
        let headers = [("Content-Type", "application/json"), ("X-User-Id", "ada")];
        let mut statuses = Vec::new();
        // Everybody tries a few more than there are.
        for _ in 0..CAP / CLIENTS + 5 {
            let response = connection.request("POST", "/api/v1/rooms", &headers, body.as_bytes());
            statuses.push(response.status);
        }
        statuses
    };
    let statuses: Vec<u16> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || create(client)))
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().expect("a client"))
            .collect()
    });
    let created = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!(created, CAP);
    assert!(
        statuses.iter().all(|status| matches!(status, 201 | 503)),
        "{statuses:?}"
    );
    let sentence = server
        .post_as("ada", "/api/v1/rooms", &json!({"title": "One too many"}))
        .expect(503)
        .json();
    assert!(
        sentence["error"]
            .as_str()
            .is_some_and(|s| s.contains("rooms")),
        "{sentence}"
    );

    // All of them are listed, each once, page by page.
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server
            .get(&format!("/api/v1/rooms?limit=300{cursor}"))
            .expect(200)
            .json();
        let rooms = page["rooms"].as_array().expect("a list");
        ids.extend(rooms.iter().filter_map(|room| room["id"].as_u64()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!((ids.len(), once.len()), (CAP, CAP));
    server.wait_nothing_left(&before);
}

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
        use std::io::Write;
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
    let mut loud = Member::join(&server, room, "loud");
    let content = "x".repeat(2000);
    let deadline = Instant::now() + SOON;
    // 2 kB each: its socket's buffers are full after some thousands.
    let mut sent = 0;
    while server.room(room)["viewer_count"] == 3 {
        assert!(
            Instant::now() < deadline,
            "it is still there after {sent} messages"
        );
        for _ in 0..200 {
            loud.say(&content);
            loud.message();
            sent += 1;
        }
        assert_eq!(bystander.talks().len(), 200, "the others get everything");
        loud.message();
    }
    let mut deaf = deaf;
    let mut last = 0;
    let end = loop {
        match deaf.next(SOON) {
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
    assert!(
        matches!(end, Ended::Closed(None | Some(1008))),
        "what it was sent is whole, then comes the end: {end:?}"
    );
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
