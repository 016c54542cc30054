use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;
use str0m::format::CodecExtra;
use str0m::unversioned::{Depacketizer, H264Depacketizer, Vp8Depacketizer};

use super::*;
use crate::{Container, Ingest};

const SLICES_H264: &[u8] = include_bytes!("../../tests/data/slices.h264");
const TINY_H264: &[u8] = include_bytes!("../../tests/data/tiny_160x120_15_3s.h264");
const TINY_IVF: &[u8] = include_bytes!("../../tests/data/tiny_160x120_15_3s_vp8.ivf");

const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;
const STAP_A: u8 = 24;

fn unit(codec: Codec, data: Vec<u8>) -> AccessUnit {
    AccessUnit {
        codec,
        keyframe: false,
        data,
        pts: None,
        duration: None,
        size: None,
    }
}

fn packetise(codec: Codec, data: Vec<u8>) -> Vec<Packet> {
    let mut packets = Vec::new();
    Packetiser::new(codec).packetise(&unit(codec, data), &mut packets);
    packets
}

/// What a viewer's depacketiser makes of the packets.
fn depacketise(mut depacketiser: impl Depacketizer, packets: &[Packet]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut extra = CodecExtra::None;
    for packet in packets {
        depacketiser
            .depacketize(&packet.payload, &mut data, &mut extra)
            .expect("a right payload");
    }
    data
}

/// NAL units in Annex B form.
fn annexb<'a>(nals: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    nals.into_iter()
        .flat_map(|nal| [&[0, 0, 0, 1], nal].concat())
        .collect()
}

/// The NAL units behind four-byte start codes.
fn nals(data: &[u8]) -> Vec<&[u8]> {
    let mut starts: Vec<_> = memchr::memmem::find_iter(data, &[0, 0, 0, 1]).collect();
    starts.push(data.len());
    starts
        .windows(2)
        .map(|ends| &data[ends[0] + 4..ends[1]])
        .collect()
}

/// A NAL unit without zeros: they would have to be emulation-prevented.
fn nal(kind: u8, bytes: usize) -> Vec<u8> {
    let mut nal = vec![0x60 | kind];
    nal.extend((1..bytes).map(|at| (at % 251) as u8 + 1));
    nal
}

fn packet_types(packets: &[Packet]) -> Vec<u8> {
    packets
        .iter()
        .map(|packet| packet.payload[0] & 0x1f)
        .collect()
}

fn sizes(packets: &[Packet]) -> Vec<usize> {
    packets.iter().map(|packet| packet.payload.len()).collect()
}

/// The marker is on the last packet of a picture, and nothing is too large for a datagram.
fn assert_well_formed(packets: &[Packet]) {
    for (index, packet) in packets.iter().enumerate() {
        assert_eq!(packet.marker, index + 1 == packets.len());
        assert!(!packet.payload.is_empty() && packet.payload.len() <= MAX_PAYLOAD_BYTES);
    }
}

/// One `UDP_SEGMENT` send carries segments of one size, the last may be shorter.
fn assert_one_run(packets: &[Packet]) {
    let sizes = sizes(packets);
    let (last, others) = sizes.split_last().expect("at least one packet");
    assert!(
        others.iter().all(|size| size == &sizes[0] && last <= size),
        "{sizes:?}"
    );
}

/// The zero of virtual time.
#[allow(clippy::disallowed_methods)]
fn epoch() -> Instant {
    Instant::now()
}

fn real_units(container: Container, stream: &[u8]) -> Vec<AccessUnit> {
    let mut ingest = Ingest::new(container);
    let mut units = Vec::new();
    ingest
        .push(epoch(), stream, &mut units)
        .expect("a right stream");
    ingest.finish(&mut units).expect("a right stream");
    units
}

#[test]
fn a_viewer_gets_the_slices_and_parameter_sets_of_a_real_stream() {
    for stream in [TINY_H264, SLICES_H264] {
        let mut packetiser = Packetiser::new(Codec::H264);
        for unit in real_units(Container::AnnexB, stream) {
            let mut packets = Vec::new();
            packetiser.packetise(&unit, &mut packets);
            assert_well_formed(&packets);
            let sent = nals(&unit.data)
                .into_iter()
                .filter(|nal| ![SEI, DELIMITER, FILLER].contains(&(nal[0] & 0x1f)));
            assert_eq!(
                depacketise(H264Depacketizer::default(), &packets),
                annexb(sent)
            );
        }
    }
}

#[test]
fn a_viewer_gets_the_frames_of_a_real_vp8_stream() {
    let mut packetiser = Packetiser::new(Codec::Vp8);
    for (index, unit) in real_units(Container::Ivf, TINY_IVF).into_iter().enumerate() {
        let mut packets = Vec::new();
        packetiser.packetise(&unit, &mut packets);
        assert_well_formed(&packets);
        assert_one_run(&packets);
        let mut depacketiser = Vp8Depacketizer::default();
        assert!(depacketiser.is_partition_head(&packets[0].payload));
        assert!(
            packets[1..]
                .iter()
                .all(|p| !depacketiser.is_partition_head(&p.payload))
        );
        let mut frame = Vec::new();
        let mut extra = CodecExtra::None;
        for packet in &packets {
            depacketiser
                .depacketize(&packet.payload, &mut frame, &mut extra)
                .expect("right");
            assert_eq!(usize::from(depacketiser.picture_id), index);
        }
        assert_eq!(frame, unit.data);
    }
}

