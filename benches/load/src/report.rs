//! What a load came to: one [`Outcome`] a round, as lines of JSON and as a table of medians.

mod table;
#[cfg(test)]
mod tests;

pub use table::{BUSY, Column, LATENCY, Merge, table};

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;
use crate::process::{Cpu, Process};

/// One measured load: one line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What was done.
    pub scenario: String,
    /// How: rounds with equal scenario and setting are comparable, and their medians count.
    pub setting: Map<String, Value>,
    /// What is counted.
    pub unit: Unit,
    /// How many there were.
    pub units: u64,
    /// How long it took.
    pub seconds: f64,
    /// What it cost the server.
    pub server: ServerCost,
    /// User and system time of the generator's process in µs.
    pub client_cpu_us: f64,
    /// How long clients waited; none where nobody waits.
    pub latency_us: Option<Latency>,
    /// Whatever else is counted, by its name: what must be 0 (`lost`, `errors`), times in µs (`…_us`).
    pub counts: BTreeMap<String, u64>,
}

/// A unit of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// An HTTP request that was answered.
    Request,
    /// A message that a member of a room received.
    Delivery,
    /// An RTP packet that a viewer received.
    Packet,
    /// A session that was created.
    Session,
    /// A viewer that was set up to its first packet.
    Setup,
    /// A viewer that is there.
    Viewer,
    /// A member of a room that is there.
    Member,
}

/// What a span cost the server's process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerCost {
    /// CPU time in the program, µs.
    pub user_us: f64,
    /// CPU time in the kernel on its behalf, µs. Over loopback it has the work of the receiving sockets.
    pub system_us: f64,
    /// Resident memory at the beginning, in bytes.
    pub rss_before: u64,
    /// At the end.
    pub rss_after: u64,
}

impl ServerCost {
    /// User and system time in µs.
    pub fn cpu_us(&self) -> f64 {
        self.user_us + self.system_us
    }
}

/// Quantiles of what clients waited, in µs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 99 of 100 waited no longer.
    pub p99: f64,
    /// 999 of 1,000 waited no longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// How many waits were measured.
    pub count: u64,
}

/// Times in ns, with three digits of each.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

/// An hour: longer than any load waits for an answer.
const LONGEST_NS: u64 = 3_600_000_000_000;
const DIGITS: u8 = 3;

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, DIGITS);
        Self(histogram.expect("bounds and digits of the documented ranges"))
    }
}

impl Latencies {
    /// Takes a time in ns.
    pub fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    /// How many were taken.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("all histograms have the same bounds");
    }

    /// The time in µs that this share of all kept within; none without any.
    pub fn quantile_us(&self, share: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(share) as f64 / 1e3)
    }

    /// What is reported; none without any.
    pub fn summary(&self) -> Option<Latency> {
        Some(Latency {
            p50: self.quantile_us(0.5)?,
            p99: self.quantile_us(0.99)?,
            p999: self.quantile_us(0.999)?,
            max: self.quantile_us(1.0)?,
            count: self.count(),
        })
    }
}

/// Reads what a span costs.
pub struct Meter {
    server: Process,
    softirq: Vec<Process>,
    begin: Instant,
    before: Reading,
    rss_before: u64,
}

#[derive(Clone, Copy)]
struct Reading {
    server: Cpu,
    shards: Duration,
    softirq: Duration,
    client: Cpu,
}

/// What a [`Meter`] read.
pub struct Cost {
    /// How long it was.
    pub seconds: f64,
    /// Of the server's process.
    pub server: ServerCost,
    /// Of this process, µs.
    pub client_cpu_us: f64,
    /// Beside those, where they are not 0: `shard_us`, CPU time of the server's threads that are shards (the rest is the store's and the
    /// side thread's), and `ksoftirqd_us`, of the kernel's threads on the server's CPUs, which is work of the network
    /// that was put off, for the server as for its clients.
    pub counts: BTreeMap<String, u64>,
}

impl Meter {
    /// Begins. `softirq` are the kernel's threads `ksoftirqd` on the server's CPUs.
    pub fn start(server: Process, softirq: &[Process]) -> Self {
        let softirq = softirq.to_vec();
        let rss_before = server.rss();
        let before = read(server, &softirq);
        Self {
            server,
            softirq,
            begin: Instant::now(),
            before,
            rss_before,
        }
    }

