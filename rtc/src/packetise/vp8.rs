//! VP8 payloads (RFC 7741).

use super::{MAX_PAYLOAD_BYTES, Packet, fragment_size};

/// X, R, N, S, PID · I, L, T, K · M and 15 bits of picture id (RFC 7741 §4.2).
const DESCRIPTOR_BYTES: usize = 4;
/// Extended control bits follow.
const X: u8 = 0x80;
/// A partition starts here. All of a frame counts as partition 0: who receives it needs no more.
const S: u8 = 0x10;
/// A picture id follows.
const I: u8 = 0x80;
/// The picture id has 15 bits.
const M: u8 = 0x80;

/// The bits of a picture id.
pub(super) const PICTURE_ID_MASK: u16 = 0x7fff;

/// Appends the packets of one VP8 frame.
pub(super) fn packetise(frame: &[u8], picture_id: u16, out: &mut Vec<Packet>) {
    let [high, low] = (picture_id & PICTURE_ID_MASK).to_be_bytes();
    let size = fragment_size(frame.len(), MAX_PAYLOAD_BYTES - DESCRIPTOR_BYTES);
    let mut payload = Vec::with_capacity(DESCRIPTOR_BYTES + size);
    for (index, fragment) in frame.chunks(size).enumerate() {
        let start = if index == 0 { S } else { 0 };
        payload.clear();
        payload.extend_from_slice(&[X | start, I, M | high, low]);
        payload.extend_from_slice(fragment);
        out.push(Packet::new(&payload));
    }
}
