//! The viewers' and agents' WebSockets.

use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::Message;

use simulation::support::media::Clip;
use simulation::{Sim, Socket, head, request};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// Nobody connects a peer for these sockets.
const HOUR: Duration = Duration::from_secs(3_600);

fn agent(sim: &mut Sim, shard: usize, device: &str) -> Socket {
    let mut agent = sim.open(shard, &format!("/api/media/devices/{device}/ws"));
    let hello = json!({"type": "hello", "video": {"codec": "h264"}, "audio": {"codec": "opus"}});
    agent.send(sim, &hello);
    agent
}

/// A viewer's socket, and its session.
fn viewer(sim: &mut Sim, shard: usize, device: &str, user: &str) -> (Socket, String) {
    let target = format!("/api/media/ws?deviceId={device}&userId={user}");
    let mut viewer = sim.open(shard, &target);
    let offer = viewer.expect(sim, "offer");
    (viewer, offer["sessionId"].as_str().unwrap().to_owned())
}

fn status(sim: &mut Sim, target: &str) -> u16 {
    let client = sim.connect(0);
    let response = sim.get(client, target);
    sim.wire(client).reset = true;
    response.status
}

fn back(seq: u64) -> Value {
    json!({"type": "control", "seq": seq, "action": "back"})
}

#[test]
fn an_acknowledgement_reaches_the_one_who_asked() {
    let mut sim = Sim::new(2, 1);
    let device = sim.device_on(1);
    let mut agent = agent(&mut sim, 0, &device);
    let (mut ada, _) = viewer(&mut sim, 0, &device, "ada");
    let (mut bob, _) = viewer(&mut sim, 1, &device, "bob");
    ada.send(&mut sim, &back(7));
    let first = agent.expect(&mut sim, "control");
    bob.send(
        &mut sim,
        &json!({"type": "control", "seq": 7, "action": "home"}),
    );
    let second = agent.expect(&mut sim, "control");
    assert_eq!(
        (&first["userId"], &first["action"]),
        (&json!("ada"), &json!("back"))
    );
    assert_eq!(
        (&second["userId"], &second["action"]),
        (&json!("bob"), &json!("home"))
    );

    agent.send(&mut sim, &json!({"type": "ack", "seq": second["seq"]}));
    assert_eq!(bob.expect(&mut sim, "ack")["seq"], 7);
    assert!(
        ada.listen(&mut sim, SECOND)
            .iter()
            .all(|message| message["type"] != "ack")
    );
    agent.send(&mut sim, &json!({"type": "ack", "seq": first["seq"]}));
    assert_eq!(ada.expect(&mut sim, "ack")["seq"], 7);
}

#[test]
fn viewers_cannot_get_an_agent_dropped() {
    let mut sim = Sim::new(1, 12);
    let device = sim.device_on(0);
    let mut agent = agent(&mut sim, 0, &device);
    let (mut ada, _) = viewer(&mut sim, 0, &device, "ada");
    sim.wire(agent.client).window = 0;
    let text = "x".repeat(10_000);
    for seq in 0..100 {
        let message = json!({"type": "control", "seq": seq, "action": "text", "text": text});
        ada.send(&mut sim, &message);
    }
    // The agent's link takes nothing: what does not fit is refused, in words.
    let refused = ada.expect(&mut sim, "error");
    assert_eq!(refused["code"], "agent_busy", "{refused}");
    let held = sim.metrics().sum("media_outbound_buffer_bytes", &[]);
    assert!(held < 128.0 * 1024.0, "{held} B wait for the agent");

    sim.wire(agent.client).window = usize::MAX;
    assert_eq!(agent.expect(&mut sim, "control")["text"], text);
    agent.listen(&mut sim, SECOND);
    ada.send(&mut sim, &back(1000));
    let all = agent.listen(&mut sim, SECOND);
    assert!(all.iter().any(|message| message["action"] == "back"));
}