    /// What was used since it began.
    pub fn stop(&self) -> Cost {
        let now = read(self.server, &self.softirq);
        let seconds = self.begin.elapsed().as_secs_f64();
        let server = now.server.since(self.before.server);
        let us = |time: Duration| time.as_nanos() as f64 / 1e3;
        let shards = now.shards.saturating_sub(self.before.shards);
        let softirq = now.softirq.saturating_sub(self.before.softirq);
        Cost {
            seconds,
            server: ServerCost {
                user_us: us(server.user),
                system_us: us(server.system),
                rss_before: self.rss_before,
                rss_after: self.server.rss(),
            },
            client_cpu_us: us(now.client.since(self.before.client).total()),
            counts: [("shard_us", shards), ("ksoftirqd_us", softirq)]
                .into_iter()
                .filter(|(_, time)| !time.is_zero())
                .map(|(name, time)| (name.to_owned(), time.as_micros() as u64))
                .collect(),
        }
    }
}

fn read(server: Process, softirq: &[Process]) -> Reading {
    let threads = server.cpu_by_thread();
    let shards = threads
        .iter()
        .filter(|(name, _)| name.starts_with("shard-"));
    Reading {
        server: server.cpu(),
        shards: shards.map(|(_, time)| *time).sum(),
        softirq: softirq.iter().map(|thread| thread.cpu().total()).sum(),
        client: Process::own().cpu(),
    }
}

impl Cost {
    /// The outcome of a load that cost this.
    pub fn outcome(
        self,
        scenario: &str,
        setting: Map<String, Value>,
        unit: Unit,
        units: u64,
    ) -> Outcome {
        Outcome {
            scenario: scenario.to_owned(),
            setting,
            unit,
            units,
            seconds: self.seconds,
            server: self.server,
            client_cpu_us: self.client_cpu_us,
            latency_us: None,
            counts: self.counts,
        }
    }
}

impl Outcome {
    /// Counts something of this name.
    pub fn count(&mut self, name: &str, value: u64) {
        self.counts.insert(name.to_owned(), value);
    }

    /// What is counted under this name; 0 where nothing is.
    pub fn counted(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// The same as a column's figure: NaN where nothing is.
    pub fn figure(&self, name: &str) -> f64 {
        self.counts
            .get(name)
            .map_or(f64::NAN, |&value| value as f64)
    }

    /// A count of µs in ms.
    pub fn ms_counted(&self, name: &str) -> f64 {
        self.figure(name) / 1e3
    }

    /// CPU time of the server for a unit, µs.
    pub fn us_per_unit(&self) -> f64 {
        self.server.cpu_us() / self.units as f64
    }

    /// A count for each unit; NaN where nothing is counted.
    pub fn per_unit(&self, name: &str) -> f64 {
        self.figure(name) / self.units as f64
    }
}

/// Where outcomes go: kept, told on standard error as they come, and appended to a file if there is one.
#[derive(Default)]
pub struct Report {
    outcomes: Vec<Outcome>,
    out: Option<(PathBuf, File)>,
}

impl Report {
    /// With a file to append to.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn to(path: Option<PathBuf>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(Error::machine(path.display().to_string()))?;
        Ok(Self {
            outcomes: Vec::new(),
            out: Some((path, file)),
        })
    }

    /// Takes the outcome of a round.
    ///
    /// # Errors
    /// When the file takes no more.
    pub fn push(&mut self, outcome: Outcome) -> Result<(), Error> {
        let line = serde_json::to_string(&outcome).expect("an outcome has texts for keys");
        eprintln!("{line}");
        if let Some((path, file)) = &mut self.out {
            writeln!(file, "{line}").map_err(Error::machine(path.display().to_string()))?;
        }
        self.outcomes.push(outcome);
        Ok(())
    }

    /// All outcomes so far.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Prints one scenario's table, see [`table`].
    pub fn print(&self, title: &str, scenario: &str, columns: &[Column]) {
        let outcomes = self.outcomes.iter().filter(|it| it.scenario == scenario);
        println!("\n### {title}\n\n{}", table(outcomes, columns));
    }
}
