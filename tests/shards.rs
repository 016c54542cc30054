//! Several shards in one process: who owns what must not show.

mod support;

use std::collections::BTreeSet;

use serde_json::Value;

use support::http::head;
use support::media::Clip;
use support::publish::Publisher;
use support::server::Server;
use support::viewer::ViewerOptions;
use support::viewers::Viewers;
use support::{SOON, wait_until};

/// FNV-1a, 32 bit, written down again from its specification (draft-eastlake-fnv): a witness of its own.
fn fnv1a_32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

fn shard_of(id: &str, shards: usize) -> u64 {
    u64::from(fnv1a_32(id.as_bytes())) % shards as u64
}

/// The first device of this name and a number that belongs to a shard.
fn device_on(shard: u64, shards: usize) -> String {
    (0..)
        .map(|i| format!("cam-{i}"))
        .find(|device| shard_of(device, shards) == shard)
        .expect("numbers do not end")
}

fn id(session: &Value) -> &str {
    session["sessionId"].as_str().expect("an id")
}

#[test]
fn a_session_is_on_the_shard_of_its_id_and_of_its_device() {
    let server = Server::start(&["--shards", "3"]);
    assert_eq!((server.shards(), server.media().len()), (3, 3));
    for i in 0..30 {
        let device = format!("device-{i}");
        let session = server.create_session(&device, "ada");
        let view = server
            .get(&format!("/api/media/sessions/{}", id(&session)))
            .expect(200)
            .json();
        let shard = view["shard"].as_u64();
        assert_eq!(shard, Some(shard_of(id(&session), 3)), "{view}");
        assert_eq!(shard, Some(shard_of(&device, 3)), "{view}");
    }
    let metrics = server.metrics();
    for shard in ["0", "1", "2"] {
        assert_eq!(
            metrics.get("media_shard_up", &[("shard", shard)]),
            Some(1.0)
        );
        assert!(metrics.get("media_shard_sessions", &[("shard", shard)]) > Some(0.0));
    }
    assert_eq!(metrics.get("media_active_sessions", &[]), Some(30.0));
}

#[test]
fn pipelined_requests_for_sessions_of_both_shards_are_answered_in_order() {
    let server = Server::start(&["--shards", "2"]);
    let sessions: Vec<String> = [0, 1]
        .map(|shard| id(&server.create_session(&device_on(shard, 2), "ada")).to_owned())
        .into();
    // Several connections, so that each shard accepts some of them.
    for round in 0..8 {
        let mut connection = server.connect();
        let mut bytes = Vec::new();
        for i in 0..40 {
            let path = format!("/api/media/sessions/{}", sessions[i * 7 % 5 % 2]);
            bytes.extend(head(
                server.http(),
                "GET",
                &path,
                &[("X-Request-Id", &format!("r{i}"))],
            ));
            bytes.extend(b"\r\n");
        }
        connection.send(bytes).expect("the server reads");
        for i in 0..40 {
            let response = connection.response().expect(200);
            assert_eq!(
                response.header("X-Request-Id"),
                Some(format!("r{i}").as_str()),
                "round {round}"
            );
            assert_eq!(
                id(&response.json()),
                sessions[i * 7 % 5 % 2],
                "round {round}, request {i}"
            );
        }
    }
    assert!(
        server
            .metrics()
            .sum("media_connections_handed_over_total", &[])
            >= 8.0
    );
}

