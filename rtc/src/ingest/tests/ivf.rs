use std::time::Duration;

use super::*;
use crate::Codec;
use crate::ingest::VideoFormat;

const VP9: &[u8] = include_bytes!("../../../tests/data/vp9.ivf");
const HEADER_BYTES: usize = 32;

/// The tiny stream with `bytes` written over it from `at`.
fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TINY_IVF.to_vec();
    stream[at..at + bytes.len()].copy_from_slice(bytes);
    stream
}

#[test]
fn frames_of_a_real_stream() {
    let units = units(Container::Ivf, TINY_IVF);
    assert_eq!(units.len(), 45);
    for (index, unit) in units.iter().enumerate() {
        assert_eq!(unit.codec, Codec::Vp8);
        assert_eq!(unit.keyframe, index % 15 == 0, "frame {index}");
        assert_eq!(unit.size, unit.keyframe.then_some((160, 120)));
        let pts = Duration::from_nanos(1_000_000_000 * index as u64 / 15);
        assert_eq!(unit.pts, Some(pts));
    }
    let bytes: usize = units.iter().map(|unit| 12 + unit.data.len()).sum();
    assert_eq!(HEADER_BYTES + bytes, TINY_IVF.len());
}

#[test]
fn format_from_the_keyframe() {
    let mut ingest = Ingest::new(Container::Ivf);
    let mut units = Vec::new();
    ingest
        .push(epoch(), &TINY_IVF[..HEADER_BYTES], &mut units)
        .expect("a right header");
    assert_eq!(ingest.video_format(), None);
    ingest
        .push(epoch(), &TINY_IVF[HEADER_BYTES..], &mut units)
        .expect("a right stream");
    let format = VideoFormat {
        codec: Codec::Vp8,
        width: 160,
        height: 120,
        profile_level_id: None,
    };
    assert_eq!(ingest.video_format(), Some(format));
}

#[test]
fn a_frame_leaves_with_its_last_byte() {
    let frame = u32::from_le_bytes(TINY_IVF[32..36].try_into().expect("four bytes")) as usize;
    let (first, _) = TINY_IVF.split_at(HEADER_BYTES + 12 + frame);
    let mut ingest = Ingest::new(Container::Ivf);
    let mut units = Vec::new();
    ingest
        .push(epoch(), first, &mut units)
        .expect("a right stream");
    assert_eq!((units.len(), ingest.buffered()), (1, 0));
}

#[test]
fn a_frame_that_the_end_cuts_short_is_left_out() {
    let (units, end) = ingest(Container::Ivf, [&TINY_IVF[..TINY_IVF.len() - 1]]);
    assert_eq!((units.len(), end), (44, Ok(())));
}

#[test]
fn a_longer_header_is_skipped() {
    let mut stream = with(6, &40_u16.to_le_bytes());
    stream.splice(HEADER_BYTES..HEADER_BYTES, [0xaa; 8]);
    assert_eq!(
        units(Container::Ivf, &stream),
        units(Container::Ivf, TINY_IVF)
    );
}

#[test]
fn refusals_tell_what_to_do() {
    let cases: [(&[u8], &[&str]); 10] = [
        (VP9, &["VP9", "libvpx"]),
        (&with(8, b"AV01"), &["AV1"]),
        (&with(8, b"H264"), &["H264"]),
        (MP4, &["MP4", "-f ivf"]),
        (TINY_H264, &["raw H.264", "video/h264"]),
        (&[0x5a; 64], &["DKIF"]),
        (&TINY_IVF[..20], &["ended within the IVF header"]),
        (&with(16, &[0; 4]), &["time base"]),
        (&with(32, &[0xff; 4]), &["4 MiB"]),
        (&with(32 + 12 + 3, &[0]), &["not VP8", "start code"]),
    ];
    for (stream, words) in cases {
        let told = refusal(Container::Ivf, stream);
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    }
}