#[test]
fn agents_come_and_go() {
    let mut sim = Sim::new(2, 2);
    let device = sim.device_on(1);
    let (mut viewer, _) = viewer(&mut sim, 0, &device, "ada");
    let no_agent = |viewer: &mut Socket, sim: &mut Sim, seq| {
        viewer.send(sim, &back(seq));
        let error = viewer.expect(sim, "error");
        assert_eq!(
            (&error["code"], &error["seq"]),
            (&json!("no_agent"), &json!(seq))
        );
    };
    no_agent(&mut viewer, &mut sim, 1);
    let first = agent(&mut sim, 0, &device);
    let target = format!("/api/media/devices/{device}/ws");
    let Err(second) = sim.try_open(1, &target, &[]) else {
        panic!("a second agent")
    };
    second.expect_error(409, "agent_busy");
    first.vanish(&mut sim);
    sim.run_for(20 * MS);
    no_agent(&mut viewer, &mut sim, 2);
    let mut third = agent(&mut sim, 1, &device);
    viewer.send(&mut sim, &back(3));
    third.expect(&mut sim, "control");
}

#[test]
fn an_agent_is_told_once_that_another_publisher_holds_its_track() {
    let mut sim = Sim::new(1, 13);
    let (device, clip) = (sim.device_on(0), Clip::tiny_h264());
    let mut agent = agent(&mut sim, 0, &device);
    agent.send_media(&mut sim, 0, 0, &clip.unit(0));
    sim.run_for(20 * MS);
    let client = sim.connect(0);
    let target = format!("/api/media/devices/{device}/video?takeover=true");
    let body = [("Content-Type", "video/h264"), ("Content-Length", "100000")];
    sim.send(client, head("PUT", &target, &body));
    sim.run_for(20 * MS);
    for number in 1..20 {
        agent.send_media(&mut sim, 0, number * 33_000, &clip.unit(number));
    }
    let told = agent.listen(&mut sim, SECOND);
    let busy = told
        .iter()
        .filter(|message| message["code"] == "device_busy");
    assert_eq!(busy.count(), 1, "{told:?}");
    // The track is free again: the agent goes on by itself, and may be told once more.
    sim.wire(client).reset = true;
    sim.run_for(20 * MS);
    agent.send_media(&mut sim, 0, 1_000_000, &clip.unit(0));
    assert!(agent.listen(&mut sim, SECOND).is_empty());
}

#[test]
fn an_agents_pictures_are_watched_and_keyframes_asked_of_it() {
    let mut sim = Sim::new(2, 3);
    let (device, clip) = (sim.device_on(1), Clip::tiny_h264());
    let mut agent = agent(&mut sim, 0, &device);
    let (mut socket, _) = viewer(&mut sim, 0, &device, "ada");
    // The offer was read; ask for it again.
    socket.send(&mut sim, &json!({"type": "offer"}));
    let offer = socket.expect(&mut sim, "offer");
    let (id, mut answer) = sim.answer_offer(offer["sdp"].as_str().unwrap());
    answer["type"] = "answer".into();
    socket.send(&mut sim, &answer);
    sim.expect_connected(id);
    for number in 0..60 {
        agent.send_media(&mut sim, 0, 33_333 * number, &clip.unit(number));
        sim.run_for(33 * MS);
    }
    assert!(sim.viewers[id.0].video().count() >= 59);
    while agent.poll(&mut sim).is_some() {}
    let now = sim.now;
    sim.viewers[id.0].request_keyframe(now);
    agent.expect(&mut sim, "keyframe");

    agent.vanish(&mut sim);
    sim.run_for(20 * MS);
    let client = sim.connect(0);
    let view = sim
        .get(client, &format!("/api/media/devices/{device}"))
        .expect(200)
        .json();
    assert_eq!(
        (&view["live"], &view["agent"]),
        (&json!(false), &json!(false))
    );
}

#[test]
fn quality_is_told_every_5_seconds() {
    let mut sim = Sim::new(1, 4);
    let (mut viewer, _) = viewer(&mut sim, 0, "cam-1", "ada");
    let stats = viewer.listen(&mut sim, 26 * SECOND);
    assert_eq!(stats.len(), 5, "{stats:?}");
    for message in stats {
        assert_eq!(message["type"], "stats");
        assert_eq!(message["video"]["fps"], 0.0);
    }
}

