//! The buckets against a naive model.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::limits::Cap;

const SECOND: Duration = Duration::from_secs(1);

/// A bucket as the textbooks have it: a number of tokens, and when that was.
struct Naive {
    tokens: f64,
    at: f64,
}

impl Naive {
    fn take(&mut self, now: f64, rate: f64, burst: f64) -> bool {
        self.tokens = burst.min(self.tokens + (now - self.at) * rate);
        self.at = now;
        // A nanosecond is no error.
        let has = self.tokens + 2e-9 * rate >= 1.0;
        if has {
            self.tokens = (self.tokens - 1.0).max(0.0);
        }
        has
    }
}

fn rate(per_second: usize, burst: usize) -> Rate {
    Rate::new(Cap::new(per_second), burst).unwrap()
}

proptest! {
    /// Of a few keys each is given what the model gives it, whatever the others do.
    #[test]
    fn each_bucket_is_a_token_bucket(
        // Powers of two and five, whose intervals are whole nanoseconds.
        per_second in prop::sample::select(vec![1_usize, 2, 5, 10, 64, 1_000]),
        burst in 1_usize..40,
        asked in prop::collection::vec((0_u64..8, 0_u64..400), 1..600),
    ) {
        let start = Instant::now();
        let mut buckets = Buckets::new(start);
        let mut model = HashMap::new();
        let mut now = Duration::ZERO;
        for (key, ms) in asked {
            now += Duration::from_millis(ms / 4);
            let taken = buckets.take(start + now, BucketKey(key), rate(per_second, burst));
            let naive = model.entry(key).or_insert(Naive { tokens: burst as f64, at: now.as_secs_f64() });
            let expected = naive.take(now.as_secs_f64(), per_second as f64, burst as f64);
            prop_assert_eq!(taken.is_ok(), expected, "key {} at {:?}", key, now);
        }
    }

    /// In no time are more than the burst and what came back in it given; who is told to wait gets a token
    /// then, and not sooner.
    #[test]
    fn the_bound_holds_and_the_wait_is_exact(
        per_second in 1_usize..2_000,
        burst in 1_usize..50,
        gaps in prop::collection::vec(0_u64..300_000_000, 1..300),
    ) {
        let start = Instant::now();
        let mut buckets = Buckets::new(start);
        let (key, rate) = (BucketKey(1), rate(per_second, burst));
        let mut now = start;
        let mut taken: Vec<Instant> = Vec::new();
        for gap in gaps {
            now += Duration::from_nanos(gap);
            match buckets.take(now, key, rate) {
                Ok(()) => taken.push(now),
                Err(wait) => {
                    prop_assert!(buckets.take(now + wait - Duration::from_nanos(1), key, rate).is_err());
                    now += wait;
                    prop_assert_eq!(buckets.take(now, key, rate), Ok(()));
                    taken.push(now);
                }
            }
        }
        for (i, &from) in taken.iter().enumerate() {
            for (n, &to) in taken[i..].iter().enumerate() {
                let most = burst as f64 + (to - from).as_secs_f64() * per_second as f64;
                prop_assert!((n + 1) as f64 <= most + 1e-6, "{} in {:?}", n + 1, to - from);
            }
        }
    }

    /// Nothing that full buckets leave behind is ever missed, nor kept.
    #[test]
    fn what_is_forgotten_was_full(keys in prop::collection::vec(0_u64..10_000, 1..2_000)) {
        let start = Instant::now();
        let mut buckets = Buckets::new(start);
        let rate = rate(10, 20);
        for (n, key) in keys.iter().enumerate() {
            let now = start + Duration::from_millis(n as u64);
            prop_assert_eq!(buckets.take(now, BucketKey(*key), rate).is_ok(), true);
        }
        // Whoever asks alone after all that finds the table emptied, two at a time.
        let later = start + 60 * SECOND;
        for n in 0..keys.len() as u32 {
            let _ = buckets.take(later + n * SECOND, BucketKey(0), rate);
        }
        prop_assert!(buckets.count() <= 1, "{}", buckets.count());
        prop_assert_eq!(buckets.evicted(), 0);
    }
}

#[test]
fn ten_a_second_with_a_burst_of_twenty() {
    let start = Instant::now();
    let mut buckets = Buckets::new(start);
    let (key, rate) = (BucketKey(7), rate(10, 20));
    let mut taken = |from: Duration, calls: u32, apart: Duration| {
        let times = (0..calls).map(|n| start + from + apart * n);
        times
            .filter(|&at| buckets.take(at, key, rate).is_ok())
            .count()
    };
    let ms = Duration::from_millis(1);
    assert_eq!(taken(Duration::ZERO, 1_000, Duration::ZERO), 20);
    assert_eq!(taken(ms, 1_000, ms), 10, "one each 100 ms");
    assert_eq!(taken(60 * SECOND, 100, Duration::ZERO), 20);
}

#[test]
fn a_full_table_forgets_who_asked_least() {
    let start = Instant::now();
    let capacity = 1_000;
    let mut buckets = Buckets::with_capacity(start, capacity);
    let rate = rate(1, 10);
    let greedy: Vec<_> = (0..50).map(BucketKey).collect();
    for &key in &greedy {
        while buckets.take(start, key, rate).is_ok() {}
    }
    // A crowd of addresses that ask once each, all at the same time.
    for key in 1_000..100_000 {
        assert_eq!(buckets.take(start, BucketKey(key), rate), Ok(()));
        assert!(buckets.count() <= capacity);
    }
    assert!(buckets.evicted() > 90_000);
    let still_known = |&&key: &&BucketKey| buckets.take(start, key, rate).is_err();
    assert_eq!(greedy.iter().filter(still_known).count(), greedy.len());
}

#[test]
fn a_new_rate_counts_at_once() {
    let start = Instant::now();
    let mut buckets = Buckets::new(start);
    let key = BucketKey(1);
    let slow = Rate::new(Cap::new(1), 10).unwrap();
    while buckets.take(start, key, slow).is_ok() {}
    // Ten seconds' worth is missing in the slow bucket, two in the fast one, which cannot miss more.
    let fast = rate(10, 20);
    assert_eq!(
        buckets.take(start, key, fast),
        Err(Duration::from_millis(100))
    );
    assert_eq!(
        buckets.take(start + Duration::from_millis(100), key, fast),
        Ok(())
    );
    assert_eq!(Rate::new(Cap::OFF, 10), None);
}

#[test]
fn a_token_can_be_given_back() {
    let start = Instant::now();
    let mut buckets = Buckets::new(start);
    let (key, rate) = (BucketKey(1), rate(1, 2));
    for _ in 0..100 {
        assert_eq!(buckets.take(start, key, rate), Ok(()));
        buckets.give_back(key, rate);
    }
    assert!(buckets.take(start, key, rate).is_ok() && buckets.take(start, key, rate).is_ok());
    assert_eq!(buckets.take(start, key, rate), Err(SECOND));
    buckets.give_back(BucketKey(2), rate);
    assert_eq!(buckets.count(), 1, "nothing was taken there");
}
