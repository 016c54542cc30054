//! Sessions: created, answered, kept alive, closed; and what the media plane reports of them.

use std::time::{Duration, Instant};

use rtc::{CloseReason, Codec, Event, IceState, SessionKey, SessionState};
use tracing::{debug, info};

use super::drain::SHUTTING_DOWN;
use super::passes::CLOSE_WORK;
use super::sockets::{TOKEN_EXPIRED, Via};
use super::{Shard, Timer};
use crate::alarm::{Alarm, Fired};
use crate::auth::{Identity, Role};
use crate::connection::{ConnectionId, Exchange};
use crate::error::ApiError;
use crate::ids::{DeviceId, SessionId, UserId};
use crate::metrics::{PublisherKind, SessionEnd};
use crate::totals::Total;
use crate::ws::{ServerMessage, ViewerMessage};

/// A viewer that closed its socket without a word may come back to its session for so long: a
/// phone that changed networks keeps its picture meanwhile.
const SOCKET_GRACE: Duration = Duration::from_secs(10);

/// A session of this shard.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: SessionKey,
    pub(crate) device: DeviceId,
    pub(crate) user: UserId,
    /// Which one of the shard's it is, counted from 1.
    number: u64,
    /// Whether whoever made it may control the device, over its data channel too.
    pub(crate) controls: bool,
    /// Unix seconds at which the last of the tokens expires that it was made or used with.
    expires_at: Option<u64>,
    pub(crate) created: Instant,
    /// When the viewer last did something over HTTP or its socket.
    pub(crate) touched: Instant,
    /// Its viewer has connected at some time.
    connected: bool,
    /// The viewer's WebSocket.
    pub(crate) socket: Option<ConnectionId>,
    /// It was made for a socket, and ends with the last one that it has.
    for_socket: bool,
    /// It was made for a socket, and has had none since then.
    orphaned: Option<Instant>,
    /// The device sends this, the viewer did not negotiate it, and could not be told yet.
    untold: Option<Codec>,
    pub(super) alarm: Alarm,
}

impl Shard {
    /// Creates a session of a device: its id and the offer.
    pub(crate) fn create_session(
        &mut self,
        now: Instant,
        device: &DeviceId,
        user: &UserId,
        exchange: &Exchange,
    ) -> Result<(SessionId, String), ApiError> {
        if self.draining.is_some() {
            return Err(ApiError::Draining);
        }
        let full = |what, limit: crate::limits::Cap| {
            Err(ApiError::Full {
                what,
                limit: limit.get().unwrap_or_default(),
            })
        };
        let limits = self.config.limits.clone();
        if !limits.sessions.allows(self.totals.sum(Total::Sessions) + 1) {
            return full("sessions", limits.sessions);
        }
        let entry = self.device(now, device)?;
        let source = entry.source;
        if !limits.sessions_per_device.allows(entry.sessions.len() + 1) {
            return full("sessions of this device", limits.sessions_per_device);
        }
        let created = self.plane.create_session(now, source, &mut self.rtc);
        let (shards, shard) = (self.shards, self.id);
        let id = shards.session_id_for(shard, &mut || self.random_bytes());
        let (key, offer) = match created {
            Ok(created) => created,
            Err(error) => {
                self.watch_idle(now, device);
                return Err(ApiError::from_session(error, id));
            }
        };
        self.insert_session(now, id, key, device, (user, &exchange.identity));
        let (shard, client) = (self.id.index(), exchange.client);
        info!(session = %id, %device, %user, shard, %client, "session created");
        Ok((id, offer))
    }

    fn insert_session(
        &mut self,
        now: Instant,
        id: SessionId,
        key: SessionKey,
        device: &DeviceId,
        (user, identity): (&UserId, &Identity),
    ) {
        self.last_session += 1;
        let mut session = Session {
            key,
            device: device.clone(),
            user: user.clone(),
            number: self.last_session,
            controls: identity.role >= Role::Controller,
            expires_at: identity.expires_at,
            created: now,
            touched: now,
            connected: false,
            socket: None,
            for_socket: false,
            orphaned: None,
            untold: None,
            alarm: Alarm::default(),
        };
        let media = &self.config.media;
        let silent = now + media.idle_timeout.min(media.setup_timeout);
        let end = self.moment(session.expires_at);
        if let Some(at) = session.alarm.set(end.map_or(silent, |end| end.min(silent))) {
            self.schedule(at, Timer::Session(id));
        }
        self.by_age.insert(session.number, id);
        self.watching.arrive(user);
        self.sessions.insert(id, session);
        self.by_key.insert(key, id);
        if let Some(device) = self.devices.get_mut(device) {
            device.sessions.insert(id);
        }
        self.metrics.session_created(device.as_str());
        self.totals
            .set(self.id, Total::Sessions, self.sessions.len());
    }

