//! What is refused, and that nothing suffers from it.

use std::time::Duration;

use media_service::connection::Scope;
use media_service::limits::Cap;
use serde_json::json;

use simulation::{HOST, Sim, request};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_51st_candidate_is_refused() {
    let mut sim = Sim::new(2, 1);
    let device = sim.device_on(1);
    let client = sim.connect(0);
    let session = sim.create(client, &device)["sessionId"]
        .as_str()
        .unwrap()
        .to_owned();
    let target = format!("/api/media/sessions/{session}/ice-candidate");
    let candidate = |port: usize| {
        let text = format!("candidate:1 1 udp 2122260223 198.51.100.9 {port} typ host");
        json!({"candidate": text, "sdpMid": "0", "sdpMLineIndex": 0})
    };
    let bad = json!({"candidate": "candidate:nonsense"});
    sim.post(client, &target, &bad)
        .expect_error(400, "bad_candidate");
    for port in 0..50 {
        sim.post(client, &target, &candidate(5_000 + port))
            .expect(204);
    }
    sim.post(client, &target, &candidate(6_000))
        .expect_error(429, "too_many_candidates");
    let end = json!({"candidate": ""});
    sim.post(client, &target, &end).expect(204);
    let metrics = sim.metrics();
    let refused = metrics.sum(
        "media_rejected_requests_total",
        &[("code", "too_many_candidates")],
    );
    assert_eq!(refused, 1.0);
}

#[test]
fn caps_refuse_what_is_past_them_until_there_is_room() {
    let mut sim = Sim::with(2, 2, |config| {
        config.limits.sessions = Cap::new(3);
        config.limits.devices = Cap::new(2);
    });
    let client = sim.connect(0);
    let create = |sim: &mut Sim, device: &str| {
        let body = json!({"deviceId": device, "userId": "ada"});
        sim.post(client, "/api/media/sessions", &body)
    };
    let (here, there) = (sim.device_on(0), sim.device_on(1));
    let first = create(&mut sim, &here).expect(201).json();
    create(&mut sim, &there).expect(201);
    let third_device = create(&mut sim, "another");
    third_device.expect_error(503, "full");
    create(&mut sim, &there).expect(201);
    let full = create(&mut sim, &here);
    assert_eq!(full.header("Retry-After"), Some("1"));
    let sentence = full.expect_error(503, "full");
    assert!(sentence.contains("3 sessions"), "{sentence}");
    let target = format!(
        "/api/media/sessions/{}",
        first["sessionId"].as_str().unwrap()
    );
    sim.request(client, "DELETE", &target, &[], b"").expect(204);
    create(&mut sim, &here).expect(201);
}

#[test]
fn connections_past_their_cap_are_not_taken() {
    let mut sim = Sim::with(2, 3, |config| config.limits.connections = Cap::new(4));
    let clients: Vec<_> = (0..4).map(|n| sim.connect(n % 2)).collect();
    assert!(sim.try_connect(0).is_none());
    assert!(sim.try_connect(1).is_none());
    sim.wire(clients[0]).reset = true;
    sim.run_for(10 * MS);
    sim.wire(clients[1]).reset = true;
    sim.run_for(10 * MS);
    assert_eq!(
        sim.metrics().sum("media_connections_refused_total", &[]),
        2.0
    );
}

#[test]
fn heads_are_bounded_in_size_and_time() {
    let mut sim = Sim::new(1, 4);
    let long = "x".repeat(17 << 10);
    let client = sim.connect(0);
    let response = sim.request(client, "GET", "/health", &[("X-Long", &long)], b"");
    response.expect_error(431, "head_too_large");
    sim.expect_closed(3 * SECOND, client);

    // A byte each second does not help.
    let client = sim.connect(0);
    let bytes = request("GET", "/health", &[], b"");
    let began = sim.now;
    for byte in bytes.chunks(1).take(9) {
        sim.send(client, byte);
        sim.run_for(SECOND);
    }
    let response = sim.answer_within(2 * SECOND, client, false);
    response.expect_error(408, "request_timeout");
    assert!(sim.now - began <= 10 * SECOND + 50 * MS);
    sim.expect_closed(3 * SECOND, client);

    // Nor on a connection that is kept alive, which may rest for longer.
    let client = sim.connect(0);
    sim.get(client, "/health").expect(200);
    sim.run_for(70 * SECOND);
    sim.send(client, "GET /health");
    sim.run_for(9 * SECOND);
    sim.response(client).expect_error(408, "request_timeout");

    let client = sim.connect(0);
    sim.get(client, "/health").expect(200);
    sim.run_for(74 * SECOND);
    sim.get(client, "/health").expect(200);
    sim.expect_closed(76 * SECOND, client);
    assert!(sim.wire(client).to_client.is_empty(), "rest is no fault");
}

