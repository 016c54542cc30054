use std::time::Duration;

use super::*;
use crate::Codec;
use crate::ingest::{MAX_ACCESS_UNIT_BYTES, VideoFormat};

const BFRAMES: &[u8] = include_bytes!("../../../tests/data/bframes.h264");
const INTERLACED: &[u8] = include_bytes!("../../../tests/data/interlaced.h264");
const YUV444: &[u8] = include_bytes!("../../../tests/data/yuv444.h264");
const HEVC: &[u8] = include_bytes!("../../../tests/data/hevc.h265");

/// An SPS of 1920×1080 (68 rows of macroblocks, the last cropped by 8 pixels), high profile,
/// level 4.0.
const SPS_1080P: &[u8] = &[
    0x67, 0x64, 0x00, 0x28, 0xac, 0xb6, 0x03, 0xc0, 0x11, 0x3f, 0x2e, 0x02, 0x20, 0x00, 0x00, 0x03,
    0x00, 0x20, 0x00, 0x00, 0x03, 0x03, 0xc1, 0xe3, 0x06, 0x5c,
];
/// 160×120, constrained baseline profile, level 1.1.
const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x0b, 0xda, 0x0a, 0x11, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01, 0x00,
    0x00, 0x03, 0x00, 0x1e, 0x8f, 0x14, 0x2a, 0xa0,
];
const PPS: &[u8] = &[0x68, 0xce, 0x02, 0x12, 0xc8];
/// first_mb_in_slice 0 (`1`), slice_type 7 (`0001000`, I) or 5 (`00110`, P), PPS 0 (`1`).
const IDR: &[u8] = &[0x65, 0x88, 0x84, 0x3a, 0x11];
const P: &[u8] = &[0x41, 0x9a, 0x24, 0x6c, 0x41];
/// The second slice of a P picture: first_mb_in_slice 39 (`00000101000`).
const P_SECOND: &[u8] = &[0x41, 0x05, 0x06, 0xa4, 0x6c];
const DELIMITER: &[u8] = &[0x09, 0xf0];
const SEI: &[u8] = &[0x06, 0x05, 0x01, 0xaa, 0x80];
const FILLER: &[u8] = &[0x0c, 0xff, 0xff, 0xff, 0x80];

fn stream(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter()
        .flat_map(|nal| [&[0, 0, 0, 1], *nal].concat())
        .collect()
}

fn data(units: &[AccessUnit]) -> Vec<&[u8]> {
    units.iter().map(|unit| unit.data.as_slice()).collect()
}

/// A body in virtual time.
struct Body {
    now: Instant,
    ingest: Ingest,
    units: Vec<AccessUnit>,
}

