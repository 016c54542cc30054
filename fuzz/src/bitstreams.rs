//! Live bodies: Annex B, IVF, Ogg.

use std::sync::OnceLock;
use std::time::Instant;

use rtc::{AccessUnit, BitstreamError, Container, Ingest, MAX_ACCESS_UNIT_BYTES, Packetiser};

use super::pieces::pieces;

/// Bytes beside the picture in work that a parser may hold: parameter sets, a page's header.
const BESIDE_THE_PICTURE: usize = 128 << 10;

/// H.264 behind start codes. First byte: how the rest is cut.
pub fn annexb(data: &[u8]) {
    any_split_is_the_same(Container::AnnexB, data);
    silence_anywhere(data);
}

/// VP8 in IVF. First byte: how the rest is cut.
pub fn ivf(data: &[u8]) {
    any_split_is_the_same(Container::Ivf, data);
}

/// Opus in Ogg. First byte: how the rest is cut.
pub fn ogg(data: &[u8]) {
    any_split_is_the_same(Container::Ogg, data);
}

/// The access units, and then the error, depend on the bytes alone.
fn any_split_is_the_same(container: Container, data: &[u8]) {
    let Some((&seed, stream)) = data.split_first() else {
        return;
    };
    let whole = parse(container, [stream]);
    assert_eq!(parse(container, pieces(stream, seed)), whole);
    for unit in &whole.0 {
        check(unit, stream);
    }
}

fn parse<'a>(
    container: Container,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<AccessUnit>, Result<(), BitstreamError>) {
    let mut ingest = Ingest::new(container);
    let mut units = Vec::new();
    let mut pushed = 0;
    for piece in pieces {
        if let Err(fault) = ingest.push(epoch(), piece, &mut units) {
            return (units, Err(fault));
        }
        pushed += piece.len();
        // A start code of three bytes is held as one of four.
        let most = (2 * pushed).min(MAX_ACCESS_UNIT_BYTES + BESIDE_THE_PICTURE);
        assert!(
            ingest.buffered() <= most,
            "{} B are held",
            ingest.buffered()
        );
    }
    let result = ingest.finish(&mut units);
    (units, result)
}

/// What comes out can be sent: it is not empty, within its bound, no larger than what came in, and
/// the packetiser makes packets of it.
fn check(unit: &AccessUnit, stream: &[u8]) {
    assert!(!unit.data.is_empty());
    assert!(unit.data.len() <= MAX_ACCESS_UNIT_BYTES);
    // Parameter sets are repeated before a keyframe, and start codes grow by a byte.
    assert!(unit.data.len() <= 3 * stream.len());
    let mut packets = Vec::new();
    Packetiser::new(unit.codec).packetise(unit, &mut packets);
    assert!(
        packets
            .iter()
            .all(|packet| packet.payload.len() <= rtc::MAX_PAYLOAD_BYTES)
    );
}

/// The deadlines of silence may pass between any two pieces.
fn silence_anywhere(data: &[u8]) {
    let Some((&seed, stream)) = data.split_first() else {
        return;
    };
    let (mut ingest, mut units, mut now) = (Ingest::new(Container::AnnexB), Vec::new(), epoch());
    for piece in pieces(stream, seed | 1) {
        if ingest.push(now, piece, &mut units).is_err() {
            return;
        }
        if let Some(deadline) = ingest.silence_deadline().filter(|_| piece.len() % 2 == 0) {
            now = deadline;
            if ingest.silence(now, &mut units).is_err() {
                return;
            }
            assert_eq!(ingest.silence_deadline(), None);
        }
    }
    let _ = ingest.finish(&mut units);
    units.iter().for_each(|unit| check(unit, stream));
}

/// The clock is read once; from then on time is a number.
pub fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    // Some way from the machine's start, so that times before it exist.
    *EPOCH.get_or_init(|| Instant::now() + std::time::Duration::from_secs(3_600))
}
