//! Histograms of durations and sizes in plain cells.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::time::Duration;

use super::merge::Merge;

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000 * MICRO;
const SECOND: u64 = 1_000 * MILLI;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// What a histogram observes, in whole steps.
pub trait Measure: Copy {
    /// Steps of the unit that is written.
    const STEPS_PER_UNIT: f64;
    /// So many steps.
    fn steps(self) -> u64;
}

/// In nanoseconds, written as seconds.
impl Measure for Duration {
    const STEPS_PER_UNIT: f64 = 1e9;

    fn steps(self) -> u64 {
        u64::try_from(self.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A number of things.
impl Measure for usize {
    const STEPS_PER_UNIT: f64 = 1.0;

    fn steps(self) -> u64 {
        self as u64
    }
}

/// The buckets of a histogram.
pub trait Buckets: Copy + Debug + Default {
    /// What is observed.
    type Value: Measure;
    /// Upper bounds in steps, ascending. What is more than the last shows in the count and the sum
    /// alone.
    const BOUNDS: &'static [u64];
}

/// Buckets for what a client waits for: a request on loopback takes tens of microseconds, and at 10
/// s clients give up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency;

impl Buckets for Latency {
    type Value = Duration;
    const BOUNDS: &'static [u64] = &[
        50 * MICRO,
        100 * MICRO,
        250 * MICRO,
        500 * MICRO,
        MILLI,
        2_500 * MICRO,
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

/// Buckets for work on a shard: a turn aims at 0.5 ms, and has 2 ms at most; a stall is noticed at 20
/// ms, reported at 1 s and fatal at 10 s.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work;

impl Buckets for Work {
    type Value = Duration;
    const BOUNDS: &'static [u64] = &[
        5 * MICRO,
        10 * MICRO,
        25 * MICRO,
        50 * MICRO,
        100 * MICRO,
        250 * MICRO,
        500 * MICRO,
        MILLI,
        2 * MILLI,
        5 * MILLI,
        10 * MILLI,
        20 * MILLI,
        50 * MILLI,
        100 * MILLI,
        SECOND,
        10 * SECOND,
    ];
}

/// Buckets for how long somebody watches: from a look to a day.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lifetime;

impl Buckets for Lifetime {
    type Value = Duration;
    const BOUNDS: &'static [u64] = &[
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

/// Buckets for datagrams of one send: a run has 64 at most.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run;

impl Buckets for Run {
    type Value = usize;
    const BOUNDS: &'static [u64] = &[1, 2, 4, 8, 16, 32, 64];
}
const _: () = assert!(Run::BOUNDS[Run::BOUNDS.len() - 1] == executor::MAX_RUN_SEGMENTS as u64);

/// Buckets for what is done at once: sockets that are ready, datagrams of a receive, members of a
/// sweep.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch;

impl Buckets for Batch {
    type Value = usize;
    const BOUNDS: &'static [u64] = &[0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 1_024, 4_096];
}

/// Buckets that a histogram has room for.
const MAX_BUCKETS: usize = 17;

/// Counts of values between bounds. One observation is a short scan and two additions.
#[derive(Clone, Debug, Default)]
pub struct Histogram<B> {
    buckets: [u64; MAX_BUCKETS],
    count: u64,
    sum: u64,
    bounds: PhantomData<B>,
}

impl<B: Buckets> Histogram<B> {
    /// Evaluated for every kind of bucket that is used: there is room for them, and they ascend.
    const BOUNDS_ARE_SOUND: () = {
        assert!(B::BOUNDS.len() <= MAX_BUCKETS);
        let mut index = 1;
        while index < B::BOUNDS.len() {
            assert!(B::BOUNDS[index - 1] < B::BOUNDS[index]);
            index += 1;
        }
    };

    /// Counts one value. A bucket's bound belongs to it.
    pub fn observe(&mut self, value: B::Value) {
        let () = Self::BOUNDS_ARE_SOUND;
        let steps = value.steps();
        if let Some(bucket) = B::BOUNDS.iter().position(|&bound| steps <= bound) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(steps);
    }

    /// Values counted so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together, in the unit that is written.
    pub fn sum(&self) -> f64 {
        self.sum as f64 / B::Value::STEPS_PER_UNIT
    }

    /// `(upper bound, values no greater than it)`, ascending, in the unit that is written.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        B::BOUNDS
            .iter()
            .zip(&self.buckets)
            .scan(0, |below, (&bound, &count)| {
                *below += count;
                Some((bound as f64 / B::Value::STEPS_PER_UNIT, *below))
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