    /// The session, which its viewer touches now.
    pub(crate) fn touch(&mut self, now: Instant, id: SessionId) -> Result<SessionKey, ApiError> {
        let session = self
            .sessions
            .get_mut(&id)
            .ok_or_else(|| ApiError::UnknownSession { id: id.to_string() })?;
        session.touched = now;
        Ok(session.key)
    }

    /// The session goes on until this token ends, if that is later than the one that it had.
    pub(crate) fn renew(&mut self, id: SessionId, identity: &Identity) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.expires_at = session.expires_at.max(identity.expires_at);
        }
    }

    /// Takes the viewer's answer (RFC 8829 §5.10).
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        id: SessionId,
        sdp: &str,
    ) -> Result<(), ApiError> {
        let key = self.touch(now, id)?;
        self.plane
            .accept_answer(now, key, sdp, &mut self.rtc)
            .map_err(|error| ApiError::from_session(error, id))
    }

    /// Adds a trickled candidate (RFC 8838 §4.1). At most `media.candidates` per session.
    pub(crate) fn add_candidate(
        &mut self,
        now: Instant,
        id: SessionId,
        candidate: &str,
    ) -> Result<(), ApiError> {
        let key = self.touch(now, id)?;
        self.plane
            .add_candidate(now, key, candidate)
            .map_err(|error| ApiError::from_session(error, id))?;
        self.metrics.ice_candidates_added += 1;
        Ok(())
    }

    /// A fresh offer.
    pub(crate) fn offer(
        &mut self,
        now: Instant,
        id: SessionId,
        ice_restart: bool,
    ) -> Result<String, ApiError> {
        let key = self.touch(now, id)?;
        self.plane
            .offer(now, key, ice_restart, &mut self.rtc)
            .map_err(|error| ApiError::from_session(error, id))
    }

    /// Closes a session and tells its viewer: over its socket, or its data channel, and over DTLS.
    pub(crate) fn end_session(&mut self, now: Instant, id: SessionId, why: SessionEnd) -> bool {
        let Some(session) = self.sessions.get(&id) else {
            return false;
        };
        let (key, reason) = (session.key, reason(why));
        if session.socket.is_none() {
            self.tell_viewer(now, id, false, &ServerMessage::Closing { reason });
        }
        self.plane.close_session(now, key, &mut self.rtc);
        self.session_gone(now, id, why);
        true
    }

    /// Forgets a session whose media plane part is closed.
    pub(super) fn session_gone(&mut self, now: Instant, id: SessionId, why: SessionEnd) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        self.work.did(CLOSE_WORK);
        self.by_key.remove(&session.key);
        self.by_age.remove(&session.number);
        self.watching.depart(&session.user);
        if let Some(device) = self.devices.get_mut(&session.device) {
            device.sessions.remove(&id);
        }
        self.totals
            .set(self.id, Total::Sessions, self.sessions.len());
        let lived = now.saturating_duration_since(session.created);
        self.metrics
            .session_closed(session.device.as_str(), why, lived);
        let reason = reason(why);
        info!(
            session = %id, device = %session.device, user = %session.user, shard = self.id.index(),
            seconds = lived.as_secs(), reason, "session closed"
        );
        match session.socket {
            Some(socket) if why == SessionEnd::Expired => self.expire(now, socket),
            Some(socket) if why == SessionEnd::Fault => self.dismiss_failed(now, socket),
            Some(socket) => self.dismiss(now, socket, reason),
            None => {}
        }
        self.watch_idle(now, &session.device);
    }

    /// A socket, perhaps the one that it was made for, belongs to the session from now on: the one
    /// that did before.
    pub(super) fn attach_socket(
        &mut self,
        now: Instant,
        id: SessionId,
        connection: ConnectionId,
        made_for_it: bool,
    ) -> Option<ConnectionId> {
        let session = self.sessions.get_mut(&id)?;
        session.touched = now;
        session.for_socket |= made_for_it;
        session.orphaned = None;
        session.socket.replace(connection)
    }

    /// The session's socket is gone; with it, after a grace, the session that was made for it.
    pub(super) fn detach_socket(&mut self, now: Instant, id: SessionId, connection: ConnectionId) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        if session.socket != Some(connection) {
            return;
        }
        session.socket = None;
        if session.for_socket {
            session.orphaned = Some(now);
            let at = now + SOCKET_GRACE;
            // Its token may end before that.
            let sooner = session.alarm.deadline().is_none_or(|set| set > at);
            if let Some(at) = sooner.then(|| session.alarm.set(at)).flatten() {
                self.schedule(at, Timer::Session(id));
            }
        }
    }

    /// A session's alarm: it is closed when its viewer has been idle or away for too long (M7) or has not
    /// connected in time, or its token has expired.
    pub(super) fn session_time(&mut self, now: Instant, id: SessionId) {
        let idle = self.config.media.idle_timeout;
        let setup = self.config.media.setup_timeout;
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        match session.alarm.fired(now) {
            Fired::Nothing => return,
            Fired::Again(at) => return self.schedule(at, Timer::Session(id)),
            Fired::Due => {}
        }
        let end = session.expires_at.and_then(|at| self.clock.instant(at));
        if end.is_some_and(|end| now >= end) {
            self.end_session(now, id, SessionEnd::Expired);
            return;
        }
        if session
            .orphaned
            .is_some_and(|since| now >= since + SOCKET_GRACE)
        {
            self.end_session(now, id, SessionEnd::Peer);
            return;
        }
        let connect_by = (!session.connected).then(|| session.created + setup);
        if connect_by.is_some_and(|by| now >= by) {
            self.end_session(now, id, SessionEnd::Setup);
            return;
        }
        let heard = self
            .plane
            .session(session.key)
            .map(rtc::Session::last_activity);
        let active = heard.map_or(session.touched, |heard| heard.max(session.touched));
        if now >= active + idle {
            self.end_session(now, id, SessionEnd::Idle);
            return;
        }
        let mut next = active + idle;
        if let Some(since) = session.orphaned {
            next = next.min(since + SOCKET_GRACE);
        }
        for sooner in [connect_by, end].into_iter().flatten() {
            next = next.min(sooner);
        }
        if let Some(at) = session.alarm.set(next) {
            self.schedule(at, Timer::Session(id));
        }
    }

    /// Handles what the media plane reports, and arms its timers.
    pub(super) fn take_media_events(&mut self, now: Instant) {
        // Handling an event may cause more: a closed session's socket, a control message.
        loop {
            let events: Vec<Event> = self.rtc.events().collect();
            if events.is_empty() {
                break;
            }
            for event in events {
                let blame = self.blame_of(&event);
                self.guarded(now, blame, |shard| shard.media_event(now, event));
            }
        }
        let mut timers = std::mem::take(&mut self.media_timers);
        timers.extend(self.rtc.timers());
        for (key, at) in timers.drain(..) {
            self.schedule(at, Timer::Media(key));
        }
        self.media_timers = timers;
    }

    fn media_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::SessionState { session, state } => {
                if let Some(id) = self.by_key.get(&session) {
                    debug!(session = %id, state = state.name(), "session state");
                    if let Some(session) = self.sessions.get_mut(id) {
                        session.connected |= state == SessionState::Connected;
                    }
                }
            }
            Event::IceState { session, state } => {
                if let Some(id) = self.by_key.get(&session) {
                    debug!(session = %id, state = state.name(), "ICE state");
                }
            }
            Event::ChannelOpen { session } => {
                if let Some(&id) = self.by_key.get(&session) {
                    debug!(session = %id, "data channel open");
                    self.tell_codec(now, id);
                }
            }
            Event::SessionClosed { session, reason } => {
                if let Some(&id) = self.by_key.get(&session) {
                    self.session_gone(now, id, end_of(reason));
                }
            }
            Event::ChannelMessage { session, text } => {
                if let Some(&id) = self.by_key.get(&session) {
                    self.channel_message(now, id, &text);
                }
            }
            Event::KeyframeWanted { source } => {
                self.metrics.keyframe_requests += 1;
                let agent = self
                    .by_source
                    .get(&source)
                    .and_then(|id| self.devices.get(id))
                    // An agent that only controls has no encoder to ask.
                    .filter(|device| {
                        device
                            .video
                            .is_none_or(|it| it.kind == PublisherKind::Agent)
                    })
                    .and_then(|device| device.agent);
                if let Some(agent) = agent {
                    self.tell(now, agent, &ServerMessage::Keyframe);
                }
            }
            Event::CodecNotNegotiated { session, codec } => {
                if let Some(&id) = self.by_key.get(&session) {
                    let name = codec.name();
                    info!(session = %id, codec = name, "the viewer did not negotiate the codec");
                    if let Some(session) = self.sessions.get_mut(&id) {
                        session.untold = Some(codec);
                    }
                    self.tell_codec(now, id);
                }
            }
        }
    }

    /// Tells a viewer that it cannot be sent what its device sends, as soon as there is a way.
    pub(super) fn tell_codec(&mut self, now: Instant, id: SessionId) {
        let Some(codec) = self.sessions.get(&id).and_then(|session| session.untold) else {
            return;
        };
        let name = codec.name();
        let message = ServerMessage::Error {
            code: "codec_not_negotiated",
            error: format!("the device sends {name}, which this viewer did not accept").into(),
            seq: None,
        };
        if self.tell_viewer(now, id, true, &message)
            && let Some(session) = self.sessions.get_mut(&id)
        {
            session.untold = None;
        }
    }

    /// The data channel speaks the same objects as the socket.
    fn channel_message(&mut self, now: Instant, id: SessionId, text: &str) {
        let told = match self.parse_viewer(text) {
            Ok(ViewerMessage::Control(control)) => {
                let allowed = self.sessions.get(&id).is_some_and(|it| it.controls);
                self.control(now, id, control, Via::Channel { allowed })
            }
            Ok(ViewerMessage::Answer { sdp }) => self.answer(now, id, &sdp).map_err(Into::into),
            Ok(ViewerMessage::IceCandidate { candidate }) => {
                self.add_candidate(now, id, &candidate).map_err(Into::into)
            }
            Ok(ViewerMessage::Offer { ice_restart }) => match self.offer(now, id, ice_restart) {
                Ok(sdp) => {
                    let config = self.config.clone();
                    let message = ServerMessage::Offer {
                        session_id: &id.to_string(),
                        sdp: &sdp,
                        ice_servers: &config.media.ice_servers,
                    };
                    self.tell_viewer(now, id, false, &message);
                    Ok(())
                }
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            self.metrics.rejected(error.code);
            self.tell_viewer(now, id, false, &error.message());
        }
    }

    /// State of ICE, for views and metrics.
    pub(crate) fn ice_state(&self, key: SessionKey) -> IceState {
        self.plane
            .session(key)
            .map_or(IceState::New, rtc::Session::ice_state)
    }
}

fn end_of(reason: CloseReason) -> SessionEnd {
    match reason {
        CloseReason::PeerClosed => SessionEnd::Peer,
        CloseReason::IceTimeout => SessionEnd::IceTimeout,
        CloseReason::DtlsFailed => SessionEnd::DtlsFailed,
        CloseReason::Fault => SessionEnd::Fault,
    }
}

/// What the viewer and the log are told.
fn reason(why: SessionEnd) -> &'static str {
    match why {
        SessionEnd::Deleted => "deleted",
        SessionEnd::Idle => "idle for too long",
        SessionEnd::Setup => "the viewer did not connect in time",
        SessionEnd::Expired => TOKEN_EXPIRED,
        SessionEnd::Peer => "closed by the viewer",
        SessionEnd::IceTimeout => "the viewer's network path is gone",
        SessionEnd::Drain => SHUTTING_DOWN,
        SessionEnd::DtlsFailed => "DTLS failed",
        SessionEnd::Fault => "a fault of the server",
    }
}
