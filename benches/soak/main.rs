//! Soak and chaos: the real server under a churn of good, bad and broken clients, and what is left of them: nothing.
//!
//! ```text
//! cargo bench --bench soak -- --minutes 20 --out target/soak
//! cargo bench --bench soak -- --minutes 2 --loopback
//! cargo bench --bench soak -- --minutes 5 --crash
//! MEDIA_SERVICE_BIN=./media-service cargo bench --bench soak          # another build of the server
//! ```
//!
//! Where it may, it moves into network namespaces of its own, and its clients reach the server over a link that loses,
//! delays, reorders and repeats packets and is dead at times. A steady viewer and a steady member beside it must notice
//! nothing. After a warm-up the churn pauses until every timeout has passed, and what the server then holds is the
//! baseline; after the churn it must hold no more. See docs/reliability.md.

#![allow(unreachable_pub)] // nothing is outside of a program

#[path = "../../tests/support/mod.rs"]
mod support;

mod churn;
mod control;
mod dice;
mod director;
mod episodes;
mod ledger;
mod link;
mod report;
mod sampler;
#[allow(unsafe_code, reason = "unshare(2), and TUNSETIFF of tun devices")]
mod site;
mod soak;
mod target;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::process::{Resource, Rlimit};

use site::Site;

#[derive(Clone, Debug, Parser)]
#[command(about = "Churns a server for a while and looks at what is left")]
struct Arguments {
    /// Minutes of churn after the warm-up
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// What is played, and in which order, follows from it
    #[arg(long, default_value_t = 20_261_120)]
    seed: u64,
    /// Clients that misbehave at once; each holds up to 20 connections more
    #[arg(long, default_value_t = 40)]
    workers: u64,
    /// Shards of the server
    #[arg(long, default_value_t = 2)]
    shards: usize,
    /// No network namespaces: every client on loopback, without loss
    #[arg(long)]
    loopback: bool,
    /// Also kill -9 in the middle of the churn
    #[arg(long)]
    crash: bool,
    /// Directory for soak.md and soak.csv
    #[arg(long)]
    out: Option<PathBuf>,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// Set by SIGINT and SIGTERM: everything ends early, and is cleaned up.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Whether it came.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sleeps for a time, unless interrupted.
    pub fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.is_set() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Before the first thread, so that all of them are in the same place.
    let site = match arguments.loopback {
        true => Site::loopback(),
        false => Site::enter().unwrap_or_else(|problem| {
            println!(
                "no network namespaces ({problem}): every client is on loopback, without loss"
            );
            Site::loopback()
        }),
    };
    let interrupt = Interrupt::default();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupt.0))
            .expect("a signal that can be caught");
    }
    raise_descriptor_limit();
    churn::keep_panics_of_clients_quiet();
    let report = soak::run(&arguments, &Arc::new(site), &interrupt);
    report.print();
    if let Some(directory) = &arguments.out {
        report.write(directory);
    }
    match report.passed() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, all).expect("up to the hard limit is allowed");
}
