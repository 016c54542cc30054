//! Bounds of sessions: how many, how many candidates each, for how long without a viewer.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use str0m::IceConnectionState;

use support::server::Server;
use support::viewer::{Viewer, ViewerOptions};
use support::viewers::Viewers;
use support::{SOON, wait_until};

/// Limit of candidates per session (default).
const CANDIDATES: usize = 50;

fn session_path(session: &Value) -> String {
    format!(
        "/api/media/sessions/{}",
        session["sessionId"].as_str().expect("an id")
    )
}

fn offer_of(session: &Value) -> &str {
    session["offer"]["sdp"].as_str().expect("an offer")
}

fn candidate(port: usize) -> Value {
    let line = format!("candidate:1 1 udp 2130706431 192.0.2.1 {port} typ host");
    json!({"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0})
}

#[test]
fn the_fifty_first_candidate_is_refused() {
    let server = Server::start(&[]);
    let created = server.create_session("cam-1", "ada");
    let path = format!("{}/ice-candidate", session_path(&created));
    let (viewer, answer) = Viewer::answer(offer_of(&created), ViewerOptions::default());

    // Before the answer; what cannot be read does not count.
    let sentence = server
        .post(
            &path,
            &json!({"candidate": "candidate:nonsense", "sdpMid": "0", "sdpMLineIndex": 0}),
        )
        .expect_error(400, "bad_candidate");
    assert!(sentence.contains("candidate"), "{sentence}");
    server
        .post(&path, &json!({"sdpMid": "0"}))
        .expect_error(400, "bad_body");
    for candidate in [
        "candidate:1 1 udp 2113937151 5b1f5a5e-7b34-4e9c-9d0a-3b2f1c0d9e8f.local 51000 typ host",
        "candidate:2 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
        "",
    ] {
        server
            .post(
                &path,
                &json!({"candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0}),
            )
            .expect(204);
    }
    let accepted = (0..CANDIDATES)
        .take_while(|i| server.post(&path, &candidate(5000 + i)).status == 204)
        .count();
    // Those that were not candidates for us may count or not; the bound holds either way.
    assert!(
        (CANDIDATES - 3..=CANDIDATES).contains(&accepted),
        "{accepted}"
    );
    let sentence = server
        .post(&path, &candidate(6000))
        .expect_error(429, "too_many_candidates");
    assert!(sentence.contains("50"), "{sentence}");

    let id = created["sessionId"].as_str().expect("an id");
    let added = server
        .metrics()
        .get("media_ice_candidates_added_total", &[("session_id", id)]);
    assert!(
        added.is_some_and(|added| added >= (CANDIDATES - 3) as f64 && added <= CANDIDATES as f64),
        "{added:?}"
    );

    // Nothing else suffers.
    let path = session_path(&created);
    server
        .post(
            &format!("{path}/answer"),
            &json!({"type": "answer", "sdp": answer}),
        )
        .expect(204);
    let mut viewers = Viewers::default();
    let viewer = viewers.add(viewer);
    viewers.run_until(SOON, "the viewer is connected", |viewers| {
        viewers[viewer].is_connected()
    });
}

#[test]
fn idle_sessions_expire_and_watched_ones_do_not() {
    let server = Server::start(&["--set", "media.idle_timeout=5s"]);
    let begin = Instant::now();
    let idle = server.create_session("cam-1", "ada");
    let mut viewers = Viewers::default();
    let viewer = viewers.join_connected(server.http(), "cam-1", ViewerOptions::default());
    let path = session_path(&idle);
    // Only the list tells without touching the session.
    let listed = |server: &Server| server.get("/api/media/sessions").json().to_string();
    let id = idle["sessionId"].as_str().expect("an id").to_owned();
    viewers.run_until(SOON, "the idle session is gone", |_| {
        !listed(&server).contains(&id)
    });
    assert!(
        begin.elapsed() >= Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    server.get(&path).expect_error(404, "unknown_session");

    // Nothing is published: the viewer's own checks, each 3 s, keep it.
    viewers.run_for(Duration::from_secs(6));
    assert!(
        viewers[viewer].is_connected(),
        "{:?}",
        viewers[viewer].closed
    );
    assert!(listed(&server).contains(&viewers[viewer].session));
    assert_ne!(viewers[viewer].ice, IceConnectionState::Disconnected);
}

#[test]
fn a_viewer_that_vanishes_expires() {
    let server = Server::start(&["--set", "media.idle_timeout=2s"]);
    let before = server.footprint();
    let mut viewers = Viewers::default();
    viewers.join_connected(server.http(), "cam-1", ViewerOptions::default());
    drop(viewers); // no farewell
    server.wait_nothing_left(&before);
}

#[test]
fn there_are_no_more_sessions_than_configured() {
    let server = Server::start(&[
        "--set",
        "limits.sessions=3",
        "--set",
        "limits.sessions_per_device=2",
    ]);
    let body = |device: &str| json!({"deviceId": device, "userId": "ada"});
    let first = server.create_session("cam-1", "ada");
    server.create_session("cam-1", "ada");
    let sentence = server
        .post("/api/media/sessions", &body("cam-1"))
        .expect_error(503, "full");
    assert!(sentence.contains('2'), "{sentence}");
    server.create_session("cam-2", "ada");
    let sentence = server
        .post("/api/media/sessions", &body("cam-3"))
        .expect_error(503, "full");
    assert!(sentence.contains('3'), "{sentence}");
    server.delete(&session_path(&first)).expect(204);
    wait_until(SOON, "the place is free again", || {
        server.post("/api/media/sessions", &body("cam-3")).status == 201
    });
}
