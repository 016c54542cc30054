//! What a server tells of where its time goes.

mod support;

use serde_json::Value;

use support::http::head;
use support::metrics::Metrics;
use support::server::Server;
use support::viewer::ViewerOptions;
use support::viewers::Viewers;
use support::{SOON, wait_for};

/// How long a shard is held up on purpose, in seconds.
const STALL: f64 = 0.2;
/// The same as a fault of a request.
const STALLED: &str = "stall:200";

fn load(server: &Server, shard: usize) -> Value {
    let loads = server.get("/api/v1/stats/shards").expect(200).json();
    assert_eq!(loads["shards"][shard]["shard"], shard, "{loads}");
    loads["shards"][shard].clone()
}

/// Turns of a shard that took longer than so many seconds.
fn longer_than(metrics: &Metrics, bound: &str) -> f64 {
    let turns = "media_shard_turn_duration_seconds";
    let within = metrics.sum(&format!("{turns}_bucket"), &[("le", bound)]);
    metrics.sum(&format!("{turns}_count"), &[]) - within
}

#[test]
fn a_long_turn_shows_with_the_part_that_made_it_long() {
    let server = Server::start(&["--shards", "1"]);
    let (before, load_before) = (server.metrics(), load(&server, 0));
    let mut connection = server.connect();
    connection
        .send_request("GET", "/health", &[("X-Fault", STALLED)], b"")
        .expect("the server reads");
    connection.response().expect(200);

    let (after, load) = (server.metrics(), load(&server, 0));
    let grown = |name, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
    assert!(longer_than(&after, "0.1") > longer_than(&before, "0.1"));
    assert!(grown("media_shard_busy_seconds_total", &[]) >= STALL);
    assert!(
        grown(
            "media_shard_stage_seconds_total",
            &[("stage", "connections")]
        ) >= STALL
    );
    assert!(after.sum("media_shard_longest_turn_seconds", &[]) >= STALL);

    let seconds = |load: &Value, pointer: &str| load.pointer(pointer).and_then(Value::as_f64);
    for figure in ["/busy_seconds", "/stage_seconds/connections"] {
        let (before, after) = (seconds(&load_before, figure), seconds(&load, figure));
        assert!(
            after >= before.map(|before| before + STALL),
            "{figure}: {load}"
        );
    }
    assert!(
        load["longest_turn_seconds"].as_f64() >= Some(STALL),
        "{load}"
    );
    // It slept: that is no CPU time.
    let cpu = load["cpu_seconds"].as_f64();
    assert!(cpu > Some(0.0), "{load}");
}

#[test]
fn connections_that_leave_a_shard_come_to_another() {
    let server = Server::start(&["--shards", "2"]);
    let devices: Vec<String> = (0..8).map(|n| format!("cam-{n}")).collect();
    let sessions: Vec<String> = devices
        .iter()
        .map(|device| server.create_session(device, "ada")["sessionId"].to_string())
        .map(|id| id.trim_matches('"').to_owned())
        .collect();
    let mut connection = server.connect();
    for session in &sessions {
        let path = format!("/api/media/sessions/{session}");
        let mut bytes = head(server.http(), "GET", &path, &[]);
        bytes.extend(b"\r\n");
        connection.send(bytes).expect("the server reads");
        connection.response().expect(200);
    }
    let moved = wait_for(SOON, "who has left has arrived", || {
        let metrics = server.metrics();
        let moved =
            |direction| metrics.sum("media_shard_hand_overs_total", &[("direction", direction)]);
        let all = metrics.sum("media_connections_handed_over_total", &[]);
        (moved("in") == all && moved("out") == all).then_some(all)
    });
    assert!(moved > 0.0, "eight devices are on both shards");
    let (one, two) = (load(&server, 0), load(&server, 1));
    let sum = |name: &str| one[name].as_u64().unwrap_or(0) + two[name].as_u64().unwrap_or(0);
    assert!(sum("hand_overs_in") as f64 >= moved);
    assert!(one["mailbox_deepest"].as_u64() >= Some(1), "{one}");
    assert!(two["mailbox_deepest"].as_u64() >= Some(1), "{two}");
    assert_eq!(sum("sessions"), 8);
}

#[test]
fn lengths_of_runs_agree_with_what_was_sent() {
    let server = Server::start(&["--shards", "1", "--demo"]);
    let mut viewers = Viewers::default();
    for _ in 0..3 {
        viewers.join(server.http(), "demo", ViewerOptions::default());
    }
    viewers.run_until(SOON, "everybody sees some pictures", |viewers| {
        viewers.iter().all(|viewer| viewer.pictures.len() >= 10)
    });
    let metrics = server.metrics();
    let runs = |part: &str| metrics.sum(&format!("media_shard_send_run_datagrams_{part}"), &[]);
    let sent = metrics.sum("media_datagrams_sent_total", &[]);
    assert_eq!(runs("sum"), sent);
    assert_eq!(runs("count"), metrics.sum("media_send_runs_total", &[]));
    let up_to = |bound| {
        let labels = [("le", bound)];
        metrics.sum("media_shard_send_run_datagrams_bucket", &labels)
    };
    assert_eq!(up_to("64"), runs("count"), "no run is longer");
    assert!(up_to("4") < runs("count"), "pictures are sent in runs");
    let received = metrics.sum("media_shard_receive_batch_datagrams_sum", &[]);
    assert_eq!(received, metrics.sum("media_datagrams_received_total", &[]));
    for stage in ["datagrams", "fan_out", "send"] {
        let labels = [("stage", stage)];
        let took = metrics.sum("media_shard_stage_seconds_total", &labels);
        assert!(took > 0.0, "{stage}");
    }
}
