//! The load generator's viewers and sessions against the real server: what they count is what was sent.

mod support;

use clap::Parser;
use load::report::{Outcome, Report, Unit};
use load::{sessions, viewers};

use support::process::available_cpus;
use support::server::Server;

#[derive(Parser)]
struct Viewers {
    #[command(flatten)]
    arguments: viewers::Arguments,
}

#[derive(Parser)]
struct Sessions {
    #[command(flatten)]
    arguments: sessions::Arguments,
}

/// A command line for one short round against this server, without a CPU of one's own.
fn command_line(server: &Server, options: &str) -> Vec<String> {
    let cpu = available_cpus()[0];
    let line = format!(
        "load --base {} --pid {} --client-cpu {cpu} --rounds 1 --warm-up 0.5 --seconds 2 {options}",
        server.http(),
        server.process().0
    );
    line.split_ascii_whitespace().map(str::to_owned).collect()
}

fn run_viewers(server: &Server, options: &str) -> Outcome {
    let Viewers { arguments } = Viewers::parse_from(command_line(server, options));
    let mut report = Report::default();
    viewers::run(&arguments, &mut report).unwrap_or_else(|error| panic!("{options}: {error}"));
    report.outcomes()[0].clone()
}

fn run_sessions(server: &Server, options: &str) -> Vec<Outcome> {
    let Sessions { arguments } = Sessions::parse_from(command_line(server, options));
    let mut report = Report::default();
    sessions::run(&arguments, &mut report).unwrap_or_else(|error| panic!("{options}: {error}"));
    report.outcomes().to_vec()
}

/// A machine that does something else may keep both ends from running for longer than NACKs are repeated.
const ROUNDS_AT_MOST: usize = 4;

#[test]
fn what_five_viewers_lose_comes_again_and_their_frames_are_the_clip_s() {
    let server = Server::start(&["--shards", "1"]);
    let whole = (0..ROUNDS_AT_MOST).any(|round| {
        let options = format!("--viewers 5 --loss 5 --verify 2 --bitrate 400000 --device d{round}");
        let outcome = run_viewers(&server, &options);
        let count = |name| outcome.counted(name);
        assert!(outcome.unit == Unit::Packet && outcome.units > 0);
        assert!(count("lost") <= count("overflowed"), "{outcome:?}");
        let accounted = ["recovered", "late", "never", "pending"].map(count);
        assert_eq!(accounted.iter().sum::<u64>(), count("dropped"));
        assert!(count("recovered") > 0, "{outcome:?}");
        assert!(count("frames") > 0, "{outcome:?}");
        assert_eq!((count("wrong"), count("over")), (0, 0), "{outcome:?}");
        count("late") + count("never") + count("gaps") == 0
    });
    assert!(whole, "in no round all came again");
}

#[test]
fn viewers_with_and_without_gro_and_a_sink_count_what_the_server_sent() {
    let server = Server::start(&["--shards", "1"]);
    for (device, how) in ["", "--gro", "--sink", "--reports 0.2", "--latency"]
        .iter()
        .enumerate()
    {
        let options = format!("--viewers 5 --device d{device} {how}");
        let outcome = run_viewers(&server, &options);
        let count = |name| outcome.counted(name);
        assert!(outcome.units > 0, "{how}: {outcome:?}");
        assert!(count("lost") <= count("overflowed"), "{how}: {outcome:?}");
        assert_eq!(count("over"), 0, "{how}: {outcome:?}");
        // Both are counted one after the other, so that a frame may come in between, of forty packets if it is a keyframe.
        let between = outcome.units.abs_diff(count("server_packets"));
        let in_between = 2 * 5 * 50 + count("overflowed");
        assert!(between <= in_between, "{how}: {outcome:?}");
        let waited = outcome.latency_us.map_or(0, |latency| latency.count);
        assert_eq!(waited > 0, *how == "--latency", "{how}: {outcome:?}");
    }
}

#[test]
fn idle_viewers_are_connected_and_see_nothing() {
    let server = Server::start(&["--shards", "1"]);
    let outcome = run_viewers(&server, "--viewers 5 --idle");
    assert_eq!((outcome.unit, outcome.units), (Unit::Viewer, 5));
    assert_eq!(outcome.counted("over"), 0, "{outcome:?}");
    assert_eq!(
        server.metrics().sum("media_rtp_packets_sent_total", &[]),
        0.0
    );
}

#[test]
fn sessions_are_made_ended_and_set_up() {
    let server = Server::start(&["--shards", "1"]);
    let before = server.footprint();
    let outcomes = run_sessions(&server, "--sessions 20 --concurrency 3");
    let made: Vec<_> = outcomes.iter().map(|it| (it.unit, it.units)).collect();
    assert_eq!(made, [(Unit::Session, 20); 2]);
    let set_up = run_sessions(&server, "--sessions 10 --concurrency 4 --setup");
    assert_eq!((set_up[0].unit, set_up[0].units), (Unit::Setup, 10));
    let latency = set_up[0].latency_us.expect("somebody waited");
    assert_eq!(latency.count, 10);
    // Sixteen that nobody measures come before, and stay where they are only made.
    assert_eq!(server.footprint().sessions, before.sessions + 16);
}
