//! Live rooms with client libraries of other makes: `websockets` for Python, and the WebSocket that Node has.

mod support;

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use support::media::file;
use support::python;
use support::server::{Server, run_to_end};

/// Plays a scene of `tests/rooms/clients.py` and gives what it saw.
fn scene(server: &Server, name: &str, arguments: &[&str]) -> Value {
    let output = python::script("tests/rooms/clients.py")
        .args(["--base", &format!("http://{}", server.http()), name])
        .args(arguments)
        .output()
        .expect("Python runs; see .ci/run for what this test needs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

#[test]
#[ignore = "needs Python with websockets"]
fn two_members_talk() {
    let server = Server::start(&["--shards", "2"]);
    let before = server.footprint();
    let seen = scene(&server, "talk", &[]);
    assert_eq!(seen["hello"][0]["seq"], 0, "{}", seen["hello"]);
    for (kind, seq) in [("danmu", 1), ("gift", 2), ("like", 3)] {
        let [of_ada, of_bob] = [0, 1].map(|member| &seen[kind][member]);
        assert_eq!(of_ada, of_bob, "both see the same");
        assert_eq!(
            (&of_ada["user_id"], &of_ada["seq"]),
            (&json!("ada"), &json!(seq))
        );
        assert!(
            of_ada["timestamp"].as_u64() > Some(1_700_000_000_000),
            "{of_ada}"
        );
        assert_eq!(
            of_ada["trace_id"].as_str().map(str::len),
            Some(32),
            "{of_ada}"
        );
    }
    assert_eq!(seen["danmu"][0]["content"], "Grüße, 世界 \u{1f600}");
    assert_eq!(seen["gift"][0]["data"], json!({"value": 5, "count": 2}));
    for ack in ["ack", "ack_again"] {
        assert_eq!(seen[ack], json!({"type": "ack", "id": "b-1", "seq": 4}));
    }
    for error in ["binary", "unknown"] {
        assert!(seen[error]["error"].as_str() > Some(""), "{}", seen[error]);
    }

    let viewers = seen["viewers"]["viewers"].as_array().expect("a list");
    let mut users: Vec<_> = viewers
        .iter()
        .map(|viewer| viewer["user_id"].clone())
        .collect();
    users.sort_by_key(ToString::to_string);
    assert_eq!(users, ["ada", "bob"]);
    assert_eq!(seen["hot"]["rooms"][0]["title"], "Talk", "{}", seen["hot"]);
    assert_eq!(
        seen["online"],
        json!({"users": 2, "connections": 2, "rooms_live": 1})
    );
    let stored = seen["messages"]["messages"].as_array().expect("a list");
    let seqs: Vec<_> = stored
        .iter()
        .map(|message| message["seq"].as_u64())
        .collect();
    assert_eq!(seqs, [Some(1), Some(2), Some(3), Some(4)]);
    assert_eq!(seen["joined"]["viewer_count"], 3, "{}", seen["joined"]);
    assert_eq!(seen["left"]["viewer_count"], 2, "{}", seen["left"]);

    assert_eq!(
        (&seen["stopped"]["status"], &seen["stopped"]["viewer_count"]),
        (&json!(2), &json!(2))
    );
    for member in [0, 1] {
        assert!(
            seen["closing"][member]["reason"].as_str() > Some(""),
            "{}",
            seen["closing"]
        );
        assert_eq!(seen["closed"][member][0], 1000, "{}", seen["closed"]);
    }
    server.wait_nothing_left(&before);
}

#[test]
#[ignore = "needs Python with websockets"]
fn a_member_that_comes_and_goes_misses_nothing() {
    let seed = std::process::id().to_string();
    let server = Server::start(&["--shards", "2", "--set", "rooms.member_rate=0"]);
    let before = server.footprint();
    let result = scene(&server, "reconnect", &["--rate", "500", "--seed", &seed]);
    let sent = result["sent"].as_u64().expect("a number");
    println!("seed {seed}, {sent} messages");
    assert!(sent > 2000, "{sent} messages in 8 s");
    for reader in result["readers"].as_array().expect("readers") {
        let seen = reader["seen"].as_array().expect("numbers");
        let seen: Vec<u64> = seen.iter().filter_map(Value::as_u64).collect();
        let first = *seen.first().expect("it saw something");
        let expected: Vec<u64> = (first..=sent).collect();
        let fault = seen
            .iter()
            .zip(&expected)
            .find(|(seen, expected)| seen != expected);
        assert_eq!(
            fault, None,
            "gap or duplicate (seen, expected), seed {seed}"
        );
        assert_eq!(seen.len(), expected.len(), "all to the end, seed {seed}");
        assert_eq!(reader["truncated"], 0);
        assert!(
            reader["visits"].as_u64() > Some(5),
            "{} visits",
            reader["visits"]
        );
    }
    server.wait_nothing_left(&before);
}

/// A secret of a test.
const SECRET: &str = "a secret of forty bytes for tests, no more";

#[test]
#[ignore = "needs Python with websockets"]
fn a_room_asks_for_tokens() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("media-service.toml");
    std::fs::write(&config, format!("[auth]\njwt_secret = \"{SECRET}\"\n")).expect("a file");
    let config = config.to_str().expect("UTF-8");
    let server = Server::start(&["--config", config, "--shards", "2"]);
    let token = |sub: &str, role: &str, ttl: &str| {
        let arguments = [
            "token", "--config", config, "--sub", sub, "--role", role, "--ttl", ttl,
        ];
        let (status, token, errors) = run_to_end(&arguments);
        assert!(status.success(), "{errors}");
        token.trim().to_owned()
    };
    let claims = json!({"sub": "bob", "role": "viewer", "exp": 1_700_000_000});
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let expired = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key);
    let seen = scene(
        &server,
        "tokens",
        &[
            "--anchor",
            &token("ada", "anchor", "1h"),
            "--other",
            &token("eve", "anchor", "1h"),
            "--viewer",
            &token("bob", "viewer", "1h"),
            "--brief",
            &token("cleo", "viewer", "4s"),
            "--expired",
            &expired.expect("a token"),
        ],
    );
    assert_eq!(seen["viewer"], 101, "{seen}");
    for refused in ["none", "expired", "forged", "garbage"] {
        assert_eq!(seen[refused], 401, "{refused}: {seen}");
    }
    assert_eq!(seen["user"], "bob", "the token says who it is");
    assert_eq!(seen["viewer_stops"], 403);
    assert_eq!(seen["other_stops"], 403, "an anchor, of other rooms");
    assert_eq!(seen["system"], "forbidden");
    assert_eq!(seen["oversize"], 1009);
    assert!(seen["end_of_token"]["reason"].as_str() > Some(""), "{seen}");
    assert_eq!(seen["end_of_token_code"], 1008);
    let log = server.log().text();
    for secret in [SECRET, "eyJ"] {
        assert!(!log.contains(secret), "the log holds {secret}");
    }
}

