//! SRTP with AES-GCM (RFC 7714): header and payload into one datagram in one pass.

use std::fmt;

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use str0m::crypto::AeadAes128Gcm;
use str0m::media::{Mid, Pt};
use str0m::rtp::{Extension, ExtensionMap, Ssrc};

/// Salt of RFC 7714 §12.
pub(super) const SALT_BYTES: usize = AeadAes128Gcm::SALT_LEN;
/// Authentication tag of RFC 7714 §12, the same for both key lengths.
pub(super) const TAG_BYTES: usize = AeadAes128Gcm::TAG_LEN;
/// Packets that one key may seal for an SSRC: the rollover counter's 32 bits and the sequence
/// number's 16 (RFC 3711 §9.2).
const MAX_INDEX: u64 = 1 << 48;
/// RTP header without extensions (RFC 3550 §5.1).
const FIXED_HEADER_BYTES: usize = 12;
/// Longest MID (RFC 8843 §15.1 sets no limit; a one-byte extension holds 16 bytes).
const MAX_MID_BYTES: usize = 16;
/// Fixed header, extension header, MID, absolute send time.
const MAX_HEADER_BYTES: usize =
    (FIXED_HEADER_BYTES + 4 + 1 + MAX_MID_BYTES + 4).next_multiple_of(4);
/// Profile of one-byte header extensions (RFC 8285 §4.2).
const ONE_BYTE_PROFILE: [u8; 2] = [0xbe, 0xde];
/// Identifiers of one-byte extensions; 15 is reserved.
const ONE_BYTE_IDS: std::ops::RangeInclusive<u8> = 1..=14;

/// Packet indices of one SSRC (RFC 3711 §3.3.1). They only grow; whatever happens to the stream,
/// the session or its keys, none is given out twice.
#[derive(Debug)]
pub(crate) struct Indices {
    ssrc: Ssrc,
    next: u64,
}

/// The right to seal one packet. It cannot be copied, and sealing consumes it: so no nonce is used
/// twice.
#[derive(Debug)]
pub(crate) struct Index {
    ssrc: Ssrc,
    value: u64,
}

impl Indices {
    /// For a new SSRC. `first` must be below 65,536: the receiver assumes a rollover count of 0.
    pub(crate) fn new(ssrc: Ssrc, first: u16) -> Self {
        Self {
            ssrc,
            next: u64::from(first),
        }
    }

    pub(crate) fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// The index that [`take`](Self::take) returns next.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn take(&mut self) -> Index {
        let value = self.next;
        self.next += 1;
        Index {
            ssrc: self.ssrc,
            value,
        }
    }

    /// The index of which a viewer named the low 16 bits: the newest one that was given out.
    pub(crate) fn extend(&self, sequence: u16) -> Option<u64> {
        let last = self.next.checked_sub(1)?;
        last.checked_sub(u64::from((last as u16).wrapping_sub(sequence)))
    }

    /// As if all before `next` had been sent.
    #[cfg(test)]
    pub(crate) fn skip_to(&mut self, next: u64) {
        assert!(next >= self.next, "an index never goes back");
        self.next = next;
    }
}

impl Index {
    pub(crate) fn value(&self) -> u64 {
        self.value
    }
}

/// What stays the same in the RTP headers of a track.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    bytes: [u8; MAX_HEADER_BYTES],
    len: usize,
    /// Where the absolute send time is.
    send_time: Option<usize>,
}

/// An RTP packet in its parts.
pub(crate) struct Packet<'p> {
    pub(crate) header: &'p Header,
    pub(crate) payload_type: Pt,
    pub(crate) marker: bool,
    pub(crate) timestamp: u32,
    /// 24 bits: seconds with 18 of them after the point (abs-send-time).
    pub(crate) send_time: u32,
    /// Bytes before the payload; those of RFC 4588 §4.
    pub(crate) prefix: &'p [u8],
    pub(crate) payload: &'p [u8],
}

