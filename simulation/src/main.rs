//! Plays random schedules by the thousand: `cargo run --release -p simulation -- --seeds 10000`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use simulation::swarm::{Failure, Kind, Options, STEPS, Summary, play};

/// How often it is told how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

/// Plays random schedules against a simulated server. The exit code is 1 when one fails.
#[derive(Parser)]
struct Arguments {
    /// Schedules to play.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Actions of a schedule.
    #[arg(long, default_value_t = STEPS)]
    steps: usize,
    /// Play this one alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Print what happens.
    #[arg(long)]
    trace: bool,
    /// Look for a shorter schedule, of fewer kinds of actions, that fails as well.
    #[arg(long)]
    shrink: bool,
    /// Kinds of actions that are left out, by their names in the table.
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// Go on after a failure.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut without = BTreeSet::new();
    for name in &arguments.without {
        match Kind::ALL.iter().find(|kind| kind.name() == name) {
            Some(&kind) => _ = without.insert(kind),
            None => {
                let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
                eprintln!(
                    "{name} is no kind of action; there are {}",
                    names.join(", ")
                );
                return ExitCode::from(2);
            }
        }
    }
    let (from, seeds) = match arguments.seed {
        Some(seed) => (seed, 1),
        None => (arguments.from, arguments.seeds),
    };
    let mut summary = Summary::default();
    let mut failed = Vec::new();
    let (began, mut told) = (Instant::now(), Instant::now());
    for seed in from..from.saturating_add(seeds) {
        let options = Options {
            seed,
            steps: arguments.steps,
            without: without.clone(),
            trace: arguments.trace,
        };
        match play(&options) {
            Ok(verdict) => {
                if arguments.seed.is_some() {
                    println!("trace {:016x}", verdict.hash);
                }
                summary.add(verdict.counts);
            }
            Err(failure) => {
                println!("FAILED {failure}");
                if arguments.shrink {
                    shrink(&options, &failure);
                }
                failed.push(seed);
                if !arguments.keep_going {
                    break;
                }
            }
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            let left = from + seeds - seed - 1;
            eprintln!("seed {seed}: {} played, {left} left", summary.seeds);
        }
    }
    println!("{summary}");
    println!(
        "{:<28} {:>12.1} s",
        "real time",
        began.elapsed().as_secs_f64()
    );
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {failed:?}");
    ExitCode::FAILURE
}

/// Tells the shortest schedule of the fewest kinds that still fails at the same place.
fn shrink(options: &Options, failure: &Failure) {
    let mut best = Options {
        trace: false,
        ..options.clone()
    };
    let mut last = failure.clone();
    // Nothing after the failing action was played.
    best.steps = best.steps.min(failure.step + 1);
    let place = |failure: &Failure| failure.what.lines().next().map(str::to_owned);
    // Somebody connects in every schedule.
    for &kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Connect) {
        let mut less = best.clone();
        less.without.insert(kind);
        if let Err(failure) = play(&less)
            && place(&failure) == place(&last)
        {
            less.steps = less.steps.min(failure.step + 1);
            (best, last) = (less, *failure);
        }
    }
    let left_out: Vec<_> = best.without.iter().map(|kind| kind.name()).collect();
    println!(
        "{last}\nthe same, smaller: --seed {} --steps {} --without {}",
        best.seed,
        best.steps,
        left_out.join(",")
    );
}