#[test]
fn the_picture_id_wraps_at_15_bits() {
    let mut packetiser = Packetiser::new(Codec::Vp8);
    let frame = unit(Codec::Vp8, vec![1; 10]);
    let mut packets = Vec::new();
    for _ in 0..=1 << 15 {
        packetiser.packetise(&frame, &mut packets);
    }
    let id = |packet: &Packet| [packet.payload[2], packet.payload[3]];
    assert_eq!(id(&packets[0x7fff]), [0xff, 0xff]);
    assert_eq!(id(&packets[0x8000]), [0x80, 0x00], "M stays set");
}

#[test]
fn parameter_sets_share_a_packet_and_the_slice_is_one_run() {
    let (sps, pps, idr) = (nal(SPS, 20), nal(PPS, 5), nal(5, 30_000));
    let packets = packetise(Codec::H264, annexb([&sps[..], &pps, &idr]));
    assert_well_formed(&packets);
    assert_eq!(packets[0].payload[0] & 0x1f, STAP_A);
    assert_one_run(&packets[1..]);
    assert_eq!(
        packets.len() - 1,
        30_000_usize.div_ceil(MAX_PAYLOAD_BYTES - 2)
    );
}

#[test]
fn what_decoders_do_without_is_not_sent() {
    let (delimiter, sei, slice, filler) =
        (nal(DELIMITER, 2), nal(SEI, 9), nal(1, 9), nal(FILLER, 9));
    let packets = packetise(Codec::H264, annexb([&delimiter[..], &sei, &slice, &filler]));
    assert_eq!(packets.len(), 1);
    assert_eq!(*packets[0].payload, *slice);
    assert!(packetise(Codec::H264, annexb([&sei[..]])).is_empty());
}

#[test]
fn sizes_around_the_limit() {
    let max = MAX_PAYLOAD_BYTES;
    let types = |sizes: &[usize]| {
        let nals: Vec<_> = sizes.iter().map(|&bytes| nal(1, bytes)).collect();
        packet_types(&packetise(
            Codec::H264,
            annexb(nals.iter().map(Vec::as_slice)),
        ))
    };
    assert_eq!(types(&[max]), [1], "a single NAL unit");
    assert_eq!(types(&[max + 1]), [28, 28], "two fragments");
    assert_eq!(types(&[100, max - 105]), [STAP_A], "exactly one aggregate");
    assert_eq!(types(&[100, max - 104]), [1, 1], "a byte too much for one");
    assert_eq!(
        types(&[100, max + 1, 100, 100]),
        [1, 28, 28, STAP_A],
        "in order"
    );
}

#[test]
fn an_opus_packet_is_a_payload() {
    let packets = packetise(Codec::Opus, vec![0xfc, 1, 2, 3]);
    assert_eq!(packets.len(), 1);
    assert_eq!(*packets[0].payload, [0xfc, 1, 2, 3]);
    assert!(!packets[0].marker, "no talkspurt begins here");
}

proptest! {
    #[test]
    fn h264_comes_out_as_it_went_in(
        nals in vec(
            (prop_oneof![Just(1_u8), Just(5), Just(SPS), Just(PPS)], prop_oneof![
                2_usize..300,
                MAX_PAYLOAD_BYTES - 4..MAX_PAYLOAD_BYTES + 4,
                300_usize..20_000,
            ]),
            1..12,
        ),
    ) {
        let nals: Vec<_> = nals.into_iter().map(|(kind, bytes)| nal(kind, bytes)).collect();
        let data = annexb(nals.iter().map(Vec::as_slice));
        let packets = packetise(Codec::H264, data.clone());
        assert_well_formed(&packets);
        prop_assert_eq!(depacketise(H264Depacketizer::default(), &packets), data);
    }

    #[test]
    fn vp8_comes_out_as_it_went_in(bytes in 1_usize..20_000) {
        let frame = nal(0, bytes);
        let packets = packetise(Codec::Vp8, frame.clone());
        assert_well_formed(&packets);
        assert_one_run(&packets);
        prop_assert_eq!(depacketise(Vp8Depacketizer::default(), &packets), frame);
    }

    /// Also for sizes where an even share rounds up so much that fewer pieces do.
    #[test]
    fn fragments_are_few_and_equal(bytes in 1_usize..8_000_000, max in 500_usize..1200) {
        let size = fragment_size(bytes, max);
        prop_assert!(size <= max);
        prop_assert!(bytes.div_ceil(size) <= bytes.div_ceil(max));
    }

    #[test]
    fn any_bytes_are_survived(data in vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..200)) {
        for codec in [Codec::H264, Codec::Vp8, Codec::Opus] {
            packetise(codec, data.clone());
        }
    }
}
