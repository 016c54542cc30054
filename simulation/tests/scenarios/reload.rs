//! Another configuration while the shards run (M15): it reaches all of them, whoever waits already too,
//! and closes nothing.

use std::time::Duration;

use media_service::config::IceServer;
use media_service::limits::Cap;
use media_service::totals::Total;
use serde_json::json;

use simulation::support::http::chunk;
use simulation::support::media::Clip;
use simulation::{HOST, Sim, Socket, head};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn caps_names_and_servers_hold_on_every_shard_and_nothing_is_closed() {
    let mut sim = Sim::with(3, 1, |config| config.limits.sessions = Cap::new(3));
    let devices: Vec<_> = (0..3).map(|shard| sim.device_on(shard)).collect();
    let clients: Vec<_> = (0..3).map(|shard| sim.connect(shard)).collect();
    let body = |device: &str| json!({"deviceId": device, "userId": "ada"});
    let (viewer, _) = sim.watch(clients[0], &devices[0]);
    let mut socket = sim.open(1, &format!("/api/media/ws?deviceId={}", devices[1]));
    socket.expect(&mut sim, "offer");
    sim.create(clients[2], &devices[2]);
    sim.post(clients[0], "/api/media/sessions", &body(&devices[0]))
        .expect_error(503, "full");

    sim.reload(|config| {
        config.limits.sessions = Cap::new(6);
        config.media.candidates = Cap::new(1);
        config.http.allowed_hosts = vec!["media.example.com".into()];
        config.http.cors_origins = vec!["https://app.example.com".into()];
    });
    sim.step();
    let hosts = [HOST, "media.example.com"];
    for (shard, device) in devices.iter().enumerate() {
        for host in hosts {
            let headers = [("Host", host), ("Origin", "https://app.example.com")];
            let client = sim.connect(shard);
            let response = sim.request(client, "GET", "/api/media/devices", &headers, b"");
            let allowed = response.header("Access-Control-Allow-Origin");
            assert_eq!(allowed, Some("https://app.example.com"));
        }
        let created = sim.create(clients[shard], device);
        let session = created["sessionId"].as_str().expect("an id");
        let target = format!("/api/media/sessions/{session}/ice-candidate");
        let candidate = |port| format!("candidate:1 1 udp 2122260223 198.51.100.9 {port} typ host");
        let add = |sim: &mut Sim, port| {
            sim.post(
                clients[shard],
                &target,
                &json!({"candidate": candidate(port)}),
            )
        };
        add(&mut sim, 5_000).expect(204);
        add(&mut sim, 5_001).expect_error(429, "too_many_candidates");
    }
    sim.post(clients[0], "/api/media/sessions", &body(&devices[0]))
        .expect_error(503, "full");
    sim.run_for(5 * SECOND);
    assert!(!sim.viewers[viewer.0].closed);
    socket.expect(&mut sim, "stats");
    assert_eq!(sim.totals.sum(Total::Sessions), 6);
}

#[test]
fn what_answers_are_made_of_holds_for_the_next_one() {
    let mut sim = Sim::new(1, 14);
    let client = sim.connect(0);
    let other = json!({"deviceId": "cam-2", "userId": "ada"});
    sim.create(client, "cam-1");
    sim.idle_room(0);
    sim.reload(|config| {
        config.limits.devices = Cap::new(1);
        config.limits.sessions_per_device = Cap::new(2);
        config.limits.rooms_per_anchor = Cap::new(1);
        config.http.json_body_bytes = 4 << 10;
        config.media.ice_servers = vec![IceServer {
            urls: vec!["stun:stun.example.com".into()],
            username: None,
            credential: None,
        }];
    });
    sim.step();
    let created = sim.create(client, "cam-1");
    assert_eq!(created["iceServers"][0]["urls"][0], "stun:stun.example.com");
    let sessions = "/api/media/sessions";
    let same = json!({"deviceId": "cam-1", "userId": "ada"});
    sim.post(client, sessions, &same).expect_error(503, "full");
    sim.post(client, sessions, &other).expect_error(503, "full");
    let ann = [("X-User-Id", "ann")];
    let new_room = |sim: &mut Sim, client, user| {
        sim.request(
            client,
            "POST",
            "/api/v1/rooms",
            user,
            br#"{"title": "Noon"}"#,
        )
    };
    new_room(&mut sim, client, &ann).expect_error(429, "too_many_rooms");
    let long = json!({"deviceId": "cam-1", "userId": "a".repeat(5 << 10)});
    sim.post(client, sessions, &long)
        .expect_error(413, "body_too_large");

    sim.reload(|config| {
        config.limits.rooms = Cap::new(1);
        config.http.requests_per_connection = Cap::new(1);
    });
    sim.step();
    let client = sim.connect(0);
    let refused = new_room(&mut sim, client, &[("X-User-Id", "bob")]);
    assert_eq!(refused.header("Connection"), Some("close"));
    refused.expect_error(503, "full");
}

