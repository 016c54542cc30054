//! Sequence and picture parameter sets (H.264 §7.3.2): read, kept, repeated.

use std::collections::BTreeMap;

use super::bits::BitReader;
use super::{BitstreamError, VideoFormat};
use crate::Codec;

/// Largest parameter set that is kept. An SPS with every scaling list takes about 700 B; what is
/// larger (slice group maps of PPSs) belongs to the extended profile.
const MAX_PARAMETER_SET_BYTES: usize = 1024;
/// Ids of an SPS (§7.4.2.1.1) and of a PPS (§7.4.2.2). They bound what is kept to 288 KiB.
const MAX_SPS_ID: u32 = 31;
const MAX_PPS_ID: u32 = 255;

/// Side of a macroblock in pixels.
const MACROBLOCK: u32 = 16;
/// Cropping counts in pixels of the chroma planes (4:2:0, progressive; §7.4.2.1.1).
const CROP_UNIT: u32 = 2;

/// Profiles whose SPS tells chroma format, bit depth and scaling (§7.3.2.1.1).
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// The parameter sets of a stream, by id.
#[derive(Debug, Default)]
pub(super) struct ParameterSets {
    sps: BTreeMap<u8, Sps>,
    pps: BTreeMap<u8, Pps>,
}

#[derive(Debug)]
struct Sps {
    nal: Vec<u8>,
    format: VideoFormat,
}

#[derive(Debug)]
struct Pps {
    nal: Vec<u8>,
    sps: u8,
}

impl ParameterSets {
    /// Keeps an SPS in the place of an earlier one with its id, which is returned with what it
    /// tells of the pictures.
    pub(super) fn keep_sps(&mut self, nal: &[u8]) -> Result<(u8, VideoFormat), BitstreamError> {
        let bad = |fault| BitstreamError::BadParameterSet { set: "SPS", fault };
        if nal.len() > MAX_PARAMETER_SET_BYTES {
            return Err(bad("it is too large"));
        }
        let (id, format) = parse_sps(nal)?.ok_or(bad("it is cut short"))?;
        self.sps.insert(
            id,
            Sps {
                nal: nal.to_vec(),
                format,
            },
        );
        Ok((id, format))
    }

    /// Keeps a PPS in the place of an earlier one with its id, which is returned.
    pub(super) fn keep_pps(&mut self, nal: &[u8]) -> Result<u8, BitstreamError> {
        let bad = |fault| BitstreamError::BadParameterSet { set: "PPS", fault };
        if nal.len() > MAX_PARAMETER_SET_BYTES {
            return Err(bad("it is too large"));
        }
        let mut bits = BitReader::new(&nal[1..]);
        let (Some(id), Some(sps)) = (bits.unsigned(), bits.unsigned()) else {
            return Err(bad("it is cut short"));
        };
        if id > MAX_PPS_ID || sps > MAX_SPS_ID {
            return Err(bad("its id is out of range"));
        }
        let (id, sps) = (id as u8, sps as u8);
        self.pps.insert(
            id,
            Pps {
                nal: nal.to_vec(),
                sps,
            },
        );
        Ok(id)
    }

    /// The id and the format of the SPS that a slice of PPS `pps` uses, once both are there.
    pub(super) fn active(&self, pps: u8) -> Option<(u8, VideoFormat)> {
        let id = self.pps.get(&pps)?.sps;
        Some((id, self.sps.get(&id)?.format))
    }

    /// The SPS `id`.
    pub(super) fn sps(&self, id: u8) -> Option<&[u8]> {
        self.sps.get(&id).map(|sps| sps.nal.as_slice())
    }

    /// The PPSs that use the SPS `sps`, with their ids: later pictures may use any of them.
    pub(super) fn pps_of(&self, sps: u8) -> impl Iterator<Item = (u8, &[u8])> {
        self.pps
            .iter()
            .filter(move |(_, pps)| pps.sps == sps)
            .map(|(&id, pps)| (id, pps.nal.as_slice()))
    }

    pub(super) fn bytes(&self) -> usize {
        let sps: usize = self.sps.values().map(|sps| sps.nal.len()).sum();
        let pps: usize = self.pps.values().map(|pps| pps.nal.len()).sum();
        sps + pps
    }
}

/// Reads an SPS (§7.3.2.1.1) up to its cropping; `None` where it ends before. What follows (VUI)
/// describes the display, and promises about B-frames that the slices show anyway.
fn parse_sps(nal: &[u8]) -> Result<Option<(u8, VideoFormat)>, BitstreamError> {
    let bits = &mut BitReader::new(&nal[1..]);
    let bad = |fault| Err(BitstreamError::BadParameterSet { set: "SPS", fault });
    let (Some(profile_level_id), Some(id)) = (bits.bits(24), bits.unsigned()) else {
        return Ok(None);
    };
    if id > MAX_SPS_ID {
        return bad("its id is out of range");
    }
    if HIGH_PROFILES.contains(&(profile_level_id >> 16)) {
        let Some(sampling) = read_sampling(bits) else {
            return Ok(None);
        };
        check_sampling(sampling)?;
        if skip_scaling_lists(bits).is_none() {
            return Ok(None);
        }
    }
    let Some(geometry) = skip_picture_order(bits).and_then(|()| Geometry::read(bits)) else {
        return Ok(None);
    };
    if !geometry.progressive {
        return Err(BitstreamError::Interlaced);
    }
    let Some((width, height)) = geometry.size() else {
        return bad("its picture size is impossible");
    };
    let profile_level_id = Some(profile_level_id);
    let format = VideoFormat {
        codec: Codec::H264,
        width,
        height,
        profile_level_id,
    };
    Ok(Some((id as u8, format)))
}

