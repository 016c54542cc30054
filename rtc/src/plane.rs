//! The media plane of one shard: its sources, its sessions, and the tables between them.

mod ingress;

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use str0m::Candidate;

use crate::credentials::Random;
use crate::demux::Demux;
use crate::fanout::Paced;
use crate::keys::Arena;
use crate::sdp;
use crate::session::{Birth, Panicked, Session};
use crate::source::Source;
use crate::{
    AccessUnit, CloseReason, Codec, Event, Identity, MediaSocket, Outbox, PlaneConfig,
    PlaneCounters, PlaneError, PlaneLimits, SessionError, SessionKey, SessionState, SourceKey,
    SourceStats,
};

/// Sockets of a plane: what a [`SocketIndex`](crate::SocketIndex) counts.
pub(crate) const MAX_SOCKETS: usize = u8::MAX as usize;

/// The sessions and sources of one shard.
///
/// Every call leaves what follows from it in the [`Outbox`]. After a call nothing is left half
/// done: events of a call describe a state that the plane is already in.
pub struct Plane {
    pub(crate) sessions: Arena<SessionKey, Box<Session>>,
    pub(crate) sources: Arena<SourceKey, Source>,
    pub(crate) demux: Demux,
    pub(crate) limits: PlaneLimits,
    pub(crate) counters: PlaneCounters,
    pub(crate) random: Random,
    /// When the plane was made.
    pub(crate) epoch: Instant,
    /// An instant, and the time of day that it was.
    clock: (Instant, SystemTime),
    identity: Identity,
    sockets: Rc<[MediaSocket]>,
    candidates: Vec<Candidate>,
    /// Sources with viewers to sweep, in the order of their turns.
    pub(crate) dirty: VecDeque<SourceKey>,
    /// Viewers with more to send, and when. In order: the distance is always the same.
    pub(crate) paced: VecDeque<Paced>,
    #[cfg(feature = "fault-injection")]
    pub(crate) strikes: Strikes,
}

/// Panics on purpose that wait for a session.
#[cfg(feature = "fault-injection")]
#[derive(Debug, Default)]
pub(crate) struct Strikes {
    pub(crate) datagram: bool,
    pub(crate) timeout: bool,
}

