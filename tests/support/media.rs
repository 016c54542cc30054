//! Clips for publishers, cut into what a live encoder would send at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ROOT;
use super::annexb;
use super::viewer::Frame;

/// A file of the project, by its path from the workspace's root.
pub fn file(path: &str) -> PathBuf {
    Path::new(ROOT).join(path)
}

/// Reads a file of the project.
pub fn read(path: &str) -> Vec<u8> {
    std::fs::read(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Container and codec of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    H264,
    Vp8,
    Opus,
}

impl Kind {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::H264 => "video/h264",
            Self::Vp8 => "video/x-ivf",
            Self::Opus => "audio/ogg",
        }
    }

    /// The last part of the publisher's route.
    pub fn track(self) -> &'static str {
        match self {
            Self::H264 | Self::Vp8 => "video",
            Self::Opus => "audio",
        }
    }
}

/// A clip: what comes before the first unit, and its units (access units, IVF frames without header, Ogg pages).
#[derive(Clone, Debug)]
pub struct Clip {
    pub kind: Kind,
    pub header: Vec<u8>,
    pub units: Vec<Vec<u8>>,
    /// Time from one unit to the next.
    pub interval: Duration,
}

const IVF_HEADER_BYTES: usize = 32;
const IVF_FRAME_HEADER_BYTES: usize = 12;
/// Length of an Ogg page's header up to its lacing values, whose number is the last byte (RFC 3533 §6).
const OGG_HEADER_BYTES: usize = 27;
/// Pages of an Ogg Opus stream before its audio: identification and comments (RFC 7845 §3).
const OPUS_HEADER_PAGES: usize = 2;

impl Clip {
    /// `tests/data/tiny.h264`: 160×120, 30 fps, 60 pictures, keyframes 0 and 30.
    pub fn tiny_h264() -> Self {
        Self::h264(&read("tests/data/tiny.h264"), 30)
    }

    /// `tests/data/tiny_vp8.ivf`: the same picture as VP8.
    pub fn tiny_vp8() -> Self {
        Self::ivf(&read("tests/data/tiny_vp8.ivf"), 30)
    }

    /// `tests/data/tiny.ogg`: 100 packets of 20 ms.
    pub fn tiny_opus() -> Self {
        Self::ogg(&read("tests/data/tiny.ogg"), Duration::from_millis(20))
    }

    /// Annex B with one slice a picture.
    pub fn h264(stream: &[u8], fps: u32) -> Self {
        let units: Vec<Vec<u8>> = annexb::access_units(stream)
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect();
        assert!(!units.is_empty(), "no picture found");
        Self {
            kind: Kind::H264,
            header: Vec::new(),
            units,
            interval: Duration::from_secs(1) / fps,
        }
    }

    /// IVF; frames are numbered anew as they are sent.
    pub fn ivf(stream: &[u8], fps: u32) -> Self {
        let mut units = Vec::new();
        let mut rest = &stream[IVF_HEADER_BYTES..];
        while !rest.is_empty() {
            let length = u32::from_le_bytes(rest[..4].try_into().expect("four bytes")) as usize;
            let end = IVF_FRAME_HEADER_BYTES + length;
            units.push(rest[IVF_FRAME_HEADER_BYTES..end].to_vec());
            rest = &rest[end..];
        }
        let header = stream[..IVF_HEADER_BYTES].to_vec();
        Self {
            kind: Kind::Vp8,
            header,
            units,
            interval: Duration::from_secs(1) / fps,
        }
    }

    /// Ogg with one packet a page.
    pub fn ogg(stream: &[u8], interval: Duration) -> Self {
        let mut pages = Vec::new();
        let mut rest = stream;
        while !rest.is_empty() {
            assert!(rest.starts_with(b"OggS"), "not a page");
            let lacing_end = OGG_HEADER_BYTES + usize::from(rest[OGG_HEADER_BYTES - 1]);
            let body: usize = rest[OGG_HEADER_BYTES..lacing_end]
                .iter()
                .map(|lacing| usize::from(*lacing))
                .sum();
            pages.push(rest[..lacing_end + body].to_vec());
            rest = &rest[lacing_end + body..];
        }
        let units = pages.split_off(OPUS_HEADER_PAGES);
        Self {
            kind: Kind::Opus,
            header: pages.concat(),
            units,
            interval,
        }
    }

    /// The bytes of unit `number`, counted without end over the loops of the clip, as the container has it.
    pub fn unit(&self, number: u64) -> Vec<u8> {
        let index = (number % self.units.len() as u64) as usize;
        let unit = &self.units[index];
        match self.kind {
            Kind::H264 => unit.clone(),
            Kind::Vp8 => {
                let mut frame = (unit.len() as u32).to_le_bytes().to_vec();
                frame.extend(number.to_le_bytes());
                frame.extend(unit);
                frame
            }
            // A chained stream (RFC 3533 §4) begins with its headers again.
            Kind::Opus if index == 0 && number > 0 => [self.header.as_slice(), unit].concat(),
            Kind::Opus => unit.clone(),
        }
    }

    /// The whole clip once, as a file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.clone();
        for number in 0..self.units.len() as u64 {
            bytes.extend(self.unit(number));
        }
        bytes
    }

    /// Asserts that a viewer's frames are the clip's, bit for bit, one after the other without a gap, wherever they
    /// begin.
    #[track_caller]
    pub fn assert_played(&self, frames: &[Frame]) {
        let units: Vec<Vec<Vec<u8>>> = self
            .units
            .iter()
            .map(|unit| self.essence(self.payload(unit)))
            .collect();
        let first = self.essence(&frames[0].data);
        let begin = units
            .iter()
            .position(|unit| *unit == first)
            .expect("the first frame is one of the clip's");
        for (i, frame) in frames.iter().enumerate() {
            let expected = &units[(begin + i) % units.len()];
            assert_eq!(
                &self.essence(&frame.data),
                expected,
                "frame {i} of {}",
                frames.len()
            );
            assert!(frame.contiguous, "frame {i} follows the one before");
        }
    }

    /// A unit without its container: the only packet of an Ogg page is as long as its lacing values say.
    fn payload<'a>(&self, unit: &'a [u8]) -> &'a [u8] {
        match self.kind {
            Kind::H264 | Kind::Vp8 => unit,
            Kind::Opus => &unit[OGG_HEADER_BYTES + usize::from(unit[OGG_HEADER_BYTES - 1])..],
        }
    }

    /// What must reach a viewer as it was: of H.264 the slices, since parameter sets may be repeated.
    fn essence(&self, payload: &[u8]) -> Vec<Vec<u8>> {
        match self.kind {
            Kind::H264 => annexb::slices(payload),
            Kind::Vp8 | Kind::Opus => vec![payload.to_vec()],
        }
    }

    /// Only the first `units`.
    pub fn first(mut self, units: usize) -> Self {
        self.units.truncate(units);
        self
    }
}
