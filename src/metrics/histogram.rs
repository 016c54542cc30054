//! Histograms of durations in plain cells.

use std::time::Duration;

/// Upper bounds of a histogram's buckets, ascending; what is longer than the last counts in the sum alone.
pub(super) type Bounds<const N: usize> = &'static [Duration; N];

const fn micros<const N: usize>(bounds: [u64; N]) -> [Duration; N] {
    let mut durations = [Duration::ZERO; N];
    let mut index = 0;
    while index < N {
        durations[index] = Duration::from_micros(bounds[index]);
        assert!(
            index == 0 || bounds[index - 1] < bounds[index],
            "bounds ascend"
        );
        index += 1;
    }
    durations
}

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// What a client waits for: a request on loopback takes tens of microseconds, and 10 s is where clients give up.
pub(super) static LATENCY: [Duration; 17] = micros([
    50,
    100,
    250,
    500,
    MILLI,
    2_500,
    5 * MILLI,
    10 * MILLI,
    25 * MILLI,
    50 * MILLI,
    100 * MILLI,
    250 * MILLI,
    500 * MILLI,
    SECOND,
    2_500 * MILLI,
    5 * SECOND,
    10 * SECOND,
]);

/// Work on a shard: a turn aims at 0.5 ms, a stall is noticed at 20 ms, reported at 1 s and fatal at 10 s.
pub(super) static WORK: [Duration; 14] = micros([
    5,
    10,
    25,
    50,
    100,
    250,
    500,
    MILLI,
    2_500,
    5 * MILLI,
    20 * MILLI,
    100 * MILLI,
    SECOND,
    10 * SECOND,
]);

/// How long somebody watches: from a look to a day.
pub(super) static LIFETIME: [Duration; 11] = micros([
    SECOND,
    10 * SECOND,
    30 * SECOND,
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    3 * HOUR,
    8 * HOUR,
    24 * HOUR,
]);

/// Counts of durations between bounds. One observation is a short scan and two additions.
#[derive(Clone, Debug)]
pub struct Histogram<const N: usize> {
    bounds: Bounds<N>,
    buckets: [u64; N],
    count: u64,
    sum: Duration,
}

impl<const N: usize> Histogram<N> {
    pub(super) const fn new(bounds: Bounds<N>) -> Self {
        Histogram {
            bounds,
            buckets: [0; N],
            count: 0,
            sum: Duration::ZERO,
        }
    }

    /// Counts one duration. A bucket's bound belongs to it.
    pub fn observe(&mut self, duration: Duration) {
        if let Some(bucket) = self.bounds.iter().position(|&bound| duration <= bound) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(duration);
    }

    /// Adds what another histogram of the same bounds has counted.
    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Durations counted so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// `(upper bound, durations no longer than it)`, ascending.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.bounds
            .iter()
            .zip(&self.buckets)
            .scan(0, |below, (&bound, &count)| {
                *below += count;
                Some((bound, *below))
            })
    }
}
