//! From bytes to access units: push parsers for live bodies, a reader for single access units.
//!
//! The parsers take any split of the bytes, copy each byte once (into its access unit), and hold
//! at most one picture, page or packet. A picture that is complete leaves at once where its
//! container gives its length; Annex B does not, see [`Ingest::silence_deadline`].

mod annexb;
mod bits;
mod error;
mod ivf;
mod ogg;
mod opus;
mod parameter_sets;
mod picture;
mod reader;
mod sniff;
mod vp8;

#[cfg(test)]
mod tests;

use std::time::Instant;

pub use error::BitstreamError;
pub use reader::AccessUnitReader;

use crate::{AccessUnit, Codec};

/// Largest access unit in bytes. A 4K keyframe at high quality takes 1–2 MiB.
pub const MAX_ACCESS_UNIT_BYTES: usize = 4 << 20;

/// Bytes within which an Annex B stream must show its first start code. A stream that is joined in
/// the middle shows one with its next picture; what shows none is something else.
pub const START_CODE_SEARCH_BYTES: usize = 64 << 10;

/// What a live body carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// H.264 behind start codes (ISO/IEC 14496-10 annex B).
    AnnexB,
    /// VP8 in IVF.
    Ivf,
    /// Opus in Ogg (RFC 3533, RFC 7845). A page leaves when it is complete, so a live encoder
    /// should make short ones (ffmpeg: `-page_duration 20000`, it makes one a second by default).
    Ogg,
}

/// What the video is like, as far as its headers have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoFormat {
    /// What it is coded in.
    pub codec: Codec,
    /// Visible width in pixels.
    pub width: u16,
    /// Visible height in pixels.
    pub height: u16,
    /// H.264: profile, constraint flags and level as in SDP (RFC 6184 §8.1), e.g. `0x42e01f`.
    pub profile_level_id: Option<u32>,
}

/// The parser of one live body.
///
/// An error ends the body: what was complete before it is in `out`, and nothing more is to be
/// pushed.
#[derive(Debug)]
pub struct Ingest(Parser);

#[derive(Debug)]
enum Parser {
    AnnexB(Box<annexb::AnnexB>),
    Ivf(ivf::Ivf),
    Ogg(ogg::Ogg),
}

impl Ingest {
    /// A parser at the beginning of a body.
    pub fn new(container: Container) -> Self {
        Self(match container {
            Container::AnnexB => Parser::AnnexB(Box::new(annexb::AnnexB::new())),
            Container::Ivf => Parser::Ivf(ivf::Ivf::new()),
            Container::Ogg => Parser::Ogg(ogg::Ogg::new()),
        })
    }

    /// Takes the next bytes of the body, which arrived at `now`, and appends the access units that
    /// they complete to `out`. Any split of the bytes gives the same access units.
    ///
    /// H.264: keyframes are IDR pictures alone, a recovery point is none. What no decoder could
    /// decode, because its SPS and PPS have not come yet, is left out.
    pub fn push(
        &mut self,
        now: Instant,
        bytes: &[u8],
        out: &mut Vec<AccessUnit>,
    ) -> Result<(), BitstreamError> {
        match &mut self.0 {
            Parser::AnnexB(annexb) => annexb.push(now, bytes, out),
            Parser::Ivf(ivf) => ivf.push(bytes, out),
            Parser::Ogg(ogg) => ogg.push(bytes, out),
        }
    }

    /// Annex B only: when the picture held back is taken as complete although no further byte came.
    ///
    /// Only the next picture's first byte tells that a picture has ended. An encoder writes a
    /// picture at once, so 5 ms of silence tell it earlier by most of a frame's duration.
    pub fn silence_deadline(&self) -> Option<Instant> {
        match &self.0 {
            Parser::AnnexB(annexb) => annexb.silence_deadline(),
            Parser::Ivf(_) | Parser::Ogg(_) => None,
        }
    }

    /// Ends the picture held back, once [`silence_deadline`](Self::silence_deadline) has passed;
    /// before it this does nothing. Only for a body that is being read: one that back-pressure
    /// holds up is not silent.
    pub fn silence(
        &mut self,
        now: Instant,
        out: &mut Vec<AccessUnit>,
    ) -> Result<(), BitstreamError> {
        match &mut self.0 {
            Parser::AnnexB(annexb) => annexb.silence(now, out),
            Parser::Ivf(_) | Parser::Ogg(_) => Ok(()),
        }
    }

    /// The body ended: appends the last picture of an Annex B stream. A frame, page or packet that
    /// is cut short by the end is left out; a body that ended within its header is an error.
    pub fn finish(&mut self, out: &mut Vec<AccessUnit>) -> Result<(), BitstreamError> {
        match &mut self.0 {
            Parser::AnnexB(annexb) => annexb.finish(out),
            Parser::Ivf(ivf) => ivf.finish(),
            Parser::Ogg(ogg) => ogg.finish(),
        }
    }

    /// Bytes held: the picture, page or packet in work, and parameter sets.
    pub fn buffered(&self) -> usize {
        match &self.0 {
            Parser::AnnexB(annexb) => annexb.buffered(),
            Parser::Ivf(ivf) => ivf.buffered(),
            Parser::Ogg(ogg) => ogg.buffered(),
        }
    }

    /// Pictures of which silence was taken for the end too early, so that their rest was dropped.
    /// With each the stream is given twice the time, up to 320 ms. A decoder is out of step until
    /// the next keyframe: ask for one.
    pub fn cut_pictures(&self) -> u64 {
        match &self.0 {
            Parser::AnnexB(annexb) => annexb.cut_pictures(),
            Parser::Ivf(_) | Parser::Ogg(_) => 0,
        }
    }

    /// What the video is like, from the last SPS or VP8 keyframe. `None` before it, and for Ogg.
    pub fn video_format(&self) -> Option<VideoFormat> {
        match &self.0 {
            Parser::AnnexB(annexb) => annexb.video_format(),
            Parser::Ivf(ivf) => ivf.video_format(),
            Parser::Ogg(_) => None,
        }
    }
}

/// Moves bytes from the front of `bytes` into `buffer` until it holds `want`. Whether it does.
fn fill(buffer: &mut Vec<u8>, want: usize, bytes: &mut &[u8]) -> bool {
    let take = want.saturating_sub(buffer.len()).min(bytes.len());
    let (head, rest) = bytes.split_at(take);
    buffer.extend_from_slice(head);
    *bytes = rest;
    buffer.len() >= want
}
