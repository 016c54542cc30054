//! Random schedules: from one seed, a server, a network, clients of every kind and what goes wrong
//! between them, with the server checked after every step.
//!
//! Each seed plays with some kinds of actions only (swarm testing: what never happens leaves room
//! for what seldom does), and draws the figures of its network, its configuration and its clients.

mod accounts;
mod asks;
mod checks;
mod faults;
mod finish;
mod members;
mod peers;
mod plan;
mod publishers;
mod rates;
mod report;
mod trace;
mod viewers;
mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

pub use plan::{Kind, Plan};
pub use report::{Counts, Summary};

use world::World;

/// Actions of a schedule, where nobody says.
pub const STEPS: usize = 150;

/// What is played.
#[derive(Debug, Clone)]
pub struct Options {
    /// Decides everything.
    pub seed: u64,
    /// Actions.
    pub steps: usize,
    /// Kinds of actions that are not played, though the seed would.
    pub without: BTreeSet<Kind>,
    /// Print what happens.
    pub trace: bool,
}

impl Options {
    /// The schedule of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            steps: STEPS,
            without: BTreeSet::new(),
            trace: false,
        }
    }
}

/// A schedule that was played to its end.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// What happened, in numbers.
    pub counts: Counts,
    /// Of everything that clients of the API did and saw, in order. What depends on DTLS, which keeps
    /// randomness of its own, is left out: descriptions, datagrams, pictures, quality.
    pub hash: u64,
}

/// A schedule at which something was wrong.
#[derive(Debug, Clone)]
pub struct Failure {
    pub seed: u64,
    /// The number of the action, from 0; those past the last one are the schedule's end.
    pub step: usize,
    /// What it was.
    pub action: String,
    /// What is wrong.
    pub what: String,
    pub hash: u64,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            step,
            action,
            what,
            ..
        } = self;
        write!(f, "seed {seed}, step {step} ({action}): {what}")
    }
}

thread_local! {
    static AT: RefCell<(usize, String)> = const { RefCell::new((0, String::new())) };
    static HASH: Cell<u64> = const { Cell::new(0) };
    static PLAYS: Cell<bool> = const { Cell::new(false) };
    /// The first panic since the schedule began: later ones follow from it.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Plays the schedule of a seed.
///
/// # Errors
/// What was wrong first, and when.
pub fn play(options: &Options) -> Result<Verdict, Box<Failure>> {
    keep_panics();
    PANIC.take();
    PLAYS.set(true);
    at(0, "the start");
    let played = catch_unwind(AssertUnwindSafe(|| World::new(options).play(options.steps)));
    PLAYS.set(false);
    played.map_err(|_| {
        let (step, action) = AT.take();
        let what = PANIC.take();
        Box::new(Failure {
            seed: options.seed,
            step,
            action,
            what: what.unwrap_or_else(|| "a panic without a word".to_owned()),
            hash: HASH.get(),
        })
    })
}

/// The schedule is here now.
fn at(step: usize, action: &str) {
    AT.set((step, action.to_owned()));
}

/// Panics of a schedule are its verdict, and told once.
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if !PLAYS.get() {
                return others(info);
            }
            let text = info.to_string();
            // The server is to survive those.
            if text.contains("an injected fault") {
                return;
            }
            PANIC.with_borrow_mut(|first| {
                first.get_or_insert(text);
            });
        }));
    });
}
