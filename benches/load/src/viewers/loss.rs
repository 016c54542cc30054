//! Packets lost on purpose on their arrival, and whether they come again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A browser has given up by then: what it waits for has frozen the picture for a second.
pub const GIVEN_UP_AFTER: Duration = Duration::from_secs(1);
/// After this nothing comes any more: no server's history is as long.
const NEVER_AFTER: Duration = Duration::from_secs(4);

/// Draws which packets are lost, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Of 2⁶⁴.
    threshold: u64,
    state: u64,
}

impl Loss {
    /// Loses this share of the packets (0 to 1).
    pub fn new(share: f64, seed: u64) -> Self {
        Self {
            threshold: (share.clamp(0.0, 1.0) * u64::MAX as f64) as u64,
            state: seed,
        }
    }

    /// Whether the next packet is lost.
    pub fn next_is_lost(&mut self) -> bool {
        // SplitMix64 (Steele, Lea, Flood 2014): a draw is a few instructions, and neighbouring seeds differ.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31) < self.threshold
    }
}

/// What became of the packets that were lost on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Media packets thrown away.
    pub dropped: u64,
    /// Came again within [`GIVEN_UP_AFTER`].
    pub recovered: u64,
    /// Came again later than that.
    pub late: u64,
    /// Did not come again.
    pub never: u64,
}

impl Recovery {
    /// Adds another's.
    pub fn add(&mut self, other: Self) {
        self.dropped += other.dropped;
        self.recovered += other.recovered;
        self.late += other.late;
        self.never += other.never;
    }
}

/// One viewer's packets that are missing on purpose.
#[derive(Debug, Default)]
pub struct Missing {
    /// (SSRC, sequence number, when it was lost), the oldest first.
    waiting: VecDeque<(u32, u16, Instant)>,
    counts: Recovery,
}

impl Missing {
    /// A packet was thrown away.
    pub fn lost(&mut self, ssrc: u32, sequence: u16, now: Instant) {
        self.expire(now);
        self.counts.dropped += 1;
        self.waiting.push_back((ssrc, sequence, now));
    }

    /// A packet came, for the first time or again; gives how long it was missing if it was.
    pub fn came(&mut self, ssrc: u32, sequence: u16, now: Instant) -> Option<Duration> {
        if self.waiting.is_empty() {
            return None;
        }
        let at = self
            .waiting
            .iter()
            .position(|lost| (lost.0, lost.1) == (ssrc, sequence))?;
        let (_, _, since) = self.waiting.remove(at)?;
        let missed = now.saturating_duration_since(since);
        if missed <= GIVEN_UP_AFTER {
            self.counts.recovered += 1;
        } else {
            self.counts.late += 1;
        }
        Some(missed)
    }

    /// Counts as of now: what is missing for longer than a browser waits counts as never come, and what is younger not yet.
    pub fn counts(&mut self, now: Instant) -> Recovery {
        self.expire(now);
        let given_up = |lost: &&(u32, u16, Instant)| age(lost, now) > GIVEN_UP_AFTER;
        let never = self.waiting.iter().filter(given_up).count() as u64;
        Recovery {
            never: self.counts.never + never,
            ..self.counts
        }
    }

    /// Packets that may still come in time.
    pub fn pending(&self, now: Instant) -> usize {
        let young = |lost: &&(u32, u16, Instant)| age(lost, now) <= GIVEN_UP_AFTER;
        self.waiting.iter().filter(young).count()
    }

    fn expire(&mut self, now: Instant) {
        while (self.waiting.front()).is_some_and(|lost| age(lost, now) > NEVER_AFTER) {
            self.waiting.pop_front();
            self.counts.never += 1;
        }
    }
}

fn age(lost: &(u32, u16, Instant), now: Instant) -> Duration {
    now.saturating_duration_since(lost.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(share: f64, seed: u64) -> Vec<bool> {
        let mut loss = Loss::new(share, seed);
        (0..10_000).map(|_| loss.next_is_lost()).collect()
    }

    #[test]
    fn a_seed_loses_the_same_packets_again() {
        assert_eq!(draws(0.05, 7), draws(0.05, 7));
        assert_ne!(draws(0.05, 7), draws(0.05, 8));
    }

    #[test]
    fn the_share_is_lost() {
        for (share, expected) in [(0.0, 0..=0), (0.05, 430..=570), (1.0, 10_000..=10_000)] {
            let lost = draws(share, 1).iter().filter(|lost| **lost).count();
            assert!(expected.contains(&lost), "{share}: {lost}");
        }
    }

    #[test]
    fn what_comes_again_is_told_by_how_long_it_took() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut missing = Missing::default();
        for sequence in 0..4 {
            missing.lost(1, sequence, at(0));
        }
        assert_eq!(missing.came(1, 0, at(40)), Some(Duration::from_millis(40)));
        assert_eq!(missing.came(1, 0, at(41)), None, "only once");
        assert_eq!(missing.came(2, 1, at(41)), None, "another stream");
        assert_eq!(missing.pending(at(1000)), 3);
        let counts = |recovered, late, never| Recovery {
            dropped: 4,
            recovered,
            late,
            never,
        };
        assert_eq!(missing.counts(at(1000)), counts(1, 0, 0));
        assert_eq!(missing.counts(at(1001)), counts(1, 0, 3));
        missing.came(1, 1, at(1500));
        assert_eq!(missing.counts(at(1500)), counts(1, 1, 2));
        assert_eq!(missing.counts(at(60_000)), counts(1, 1, 2));
        assert_eq!(missing.came(1, 2, at(60_000)), None, "forgotten");
    }
}
