mod annexb;
mod any_input;
mod ivf;
mod ogg;
mod reader;

use std::time::Instant;

use super::{BitstreamError, Container, Ingest};
use crate::AccessUnit;

const TINY_H264: &[u8] = include_bytes!("../../../tests/data/tiny_160x120_15_3s.h264");
const FLAT_H264: &[u8] = include_bytes!("../../../tests/data/tiny_flat.h264");
const SLICES_H264: &[u8] = include_bytes!("../../../tests/data/slices.h264");
const TINY_IVF: &[u8] = include_bytes!("../../../tests/data/tiny_160x120_15_3s_vp8.ivf");
const TINY_OGG: &[u8] = include_bytes!("../../../tests/data/tiny_3s.ogg");
const MP4: &[u8] = include_bytes!("../../../tests/data/h264.mp4");

/// The zero of virtual time.
#[allow(clippy::disallowed_methods)]
fn epoch() -> Instant {
    Instant::now()
}

/// Pushes the pieces in turn, and the end.
fn ingest<'a>(
    container: Container,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<AccessUnit>, Result<(), BitstreamError>) {
    let now = epoch();
    let mut ingest = Ingest::new(container);
    let mut units = Vec::new();
    for piece in pieces {
        if let Err(error) = ingest.push(now, piece, &mut units) {
            return (units, Err(error));
        }
    }
    let end = ingest.finish(&mut units);
    (units, end)
}

/// The access units of a stream without fault.
fn units(container: Container, stream: &[u8]) -> Vec<AccessUnit> {
    let (units, end) = ingest(container, [stream]);
    assert_eq!(end, Ok(()));
    units
}

/// What a publisher is told about a stream that is refused.
fn refusal(container: Container, stream: &[u8]) -> String {
    ingest(container, [stream])
        .1
        .expect_err("this stream is refused")
        .to_string()
}
