//! What a viewer was sent of a track: the fan-out counts it, the session reports it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::Codec;
use crate::track::LogPacket;

/// Counts since the session began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sent {
    /// RTP packets, without retransmissions, and bytes of their payload.
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// The same of retransmissions.
    pub(crate) resent_packets: u64,
    pub(crate) resent_bytes: u64,
    /// Bytes of the datagrams that were sealed here.
    pub(crate) sealed_bytes: u64,
    pub(crate) frames: u64,
    pub(crate) skipped: u64,
    /// What was sent last.
    pub(crate) codec: Option<Codec>,
    /// The RTP time that was sent last, and what it stands for.
    pub(crate) clock: Option<(u32, Instant)>,
}

/// The counts of one track, in the hands of its lane and of its session.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Rc<Cell<Sent>>);

impl Tally {
    pub(crate) fn get(&self) -> Sent {
        self.0.get()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Sent)) {
        let mut sent = self.0.get();
        change(&mut sent);
        self.0.set(sent);
    }
}

impl Sent {
    /// RTP time at `now`, on a clock of `rate` Hz.
    pub(crate) fn rtp_at(&self, now: Instant, rate: u32) -> Option<u32> {
        let (rtp, at) = self.clock?;
        let passed = now.saturating_duration_since(at).as_micros() * u128::from(rate) / 1_000_000;
        Some(rtp.wrapping_add(passed as u32))
    }

    /// A packet with RTP time `rtp`, which stands for `wallclock`.
    pub(crate) fn count(&mut self, packet: &LogPacket, rtp: u32, wallclock: Instant) {
        self.packets += 1;
        self.bytes += packet.payload.len() as u64;
        self.frames += u64::from(packet.last);
        self.codec = Some(packet.codec);
        self.clock = Some((rtp, wallclock));
    }

    /// A retransmission of `len` bytes of payload.
    pub(crate) fn count_resent(&mut self, len: usize) {
        self.resent_packets += 1;
        self.resent_bytes += len as u64;
    }
}
