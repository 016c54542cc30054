//! Token buckets in eight bytes.

use crate::limits::Cap;

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    per_second: f32,
    burst: f32,
}

impl Rate {
    /// `None`: there is no bound.
    pub(super) fn new(per_second: Cap, burst: usize) -> Option<Self> {
        Some(Self {
            per_second: per_second.get()? as f32,
            // Less than one would let nothing through.
            burst: burst.max(1) as f32,
        })
    }

    /// One second's worth at once.
    pub(super) fn steady(per_second: Cap) -> Option<Self> {
        Self::new(per_second, per_second.get()?)
    }
}

/// A token bucket. Times are the four bytes of the rooms' clock: they wrap after 49 days, when a
/// bucket that was full may count as less than that, once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    tokens: f32,
    at: u32,
}

impl Bucket {
    /// A full one.
    pub(super) fn full() -> Self {
        Self {
            tokens: f32::INFINITY,
            at: 0,
        }
    }

    /// Whether it has a token at `now`.
    pub(super) fn has(&mut self, now: u32, rate: Option<Rate>) -> bool {
        let Some(rate) = rate else {
            return true;
        };
        self.tokens = self.filled(now, rate);
        self.at = now;
        self.tokens >= 1.0
    }

    /// Whether it holds all it can at `now`.
    pub(super) fn is_full(&self, now: u32, rate: Option<Rate>) -> bool {
        rate.is_none_or(|rate| self.filled(now, rate) >= rate.burst)
    }

    fn filled(&self, now: u32, rate: Rate) -> f32 {
        let seconds = now.wrapping_sub(self.at) as f32 / 1000.0;
        // Nothing is owed for what was taken while there was no bound.
        rate.burst
            .min(self.tokens.max(0.0) + seconds * rate.per_second)
    }

    /// Takes a token, which [`Bucket::has`] has seen.
    pub(super) fn take(&mut self) {
        self.tokens -= 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let rate = Rate::new(Cap::new(10), 20);
        let mut bucket = Bucket::full();
        let mut sent = |from: u32, ms: u32| {
            let taken = (from..from + ms).filter(|&now| {
                let has = bucket.has(now, rate);
                if has {
                    bucket.take();
                }
                has
            });
            taken.count()
        };
        assert_eq!(sent(0, 100), 20);
        let second = sent(100, 1000);
        assert!((10..=11).contains(&second), "{second}");
        assert_eq!(sent(60_000, 100), 20, "a pause fills it");
    }

    #[test]
    fn what_was_taken_comes_back_with_time() {
        let rate = Rate::new(Cap::new(10), 20);
        let mut bucket = Bucket::full();
        assert!(bucket.is_full(0, rate));
        assert!(bucket.has(1000, rate));
        bucket.take();
        assert!(!bucket.is_full(1050, rate));
        assert!(bucket.is_full(1101, rate));
        assert!(bucket.is_full(1000, None));
    }

    #[test]
    fn a_bound_that_comes_back_begins_with_an_empty_bucket_at_worst() {
        let rate = Rate::new(Cap::new(10), 20);
        let mut bucket = Bucket::full();
        assert!(bucket.has(0, rate));
        for _ in 0..1_000_000 {
            bucket.take();
            assert!(bucket.has(0, None));
        }
        assert!(!bucket.has(10, rate));
        assert!(bucket.has(110, rate));
    }

    #[test]
    fn no_bound_refuses_nothing() {
        let mut bucket = Bucket::full();
        for _ in 0..1000 {
            assert!(bucket.has(0, Rate::new(Cap::OFF, 1)));
            bucket.take();
        }
    }
}
