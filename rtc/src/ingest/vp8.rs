//! VP8 frame headers (RFC 6386 §9.1).

use super::{BitstreamError, VideoFormat};
use crate::{AccessUnit, Codec};

/// The frame tag in front of every frame.
const FRAME_TAG_BYTES: usize = 3;
/// What follows the tag of a keyframe: start code, width and height.
const KEYFRAME_HEADER_BYTES: usize = 7;
const KEYFRAME_START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];
/// Width and height have 14 bits; the two above them scale the picture on the screen.
const DIMENSION_MASK: u16 = 0x3fff;

/// Checks the header of one frame and makes it an access unit.
pub(super) fn access_unit(data: Vec<u8>) -> Result<AccessUnit, BitstreamError> {
    let size = keyframe_size(&data)?;
    Ok(AccessUnit {
        codec: Codec::Vp8,
        keyframe: size.is_some(),
        data,
        pts: None,
        duration: None,
        size,
    })
}

/// The format that an access unit tells: that of a keyframe.
pub(super) fn format(unit: &AccessUnit) -> Option<VideoFormat> {
    let (width, height) = unit.size?;
    Some(VideoFormat {
        codec: Codec::Vp8,
        width,
        height,
        profile_level_id: None,
    })
}

/// Width and height of a keyframe, `None` for another frame.
fn keyframe_size(frame: &[u8]) -> Result<Option<(u16, u16)>, BitstreamError> {
    let bad = |fault| BitstreamError::BadVp8 { fault };
    let &[a, b, c, ref rest @ ..] = frame else {
        return Err(bad("it is shorter than its header"));
    };
    let tag = u32::from_le_bytes([a, b, c, 0]);
    let inter_frame = tag & 1 == 1;
    let first_partition_bytes = (tag >> 5) as usize;
    let mut header_bytes = FRAME_TAG_BYTES;
    let size = if inter_frame {
        None
    } else {
        let &[s0, s1, s2, w0, w1, h0, h1, ..] = rest else {
            return Err(bad("a keyframe is shorter than its header"));
        };
        if [s0, s1, s2] != KEYFRAME_START_CODE {
            return Err(bad("a keyframe lacks its start code"));
        }
        header_bytes += KEYFRAME_HEADER_BYTES;
        let width = u16::from_le_bytes([w0, w1]) & DIMENSION_MASK;
        let height = u16::from_le_bytes([h0, h1]) & DIMENSION_MASK;
        if width == 0 || height == 0 {
            return Err(bad("a keyframe has no size"));
        }
        Some((width, height))
    };
    if header_bytes + first_partition_bytes > frame.len() {
        return Err(bad("its first partition is longer than the frame"));
    }
    Ok(size)
}
