//! A viewer's place in its source's tracks, and the RTP numbers it is sent.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;
use std::time::{Duration, Instant};

use str0m::media::Pt;
use str0m::rtp::Ssrc;

use crate::egress::{Header, History, Index, Indices, Missing, Route, Sealer, Tally};
use crate::track::{LogPacket, Track};
use crate::{Codec, SessionKey};

/// A viewer that lies more frames than this behind the newest keyframe jumps to it: what it has not
/// got would only be late.
const SKIP_FRAMES: u64 = 8;
/// Distance of replayed pictures in RTP time. A browser plays by timestamps: those of the cached
/// pictures, unchanged, would make it show them at their old pace and stay that far behind for
/// good.
const REPLAY_STEP: Duration = Duration::from_millis(1);

/// A connected session in the dense table of its source.
pub(crate) struct Viewer {
    pub(crate) session: SessionKey,
    pub(crate) video: Lane,
    pub(crate) audio: Lane,
    /// What seals its packets; str0m does where there is none.
    pub(crate) sealer: Option<Sealer>,
    pub(crate) route: Option<Route>,
    /// It waits in the plane's pacing queue.
    pub(crate) paced: bool,
}

impl Viewer {
    /// There is a packet to send of either track.
    pub(crate) fn has_work(&self, (video, audio): (&Track, &Track)) -> bool {
        self.video.has_work(video) || self.audio.has_work(audio)
    }
}

/// A codec of a track that a viewer takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    pub(crate) codec: Codec,
    pub(crate) payload_type: Pt,
    /// Of its retransmissions (RFC 4588).
    pub(crate) resend: Option<Pt>,
}

/// A track after an answer. Without formats where it was refused.
#[derive(Debug)]
pub(crate) struct Negotiated {
    pub(crate) ssrc: Option<Ssrc>,
    /// Of the retransmissions.
    pub(crate) resend: Option<Ssrc>,
    /// Canonical name (RFC 3550 §6.5.1).
    pub(crate) name: Box<str>,
    pub(crate) formats: Vec<Format>,
    pub(crate) header: Header,
}

/// First sequence numbers and RTP time of a track for one viewer, which are random.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning {
    pub(crate) sequence: u16,
    pub(crate) resend_sequence: u16,
    pub(crate) rtp: u32,
}

/// One track as one viewer gets it. Numbers go on whatever happens to the source.
#[derive(Debug)]
pub(crate) struct Lane {
    position: Position,
    indices: Option<Indices>,
    resend_indices: Option<Indices>,
    formats: Vec<Format>,
    pub(crate) header: Header,
    clock_rate: u32,
    beginning: Beginning,
    /// The frame being sent and its ticks; the next frame has more.
    frame: Option<(u64, u64)>,
    replay: Option<Replay>,
    skipped: u64,
    unsupported: Option<Codec>,
    history: History,
    /// Asked for again, and not sent yet.
    missing: VecDeque<Missing>,
    pub(crate) tally: Tally,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Sends nothing: ICE is gone.
    Idle,
    /// Waits for pictures that a decoder can start from.
    Keyframe,
    /// The next packet to send.
    At(u64),
}

/// Squeezes the pictures before `frame` together right before it.
#[derive(Debug, Clone, Copy)]
struct Replay {
    frame: u64,
    rtp: u64,
}

/// The next packets for a viewer: of one frame, in order. All of them are to be sent, each with the
/// next index.
pub(crate) struct Outgoing<'l, 't> {
    pub(crate) packets: Iter<'t, LogPacket>,
    pub(crate) indices: &'l mut Indices,
    pub(crate) header: &'l Header,
    pub(crate) payload_type: Pt,
    pub(crate) rtp: u32,
    /// What `rtp` stands for on the source's timeline.
    pub(crate) wallclock: Instant,
}