impl Header {
    /// With the extensions that the viewer accepted. The MID is in every packet: it is what a
    /// receiver goes by until it has seen the SSRC (RFC 8843 §9.2), and equal headers make runs
    /// of equal datagrams.
    pub(crate) fn new(mid: Mid, accepted: &ExtensionMap) -> Self {
        let mut header = Self {
            bytes: [0; MAX_HEADER_BYTES],
            len: FIXED_HEADER_BYTES,
            send_time: None,
        };
        header.bytes[0] = 0x80;
        let id_of = |extension| {
            accepted
                .id_of(extension)
                .filter(|id| ONE_BYTE_IDS.contains(id))
        };
        let mid = mid.as_bytes();
        let mid = mid.get(..mid.len().min(MAX_MID_BYTES)).unwrap_or(mid);
        let mid_id = id_of(Extension::RtpMid).filter(|_| !mid.is_empty());
        let time_id = id_of(Extension::AbsoluteSendTime);
        if mid_id.is_none() && time_id.is_none() {
            return header;
        }
        header.bytes[0] |= 0x10;
        header.len += 4;
        if let Some(id) = mid_id {
            header.extension(id, mid);
        }
        if let Some(id) = time_id {
            header.extension(id, &[0; 3]);
            header.send_time = Some(header.len - 3);
        }
        header.len = header.len.next_multiple_of(4);
        let words = (header.len - FIXED_HEADER_BYTES - 4) / 4;
        header.bytes[FIXED_HEADER_BYTES..][..2].copy_from_slice(&ONE_BYTE_PROFILE);
        header.bytes[FIXED_HEADER_BYTES + 3] = words as u8;
        header
    }

    fn extension(&mut self, id: u8, value: &[u8]) {
        self.bytes[self.len] = id << 4 | (value.len() - 1) as u8;
        self.bytes[self.len + 1..][..value.len()].copy_from_slice(value);
        self.len += 1 + value.len();
    }
}

impl Packet<'_> {
    /// Bytes of the sealed datagram.
    pub(crate) fn sealed_len(&self) -> usize {
        self.header.len + self.prefix.len() + self.payload.len() + TAG_BYTES
    }

    /// Writes the header to the front of the datagram, and zeros behind it, where the payload comes:
    /// a length that is always the same is copied without a call.
    fn write_header(&self, index: &Index, out: &mut [u8]) {
        match out.first_chunk_mut() {
            Some(front) => *front = self.header.bytes,
            None => out[..self.header.len].copy_from_slice(&self.header.bytes[..self.header.len]),
        }
        out[1] = u8::from(self.marker) << 7 | *self.payload_type;
        out[2..4].copy_from_slice(&(index.value as u16).to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&index.ssrc.to_be_bytes());
        if let Some(at) = self.header.send_time {
            out[at..at + 3].copy_from_slice(&self.send_time.to_be_bytes()[1..]);
        }
    }
}

/// The key that seals the RTP packets of one session.
pub(crate) struct Sealer {
    key: LessSafeKey,
    salt: [u8; SALT_BYTES],
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    pub(super) fn new(key: LessSafeKey, salt: [u8; SALT_BYTES]) -> Self {
        Self { key, salt }
    }

    /// Writes the sealed packet into `out`, which has its exact length. False when the key is used
    /// up, and then there is nothing to send.
    pub(crate) fn seal(&self, index: Index, packet: &Packet<'_>, out: &mut [u8]) -> bool {
        if index.value >= MAX_INDEX || out.len() != packet.sealed_len() {
            return false;
        }
        packet.write_header(&index, out);
        let (header, body) = out.split_at_mut(packet.header.len);
        let (prefix, rest) = body.split_at_mut(packet.prefix.len());
        // RFC 7714 §8.1.
        let (rollovers, sequence) = ((index.value >> 16) as u32, index.value as u16);
        let nonce = AeadAes128Gcm::rtp_iv(self.salt, *index.ssrc, rollovers, sequence);
        self.key
            .seal_out_of_place_scatter(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(header),
                packet.prefix,
                prefix,
                packet.payload,
                rest,
            )
            .is_ok()
    }
}

