//! Sessions over HTTP: what a client that was written against the API relies on, and what a wrong one gets.

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use support::http::Response;
use support::media::Clip;
use support::publish::Publisher;
use support::server::Server;
use support::viewer::{Viewer, ViewerOptions};
use support::viewers::Viewers;
use support::{SOON, wait_until};

/// A well-formed id that no session has.
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

fn session_path(session: &Value) -> String {
    format!(
        "/api/media/sessions/{}",
        session["sessionId"].as_str().expect("an id")
    )
}

fn offer_of(session: &Value) -> &str {
    session["offer"]["sdp"].as_str().expect("an offer")
}

fn post_raw(server: &Server, target: &str, body: &[u8]) -> Response {
    server.connect().request(
        "POST",
        target,
        &[("Content-Type", "application/json")],
        body,
    )
}

fn candidate(port: usize) -> Value {
    let line = format!("candidate:1 1 udp 2130706431 192.0.2.1 {port} typ host");
    json!({"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0})
}

/// The value of an attribute's first line.
fn attribute<'a>(sdp: &'a str, name: &str) -> &'a str {
    let value = sdp
        .lines()
        .find_map(|line| line.strip_prefix(&format!("a={name}:")));
    value.unwrap_or_else(|| panic!("no a={name}:\n{sdp}"))
}

