//! What live rooms refuse, from members and over HTTP; and that nobody else hears of it.

mod support;

use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use tungstenite::Message;

use support::rooms::{Bystander, Member};
use support::server::Server;
use support::ws::Socket;
use support::{SOON, wait_until};

/// A message larger than this closes the connection.
const MESSAGE_BYTES: usize = 512 << 10;

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
        (danmu(" \t\u{3000}"), "bad_message"),
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
        // The same with an id, where there is room for one.
        if let Ok(Value::Object(mut named)) = serde_json::from_str(&message)
            && !named.contains_key("id")
            && message.len() < MESSAGE_BYTES - 100
        {
            named.insert("id".to_owned(), json!("m-1"));
            member.socket.send(&json!(named));
            assert_eq!(error(&mut member)["id"], "m-1", "{shown}");
        }
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
        " .",
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
    // Titles are data too, in one plain line.
    let plain = |text: &str| !text.contains(['\u{1b}', '\u{202e}', '\n']);
    for content in contents
        .iter()
        .filter(|content| !content.trim().is_empty() && plain(content))
    {
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
    let room = server.create_room("ada", "Morning");
    for query in [
        "last=0",
        "last=501",
        "last=x",
        "last=5&after=1",
        "last=5&epoch=1",
        "last=5&limit=1",
        "last=5&cursor=1.1",
        "cursor=",
        "cursor=1",
        "cursor=1.x",
        "cursor=1.2.3",
        "cursor=1.2&after=1",
        "cursor=1.2&epoch=1",
    ] {
        let target = format!("/api/v1/rooms/{room}/messages?{query}");
        server.get(&target).expect_error(400, "bad_parameter");
    }
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
    const CAP: usize = 2000;
    const CLIENTS: usize = 16;
    let cap = format!("limits.rooms={CAP}");
    let own = "limits.rooms_per_anchor=0";
    let server = Server::start(&["--shards", "2", "--set", &cap, "--set", own]);
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
    // Two shards that admit at the same instant may pass it by one.
    assert!((CAP..=CAP + 1).contains(&created), "{created}");
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
    assert_eq!((ids.len(), once.len()), (created, created));
    server.wait_nothing_left(&before);
}
