//! Access units that come one by one, each in a message of its own.

use super::annexb::AnnexB;
use super::{BitstreamError, MAX_ACCESS_UNIT_BYTES, VideoFormat, opus, vp8};
use crate::{AccessUnit, Codec};

/// Reads the access units of one track of a device's agent.
#[derive(Debug)]
pub struct AccessUnitReader(Reader);

#[derive(Debug)]
enum Reader {
    H264(Box<AnnexB>),
    Vp8(Option<VideoFormat>),
    Opus,
}

impl AccessUnitReader {
    /// A reader of a track in `codec`.
    pub fn new(codec: Codec) -> Self {
        Self(match codec {
            Codec::H264 => Reader::H264(Box::new(AnnexB::new())),
            Codec::Vp8 => Reader::Vp8(None),
            Codec::Opus => Reader::Opus,
        })
    }

    /// Checks one whole access unit: H.264 in Annex B form with any start codes, a VP8 frame, or an
    /// Opus packet.
    ///
    /// H.264: SPS and PPS are kept and repeated in front of an IDR picture that lacks them, so an
    /// encoder may send them in a message of their own. Such a message, and a picture whose SPS
    /// and PPS have not come yet, give `None`. After an error the next access unit may be read.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<AccessUnit>, BitstreamError> {
        if bytes.len() > MAX_ACCESS_UNIT_BYTES {
            return Err(BitstreamError::PictureTooLarge);
        }
        match &mut self.0 {
            Reader::H264(annexb) => {
                let mut units = Vec::with_capacity(1);
                annexb.read_whole(bytes, &mut units)?;
                match units.len() {
                    0 | 1 => Ok(units.pop()),
                    _ => Err(BitstreamError::SeveralPictures),
                }
            }
            Reader::Vp8(format) => {
                let unit = vp8::access_unit(bytes.to_vec())?;
                *format = vp8::format(&unit).or(*format);
                Ok(Some(unit))
            }
            Reader::Opus => opus::access_unit(bytes.to_vec()).map(Some),
        }
    }

    /// What the video is like, from the last SPS or VP8 keyframe. `None` before it, and for Opus.
    pub fn video_format(&self) -> Option<VideoFormat> {
        match &self.0 {
            Reader::H264(annexb) => annexb.video_format(),
            Reader::Vp8(format) => *format,
            Reader::Opus => None,
        }
    }
}
