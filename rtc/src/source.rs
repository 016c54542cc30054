//! A device's media: packetised once, kept since the last keyframe, counted.

use std::time::{Duration, Instant};

use crate::egress::HISTORY_FRAMES;
use crate::packetise::{MAX_PAYLOAD_BYTES, Packet, Packetiser};
use crate::stats::Rate;
use crate::timeline::Timeline;
use crate::track::{Frame, Track, TrackLimits};
use crate::viewer::Viewer;
use crate::{AccessUnit, AudioStats, Codec, PlaneLimits, SourceStats, VideoStats};

/// Audio kept for viewers that lag: 2 s at 128 kbit/s. Nobody replays audio.
const AUDIO_LOG: TrackLimits = TrackLimits {
    gop_bytes: 16 << 10,
    gop_age: Duration::from_secs(1),
};
/// A keyframe that was asked for and did not come within this time is not coming: the publisher (a
/// file, say) cannot make any.
const KEYFRAME_GRACE: Duration = Duration::from_millis(300);
/// Largest group of pictures that is sent again to a viewer who lost its picture: 2 s at 4 Mbit/s.
/// More would fill the very link that has just lost packets.
const RESTART_BYTES: usize = 1 << 20;
/// Shortest time between two restarts of one viewer from the cached pictures: what a browser needs
/// to decode them, and to stop asking.
pub(crate) const RESTART_INTERVAL: Duration = Duration::from_secs(2);

/// The media of one device and the viewers who are being sent it.
pub(crate) struct Source {
    pub(crate) video: Track,
    pub(crate) audio: Track,
    /// Connected sessions, densely; a session knows its place here.
    pub(crate) viewers: Vec<Viewer>,
    /// Sessions, connected or not.
    pub(crate) sessions: usize,
    /// Queued in the plane for fan-out.
    pub(crate) dirty: bool,
    /// Where the sweep over the viewers is, and how many of them it has not reached.
    pub(crate) hand: usize,
    pub(crate) unswept: usize,
    video_input: VideoInput,
    audio_input: AudioInput,
    live: bool,
    keyframe_asked: Option<Instant>,
    /// When the request was made that no keyframe has answered.
    keyframe_unanswered: Option<Instant>,
    packets: Vec<Packet>,
}

struct VideoInput {
    timeline: Timeline,
    h264: Packetiser,
    vp8: Packetiser,
    codec: Option<Codec>,
    /// Pictures are worth nothing until a keyframe.
    waits: bool,
    size: Option<(u16, u16)>,
    profile_level_id: Option<u32>,
    rate: Rate,
    frames: u64,
    keyframes: u64,
    dropped: u64,
}

struct AudioInput {
    timeline: Timeline,
    opus: Packetiser,
    codec: Option<Codec>,
    rate: Rate,
    frames: u64,
}

impl Source {
    pub(crate) fn new() -> Self {
        Self {
            video: Track::new(),
            audio: Track::new(),
            viewers: Vec::new(),
            sessions: 0,
            dirty: false,
            hand: 0,
            unswept: 0,
            video_input: VideoInput {
                timeline: Timeline::new(Codec::H264.clock_rate()),
                h264: Packetiser::new(Codec::H264),
                vp8: Packetiser::new(Codec::Vp8),
                codec: None,
                waits: true,
                size: None,
                profile_level_id: None,
                rate: Rate::default(),
                frames: 0,
                keyframes: 0,
                dropped: 0,
            },
            audio_input: AudioInput {
                timeline: Timeline::new(Codec::Opus.clock_rate()),
                opus: Packetiser::new(Codec::Opus),
                codec: None,
                rate: Rate::default(),
                frames: 0,
            },
            live: false,
            keyframe_asked: None,
            keyframe_unanswered: None,
            packets: Vec::new(),
        }
    }

    /// Takes an access unit in. True when there is something to fan out.
    pub(crate) fn write(
        &mut self,
        now: Instant,
        capture: Instant,
        au: &AccessUnit,
        limits: &PlaneLimits,
    ) -> bool {
        self.live = true;
        // A sender report says what RTP time it is *now*, which a picture from the future breaks.
        let capture = capture.min(now);
        if au.codec.is_video() {
            self.write_video(now, capture, au, limits)
        } else {
            self.write_audio(now, capture, au)
        }
    }

