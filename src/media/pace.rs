//! When an access unit of a body is due, and what time it shows.

use std::time::{Duration, Instant};

/// Pictures per second that arrival as a clock admits. A pipe that is faster is not live: it is
/// held back by TCP to this.
const ARRIVAL_FPS_MAX: u32 = 240;
/// Access units that may arrive at one moment (a pipe's buffer, an encoder's burst).
const ARRIVAL_BURST: u32 = 30;
/// A paced body that falls further behind than this goes on from now, rather than in fast motion.
const LATE_MOST: Duration = Duration::from_millis(250);

/// The clock of a body.
#[derive(Debug)]
pub enum Pace {
    /// Arrival is the clock.
    Arrival {
        /// When the bucket of `ARRIVAL_BURST` is full again (GCRA's theoretical arrival time).
        full_at: Option<Instant>,
    },
    /// A file, at so many pictures a second.
    Fixed {
        /// Between two pictures.
        interval: Duration,
        /// When the next one is due.
        next: Option<Instant>,
    },
    /// The container's own time, from the first packet's arrival.
    Container {
        /// When the packet of time 0 was, or would have been, due.
        origin: Option<Instant>,
    },
}

impl Pace {
    /// A body of `?fps=`.
    pub fn fixed(fps: f64) -> Self {
        Pace::Fixed {
            interval: Duration::from_secs_f64(1.0 / fps),
            next: None,
        }
    }

    /// A live body.
    pub fn arrival() -> Self {
        Pace::Arrival { full_at: None }
    }

    /// A body whose packets say when they play.
    pub fn container() -> Self {
        Pace::Container { origin: None }
    }

    /// When the next access unit, whose container time is `pts`, may leave.
    pub fn due(&self, now: Instant, pts: Option<Duration>) -> Instant {
        match self {
            Pace::Arrival { full_at } => match full_at {
                Some(full_at) => (*full_at - SPACING * ARRIVAL_BURST).max(now - LATE_MOST),
                None => now,
            },
            Pace::Fixed { next, .. } => next.unwrap_or(now),
            Pace::Container { origin } => match (origin, pts) {
                (Some(origin), Some(pts)) => *origin + pts,
                _ => now,
            },
        }
    }

    /// The access unit leaves now, being due: its time on the device's timeline.
    pub fn take(&mut self, now: Instant, pts: Option<Duration>) -> Instant {
        let due = self.due(now, pts);
        let late = now.saturating_duration_since(due) > LATE_MOST;
        match self {
            Pace::Arrival { full_at } => {
                *full_at = Some(full_at.map_or(now, |at| at.max(now)) + SPACING);
                now
            }
            Pace::Fixed { interval, next } => {
                let at = if late { now } else { due };
                *next = Some(at + *interval);
                at
            }
            Pace::Container { origin } => {
                let at = if late { now } else { due };
                *origin = pts.and_then(|pts| at.checked_sub(pts)).or(*origin);
                at
            }
        }
    }
}

const SPACING: Duration = Duration::from_nanos(1_000_000_000 / ARRIVAL_FPS_MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Runs `count` units that are all there at `start`, in steps of a millisecond.
    fn times(
        mut pace: Pace,
        start: Instant,
        pts: impl Fn(u32) -> Option<Duration>,
        count: u32,
    ) -> Vec<Instant> {
        let (mut now, mut taken) = (start, Vec::new());
        for i in 0..count {
            while pace.due(now, pts(i)) > now {
                now += MS;
            }
            pace.take(now, pts(i));
            taken.push(now);
        }
        taken
    }

    #[test]
    fn a_file_plays_at_its_rate() {
        let start = Instant::now();
        let taken = times(Pace::fixed(30.0), start, |_| None, 301);
        let span = *taken.last().unwrap() - start;
        assert!(span.abs_diff(Duration::from_secs(10)) < 2 * MS, "{span:?}");
    }

    #[test]
    fn a_flood_is_held_to_the_most_that_is_live() {
        let start = Instant::now();
        let taken = times(Pace::arrival(), start, |_| None, 30 + 240);
        assert_eq!(taken[29], start, "a burst passes");
        let span = *taken.last().unwrap() - start;
        assert!(span.abs_diff(Duration::from_secs(1)) < 10 * MS, "{span:?}");
    }

    #[test]
    fn a_page_of_audio_plays_over_its_own_time() {
        let start = Instant::now();
        let taken = times(Pace::container(), start, |i| Some(20 * MS * i), 50);
        assert_eq!(*taken.last().unwrap() - start, 980 * MS);
    }

    #[test]
    fn a_pause_does_not_become_fast_motion() {
        let start = Instant::now();
        let mut pace = Pace::fixed(10.0);
        assert_eq!(pace.take(start, None), start);
        let later = start + Duration::from_secs(5);
        assert_eq!(pace.take(later, None), later);
        assert_eq!(pace.due(later, None), later + 100 * MS);
        let mut pace = Pace::container();
        pace.take(start, Some(Duration::ZERO));
        assert_eq!(pace.take(later, Some(20 * MS)), later);
        assert_eq!(pace.due(later, Some(40 * MS)), later + 20 * MS);
    }
}
