//! A device: who publishes to it, who speaks for it, who watches it.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtc::SourceKey;

use super::Track;
use crate::alarm::Alarm;
use crate::connection::ConnectionId;
use crate::ids::{DeviceId, SessionId};
use crate::metrics::PublisherKind;

/// A device of this shard. It exists while someone publishes or watches, and a while longer.
#[derive(Debug)]
pub struct Device {
    /// Its name.
    pub id: DeviceId,
    /// Its media.
    pub source: SourceKey,
    /// Who sends the video.
    pub video: Option<Holder>,
    /// Who sends the audio.
    pub audio: Option<Holder>,
    /// Who carries out control messages.
    pub agent: Option<ConnectionId>,
    /// Who watches.
    pub sessions: BTreeSet<SessionId>,
    /// When it became what it is: live, or not live any more.
    pub since: Instant,
    /// For the agent's time stamps.
    pub timeline: Timeline,
    /// When the next picture and the next packet of the process itself are shown.
    pub written: [Option<Instant>; 2],
    /// Control messages whose acknowledgement is awaited.
    pub controls: Controls,
    /// When it is forgotten.
    pub alarm: Alarm,
}

/// Who holds a track of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// How it publishes.
    pub kind: PublisherKind,
    /// Over which connection, where it is one.
    pub connection: Option<ConnectionId>,
    /// From where.
    pub address: Option<SocketAddr>,
    /// Since when.
    pub since: Instant,
}

impl Device {
    /// Nobody publishes or watches yet.
    pub fn new(now: Instant, id: DeviceId, source: SourceKey) -> Self {
        Self {
            id,
            source,
            video: None,
            audio: None,
            agent: None,
            sessions: BTreeSet::new(),
            since: now,
            timeline: Timeline::default(),
            written: [None; 2],
            controls: Controls::default(),
            alarm: Alarm::default(),
        }
    }

    /// Whether somebody publishes.
    pub fn is_live(&self) -> bool {
        self.video.is_some() || self.audio.is_some()
    }

    /// Whether it may be forgotten after a while.
    pub fn is_idle(&self) -> bool {
        !self.is_live() && self.agent.is_none() && self.sessions.is_empty()
    }

    /// The moment of a frame that the process itself writes now and that plays for `duration`: when
    /// the one before has played. A writer that pauses goes on from now.
    pub fn write_time(&mut self, now: Instant, track: Track, duration: Duration) -> Instant {
        let next = &mut self.written[track as usize];
        let at = next
            .filter(|&at| at <= now && now.duration_since(at) <= TIMELINE_DRIFT_MOST)
            .unwrap_or(now);
        *next = Some(at + duration);
        at
    }

    /// Who holds the track.
    pub fn holder(&self, track: Track) -> Option<Holder> {
        match track {
            Track::Video => self.video,
            Track::Audio => self.audio,
        }
    }

    /// Sets who holds the track, and since when the device is live or not.
    pub fn set_holder(&mut self, now: Instant, track: Track, holder: Option<Holder>) {
        let was_live = self.is_live();
        match track {
            Track::Video => self.video = holder,
            Track::Audio => self.audio = holder,
        }
        if was_live != self.is_live() {
            self.since = now;
        }
    }
}

/// Maps an agent's time stamps onto the shard's time, the same for both tracks, so that video and
/// audio stay together.
#[derive(Debug, Default)]
pub struct Timeline {
    origin: Option<(Instant, Duration)>,
}

/// A clock that is further away than this was set anew.
const TIMELINE_DRIFT_MOST: Duration = Duration::from_secs(2);

impl Timeline {
    /// The moment of `pts` for a picture or packet that arrived now.
    pub fn capture(&mut self, now: Instant, pts: Duration) -> Instant {
        if let Some((origin, first)) = self.origin {
            let at = match pts.checked_sub(first) {
                Some(later) => origin.checked_add(later),
                None => origin.checked_sub(first - pts),
            };
            let near =
                |at: &Instant| at.max(&now).duration_since(*at.min(&now)) <= TIMELINE_DRIFT_MOST;
            if let Some(at) = at.filter(near) {
                return at;
            }
        }
        self.origin = Some((now, pts));
        now
    }
}

/// Control messages that the agent has not acknowledged: it sees numbers of the server, so that
/// two viewers' numbers cannot be mixed up.
#[derive(Debug, Default)]
pub struct Controls {
    last: u64,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    session: SessionId,
    seq: u64,
    socket: bool,
}

/// Unacknowledged control messages of a device that are remembered; an agent that acknowledges
/// nothing makes the oldest forgotten.
const CONTROLS_WAITING: usize = 1024;

impl Controls {
    /// The agent's number for the viewer's message `seq`, which came over its socket or else its
    /// data channel.
    pub fn sent(&mut self, session: SessionId, seq: u64, socket: bool) -> u64 {
        if self.waiting.len() == CONTROLS_WAITING {
            self.waiting.pop_front();
        }
        self.last += 1;
        self.waiting.push_back(Waiting {
            number: self.last,
            session,
            seq,
            socket,
        });
        self.last
    }

    /// Who waits for the acknowledgement of `number`: session, its `seq`, and whether it came over
    /// the socket.
    pub fn acknowledged(&mut self, number: u64) -> Option<(SessionId, u64, bool)> {
        // Agents acknowledge in order: the first one is nearly always it.
        let index = self
            .waiting
            .iter()
            .position(|waiting| waiting.number == number)?;
        let waiting = self.waiting.remove(index)?;
        Some((waiting.session, waiting.seq, waiting.socket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tracks_of_an_agent_share_one_timeline() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut timeline = Timeline::default();
        assert_eq!(timeline.capture(start, ms(5_000)), start);
        // Arrived 30 ms late, but taken 20 ms after the first.
        assert_eq!(timeline.capture(start + ms(50), ms(5_020)), start + ms(20));
        // Captured before the first one that arrived.
        assert_eq!(timeline.capture(start + ms(60), ms(4_990)), start - ms(10));
        // The agent's clock was set: a new origin.
        assert_eq!(timeline.capture(start + ms(70), ms(90_000)), start + ms(70));
        assert_eq!(timeline.capture(start + ms(80), ms(90_010)), start + ms(80));
        assert_eq!(timeline.capture(start, Duration::MAX), start);
    }

    #[test]
    fn two_viewers_with_the_same_numbers_get_their_own_acknowledgements() {
        let (a, b) = (
            SessionId::from_random([1; 16]),
            SessionId::from_random([2; 16]),
        );
        let mut controls = Controls::default();
        let first = controls.sent(a, 1, true);
        let second = controls.sent(b, 1, false);
        assert_eq!(controls.acknowledged(second), Some((b, 1, false)));
        assert_eq!(controls.acknowledged(first), Some((a, 1, true)));
        assert_eq!(controls.acknowledged(first), None, "once");
    }

    #[test]
    fn an_agent_that_acknowledges_nothing_is_bounded() {
        let mut controls = Controls::default();
        let session = SessionId::from_random([1; 16]);
        let first = controls.sent(session, 0, true);
        for seq in 0..CONTROLS_WAITING as u64 {
            controls.sent(session, seq, true);
        }
        assert_eq!(controls.waiting.len(), CONTROLS_WAITING);
        assert_eq!(controls.acknowledged(first), None);
    }
}
