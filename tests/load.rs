//! The load generator against the server: what it counts, and never how long that took.

mod support;

use clap::Parser;
use load::report::{Outcome, Report, Unit};
use load::{process, requests, rooms};

use support::server::Server;

#[derive(Parser)]
enum Load {
    Http(requests::Arguments),
    Rooms(rooms::Arguments),
}

/// Runs a load against the server, for a moment.
fn measured(server: &Server, line: &[&str]) -> Vec<Outcome> {
    let (base, pid) = (server.http().to_string(), server.process().0.to_string());
    let cpu = process::available_cpus()[0].to_string();
    let target = ["--base", &base, "--pid", &pid, "--client-cpu", &cpu];
    let moment = ["--rounds", "1", "--seconds", "1", "--warm-up", "0.1"];
    let mut report = Report::default();
    let ran = match Load::parse_from([&["load"], line, &target, &moment].concat()) {
        Load::Http(arguments) => requests::run(&arguments, &mut report),
        Load::Rooms(arguments) => rooms::run(&arguments, &mut report),
    };
    ran.unwrap_or_else(|error| panic!("{line:?}: {error}"));
    report.outcomes().to_vec()
}

/// Work was done, it cost the server something, and nothing of it went wrong.
fn assert_sound(outcome: &Outcome, unit: Unit, must_be_0: &[&str]) {
    assert_eq!(outcome.unit, unit);
    assert!(outcome.units > 0, "{outcome:?}");
    assert!(outcome.seconds > 0.0, "{outcome:?}");
    assert!(outcome.server.cpu_us() > 0.0, "{outcome:?}");
    assert!(outcome.server.rss_after > 0, "{outcome:?}");
    for name in must_be_0 {
        assert_eq!(outcome.counts.get(*name), Some(&0), "{name}: {outcome:?}");
    }
}

const REQUESTS_GONE: [&str; 3] = ["errors", "closed", "unanswered"];

#[test]
fn requests_of_a_closed_loop_are_those_that_the_server_counts() {
    let server = Server::start(&["--shards", "1"]);
    let outcomes = measured(&server, &["http", "--path", "/api/media/devices"]);
    assert_sound(&outcomes[0], Unit::Request, &REQUESTS_GONE);
    let latency = outcomes[0].latency_us.expect("every request has one");
    let labels = [("path", "/api/media/devices"), ("status", "200")];
    let served = server.metrics().sum("media_http_requests_total", &labels) as u64;
    // The warm-up's are the server's alone.
    assert!(served >= latency.count, "{served}: {outcomes:?}");
}

#[test]
fn an_open_loop_sends_what_its_schedule_says() {
    let server = Server::start(&["--shards", "1"]);
    let line = ["http", "--rate", "200", "--connections", "4"];
    let outcomes = measured(&server, &line);
    assert_sound(&outcomes[0], Unit::Request, &REQUESTS_GONE);
    assert_eq!(
        outcomes[0].latency_us.map(|latency| latency.count),
        Some(200)
    );
}

#[test]
fn sessions_of_both_shards_are_read_on_every_connection() {
    let server = Server::start(&["--shards", "2"]);
    let line = [
        "http",
        "--path",
        "/api/media/sessions/{id}",
        "--sessions",
        "8",
        "--owners",
        "alternating",
    ];
    let outcomes = measured(&server, &line);
    assert_sound(&outcomes[0], Unit::Request, &REQUESTS_GONE);
    assert_eq!(outcomes[0].setting["owners"], "alternating");
}

#[test]
fn unknown_paths_are_errors_and_no_units() {
    let server = Server::start(&["--shards", "1"]);
    let line = ["http", "--path", "/nowhere", "--rate", "100"];
    let outcomes = measured(&server, &line);
    assert_eq!((outcomes[0].units, outcomes[0].latency_us), (0, None));
    assert!(outcomes[0].counted("errors") > 0, "{outcomes:?}");
}

#[test]
fn every_member_of_the_rooms_has_every_message() {
    let unlimited = [
        "--shards",
        "1",
        "--set",
        "rooms.member_rate=0",
        "--set",
        "rooms.message_rate=0",
        "--set",
        "limits.rooms_per_anchor=0",
    ];
    let server = Server::start(&unlimited);
    let outcomes = measured(&server, &["rooms", "store"]);
    assert_eq!(outcomes.len(), 3);
    for outcome in &outcomes {
        assert_sound(outcome, Unit::Delivery, &["lost_or_repeated"]);
        assert!(outcome.counted("acks") > 0, "{outcome:?}");
        assert!(outcome.latency_us.is_some(), "{outcome:?}");
    }
}