#[test]
fn a_viewer_that_reads_nothing_is_dropped_and_nobody_else() {
    let mut sim = Sim::new(1, 5);
    let (deaf, _) = viewer(&mut sim, 0, "cam-1", "deaf");
    let (mut other, _) = viewer(&mut sim, 0, "cam-1", "other");
    let stalled = sim.now;
    sim.wire(deaf.client).window = 0;
    other.listen(&mut sim, 14 * SECOND);
    assert!(
        !sim.wire(deaf.client).closed,
        "5 s to the first report, 10 s of patience"
    );
    other.listen(&mut sim, 2 * SECOND);
    assert!(sim.wire(deaf.client).closed);
    assert!(sim.now - stalled < 17 * SECOND);
    assert!(!sim.wire(other.client).closed);
    assert_eq!(
        sim.metrics()
            .sum("media_connections_closed_total", &[("reason", "slow")]),
        1.0
    );
}

/// An agent that many viewers control must not gather their messages because it reads a little.
#[test]
fn whoever_stays_256_messages_behind_for_a_second_is_dropped() {
    for trickle in [0, 1] {
        let mut sim = Sim::new(1, 6);
        let agent = agent(&mut sim, 0, "cam-1");
        let (mut viewer, _) = viewer(&mut sim, 0, "cam-1", "ada");
        sim.wire(agent.client).window = 0;
        let mut behind = None;
        let mut seq = 0;
        while !sim.wire(agent.client).closed {
            viewer.send(&mut sim, &back(seq));
            seq += 1;
            sim.run_for(10 * MS);
            sim.wire(agent.client).window += trickle;
            if seq == 256 {
                behind = Some(sim.now);
            }
            assert!(seq < 1_000, "it is still there, {seq} messages behind");
        }
        let took = sim.now - behind.expect("it may be 256 messages behind");
        assert!(took >= SECOND && took < SECOND + 100 * MS, "{took:?}");
    }
}

#[test]
fn a_client_is_pinged_and_must_answer() {
    let mut sim = Sim::with(1, 7, |config| config.media.setup_timeout = HOUR);
    let (mut lively, _) = viewer(&mut sim, 0, "cam-1", "lively");
    let (silent, _) = viewer(&mut sim, 0, "cam-1", "silent");
    let opened = sim.now;
    // Its messages are taken, and never looked at.
    while !sim.wire(silent.client).closed {
        while lively.poll(&mut sim).is_some() {}
        sim.step();
        assert!(sim.now - opened < 61 * SECOND);
    }
    assert!(sim.now - opened >= 59 * SECOND);
    lively.listen(&mut sim, 120 * SECOND);
    assert!(!sim.wire(lively.client).closed);
}

#[test]
fn what_breaks_the_rules_is_closed_with_its_code() {
    let mut sim = Sim::new(1, 8);
    let cases: [(&[u8], u16); 3] = [
        // A text of 512 KiB and a byte, a text that is not UTF-8, and one that is not masked.
        (&[0x81, 0xff, 0, 0, 0, 0, 0, 8, 0, 1, 1, 2, 3, 4], 1009),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
        (&[0x81, 0x01, b'x'], 1002),
    ];
    for (bytes, code) in cases {
        let (mut socket, _) = viewer(&mut sim, 0, "cam-1", "ada");
        sim.send(socket.client, bytes);
        assert_eq!(socket.closed(&mut sim), Some(code));
        sim.expect_closed(3 * SECOND, socket.client);
    }
    let reasons = sim.metrics();
    assert_eq!(
        reasons.sum("media_connections_closed_total", &[("reason", "protocol")]),
        3.0
    );
    // A message of exactly the limit is only not understood.
    let (mut socket, _) = viewer(&mut sim, 0, "cam-1", "ada");
    socket.send_message(&mut sim, Message::text("x".repeat(512 << 10)));
    assert_eq!(socket.expect(&mut sim, "error")["code"], "bad_message");
    socket.send_message(&mut sim, Message::Close(None));
    socket.closed(&mut sim);
}