#[test]
fn accounts_take_another_configuration_too() {
    let mut sim = Sim::with(1, 15, |config| {
        config.auth.jwt_secret = Some("a secret of thirty-two characters".into());
    });
    let user = |name: &str| json!({"username": name, "password": "correct horse"});
    let client = sim.connect(0);
    sim.post(client, "/api/v1/users", &user("ada")).expect(201);
    sim.reload(|config| {
        config.limits.users = Cap::new(1);
        config.auth.token_ttl = 60 * SECOND;
        config.auth.audience = "media".into();
    });
    sim.step();
    sim.post(client, "/api/v1/users", &user("bob"))
        .expect_error(503, "full");
    let login = sim
        .post(client, "/api/v1/users/login", &user("ada"))
        .expect(200)
        .json();
    // The simulations begin at 01:46:40.
    let ends = login["expires_at"].as_str().expect("a time");
    assert!(ends.starts_with("2001-09-09T01:47:"), "{ends}");
    let bearer = format!("Bearer {}", login["token"].as_str().expect("a token"));
    let me = |sim: &mut Sim| {
        let headers = [("Authorization", bearer.as_str())];
        sim.request(client, "GET", "/api/v1/users/me", &headers, b"")
    };
    me(&mut sim).expect(200);
    sim.reload(|config| {
        config.auth.signup = false;
        config.auth.audience = "another".into();
    });
    sim.step();
    sim.post(client, "/api/v1/users", &user("bob"))
        .expect_error(403, "forbidden");
    me(&mut sim).expect_error(401, "invalid_token");
}

#[test]
fn a_shorter_timeout_reaches_those_who_wait_already() {
    let mut sim = Sim::new(2, 2);
    let device = sim.device_on(1);
    let idle = sim.connect(0);
    sim.get(idle, "/health").expect(200);
    let half_a_head = sim.connect(0);
    sim.send(half_a_head, "GET / HT");
    let half_a_body = sim.connect(1);
    let length = [("Content-Length", "100")];
    sim.send(half_a_body, head("POST", "/api/media/sessions", &length));
    let publisher = sim.connect(1);
    let target = format!("/api/media/devices/{device}/video");
    let headers = [
        ("Content-Type", "video/h264"),
        ("Transfer-Encoding", "chunked"),
    ];
    sim.send(publisher, head("PUT", &target, &headers));
    sim.send(publisher, chunk(&Clip::tiny_h264().bytes()));
    let silent = sim.open(0, &format!("/api/media/ws?deviceId={device}"));
    let client = sim.connect(1);
    let created = sim.create(client, &device);
    sim.run_for(5 * SECOND);

    sim.reload(|config| {
        config.http.idle_timeout = SECOND;
        config.http.head_timeout = SECOND;
        config.http.body_timeout = SECOND;
        config.media.publisher_timeout = 2 * SECOND;
        config.media.idle_timeout = 4 * SECOND;
        config.ws.ping_interval = SECOND;
        config.ws.pong_timeout = 3 * SECOND;
    });
    sim.run_for(20 * MS);
    let session = created["sessionId"].as_str().expect("an id");
    let asker = sim.connect(1);
    sim.get(asker, &format!("/api/media/sessions/{session}"))
        .expect_error(404, "unknown_session");
    assert!(!sim.wire(idle).closed, "it has the new time from now on");
    sim.run_for(2 * SECOND);
    for client in [half_a_head, half_a_body, publisher] {
        sim.response(client).expect_error(408, "request_timeout");
    }
    assert!(sim.wire(idle).closed);
    // It does not read, so it answers no ping.
    sim.run_for(2 * SECOND);
    assert!(sim.wire(silent.client).closed);
}

#[test]
fn a_shorter_deadline_reaches_what_has_begun() {
    let mut sim = Sim::with(1, 12, |config| {
        config.media.setup_timeout = 600 * SECOND;
        config.http.body_timeout = 60 * SECOND;
        config.http.body_deadline = 600 * SECOND;
    });
    let half_a_body = sim.connect(0);
    let length = [("Content-Length", "100")];
    sim.send(half_a_body, head("POST", "/api/media/sessions", &length));
    let client = sim.connect(0);
    let created = sim.create(client, "cam-1");
    sim.run_for(5 * SECOND);

    sim.reload(|config| {
        config.media.setup_timeout = 4 * SECOND;
        config.http.body_deadline = 2 * SECOND;
    });
    sim.run_for(20 * MS);
    let session = created["sessionId"].as_str().expect("an id");
    sim.get(client, &format!("/api/media/sessions/{session}"))
        .expect_error(404, "unknown_session");
    sim.run_for(2 * SECOND);
    sim.response(half_a_body)
        .expect_error(408, "request_timeout");
}

