//! Sessions that nobody watches end by themselves, and nothing is left behind (M7).

use std::time::Duration;

use serde_json::json;

use simulation::support::http::chunk;
use simulation::support::media::Clip;
use simulation::{Client, Sim, head};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const IDLE: Duration = Duration::from_secs(300);

fn exists(sim: &mut Sim, client: Client, session: &str) -> bool {
    sim.get(client, &format!("/api/media/sessions/{session}"))
        .status
        == 200
}

#[test]
fn an_idle_session_expires_and_a_watched_one_does_not() {
    let mut sim = Sim::with(2, 1, |config| config.media.setup_timeout = DAY);
    let (here, there) = (sim.device_on(0), sim.device_on(1));
    let client = sim.connect(0);
    let (viewer, watched) = sim.watch(client, &there);
    let idle = sim.create(client, &here)["sessionId"]
        .as_str()
        .unwrap()
        .to_owned();
    let touched = sim.create(client, &there)["sessionId"]
        .as_str()
        .unwrap()
        .to_owned();
    sim.run_for(IDLE / 2);
    let client = sim.connect(0);
    let path = format!("/api/media/sessions/{touched}/offer");
    sim.request(client, "POST", &path, &[], b"").expect(200);
    // Reading of it is not watching it.
    sim.get(client, &format!("/api/media/sessions/{idle}/stats"))
        .expect(200);
    sim.run_for(IDLE / 2 - 2 * SECOND);
    let client = sim.connect(0);
    assert!(exists(&mut sim, client, &idle), "not before its time");
    sim.run_for(3 * SECOND);
    assert!(!exists(&mut sim, client, &idle));
    assert!(
        exists(&mut sim, client, &touched),
        "it was asked for meanwhile"
    );
    sim.run_for(IDLE / 2);
    let client = sim.connect(0);
    assert!(!exists(&mut sim, client, &touched));
    sim.run_for(4 * IDLE);
    let client = sim.connect(0);
    assert!(
        exists(&mut sim, client, &watched),
        "its viewer's checks keep it"
    );

    // The viewer's battery is empty: 15 s until ICE notices, and 30 more.
    sim.switch_off(viewer);
    sim.run_for(60 * SECOND);
    assert!(!exists(&mut sim, client, &watched));
    assert_eq!(
        sim.metrics()
            .sum("media_sessions_closed_total", &[("reason", "idle")]),
        2.0
    );
    sim.run_for(IDLE + 80 * SECOND);
    sim.assert_nothing_left();
}

#[test]
fn a_viewer_has_a_minute_to_connect() {
    let mut sim = Sim::new(2, 4);
    let device = sim.device_on(1);
    let client = sim.connect(0);
    let (viewer, watched) = sim.watch(client, &device);
    let never = sim.create(client, &device)["sessionId"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut socket = sim.open(0, &format!("/api/media/ws?deviceId={device}"));
    // What it does otherwise makes no difference.
    for seq in 0..5 {
        sim.run_for(11 * SECOND);
        socket.send(
            &mut sim,
            &json!({"type": "control", "seq": seq, "action": "back"}),
        );
        let path = format!("/api/media/sessions/{never}/offer");
        sim.request(client, "POST", &path, &[], b"").expect(200);
    }
    sim.run_for(6 * SECOND);
    assert!(!exists(&mut sim, client, &never));
    let closing = socket.expect(&mut sim, "closing");
    assert_eq!(closing["reason"], "the viewer did not connect in time");
    assert!(exists(&mut sim, client, &watched));
    let setup = [("reason", "setup")];
    assert_eq!(
        sim.metrics().sum("media_sessions_closed_total", &setup),
        2.0
    );

    // Who has connected is watched for its silence alone.
    sim.run_for(120 * SECOND);
    let client = sim.connect(1);
    assert!(exists(&mut sim, client, &watched));
    assert!(!sim.viewers[viewer.0].closed);
}

#[test]
fn control_counts_as_activity() {
    let mut sim = Sim::with(1, 2, |config| config.media.setup_timeout = DAY);
    let mut socket = sim.open(0, "/api/media/ws?deviceId=cam-1&userId=ada");
    for seq in 0..20 {
        socket.send(
            &mut sim,
            &json!({"type": "control", "seq": seq, "action": "back"}),
        );
        let messages = socket.listen(&mut sim, 30 * SECOND);
        assert!(messages.iter().all(|message| message["type"] != "closing"));
    }
    let mut closing = socket.listen(&mut sim, IDLE);
    closing.retain(|message| message["type"] == "closing");
    assert_eq!(closing.len(), 1, "it did nothing for five minutes");
    assert_eq!(socket.closed(&mut sim), Some(1001));
}

#[test]
fn everything_that_comes_and_goes_leaves_nothing() {
    let mut sim = Sim::new(2, 3);
    let clip = Clip::tiny_h264();
    for round in 0..3 {
        for shard in 0..2 {
            let device = format!("{}-{round}", sim.device_on(shard));
            let publisher = sim.connect(0);
            let target = format!("/api/media/devices/{device}/video");
            let headers = [
                ("Content-Type", "video/h264"),
                ("Transfer-Encoding", "chunked"),
            ];
            sim.send(publisher, head("PUT", &target, &headers));
            let client = sim.connect(shard);
            let (viewer, session) = sim.watch(client, &device);
            let socket = sim.open(0, &format!("/api/media/ws?sessionId={session}"));
            let agent = sim.open(1, &format!("/api/media/devices/{device}/ws"));
            let lone = sim.open(1, &format!("/api/media/ws?deviceId={device}"));
            for number in 0..30 {
                sim.send(publisher, chunk(&clip.unit(number)));
                sim.run_for(SECOND / 30);
            }
            assert!(sim.viewers[viewer.0].video().count() > 20);
            assert!(sim.metrics().sum("media_cached_media_bytes", &[]) > 0.0);
            // Each way to go.
            sim.wire(publisher).reset = true;
            match round {
                0 => sim.switch_off(viewer),
                1 => {
                    let now = sim.now;
                    sim.viewers[viewer.0].close(now);
                }
                _ => {
                    let target = format!("/api/media/sessions/{session}");
                    sim.request(client, "DELETE", &target, &[], b"").expect(204);
                }
            }
            sim.wire(client).client_done = true;
            for socket in [socket, agent, lone] {
                socket.vanish(&mut sim);
            }
        }
    }
    sim.run_for(2 * IDLE);
    sim.assert_nothing_left();
}