/// chroma_format_idc and the bit depths of luma and chroma.
fn read_sampling(bits: &mut BitReader<'_>) -> Option<(u32, u32, u32)> {
    let chroma_format = bits.unsigned()?;
    if chroma_format == 3 {
        bits.flag()?; // separate_colour_plane_flag
    }
    let luma_depth = bits.unsigned()?.saturating_add(8);
    let chroma_depth = bits.unsigned()?.saturating_add(8);
    bits.flag()?; // qpprime_y_zero_transform_bypass_flag
    Some((chroma_format, luma_depth, chroma_depth))
}

fn check_sampling(sampling: (u32, u32, u32)) -> Result<(), BitstreamError> {
    let (chroma_format, luma_depth, chroma_depth) = sampling;
    let chroma = match chroma_format {
        0 => "4:0:0",
        1 if (luma_depth, chroma_depth) == (8, 8) => return Ok(()),
        1 => "4:2:0",
        2 => "4:2:2",
        3 => "4:4:4",
        _ => {
            let fault = "its chroma format is out of range";
            return Err(BitstreamError::BadParameterSet { set: "SPS", fault });
        }
    };
    Err(BitstreamError::Sampling {
        chroma,
        bits: luma_depth.max(chroma_depth),
    })
}

/// Scaling matrices of a 4:2:0 stream (§7.3.2.1.1.1).
fn skip_scaling_lists(bits: &mut BitReader<'_>) -> Option<()> {
    const LISTS_4X4: usize = 6;
    const LISTS: usize = 8;
    if !bits.flag()? {
        return Some(());
    }
    for list in 0..LISTS {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8_i64, 8_i64);
        for _ in 0..if list < LISTS_4X4 { 16 } else { 64 } {
            if next != 0 {
                next = (last + i64::from(bits.signed()?)).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

/// From log2_max_frame_num_minus4 to gaps_in_frame_num_value_allowed_flag.
fn skip_picture_order(bits: &mut BitReader<'_>) -> Option<()> {
    const MAX_CYCLE: u32 = 255;
    bits.unsigned()?; // log2_max_frame_num_minus4
    match bits.unsigned()? {
        0 => {
            bits.unsigned()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.flag()?; // delta_pic_order_always_zero_flag
            bits.signed()?; // offset_for_non_ref_pic
            bits.signed()?; // offset_for_top_to_bottom_field
            for _ in 0..bits.unsigned().filter(|&cycle| cycle <= MAX_CYCLE)? {
                bits.signed()?; // offset_for_ref_frame
            }
        }
        _ => {}
    }
    bits.unsigned()?; // max_num_ref_frames
    bits.flag()?; // gaps_in_frame_num_value_allowed_flag
    Some(())
}

/// The part of an SPS that gives the picture its size.
struct Geometry {
    width_in_macroblocks: u32,
    height_in_macroblocks: u32,
    progressive: bool,
    /// Left, right, top, bottom, in units of [`CROP_UNIT`].
    crop: [u32; 4],
}

impl Geometry {
    fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        let width_in_macroblocks = bits.unsigned()?.saturating_add(1);
        let height_in_macroblocks = bits.unsigned()?.saturating_add(1);
        let progressive = bits.flag()?;
        if !progressive {
            bits.flag()?; // mb_adaptive_frame_field_flag
        }
        bits.flag()?; // direct_8x8_inference_flag
        let mut crop = [0; 4];
        if bits.flag()? {
            for side in &mut crop {
                *side = bits.unsigned()?;
            }
        }
        Some(Self {
            width_in_macroblocks,
            height_in_macroblocks,
            progressive,
            crop,
        })
    }

    /// Visible width and height in pixels.
    fn size(&self) -> Option<(u16, u16)> {
        let [left, right, top, bottom] = self.crop;
        let visible = |macroblocks: u32, before: u32, after: u32| {
            let cropped = before.checked_add(after)?.checked_mul(CROP_UNIT)?;
            let pixels = macroblocks.checked_mul(MACROBLOCK)?.checked_sub(cropped)?;
            u16::try_from(pixels).ok().filter(|&pixels| pixels > 0)
        };
        Some((
            visible(self.width_in_macroblocks, left, right)?,
            visible(self.height_in_macroblocks, top, bottom)?,
        ))
    }
}
