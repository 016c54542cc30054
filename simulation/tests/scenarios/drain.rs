//! How a server ends: what is asked is answered, who is there is told (M11).

use std::time::Duration;

use media_service::totals::Total;
use serde_json::json;

use simulation::support::http::chunk;
use simulation::support::media::Clip;
use simulation::{Sim, head, request};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn everybody_is_told_and_what_was_asked_is_answered() {
    let mut sim = Sim::new(2, 1);
    let (device, clip) = (sim.device_on(1), Clip::tiny_h264());
    let client = sim.connect(0);
    let (viewer, _) = sim.watch(client, &device);
    let mut socket = sim.open(0, &format!("/api/media/ws?deviceId={device}"));
    let mut agent = sim.open(1, &format!("/api/media/devices/{device}/ws"));
    let publisher = sim.connect(1);
    let target = format!("/api/media/devices/{device}/video");
    let headers = [
        ("Content-Type", "video/h264"),
        ("Transfer-Encoding", "chunked"),
    ];
    sim.send(publisher, head("PUT", &target, &headers));
    sim.send(publisher, chunk(&clip.bytes()));
    let half = sim.connect(0);
    let whole = request("GET", "/api/media/devices", &[], b"");
    sim.send(half, &whole[..20]);
    sim.run_for(100 * MS);

    sim.drain(TIMEOUT);
    let began = sim.now;
    sim.run_for(20 * MS);
    for socket in [&mut socket, &mut agent] {
        let closing = socket.expect(&mut sim, "closing");
        assert_eq!(closing["reason"], "the server is shutting down");
        assert_eq!(socket.closed(&mut sim), Some(1001));
    }
    sim.response(publisher).expect_error(503, "draining");
    assert!(sim.viewers[viewer.0].closed, "DTLS says goodbye");
    // The open connection may still ask whether the server is ready, and is not cut meanwhile.
    sim.get(client, "/health/ready")
        .expect_error(503, "draining");
    sim.send(half, &whole[20..]);
    sim.response(half).expect(200);

    sim.run_until(5 * SECOND, "both shards end", |sim| {
        (0..2).all(|shard| sim.has_ended(shard))
    });
    assert!(sim.now - began < 3 * SECOND, "nobody holds it up");
    assert_eq!(sim.totals.sum(Total::Drained), 2);
    for total in [Total::Sessions, Total::Connections] {
        assert_eq!(sim.totals.sum(total), 0, "{total:?}");
    }
}

#[test]
fn new_work_is_refused_while_a_shard_drains() {
    let mut sim = Sim::new(2, 2);
    let device = sim.device_on(1);
    let clients: Vec<_> = (0..4).map(|n| sim.connect(n % 2)).collect();
    sim.drain(TIMEOUT);
    sim.step();
    let body = json!({"deviceId": device, "userId": "ada"}).to_string();
    let target = format!("/api/media/devices/{device}");
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let kind = [("Content-Type", "video/h264")];
    let requests = [
        request("POST", "/api/media/sessions", &[], body.as_bytes()),
        request(
            "GET",
            &format!("/api/media/ws?deviceId={device}"),
            &upgrade,
            b"",
        ),
        request("GET", &format!("{target}/ws"), &upgrade, b""),
        request("PUT", &format!("{target}/video"), &kind, b"x"),
    ];
    for (client, request) in clients.iter().zip(requests) {
        sim.send(*client, request);
    }
    for client in clients {
        sim.response(client).expect_error(503, "draining");
        sim.expect_closed(3 * SECOND, client);
    }
}

#[test]
fn whoever_does_not_listen_is_cut_at_the_deadline() {
    let mut sim = Sim::new(1, 3);
    let deaf = sim.connect(0);
    sim.wire(deaf).window = 10;
    sim.send(deaf, request("GET", "/openapi.json", &[], b""));
    let slow = sim.connect(0);
    sim.send(slow, "POST /api/media/sessions HTTP/1.1\r\n");
    sim.run_for(100 * MS);
    sim.drain(SECOND);
    sim.run_for(SECOND - 50 * MS);
    assert!(!sim.has_ended(0));
    sim.run_for(100 * MS);
    assert!(sim.has_ended(0));
}

#[test]
fn no_shard_ends_while_a_request_in_flight_may_name_something_of_it() {
    let mut sim = Sim::new(2, 4);
    let device = sim.device_on(1);
    let client = sim.connect(0);
    sim.send(client, "GET ");
    sim.step();
    sim.drain(TIMEOUT);
    sim.run_for(SECOND);
    assert!(!sim.has_ended(1));
    sim.send(
        client,
        &request("GET", &format!("/api/media/devices/{device}"), &[], b"")[4..],
    );
    sim.response(client).expect_error(404, "unknown_device");
    sim.run_until(3 * SECOND, "both shards end", |sim| {
        (0..2).all(|shard| sim.has_ended(shard))
    });
}

#[test]
fn what_was_said_before_a_shutdown_is_acknowledged_before_the_goodbye() {
    let mut sim = Sim::new(2, 85);
    let room = sim.live_room(0);
    let (mut ann, mut slow) = (sim.member(room, "ann"), sim.member(room, "slow"));
    ann.listen(&mut sim, 2 * SECOND);
    sim.store.delay = 300 * MS;
    // The answer to the one waits behind a frame of the room.
    let wire = sim.wire(slow.client);
    wire.window = wire.to_client.len() + 50;
    let said = |n| json!({"type": "danmu", "content": "good night", "id": n});
    ann.send(&mut sim, &said(1));
    sim.run_for(20 * MS);
    slow.send(&mut sim, &said(2));
    sim.run_for(20 * MS);
    sim.drain(30 * SECOND);
    sim.step();
    ann.send(&mut sim, &said(3));
    let refused = ann.expect(&mut sim, "error");
    assert_eq!(
        (&refused["code"], &refused["id"]),
        (&json!("draining"), &json!(3))
    );
    assert_eq!(ann.expect(&mut sim, "ack")["id"], 1);
    ann.expect(&mut sim, "closing");
    assert_eq!(ann.closed(&mut sim), Some(1001));

    sim.wire(slow.client).window = usize::MAX;
    assert_eq!(slow.expect(&mut sim, "ack")["id"], 2);
    slow.expect(&mut sim, "closing");
    assert_eq!(slow.closed(&mut sim), Some(1001));
}

#[test]
fn a_shutdown_does_not_wait_for_a_store_that_hangs() {
    let mut sim = Sim::new(1, 86);
    let room = sim.live_room(0);
    let mut ann = sim.member(room, "ann");
    sim.store.delay = 60 * SECOND;
    ann.send(
        &mut sim,
        &json!({"type": "danmu", "content": "lost?", "id": 1}),
    );
    sim.step();
    sim.drain(30 * SECOND);
    let before = ann.listen(&mut sim, 900 * MS);
    assert!(before.iter().all(|frame| frame["type"] != "closing"));
    ann.expect(&mut sim, "closing");
    assert_eq!(ann.closed(&mut sim), Some(1001));
    sim.run_until(3 * SECOND, "the shard ends", |sim| sim.has_ended(0));
}
