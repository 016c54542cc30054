//! Shards that do not answer, and mailboxes that take nothing.

use std::time::Duration;

use serde_json::json;

use simulation::{Side, Sim, request};

const SECOND: Duration = Duration::from_secs(1);
const LIST: &str = "/api/media/sessions";

#[test]
fn a_full_mailbox_refuses_the_request_and_the_connection_lives_on() {
    let mut sim = Sim::new(2, 1);
    let device = sim.device_on(1);
    let client = sim.connect(0);
    let capacity = std::mem::replace(&mut sim.mailboxes[1].capacity, 0);
    // With a request of this shard's own behind it.
    let body = json!({"deviceId": device, "userId": "ada"}).to_string();
    sim.send(client, request("POST", LIST, &[], body.as_bytes()));
    sim.send(client, request("GET", "/health", &[], b""));
    let busy = sim.response(client);
    assert_eq!(busy.header("Retry-After"), Some("1"));
    busy.expect_error(503, "shard_busy");
    sim.response(client).expect(200);

    sim.mailboxes[1].capacity = capacity;
    sim.create(client, &device);
    let metrics = sim.metrics();
    assert_eq!(metrics.sum("media_active_sessions", &[]), 1.0);
    assert_eq!(metrics.sum("media_connections_handed_over_total", &[]), 1.0);
    assert_eq!(metrics.sum("media_shard_mailbox_full_total", &[]), 1.0);
}

#[test]
fn a_list_that_misses_a_part_is_an_error_and_metrics_say_whose() {
    let mut sim = Sim::new(3, 2);
    let client = sim.connect(0);
    sim.get(client, "/metrics").expect(200);
    for full in [false, true] {
        let capacity = sim.mailboxes[1].capacity;
        match full {
            true => sim.mailboxes[1].capacity = 0,
            false => sim.stuck[1] = true,
        }
        let asked = sim.now;
        sim.get(client, LIST).expect_error(503, "shard_busy");
        sim.get(client, "/api/media/devices")
            .expect_error(503, "shard_busy");
        let metrics = sim.metrics();
        assert!(sim.now - asked < 3 * SECOND, "nobody waits for it for long");
        for (shard, up) in [("0", 1.0), ("1", 0.0), ("2", 1.0)] {
            assert_eq!(metrics.get("media_shard_up", &[("shard", shard)]), Some(up));
        }
        let loads = sim.get(client, "/api/v1/stats/shards").expect(200).json();
        let up: Vec<_> = loads["shards"].as_array().into_iter().flatten().collect();
        let up: Vec<_> = up.iter().map(|shard| shard["up"].as_bool()).collect();
        assert_eq!(up, [Some(true), Some(false), Some(true)], "{loads}");
        sim.mailboxes[1].capacity = capacity;
        sim.stuck[1] = false;
        // The answers to what was asked come too late, and are no answers to this.
        sim.get(client, LIST).expect(200);
        assert_eq!(sim.metrics().sum("media_shard_up", &[]), 3.0);
    }
}

#[test]
fn a_scrape_that_nobody_writes_is_refused_in_the_end() {
    let mut sim = Sim::new(2, 3);
    let client = sim.connect(0);
    sim.side = Side::Full;
    sim.get(client, "/metrics").expect_error(503, "shard_busy");
    sim.side = Side::Silent;
    sim.send(client, request("GET", "/metrics", &[], b""));
    sim.send(client, request("GET", LIST, &[], b""));
    let refused = sim.answer_within(6 * SECOND, client, false);
    refused.expect_error(503, "shard_busy");
    sim.response(client).expect(200);
    sim.side = Side::Works;
    sim.get(client, "/metrics").expect(200);
}

#[test]
fn a_client_that_goes_while_it_waits_leaves_nothing_behind() {
    let mut sim = Sim::new(2, 4);
    let device = sim.device_on(1);
    let client = sim.connect(0);
    sim.mailboxes[1].delay = 50 * SECOND / 1000;
    sim.send(client, request("GET", LIST, &[], b""));
    sim.step();
    sim.wire(client).reset = true;
    // This one goes while it moves.
    let mover = sim.connect(0);
    sim.send(
        mover,
        request("GET", &format!("/api/media/devices/{device}"), &[], b""),
    );
    sim.step();
    sim.wire(mover).reset = true;
    sim.run_for(SECOND);
    let metrics = sim.metrics();
    assert_eq!(
        metrics.sum("media_shard_connections", &[]),
        1.0,
        "that of the scrape"
    );
}