#[test]
fn another_bound_on_messages_holds_for_sockets_that_are_open() {
    let mut sim = Sim::with(1, 13, |config| config.ws.message_bytes = 4 << 10);
    let text = |bytes: usize| json!({"type": "control", "seq": 1, "action": "text", "text": "x".repeat(bytes)});
    let mut socket = sim.open(0, "/api/media/ws?deviceId=cam-1");
    sim.reload(|config| config.ws.message_bytes = 16 << 10);
    sim.step();
    socket.send(&mut sim, &text(8 << 10));
    assert_eq!(socket.expect(&mut sim, "error")["code"], "no_agent");
    sim.reload(|config| config.ws.message_bytes = 4 << 10);
    sim.step();
    socket.send(&mut sim, &text(8 << 10));
    assert_eq!(socket.closed(&mut sim), Some(1009));
}

#[test]
fn a_longer_timeout_holds_from_the_next_time_on() {
    let mut sim = Sim::with(1, 3, |config| config.media.idle_timeout = 10 * SECOND);
    let client = sim.connect(0);
    let created = sim.create(client, "cam-1");
    let target = format!(
        "/api/media/sessions/{}",
        created["sessionId"].as_str().expect("an id")
    );
    sim.run_for(5 * SECOND);
    sim.reload(|config| {
        config.media.idle_timeout = 60 * SECOND;
        config.http.idle_timeout = 600 * SECOND;
    });
    sim.run_for(50 * SECOND);
    sim.get(client, &target).expect(200);
    sim.run_for(11 * SECOND);
    sim.get(client, &target)
        .expect_error(404, "unknown_session");
    sim.run_for(500 * SECOND);
    assert!(!sim.wire(client).closed);
}

#[test]
fn a_device_that_nobody_uses_is_forgotten_sooner() {
    let mut sim = Sim::with(1, 4, |config| config.media.device_linger = 600 * SECOND);
    let client = sim.connect(0);
    let session = sim.create(client, "cam-1")["sessionId"]
        .as_str()
        .expect("an id")
        .to_owned();
    let target = format!("/api/media/sessions/{session}");
    sim.request(client, "DELETE", &target, &[], b"").expect(204);
    sim.reload(|config| config.media.device_linger = SECOND);
    sim.run_for(2 * SECOND);
    assert_eq!(sim.totals.sum(Total::Devices), 0);
}

#[test]
fn series_past_a_smaller_cap_join_the_others_and_no_count_is_lost() {
    let mut sim = Sim::new(1, 5);
    let client = sim.connect(0);
    for device in ["cam-1", "cam-2", "cam-3"] {
        sim.create(client, device);
    }
    sim.reload(|config| config.metrics.per_session = false);
    sim.step();
    let metrics = sim.metrics();
    let created = |device| metrics.get("media_sessions_created_total", &[("device_id", device)]);
    assert_eq!((created("cam-1"), created("_other")), (None, Some(3.0)));
    assert_eq!(metrics.sum("media_session_info", &[]), 0.0);
    assert_eq!(metrics.sum("media_active_sessions", &[]), 3.0);
}

#[test]
fn the_rates_of_rooms_hold_for_members_that_are_there() {
    let mut sim = Sim::new(2, 6);
    let room = sim.live_room(0);
    let mut ann = sim.member(room, "ann");
    let say = |sim: &mut Sim, ann: &mut Socket, times| {
        for n in 0..times {
            ann.send(
                sim,
                &json!({"type": "danmu", "content": "hello", "id": format!("{times}-{n}")}),
            );
        }
        let heard = ann.listen(sim, SECOND);
        heard.iter().filter(|frame| frame["type"] == "ack").count()
    };
    assert_eq!(say(&mut sim, &mut ann, 5), 5);
    sim.run_for(5 * SECOND);
    sim.reload(|config| {
        config.rooms.member_rate = Cap::new(1);
        config.rooms.member_burst = 2;
    });
    sim.step();
    let said = say(&mut sim, &mut ann, 10);
    assert!((2..=4).contains(&said), "{said}");
}

#[test]
fn rooms_are_kept_for_less_when_the_retention_says_so() {
    let mut sim = Sim::new(2, 7);
    let client = sim.connect(0);
    let headers = [("X-User-Id", "ann")];
    let body = json!({"title": "Never started"}).to_string();
    let created = sim.request(client, "POST", "/api/v1/rooms", &headers, body.as_bytes());
    let room = created.expect(201).json()["id"].clone();
    let live = sim.live_room(1);
    sim.run_for(5 * SECOND);
    sim.reload(|config| config.rooms.retention = 10 * SECOND);
    sim.run_for(4 * SECOND);
    sim.get(client, &format!("/api/v1/rooms/{room}"))
        .expect(200);
    sim.run_for(2 * SECOND);
    sim.get(client, &format!("/api/v1/rooms/{room}"))
        .expect_error(404, "unknown_room");
    sim.get(client, &format!("/api/v1/rooms/{live}"))
        .expect(200);
}