#[test]
fn a_session_is_created_with_an_offer() {
    let server = Server::start(&[]);
    let body = json!({"deviceId": "cam-1", "userId": "ada", "somethingElse": [1, 2]});
    let response = server.post("/api/media/sessions", &body).expect(201);
    let session = response.json();
    let path = session_path(&session);
    assert_eq!(response.header("Location"), Some(path.as_str()));
    assert_eq!(session["offer"]["type"], "offer");
    assert!(session["iceServers"].is_array(), "{session}");
    let id: uuid::Uuid = session["sessionId"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .expect("a UUID");
    assert_eq!(id.get_version_num(), 4);

    let sdp = offer_of(&session);
    for line in [
        "a=ice-lite",
        "a=sendonly",
        "m=application ",
        "m=audio ",
        "m=video ",
    ] {
        assert!(sdp.contains(line), "no {line}:\n{sdp}");
    }
    for codec in ["H264/90000", "VP8/90000", "opus/48000/2", "rtx/90000"] {
        assert!(sdp.contains(codec), "no {codec}:\n{sdp}");
    }
    let view = server.get(&path).expect(200).json();
    let shard = view["shard"].as_u64().expect("a number") as usize;
    let port = server.media()[shard].port().to_string();
    assert!(
        sdp.lines()
            .any(|line| line.starts_with("a=candidate:") && line.contains(&port)),
        "{sdp}"
    );

    assert_eq!(
        (&view["deviceId"], &view["userId"]),
        (&json!("cam-1"), &json!("ada"))
    );
    assert_eq!(view["state"], "new");
    assert!(
        view["createdAt"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{view}"
    );

    let mut lines = server.log().with_message("session created");
    let line = lines.pop().expect("a creation is logged");
    assert_eq!(
        (&line["session"], &line["device"]),
        (&session["sessionId"], &json!("cam-1"))
    );
    assert_eq!(
        (&line["user"], &line["shard"]),
        (&json!("ada"), &json!(shard))
    );
}

#[test]
fn a_wrong_body_is_refused_with_the_fields_name() {
    let server = Server::start(&[]);
    let before = server.footprint();
    for (body, names) in [
        (json!({}), "deviceId"),
        (json!({"deviceId": "cam-1"}), "userId"),
        (json!({"userId": "ada"}), "deviceId"),
        (json!({"deviceId": 5, "userId": "ada"}), "device id"),
        (json!({"deviceId": "", "userId": "ada"}), "device id"),
        (json!({"deviceId": "a/b", "userId": "ada"}), "device id"),
        (json!({"deviceId": "cam-1", "userId": "a b"}), "user id"),
        (
            json!({"deviceId": "x".repeat(129), "userId": "ada"}),
            "device id",
        ),
        (json!(["cam-1", "ada"]), "deviceId"),
        (json!(null), "deviceId"),
    ] {
        let sentence = server
            .post("/api/media/sessions", &body)
            .expect_error(400, "bad_body");
        let says = sentence.to_lowercase().contains(&names.to_lowercase());
        assert!(says, "{body}: {sentence:?} does not name {names}");
    }
    for body in [
        &b""[..],
        b"{",
        b"deviceId=cam-1",
        b"{\"deviceId\":\"cam-1\",\"userId\":\"\xff\"}",
        &[b'['; 5000],
    ] {
        post_raw(&server, "/api/media/sessions", body).expect_error(400, "bad_body");
    }
    let large = json!({"deviceId": "cam-1", "userId": "ada", "padding": "x".repeat(300 * 1024)});
    post_raw(&server, "/api/media/sessions", large.to_string().as_bytes())
        .expect_error(413, "body_too_large");
    server.wait_nothing_left(&before);
}

#[test]
fn a_session_lives_from_new_to_gone() {
    let server = Server::start(&[]);
    let before = server.footprint();
    let created = server.create_session("cam-1", "ada");
    let path = session_path(&created);
    let (viewer, answer) = Viewer::answer(offer_of(&created), ViewerOptions::default());
    let mut viewers = Viewers::default();
    let viewer = viewers.add(viewer);
    server
        .post(
            &format!("{path}/answer"),
            &json!({"type": "answer", "sdp": answer}),
        )
        .expect(204);
    viewers.run_until(SOON, "the viewer has its data channel", |viewers| {
        viewers[viewer].channel_label.is_some()
    });
    wait_until(SOON, "the session is connected", || {
        server.get(&path).json()["state"] == "connected"
    });

    let view = server.get(&path).json();
    assert!(
        view["lastActivityAt"].as_str() > view["createdAt"].as_str(),
        "{view}"
    );
    let stats = server.get(&format!("{path}/stats")).expect(200).json();
    for part in ["video", "audio", "connection"] {
        assert!(stats[part].is_object(), "{stats}");
    }
    for figure in [
        "fps",
        "bitrateBps",
        "packetsSent",
        "packetsLost",
        "lossRatio",
        "jitterMs",
        "nacks",
        "plis",
    ] {
        assert!(stats["video"][figure].is_number(), "{figure}: {stats}");
    }

    assert_eq!(server.delete(&path).expect(204).body, b"");
    viewers.run_until(SOON, "the viewer is told", |viewers| {
        viewers[viewer].closed.is_some()
    });
    for (method, target) in [
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("GET", format!("{path}/stats")),
    ] {
        server
            .connect()
            .request(method, &target, &[], b"")
            .expect_error(404, "unknown_session");
    }
    server
        .post(&format!("{path}/offer"), &json!({}))
        .expect_error(404, "unknown_session");
    server.wait_nothing_left(&before);
}

#[test]
fn unknown_ids_are_not_found_on_every_route() {
    let server = Server::start(&[]);
    for id in [
        NOBODY,
        "nobody",
        "..",
        "%00",
        "00000000-0000-4000-8000-00000000000g",
    ] {
        let path = format!("/api/media/sessions/{id}");
        for (method, target, body) in [
            ("GET", path.clone(), json!(null)),
            ("DELETE", path.clone(), json!(null)),
            ("GET", format!("{path}/stats"), json!(null)),
            (
                "POST",
                format!("{path}/answer"),
                json!({"type": "answer", "sdp": "v=0"}),
            ),
            ("POST", format!("{path}/ice-candidate"), candidate(5000)),
            ("POST", format!("{path}/offer"), json!({"iceRestart": true})),
        ] {
            let body = if body.is_null() {
                String::new()
            } else {
                body.to_string()
            };
            let headers = [("Content-Type", "application/json")];
            let response = server
                .connect()
                .request(method, &target, &headers, body.as_bytes());
            assert_eq!(
                response.status,
                404,
                "{method} {target}: {}",
                response.text()
            );
            assert!(response.json()["error"].is_string());
        }
    }
    server
        .get("/api/media/devices/nobody")
        .expect_error(404, "unknown_device");
}

#[test]
fn a_bad_answer_leaves_the_offer_open() {
    let server = Server::start(&[]);
    let created = server.create_session("cam-1", "ada");
    let path = format!("{}/answer", session_path(&created));
    let (viewer, answer) = Viewer::answer(offer_of(&created), ViewerOptions::default());
    for sdp in [
        "",
        "v=0",
        "nonsense",
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n",
        &"a=".repeat(20_000),
    ] {
        server
            .post(&path, &json!({"type": "answer", "sdp": sdp}))
            .expect_error(400, "bad_sdp");
    }
    // A description of some other session: no section of it fits.
    let other = answer.replace("m=video", "m=audio").replace("H264", "AV1");
    server
        .post(&path, &json!({"type": "answer", "sdp": other}))
        .expect_error(400, "bad_sdp");
    server
        .post(&path, &json!({"type": "answer"}))
        .expect_error(400, "bad_body");
    server
        .post(&path, &json!({"type": "offer", "sdp": answer}))
        .expect_error(400, "bad_body");
    let megabyte = json!({"type": "answer", "sdp": "a".repeat(1 << 20)}).to_string();
    post_raw(&server, &path, megabyte.as_bytes()).expect_error(413, "body_too_large");

    server
        .post(&path, &json!({"type": "answer", "sdp": answer}))
        .expect(204);
    let mut viewers = Viewers::default();
    let viewer = viewers.add(viewer);
    viewers.run_until(SOON, "the right answer still counts", |viewers| {
        viewers[viewer].is_connected()
    });
    server
        .post(&path, &json!({"type": "answer", "sdp": answer}))
        .expect_error(409, "no_open_offer");
    assert!(viewers[viewer].is_connected());
}

#[test]
fn a_fresh_offer_keeps_the_session_and_a_restart_changes_its_credentials() {
    let server = Server::start(&[]);
    let _publisher = Publisher::start(server.http(), "cam-1", Clip::tiny_h264());
    let created = server.create_session("cam-1", "ada");
    let path = session_path(&created);
    let (viewer, answer) = Viewer::answer(offer_of(&created), ViewerOptions::default());
    let mut viewers = Viewers::default();
    let viewer = viewers.add(viewer);
    let answer_path = format!("{path}/answer");
    server
        .post(&answer_path, &json!({"type": "answer", "sdp": answer}))
        .expect(204);
    viewers.run_until(SOON, "pictures come", |viewers| {
        viewers[viewer].pictures.len() >= 10
    });

    let mut ufrag = attribute(offer_of(&created), "ice-ufrag").to_owned();
    let mut password = attribute(offer_of(&created), "ice-pwd").to_owned();
    for (restart, body) in [
        (false, json!({})),
        (false, json!({"iceRestart": false})),
        (true, json!({"iceRestart": true})),
    ] {
        let offered = server
            .post(&format!("{path}/offer"), &body)
            .expect(200)
            .json();
        let sdp = offer_of(&offered);
        assert_eq!(attribute(sdp, "ice-ufrag") != ufrag, restart, "{body}");
        assert_eq!(attribute(sdp, "ice-pwd") != password, restart, "{body}");
        (ufrag, password) = (
            attribute(sdp, "ice-ufrag").to_owned(),
            attribute(sdp, "ice-pwd").to_owned(),
        );
        let answer = viewers[viewer].answer_again(sdp);
        server
            .post(&answer_path, &json!({"type": "answer", "sdp": answer}))
            .expect(204);
        let before = viewers[viewer].pictures.len();
        viewers.run_until(SOON, "pictures go on", |viewers| {
            viewers[viewer].pictures.len() >= before + 30
        });
    }
    assert!(
        viewers[viewer]
            .pictures
            .iter()
            .all(|picture| picture.contiguous),
        "nothing was lost on the way"
    );
    assert_eq!(server.get(&path).json()["state"], "connected");
}

#[test]
fn sessions_are_listed_page_by_page() {
    let server = Server::start(&["--shards", "2"]);
    let mut created = BTreeSet::new();
    for i in 0..25 {
        let session = server.create_session(&format!("cam-{}", i % 5), "ada");
        created.insert(session["sessionId"].as_str().expect("an id").to_owned());
    }
    let ids = |page: &Value| -> Vec<String> {
        let sessions = page["sessions"].as_array().expect("a list");
        sessions
            .iter()
            .map(|session| session["sessionId"].as_str().expect("an id").to_owned())
            .collect()
    };

    let mut listed = BTreeSet::new();
    let mut cursor = String::new();
    for page in 0..4 {
        let answer = server
            .get(&format!("/api/media/sessions?limit=8{cursor}"))
            .expect(200)
            .json();
        for id in ids(&answer) {
            assert!(listed.insert(id.clone()), "{id} twice");
        }
        assert_eq!(answer["nextCursor"].is_null(), page == 3, "{answer}");
        cursor = answer["nextCursor"]
            .as_str()
            .map(|cursor| format!("&cursor={cursor}"))
            .unwrap_or_default();
    }
    assert_eq!(listed, created);
    let whole = server.get("/api/media/sessions").expect(200).json();
    assert_eq!(
        (ids(&whole).len(), &whole["nextCursor"]),
        (25, &Value::Null)
    );
    let of_device = server
        .get("/api/media/sessions?deviceId=cam-3")
        .expect(200)
        .json();
    let sessions = of_device["sessions"].as_array().expect("a list");
    assert!(
        sessions.len() == 5
            && sessions
                .iter()
                .all(|session| session["deviceId"] == "cam-3"),
        "{of_device}"
    );
    assert_eq!(
        ids(&server
            .get("/api/media/sessions?deviceId=nobody")
            .expect(200)
            .json())
        .len(),
        0
    );

    for (query, names) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("limit=-1", "limit"),
        ("cursor=x", "cursor"),
        ("deviceId=a%20b", "deviceId"),
    ] {
        let sentence = server
            .get(&format!("/api/media/sessions?{query}"))
            .expect_error(400, "bad_parameter");
        assert!(sentence.contains(names), "{query}: {sentence}");
    }
}

#[test]
fn hostile_input_leaves_nothing_behind() {
    let server = Server::start(&[]);
    let before = server.footprint();
    let created = server.create_session("cam-1", "ada");
    let path = session_path(&created);
    for i in 0..40 {
        let device = format!("device-{i}");
        server
            .post("/api/media/sessions", &json!({"deviceId": device}))
            .expect(400);
        server
            .post(
                &format!("{path}/answer"),
                &json!({"type": "answer", "sdp": format!("v={i}")}),
            )
            .expect(400);
        server
            .post(
                &format!("/api/media/sessions/{NOBODY}/answer"),
                &json!({"type": "answer", "sdp": "v=0"}),
            )
            .expect(404);
        server
            .get(&format!("/api/media/devices/{device}"))
            .expect(404);
        post_raw(
            &server,
            &format!("{path}/ice-candidate"),
            b"{\"candidate\":",
        )
        .expect(400);
        // Half a request, and gone.
        let mut half = server.connect();
        half.send(
            b"POST /api/media/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"dev",
        )
        .expect("sent");
    }
    server.delete(&path).expect(204);
    server.wait_nothing_left(&before);
    assert_eq!(server.metrics().sum("media_panics_caught_total", &[]), 0.0);
}
