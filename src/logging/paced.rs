//! Lines for what may happen much more often than anybody reads.

use std::time::{Duration, Instant};

/// How often something is told. What happens in between is told with what comes after it.
#[derive(Debug)]
pub(crate) struct Paced {
    interval: Duration,
    quiet_until: Option<Instant>,
    untold: u64,
}

impl Paced {
    /// The first is told at once, others once in that time.
    pub(crate) const fn once_in(interval: Duration) -> Self {
        Self {
            interval,
            quiet_until: None,
            untold: 0,
        }
    }

    /// It happened again, `times`. How often it has since it was told last, when it is time to tell.
    pub(crate) fn count(&mut self, now: Instant, times: u64) -> Option<u64> {
        self.untold += times;
        if self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        self.quiet_until = Some(now + self.interval);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
#[test]
fn a_flood_is_one_line_in_each_interval_with_its_number() {
    let (second, start) = (Duration::from_secs(1), Instant::now());
    let mut paced = Paced::once_in(second);
    assert_eq!(paced.count(start, 1), Some(1));
    for ms in [1, 500, 999] {
        assert_eq!(paced.count(start + Duration::from_millis(ms), 2), None);
    }
    assert_eq!(paced.count(start + second, 1), Some(7));
    assert_eq!(paced.count(start + 3 * second, 1), Some(1));
}
