//! Opus packets (RFC 6716 §3) and the header of an Opus stream (RFC 7845 §5.1).

use std::time::Duration;

use super::BitstreamError;
use crate::packetise::MAX_PAYLOAD_BYTES;
use crate::{AccessUnit, Codec};

/// Longest packet (RFC 6716 §3.2.5, requirement R5).
const MAX_PACKET: Duration = Duration::from_millis(120);

/// Checks one packet and makes it an access unit.
pub(super) fn access_unit(data: Vec<u8>) -> Result<AccessUnit, BitstreamError> {
    if data.len() > MAX_PAYLOAD_BYTES {
        return Err(BitstreamError::OpusPacketTooLarge);
    }
    let duration = duration(&data)?;
    Ok(AccessUnit {
        codec: Codec::Opus,
        keyframe: true,
        data,
        pts: None,
        duration: Some(duration),
        size: None,
    })
}

/// How long a packet plays, from its TOC byte (RFC 6716 §3.1, §3.2).
fn duration(packet: &[u8]) -> Result<Duration, BitstreamError> {
    let bad = |fault| BitstreamError::BadOpus { fault };
    let &[toc, ref rest @ ..] = packet else {
        return Err(bad("it is empty"));
    };
    let config = toc >> 3;
    let frame_micros: u64 = match config {
        // SILK, hybrid, CELT.
        0..=11 => [10_000, 20_000, 40_000, 60_000][usize::from(config & 3)],
        12..=15 => [10_000, 20_000][usize::from(config & 1)],
        16.. => [2_500, 5_000, 10_000, 20_000][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 if rest.len() % 2 == 1 => return Err(bad("two equal frames have an odd length")),
        1 | 2 => 2,
        _ => match rest.first().map(|count| count & 0x3f) {
            None | Some(0) => return Err(bad("it has no frames")),
            Some(count) => u64::from(count),
        },
    };
    let duration = Duration::from_micros(frame_micros * frames);
    if duration > MAX_PACKET {
        return Err(bad("it is longer than 120 ms"));
    }
    Ok(duration)
}

/// Checks the identification header of a stream: one stream of one or two channels.
///
/// Its pre-skip, the samples that a player drops from the start of a file, has no place in RTP: a
/// viewer joins in the middle, and hears a decoder that converges either way.
pub(super) fn check_head(packet: &[u8]) -> Result<(), BitstreamError> {
    let bad = |fault| BitstreamError::BadOgg { fault };
    // "OpusHead", version, channels, pre-skip (2), input rate (4), gain (2), mapping family.
    const HEAD_BYTES: usize = 19;
    let Some(head) = packet.first_chunk::<HEAD_BYTES>() else {
        return Err(bad("its OpusHead is too short"));
    };
    let (version, channels, family) = (head[8], head[9], head[18]);
    if version & 0xf0 != 0 {
        return Err(bad("its OpusHead has an unknown version"));
    }
    match (family, channels) {
        (0, 1 | 2) => Ok(()),
        _ => Err(BitstreamError::OpusChannels { channels, family }),
    }
}
