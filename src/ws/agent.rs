//! The state of a device agent's WebSocket.

use std::time::{Duration, Instant};

use rtc::{AccessUnitReader, Codec as Media};

use super::Codec;
use super::pulse::Pulse;
use crate::auth::Identity;
use crate::config;
use crate::ids::DeviceId;
use crate::media::Track;

/// An agent's socket.
#[derive(Debug)]
pub struct AgentSocket {
    pub(crate) codec: Codec,
    pub(crate) pulse: Pulse,
    /// What it speaks for.
    pub(crate) device: DeviceId,
    /// Unix seconds at which its token expires.
    pub(crate) expires_at: Option<u64>,
    /// Its video, once it said hello.
    pub(crate) video: Option<AccessUnitReader>,
    /// Its audio, once it said hello.
    pub(crate) audio: Option<AccessUnitReader>,
    /// By track: it was told that another publisher holds it.
    pub(crate) displaced: [bool; 2],
}

/// A binary message of an agent, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AgentMedia<'a> {
    pub(crate) track: Track,
    /// Presentation time on the agent's clock.
    pub(crate) pts: Duration,
    pub(crate) data: &'a [u8],
}

/// One byte track, eight bytes PTS.
const MEDIA_HEADER_BYTES: usize = 9;

impl AgentSocket {
    pub(crate) fn new(
        now: Instant,
        config: &config::Ws,
        device: DeviceId,
        identity: &Identity,
    ) -> Self {
        Self {
            // Pictures are larger than what viewers may send.
            codec: Codec::new(rtc::MAX_ACCESS_UNIT_BYTES + MEDIA_HEADER_BYTES),
            pulse: Pulse::new(now, config),
            device,
            expires_at: identity.expires_at,
            video: None,
            audio: None,
            displaced: [false; 2],
        }
    }

    /// The reader of a track that the agent said it sends.
    pub(crate) fn reader(&mut self, track: Track) -> Option<&mut AccessUnitReader> {
        match track {
            Track::Video => self.video.as_mut(),
            Track::Audio => self.audio.as_mut(),
        }
    }
}

impl<'a> AgentMedia<'a> {
    /// Takes a binary message apart.
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, &'static str> {
        let Some((header, data)) = message.split_first_chunk::<MEDIA_HEADER_BYTES>() else {
            return Err("a media message has a track byte, eight bytes of PTS and an access unit");
        };
        let track = match header[0] {
            0 => Track::Video,
            1 => Track::Audio,
            _ => return Err("the track byte is 0 (video) or 1 (audio)"),
        };
        let mut pts = [0; 8];
        pts.copy_from_slice(&header[1..]);
        Ok(Self {
            track,
            pts: Duration::from_micros(u64::from_be_bytes(pts)),
            data,
        })
    }
}

/// The codec that a hello names, if the track takes it.
pub(crate) fn codec_named(track: Track, name: &str) -> Option<Media> {
    match (track, name) {
        (Track::Video, "h264") => Some(Media::H264),
        (Track::Video, "vp8") => Some(Media::Vp8),
        (Track::Audio, "opus") => Some(Media::Opus),
        _ => None,
    }
}

/// What [`codec_named`] takes.
pub(crate) fn codecs_of(track: Track) -> &'static str {
    match track {
        Track::Video => "h264 or vp8",
        Track::Audio => "opus",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_message_is_taken_apart() {
        let message = [&[1][..], &20_000u64.to_be_bytes(), b"opus"].concat();
        let media = AgentMedia::parse(&message).unwrap();
        let pts = Duration::from_millis(20);
        assert_eq!(
            media,
            AgentMedia {
                track: Track::Audio,
                pts,
                data: b"opus"
            }
        );
        assert!(AgentMedia::parse(&message[..8]).is_err());
        assert!(AgentMedia::parse(&[7; 20]).is_err());
    }
}
