//! The packet log of one track: what viewers still have to get, and the pictures since the last
//! keyframe for those who join.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Codec;
use crate::packetise::Packet;

/// Packets of one track in the order in which every viewer gets them. A position in the log counts
/// packets since the track began, so it stays valid while the front is dropped.
#[derive(Debug)]
pub(crate) struct Track {
    log: VecDeque<LogPacket>,
    /// Position of `log[0]`.
    first: u64,
    /// Payload bytes in `log`.
    bytes: usize,
    /// Frames written, ever.
    frames: u64,
    gop: Option<Gop>,
}

/// A payload with what every viewer's RTP header is made from.
#[derive(Debug, Clone)]
pub(crate) struct LogPacket {
    pub(crate) payload: Arc<[u8]>,
    pub(crate) codec: Codec,
    pub(crate) marker: bool,
    /// First, and last, packet of its frame.
    pub(crate) first: bool,
    pub(crate) last: bool,
    /// Number of its frame in the track.
    pub(crate) frame: u64,
    /// Ticks of the track's clock.
    pub(crate) rtp: u64,
    /// When the frame was captured, never later than when it was written.
    pub(crate) capture: Instant,
}

/// The pictures since the last keyframe, complete in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gop {
    /// Position of the keyframe's first packet.
    pub(crate) position: u64,
    /// Number of the keyframe.
    pub(crate) frame: u64,
    written: Instant,
    pub(crate) bytes: usize,
}

/// A frame to append.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) codec: Codec,
    pub(crate) keyframe: bool,
    pub(crate) rtp: u64,
    pub(crate) capture: Instant,
}

/// How much a track may keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrackLimits {
    /// Payload bytes since the keyframe; twice as many in the log, where viewers lag.
    pub(crate) gop_bytes: usize,
    pub(crate) gop_age: Duration,
}

impl Track {
    pub(crate) fn new() -> Self {
        Self {
            log: VecDeque::new(),
            first: 0,
            bytes: 0,
            frames: 0,
            gop: None,
        }
    }

