//! The arithmetic of a bucket.

use std::time::Duration;

use crate::limits::Cap;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// How fast a bucket fills, and how much it holds.
///
/// A bucket is the one number at which it will be full (the "theoretical arrival time" of the generic cell
/// rate algorithm, ITU-T I.371 annex A), in nanoseconds: it needs no timer, and nothing is lost to rounding
/// however often it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds in which a token comes back.
    interval: u64,
    /// Nanoseconds in which an empty bucket fills.
    capacity: u64,
}

impl Rate {
    /// So many tokens a second, and so many (at least one) in a full bucket. `None`: there is no bound.
    pub fn new(per_second: Cap, burst: usize) -> Option<Self> {
        let per_second = per_second.get()? as u64;
        // Rounded so that the rate is never passed.
        let interval = NANOS_PER_SECOND.div_ceil(per_second);
        Some(Self {
            interval,
            capacity: interval.saturating_mul(burst.max(1) as u64),
        })
    }

    /// Takes a token from the bucket that is full at `full_at`.
    ///
    /// # Errors
    /// There is none before that time has passed.
    pub(super) fn take(self, full_at: &mut u64, now: u64) -> Result<(), Duration> {
        let empty = now.saturating_add(self.capacity);
        // Emptier than empty it is when the configuration has made it smaller.
        *full_at = (*full_at).clamp(now, empty);
        let taken = full_at.saturating_add(self.interval);
        if taken > empty {
            return Err(Duration::from_nanos(taken - empty));
        }
        *full_at = taken;
        Ok(())
    }

    /// Puts a token back.
    pub(super) fn give_back(self, full_at: u64) -> u64 {
        full_at.saturating_sub(self.interval)
    }
}