#[test]
#[ignore = "needs Node with a WebSocket of its own (20 or later)"]
fn node_talks_too() {
    let server = Server::start(&["--shards", "2"]);
    let room = server.live_room("ada", "Node");
    // Node 22 has it without the flag, Node 20 behind it.
    let node = |script: &[&str]| {
        Command::new("node")
            .arg("--experimental-websocket")
            .args(script)
            .stdin(Stdio::null())
            .output()
            .expect("node runs; see .ci/run for what this test needs")
    };
    let check = "process.exit(typeof WebSocket === 'undefined' ? 1 : 0)";
    if !node(&["-e", check]).status.success() {
        println!("not run: this Node has no WebSocket");
        return;
    }
    let base = format!("ws://{}", server.http());
    let script = file("tests/rooms/client.mjs");
    let script = script.to_str().expect("UTF-8");
    let output = node(&[script, &base, &room.to_string()]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let result: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    let seen = result["seen"].as_array().expect("messages");
    let types: Vec<_> = seen.iter().map(|message| message["type"].clone()).collect();
    assert_eq!(types, ["hello", "danmu", "ack", "closing"], "{result}");
    assert_eq!(seen[1]["content"], "Grüße aus Node \u{1f600}");
    assert_eq!(seen[2], json!({"type": "ack", "id": 1, "seq": 1}));
    assert_eq!(
        (&result["code"], &result["wasClean"]),
        (&json!(1000), &json!(true)),
        "{result}"
    );
}
