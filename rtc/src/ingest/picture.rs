//! From NAL units to pictures: where one ends, whether it can be played, what it lacks.

use super::bits::BitReader;
use super::parameter_sets::ParameterSets;
use super::{BitstreamError, MAX_ACCESS_UNIT_BYTES, VideoFormat};
use crate::{AccessUnit, Codec};

const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// Bytes of a NAL unit that tell whether it begins a picture: its header, and the first of a slice,
/// whose first bit is set where `first_mb_in_slice` is 0 (ue(v) codes 0 as `1`).
const HEAD_BYTES: usize = 2;
/// Room made for a picture before its size is known.
const MIN_CAPACITY_BYTES: usize = 4 << 10;
/// Pictures left out because their parameter sets have not come: 10 s at 60 fps, longer than the
/// keyframe interval of any live encoder.
const MAX_UNDECODABLE_PICTURES: u32 = 600;
/// Longest part of a slice that its header's first three fields can take (three 32-bit codes and
/// their emulation prevention).
const SLICE_HEAD_BYTES: usize = 32;

/// NAL unit types (H.264 table 7-1).
mod nal_type {
    pub(super) const SLICE: u8 = 1;
    pub(super) const DATA_PARTITION_A: u8 = 2;
    pub(super) const DATA_PARTITION_C: u8 = 4;
    pub(super) const IDR_SLICE: u8 = 5;
    pub(super) const SEI: u8 = 6;
    pub(super) const SPS: u8 = 7;
    pub(super) const PPS: u8 = 8;
    pub(super) const ACCESS_UNIT_DELIMITER: u8 = 9;
}

/// Takes a stream of NAL units, in pieces, and gives access units.
#[derive(Debug, Default)]
pub(super) struct PictureAssembler {
    sets: ParameterSets,
    /// The picture in work: NAL units behind four-byte start codes.
    data: Vec<u8>,
    /// Where the NAL unit in work begins in `data`, behind its start code.
    nal_start: usize,
    nal: Nal,
    seen: Seen,
    /// Size of the picture before: room to make for the next one.
    last_bytes: usize,
    /// The picture before was ended by silence, and nothing has shown yet that this was right.
    ended_early: bool,
    cut_pictures: u64,
    /// A picture has left.
    begun: bool,
    /// Pictures left out in a row.
    undecodable_pictures: u32,
    format: Option<VideoFormat>,
}

/// The NAL unit in work.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Nal {
    #[default]
    None,
    /// Fewer than [`HEAD_BYTES`] of it have come.
    Head,
    /// Of this type, and part of `data`.
    Kept(u8),
    Dropped,
    /// Taken as complete by silence. Should it go on, its picture has been cut.
    EndedEarly,
}

/// What the picture in work is known to hold.
#[derive(Debug, Default)]
struct Seen {
    slices: bool,
    keyframe: bool,
    /// The PPS of its first slice.
    pps: Option<u8>,
    sps_ids: Vec<u8>,
    pps_ids: Vec<u8>,
    /// Where parameter sets that are missing belong: behind the delimiter and the last SPS.
    insert_at: usize,
}

/// The first fields of a slice header (§7.3.3).
struct SliceHeader {
    bidirectional: bool,
    pps: u8,
}

impl PictureAssembler {
    /// A start code: what follows is a new NAL unit.
    pub(super) fn begin_nal(&mut self) -> Result<(), BitstreamError> {
        self.end_nal()?;
        if self.data.is_empty() {
            self.data.reserve(self.last_bytes.max(MIN_CAPACITY_BYTES));
        }
        self.data.extend_from_slice(&START_CODE);
        self.nal_start = self.data.len();
        self.nal = Nal::Head;
        Ok(())
    }