    /// The position behind the last packet.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    /// The position of the oldest packet held.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn get(&self, position: u64) -> Option<&LogPacket> {
        self.log
            .get(usize::try_from(position.checked_sub(self.first)?).ok()?)
    }

    /// The packets of one frame from `position` on, at most `limit`.
    pub(crate) fn rest_of_frame(&self, position: u64, limit: usize) -> Iter<'_, LogPacket> {
        let begin = position
            .saturating_sub(self.first)
            .min(self.log.len() as u64) as usize;
        let mut rest = self.log.range(begin..).take(limit);
        let count = match rest.position(|packet| packet.last) {
            Some(last) => last + 1,
            None => limit.min(self.log.len() - begin),
        };
        self.log.range(begin..begin + count)
    }

    pub(crate) fn last(&self) -> Option<&LogPacket> {
        self.log.back()
    }

    pub(crate) fn gop(&self) -> Option<Gop> {
        self.gop
    }

    /// Appends a frame. Where it passes a bound, the pictures since the keyframe are given up, and
    /// in the end also packets that some viewer has not got.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        frame: Frame,
        packets: &mut Vec<Packet>,
        limits: TrackLimits,
    ) {
        let position = self.end();
        let number = self.frames;
        self.frames += 1;
        let count = packets.len();
        let mut size = 0;
        for (i, packet) in packets.drain(..).enumerate() {
            size += packet.payload.len();
            self.log.push_back(LogPacket {
                payload: packet.payload,
                codec: frame.codec,
                marker: packet.marker,
                first: i == 0,
                last: i + 1 == count,
                frame: number,
                rtp: frame.rtp,
                capture: frame.capture,
            });
        }
        self.bytes += size;
        if frame.keyframe && frame.codec.is_video() {
            self.gop = Some(Gop {
                position,
                frame: number,
                written: now,
                bytes: 0,
            });
        }
        if let Some(gop) = &mut self.gop {
            gop.bytes += size;
            if gop.bytes > limits.gop_bytes || now - gop.written > limits.gop_age {
                self.gop = None;
            }
        }
        while self.bytes > 2 * limits.gop_bytes {
            self.drop_front();
        }
    }

    /// The publisher went: nobody can start from what it sent.
    pub(crate) fn forget_gop(&mut self) {
        self.gop = None;
    }

    /// Drops what neither a viewer at or behind `needed` nor one who joins will ask for.
    pub(crate) fn trim(&mut self, needed: u64) {
        let keep = self.gop.map_or(self.end(), |gop| gop.position).min(needed);
        while self.first < keep && !self.log.is_empty() {
            self.drop_front();
        }
    }

    /// Whether [`trim`](Self::trim) could drop anything at all.
    pub(crate) fn trimmable(&self) -> bool {
        self.first < self.gop.map_or(self.end(), |gop| gop.position)
    }

    /// The position at which the last `frames` frames begin.
    pub(crate) fn recent(&self, frames: usize) -> u64 {
        let oldest = self.frames.saturating_sub(frames as u64);
        self.first + self.log.partition_point(|packet| packet.frame < oldest) as u64
    }

    fn drop_front(&mut self) {
        if let Some(packet) = self.log.pop_front() {
            self.bytes -= packet.payload.len();
            self.first += 1;
        }
        if self.gop.is_some_and(|gop| gop.position < self.first) {
            self.gop = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    const LIMITS: TrackLimits = TrackLimits {
        gop_bytes: 1_000,
        gop_age: Duration::from_secs(10),
    };

    fn push(track: &mut Track, now: Instant, keyframe: bool, len: usize) {
        let frame = Frame {
            codec: Codec::Vp8,
            keyframe,
            rtp: track.frames * 3_000,
            capture: now,
        };
        let mut packets = vec![Packet {
            payload: vec![0; len].into(),
            marker: true,
        }];
        track.push(now, frame, &mut packets, LIMITS);
    }

    #[test]
    fn the_group_of_pictures_stays_until_the_next_keyframe() {
        let now = start();
        let mut track = Track::new();
        for keyframe in [true, false, false, true, false] {
            push(&mut track, now, keyframe, 10);
        }
        assert_eq!(
            track.gop().map(|gop| (gop.position, gop.frame)),
            Some((3, 3))
        );
        track.trim(1);
        assert_eq!(track.first(), 1, "a viewer still needs packet 1");
        track.trim(track.end());
        assert_eq!(track.first(), 3);
        assert!(!track.trimmable());
    }

    #[test]
    fn the_last_frames_are_found_whatever_was_dropped() {
        let now = start();
        let mut track = Track::new();
        assert_eq!(track.recent(3), 0);
        for keyframe in [true, false, false, false, true] {
            push(&mut track, now, keyframe, 10);
        }
        assert_eq!(
            (track.recent(0), track.recent(3), track.recent(9)),
            (5, 2, 0)
        );
        track.trim(track.recent(3));
        assert_eq!((track.first(), track.recent(3)), (2, 2));
    }

    #[test]
    fn a_frame_is_read_to_its_end_or_to_the_limit() {
        let now = start();
        let mut track = Track::new();
        for count in [3, 1, 2] {
            let packet = Packet {
                payload: vec![0; 10].into(),
                marker: false,
            };
            let frame = Frame {
                codec: Codec::Vp8,
                keyframe: count == 3,
                rtp: 0,
                capture: now,
            };
            track.push(now, frame, &mut vec![packet; count], LIMITS);
        }
        let read = |position, limit| track.rest_of_frame(position, limit).len();
        assert_eq!(
            [read(0, 16), read(1, 16), read(3, 16), read(4, 16)],
            [3, 2, 1, 2]
        );
        assert_eq!([read(0, 2), read(5, 16), read(6, 16)], [2, 1, 0]);
    }

    #[test]
    fn a_group_that_outgrows_its_bounds_is_given_up() {
        let now = start();
        let mut track = Track::new();
        push(&mut track, now, true, 600);
        push(&mut track, now, false, 400);
        assert!(track.gop().is_some());
        push(&mut track, now, false, 1);
        assert!(track.gop().is_none(), "too many bytes");
        push(&mut track, now, true, 10);
        push(&mut track, now + Duration::from_secs(10), false, 10);
        assert!(track.gop().is_some());
        push(&mut track, now + Duration::from_millis(10_001), false, 10);
        assert!(track.gop().is_none(), "too old");
        for _ in 0..100 {
            push(&mut track, now, false, 100);
        }
        assert!(
            track.bytes <= 2 * LIMITS.gop_bytes,
            "the log is bounded without any viewer"
        );
    }
}
