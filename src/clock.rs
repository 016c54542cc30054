//! Wall time for people, derived from the monotonic time that the shard is given.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Maps [`Instant`]s onto UTC. The driver moves the anchor with each tick, so that a clock set by
/// NTP shows within milliseconds; a simulation anchors it once.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    anchor: Instant,
    unix: Duration,
}

impl WallClock {
    /// `now` and `wall` are the same moment.
    pub fn new(now: Instant, wall: SystemTime) -> Self {
        // A clock before 1970 shows 1970: nothing but displays depend on it.
        Self {
            anchor: now,
            unix: wall.duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// Time since 1970-01-01T00:00:00Z.
    pub fn unix(&self, at: Instant) -> Duration {
        match at.checked_duration_since(self.anchor) {
            Some(later) => self.unix + later,
            None => self.unix.saturating_sub(self.anchor - at),
        }
    }

    /// The moment of that many seconds since 1970; `None` where it is too far off to be one.
    pub fn instant(&self, unix_seconds: u64) -> Option<Instant> {
        match Duration::from_secs(unix_seconds).checked_sub(self.unix) {
            Some(later) => self.anchor.checked_add(later),
            None => self
                .anchor
                .checked_sub(self.unix - Duration::from_secs(unix_seconds)),
        }
    }

    /// RFC 3339 in UTC with milliseconds.
    pub fn rfc3339(&self, at: Instant) -> String {
        rfc3339(self.unix(at))
    }
}

/// Seconds since 1970 by the system's clock, for what runs outside a shard.
pub fn unix_seconds() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    wall.unwrap_or_default().as_secs()
}

/// A time since 1970 as RFC 3339 in UTC with milliseconds; empty past the year 9999.
pub fn rfc3339(unix: Duration) -> String {
    jiff::Timestamp::from_millisecond(i64::try_from(unix.as_millis()).unwrap_or(i64::MAX))
        .map(|time| format!("{time:.3}"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_on_both_sides_of_the_anchor_are_shown_in_utc() {
        let now = Instant::now();
        let clock = WallClock::new(now, UNIX_EPOCH + Duration::from_millis(1_000_000_000_123));
        assert_eq!(clock.rfc3339(now), "2001-09-09T01:46:40.123Z");
        assert_eq!(
            clock.rfc3339(now + Duration::from_secs(61)),
            "2001-09-09T01:47:41.123Z"
        );
        assert_eq!(
            clock.rfc3339(now - Duration::from_secs(1)),
            "2001-09-09T01:46:39.123Z"
        );
        let past = now - Duration::from_millis(1_123);
        assert_eq!(clock.instant(999_999_999), Some(past));
        assert_eq!(clock.unix(past), Duration::from_secs(999_999_999));
        let next = now + Duration::from_millis(877);
        assert_eq!(clock.instant(1_000_000_001), Some(next));
        assert_eq!(clock.instant(u64::MAX), None);
    }
}
