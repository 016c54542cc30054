//! Notices that something is kept that belongs to nobody.

use std::time::{Duration, Instant};

/// Samples before there is a baseline: at the default of 10 s between them five minutes, past the
/// warm-up of pools and caches.
const BASELINE_SAMPLES: usize = 30;
/// Baselines below this are taken for this, so that a small server does not cry over a few tasks.
const BASELINE_FLOOR: u64 = 100;
/// How many baselines are too many.
const LEAK_FACTOR: u64 = 3;

/// Watches the count of one kind of thing, less those accounted to a live session, connection or
/// room: what remains should hardly move, so if it grows to three times its baseline, something
/// forgets to let go.
///
/// A pure state machine: the owner calls [`LeakDetector::sample`] as often as it likes.
#[derive(Clone, Debug)]
pub struct LeakDetector {
    /// Time between two samples that count.
    interval: Duration,
    /// The first samples, until there are enough of them for a baseline.
    warm_up: Vec<u64>,
    baseline: Option<u64>,
    sampled_at: Option<Instant>,
    count: u64,
    max: u64,
}

impl LeakDetector {
    /// A detector that has seen nothing, and takes a sample in so much time.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            warm_up: Vec::new(),
            baseline: None,
            sampled_at: None,
            count: 0,
            max: 0,
        }
    }

    /// Takes note of the count. Counts that come sooner after the sample before are ignored.
    pub fn sample(&mut self, now: Instant, unaccounted: u64) {
        if self
            .sampled_at
            .is_some_and(|at| now.saturating_duration_since(at) < self.interval)
        {
            return;
        }
        self.sampled_at = Some(now);
        self.count = unaccounted;
        self.max = self.max.max(unaccounted);
        if self.baseline.is_none() {
            self.warm_up.push(unaccounted);
            if self.warm_up.len() == BASELINE_SAMPLES {
                self.baseline = Some(median(std::mem::take(&mut self.warm_up)));
            }
        }
    }

    /// The last sample.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest sample ever.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Whether the last sample is more than three times the baseline (of at least 100). Never
    /// before there is one.
    pub fn potential_leak(&self) -> bool {
        self.baseline
            .is_some_and(|baseline| self.count > LEAK_FACTOR * baseline.max(BASELINE_FLOOR))
    }
}

/// The middle of the samples: one burst during the warm-up does not lift the baseline.
fn median(mut samples: Vec<u64>) -> u64 {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);

    /// A detector fed each 10 s of virtual time.
    struct Watch {
        detector: LeakDetector,
        now: Instant,
    }

    impl Watch {
        fn new() -> Self {
            Watch {
                detector: LeakDetector::new(SAMPLE_INTERVAL),
                now: Instant::now(),
            }
        }

        fn feed(&mut self, samples: usize, count: u64) -> bool {
            for _ in 0..samples {
                self.now += SAMPLE_INTERVAL;
                self.detector.sample(self.now, count);
            }
            self.detector.potential_leak()
        }
    }

    #[test]
    fn a_count_above_three_baselines_is_a_leak_until_it_falls() {
        let mut watch = Watch::new();
        assert!(!watch.feed(30, 200));
        assert!(
            !watch.feed(1, 600),
            "three times the baseline is still allowed"
        );
        assert!(watch.feed(1, 601));
        assert!(!watch.feed(1, 250));
        assert_eq!((watch.detector.count(), watch.detector.max()), (250, 601));
    }

    #[test]
    fn there_is_no_leak_before_the_baseline() {
        let mut watch = Watch::new();
        assert!(!watch.feed(29, 1_000_000));
        assert!(
            !watch.feed(1, 1_000_000),
            "what was there all along is the baseline"
        );
        assert!(watch.feed(1, 3_000_001));
    }

    #[test]
    fn a_small_baseline_counts_as_a_hundred() {
        let mut watch = Watch::new();
        watch.feed(30, 2);
        assert!(!watch.feed(1, 300));
        assert!(watch.feed(1, 301));
    }

    #[test]
    fn a_burst_during_the_warm_up_does_not_lift_the_baseline() {
        let mut watch = Watch::new();
        watch.feed(5, 50_000);
        watch.feed(25, 120);
        assert!(watch.feed(1, 361));
    }

    #[test]
    fn counts_between_samples_are_ignored() {
        let mut watch = Watch::new();
        watch.feed(30, 10);
        let soon = watch.now + SAMPLE_INTERVAL - Duration::from_millis(1);
        watch.detector.sample(soon, 1_000);
        assert_eq!(watch.detector.count(), 10);
        watch.detector.sample(watch.now + SAMPLE_INTERVAL, 1_000);
        assert!(watch.detector.potential_leak());
    }

    #[test]
    fn a_clock_that_stands_still_or_falls_back_is_no_sample() {
        let mut watch = Watch::new();
        watch.feed(2, 7);
        watch
            .detector
            .sample(watch.now - Duration::from_secs(60), 99);
        watch.detector.sample(watch.now, 99);
        assert_eq!(watch.detector.count(), 7);
    }
}