#[test]
fn upgrades_are_refused_before_they_happen() {
    let mut sim = Sim::new(2, 9);
    let refused =
        |sim: &mut Sim, target: &str, headers: &[(&str, &str)], status, code: &str| match sim
            .try_open(0, target, headers)
        {
            Ok(_) => panic!("{target} is open"),
            Err(response) => response.expect_error(status, code),
        };
    let nobody = "/api/media/ws?sessionId=00000000-0000-4000-8000-000000000000";
    refused(&mut sim, nobody, &[], 404, "unknown_session");
    refused(&mut sim, "/api/media/ws", &[], 400, "bad_parameter");
    refused(
        &mut sim,
        "/api/media/ws?deviceId=a%20b",
        &[],
        400,
        "bad_parameter",
    );
    let origin = [("Origin", "https://evil.example")];
    refused(
        &mut sim,
        "/api/media/ws?deviceId=cam-1",
        &origin,
        403,
        "foreign_origin",
    );
    let client = sim.connect(0);
    let response = sim.get(client, "/api/media/ws?deviceId=cam-1");
    response.expect_error(426, "upgrade_required");
    let old = "GET /api/media/ws?deviceId=cam-1 HTTP/1.0\r\nUpgrade: websocket\r\n\
               Connection: upgrade, keep-alive\r\nSec-WebSocket-Version: 13\r\n\
               Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    sim.send(client, old);
    sim.response(client).expect_error(426, "upgrade_required");
    assert_eq!(sim.metrics().sum("media_active_sessions", &[]), 0.0);
}

#[test]
fn a_deleted_session_closes_its_socket() {
    let mut sim = Sim::new(2, 10);
    let device = sim.device_on(1);
    let (mut socket, session) = viewer(&mut sim, 0, &device, "ada");
    let client = sim.connect(0);
    let target = format!("/api/media/sessions/{session}");
    sim.request(client, "DELETE", &target, &[], b"").expect(204);
    assert_eq!(socket.expect(&mut sim, "closing")["reason"], "deleted");
    assert_eq!(socket.closed(&mut sim), Some(1001));
}

#[test]
fn a_viewer_may_come_back_to_its_session() {
    let mut sim = Sim::with(2, 11, |config| config.media.setup_timeout = HOUR);
    let device = sim.device_on(1);
    let (first, session) = viewer(&mut sim, 0, &device, "ada");
    let target = format!("/api/media/sessions/{session}");
    first.vanish(&mut sim);
    sim.run_for(9 * SECOND);
    let mut second = sim.open(1, &format!("/api/media/ws?sessionId={session}"));
    second.listen(&mut sim, 30 * SECOND);
    assert_eq!(status(&mut sim, &target), 200);

    // A third one replaces it, and is the last.
    let third = sim.open(0, &format!("/api/media/ws?sessionId={session}"));
    second.expect(&mut sim, "closing");
    assert_eq!(second.closed(&mut sim), Some(1001));
    sim.run_for(20 * SECOND);
    assert_eq!(status(&mut sim, &target), 200);
    third.vanish(&mut sim);
    sim.run_for(9 * SECOND);
    assert_eq!(status(&mut sim, &target), 200);
    sim.run_for(2 * SECOND);
    assert_eq!(
        status(&mut sim, &target),
        404,
        "the session was made for a socket"
    );
}

/// What a client sends behind its handshake, before it has seen the answer, is not lost.
#[test]
fn messages_may_follow_the_handshake_at_once() {
    let mut sim = Sim::new(2, 12);
    let device = sim.device_on(1);
    let client = sim.connect(0);
    let headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let target = format!("/api/media/ws?deviceId={device}");
    sim.send(client, request("GET", &target, &headers, b""));
    sim.send(client, [0x89, 0x82, 0, 0, 0, 0, b'h', b'i']);
    sim.response(client).expect(101);
    sim.run_for(100 * MS);
    let received = &sim.wire(client).to_client;
    assert!(
        received
            .windows(4)
            .any(|bytes| bytes == [0x8a, 2, b'h', b'i'])
    );
}
