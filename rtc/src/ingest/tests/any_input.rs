//! Properties that hold for whatever comes in.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::Codec;
use crate::ingest::AccessUnitReader;

const STREAMS: [(Container, &[u8]); 5] = [
    (Container::AnnexB, TINY_H264),
    (Container::AnnexB, FLAT_H264),
    (Container::AnnexB, SLICES_H264),
    (Container::Ivf, TINY_IVF),
    (Container::Ogg, TINY_OGG),
];

/// Cuts `stream` at `cuts`, taken modulo its length.
fn cut<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|at| at % (stream.len() + 1)).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|ends| &stream[ends[0]..ends[1]])
        .collect()
}

/// Bytes that a parser takes for something more often than noise: runs of zeros, start codes,
/// NAL unit headers, pieces of real streams.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..40),
        (0_usize..6).prop_map(|zeros| vec![0; zeros]),
        (0_u8..32, any::<[u8; 3]>()).prop_map(|(kind, [a, b, c])| vec![
            0,
            0,
            1,
            kind | 0x60,
            a,
            b,
            c
        ]),
        (0..STREAMS.len(), any::<usize>(), 0_usize..200).prop_map(|(stream, at, bytes)| {
            let stream = STREAMS[stream].1;
            let at = at % stream.len();
            stream[at..stream.len().min(at + bytes)].to_vec()
        }),
        (0..STREAMS.len(), 0_usize..200)
            .prop_map(|(stream, bytes)| STREAMS[stream].1[..bytes].to_vec()),
    ];
    vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

#[test]
fn byte_by_byte_gives_the_same_access_units() {
    for (container, stream) in STREAMS {
        let whole = ingest(container, [stream]);
        assert_eq!(whole.1, Ok(()));
        assert_eq!(ingest(container, stream.chunks(1)), whole, "{container:?}");
    }
}

proptest! {
    #[test]
    fn any_split_gives_the_same_access_units(
        stream in 0..STREAMS.len(),
        cuts in vec(any::<usize>(), 0..40),
    ) {
        let (container, stream) = STREAMS[stream];
        prop_assert_eq!(ingest(container, cut(stream, &cuts)), ingest(container, [stream]));
    }

    /// Also where the stream is broken: the same access units, then the same error.
    #[test]
    fn any_split_of_anything_gives_the_same_end(
        container in prop_oneof![
            Just(Container::AnnexB), Just(Container::Ivf), Just(Container::Ogg)
        ],
        stream in likely_bytes(),
        cuts in vec(any::<usize>(), 0..40),
    ) {
        prop_assert_eq!(ingest(container, cut(&stream, &cuts)), ingest(container, [&stream[..]]));
    }

    /// Silence and errors between any bytes never panic, and little is held.
    #[test]
    fn anything_is_survived(
        container in prop_oneof![
            Just(Container::AnnexB), Just(Container::Ivf), Just(Container::Ogg)
        ],
        pieces in vec((likely_bytes(), any::<bool>()), 0..20),
    ) {
        let now = epoch();
        let mut ingest = Ingest::new(container);
        let mut units = Vec::new();
        let mut pushed = 0;
        for (piece, silent) in &pieces {
            let _ = ingest.push(now, piece, &mut units);
            if let Some(deadline) = ingest.silence_deadline().filter(|_| *silent) {
                let _ = ingest.silence(deadline, &mut units);
                prop_assert_eq!(ingest.silence_deadline(), None);
            }
            pushed += piece.len();
            // A start code of three bytes is held as one of four.
            prop_assert!(ingest.buffered() <= 2 * pushed);
        }
        let _ = ingest.finish(&mut units);
        prop_assert!(units.iter().all(|unit| !unit.data.is_empty()));
    }

    #[test]
    fn any_message_of_an_agent_is_survived(
        codec in prop_oneof![Just(Codec::H264), Just(Codec::Vp8), Just(Codec::Opus)],
        messages in vec(likely_bytes(), 0..10),
    ) {
        let mut reader = AccessUnitReader::new(codec);
        for message in &messages {
            if let Ok(Some(unit)) = reader.read(message) {
                prop_assert!(!unit.data.is_empty());
                prop_assert_eq!(unit.codec, codec);
            }
        }
    }
}
