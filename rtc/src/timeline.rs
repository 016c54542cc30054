//! From the time of a picture to its RTP timestamp.

use std::time::{Duration, Instant};

/// A step forward of more than this is a new timeline, not a pause in the old one.
const MAX_STEP: Duration = Duration::from_secs(10);

/// Maps capture times to RTP ticks that strictly increase, whatever publishers come and go.
#[derive(Debug)]
pub(crate) struct Timeline {
    clock_rate: u32,
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    /// What the mapping rests on.
    anchor: (Instant, u64),
    capture: Instant,
    written: Instant,
    ticks: u64,
}

impl Timeline {
    pub(crate) fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            last: None,
        }
    }

    /// Ticks of a picture captured at `capture` and written at `now`.
    ///
    /// A jump (backwards, or more than [`MAX_STEP`] forward) starts a new mapping, which goes on
    /// from the last tick by as much as has passed between the two writes: what the viewer saw
    /// pass.
    pub(crate) fn ticks(&mut self, now: Instant, capture: Instant) -> u64 {
        let (anchor, ticks) = match self.last {
            None => ((capture, 0), 0),
            Some(last) => {
                let step = capture.checked_duration_since(last.capture);
                if step.is_some_and(|step| step <= MAX_STEP) {
                    let (from, base) = last.anchor;
                    let ticks = base + self.in_ticks(capture.saturating_duration_since(from));
                    (last.anchor, ticks.max(last.ticks + 1))
                } else {
                    let passed = self.in_ticks(now.saturating_duration_since(last.written));
                    let ticks = last.ticks + passed.max(1);
                    ((capture, ticks), ticks)
                }
            }
        };
        self.last = Some(Last {
            anchor,
            capture,
            written: now,
            ticks,
        });
        ticks
    }

    fn in_ticks(&self, duration: Duration) -> u64 {
        // Whole microseconds: 292,000 years fit before the product overflows 64 bits at 90 kHz.
        (duration.as_micros() * u128::from(self.clock_rate) / 1_000_000) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    const FRAME: Duration = Duration::from_millis(40);

    #[test]
    fn ticks_follow_the_capture_time() {
        let t = start();
        let mut line = Timeline::new(90_000);
        assert_eq!(line.ticks(t, t), 0);
        assert_eq!(line.ticks(t + FRAME, t + FRAME), 3_600);
        // Two pictures of one instant still differ, and the second does not push the third.
        assert_eq!(line.ticks(t + FRAME, t + FRAME), 3_601);
        assert_eq!(line.ticks(t + 2 * FRAME, t + 2 * FRAME), 7_200);
    }

    #[test]
    fn a_pause_of_a_publisher_is_a_pause_of_the_picture() {
        let t = start();
        let mut line = Timeline::new(90_000);
        line.ticks(t, t);
        let later = t + Duration::from_secs(3);
        assert_eq!(line.ticks(later, later), 270_000);
    }

    #[test]
    fn a_jump_backwards_goes_on_by_what_has_passed() {
        let t = start() + Duration::from_secs(100);
        let mut line = Timeline::new(90_000);
        line.ticks(t, t);
        let back = t - Duration::from_secs(60);
        assert_eq!(line.ticks(t + FRAME, back), 3_600);
        assert_eq!(line.ticks(t + 2 * FRAME, back + FRAME), 7_200);
    }

    #[test]
    fn a_jump_forward_of_the_container_alone_does_not_stall_the_picture() {
        let t = start();
        let mut line = Timeline::new(48_000);
        line.ticks(t, t);
        let jumped = t + Duration::from_secs(3_600);
        assert_eq!(line.ticks(t + FRAME, jumped), 1_920);
        assert_eq!(line.ticks(t + 2 * FRAME, jumped + FRAME), 3_840);
    }
}
