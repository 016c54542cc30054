//! H.264 Annex B as our own clips have it: one slice a picture. A witness of its own, not the server's parser.

use std::ops::Range;

/// NAL unit types (H.264 table 7-1).
pub const NAL_SLICE: u8 = 1;
pub const NAL_IDR: u8 = 5;
pub const NAL_SEI: u8 = 6;
pub const NAL_SPS: u8 = 7;
pub const NAL_PPS: u8 = 8;
pub const NAL_AUD: u8 = 9;

/// NAL units without their start codes.
pub fn nal_units(stream: &[u8]) -> Vec<&[u8]> {
    nal_ranges(stream)
        .into_iter()
        .map(|(_, nal)| &stream[nal])
        .collect()
}

/// The type of a NAL unit.
pub fn nal_type(nal: &[u8]) -> u8 {
    nal[0] & 0x1f
}

/// Access units with their start codes: each ends with its only slice.
pub fn access_units(stream: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    let mut start = 0;
    let ranges = nal_ranges(stream);
    for (i, (_, nal)) in ranges.iter().enumerate() {
        if matches!(nal_type(&stream[nal.clone()]), NAL_SLICE | NAL_IDR) {
            let end = ranges.get(i + 1).map_or(stream.len(), |(code, _)| *code);
            units.push(&stream[start..end]);
            start = end;
        }
    }
    units
}

/// Whether an access unit holds an IDR picture.
pub fn is_keyframe(access_unit: &[u8]) -> bool {
    nal_units(access_unit)
        .iter()
        .any(|nal| nal_type(nal) == NAL_IDR)
}

/// The slices alone, which is what a viewer must get bit for bit.
pub fn slices(access_unit: &[u8]) -> Vec<Vec<u8>> {
    let units = nal_units(access_unit).into_iter();
    units
        .filter(|nal| matches!(nal_type(nal), NAL_SLICE | NAL_IDR))
        .map(<[u8]>::to_vec)
        .collect()
}

/// (where the start code begins, the NAL unit).
fn nal_ranges(stream: &[u8]) -> Vec<(usize, Range<usize>)> {
    let codes: Vec<usize> = memchr::memmem::find_iter(stream, &[0, 0, 1]).collect();
    let begin = |code: usize| {
        if code > 0 && stream[code - 1] == 0 {
            code - 1
        } else {
            code
        }
    };
    let ends = codes
        .iter()
        .skip(1)
        .map(|code| begin(*code))
        .chain([stream.len()]);
    codes
        .iter()
        .zip(ends)
        .map(|(code, end)| (begin(*code), code + 3..end))
        .collect()
}
