//! From an access unit to RTP payloads, once per source however many viewers watch.
//!
//! The packets of a picture are cut to equal sizes wherever the format allows it, for the kernel
//! sends a run of equal datagrams (of which the last may be shorter) in one call (`UDP_SEGMENT`).

mod h264;
mod vp8;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::{AccessUnit, Codec};

/// Largest RTP payload in bytes. With the RTP header, its extensions, the SRTP tag and the two bytes
/// of a retransmission it makes a datagram of about 1,194 B, which passes every path that carries
/// IPv6 (minimum MTU 1,280 B).
pub const MAX_PAYLOAD_BYTES: usize = 1_150;

/// One RTP payload, shared by all viewers.
#[derive(Debug, Clone)]
pub struct Packet {
    /// At most [`MAX_PAYLOAD_BYTES`]. Opus packets are not cut: ingest refuses larger ones.
    pub payload: Arc<[u8]>,
    /// The RTP marker bit: the last packet of a picture (RFC 6184 §5.1, RFC 7741 §4.1). Never set
    /// for Opus, where it would announce a talkspurt (RFC 7587 §4.1).
    pub marker: bool,
}

/// Cuts the access units of one track of a source into RTP payloads.
#[derive(Debug)]
pub struct Packetiser {
    codec: Codec,
    /// VP8 only (RFC 7741 §4.2): counts pictures modulo 2¹⁵.
    picture_id: u16,
}

impl Packetiser {
    /// A packetiser for the access units of a track in `codec`.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            picture_id: 0,
        }
    }

    /// Appends the packets of `au`, in sending order, to `out`. There is none where `au` holds
    /// nothing that a decoder needs. `au` must be of the packetiser's codec.
    pub fn packetise(&mut self, au: &AccessUnit, out: &mut Vec<Packet>) {
        debug_assert_eq!(au.codec, self.codec, "a track does not change its codec");
        let first = out.len();
        match self.codec {
            Codec::H264 => h264::packetise(&au.data, out),
            Codec::Vp8 => {
                vp8::packetise(&au.data, self.picture_id, out);
                self.picture_id = (self.picture_id + 1) & vp8::PICTURE_ID_MASK;
            }
            Codec::Opus => out.push(Packet::new(&au.data)),
        }
        if self.codec.is_video()
            && let Some(last) = out[first..].last_mut()
        {
            last.marker = true;
        }
    }
}

impl Packet {
    fn new(payload: &[u8]) -> Self {
        Self {
            payload: Arc::from(payload),
            marker: false,
        }
    }
}

/// The size at which `bytes` are cut so that each piece holds at most `max` and all are equal but
/// the last, which may be shorter.
fn fragment_size(bytes: usize, max: usize) -> usize {
    let pieces = bytes.div_ceil(max).max(1);
    bytes.div_ceil(pieces).max(1)
}
