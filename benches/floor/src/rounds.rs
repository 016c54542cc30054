//! What all floors have in common: rounds, the two CPUs, and the report.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::Args;
use load::Error;
use load::process::{Process, available_cpus, pin_to, take_all_descriptors};
use load::report::{Column, Outcome, Report, ServerCost, Unit};
use serde_json::Value;

use crate::meter::Used;

/// Where and how long to measure.
#[derive(Args, Clone, Debug)]
pub(crate) struct Rounds {
    /// CPU of what a server would do
    #[arg(long, default_value_t = 0)]
    pub(crate) server_cpu: usize,
    /// CPU of those that it would serve
    #[arg(long, default_value_t = 1)]
    pub(crate) client_cpu: usize,
    /// Seconds measured per round
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds before the measurement
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Appends each round as a line of JSON to this file
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What a round has measured.
pub(crate) struct Measured {
    pub(crate) scenario: &'static str,
    /// An object of JSON.
    pub(crate) setting: Value,
    pub(crate) unit: Unit,
    pub(crate) units: u64,
    /// By the thread that stands for the server.
    pub(crate) used: Used,
    /// By the thread that stands for its clients.
    pub(crate) client: Used,
    pub(crate) counts: BTreeMap<String, u64>,
}

/// The columns of every floor.
const COLUMNS: [Column; 4] = [
    Column::median("µs/unit", Outcome::us_per_unit),
    Column::median("(user)", |it| it.server.user_us / it.units as f64),
    Column::median("units/s", |it| it.units as f64 / it.seconds),
    Column::worst("lost", |it| it.counted("lost") as f64),
];

impl Rounds {
    pub(crate) fn span(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up)
    }

    /// Runs and reports them.
    ///
    /// # Errors
    /// The first of a round; a CPU that there is not.
    pub(crate) fn each(
        &self,
        scenario: &str,
        round: impl Fn() -> Result<Measured, Error>,
    ) -> Result<(), Error> {
        let available = available_cpus();
        for cpu in [self.server_cpu, self.client_cpu] {
            if !available.contains(&cpu) {
                return Err(Error::NoSuchCpu { cpu, available });
            }
        }
        take_all_descriptors();
        let mut report = Report::to(self.out.clone())?;
        for _ in 0..self.rounds {
            report.push(round()?.outcome())?;
        }
        report.print(scenario, scenario, &COLUMNS);
        Ok(())
    }
}

impl Measured {
    fn outcome(self) -> Outcome {
        let us = |time: Duration| time.as_nanos() as f64 / 1e3;
        let Value::Object(setting) = self.setting else {
            unreachable!("settings are written as objects");
        };
        let rss = Process::own().rss();
        Outcome {
            scenario: self.scenario.to_owned(),
            setting,
            unit: self.unit,
            units: self.units,
            seconds: self.used.wall.as_secs_f64(),
            server: ServerCost {
                user_us: us(self.used.user),
                system_us: us(self.used.system),
                rss_before: rss,
                rss_after: rss,
            },
            client_cpu_us: us(self.client.user + self.client.system),
            latency_us: None,
            counts: self.counts,
        }
    }
}

/// Does something on a thread of that CPU.
pub(crate) fn on_cpu<T: Send>(cpu: usize, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            pin_to(cpu);
            work()
        });
        thread.join().expect("it does not panic")
    })
}