#[test]
fn a_body_must_move_within_30_seconds() {
    let mut sim = Sim::with(1, 5, |config| {
        config.http.body_deadline = 600 * SECOND;
    });
    let client = sim.connect(0);
    let body = json!({"deviceId": "cam-1", "userId": "ada"}).to_string();
    let bytes = request("POST", "/api/media/sessions", &[], body.as_bytes());
    let (front, rest) = bytes.split_at(bytes.len() - 10);
    sim.send(client, front);
    for byte in rest.chunks(1).take(5) {
        sim.run_for(29 * SECOND);
        sim.send(client, byte);
    }
    let response = sim.answer_within(31 * SECOND, client, false);
    response.expect_error(408, "request_timeout");
    assert_eq!(sim.metrics().sum("media_active_sessions", &[]), 0.0);

    let client = sim.connect(0);
    let large = vec![b' '; (256 << 10) + 1];
    let response = sim.request(client, "POST", "/api/media/sessions", &[], &large);
    response.expect_error(413, "body_too_large");
}

#[test]
fn a_body_ends_within_a_minute() {
    let mut sim = Sim::new(1, 8);
    let client = sim.connect(0);
    let body = json!({"deviceId": "cam-1", "userId": "ada"}).to_string();
    let bytes = request("POST", "/api/media/sessions", &[], body.as_bytes());
    let (front, rest) = bytes.split_at(bytes.len() - 10);
    sim.send(client, front);
    let began = sim.now;
    for byte in rest.chunks(1).take(2) {
        sim.run_for(29 * SECOND);
        sim.send(client, byte);
    }
    let response = sim.answer_within(3 * SECOND, client, false);
    let sentence = response.expect_error(408, "request_timeout");
    assert!(sentence.contains("60 s"), "{sentence}");
    assert!(sim.now - began < 61 * SECOND);
    sim.expect_closed(3 * SECOND, client);
}

#[test]
fn a_connection_carries_as_many_requests_as_it_may() {
    let most = 5;
    let mut sim = Sim::with(2, 9, |config| {
        config.http.requests_per_connection = Cap::new(most);
    });
    // Two of them move it to the other shard and back, and what is pipelined behind the last is dropped.
    let devices = [sim.device_on(1), sim.device_on(0)];
    let client = sim.connect(0);
    let paths = devices.map(|device| format!("/api/media/sessions?deviceId={device}"));
    for n in 0..most + 2 {
        let path = paths.get(n).map_or("/health", String::as_str);
        sim.send(client, request("GET", path, &[], b""));
    }
    for n in 1..=most {
        let response = sim.response(client).expect(200);
        let last = (n == most).then_some("close");
        assert_eq!(response.header("Connection"), last, "{n}");
    }
    sim.expect_closed(3 * SECOND, client);
    assert!(sim.wire(client).to_client.is_empty());
}

#[test]
fn one_address_cannot_take_all_connections() {
    let mut sim = Sim::with(2, 10, |config| {
        config.limits.connections_per_address = Cap::new(4);
        config.server.trusted_proxies = vec!["203.0.113.0/24".parse().expect("a network")];
    });
    let connect = |sim: &mut Sim, address: &str, shard| {
        let address = address.parse().expect("an address");
        sim.try_connect_from(address, shard, Scope::Everything)
    };
    let taken = |sim: &mut Sim, addresses: &[&str]| {
        let tries = (0..10).map(|n| addresses[n % addresses.len()]);
        let clients: Vec<_> = tries
            .enumerate()
            .filter_map(|(n, address)| connect(sim, address, n % 2))
            .collect();
        clients
    };
    assert_eq!(taken(&mut sim, &["198.51.100.7"]).len(), 4);
    let of_a_host = ["2001:db8::1", "2001:db8::2", "2001:db8::3"];
    let clients = taken(&mut sim, &of_a_host);
    assert_eq!(clients.len(), 4, "a /64 is one host");
    assert_eq!(taken(&mut sim, &["2001:db8:0:1::1"]).len(), 4);
    assert_eq!(taken(&mut sim, &["127.0.0.1", "::1"]).len(), 10);
    assert_eq!(taken(&mut sim, &["203.0.113.9"]).len(), 10, "a proxy");

    // Connections that move are still counted, and those that end are not.
    let device = sim.device_on(1);
    for &client in &clients {
        sim.get(client, &format!("/api/media/sessions?deviceId={device}"))
            .expect(200);
        assert!(connect(&mut sim, of_a_host[0], 0).is_none());
    }
    for &client in &clients[..2] {
        sim.wire(client).reset = true;
    }
    sim.run_for(20 * MS);
    assert_eq!(taken(&mut sim, &of_a_host).len(), 2);
    let refused = [("code", "too_many_connections")];
    assert!(sim.metrics().sum("media_rejected_requests_total", &refused) > 20.0);
}

