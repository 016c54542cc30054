//! What a viewer is sent in its turn: retransmissions, sound, picture.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Packet, Sealer};
use crate::track::Track;
use crate::viewer::{Lane, Outgoing, Viewer};
use crate::{Outbox, SessionKey, SocketIndex};

/// Where a viewer is: our socket, and its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) socket: SocketIndex,
    pub(crate) to: SocketAddr,
}

/// The abs-send-time of a packet: 24 bits, of which 18 after the point of a second. Only
/// differences count, so that any epoch will do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendTime(u32);

impl SendTime {
    pub(crate) fn new(now: Instant, epoch: Instant) -> Self {
        let since = now.saturating_duration_since(epoch);
        let fraction = (u64::from(since.subsec_micros()) << 18) / 1_000_000;
        Self((since.as_secs() << 18 | fraction) as u32 & 0x00ff_ffff)
    }

    #[cfg(test)]
    pub(crate) fn get(self) -> u32 {
        self.0
    }
}

/// What a viewer was sent in one go.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Shipped {
    pub(crate) packets: usize,
    /// Those of them that were sent again.
    pub(crate) resent: u64,
    /// What was put into the outbox by our own hand.
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
}

/// Seals for one viewer.
struct Press<'a> {
    sealer: &'a Sealer,
    session: SessionKey,
    route: Route,
    send_time: SendTime,
    limit: usize,
    shipped: Shipped,
    out: &'a mut Outbox,
}

impl Viewer {
    /// Seals up to `limit` packets into the outbox. Sound comes before the picture: it is little,
    /// and heard at once when late.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        send_time: SendTime,
        (video, audio): (&Track, &Track),
        limit: usize,
        out: &mut Outbox,
    ) -> Shipped {
        let (Some(sealer), Some(route)) = (&self.sealer, self.route) else {
            return Shipped::default();
        };
        let mut press = Press {
            sealer,
            session: self.session,
            route,
            send_time,
            limit,
            shipped: Shipped::default(),
            out,
        };
        press.resend(&mut self.video, video);
        press.send(now, &mut self.audio, audio);
        press.send(now, &mut self.video, video);
        press.shipped
    }
}

impl Press<'_> {
    fn has_room(&self) -> bool {
        self.shipped.packets < self.limit
    }

    /// What the viewer has not got of a track.
    fn send(&mut self, now: Instant, lane: &mut Lane, track: &Track) {
        if !lane.has_work(track) {
            return;
        }
        let mut sent = lane.tally.get();
        while self.has_room()
            && let Some(outgoing) = lane.next(now, track, self.limit - self.shipped.packets)
        {
            let Outgoing {
                packets,
                indices,
                header,
                payload_type,
                rtp,
                wallclock,
            } = outgoing;
            for packet in packets {
                let index = indices.take();
                let rtp_packet = Packet {
                    header,
                    payload_type,
                    marker: packet.marker,
                    timestamp: rtp,
                    send_time: self.send_time.0,
                    prefix: &[],
                    payload: &packet.payload,
                };
                let (sealer, len) = (self.sealer, rtp_packet.sealed_len());
                if self.ship(len, |out| sealer.seal(index, &rtp_packet, out)) {
                    sent.count(packet, rtp, wallclock);
                    sent.sealed_bytes += len as u64;
                }
            }
        }
        lane.tally.update(|tally| *tally = sent);
    }

    /// What the viewer has asked for again, on the SSRC for it (RFC 4588 §4).
    fn resend(&mut self, lane: &mut Lane, track: &Track) {
        while self.has_room()
            && let Some((index, missing)) = lane.next_missing()
        {
            let Some(packet) = track.get(missing.position) else {
                continue;
            };
            let Some(payload_type) = lane.resend_type(packet.codec) else {
                continue;
            };
            let original = (missing.index as u16).to_be_bytes();
            let rtp_packet = Packet {
                header: &lane.header,
                payload_type,
                marker: packet.marker,
                timestamp: missing.rtp,
                send_time: self.send_time.0,
                prefix: &original,
                payload: &packet.payload,
            };
            let (sealer, len) = (self.sealer, rtp_packet.sealed_len());
            if self.ship(len, |out| sealer.seal(index, &rtp_packet, out)) {
                self.shipped.resent += 1;
                lane.tally.update(|sent| {
                    sent.count_resent(packet.payload.len());
                    sent.sealed_bytes += len as u64;
                });
            }
        }
    }

    fn ship(&mut self, len: usize, seal: impl FnOnce(&mut [u8]) -> bool) -> bool {
        self.shipped.packets += 1;
        let Route { socket, to } = self.route;
        let sealed = self.out.media(self.session, socket, to, len, seal);
        self.shipped.datagrams += u64::from(sealed);
        self.shipped.bytes += if sealed { len as u64 } else { 0 };
        sealed
    }
}
