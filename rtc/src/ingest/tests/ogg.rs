use std::time::Duration;

use super::*;
use crate::Codec;
use crate::ingest::ogg::crc32;

const VORBIS: &[u8] = include_bytes!("../../../tests/data/vorbis.ogg");
const SURROUND: &[u8] = include_bytes!("../../../tests/data/surround.ogg");

const PACKET: Duration = Duration::from_millis(20);
const BEGINS_STREAM: u8 = 2;
const CONTINUED: u8 = 1;

const HEAD: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
const TAGS: &[u8] = b"OpusTags\0\0\0\0\0\0\0\0";

/// A page of these segments.
fn page(flags: u8, serial: u32, segments: &[&[u8]]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend_from_slice(&[0; 8]);
    page.extend_from_slice(&serial.to_le_bytes());
    page.extend_from_slice(&[0; 8]);
    page.push(segments.len() as u8);
    page.extend(segments.iter().map(|segment| segment.len() as u8));
    page.extend(segments.concat());
    let crc = crc32(0, &page);
    page[22..26].copy_from_slice(&crc.to_le_bytes());
    page
}

fn headers(serial: u32) -> Vec<u8> {
    [
        page(BEGINS_STREAM, serial, &[HEAD]),
        page(0, serial, &[TAGS]),
    ]
    .concat()
}

/// A packet of one 20 ms frame (CELT, fullband, stereo) with a mark of its own.
fn packet(mark: u8, bytes: usize) -> Vec<u8> {
    let mut packet = vec![mark; bytes];
    packet[0] = 31 << 3 | 4;
    packet
}

#[test]
fn packets_of_a_real_stream() {
    let units = units(Container::Ogg, TINY_OGG);
    assert_eq!(units.len(), 151);
    for (index, unit) in units.iter().enumerate() {
        assert_eq!(
            (unit.codec, unit.keyframe, unit.size),
            (Codec::Opus, true, None)
        );
        assert_eq!(unit.duration, Some(PACKET));
        assert_eq!(unit.pts, Some(PACKET * index as u32));
    }
}

#[test]
fn time_goes_on_over_chained_streams() {
    let chained = [TINY_OGG, &headers(7), &page(0, 7, &[&packet(1, 9)])].concat();
    let units = units(Container::Ogg, &chained);
    assert_eq!(units.len(), 152);
    assert_eq!(units[151].pts, Some(PACKET * 151));
    assert_eq!(units[151].data, packet(1, 9));
}

#[test]
fn a_packet_may_go_on_in_the_next_page() {
    let long = packet(9, 255 + 255 + 40);
    let stream = [
        headers(1),
        page(0, 1, &[&packet(1, 3), &long[..255]]),
        page(
            CONTINUED,
            1,
            &[&long[255..510], &long[510..], &packet(2, 3)],
        ),
    ]
    .concat();
    let units = units(Container::Ogg, &stream);
    let data: Vec<_> = units.into_iter().map(|unit| unit.data).collect();
    assert_eq!(data, [packet(1, 3), long, packet(2, 3)]);
}

#[test]
fn comments_of_any_size_are_skipped() {
    let cover: &[u8] = &[0xaa; 255];
    let begin = [TAGS, &cover[TAGS.len()..]].concat();
    let stream = [
        page(BEGINS_STREAM, 1, &[HEAD]),
        page(0, 1, &[&begin]),
        page(CONTINUED, 1, &[cover; 255]).repeat(100),
        page(CONTINUED, 1, &[b"end"]),
        page(0, 1, &[&packet(1, 3)]),
    ]
    .concat();
    assert_eq!(units(Container::Ogg, &stream).len(), 1);
}

#[test]
fn a_damaged_page_costs_its_packets_alone() {
    let long = packet(9, 255 + 40);
    let mut damaged = page(0, 1, &[&packet(2, 3), &long[..255]]);
    *damaged.last_mut().expect("a page is not empty") ^= 1;
    let stream = [
        headers(1),
        page(0, 1, &[&packet(1, 3)]),
        damaged,
        page(CONTINUED, 1, &[&long[255..], &packet(3, 3)]),
    ]
    .concat();
    let units = units(Container::Ogg, &stream);
    let data: Vec<_> = units.into_iter().map(|unit| unit.data).collect();
    assert_eq!(data, [packet(1, 3), packet(3, 3)]);
}

#[test]
fn metadata_beside_the_audio_is_ignored() {
    let stream = [
        page(BEGINS_STREAM, 9, &[b"fishead\0"]),
        page(BEGINS_STREAM, 1, &[HEAD]),
        page(0, 9, &[b"fisbone\0"]),
        page(0, 1, &[TAGS]),
        page(0, 1, &[&packet(1, 3)]),
    ]
    .concat();
    assert_eq!(units(Container::Ogg, &stream).len(), 1);
}

#[test]
fn durations_of_every_kind_of_packet() {
    // TOC and what follows it (RFC 6716 table 2, §3.2), duration in µs.
    let cases: [(&[u8], u64); 9] = [
        (&[0x00, 1], 10_000),
        (&[0x18, 1], 60_000),
        (&[0x68, 1], 20_000),
        (&[0x80, 1], 2_500),
        (&[0xf8, 1], 20_000),
        (&[0xf9, 1, 1], 40_000),
        (&[0xfa, 1, 1, 1], 40_000),
        (&[0xfb, 6, 1], 120_000),
        (&[0x83, 48, 1], 120_000),
    ];
    for (packet, micros) in cases {
        let stream = [headers(1), page(0, 1, &[packet])].concat();
        let units = units(Container::Ogg, &stream);
        assert_eq!(
            units[0].duration,
            Some(Duration::from_micros(micros)),
            "{packet:x?}"
        );
    }
}

#[test]
fn refusals_tell_what_to_do() {
    let audio = |packet: &[u8]| [headers(1), page(0, 1, &[packet])].concat();
    let large = packet(1, 255);
    let large = page(0, 1, &[&large[..]; 6]);
    let cases: [(&[u8], &[&str]); 13] = [
        (VORBIS, &["Vorbis", "libopus"]),
        (
            &page(BEGINS_STREAM, 1, &[b"\x80theora"]),
            &["Theora", "-vn"],
        ),
        (SURROUND, &["6 channels", "-ac 2"]),
        (MP4, &["MP4", "-f ogg"]),
        (TINY_H264, &["raw H.264", "video/h264"]),
        (&[0x5a; 64], &["does not begin with an Ogg page"]),
        (&TINY_OGG[..20], &["ended within the first Ogg page"]),
        (
            &page(0, 1, &[&packet(1, 3)]),
            &["does not begin with the header"],
        ),
        (
            &[headers(1), vec![0x5a; 64 << 10]].concat(),
            &["wrong checksum"],
        ),
        (
            &[headers(1), large].concat(),
            &["1150 bytes", "-frame_duration 20"],
        ),
        (&audio(&[]), &["not Opus", "empty"]),
        (&audio(&[0xf9, 1, 1, 1]), &["odd length"]),
        (&audio(&[0xfb, 7]), &["longer than 120 ms"]),
    ];
    for (stream, words) in cases {
        let told = refusal(Container::Ogg, stream);
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
    }
}