#[test]
fn strangers_are_refused_wherever_they_ask() {
    let mut sim = Sim::with(2, 6, |config| {
        config.http.cors_origins = vec!["https://app.example".into()];
    });
    for headers in [
        [("Host", "rebound.example"), ("X", "")],
        [("Host", "127.0.0.1:1"), ("X", "")],
        [("Host", HOST), ("Origin", "https://evil.example")],
        [("Host", HOST), ("Origin", "null")],
    ] {
        for target in ["/health", "/metrics", "/api/media/sessions"] {
            let client = sim.connect(0);
            let response = sim.request(client, "GET", target, &headers, b"");
            response.expect_error(403, "foreign_origin");
        }
        let target = "/api/media/ws?deviceId=cam-1";
        match sim.try_open(0, target, &headers) {
            Ok(_) => panic!("{headers:?} is let in"),
            Err(response) => response.expect_error(403, "foreign_origin"),
        };
    }
    let client = sim.connect(0);
    for headers in [
        vec![("Host", "localhost:30006")],
        vec![("Origin", "http://127.0.0.1:30006")],
    ] {
        sim.request(client, "GET", "/health", &headers, b"")
            .expect(200);
    }
    let listed = [("Origin", "https://app.example")];
    let response = sim
        .request(client, "GET", "/api/media/sessions", &listed, b"")
        .expect(200);
    assert_eq!(
        response.header("Access-Control-Allow-Origin"),
        Some("https://app.example")
    );
    let preflight = [listed[0], ("Access-Control-Request-Method", "DELETE")];
    let target = "/api/media/sessions/00000000-0000-4000-8000-000000000000";
    let response = sim
        .request(client, "OPTIONS", target, &preflight, b"")
        .expect(204);
    let allowed = response.header("Access-Control-Allow-Methods").unwrap();
    assert!(allowed.contains("DELETE"), "{allowed}");
    // Errors are for the page to read, too.
    let response = sim.request(client, "GET", target, &listed, b"");
    assert_eq!(
        response.header("Access-Control-Allow-Origin"),
        Some("https://app.example")
    );
    response.expect_error(404, "unknown_session");
}

#[test]
fn old_clients_are_served() {
    let mut sim = Sim::new(2, 7);
    let device = sim.device_on(1);
    let target = format!("/api/media/sessions?deviceId={device}");
    let client = sim.connect(0);
    sim.send(
        client,
        format!("GET {target} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    );
    let response = sim.response(client).expect(200);
    assert_eq!(response.header("Connection"), Some("keep-alive"));
    sim.send(client, format!("GET {target} HTTP/1.0\r\n\r\n"));
    let response = sim.response(client).expect(200);
    assert_eq!(response.header("Connection"), Some("close"));
    sim.expect_closed(100 * MS, client);
}

#[test]
fn short_of_memory_nothing_is_added_and_everything_goes_on() {
    let mut sim = Sim::new(2, 41);
    let device = sim.device_on(1);
    let client = sim.connect(0);
    let (viewer, session) = sim.watch(client, &device);
    let room = sim.live_room(0);
    let mut ann = sim.member(room, "ann");
    let mut bob = sim.member(room, "bob");

    sim.totals.set_memory(Some(1), true);
    let body = json!({"deviceId": device, "userId": "ada"});
    let refused = sim.post(client, "/api/media/sessions", &body);
    assert_eq!(refused.header("Retry-After"), Some("1"));
    refused.expect_error(503, "overloaded");
    for target in [
        format!("/ws?room_id={room}&user_id=eve"),
        format!("/api/media/ws?deviceId={device}"),
        format!("/api/media/devices/{device}/ws"),
    ] {
        let refused = sim.try_open(1, &target, &[]).err().expect("it is refused");
        refused.expect_error(503, "overloaded");
    }
    let publisher = sim.connect(1);
    let target = format!("/api/media/devices/{device}/video");
    let kind = [("Content-Type", "video/h264")];
    sim.request(publisher, "PUT", &target, &kind, b"x")
        .expect_error(503, "overloaded");

    let offer = format!("/api/media/sessions/{session}/offer");
    sim.request(client, "POST", &offer, &[], b"").expect(200);
    sim.get(client, "/api/media/devices").expect(200);
    sim.get(client, "/health/ready").expect(200);
    ann.send(
        &mut sim,
        &json!({"type": "danmu", "content": "hello", "id": 1}),
    );
    ann.expect(&mut sim, "ack");
    bob.expect(&mut sim, "danmu");
    sim.run_for(5 * SECOND);
    assert!(!sim.viewers[viewer.0].closed);
    let code = [("code", "overloaded")];
    let rejected = sim.metrics().sum("media_rejected_requests_total", &code);
    assert_eq!(rejected, 5.0);

    sim.totals.set_memory(Some(1), false);
    let client = sim.connect(0);
    sim.post(client, "/api/media/sessions", &body).expect(201);
}

#[test]
fn a_head_that_begins_as_the_idle_time_ends_has_its_whole_time() {
    let mut sim = Sim::new(1, 11);
    let client = sim.connect(0);
    let ask = request("GET", "/health", &[], b"");
    sim.send(client, &ask);
    sim.response(client).expect(200);
    let idle = Duration::from_secs(75);
    sim.run_for(idle - 20 * MS);
    let (first, rest) = ask.split_at(ask.len() / 2);
    sim.send(client, first);
    sim.run_for(5 * SECOND);
    sim.send(client, rest);
    sim.response(client).expect(200);

    // But not more than that.
    sim.run_for(idle - 20 * MS);
    sim.send(client, first);
    sim.run_for(6 * SECOND);
    sim.send(client, &rest[..1]);
    sim.run_for(5 * SECOND);
    sim.response(client).expect_error(408, "request_timeout");
}
