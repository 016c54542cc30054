//! Wall time for people, derived from the monotonic time that the shard is given.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::Offset;
use serde::{Serialize, Serializer};

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
    pub fn rfc3339(&self, at: Instant) -> Rfc3339 {
        Rfc3339::new(self.unix(at))
    }
}

/// Seconds since 1970 by the system's clock, for what runs outside a shard.
pub fn unix_seconds() -> u64 {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    wall.unwrap_or_default().as_secs()
}

/// `2001-09-09T01:46:40.123Z`
const RFC3339_BYTES: usize = 24;

/// A time as RFC 3339 in UTC with milliseconds: its text, which is no allocation of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rfc3339([u8; RFC3339_BYTES]);

impl Rfc3339 {
    /// A time since 1970. One past the year 9999, which the form cannot hold, is shown as the last
    /// day on which it can be told anywhere on Earth.
    pub fn new(unix: Duration) -> Self {
        let at = i64::try_from(unix.as_millis())
            .ok()
            .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
            .unwrap_or(Timestamp::MAX);
        let at = Offset::UTC.to_datetime(at);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        // None of them is negative: the time is unsigned.
        put_digits(&mut text[0..4], at.year().unsigned_abs());
        put_digits(&mut text[5..7], at.month().unsigned_abs().into());
        put_digits(&mut text[8..10], at.day().unsigned_abs().into());
        put_digits(&mut text[11..13], at.hour().unsigned_abs().into());
        put_digits(&mut text[14..16], at.minute().unsigned_abs().into());
        put_digits(&mut text[17..19], at.second().unsigned_abs().into());
        put_digits(&mut text[20..23], at.millisecond().unsigned_abs());
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Digits and marks alone.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The last digits of `number`, as many as there is room for.
fn put_digits(text: &mut [u8], mut number: u16) {
    for place in text.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_on_both_sides_of_the_anchor_are_shown_in_utc() {
        let now = Instant::now();
        let clock = WallClock::new(now, UNIX_EPOCH + Duration::from_millis(1_000_000_000_123));
        assert_eq!(clock.rfc3339(now).as_str(), "2001-09-09T01:46:40.123Z");
        assert_eq!(
            clock.rfc3339(now + Duration::from_secs(61)).as_str(),
            "2001-09-09T01:47:41.123Z"
        );
        assert_eq!(
            clock.rfc3339(now - Duration::from_secs(1)).as_str(),
            "2001-09-09T01:46:39.123Z"
        );
        let past = now - Duration::from_millis(1_123);
        assert_eq!(clock.instant(999_999_999), Some(past));
        assert_eq!(clock.unix(past), Duration::from_secs(999_999_999));
        let next = now + Duration::from_millis(877);
        assert_eq!(clock.instant(1_000_000_001), Some(next));
        assert_eq!(clock.instant(u64::MAX), None);
    }

    #[test]
    fn a_time_reads_as_the_library_prints_it() {
        for milliseconds in [0, 1, 951_782_399_999, 951_782_400_000, 253_402_207_200_000] {
            let library = Timestamp::from_millisecond(milliseconds).unwrap();
            let own = Rfc3339::new(Duration::from_millis(milliseconds as u64));
            assert_eq!(own.to_string(), format!("{library:.3}"));
        }
        let late = Rfc3339::new(Duration::MAX);
        assert_eq!(late.as_str(), "9999-12-30T22:00:00.999Z");
    }
}
