//! How long the turns of a shard are that have to do with all of its sessions.
//!
//! ```text
//! cargo bench --bench turns                                  # 100,000 sessions: 5 GB of memory
//! cargo bench --bench turns -- --sessions 10000 scrape
//! ```
//!
//! A shard without sockets, in virtual time, on one thread: the figures are CPU time of whole turns, with what the
//! driver would carry away, and without its system calls. Sessions are created over HTTP, have no viewer yet, and
//! are spread over devices.

#[path = "../hall/mod.rs"]
mod hall;

use std::thread;
use std::time::Duration;

use clap::Parser;
use media_service::limits::Cap;
use media_service::memory;
use media_service::message::Message;
use media_service::metrics::{LastAnswers, ProcessFigures, encode};
use media_service::shard::Job;

use crate::hall::{Hall, Turn, cpu};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often free memory goes back to the kernel.
const GIVE_BACK_INTERVAL: Duration = Duration::from_secs(1);
/// Sessions of a device.
const SESSIONS_PER_DEVICE: usize = 10;

#[derive(Parser)]
struct Options {
    /// Sessions of the shard.
    #[arg(long, default_value_t = 100_000)]
    sessions: usize,
    /// Which ones; all without a name.
    cases: Vec<String>,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A case: its name, and how it is measured.
type Case = (&'static str, fn(usize) -> Vec<Duration>);

const CASES: [Case; 6] = [
    ("create", create),
    ("expire", expire),
    ("drain", drain),
    ("scrape", scrape),
    ("list", list),
    ("devices", devices),
];

fn main() {
    memory::hold_free_memory();
    // As the server's control thread does.
    thread::spawn(|| {
        loop {
            thread::sleep(GIVE_BACK_INTERVAL);
            memory::give_back();
        }
    });
    let options = Options::parse();
    let wanted = |name: &str| options.cases.is_empty() || options.cases.iter().any(|it| it == name);
    println!(
        "| {} sessions | turns | P50 | P99 | max | together |",
        options.sessions
    );
    println!("|---|---|---|---|---|---|");
    for (name, measure) in CASES.into_iter().filter(|(name, _)| wanted(name)) {
        print(name, measure(options.sessions));
    }
}

fn print(name: &str, mut turns: Vec<Duration>) {
    turns.sort_unstable();
    let at = |share: f64| turns[((turns.len() - 1) as f64 * share) as usize];
    let all: Duration = turns.iter().sum();
    println!(
        "| {name} | {} | {:.1?} | {:.1?} | {:.1?} | {all:.2?} |",
        turns.len(),
        at(0.5),
        at(0.99),
        at(1.0),
    );
}

fn filled(sessions: usize) -> (Hall, Vec<Duration>) {
    let mut hall = Hall::new(|config| {
        (config.metrics.session_series, config.metrics.device_series) = (Cap::OFF, Cap::OFF);
    });
    let mut turns = Vec::with_capacity(sessions);
    for session in 0..sessions {
        let before = cpu();
        hall.create(session / SESSIONS_PER_DEVICE);
        turns.push(cpu() - before);
    }
    hall.settle();
    (hall, turns)
}

/// A shard with sessions, whose turns count from now on.
fn full(sessions: usize) -> Hall {
    let (mut hall, _) = filled(sessions);
    hall.longest = Turn::default();
    hall
}

/// Where the time of the longest turn went.
fn tell_longest(hall: &Hall) {
    let Turn { number, parts } = hall.longest;
    let [began, ended, carried] = parts;
    eprintln!(
        "the longest turn, number {number}: {began:.1?} for what came in or a tick, {ended:.1?} for its end, \
         {carried:.1?} for carrying away"
    );
}

/// One turn creates one session.
fn create(sessions: usize) -> Vec<Duration> {
    let (hall, turns) = filled(sessions);
    tell_longest(&hall);
    turns
}

/// All of them have not connected in time.
fn expire(sessions: usize) -> Vec<Duration> {
    let mut hall = full(sessions);
    let by = hall.now + Duration::from_secs(70);
    let mut turns = Vec::new();
    while hall.now < by {
        turns.extend(hall.settle());
    }
    tell_longest(&hall);
    hall.ask("GET", "/api/media/sessions?limit=1", "");
    settle_answer(&mut hall);
    let answer = String::from_utf8_lossy(&hall.answer).into_owned();
    assert!(answer.contains(r#""sessions":[]"#), "{answer}");
    turns.retain(|turn| *turn > Duration::from_micros(20));
    turns
}

/// A shutdown.
fn drain(sessions: usize) -> Vec<Duration> {
    let mut hall = full(sessions);
    let deadline = hall.now + Duration::from_secs(30);
    let (took, _) = hall.mail(Message::Drain { deadline });
    let mut turns = vec![took];
    turns.extend(hall.finish());
    tell_longest(&hall);
    turns
}

fn settle_answer(hall: &mut Hall) -> Vec<Duration> {
    let mut turns = Vec::new();
    for _ in 0..1_000 {
        if !hall.answer.is_empty() {
            break;
        }
        turns.extend(hall.settle());
        if !hall.jobs.is_empty() {
            break;
        }
    }
    turns
}

fn asked(hall: &mut Hall, path: &str) -> Vec<Duration> {
    let took = hall.ask("GET", path, "");
    let mut turns = vec![took];
    turns.extend(settle_answer(hall));
    turns
}

/// A scrape, each session and device with series of its own; what the side thread takes is printed beside it.
fn scrape(sessions: usize) -> Vec<Duration> {
    let mut hall = full(sessions);
    let mut last = LastAnswers::new();
    let (mut turns, mut side) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        turns.extend(asked(&mut hall, "/metrics"));
        let Some(Job::Scrape(job)) = hall.jobs.pop() else {
            panic!("the side thread is asked")
        };
        let before = cpu();
        let text = encode(last.update(job.snapshots), &ProcessFigures::default());
        let text = text.expect("figures that can be written");
        side.push(cpu() - before);
        let message = Message::Encoded {
            connection: job.connection,
            gather: job.gather,
            text,
        };
        let (took, _) = hall.mail(message);
        turns.push(took);
        turns.extend(hall.finish());
    }
    tell_longest(&hall);
    print("scrape: side thread", side);
    turns
}

/// The largest page of sessions.
fn list(sessions: usize) -> Vec<Duration> {
    ten_times(sessions, "/api/media/sessions?limit=1000")
}

/// All devices.
fn devices(sessions: usize) -> Vec<Duration> {
    ten_times(sessions, "/api/media/devices")
}

fn ten_times(sessions: usize, path: &str) -> Vec<Duration> {
    let mut hall = full(sessions);
    let turns = (0..10).flat_map(|_| asked(&mut hall, path)).collect();
    tell_longest(&hall);
    turns
}
