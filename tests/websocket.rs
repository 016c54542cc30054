//! The WebSockets of viewers and of device agents, and the data channel that speaks the same.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::Message;

use support::media::Clip;
use support::server::Server;
use support::viewer::{Viewer, ViewerOptions};
use support::viewers::Viewers;
use support::ws::Socket;
use support::{SOON, annexb, wait_until};

fn viewer_socket(server: &Server, device: &str, user: &str) -> Socket {
    Socket::open(
        server.http(),
        &format!("/api/media/ws?deviceId={device}&userId={user}"),
    )
}

fn agent_socket(server: &Server, device: &str) -> Socket {
    let mut agent = Socket::open(server.http(), &format!("/api/media/devices/{device}/ws"));
    agent.send(&json!({"type": "hello", "video": {"codec": "h264"}, "audio": {"codec": "opus"}}));
    wait_until(SOON, "the agent is known", || {
        server.device(device)["agent"] == true
    });
    agent
}

/// Watches over the WebSocket alone: offer, answer and a candidate go over it.
fn watch(server: &Server, viewers: &mut Viewers, device: &str, user: &str) -> (Socket, usize) {
    let mut socket = viewer_socket(server, device, user);
    let offer = socket.expect("offer");
    assert!(offer["iceServers"].is_array(), "{offer}");
    let (mut viewer, answer) = Viewer::answer(
        offer["sdp"].as_str().expect("an offer"),
        ViewerOptions::default(),
    );
    viewer.session = offer["sessionId"].as_str().expect("an id").to_owned();
    let candidate = viewer.candidate();
    let index = viewers.add(viewer);
    socket.send(&json!({"type": "answer", "sdp": answer}));
    socket.send(&json!({"type": "ice-candidate", "candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0}));
    viewers.run_until(SOON, "the viewer is connected", |viewers| {
        viewers[index].channel_label.is_some()
    });
    (socket, index)
}

#[test]
fn a_viewer_needs_nothing_but_its_websocket() {
    let server = Server::start(&[]);
    let before = server.footprint();
    let mut agent = agent_socket(&server, "phone-1");
    let mut viewers = Viewers::default();
    let (mut socket, viewer) = watch(&server, &mut viewers, "phone-1", "ada");
    let clip = Clip::tiny_h264();
    // The first picture at once and the others a second late in a burst: the agent's clock counts, not their arrival.
    agent.send_access_unit(0, 0, &clip.unit(0));
    viewers.run_for(Duration::from_secs(1));
    for number in 1..30 {
        agent.send_access_unit(0, number * 33_333, &clip.unit(number));
        viewers.turn();
    }
    viewers.run_until(SOON, "pictures come", |viewers| {
        viewers[viewer].pictures.len() >= 30
    });
    let pictures = &viewers[viewer].pictures;
    for (picture, unit) in pictures.iter().zip(&clip.units) {
        assert_eq!(annexb::slices(&picture.data), annexb::slices(unit));
    }
    let played = pictures[29].time - pictures[0].time;
    assert!((played - 29.0 * 0.033_333).abs() < 0.05, "{played} s");
    let device = server.device("phone-1");
    assert_eq!(
        (&device["publisher"]["kind"], &device["live"]),
        (&json!("agent"), &json!(true))
    );

    let stats = socket.expect("stats");
    assert!(
        stats["video"]["packetsSent"].as_u64() >= Some(30),
        "{stats}"
    );
    socket.close();
    viewers[viewer].leave();
    agent.close();
    server.wait_nothing_left(&before);
}

#[test]
fn control_reaches_the_agent_and_its_acknowledgement_the_one_who_asked() {
    let server = Server::start(&[]);
    let mut agent = agent_socket(&server, "phone-1");
    let mut viewers = Viewers::default();
    let (mut ada, ada_viewer) = watch(&server, &mut viewers, "phone-1", "ada");
    let (mut bob, bob_viewer) = watch(&server, &mut viewers, "phone-1", "bob");

    let actions = [
        json!({"action": "touch", "phase": "down", "x": 0.5, "y": 0.25, "pointer": 0}),
        json!({"action": "touch", "phase": "cancel", "x": 0, "y": 1, "pointer": 9}),
        json!({"action": "key", "code": "KeyA", "phase": "up"}),
        json!({"action": "text", "text": "Grüße \u{1f600}"}),
        json!({"action": "scroll", "x": 0.5, "y": 0.5, "dx": -3.5, "dy": 120}),
        json!({"action": "back"}),
        json!({"action": "home"}),
        json!({"action": "rotate"}),
        json!({"action": "clipboard", "text": "copied"}),
    ];
    for (number, action) in actions.iter().enumerate() {
        let mut message = action.clone();
        message["type"] = json!("control");
        message["seq"] = json!(number);
        ada.send(&message);
        let control = agent.expect("control");
        assert_eq!(control["userId"], "ada", "{control}");
        for (name, value) in action.as_object().expect("an object") {
            let same = control[name] == *value
                || control[name]
                    .as_f64()
                    .is_some_and(|v| Some(v) == value.as_f64());
            assert!(same, "{name}: {control}");
        }
        agent.send(&json!({"type": "ack", "seq": control["seq"]}));
        assert_eq!(ada.expect("ack")["seq"], number);
    }

    // Both ask with the same number at once: each gets the answer to its own.
    for socket in [&mut ada, &mut bob] {
        socket.send(&json!({"type": "control", "seq": 7, "action": "back"}));
    }
    let (first, second) = (agent.expect("control"), agent.expect("control"));
    assert_ne!(first["seq"], second["seq"], "the agent can tell them apart");
    let (of_ada, of_bob) = if first["userId"] == "ada" {
        (first, second)
    } else {
        (second, first)
    };
    agent.send(&json!({"type": "ack", "seq": of_bob["seq"]}));
    assert_eq!(bob.expect("ack")["seq"], 7);
    assert!(
        matches!(
            ada.next(Instant::now() + Duration::from_millis(200)),
            Ok(None)
        ),
        "not ada's"
    );
    agent.send(&json!({"type": "ack", "seq": of_ada["seq"]}));
    assert_eq!(ada.expect("ack")["seq"], 7);

    // The data channel speaks the same, and is answered where it asked.
    assert!(viewers[bob_viewer].send_text(r#"{"type":"control","seq":8,"action":"home"}"#));
    viewers.run_for(Duration::from_millis(50));
    let control = agent.expect("control");
    assert_eq!(
        (&control["action"], &control["userId"]),
        (&json!("home"), &json!("bob"))
    );
    agent.send(&json!({"type": "ack", "seq": control["seq"]}));
    viewers.run_until(SOON, "the channel acknowledges", |viewers| {
        viewers[bob_viewer]
            .texts
            .iter()
            .any(|text| text == r#"{"type":"ack","seq":8}"#)
    });
    assert!(
        viewers[ada_viewer].texts.is_empty(),
        "{:?}",
        viewers[ada_viewer].texts
    );
}

#[test]
fn control_round_trips_take_well_under_50_ms() {
    let server = Server::start(&[]);
    let mut agent = agent_socket(&server, "phone-1");
    let mut viewer = viewer_socket(&server, "phone-1", "ada");
    viewer.expect("offer");
    let mut trips: Vec<Duration> = (0..50)
        .map(|seq| {
            let begin = Instant::now();
            viewer.send(&json!({"type": "control", "seq": seq, "action": "back"}));
            let control = agent.expect("control");
            agent.send(&json!({"type": "ack", "seq": control["seq"]}));
            assert_eq!(viewer.expect("ack")["seq"], seq);
            begin.elapsed()
        })
        .collect();
    trips.sort();
    println!(
        "control round trip: median {:?}, longest {:?}",
        trips[25], trips[49]
    );
    assert!(trips[25] < Duration::from_millis(50), "{trips:?}");
}

#[test]
fn without_an_agent_the_viewer_is_told() {
    let server = Server::start(&[]);
    let mut viewer = viewer_socket(&server, "cam-1", "ada");
    viewer.expect("offer");
    viewer.send(&json!({"type": "control", "seq": 3, "action": "home"}));
    let error = viewer.expect("error");
    assert_eq!(
        (&error["code"], &error["seq"]),
        (&json!("no_agent"), &json!(3)),
        "{error}"
    );

    // An agent that leaves is no agent.
    let agent = agent_socket(&server, "cam-1");
    agent.close();
    wait_until(SOON, "the agent is gone", || {
        server.device("cam-1")["agent"] == false
    });
    viewer.send(&json!({"type": "control", "seq": 4, "action": "home"}));
    assert_eq!(viewer.expect("error")["code"], "no_agent");
}

#[test]
fn what_is_wrong_gets_an_error_and_the_viewer_stays() {
    let server = Server::start(&[]);
    let _agent = agent_socket(&server, "phone-1");
    let mut viewer = viewer_socket(&server, "phone-1", "ada");
    viewer.expect("offer");
    for wrong in [
        "",
        "{",
        "[]",
        "null",
        r#"{"type":"nonsense"}"#,
        r#"{"type":"control"}"#,
        r#"{"type":"control","seq":1,"action":"explode"}"#,
        r#"{"type":"control","seq":1,"action":"touch","phase":"down","x":1.5,"y":0}"#,
        r#"{"type":"control","seq":-1,"action":"home"}"#,
        r#"{"type":"control","seq":1,"action":"key","code":"","phase":"down"}"#,
        r#"{"type":"answer","sdp":"v=0"}"#,
        r#"{"type":"ice-candidate","candidate":"candidate:nonsense"}"#,
    ] {
        viewer.send_text(wrong);
        let error = viewer.expect("error");
        assert!(
            error["code"].is_string() && error["error"].is_string(),
            "{wrong}: {error}"
        );
    }
    viewer
        .try_send(Message::binary(vec![1, 2, 3]))
        .expect("the server reads");
    viewer.expect("error");
    viewer.send(&json!({"type": "offer", "iceRestart": true}));
    viewer.expect("offer");
}

#[test]
fn a_message_that_is_too_large_closes_the_connection() {
    let server = Server::start(&[]);
    let before = server.footprint();
    let mut viewer = viewer_socket(&server, "cam-1", "ada");
    viewer.expect("offer");
    let _ = viewer.try_send(Message::text("x".repeat(513 * 1024)));
    assert_eq!(viewer.closed(), Some(1009));
    wait_until(SOON, "the connection is gone", || {
        server.footprint().websockets == 0
    });
    let sessions = server.get("/api/media/sessions").json();
    for session in sessions["sessions"].as_array().expect("a list") {
        server
            .delete(&format!(
                "/api/media/sessions/{}",
                session["sessionId"].as_str().expect("an id")
            ))
            .expect(204);
    }
    server.wait_nothing_left(&before);
}

#[test]
fn upgrades_are_refused_with_the_right_status() {
    let server = Server::start(&[]);
    let _agent = agent_socket(&server, "phone-1");
    let nobody = "00000000-0000-4000-8000-000000000000";
    for (target, status) in [
        ("/api/media/ws?userId=ada".to_owned(), 400),
        ("/api/media/ws?deviceId=a%20b&userId=ada".to_owned(), 400),
        (format!("/api/media/ws?sessionId={nobody}&userId=ada"), 404),
        ("/api/media/ws?sessionId=nobody&userId=ada".to_owned(), 404),
        ("/api/media/devices/phone-1/ws".to_owned(), 409),
        ("/api/media/nothing".to_owned(), 404),
    ] {
        let refused = Socket::try_open(server.http(), &target, &[])
            .err()
            .unwrap_or_else(|| panic!("{target} is taken"));
        assert_eq!(refused.status, status, "{target}: {}", refused.body);
        assert!(
            refused.body["error"].is_string(),
            "{target}: {}",
            refused.body
        );
    }
    server
        .get("/api/media/ws?deviceId=cam-1&userId=ada")
        .expect_error(426, "upgrade_required");
}

#[test]
fn a_session_made_over_http_may_be_joined_by_websocket() {
    let server = Server::start(&[]);
    let _agent = agent_socket(&server, "phone-1");
    let created = server.create_session("phone-1", "ada");
    let session = created["sessionId"].as_str().expect("an id");
    let mut socket = Socket::open(
        server.http(),
        &format!("/api/media/ws?sessionId={session}&userId=ada"),
    );
    let (_, answer) = Viewer::answer(
        created["offer"]["sdp"].as_str().expect("an offer"),
        ViewerOptions::default(),
    );
    socket.send(&json!({"type": "answer", "sdp": answer}));
    let path = format!("/api/media/sessions/{session}");
    wait_until(SOON, "the answer counts", || {
        server.get(&path).expect(200).json()["state"] != "new"
    });
    let again = json!({"type": "answer", "sdp": answer});
    server
        .post(&format!("{path}/answer"), &again)
        .expect_error(409, "no_open_offer");
    server.delete(&path).expect(204);
    let closing = socket.expect("closing");
    assert!(
        closing["reason"]
            .as_str()
            .is_some_and(|reason| !reason.is_empty()),
        "{closing}"
    );
    assert_eq!(socket.closed(), Some(1001));
}

#[test]
fn keyframes_are_asked_of_the_agent_not_more_often_than_needed() {
    let server = Server::start(&[]);
    let mut agent = agent_socket(&server, "phone-1");
    let clip = Clip::tiny_h264();
    let mut viewers = Viewers::default();
    let all: Vec<usize> = (0..5)
        .map(|_| viewers.join(server.http(), "phone-1", ViewerOptions::default()))
        .collect();
    for number in 0..20 {
        agent.send_access_unit(0, number * 33_333, &clip.unit(number));
        viewers.turn();
    }
    viewers.run_until(SOON, "everybody sees", |viewers| {
        viewers.iter().all(|viewer| viewer.pictures.len() >= 15)
    });
    for viewer in all {
        viewers[viewer].ask_for_keyframe();
    }
    viewers.run_for(Duration::from_millis(300));
    let mut asked = 0;
    while let Ok(Some(message)) = agent.next(Instant::now() + Duration::from_millis(200)) {
        let message: Value = message
            .to_text()
            .ok()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        asked += u32::from(message["type"] == "keyframe");
    }
    assert!(
        (1..=2).contains(&asked),
        "asked {asked} times for five viewers"
    );
}

#[test]
fn an_agent_must_speak_the_protocol() {
    let server = Server::start(&[]);
    let mut agent = Socket::open(server.http(), "/api/media/devices/phone-1/ws");
    agent.send_access_unit(0, 0, &Clip::tiny_h264().units[0]);
    assert!(
        agent.expect("error")["error"]
            .as_str()
            .is_some_and(|sentence| sentence.contains("hello"))
    );
    agent.send(&json!({"type": "hello", "video": {"codec": "av1"}}));
    agent.expect("error");
    agent.send(&json!({"type": "hello", "video": {"codec": "h264"}}));
    for wrong in [
        vec![],
        vec![0; 8],
        vec![7; 20],
        [&[0; 9][..], b"not a picture"].concat(),
    ] {
        agent
            .try_send(Message::binary(wrong))
            .expect("the server reads");
        agent.expect("error");
    }
    assert_ne!(server.device("phone-1")["live"], true);
    agent.send_access_unit(0, 0, &Clip::tiny_h264().units[0]);
    wait_until(SOON, "a picture makes it live", || {
        server.device("phone-1")["live"] == true
    });
    agent.close();
    wait_until(SOON, "the device is not live any more", || {
        server.device("phone-1")["live"] == false
    });
}

#[test]
fn a_client_that_does_not_answer_pings_is_dropped() {
    let pulse = [
        "--set",
        "ws.ping_interval=500ms",
        "--set",
        "ws.pong_timeout=1s",
    ];
    let server = Server::start(&pulse);
    let mut alive = viewer_socket(&server, "cam-1", "ada");
    let dead = viewer_socket(&server, "cam-1", "bob"); // never reads, so never answers
    wait_until(SOON, "one of them is gone", || {
        let _ = alive.next(Instant::now() + Duration::from_millis(50)); // reading answers pings
        server.footprint().websockets == 1
    });
    let pinged = server.metrics().sum(
        "media_websocket_messages_total",
        &[("type", "ping"), ("direction", "out")],
    );
    assert!(pinged >= 2.0);
    alive.send(&json!({"type": "control", "seq": 1, "action": "home"}));
    alive.expect("error");
    drop(dead);
}

#[test]
fn messages_are_counted_by_type_and_direction() {
    let server = Server::start(&[]);
    let mut viewer = viewer_socket(&server, "cam-1", "ada");
    viewer.expect("offer");
    for seq in 0..3 {
        viewer.send(&json!({"type": "control", "seq": seq, "action": "home"}));
        viewer.expect("error");
    }
    let metrics = server.metrics();
    let count = |kind, direction| {
        metrics.sum(
            "media_websocket_messages_total",
            &[("type", kind), ("direction", direction)],
        )
    };
    assert_eq!(
        (
            count("control", "in"),
            count("error", "out"),
            count("offer", "out")
        ),
        (3.0, 3.0, 1.0)
    );
    assert_eq!(metrics.get("media_websocket_connections", &[]), Some(1.0));
}
