//! What a token may: roles, devices, sessions, rooms.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::Message;

use super::refused;
use super::support::SOON;
use super::support::http;
use super::support::tokens::{ask, get, start, token, with_secret};
use super::support::viewer::{Viewer, ViewerOptions};
use super::support::viewers::Viewers;
use super::support::ws::Socket;

/// A look at a socket between two turns of the viewers.
const LOOK: Duration = Duration::from_millis(2);

#[test]
fn roles_and_devices_bound_what_a_token_may() {
    let file = with_secret();
    let server = start(&file);
    let of = |user: &str, role: &str| token(&file, &["--sub", user, "--role", role]);
    let (ada, eve) = (of("ada", "viewer"), of("eve", "anchor"));
    let root = of("root", "admin");

    let body = json!({"deviceId": "cam-1", "userId": "ada"});
    let create = |token: &str| {
        ask(
            &server,
            "POST",
            "/api/media/sessions",
            token,
            Some(body.clone()),
        )
    };
    create(&eve).expect_error(403, "forbidden");
    let created = create(&ada).expect(201).json();
    let session = created["sessionId"].as_str().expect("an id").to_owned();
    let target = format!("/api/media/sessions/{session}");
    for (method, leaf) in [
        ("GET", ""),
        ("GET", "/stats"),
        ("POST", "/offer"),
        ("DELETE", ""),
    ] {
        let foreign = ask(&server, method, &format!("{target}{leaf}"), &eve, None);
        let sentence = foreign.expect_error(403, "forbidden");
        assert!(sentence.contains("belongs to another user"), "{sentence}");
    }
    refused(
        Socket::try_open(
            server.http(),
            &format!("/api/media/ws?sessionId={session}&token={eve}"),
            &[],
        ),
        403,
        "forbidden",
    );
    get(&server, &target, &root).expect(200);
    let sentence = get(&server, "/api/media/sessions", &ada).expect_error(403, "forbidden");
    assert_eq!(
        sentence,
        "this needs the role admin, and the token's is viewer"
    );
    get(&server, "/api/media/sessions", &root).expect(200);
    ask(&server, "DELETE", &target, &ada, None).expect(204);

    // Publishing takes an anchor, and is refused before the body.
    let video = |token: &str, device: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "video/h264"),
        ];
        let target = format!("/api/media/devices/{device}/video");
        http::request(server.http(), "PUT", &target, &headers, b"")
    };
    video(&ada, "cam-1").expect_error(403, "forbidden");
    assert_ne!(video(&eve, "cam-1").status, 403);
    let shop = token(
        &file,
        &[
            "--sub",
            "shop",
            "--role",
            "anchor",
            "--devices",
            "shop-*,till",
        ],
    );
    let sentence = video(&shop, "cam-1").expect_error(403, "forbidden");
    assert_eq!(sentence, "the token is not good for this device");
    assert_ne!(video(&shop, "shop-1").status, 403);
    assert_ne!(video(&shop, "till").status, 403);
}

#[test]
fn only_a_controller_controls() {
    let file = with_secret();
    let server = start(&file);
    let anchor = token(&file, &["--sub", "phone", "--role", "anchor"]);
    let agent = format!("/api/media/devices/phone-1/ws?token={anchor}");
    let mut agent = Socket::open(server.http(), &agent);
    agent.send(&json!({"type": "hello"}));
    let control = json!({"type": "control", "seq": 7, "action": "back"});
    let mut viewers = Viewers::default();
    let mut watch = |role: &str| {
        let token = token(&file, &["--sub", "ada", "--role", role]);
        let target = format!("/api/media/ws?deviceId=phone-1&token={token}");
        let mut socket = Socket::open(server.http(), &target);
        let offer = socket.expect("offer");
        let sdp = offer["sdp"].as_str().expect("an offer");
        let (viewer, answer) = Viewer::answer(sdp, ViewerOptions::default());
        let candidate = viewer.candidate();
        let index = viewers.add(viewer);
        socket.send(&json!({"type": "answer", "sdp": answer}));
        socket.send(&json!({"type": "ice-candidate", "candidate": candidate}));
        viewers.run_until(SOON, "the data channel is open", |viewers| {
            viewers[index].channel_label.is_some()
        });
        socket.send(&control);
        assert!(viewers[index].send_text(&control.to_string()));
        (socket, index)
    };
    let (mut viewer, of_viewer) = watch("viewer");
    let (mut controller, of_controller) = watch("controller");

    let refused = |error: &Value| {
        assert_eq!(error["code"], "forbidden", "{error}");
        assert_eq!(error["seq"], 7, "{error}");
    };
    refused(&viewer.expect("error"));
    viewers.run_until(SOON, "both data channels are answered", |viewers| {
        // Of the controller's two messages either may come first; both get their answer.
        if let Ok(Some(Message::Text(text))) = agent.next(Instant::now() + LOOK) {
            let asked: Value = serde_json::from_str(&text).expect("JSON");
            if asked["type"] == "control" {
                assert_eq!(asked["userId"], "ada");
                agent.send(&json!({"type": "ack", "seq": asked["seq"]}));
            }
        }
        [of_viewer, of_controller]
            .iter()
            .all(|&index| !viewers[index].texts.is_empty())
    });
    assert_eq!(controller.expect("ack")["seq"], 7);
    let text = |index: usize| serde_json::from_str::<Value>(&viewers[index].texts[0]);
    refused(&text(of_viewer).expect("JSON"));
    assert_eq!(text(of_controller).expect("JSON")["type"], "ack");
}

#[test]
fn a_room_is_its_anchors_and_members_leave_with_their_token() {
    let file = with_secret();
    let server = start(&file);
    let of = |user: &str, role: &str, ttl: &str| {
        token(&file, &["--sub", user, "--role", role, "--ttl", ttl])
    };
    let (ada, eve) = (of("ada", "anchor", "1h"), of("eve", "anchor", "1h"));
    let bob = of("bob", "viewer", "2s");
    let post = |target: &str, token: &str, body| ask(&server, "POST", target, token, body);

    let room = json!({"title": "Chess"});
    post("/api/v1/rooms", &bob, Some(room.clone())).expect_error(403, "forbidden");
    let room = post("/api/v1/rooms", &ada, Some(room)).expect(201).json();
    assert_eq!(room["anchor_id"], "ada");
    let target = format!("/api/v1/rooms/{}", room["id"]);
    let start = format!("{target}/start");
    post(&start, &eve, None).expect_error(403, "forbidden");
    post(&start, &ada, None).expect(200);
    get(&server, &target, &bob).expect(200);

    let socket = format!("/ws?room_id={}", room["id"]);
    refused(
        Socket::try_open(server.http(), &socket, &[]),
        401,
        "no_token",
    );
    let mut socket = Socket::open(server.http(), &format!("{socket}&token={bob}"));
    socket.expect("hello");
    socket.send(&json!({"type": "danmu", "content": "hello"}));
    assert_eq!(socket.expect("danmu")["user_id"], "bob");
    let closing = socket.expect("closing");
    assert_eq!(closing["reason"], "the token has expired", "{closing}");
    assert_eq!(socket.closed(), Some(1008));
    let stop = format!("{target}/stop");
    post(&stop, &eve, None).expect_error(403, "forbidden");
    post(&stop, &of("root", "admin", "1h"), None).expect(200);
}
