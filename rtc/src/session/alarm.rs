//! The timer that the owner holds for a session.

use std::time::{Duration, Instant};

/// By how much an owner's timer may be early and still count as fired: one tick.
const TIMER_SLACK: Duration = Duration::from_millis(5);

/// A moment so far away is none: str0m names one in a hundred years where it waits for its peer alone, and a
/// timer for that would outlive its session in the owner's wheel. Nothing of a session takes longer than minutes.
const NEVER: Duration = Duration::from_secs(24 * 3_600);

/// The one timer that the owner holds for the session.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    armed: Option<Instant>,
}

impl Alarm {
    /// A timer fired: the armed one, unless that is still to come.
    pub(super) fn fired(&mut self, now: Instant) {
        if self.armed.is_some_and(|at| at <= now + TIMER_SLACK) {
            self.armed = None;
        }
    }

    /// Whether the owner must be told of `next`: it is earlier than what is armed, or what is armed
    /// should have fired long ago. Never of a moment that does not come.
    pub(super) fn arm(&mut self, now: Instant, next: Instant) -> bool {
        if next > now + NEVER {
            return false;
        }
        if self
            .armed
            .is_some_and(|at| at <= next && at + TIMER_SLACK >= now)
        {
            return false;
        }
        self.armed = Some(next);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_owner_hears_of_earlier_times_only() {
        let now = start();
        let mut alarm = Alarm::default();
        assert!(alarm.arm(now, now + 3 * SECOND));
        assert!(!alarm.arm(now, now + 4 * SECOND));
        assert!(alarm.arm(now, now + 2 * SECOND));
        // The later timer, which the owner may have kept, fires for nothing in the end.
        alarm.fired(now + 2 * SECOND);
        assert!(alarm.arm(now + 2 * SECOND, now + 5 * SECOND));
        alarm.fired(now + 3 * SECOND);
        assert!(
            !alarm.arm(now + 3 * SECOND, now + 5 * SECOND),
            "no timer too many"
        );
    }

    #[test]
    fn an_early_timer_counts_and_a_lost_one_is_replaced() {
        let now = start();
        let mut alarm = Alarm::default();
        assert!(alarm.arm(now, now + SECOND));
        alarm.fired(now + SECOND - TIMER_SLACK);
        assert!(alarm.arm(now + SECOND - TIMER_SLACK, now + SECOND));
        assert!(
            !alarm.arm(now + SECOND, now + 2 * SECOND),
            "it may still fire"
        );
        assert!(
            alarm.arm(now + 2 * SECOND, now + 3 * SECOND),
            "it never fired"
        );
    }

    #[test]
    fn no_timer_is_armed_for_a_moment_that_does_not_come() {
        let now = start();
        let mut alarm = Alarm::default();
        assert!(!alarm.arm(now, now + 2 * NEVER));
        assert!(alarm.arm(now, now + SECOND), "what comes first counts");
        alarm.fired(now + SECOND);
        assert!(!alarm.arm(now + SECOND, now + 2 * NEVER));
    }
}
