//! What a viewer was sent lately, so that it can ask for it again.
//!
//! No packet is kept for a viewer: its source keeps the packets of the last frames for all. What
//! differs between viewers is which of them had which index, and the RTP time of a frame.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How long a sent packet can be asked for again: a few round trips of a bad link.
pub(crate) const RETRANSMIT_AGE: Duration = Duration::from_secs(1);
/// How many frames back it can be: those of that time at 60 pictures a second.
pub(crate) const HISTORY_FRAMES: usize = 64;

/// Retransmissions at once: those of half a second of 720p at 4 Mbit/s, or of a large keyframe.
const RESEND_BURST: u32 = 256;
/// Retransmissions per second, on average: a lost keyframe is most of a second's packets, and more
/// than the media itself would only make a full link fuller.
const RESENDS_PER_SECOND: u32 = 512;
/// Shortest time between two retransmissions of a packet when the round trip is not known. Browsers
/// ask again after a round trip, or 100 ms.
const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(50);

/// A frame as it was sent to a viewer.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// Of its first packet: the index, and the position in the source's log.
    index: u64,
    position: u64,
    rtp: u32,
    at: Instant,
}

/// A packet that a viewer is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) index: u64,
    pub(crate) position: u64,
    pub(crate) rtp: u32,
}

/// The frames that a viewer was sent lately, and what it asked for again.
#[derive(Debug)]
pub(crate) struct History {
    frames: VecDeque<Sent>,
    /// Indices resent lately, and when. Looked up for each of the hundreds that one NACK may name.
    resent: BTreeMap<u64, Instant>,
    /// Retransmissions allowed now, and when that was computed.
    allowance: (u32, Option<Instant>),
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            frames: VecDeque::new(),
            resent: BTreeMap::new(),
            allowance: (RESEND_BURST, None),
        }
    }

    /// A frame begins.
    pub(crate) fn begin(&mut self, now: Instant, index: u64, position: u64, rtp: u32) {
        if self.frames.len() == HISTORY_FRAMES {
            self.frames.pop_front();
        }
        self.frames.push_back(Sent {
            index,
            position,
            rtp,
            at: now,
        });
    }

    /// The packet that had `index`, when it may be resent: young enough, not resent within the last
    /// round trip, and not one too many.
    pub(crate) fn request(
        &mut self,
        now: Instant,
        index: u64,
        round_trip: Option<Duration>,
    ) -> Option<Missing> {
        let after = self.frames.partition_point(|frame| frame.index <= index);
        let frame = *self.frames.get(after.checked_sub(1)?)?;
        if now.saturating_duration_since(frame.at) > RETRANSMIT_AGE {
            return None;
        }
        let pause = round_trip.unwrap_or(DEFAULT_ROUND_TRIP).min(RETRANSMIT_AGE);
        let resent = self.resent.get(&index);
        if resent.is_some_and(|at| now.saturating_duration_since(*at) < pause) || !self.allow(now) {
            return None;
        }
        self.forget_resent(now);
        self.resent.insert(index, now);
        Some(Missing {
            index,
            position: frame.position + (index - frame.index),
            rtp: frame.rtp,
        })
    }

    /// Forgets what is too old to be asked for again.
    fn forget_resent(&mut self, now: Instant) {
        let old = |frame: &Sent| now.saturating_duration_since(frame.at) > RETRANSMIT_AGE;
        let first = self.frames.get(self.frames.partition_point(old));
        while let Some(entry) = self.resent.first_entry()
            && first.is_none_or(|first| *entry.key() < first.index)
        {
            entry.remove();
        }
    }

    /// A token bucket. It bounds `resent`, too.
    fn allow(&mut self, now: Instant) -> bool {
        let (left, since) = self.allowance;
        let elapsed = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let earned = (elapsed.as_micros() * u128::from(RESENDS_PER_SECOND) / 1_000_000)
            .min(u128::from(RESEND_BURST)) as u32;
        // Time that earned nothing yet goes on counting.
        let since = if earned > 0 { None } else { since };
        let left = (left + earned).min(RESEND_BURST);
        self.allowance = (left.saturating_sub(1), Some(since.unwrap_or(now)));
        left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    const MS: Duration = Duration::from_millis(1);

    /// Frames of ten packets, 33 ms apart.
    fn history(now: Instant, frames: u32) -> History {
        let mut history = History::new();
        for i in 0..frames {
            let number = u64::from(i);
            history.begin(now + i * 33 * MS, 10 * number, 500 + 10 * number, 3_000 * i);
        }
        history
    }

    #[test]
    fn an_index_leads_to_its_packet_across_jumps() {
        let now = start();
        let mut history = history(now, 3);
        // The viewer was put forward to a newer keyframe.
        history.begin(now + 99 * MS, 30, 800, 20_000);
        let at = now + 100 * MS;
        let missing = |index, position, rtp| {
            Some(Missing {
                index,
                position,
                rtp,
            })
        };
        assert_eq!(history.request(at, 12, None), missing(12, 512, 3_000));
        assert_eq!(history.request(at, 29, None), missing(29, 529, 6_000));
        assert_eq!(history.request(at, 33, None), missing(33, 803, 20_000));
    }

    #[test]
    fn what_is_too_old_is_gone() {
        let now = start();
        let mut h = history(now, 100);
        assert_eq!(h.frames.len(), HISTORY_FRAMES);
        let at = now + 100 * 33 * MS;
        assert_eq!(h.request(at, 5, None), None, "forgotten");
        assert_eq!(h.request(at, 690, None), None, "1 s ago");
        assert!(h.request(at, 705, None).is_some());
    }

    #[test]
    fn a_packet_is_resent_once_in_a_round_trip() {
        let now = start();
        let mut h = history(now, 1);
        let round_trip = Some(80 * MS);
        let asked: Vec<u32> = (0..20)
            .map(|i| i * 10)
            .filter(|ms| h.request(now + *ms * MS, 3, round_trip).is_some())
            .collect();
        assert_eq!(asked, [0, 80, 160]);
    }

    #[test]
    fn what_was_resent_is_forgotten_with_its_frame() {
        let now = start();
        let mut h = History::new();
        for i in 0..1_000 {
            let (at, index) = (now + i * 100 * MS, 10 * u64::from(i));
            h.begin(at, index, index, 0);
            let asked = (index..index + 10).filter(|&index| h.request(at, index, None).is_some());
            assert_eq!(asked.count(), 10);
            assert!(h.resent.len() <= 11 * 10, "{} after {i}", h.resent.len());
        }
    }

    #[test]
    fn retransmissions_are_capped() {
        let now = start();
        let mut h = history(now, 1);
        let mut resent = 0;
        for ms in 0..1_000 {
            for index in 0..10 {
                let again = h.request(now + ms * MS, index, Some(Duration::ZERO));
                resent += u32::from(again.is_some());
            }
        }
        let cap = RESEND_BURST + RESENDS_PER_SECOND;
        assert!((cap - 20..=cap).contains(&resent), "{resent} of {cap}");
    }
}
