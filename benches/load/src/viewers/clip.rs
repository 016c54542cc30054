//! The clip that is published: H.264 in Annex B, cut into access units.

use std::collections::BTreeSet;
use std::path::Path;

use memchr::memmem;

use crate::Error;

/// NAL unit types (H.264 table 7-1).
const SLICE: u8 = 1;
const IDR: u8 = 5;

/// 720p30, so that the program needs no file.
const DEMO: &[u8] = include_bytes!("../../../../assets/demo.h264");

/// Frames a second at which a bit rate is meant.
pub const FRAME_RATE: u32 = 30;

/// What is sent at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// With start codes.
    pub bytes: Vec<u8>,
    /// Whether it is an IDR picture.
    pub keyframe: bool,
}

/// Access units, to be sent again and again.
#[derive(Clone, Debug)]
pub struct Clip {
    units: Vec<AccessUnit>,
}

impl Clip {
    /// Cuts a file with one slice a picture, or the demo clip, and fills it up to `bits_per_second` at [`FRAME_RATE`]; 0: as
    /// it is.
    ///
    /// # Errors
    /// When there is no such file, or no picture in it.
    pub fn read(path: Option<&Path>, bits_per_second: u64) -> Result<Self, Error> {
        let clip = match path {
            None => Self::cut(DEMO),
            Some(path) => {
                let name = path.display();
                let stream = std::fs::read(path).map_err(Error::machine(name.to_string()))?;
                Self::cut(&stream)
            }
        };
        let name = path.unwrap_or(Path::new("the demo clip")).display();
        let error = || Error::Arguments(format!("{name}: no H.264 with one slice a picture"));
        Ok(clip.ok_or_else(error)?.filled_up_to(bits_per_second))
    }

    /// Each picture ends with its only slice.
    fn cut(stream: &[u8]) -> Option<Self> {
        // Positions of start codes, of which a zero before belongs to each.
        let codes: Vec<usize> = memmem::find_iter(stream, &[0, 0, 1]).collect();
        let begin = |code: usize| code - usize::from(code > 0 && stream[code - 1] == 0);
        let mut units = Vec::new();
        let mut start = 0;
        for (index, &code) in codes.iter().enumerate() {
            let kind = stream.get(code + 3)? & 0x1f;
            if matches!(kind, SLICE | IDR) {
                let end = codes
                    .get(index + 1)
                    .map_or(stream.len(), |next| begin(*next));
                units.push(AccessUnit {
                    bytes: stream[start..end].to_vec(),
                    keyframe: kind == IDR,
                });
                start = end;
            }
        }
        (!units.is_empty()).then_some(Self { units })
    }

    /// In proportion, so that keyframes stay as much larger as they are. No decoder wants this; a server that carries
    /// pictures without decoding them cannot tell.
    fn filled_up_to(mut self, bits_per_second: u64) -> Self {
        let factor = bits_per_second as f64 / self.bits_per_second();
        for unit in &mut self.units {
            let add = (unit.bytes.len() as f64 * (factor - 1.0)).max(0.0) as usize;
            // No zero among them: nothing that looks like a start code, or that would need to be escaped.
            unit.bytes.extend((0..add).map(|i| 1 + (i % 255) as u8));
        }
        self
    }

    /// At [`FRAME_RATE`].
    pub fn bits_per_second(&self) -> f64 {
        let bytes: usize = self.units.iter().map(|unit| unit.bytes.len()).sum();
        bytes as f64 * 8.0 * f64::from(FRAME_RATE) / self.units.len() as f64
    }

    /// Each of them once.
    pub fn units(&self) -> &[AccessUnit] {
        &self.units
    }

    /// The unit of this number, counted without end over the repetitions of the clip.
    pub fn unit(&self, number: u64) -> &AccessUnit {
        &self.units[(number % self.units.len() as u64) as usize]
    }

    /// What a viewer must get bit for bit: parameter sets may be repeated or left out, slices not.
    pub fn slices(&self) -> BTreeSet<Vec<u8>> {
        let slices = self.units.iter().filter_map(|unit| slice(&unit.bytes));
        slices.map(<[u8]>::to_vec).collect()
    }
}

/// The slice of an access unit that has one, which is its last NAL unit.
pub fn slice(access_unit: &[u8]) -> Option<&[u8]> {
    let nal = &access_unit[memmem::rfind(access_unit, &[0, 0, 1])? + 3..];
    matches!(nal.first()? & 0x1f, SLICE | IDR).then_some(nal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = &[
        0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 3, 4, 0, 0, 1, 0x41, 5, 0, 0, 0,
        1, 0x41, 6,
    ];

    #[test]
    fn pictures_are_told_apart_with_what_comes_before_them() {
        let clip = Clip::cut(STREAM).unwrap();
        let lengths: Vec<_> = clip
            .units
            .iter()
            .map(|u| (u.bytes.len(), u.keyframe))
            .collect();
        assert_eq!(lengths, [(18, true), (5, false), (6, false)]);
        let whole: Vec<u8> = clip.units.iter().flat_map(|u| u.bytes.clone()).collect();
        assert_eq!(whole, STREAM);
        assert_eq!(clip.unit(4), &clip.units[1]);
        assert!(Clip::cut(b"no video").is_none());
        let slices: [&[u8]; 3] = [&[0x41, 5], &[0x41, 6], &[0x65, 3, 4]];
        assert!(clip.slices().iter().eq(slices));
    }

    #[test]
    fn the_demo_clip_has_pictures_of_the_rate_that_is_asked_for() {
        let clip = Clip::read(None, 2_000_000).unwrap();
        assert!(clip.unit(0).keyframe);
        let share = clip.bits_per_second() / 2e6;
        assert!((0.99..=1.0).contains(&share), "{share}");
        assert!(Clip::read(Some(Path::new("nowhere.h264")), 0).is_err());
    }

    #[test]
    fn it_is_filled_up_in_proportion() {
        let clip = Clip::cut(STREAM).unwrap();
        let bits = clip.bits_per_second() as u64;
        let filled = clip.clone().filled_up_to(bits * 10);
        let share = filled.bits_per_second() / (bits * 10) as f64;
        assert!((0.95..=1.0).contains(&share), "{share}");
        assert_eq!(filled.units[0].bytes.len(), 180);
        assert!(filled.units[0].bytes.starts_with(&clip.units[0].bytes));
        assert_eq!(clip.clone().filled_up_to(0).units, clip.units);
    }
}
