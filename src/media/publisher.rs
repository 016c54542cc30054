//! A live body on its way into a device.

use std::collections::VecDeque;
use std::time::Instant;

use rtc::{AccessUnit, BitstreamError, Container, Ingest};

use super::{Pace, Track};
use crate::alarm::Alarm;
use crate::api::Publication;
use crate::ids::DeviceId;

/// Access units that wait for their time before the body is read no further. A page of Ogg holds a
/// second of audio, 50 packets.
const QUEUE_UNITS: usize = 64;
/// Bytes of them. Two of the largest pictures (`rtc::MAX_ACCESS_UNIT_BYTES`).
const QUEUE_BYTES: usize = 8 << 20;

/// A body that is being received.
#[derive(Debug)]
pub struct Publisher {
    /// Where it goes.
    pub device: DeviceId,
    /// What it is.
    pub track: Track,
    /// For the end of a picture by silence and for pacing.
    pub alarm: Alarm,
    /// When the last byte came.
    pub heard: Instant,
    ingest: Ingest,
    pace: Pace,
    queue: VecDeque<AccessUnit>,
    queued_bytes: usize,
    access_units: u64,
    bytes: u64,
    parsed: Vec<AccessUnit>,
}

impl Publisher {
    /// Before the first byte.
    pub fn new(now: Instant, publication: &Publication) -> Self {
        let pace = match (publication.container, publication.fps) {
            (_, Some(fps)) => Pace::fixed(fps),
            (Container::Ogg, None) => Pace::container(),
            (Container::AnnexB | Container::Ivf, None) => Pace::arrival(),
        };
        Self {
            device: publication.device.clone(),
            track: publication.track,
            alarm: Alarm::default(),
            heard: now,
            ingest: Ingest::new(publication.container),
            pace,
            queue: VecDeque::new(),
            queued_bytes: 0,
            access_units: 0,
            bytes: 0,
            parsed: Vec::new(),
        }
    }

    /// Bytes of the body.
    pub fn push(&mut self, now: Instant, bytes: &[u8]) -> Result<(), BitstreamError> {
        self.heard = now;
        self.bytes += bytes.len() as u64;
        let result = self.ingest.push(now, bytes, &mut self.parsed);
        self.enqueue();
        result
    }

    /// The body is complete.
    pub fn finish(&mut self) -> Result<(), BitstreamError> {
        let result = self.ingest.finish(&mut self.parsed);
        self.enqueue();
        result
    }

    /// Time passed: a picture may have ended by silence.
    pub fn silence(&mut self, now: Instant) -> Result<(), BitstreamError> {
        let result = self.ingest.silence(now, &mut self.parsed);
        self.enqueue();
        result
    }

    /// The next access unit that is due, with its time on the device's timeline.
    pub fn next(&mut self, now: Instant) -> Option<(Instant, AccessUnit)> {
        let pts = self.queue.front()?.pts;
        if self.pace.due(now, pts) > now {
            return None;
        }
        let unit = self.queue.pop_front()?;
        self.queued_bytes -= unit.data.len();
        self.access_units += 1;
        Some((self.pace.take(now, pts), unit))
    }

    /// When to look again although no byte came.
    pub fn wakes_at(&self, now: Instant) -> Option<Instant> {
        let due = self.queue.front().map(|unit| self.pace.due(now, unit.pts));
        // A body that is held back is not silent.
        let silence = self.ingest.silence_deadline().filter(|_| self.reads());
        due.into_iter().chain(silence).min()
    }

    /// Whether more of the body is wanted.
    pub fn reads(&self) -> bool {
        self.queue.len() < QUEUE_UNITS && self.queued_bytes < QUEUE_BYTES
    }

    /// Whether everything that came has left.
    pub fn is_drained(&self) -> bool {
        self.queue.is_empty()
    }

    /// Access units that went into the device.
    pub fn access_units(&self) -> u64 {
        self.access_units
    }

    /// Bytes of the body so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Pictures that a slow link cut in two.
    pub fn cut_pictures(&self) -> u64 {
        self.ingest.cut_pictures()
    }

    fn enqueue(&mut self) {
        for unit in self.parsed.drain(..) {
            self.queued_bytes += unit.data.len();
            self.queue.push_back(unit);
        }
    }
}