impl Lane {
    pub(crate) fn new(
        negotiated: Negotiated,
        clock_rate: u32,
        beginning: Beginning,
        tally: Tally,
    ) -> Self {
        let mut lane = Self {
            position: Position::Idle,
            indices: None,
            resend_indices: None,
            formats: Vec::new(),
            header: negotiated.header.clone(),
            clock_rate,
            beginning,
            frame: None,
            replay: None,
            skipped: 0,
            unsupported: None,
            history: History::new(),
            missing: VecDeque::new(),
            tally,
        };
        lane.renegotiate(negotiated);
        lane
    }

    pub(crate) fn ssrc(&self) -> Option<Ssrc> {
        self.indices.as_ref().map(Indices::ssrc)
    }

    #[cfg(test)]
    pub(crate) fn indices(&mut self) -> &mut Indices {
        self.indices.as_mut().expect("a negotiated track")
    }

    /// Starts with the pictures since the last keyframe, or waits for the next one.
    pub(crate) fn join_video(&mut self) {
        self.position = Position::Keyframe;
    }

    /// Starts with what comes next.
    pub(crate) fn join_audio(&mut self, track: &Track) {
        self.position = Position::At(track.end());
    }

    /// Sends nothing until it joins again.
    pub(crate) fn pause(&mut self) {
        self.position = Position::Idle;
        self.missing.clear();
    }

    /// Another answer: other payload types, and perhaps a track that was refused before. An SSRC
    /// has its indices once and for all: they must not begin again under the same key.
    pub(crate) fn renegotiate(&mut self, negotiated: Negotiated) {
        let Beginning {
            sequence,
            resend_sequence,
            ..
        } = self.beginning;
        if self.indices.is_none() {
            self.indices = negotiated.ssrc.map(|ssrc| Indices::new(ssrc, sequence));
            self.resend_indices = negotiated
                .resend
                .map(|ssrc| Indices::new(ssrc, resend_sequence));
        }
        self.formats = negotiated.formats;
        self.header = negotiated.header;
    }

    /// The viewer asks for packets again, by their sequence numbers. True when there are some to
    /// send.
    pub(crate) fn ask_again(
        &mut self,
        now: Instant,
        sequences: &[u16],
        round_trip: Option<Duration>,
    ) -> bool {
        let Some(indices) = &self.indices else {
            return false;
        };
        for sequence in sequences {
            let asked = indices.extend(*sequence);
            let missing = asked.and_then(|index| self.history.request(now, index, round_trip));
            self.missing.extend(missing);
        }
        !self.missing.is_empty()
    }

    /// The next packet that was asked for again, with the index of its retransmission.
    pub(crate) fn next_missing(&mut self) -> Option<(Index, Missing)> {
        let missing = self.missing.pop_front()?;
        Some((self.resend_indices.as_mut()?.take(), missing))
    }

    /// Payload type of retransmissions.
    pub(crate) fn resend_type(&self, codec: Codec) -> Option<Pt> {
        self.format(codec)?.resend
    }

    fn format(&self, codec: Codec) -> Option<Format> {
        let mut formats = self.formats.iter();
        formats.find(|format| format.codec == codec).copied()
    }

    /// It waits for pictures to start from.
    pub(crate) fn waits(&self) -> bool {
        self.position == Position::Keyframe
    }

    /// The oldest position that it will still ask for.
    pub(crate) fn needs(&self, track: &Track) -> u64 {
        match self.position {
            Position::At(position) => position,
            Position::Idle | Position::Keyframe => track.end(),
        }
    }

    /// There is a packet to send.
    pub(crate) fn has_work(&self, track: &Track) -> bool {
        if !self.missing.is_empty() {
            return true;
        }
        match self.position {
            Position::Idle => false,
            Position::Keyframe => track.gop().is_some(),
            Position::At(position) => position < track.end(),
        }
    }

    /// Frames passed over since this was last asked.
    pub(crate) fn take_skipped(&mut self) -> u64 {
        let skipped = std::mem::take(&mut self.skipped);
        if skipped > 0 {
            self.tally.update(|sent| sent.skipped += skipped);
        }
        skipped
    }