impl Body {
    fn new() -> Self {
        let ingest = Ingest::new(Container::AnnexB);
        Self {
            now: epoch(),
            ingest,
            units: Vec::new(),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.ingest
            .push(self.now, bytes, &mut self.units)
            .expect("the stream is right");
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.ingest
            .silence(self.now, &mut self.units)
            .expect("the stream is right");
    }

    /// How long the picture in work waits for silence.
    fn patience(&self) -> Duration {
        self.ingest
            .silence_deadline()
            .expect("a picture is held back")
            - self.now
    }
}

#[test]
fn pictures_of_a_real_stream() {
    for (stream, keyframe_interval, count) in [
        (TINY_H264, 15, 45),
        (FLAT_H264, 15, 45),
        (SLICES_H264, 5, 15),
    ] {
        let units = units(Container::AnnexB, stream);
        assert_eq!(units.len(), count);
        for (index, unit) in units.iter().enumerate() {
            assert_eq!(
                unit.keyframe,
                index % keyframe_interval == 0,
                "picture {index}"
            );
            assert_eq!(unit.size, unit.keyframe.then_some((160, 120)));
        }
        let bytes: usize = units.iter().map(|unit| unit.data.len()).sum();
        assert!(bytes >= stream.len(), "nothing of the stream is lost");
    }
}

#[test]
fn format_from_the_sps() {
    let mut body = Body::new();
    assert_eq!(body.ingest.video_format(), None);
    body.push(&stream(&[SPS_1080P, PPS]));
    let format = VideoFormat {
        codec: Codec::H264,
        width: 1920,
        height: 1080,
        profile_level_id: Some(0x640028),
    };
    assert_eq!(body.ingest.video_format(), Some(format));
}

#[test]
fn slices_belong_to_one_picture_until_first_mb_is_0_again() {
    let units = units(
        Container::AnnexB,
        &stream(&[SPS, PPS, IDR, P, P_SECOND, P_SECOND, P, FILLER, P_SECOND]),
    );
    let expected = [
        stream(&[SPS, PPS, IDR]),
        stream(&[P, P_SECOND, P_SECOND]),
        stream(&[P, P_SECOND]),
    ];
    assert_eq!(data(&units), expected);
}

#[test]
fn delimiters_parameter_sets_and_sei_begin_a_picture() {
    let mut body = Body::new();
    for lead in [DELIMITER, SPS, PPS, SEI] {
        body.push(&stream(&[SPS, PPS, IDR]));
        body.units.clear();
        // The first byte of a slice must be waited for, not so here.
        body.push(&stream(&[lead]));
        assert_eq!(body.units.len(), 1, "ended by 0x{:02x}", lead[0]);
    }
}

#[test]
fn start_codes_of_three_bytes_and_trailing_zeros() {
    let bytes = [
        &[0, 0, 1],
        SPS,
        &[0, 0, 0, 0, 0, 1],
        PPS,
        &[0, 0, 1],
        IDR,
        &[0, 0, 0],
    ]
    .concat();
    let (units, end) = ingest(Container::AnnexB, [&bytes[..]]);
    assert_eq!(end, Ok(()));
    assert_eq!(data(&units), [stream(&[SPS, PPS, IDR])]);
}

#[test]
fn parameter_sets_are_repeated_before_keyframes_that_lack_them() {
    let other_pps: &[u8] = &[0x68, 0x53, 0x83, 0xf2]; // id 1, of the same SPS
    let bytes = stream(&[
        SPS, PPS, other_pps, IDR, // has all
        IDR, // lacks all
        DELIMITER, SEI, IDR, // they go behind the delimiter
        SPS, PPS, IDR, // lacks one, which goes behind the SPS
    ]);
    let units = units(Container::AnnexB, &bytes);
    let expected = [
        stream(&[SPS, PPS, other_pps, IDR]),
        stream(&[SPS, PPS, other_pps, IDR]),
        stream(&[DELIMITER, SPS, PPS, other_pps, SEI, IDR]),
        stream(&[SPS, other_pps, PPS, IDR]),
    ];
    assert_eq!(data(&units), expected);
}

#[test]
fn pictures_before_the_parameter_sets_are_left_out() {
    let bytes = stream(&[P_SECOND, P, P, SPS, PPS, IDR, P]);
    let units = units(Container::AnnexB, &bytes);
    assert_eq!(data(&units), [stream(&[SPS, PPS, IDR]), stream(&[P])]);

    for pictures in [1, 1000] {
        let told = refusal(Container::AnnexB, &stream(&vec![P; pictures]));
        assert!(told.contains("without SPS and PPS"), "{told}");
    }
}

#[test]
fn a_picture_leaves_after_5_ms_of_silence() {
    let mut body = Body::new();
    body.push(&stream(&[SPS, PPS]));
    assert_eq!(
        body.ingest.silence_deadline(),
        None,
        "no picture to wait for"
    );
    body.push(&stream(&[IDR]));
    assert_eq!(body.patience(), Duration::from_millis(5));
    body.pass(Duration::from_millis(4));
    assert!(body.units.is_empty());
    body.push(&[0x55]);
    body.pass(Duration::from_millis(4));
    assert!(body.units.is_empty(), "a byte came in between");
    body.pass(Duration::from_millis(1));
    assert_eq!(
        data(&body.units),
        [stream(&[SPS, PPS, &[IDR, &[0x55]].concat()])]
    );
    assert_eq!(body.ingest.silence_deadline(), None);
}

#[test]
fn silence_between_pictures_changes_nothing() {
    for original in [TINY_H264, FLAT_H264, SLICES_H264] {
        let pictures = units(Container::AnnexB, original);
        // The pieces end within the start code of the next picture, or at either end of it.
        for early in 0..=4 {
            let all: Vec<u8> = pictures.iter().flat_map(|unit| unit.data.clone()).collect();
            let mut body = Body::new();
            let (mut from, mut to) = (0, 0);
            for (index, picture) in pictures.iter().enumerate() {
                to += picture.data.len();
                let end = (to + early).min(all.len());
                body.push(&all[from..end]);
                body.pass(Duration::from_millis(5));
                assert_eq!(body.units.len(), index + 1, "each leaves by itself");
                from = end;
            }
            assert_eq!(body.units, pictures);
            assert_eq!(body.ingest.cut_pictures(), 0);
        }
    }
}

#[test]
fn a_nal_unit_that_goes_on_after_silence_was_cut() {
    let mut body = Body::new();
    body.push(&stream(&[SPS, PPS, IDR]));
    body.pass(Duration::from_millis(5));
    body.push(&[0x77, 0x66]);
    assert_eq!(body.ingest.cut_pictures(), 1);
    body.push(&stream(&[P_SECOND, P]));
    assert_eq!(body.ingest.cut_pictures(), 1, "counted once a picture");
    assert_eq!(
        body.patience(),
        Duration::from_millis(10),
        "the link gets twice the time"
    );
    body.pass(Duration::from_millis(10));
    assert_eq!(data(&body.units), [stream(&[SPS, PPS, IDR]), stream(&[P])]);
}

#[test]
fn a_slice_that_comes_after_silence_was_cut_off() {
    let mut body = Body::new();
    body.push(&stream(&[SPS, PPS, IDR, P]));
    body.pass(Duration::from_millis(5));
    body.push(&stream(&[P_SECOND, P_SECOND, P]));
    assert_eq!(body.ingest.cut_pictures(), 1);
    body.pass(Duration::from_millis(10));
    assert_eq!(data(&body.units)[1..], [stream(&[P]), stream(&[P])]);
}

#[test]
fn patience_is_bounded() {
    let mut body = Body::new();
    body.push(&stream(&[SPS, PPS]));
    for _ in 0..20 {
        body.push(&stream(&[IDR]));
        body.pass(body.patience());
        body.push(&[0x55]);
    }
    assert_eq!(body.ingest.cut_pictures(), 20);
    body.push(&stream(&[IDR]));
    assert_eq!(body.patience(), Duration::from_millis(320));
}

#[test]
fn silence_within_a_slice_header_ends_nothing() {
    let mut body = Body::new();
    let bytes = stream(&[SPS, PPS, IDR]);
    let (head, rest) = bytes.split_at(bytes.len() - IDR.len() + 2);
    body.push(head);
    body.pass(Duration::from_millis(5));
    assert_eq!(body.ingest.silence_deadline(), None);
    body.push(rest);
    body.pass(Duration::from_millis(5));
    assert_eq!(data(&body.units), [bytes]);
    assert_eq!(body.ingest.cut_pictures(), 0);
}

#[test]
fn refusals_tell_what_to_do() {
    let cases: [(&[u8], &[&str]); 11] = [
        (MP4, &["MP4", "-f h264"]),
        (TINY_IVF, &["IVF", "video/x-ivf"]),
        (TINY_OGG, &["Ogg", "audio/ogg"]),
        (BFRAMES, &["B-frames", "-bf 0"]),
        (INTERLACED, &["interlaced"]),
        (YUV444, &["4:4:4", "yuv420p"]),
        (HEVC, &["H.265", "libx264"]),
        (b"{\"not\": \"video\"}", &["no start code", "-f h264"]),
        (&stream(&[FILLER, SPS, PPS, SEI]), &["no picture"]),
        (&[0, 0, 1, 0xb3, 0x14, 0x00, 0xf0, 0x13], &["0xb3", "H.264"]),
        (
            &[0, 0, 0, 1, 0x67, 0x42, 0xc0, 0, 0, 1, 0x68],
            &["SPS", "cut short"],
        ),
    ];
    for (stream, words) in cases {
        let told = refusal(Container::AnnexB, stream);
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    }
}

#[test]
fn refused_as_soon_as_it_is_clear() {
    let mut ingest = Ingest::new(Container::AnnexB);
    let mut units = Vec::new();
    let noise = [0x5a; 1024];
    let pushes = (0..).find(|_| ingest.push(epoch(), &noise, &mut units).is_err());
    assert_eq!(pushes, Some(64), "no start code in the first 64 KiB");
}

#[test]
fn a_picture_has_a_largest_size() {
    let mut ingest = Ingest::new(Container::AnnexB);
    let mut units = Vec::new();
    let start = stream(&[SPS, PPS, IDR]);
    ingest
        .push(epoch(), &start, &mut units)
        .expect("the stream is right");
    let more = [0x5a; 64 << 10];
    let error = (0..=MAX_ACCESS_UNIT_BYTES / more.len())
        .find_map(|_| ingest.push(epoch(), &more, &mut units).err());
    assert_eq!(error, Some(BitstreamError::PictureTooLarge));
    assert!(ingest.buffered() <= MAX_ACCESS_UNIT_BYTES);
}

#[test]
fn an_empty_body_has_no_pictures() {
    assert_eq!(ingest(Container::AnnexB, []), (Vec::new(), Ok(())));
}
