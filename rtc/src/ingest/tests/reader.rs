use super::*;
use crate::Codec;
use crate::ingest::AccessUnitReader;

#[test]
fn single_access_units_read_as_they_do_from_a_body() {
    for (codec, container, stream) in [
        (Codec::H264, Container::AnnexB, TINY_H264),
        (Codec::H264, Container::AnnexB, SLICES_H264),
        (Codec::Vp8, Container::Ivf, TINY_IVF),
        (Codec::Opus, Container::Ogg, TINY_OGG),
    ] {
        let mut reader = AccessUnitReader::new(codec);
        for mut unit in units(container, stream) {
            let read = reader.read(&unit.data).expect("a right access unit");
            unit.pts = None; // that is the message's
            assert_eq!(read, Some(unit));
        }
        let size = reader
            .video_format()
            .map(|format| (format.width, format.height));
        assert_eq!(size, codec.is_video().then_some((160, 120)));
    }
}

/// Android's MediaCodec gives SPS and PPS once, in a buffer of their own.
#[test]
fn parameter_sets_may_come_in_a_message_of_their_own() {
    let keyframe = &units(Container::AnnexB, FLAT_H264)[0].data;
    let slice_at = memchr::memmem::find(keyframe, &[0, 0, 0, 1, 0x06]).expect("x264 writes an SEI");
    let (config, picture) = keyframe.split_at(slice_at);
    let mut reader = AccessUnitReader::new(Codec::H264);
    assert_eq!(reader.read(picture), Ok(None), "nobody could decode it");
    assert_eq!(reader.read(config), Ok(None));
    for _ in 0..2 {
        let unit = reader
            .read(picture)
            .expect("a right picture")
            .expect("a whole picture");
        assert!(unit.keyframe);
        assert_eq!(&unit.data, keyframe, "a decoder can start here");
    }
}

#[test]
fn a_wrong_message_is_refused_and_the_next_one_is_read() {
    let pictures = units(Container::AnnexB, FLAT_H264);
    let two = [&pictures[0].data[..], &pictures[1].data].concat();
    let lengths = [&[0, 0, 0, 20], &pictures[0].data[4..24]].concat();
    for (wrong, words) in [
        (&two[..], "more than one picture"),
        (&lengths, "no start code"),
        (&[0; 9], "no start"),
    ] {
        let mut reader = AccessUnitReader::new(Codec::H264);
        let told = reader
            .read(wrong)
            .expect_err("this message is refused")
            .to_string();
        assert!(told.contains(words), "{told}");
        assert_eq!(
            reader.read(&pictures[0].data),
            Ok(Some(pictures[0].clone()))
        );
    }
    assert!(AccessUnitReader::new(Codec::Vp8).read(&[]).is_err());
    assert!(AccessUnitReader::new(Codec::Opus).read(&[]).is_err());
}
