//! A thread outside glommio that notices shards that make no progress.
//!
//! Every shard, resting ones too, makes a turn between two looks. One that stands still is late
//! with its own work, or has lost its CPU: that is logged, and the process ends when it lasts too long,
//! and when a shard has died. A server of which a part is gone would go on accepting connections for it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::health::{Life, Vitals};

/// Exit code of a process of which a shard stood still (EX_SOFTWARE of sysexits.h).
pub const EXIT_STALLED: i32 = 70;
/// Exit code of a process of which a shard's main future panicked, or the thread that watches them.
pub const EXIT_SHARD_DIED: i32 = 71;

/// How often the watchdog looks. A look costs about 20 µs, most of it for waking up: 0.04 % of a core.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The most that one look counts as stand-still. When the whole process or machine is suspended the
/// watchdog sees one long pause in which no shard could have done anything.
const LONGEST_STEP: Duration = Duration::from_millis(100);
/// Given to the log's own thread before the process ends.
const LOG_GRACE: Duration = Duration::from_millis(200);

/// When a shard's stand-still has which consequence.
#[derive(Clone, Copy, Debug)]
pub struct StallLimits {
    /// A shard that stands still is logged after this, and again when it goes on. 1 s.
    pub report_after: Duration,
    /// The process ends with [`EXIT_STALLED`] after this, without unwinding, and with
    /// [`EXIT_SHARD_DIED`] as soon as a shard has panicked. 10 s. `None`: it never does, which is
    /// for tests; a dead shard is then reported by [`Pool::join`](crate::Pool::join) alone.
    pub fatal_after: Option<Duration>,
}

impl Default for StallLimits {
    fn default() -> Self {
        Self {
            report_after: Duration::from_secs(1),
            fatal_after: Some(Duration::from_secs(10)),
        }
    }
}

/// Starts the thread. It ends when no shard is left.
pub(crate) fn start(
    shards: Arc<[Arc<Vitals>]>,
    limits: StallLimits,
) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new()
        .name("watchdog".into())
        .spawn(move || {
            if catch_unwind(AssertUnwindSafe(|| watch(&shards, &limits))).is_err() {
                // Nobody would notice a stand-still any more.
                tracing::error!("the watchdog has died: the process ends");
                exit(EXIT_SHARD_DIED);
            }
        })
}

fn watch(shards: &[Arc<Vitals>], limits: &StallLimits) {
    let mut patients: Vec<_> = shards.iter().map(|vitals| Patient::new(vitals)).collect();
    let mut last_look = Instant::now();
    loop {
        thread::sleep(LOOK_EVERY);
        let now = Instant::now();
        let step = (now - last_look).min(LONGEST_STEP);
        last_look = now;
        let mut left = false;
        for (shard, patient) in patients.iter_mut().enumerate() {
            left |= patient.look(shard, step, limits);
        }
        if !left {
            return;
        }
    }
}

/// What the watchdog remembers of a shard.
struct Patient<'a> {
    vitals: &'a Vitals,
    turns: u64,
    still_for: Duration,
    reported: bool,
}

impl<'a> Patient<'a> {
    fn new(vitals: &'a Vitals) -> Self {
        Self {
            vitals,
            turns: 0,
            still_for: Duration::ZERO,
            reported: false,
        }
    }

    /// Looks after one shard, `step` after the last time; false if it has ended.
    fn look(&mut self, shard: usize, step: Duration, limits: &StallLimits) -> bool {
        match self.vitals.life() {
            Life::Starting => return true,
            Life::Returned => return false,
            Life::Died => {
                if limits.fatal_after.is_some() {
                    tracing::error!(shard, "a shard has died: the process ends");
                    exit(EXIT_SHARD_DIED);
                }
                return false;
            }
            Life::Running => {}
        }
        let turns = self.vitals.pulse.turns();
        if turns != self.turns {
            self.moved(shard, turns);
        } else if turns != 0 {
            // Before its first turn the shard's program may take its time.
            self.still_for += step;
            self.stands_still(shard, limits);
        }
        true
    }

    fn moved(&mut self, shard: usize, turns: u64) {
        self.turns = turns;
        if self.reported {
            let still_ms = self.still_for.as_millis() as u64;
            tracing::warn!(shard, still_ms, "the shard makes progress again");
        }
        self.still_for = Duration::ZERO;
        self.reported = false;
    }

    fn stands_still(&mut self, shard: usize, limits: &StallLimits) {
        let still_ms = self.still_for.as_millis() as u64;
        self.vitals.stood_still(self.still_for);
        if self.still_for >= limits.report_after && !self.reported {
            tracing::error!(shard, still_ms, "the shard makes no progress");
            self.reported = true;
        }
        if limits
            .fatal_after
            .is_some_and(|limit| self.still_for >= limit)
        {
            tracing::error!(shard, still_ms, "the shard is stuck: the process ends");
            exit(EXIT_STALLED);
        }
    }
}

/// Ends the process without running destructors or exit handlers, which might wait for the very
/// shard that is stuck.
fn exit(code: i32) -> ! {
    thread::sleep(LOG_GRACE);
    // SAFETY: takes no pointers and does not return.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: StallLimits = StallLimits {
        report_after: Duration::from_secs(1),
        fatal_after: None,
    };

    fn running_shard() -> Vitals {
        let vitals = Vitals::new(0);
        vitals.set_life(Life::Running);
        vitals
    }

    #[test]
    fn a_shard_that_turns_is_left_alone() {
        let vitals = running_shard();
        let mut patient = Patient::new(&vitals);
        for _ in 0..1_000 {
            vitals.pulse.turn();
            assert!(patient.look(0, LOOK_EVERY, &LIMITS));
        }
        assert!(!patient.reported);
        assert_eq!(vitals.longest_stall(), Duration::ZERO);
    }

    #[test]
    fn a_shard_that_stands_still_is_reported_once() {
        let vitals = running_shard();
        let mut patient = Patient::new(&vitals);
        vitals.pulse.turn();
        for look in 0..30 {
            assert_eq!(patient.reported, look > 20, "after 1 s without a turn");
            patient.look(0, LOOK_EVERY, &LIMITS);
        }
        vitals.pulse.turn();
        patient.look(0, LOOK_EVERY, &LIMITS);
        assert!(!patient.reported);
        assert_eq!(vitals.longest_stall(), LOOK_EVERY * 29);
    }

    #[test]
    fn a_shard_may_prepare_before_its_first_turn() {
        let vitals = running_shard();
        let mut patient = Patient::new(&vitals);
        for _ in 0..500 {
            patient.look(0, LOOK_EVERY, &LIMITS);
        }
        assert!(!patient.reported);
        assert_eq!(vitals.longest_stall(), Duration::ZERO);
    }

    #[test]
    fn a_shard_that_has_ended_is_no_longer_watched() {
        let vitals = running_shard();
        let mut patient = Patient::new(&vitals);
        vitals.pulse.turn();
        for life in [Life::Returned, Life::Died] {
            vitals.set_life(life);
            assert!(!patient.look(0, LOOK_EVERY, &LIMITS));
        }
    }
}