#[cfg(test)]
impl Sealer {
    /// Whether `datagram` was sealed with this key as packet `index`.
    pub(crate) fn opens(&self, datagram: &[u8], index: u64) -> bool {
        let extension = match datagram[0] & 0x10 {
            0 => 0,
            _ => 4 + 4 * usize::from(datagram[FIXED_HEADER_BYTES + 3]),
        };
        let (header, sealed) = datagram.split_at(FIXED_HEADER_BYTES + extension);
        // RFC 7714 §8.1, written out: two zeros, SSRC, rollover counter, sequence number.
        let mut nonce = [0; SALT_BYTES];
        nonce[2..6].copy_from_slice(&header[8..12]);
        nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        let salted = nonce.iter_mut().zip(self.salt);
        salted.for_each(|(byte, salt)| *byte ^= salt);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let mut sealed = sealed.to_vec();
        self.key
            .open_in_place(nonce, Aad::from(header), &mut sealed)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::{AES_256_GCM, UnboundKey};
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 32] = [9; 32];
    const SALT: [u8; SALT_BYTES] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];

    fn key() -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).unwrap())
    }

    fn header(mid: &str, ids: &[(u8, Extension)]) -> Header {
        let mut map = ExtensionMap::empty();
        for (id, extension) in ids {
            map.set(*id, extension.clone());
        }
        Header::new(Mid::from(mid), &map)
    }

    fn packet<'p>(header: &'p Header, prefix: &'p [u8], payload: &'p [u8]) -> Packet<'p> {
        Packet {
            header,
            payload_type: 102.into(),
            marker: true,
            timestamp: 0x0102_0304,
            send_time: 0x0a_0b0c,
            prefix,
            payload,
        }
    }

    #[test]
    fn the_header_is_as_the_specification_draws_it() {
        let ids = [(3, Extension::RtpMid), (5, Extension::AbsoluteSendTime)];
        let header = header("vid", &ids);
        let packet = packet(&header, &[], b"payload");
        let mut out = vec![0; packet.sealed_len()];
        let mut indices = Indices::new(0xaabb_ccdd.into(), 0x1234);
        assert!(Sealer::new(key(), SALT).seal(indices.take(), &packet, &mut out));
        let fixed = [
            0x90,
            0x80 | 102,
            0x12,
            0x34,
            1,
            2,
            3,
            4,
            0xaa,
            0xbb,
            0xcc,
            0xdd,
        ];
        assert_eq!(out[..12], fixed);
        let extensions = [
            0xbe, 0xde, 0, 2, 0x32, b'v', b'i', b'd', 0x52, 0x0a, 0x0b, 0x0c,
        ];
        assert_eq!(out[12..24], extensions);
        assert_eq!(out.len(), 24 + 7 + TAG_BYTES);
    }

    #[test]
    fn without_extensions_the_header_has_twelve_bytes() {
        for ids in [&[][..], &[(15, Extension::RtpMid)]] {
            let header = header("0", ids);
            assert_eq!((header.len, header.bytes[0]), (12, 0x80));
        }
    }

    #[test]
    fn an_index_grows_past_every_rollover_and_is_given_out_once() {
        let mut indices = Indices::new(7.into(), 65_534);
        let taken: Vec<u64> = (0..4).map(|_| indices.take().value()).collect();
        assert_eq!(taken, [65_534, 65_535, 65_536, 65_537]);
        assert_eq!(indices.extend(1), Some(65_537));
        assert_eq!(indices.extend(65_535), Some(65_535));
        assert_eq!(indices.extend(2), Some(2), "not sent yet, so an old one");
        assert_eq!(Indices::new(7.into(), 0).extend(0), None);
    }

    #[test]
    fn a_key_that_is_used_up_seals_nothing() {
        let header = header("0", &[]);
        let packet = packet(&header, &[], b"payload");
        let mut out = vec![0; packet.sealed_len()];
        let mut indices = Indices::new(7.into(), 0);
        indices.skip_to(MAX_INDEX - 1);
        let sealer = Sealer::new(key(), SALT);
        assert!(sealer.seal(indices.take(), &packet, &mut out));
        assert!(!sealer.seal(indices.take(), &packet, &mut out));
    }

    proptest! {
        #[test]
        fn what_is_sealed_can_be_opened(
            payload in proptest::collection::vec(any::<u8>(), 0..1_200),
            prefix in prop_oneof![Just(vec![]), Just(vec![1, 2])],
            ssrc: u32,
            index in 0..MAX_INDEX,
            extended: bool,
        ) {
            let ids = [(1, Extension::RtpMid), (2, Extension::AbsoluteSendTime)];
            let header = header("mid", if extended { &ids } else { &[] });
            let packet = packet(&header, &prefix, &payload);
            let mut out = vec![0; packet.sealed_len()];
            let mut indices = Indices::new(ssrc.into(), 0);
            indices.skip_to(index);
            prop_assert!(Sealer::new(key(), SALT).seal(indices.take(), &packet, &mut out));

            let sealer = Sealer::new(key(), SALT);
            prop_assert!(sealer.opens(&out, index));
            prop_assert!(!sealer.opens(&out, index ^ 1));
            prop_assert!(payload.len() < 16 || !out.windows(16).any(|w| w == &payload[..16]));
        }
    }
}
