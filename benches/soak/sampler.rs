//! What the server holds, each second: by its own gauges, and by `/proc`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::http::Connection;
use crate::support::metrics::Metrics;
use crate::support::process::Process;

const INTERVAL: Duration = Duration::from_secs(1);
/// Samples that a baseline is made of.
const STEADY_SAMPLES: usize = 7;

/// Where a figure comes from.
#[derive(Clone, Copy)]
enum Source {
    Rss,
    Fds,
    Threads,
    /// The sum over the series of a name.
    Metric(&'static str),
}

/// What a figure must be once the churn is over.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// Not above the baseline by more than this.
    Baseline(f64),
    /// Not above the baseline by more than [`MEMORY_SHARE`] of it and [`MEMORY_BYTES`].
    Memory,
    /// Zero all along.
    Never,
    /// As it is.
    Shown,
}

/// Memory may stay above its baseline by this share: the allocator keeps pages of each size and thread that were full
/// at the largest moment of the churn, which is larger the longer it lasts, …
pub const MEMORY_SHARE: f64 = 0.10;
/// … and by this: pages of the store's cache (2 MB), recent messages of the rooms that stay, and the tables of
/// connections, sessions and rate limits that have grown to the most that there were.
pub const MEMORY_BYTES: f64 = 16e6;

pub struct Column {
    pub name: &'static str,
    source: Source,
    pub bound: Bound,
}

const fn metric(name: &'static str, metric: &'static str, bound: Bound) -> Column {
    Column {
        name,
        source: Source::Metric(metric),
        bound,
    }
}

/// Few enough for the descriptors or timers of a request that is just being answered.
const BESIDE: f64 = 2.0;

pub const COLUMNS: &[Column] = &[
    Column {
        name: "rss_bytes",
        source: Source::Rss,
        bound: Bound::Memory,
    },
    Column {
        name: "descriptors",
        source: Source::Fds,
        bound: Bound::Baseline(BESIDE),
    },
    Column {
        name: "threads",
        source: Source::Threads,
        bound: Bound::Baseline(0.0),
    },
    metric("tasks", "media_task_count", Bound::Baseline(BESIDE)),
    metric("sessions", "media_active_sessions", Bound::Baseline(0.0)),
    metric(
        "connections",
        "media_shard_connections",
        Bound::Baseline(0.0),
    ),
    metric("devices", "media_devices", Bound::Baseline(0.0)),
    metric("publishers", "media_publishers", Bound::Baseline(0.0)),
    metric(
        "websockets",
        "media_websocket_connections",
        Bound::Baseline(0.0),
    ),
    metric("members", "media_room_members", Bound::Baseline(0.0)),
    metric("room_users", "media_room_users", Bound::Baseline(0.0)),
    metric("rooms", "media_rooms", Bound::Baseline(0.0)),
    metric("timers", "media_shard_timers", Bound::Baseline(BESIDE)),
    metric(
        "outbound_bytes",
        "media_outbound_buffer_bytes",
        Bound::Baseline(65_536.0),
    ),
    metric(
        "store_rows_waiting",
        "media_room_store_rows",
        Bound::Baseline(BESIDE),
    ),
    metric("panics", "media_panics_caught_total", Bound::Never),
    metric("leak", "media_potential_task_leak", Bound::Never),
    metric(
        "log_lines_dropped",
        "media_log_lines_dropped_total",
        Bound::Never,
    ),
    metric(
        "store_rows_failed",
        "media_store_failed_rows_total",
        Bound::Never,
    ),
    metric(
        "connections_refused",
        "media_connections_refused_total",
        Bound::Shown,
    ),
    metric(
        "requests_rejected",
        "media_rejected_requests_total",
        Bound::Shown,
    ),
    metric("members_cut", "media_room_members_cut_total", Bound::Shown),
    metric(
        "mailbox_full",
        "media_shard_mailbox_full_total",
        Bound::Shown,
    ),
    metric("cpu_seconds", "process_cpu_seconds_total", Bound::Shown),
];

/// The figures of one moment, in the order of [`COLUMNS`].
#[derive(Clone, Debug)]
pub struct Sample {
    /// Since the start.
    pub at: Duration,
    /// What was being done.
    pub phase: &'static str,
    pub figures: Vec<f64>,
}

/// What is being done, for the samples.
#[derive(Clone, Default)]
pub struct Phase(Arc<Mutex<&'static str>>);

impl Phase {
    pub fn set(&self, phase: &'static str) {
        *self.0.lock().expect("nobody panics with it") = phase;
    }

    fn get(&self) -> &'static str {
        *self.0.lock().expect("nobody panics with it")
    }
}

/// Takes samples on a thread of its own.
pub struct Sampler {
    ending: Arc<AtomicBool>,
    samples: Arc<Mutex<Vec<Sample>>>,
    thread: JoinHandle<()>,
}

impl Sampler {
    pub fn start(http: SocketAddr, process: Process, phase: &Phase, begin: Instant) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let samples = Arc::new(Mutex::new(Vec::new()));
        let (end, all, phase) = (Arc::clone(&ending), Arc::clone(&samples), phase.clone());
        let thread = thread::spawn(move || {
            let mut connection = Connection::open(http);
            while !end.load(Ordering::Relaxed) {
                let next = Instant::now() + INTERVAL;
                // One that fails is missing in the table; whether the server lives is asked elsewhere.
                if let Some(metrics) = scrape(&mut connection) {
                    let sample = Sample {
                        at: begin.elapsed(),
                        phase: phase.get(),
                        figures: figures(&metrics, process),
                    };
                    all.lock().expect("nobody panics with it").push(sample);
                } else if let Ok(again) = Connection::try_open(http) {
                    connection = again;
                }
                while Instant::now() < next && !end.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(20));
                }
            }
        });
        Self {
            ending,
            samples,
            thread,
        }
    }

    /// Each figure's median over the last few samples: the moment of a request or of a tick does not count.
    pub fn steady(&self) -> Option<Sample> {
        let samples = self.samples.lock().expect("nobody panics with it");
        let recent = &samples[samples.len().saturating_sub(STEADY_SAMPLES)..];
        let mut steady = recent.last()?.clone();
        for (index, figure) in steady.figures.iter_mut().enumerate() {
            let mut all: Vec<f64> = recent.iter().map(|sample| sample.figures[index]).collect();
            all.sort_by(f64::total_cmp);
            *figure = all[all.len() / 2];
        }
        Some(steady)
    }

    pub fn end(self) -> Vec<Sample> {
        self.ending.store(true, Ordering::Relaxed);
        self.thread.join().expect("the sampler");
        std::mem::take(&mut self.samples.lock().expect("nobody panics with it"))
    }
}

fn scrape(connection: &mut Connection) -> Option<Metrics> {
    connection.send_request("GET", "/metrics", &[], b"").ok()?;
    let response = connection.try_response(false).ok()?;
    (response.status == 200).then(|| Metrics::parse(&response.text()))
}

fn figures(metrics: &Metrics, process: Process) -> Vec<f64> {
    let figure = |column: &Column| match column.source {
        Source::Rss => process.rss() as f64,
        Source::Fds => process.fds() as f64,
        Source::Threads => process.threads() as f64,
        Source::Metric(name) => metrics.sum(name, &[]),
    };
    COLUMNS.iter().map(figure).collect()
}