    fn write_video(
        &mut self,
        now: Instant,
        capture: Instant,
        au: &AccessUnit,
        limits: &PlaneLimits,
    ) -> bool {
        let input = &mut self.video_input;
        if input.codec.is_some_and(|codec| codec != au.codec) {
            input.waits = true;
        }
        input.codec = Some(au.codec);
        input.rate.add(now, au.data.len());
        if input.waits && !au.keyframe {
            input.dropped += 1;
            return false;
        }
        let packetiser = if au.codec == Codec::Vp8 {
            &mut input.vp8
        } else {
            &mut input.h264
        };
        self.packets.clear();
        packetiser.packetise(au, &mut self.packets);
        if !sendable(&self.packets) {
            input.dropped += 1;
            return false;
        }
        if au.keyframe {
            input.waits = false;
            input.keyframes += 1;
            input.size = au.size.or(input.size);
            input.profile_level_id = profile_level_id(au);
            self.keyframe_unanswered = None;
        }
        input.frames += 1;
        let rtp = input.timeline.ticks(now, capture);
        let frame = Frame {
            codec: au.codec,
            keyframe: au.keyframe,
            rtp,
            capture,
        };
        let bounds = TrackLimits {
            gop_bytes: limits.gop_bytes,
            gop_age: limits.gop_age,
        };
        self.video.push(now, frame, &mut self.packets, bounds);
        true
    }

    fn write_audio(&mut self, now: Instant, capture: Instant, au: &AccessUnit) -> bool {
        let input = &mut self.audio_input;
        input.codec = Some(au.codec);
        input.rate.add(now, au.data.len());
        self.packets.clear();
        input.opus.packetise(au, &mut self.packets);
        if !sendable(&self.packets) {
            return false;
        }
        input.frames += 1;
        let rtp = input.timeline.ticks(now, capture);
        let frame = Frame {
            codec: au.codec,
            keyframe: true,
            rtp,
            capture,
        };
        self.audio.push(now, frame, &mut self.packets, AUDIO_LOG);
        true
    }

    /// Nobody sends any more. Viewers stay; who sends next begins with a keyframe.
    pub(crate) fn publisher_gone(&mut self) {
        self.live = false;
        self.video.forget_gop();
        self.video_input.waits = true;
        self.video_input.rate = Rate::default();
        self.audio_input.rate = Rate::default();
        self.keyframe_asked = None;
        self.keyframe_unanswered = None;
    }

    /// Somebody needs a keyframe. True when the publisher should be asked now.
    pub(crate) fn want_keyframe(&mut self, now: Instant, interval: Duration) -> bool {
        if !self.live
            || self
                .keyframe_asked
                .is_some_and(|asked| now < asked + interval)
        {
            return false;
        }
        self.keyframe_asked = Some(now);
        self.keyframe_unanswered.get_or_insert(now);
        true
    }

    /// A picture was written, and still somebody cannot start: viewers, or the track itself.
    pub(crate) fn starves(&self) -> bool {
        let viewer_waits = || self.viewers.iter().any(|viewer| viewer.video.waits());
        self.video_input.codec.is_some()
            && (self.video_input.waits || (self.video.gop().is_none() && viewer_waits()))
    }

    /// A viewer that lost its picture recovers fastest from the cached pictures: the publisher did
    /// not answer, and they are few.
    pub(crate) fn can_restart(&self, now: Instant) -> bool {
        let unanswered = self
            .keyframe_unanswered
            .is_some_and(|at| now >= at + KEYFRAME_GRACE);
        unanswered
            && self
                .video
                .gop()
                .is_some_and(|gop| gop.bytes <= RESTART_BYTES)
    }

    /// What an offer should say of H.264, where it is known (see [`profile_level_id`]).
    pub(crate) fn profile_level_id(&self) -> Option<u32> {
        self.video_input.profile_level_id
    }

    /// What the source sends, or sent last.
    pub(crate) fn codecs(&self) -> impl Iterator<Item = Codec> {
        self.video_input
            .codec
            .into_iter()
            .chain(self.audio_input.codec)
    }