#[test]
fn bodies_move_with_their_connection() {
    let server = Server::start(&["--shards", "2"]);
    let mut connection = server.connect();
    let mut shards = BTreeSet::new();
    for i in 0..20 {
        let device = device_on(i % 2, 2);
        let body = format!(r#"{{"deviceId":"{device}","userId":"ada"}}"#);
        let created = connection
            .request("POST", "/api/media/sessions", &[], body.as_bytes())
            .expect(201)
            .json();
        shards.insert(shard_of(id(&created), 2));
        connection.request("GET", "/health", &[], b"").expect(200);
    }
    assert_eq!(shards.len(), 2);
}

#[test]
fn devices_of_every_shard_play_at_once() {
    let server = Server::start(&["--shards", "2"]);
    let devices: Vec<String> = [0, 1].map(|shard| device_on(shard, 2)).into();
    // More than one connection for each, so that publishers arrive at both shards.
    let publishers: Vec<Publisher> = devices
        .iter()
        .map(|device| Publisher::start(server.http(), device, Clip::tiny_h264()))
        .collect();
    let mut viewers = Viewers::default();
    for _ in 0..3 {
        for device in &devices {
            viewers.join(server.http(), device, ViewerOptions::default());
        }
    }
    viewers.run_until(SOON, "everybody sees a second", |viewers| {
        viewers.iter().all(|viewer| viewer.pictures.len() >= 30)
    });
    let lost: u64 = viewers.iter().map(|viewer| viewer.wire.lost()).sum();
    assert_eq!(lost, 0);
    for device in &devices {
        assert_eq!(server.device(device)["viewers"], 3);
    }
    let list = server.get("/api/media/devices").expect(200).json();
    assert_eq!(list["devices"].as_array().map(Vec::len), Some(2), "{list}");
    let dropped = server.metrics().sum(
        "media_datagrams_dropped_total",
        &[("reason", "wrong_shard")],
    );
    assert_eq!(dropped, 0.0);
    for publisher in publishers {
        publisher.finish().expect(200);
    }
}

#[test]
fn a_datagram_at_the_wrong_shard_is_dropped_and_counted() {
    let server = Server::start(&["--shards", "2"]);
    let created = server.create_session(&device_on(0, 2), "ada");
    let wrong = server.media()[1];
    let (mut viewer, _) = support::viewer::Viewer::answer(
        created["offer"]["sdp"].as_str().expect("an offer"),
        ViewerOptions::default(),
    );
    // The viewer's own first check, to the other shard's port.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let check = viewer.next_check();
    socket.send_to(&check, wrong).expect("loopback");
    server.wait_metric("media_datagrams_dropped_total", &[], |dropped| {
        dropped >= 1.0
    });
    let stats = server
        .get(&format!("/api/media/sessions/{}/stats", id(&created)))
        .expect(200)
        .json();
    assert_eq!(
        stats["connection"]["remoteAddress"],
        Value::Null,
        "the session has not seen it"
    );
}

#[test]
fn ten_thousand_sessions_are_spread_evenly() {
    let server = Server::start(&["--shards", "2"]);
    let mut connection = server.connect();
    for i in 0..10_000 {
        let device = format!("device-{i}");
        let body = format!(r#"{{"deviceId":"{device}","userId":"ada"}}"#);
        let created = connection.request("POST", "/api/media/sessions", &[], body.as_bytes());
        let created = created.expect(201).json();
        assert_eq!(shard_of(id(&created), 2), shard_of(&device, 2), "{device}");
    }
    wait_until(SOON, "all are counted", || {
        server.metrics().sum("media_active_sessions", &[]) == 10_000.0
    });
    let metrics = server.metrics();
    for shard in ["0", "1"] {
        let sessions = metrics.sum("media_shard_sessions", &[("shard", shard)]);
        assert!(
            (4_750.0..=5_250.0).contains(&sessions),
            "shard {shard} has {sessions} of 10,000"
        );
    }
    // Labels that grow with the sessions are capped.
    let labelled = |name: &str| {
        metrics
            .samples
            .iter()
            .filter_map(|sample| sample.labels.get(name))
            .collect::<BTreeSet<_>>()
    };
    assert!(
        labelled("session_id").len() <= 1000,
        "{}",
        labelled("session_id").len()
    );
    assert!(
        labelled("device_id").len() <= 1001,
        "{}",
        labelled("device_id").len()
    );
}

#[test]
fn websockets_find_their_shard() {
    let server = Server::start(&["--shards", "2"]);
    for i in 0..12 {
        let device = device_on(i % 2, 2);
        let target = format!("/api/media/ws?deviceId={device}&userId=ada");
        let mut socket = support::ws::Socket::open(server.http(), &target);
        let offer = socket.expect("offer");
        let view = server
            .get(&format!("/api/media/sessions/{}", id(&offer)))
            .expect(200)
            .json();
        assert_eq!(view["shard"].as_u64(), Some(i % 2));
        socket.close();
    }
}