    /// A codec met since this was last asked that the viewer cannot be sent.
    pub(crate) fn take_unsupported(&mut self) -> Option<Codec> {
        self.unsupported.take()
    }

    /// The next packets, at least one and at most `limit`, and steps over them.
    pub(crate) fn next<'t>(
        &mut self,
        now: Instant,
        track: &'t Track,
        limit: usize,
    ) -> Option<Outgoing<'_, 't>> {
        let (position, packets, format) = loop {
            let position = self.resolve(track)?;
            let packets = track.rest_of_frame(position, limit);
            let codec = packets.clone().next()?.codec;
            self.position = Position::At(position + packets.len() as u64);
            match self.format(codec) {
                Some(format) if self.indices.is_some() => break (position, packets, format),
                Some(_) | None => self.unsupported = Some(codec),
            }
        };
        let first = packets.clone().next()?;
        let ticks = self.ticks(first);
        let rtp = self.beginning.rtp.wrapping_add(ticks as u32);
        let wallclock = self.wallclock(first, ticks);
        let indices = self.indices.as_mut()?;
        if first.first && self.resend_indices.is_some() && format.resend.is_some() {
            self.history.begin(now, indices.next(), position, rtp);
        }
        Some(Outgoing {
            packets,
            indices,
            header: &self.header,
            payload_type: format.payload_type,
            rtp,
            wallclock,
        })
    }

    /// Where to read next: past what is gone, and past what a newer keyframe makes worthless.
    fn resolve(&mut self, track: &Track) -> Option<u64> {
        let gop = track.gop();
        match self.position {
            Position::Idle => None,
            Position::Keyframe => {
                let gop = gop?;
                self.replay = track
                    .last()
                    .filter(|last| last.frame > gop.frame)
                    .map(|last| Replay {
                        frame: last.frame,
                        rtp: last.rtp,
                    });
                Some(gop.position)
            }
            Position::At(position) if position < track.first() => {
                // The server could not keep up with this viewer: its packets are gone.
                self.skipped += 1;
                self.position = match track.get(track.first()) {
                    Some(oldest) if !oldest.codec.is_video() => Position::At(track.first()),
                    Some(_) | None => Position::Keyframe,
                };
                self.resolve(track)
            }
            Position::At(position) => {
                let packet = track.get(position)?;
                match gop {
                    Some(gop) if packet.first && gop.frame > packet.frame + SKIP_FRAMES => {
                        self.skipped += gop.frame - packet.frame;
                        self.replay = None;
                        Some(gop.position)
                    }
                    Some(_) | None => Some(position),
                }
            }
        }
    }

    /// Ticks for this viewer: the track's own, squeezed in a replay, always more than before.
    fn ticks(&mut self, packet: &LogPacket) -> u64 {
        let (frame, last) = match self.frame {
            Some((frame, ticks)) if frame == packet.frame && !packet.first => return ticks,
            Some((frame, ticks)) => (Some(frame), ticks),
            None => (None, 0),
        };
        let own = match self.replay {
            Some(replay) if packet.frame < replay.frame => {
                let step = REPLAY_STEP.as_micros() as u64 * u64::from(self.clock_rate) / 1_000_000;
                let squeezed = (replay.frame - packet.frame) * step;
                // Room below for the first pictures of a young track.
                replay
                    .rtp
                    .saturating_sub(squeezed.min(replay.rtp - packet.rtp))
            }
            Some(_) | None => {
                self.replay = None;
                packet.rtp
            }
        };
        let ticks = if frame.is_some() {
            own.max(last + 1)
        } else {
            own
        };
        self.frame = Some((packet.frame, ticks));
        ticks
    }

    /// The capture time moved by as much as the ticks were, for the sender reports' sake.
    fn wallclock(&self, packet: &LogPacket, ticks: u64) -> Instant {
        let moved = ticks.saturating_sub(packet.rtp);
        packet.capture + Duration::from_micros(moved * 1_000_000 / u64::from(self.clock_rate))
    }
}