impl Plane {
    /// An empty plane.
    ///
    /// # Errors
    /// When there is no socket, or one whose advertised address no viewer could reach.
    pub fn new(now: Instant, config: PlaneConfig) -> Result<Self, PlaneError> {
        if config.sockets.is_empty() {
            return Err(PlaneError::NoSockets);
        }
        if config.sockets.len() > MAX_SOCKETS {
            return Err(PlaneError::TooManySockets(config.sockets.len()));
        }
        let candidate = |socket: &MediaSocket| {
            let address = socket.advertised;
            Candidate::host(address, "udp").map_err(|e| PlaneError::BadAddress {
                address,
                reason: e.to_string(),
            })
        };
        let candidates = config
            .sockets
            .iter()
            .map(candidate)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            sessions: Arena::new(),
            sources: Arena::new(),
            demux: Demux::default(),
            limits: config.limits,
            counters: PlaneCounters::default(),
            random: Random::new(config.seed),
            epoch: now,
            clock: (now, SystemTime::UNIX_EPOCH),
            identity: config.identity,
            sockets: config.sockets.into(),
            candidates,
            dirty: VecDeque::new(),
            paced: VecDeque::new(),
            #[cfg(feature = "fault-injection")]
            strikes: Strikes::default(),
        })
    }

    /// Sender reports of sessions that are created from now on carry the time of day, which is `time` now.
    /// Before, they count from when the plane was made (RFC 3550 §6.4.1 allows either).
    pub fn set_time_of_day(&mut self, now: Instant, time: SystemTime) {
        self.clock = (now, time);
    }

    /// A viewer may add so many candidates to a session from now on.
    pub fn limit_candidates(&mut self, most: usize) {
        self.limits.candidates = most;
    }

    /// A source without a publisher, viewers or media.
    pub fn add_source(&mut self) -> SourceKey {
        self.sources.insert(Source::new())
    }

    /// Removes a source, whose sessions must have been closed.
    pub fn remove_source(&mut self, key: SourceKey) {
        let removed = self.sources.remove(key);
        debug_assert!(
            removed.is_none_or(|source| source.sessions == 0),
            "sessions remain"
        );
    }

    /// Takes in an access unit of a source: video or audio, by its codec.
    ///
    /// `capture` is the time of the picture on the source's timeline: its arrival, or a
    /// presentation time that the caller maps onto instants, the same way for video and audio; not
    /// later than `now`. RTP times and sender reports follow it. A jump of it, backwards or by more
    /// than 10 s, is not passed on. Video goes out from the first keyframe on.
    pub fn write(
        &mut self,
        now: Instant,
        source: SourceKey,
        capture: Instant,
        au: &AccessUnit,
        out: &mut Outbox,
    ) {
        let Some(held) = self.sources.get_mut(source) else {
            return;
        };
        if held.write(now, capture, au, &self.limits) {
            self.mark_dirty(source);
        }
        if au.codec.is_video() && self.sources.get(source).is_some_and(Source::starves) {
            self.want_keyframe(now, source, out);
        }
    }

    /// The publisher went. The viewers stay; whoever publishes next begins with a keyframe, and
    /// their picture goes on with it.
    pub fn publisher_gone(&mut self, source: SourceKey) {
        if let Some(source) = self.sources.get_mut(source) {
            source.publisher_gone();
        }
    }

    /// Sessions that are open.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// What is known of a source.
    pub fn source_stats(&self, key: SourceKey) -> Option<SourceStats> {
        Some(self.sources.get(key)?.stats())
    }

    /// Opens a session for a viewer of `source`. Returns the offer's SDP.
    ///
    /// # Errors
    /// [`UnknownSource`](SessionError::UnknownSource), [`Internal`](SessionError::Internal).
    pub fn create_session(
        &mut self,
        now: Instant,
        source: SourceKey,
        out: &mut Outbox,
    ) -> Result<(SessionKey, String), SessionError> {
        let level = self
            .sources
            .get(source)
            .ok_or(SessionError::UnknownSource)?;
        let formats = sdp::offered_formats(level.profile_level_id());
        let birth = Birth {
            key: self.sessions.next_key(),
            source,
            identity: &self.identity,
            sockets: self.sockets.clone(),
            candidates: &self.candidates,
            credentials: fresh_credentials(&mut self.random, &self.demux),
            clock: self.clock,
            formats,
        };
        let Ok(mut session) = Session::new(now, birth) else {
            self.counters.panics += 1;
            return Err(SessionError::Internal);
        };
        let offer = session
            .negotiation
            .open_sdp()
            .unwrap_or_default()
            .to_owned();
        if session.advance(now, out).is_err() {
            self.counters.panics += 1;
            return Err(SessionError::Internal);
        }
        self.demux.map_ufrags(&session);
        let key = self.sessions.insert(session);
        if let Some(source) = self.sources.get_mut(source) {
            source.sessions += 1;
        }
        self.counters.sessions_created += 1;
        self.settle(now, key, out);
        Ok((key, offer))
    }

    /// Takes the answer to the session's open offer. Candidates past the session's share are refused,
    /// not the answer: an ICE-lite agent needs none of them.
    ///
    /// # Errors
    /// [`BadSdp`](SessionError::BadSdp) leaves the offer open;
    /// [`NoOpenOffer`](SessionError::NoOpenOffer) when it was answered.
    pub fn accept_answer(
        &mut self,
        now: Instant,
        key: SessionKey,
        sdp: &str,
        out: &mut Outbox,
    ) -> Result<(), SessionError> {
        let session = self
            .sessions
            .get_mut(key)
            .ok_or(SessionError::UnknownSession)?;
        let before: Vec<String> = session.negotiation.ufrags().map(str::to_owned).collect();
        let result = session.accept_answer(now, sdp, self.limits.candidates, out);
        for ufrag in &before {
            self.demux.unmap_ufrag(ufrag, session);
        }
        if let Ok(refused) = &result {
            self.counters.candidates_refused += *refused as u64;
            self.renegotiate(now, key, out);
        }
        self.settle(now, key, out);
        result.map(|_| ())
    }

    /// Takes a trickled candidate (RFC 8838), before the answer too.
    ///
    /// The empty end-of-candidates, mDNS names and TCP candidates are taken and ignored. So, after
    /// it was counted, is every other one: an ICE-lite agent learns the viewer's addresses from its
    /// checks.
    ///
    /// # Errors
    /// [`TooManyCandidates`](SessionError::TooManyCandidates),
    /// [`BadCandidate`](SessionError::BadCandidate). A refused candidate does not count.
    pub fn add_candidate(
        &mut self,
        now: Instant,
        key: SessionKey,
        candidate: &str,
    ) -> Result<(), SessionError> {
        let session = self
            .sessions
            .get_mut(key)
            .ok_or(SessionError::UnknownSession)?;
        session.touch(now);
        if !sdp::is_usable_candidate(candidate)
            .map_err(|fault| SessionError::BadCandidate(sdp::brief(fault)))?
        {
            return Ok(());
        }
        let limit = self.limits.candidates;
        if session.candidates >= limit {
            self.counters.candidates_refused += 1;
            return Err(SessionError::TooManyCandidates { limit });
        }
        session.candidates += 1;
        Ok(())
    }

    /// A fresh offer, which opens [`accept_answer`](Self::accept_answer) again. The ufrag changes
    /// only with `ice_restart`. Before the first answer it is the first offer again.
    ///
    /// # Errors
    /// [`UnknownSession`](SessionError::UnknownSession), [`Internal`](SessionError::Internal).
    pub fn offer(
        &mut self,
        now: Instant,
        key: SessionKey,
        ice_restart: bool,
        out: &mut Outbox,
    ) -> Result<String, SessionError> {
        let session = self
            .sessions
            .get_mut(key)
            .ok_or(SessionError::UnknownSession)?;
        let restart = ice_restart.then(|| fresh_credentials(&mut self.random, &self.demux));
        let before: Vec<String> = session.negotiation.ufrags().map(str::to_owned).collect();
        let offer = session.fresh_offer(now, restart, out);
        for ufrag in &before {
            self.demux.unmap_ufrag(ufrag, session);
        }
        self.demux.map_ufrags(session);
        self.settle(now, key, out);
        offer
    }

    /// Closes a session: the viewer is told (DTLS `close_notify`), the key is dead. No event tells
    /// of it.
    pub fn close_session(&mut self, now: Instant, key: SessionKey, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        session.close(now, out);
        session.signals.closed = None;
        self.settle(now, key, out);
        self.remove_session(key);
    }

    /// A session.
    pub fn session(&self, key: SessionKey) -> Option<&Session> {
        self.sessions.get(key).map(Box::as_ref)
    }

    /// Sends text on the session's data channel. False when it is not open, when `text` is longer
    /// than [`CONTROL_MESSAGE_BYTES`](crate::CONTROL_MESSAGE_BYTES), or when too much waits
    /// already.
    pub fn send_text(
        &mut self,
        now: Instant,
        key: SessionKey,
        text: &str,
        out: &mut Outbox,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(key) else {
            return false;
        };
        let sent = session.send_text(now, text, out);
        self.settle(now, key, out);
        sent
    }

    /// The session that a datagram is given to next panics on it.
    #[cfg(feature = "fault-injection")]
    pub fn strike_datagram(&mut self) {
        self.strikes.datagram = true;
    }

    /// No session panics.
    #[cfg(feature = "fault-injection")]
    pub fn strike_none(&mut self) {
        self.strikes = Strikes::default();
    }

    /// The session whose time comes next panics.
    #[cfg(feature = "fault-injection")]
    pub fn strike_timeout(&mut self) {
        self.strikes.timeout = true;
    }

    /// The keys of all sessions, in the order of their slots.
    pub fn session_keys(&self) -> impl Iterator<Item = SessionKey> + '_ {
        self.sessions.keys()
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The keys of all sources, in the order of their slots.
    pub fn source_keys(&self) -> impl Iterator<Item = SourceKey> + '_ {
        self.sources.keys()
    }

    /// Entries of the demultiplexing tables: addresses and ufrags. 0 without sessions.
    pub fn demux_entries(&self) -> usize {
        self.demux.len()
    }

    /// What was counted since the plane was made.
    pub fn counters(&self) -> &PlaneCounters {
        &self.counters
    }

    /// Acts on what a session's turn has found. Every turn is followed by this.
    pub(crate) fn settle(&mut self, now: Instant, key: SessionKey, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let signals = std::mem::take(&mut session.signals);
        let counters = &mut self.counters;
        counters.datagrams_sent += signals.datagrams;
        counters.bytes_sent += signals.bytes;
        counters.rtp_packets_sent += signals.rtp_packets;
        counters.rtp_packets_resent += signals.rtp_packets_resent;
        counters.refused += signals.refused;
        counters.replayed += signals.replayed;
        counters.early += signals.early;
        counters.nacks += signals.nacks;
        counters.plis += signals.keyframe_requests;
        counters.channel_messages_dropped += signals.messages_dropped;
        counters.panics += signals.panics;
        if let Some(reason) = signals.closed {
            self.closed_by_itself(key, reason, out);
            return;
        }
        if signals.connected {
            self.attach(now, key, out);
        }
        if signals.refitted {
            self.refit(key);
        }
        if signals.ice_lost {
            self.pause(key);
        }
        if signals.ice_back {
            self.resume(now, key, out);
        }
        if !signals.lost.is_empty() {
            self.ask_again(now, key, &signals.lost);
        }
        if signals.keyframe_requests > 0 {
            self.picture_lost(now, key, out);
        }
        for channel in signals.foreign_channels {
            if let Some(session) = self.sessions.get_mut(key) {
                let _: Result<(), Panicked> =
                    session.turn(now, out, |rtc| rtc.direct_api().close_data_channel(channel));
            }
        }
    }

    fn closed_by_itself(&mut self, key: SessionKey, reason: CloseReason, out: &mut Outbox) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.move_to(SessionState::Closed, out);
            out.event(Event::SessionClosed {
                session: key,
                reason,
            });
        }
        self.remove_session(key);
    }

    fn remove_session(&mut self, key: SessionKey) {
        self.detach(key);
        let Some(session) = self.sessions.remove(key) else {
            return;
        };
        self.demux.remove(&session);
        self.counters.sessions_closed += 1;
        if let Some(source) = self.sources.get_mut(session.source()) {
            source.sessions -= 1;
        }
    }

    pub(crate) fn want_keyframe(&mut self, now: Instant, key: SourceKey, out: &mut Outbox) {
        let Some(source) = self.sources.get_mut(key) else {
            return;
        };
        if source.want_keyframe(now, self.limits.keyframe_interval) {
            self.counters.keyframes_wanted += 1;
            out.event(Event::KeyframeWanted { source: key });
        }
    }

    /// Tells, once, that a session cannot be sent a codec.
    pub(crate) fn not_negotiated(&mut self, key: SessionKey, codec: Codec, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if !session.reported.contains(&codec) {
            session.reported.push(codec);
            out.event(Event::CodecNotNegotiated {
                session: key,
                codec,
            });
        }
    }
}

/// Credentials whose ufrag no session of this plane has.
fn fresh_credentials(random: &mut Random, demux: &Demux) -> str0m::IceCreds {
    loop {
        let credentials = random.credentials();
        if !demux.has_ufrag(&credentials.ufrag) {
            return credentials;
        }
    }
}