    /// The next bytes of the NAL unit in work.
    pub(super) fn append(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<AccessUnit>,
    ) -> Result<(), BitstreamError> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.nal == Nal::Head {
            let missing = self.nal_start + HEAD_BYTES - self.data.len();
            let (head, rest) = bytes.split_at(missing.min(bytes.len()));
            self.data.extend_from_slice(head);
            if head.len() == missing {
                self.nal = self.classify(out)?;
            }
            bytes = rest;
        }
        match self.nal {
            Nal::Kept(_) if self.data.len() + bytes.len() > MAX_ACCESS_UNIT_BYTES => {
                Err(BitstreamError::PictureTooLarge)
            }
            Nal::Kept(_) => {
                self.data.extend_from_slice(bytes);
                Ok(())
            }
            Nal::EndedEarly => {
                self.count_cut();
                self.nal = Nal::Dropped;
                Ok(())
            }
            Nal::None | Nal::Head | Nal::Dropped => Ok(()),
        }
    }

    /// The stream ended, and with it the picture in work.
    pub(super) fn finish(&mut self, out: &mut Vec<AccessUnit>) -> Result<(), BitstreamError> {
        self.end_nal()?;
        let picture = std::mem::take(&mut self.data);
        self.emit(picture, out)
    }

    /// Whether the stream, which ended, had a picture at all.
    pub(super) fn check_begun(&self) -> Result<(), BitstreamError> {
        match self.undecodable_pictures {
            _ if self.begun => Ok(()),
            0 => Err(BitstreamError::NoPicture),
            pictures => Err(BitstreamError::NoParameterSets { pictures }),
        }
    }

    /// Whether silence would end a picture.
    pub(super) fn holds_picture(&self) -> bool {
        self.seen.slices
    }

    /// Takes the picture in work as complete, unless it surely goes on.
    pub(super) fn end_early(&mut self, out: &mut Vec<AccessUnit>) -> Result<(), BitstreamError> {
        match self.nal {
            Nal::Head => self.split(out)?,
            // Not even its slice header is complete.
            Nal::Kept(_) if slice_header(&self.data[self.nal_start..]).is_none() => {
                return Ok(());
            }
            Nal::Kept(_) => {
                self.finish(out)?;
                self.nal = Nal::EndedEarly;
            }
            // What follows the slices is dropped, whether it is complete or not.
            Nal::Dropped => {
                let picture = std::mem::take(&mut self.data);
                self.emit(picture, out)?;
            }
            Nal::None | Nal::EndedEarly => {}
        }
        self.ended_early = true;
        Ok(())
    }

    /// Drops the picture in work, and keeps the parameter sets.
    pub(super) fn abandon(&mut self) {
        self.data.clear();
        self.nal = Nal::None;
        self.seen = Seen::default();
    }

    pub(super) fn cut_pictures(&self) -> u64 {
        self.cut_pictures
    }

    pub(super) fn format(&self) -> Option<VideoFormat> {
        self.format
    }

    pub(super) fn buffered(&self) -> usize {
        self.data.len() + self.sets.bytes()
    }

    /// Decides from its first bytes what becomes of a NAL unit, and ends the picture before where
    /// it begins another (§7.4.1.2.3).
    fn classify(&mut self, out: &mut Vec<AccessUnit>) -> Result<Nal, BitstreamError> {
        let (header, first) = (self.data[self.nal_start], self.data[self.nal_start + 1]);
        // How VPS, SPS, PPS and delimiter of H.265 begin, and no H.264 stream does.
        if self.format.is_none() && matches!((header, first), (0x40 | 0x42 | 0x44 | 0x46, 1)) {
            return Err(BitstreamError::H265);
        }
        if header & 0x80 != 0 {
            return Err(BitstreamError::NotH264 { header });
        }
        let kind = header & 0x1f;
        let begins_picture = match kind {
            nal_type::SLICE | nal_type::IDR_SLICE => first & 0x80 != 0,
            nal_type::SEI..=nal_type::ACCESS_UNIT_DELIMITER => true,
            nal_type::DATA_PARTITION_A..=nal_type::DATA_PARTITION_C => {
                return Err(BitstreamError::DataPartitioning);
            }
            // Filler, ends of sequence and stream, extensions for layers and views: a decoder
            // of these profiles does without.
            _ => {
                self.data.truncate(self.nal_start - START_CODE.len());
                return Ok(Nal::Dropped);
            }
        };
        let slice = matches!(kind, nal_type::SLICE | nal_type::IDR_SLICE);
        if begins_picture {
            self.ended_early = false;
            if self.seen.slices {
                self.split(out)?;
            }
        } else if !self.seen.slices {
            // The rest of a picture whose beginning was not seen, or has left already.
            if self.ended_early {
                self.count_cut();
            }
            self.data.truncate(self.nal_start - START_CODE.len());
            return Ok(Nal::Dropped);
        }
        if slice {
            self.seen.slices = true;
            self.seen.keyframe |= kind == nal_type::IDR_SLICE;
        }
        Ok(Nal::Kept(kind))
    }

    fn count_cut(&mut self) {
        self.cut_pictures += 1;
        self.ended_early = false;
    }

    /// Reads what the NAL unit in work says, now that it is complete.
    fn end_nal(&mut self) -> Result<(), BitstreamError> {
        let nal = std::mem::take(&mut self.nal);
        let Nal::Kept(kind) = nal else {
            if nal == Nal::Head {
                // Too short to mean anything.
                self.data.truncate(self.nal_start - START_CODE.len());
            }
            return Ok(());
        };
        let bytes = &self.data[self.nal_start..];
        match kind {
            nal_type::SPS => {
                let (id, format) = self.sets.keep_sps(bytes)?;
                self.format = Some(format);
                self.seen.insert_at = self.data.len();
                note(&mut self.seen.sps_ids, id);
            }
            nal_type::PPS => note(&mut self.seen.pps_ids, self.sets.keep_pps(bytes)?),
            nal_type::ACCESS_UNIT_DELIMITER => self.seen.insert_at = self.data.len(),
            nal_type::SLICE | nal_type::IDR_SLICE => {
                let header = slice_header(bytes).ok_or(BitstreamError::BadSlice)?;
                if header.bidirectional {
                    return Err(BitstreamError::BFrames);
                }
                self.seen.pps.get_or_insert(header.pps);
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the picture in front of the NAL unit in work.
    fn split(&mut self, out: &mut Vec<AccessUnit>) -> Result<(), BitstreamError> {
        let end = self.nal_start - START_CODE.len();
        let mut next = Vec::with_capacity(self.data.len().max(MIN_CAPACITY_BYTES));
        next.extend_from_slice(&self.data[end..]);
        self.nal_start = START_CODE.len();
        let mut picture = std::mem::replace(&mut self.data, next);
        picture.truncate(end);
        self.emit(picture, out)
    }

    /// Appends `data` to `out` where it is a picture that can be decoded.
    fn emit(&mut self, mut data: Vec<u8>, out: &mut Vec<AccessUnit>) -> Result<(), BitstreamError> {
        self.last_bytes = data.len();
        let seen = std::mem::take(&mut self.seen);
        let Some(pps) = seen.pps else { return Ok(()) };
        let Some((sps, format)) = self.sets.active(pps) else {
            self.undecodable_pictures += 1;
            return match self.undecodable_pictures {
                MAX_UNDECODABLE_PICTURES.. => Err(BitstreamError::NoParameterSets {
                    pictures: self.undecodable_pictures,
                }),
                _ => Ok(()),
            };
        };
        self.undecodable_pictures = 0;
        self.begun = true;
        if seen.keyframe {
            let missing = self.missing_sets(&seen, sps);
            data.splice(seen.insert_at..seen.insert_at, missing);
        }
        out.push(AccessUnit {
            codec: Codec::H264,
            keyframe: seen.keyframe,
            data,
            pts: None,
            duration: None,
            size: seen.keyframe.then_some((format.width, format.height)),
        });
        Ok(())
    }

    /// What a keyframe needs so that a decoder can start with it, and does not hold itself.
    fn missing_sets(&self, seen: &Seen, sps: u8) -> Vec<u8> {
        let missing_sps = self.sets.sps(sps).filter(|_| !seen.sps_ids.contains(&sps));
        let missing_pps = self
            .sets
            .pps_of(sps)
            .filter(|(id, _)| !seen.pps_ids.contains(id));
        let mut missing = Vec::new();
        for nal in missing_sps
            .into_iter()
            .chain(missing_pps.map(|(_, nal)| nal))
        {
            missing.extend_from_slice(&START_CODE);
            missing.extend_from_slice(nal);
        }
        missing
    }
}

fn note(ids: &mut Vec<u8>, id: u8) {
    if !ids.contains(&id) {
        ids.push(id);
    }
}

/// Reads the first fields of the header of a slice, `None` where they are not there or impossible.
fn slice_header(nal: &[u8]) -> Option<SliceHeader> {
    const MAX_SLICE_TYPE: u32 = 9;
    let head = &nal[1..nal.len().min(SLICE_HEAD_BYTES)];
    let mut bits = BitReader::new(head);
    bits.unsigned()?; // first_mb_in_slice
    let slice_type = bits.unsigned().filter(|&kind| kind <= MAX_SLICE_TYPE)?;
    let pps = u8::try_from(bits.unsigned()?).ok()?;
    // Table 7-6: types 5 to 9 say that all slices of the picture are of the type 0 to 4.
    Some(SliceHeader {
        bidirectional: slice_type % 5 == 1,
        pps,
    })
}
