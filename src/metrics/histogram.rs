//! Histograms of durations in plain cells.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::time::Duration;

use super::merge::Merge;

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The buckets of a histogram.
pub trait Buckets: Copy + Debug + Default {
    /// Upper bounds in µs, ascending. What is longer than the last shows in the count and the sum
    /// alone.
    const BOUNDS_US: &'static [u64];
}

/// Buckets for what a client waits for: a request on loopback takes tens of microseconds, and at 10
/// s clients give up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency;

impl Buckets for Latency {
    const BOUNDS_US: &'static [u64] = &[
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
    ];
}

/// Buckets for work on a shard: a turn aims at 0.5 ms, a stall is noticed at 20 ms, reported at 1 s
/// and fatal at 10 s.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work;

impl Buckets for Work {
    const BOUNDS_US: &'static [u64] = &[
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
    ];
}

/// Buckets for how long somebody watches: from a look to a day.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lifetime;

impl Buckets for Lifetime {
    const BOUNDS_US: &'static [u64] = &[
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
    ];
}

/// Buckets that a histogram has room for.
const MAX_BUCKETS: usize = 17;

/// Counts of durations between bounds. One observation is a short scan and two additions.
#[derive(Clone, Debug, Default)]
pub struct Histogram<B> {
    buckets: [u64; MAX_BUCKETS],
    count: u64,
    sum: Duration,
    bounds: PhantomData<B>,
}

impl<B: Buckets> Histogram<B> {
    /// Evaluated for every kind of bucket that is used: there is room for them, and they ascend.
    const BOUNDS_ARE_SOUND: () = {
        assert!(B::BOUNDS_US.len() <= MAX_BUCKETS);
        let mut index = 1;
        while index < B::BOUNDS_US.len() {
            assert!(B::BOUNDS_US[index - 1] < B::BOUNDS_US[index]);
            index += 1;
        }
    };

    /// Counts one duration. A bucket's bound belongs to it.
    pub fn observe(&mut self, duration: Duration) {
        let () = Self::BOUNDS_ARE_SOUND;
        let within = |&bound: &u64| duration <= Duration::from_micros(bound);
        if let Some(bucket) = B::BOUNDS_US.iter().position(within) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(duration);
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
        B::BOUNDS_US
            .iter()
            .zip(&self.buckets)
            .scan(0, |below, (&bound, &count)| {
                *below += count;
                Some((Duration::from_micros(bound), *below))
            })
    }
}

impl<B> Merge for Histogram<B> {
    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
    }
}
