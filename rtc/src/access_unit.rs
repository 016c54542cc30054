//! What enters a source: coded pictures and audio packets.

use std::time::Duration;

/// A codec that a device may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264 (ISO/IEC 14496-10), constrained baseline to high, without B-frames.
    H264,
    /// VP8 (RFC 6386).
    Vp8,
    /// Opus (RFC 6716), 48 kHz.
    Opus,
}

impl Codec {
    /// The name in the API: `h264`, `vp8`, `opus`.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::H264 => "h264",
            Codec::Vp8 => "vp8",
            Codec::Opus => "opus",
        }
    }

    /// RTP clock rate in Hz (RFC 6184 §8.2.1, RFC 7741 §6.1, RFC 7587 §4.1).
    pub const fn clock_rate(self) -> u32 {
        match self {
            Codec::H264 | Codec::Vp8 => 90_000,
            Codec::Opus => 48_000,
        }
    }

    /// Whether this is a video codec.
    pub const fn is_video(self) -> bool {
        !matches!(self, Codec::Opus)
    }
}

/// One coded picture, or one Opus packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessUnit {
    /// What `data` is coded in.
    pub codec: Codec,
    /// A decoder can start here. Always true for Opus.
    pub keyframe: bool,
    /// H.264: NAL units behind four-byte start codes (Annex B). VP8: the frame. Opus: the packet.
    pub data: Vec<u8>,
    /// The container's own time, from the start of its stream, where it has one (IVF, Ogg).
    pub pts: Option<Duration>,
    /// How long it plays, where that is known from its bytes (Opus: RFC 6716 §3.1).
    pub duration: Option<Duration>,
    /// Width and height in pixels, on keyframes where they can be read.
    pub size: Option<(u16, u16)>,
}