    /// Drops packets that nobody will ask for, or ask for again.
    pub(crate) fn trim(&mut self) {
        let history = if self.viewers.is_empty() {
            0
        } else {
            HISTORY_FRAMES
        };
        let recent = self.video.recent(history);
        if self.video.first() < recent && self.video.trimmable() {
            let needed = self
                .viewers
                .iter()
                .map(|v| v.video.needs(&self.video))
                .min();
            self.video.trim(recent.min(needed.unwrap_or(u64::MAX)));
        }
        if self.audio.trimmable() {
            let needed = self
                .viewers
                .iter()
                .map(|v| v.audio.needs(&self.audio))
                .min();
            self.audio.trim(needed.unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn stats(&self) -> SourceStats {
        let (video, audio) = (&self.video_input, &self.audio_input);
        SourceStats {
            live: self.live,
            video: video.codec.map(|codec| VideoStats {
                codec,
                size: video.size,
                profile_level_id: video.profile_level_id,
                fps: video.rate.per_second,
                bitrate_bps: video.rate.bits_per_second,
                frames: video.frames,
                keyframes: video.keyframes,
                dropped: video.dropped,
                gop_bytes: self.video.gop().map_or(0, |gop| gop.bytes),
            }),
            audio: audio.codec.map(|codec| AudioStats {
                codec,
                fps: audio.rate.per_second,
                bitrate_bps: audio.rate.bits_per_second,
                frames: audio.frames,
            }),
            sessions: self.sessions,
            viewers: self.viewers.len(),
        }
    }
}

/// str0m panics on payloads near its 2,000-byte buffer; more than the packetisers' bound can only
/// come from an audio packet that is itself larger.
fn sendable(packets: &[Packet]) -> bool {
    !packets.is_empty() && packets.iter().all(|p| p.payload.len() <= MAX_PAYLOAD_BYTES)
}

/// `profile_idc`, constraint flags and `level_idc` of the first SPS of a keyframe
/// (ISO/IEC 14496-10 §7.3.2.1.1), as RFC 6184 §8.1 writes them.
fn profile_level_id(au: &AccessUnit) -> Option<u32> {
    const NAL_SPS: u8 = 7;
    if au.codec != Codec::H264 {
        return None;
    }
    memchr::memmem::find_iter(&au.data, &[0, 0, 1]).find_map(|start| {
        let nal = au.data.get(start + 3..start + 7)?;
        (nal[0] & 0x1f == NAL_SPS)
            .then(|| u32::from(nal[1]) << 16 | u32::from(nal[2]) << 8 | u32::from(nal[3]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    fn picture(codec: Codec, keyframe: bool, data: Vec<u8>) -> AccessUnit {
        AccessUnit {
            codec,
            keyframe,
            data,
            pts: None,
            duration: None,
            size: None,
        }
    }

    fn h264(keyframe: bool) -> AccessUnit {
        let sps = [0, 0, 0, 1, 0x67, 0x64, 0x00, 0x28, 0xac];
        let slice = [0, 0, 0, 1, 0x65, 1, 2, 3];
        let data = if keyframe {
            [sps.as_slice(), &slice].concat()
        } else {
            slice.to_vec()
        };
        picture(Codec::H264, keyframe, data)
    }

    #[test]
    fn nothing_goes_out_before_a_keyframe_and_none_after_the_publisher_went() {
        let (now, limits) = (start(), PlaneLimits::default());
        let mut source = Source::new();
        assert!(!source.write(now, now, &h264(false), &limits));
        assert!(source.starves());
        assert!(source.write(now, now, &h264(true), &limits));
        assert!(source.write(now, now, &h264(false), &limits));
        assert!(!source.starves());
        source.publisher_gone();
        assert!(!source.write(now, now, &h264(false), &limits));
        assert!(source.write(now, now, &h264(true), &limits));
        assert!(!source.write(now, now, &picture(Codec::Vp8, false, vec![1; 10]), &limits));
        let video = source.stats().video.unwrap();
        assert_eq!((video.frames, video.keyframes, video.dropped), (3, 2, 3));
    }

    #[test]
    fn the_level_comes_from_the_sps() {
        let (now, limits) = (start(), PlaneLimits::default());
        let mut source = Source::new();
        source.write(now, now, &h264(true), &limits);
        assert_eq!(source.profile_level_id(), Some(0x64_0028));
    }

    #[test]
    fn keyframe_requests_are_merged() {
        let (now, interval) = (start(), Duration::from_millis(500));
        let mut source = Source::new();
        assert!(!source.want_keyframe(now, interval), "nobody could answer");
        source.write(now, now, &h264(true), &PlaneLimits::default());
        let asked: Vec<u64> = (0..120)
            .map(|i| i * 10)
            .filter(|ms| source.want_keyframe(now + Duration::from_millis(*ms), interval))
            .collect();
        assert_eq!(asked, [0, 500, 1_000]);
    }

    #[test]
    fn an_audio_packet_that_no_datagram_holds_is_dropped() {
        let now = start();
        let mut source = Source::new();
        let huge = picture(Codec::Opus, true, vec![0; 2_500]);
        assert!(!source.write(now, now, &huge, &PlaneLimits::default()));
    }
}
