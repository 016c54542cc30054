//! WebSockets: upgrade, messages in and out, their time; and what viewers say.

use std::borrow::Cow;
use std::time::Instant;

use tracing::debug;
use tungstenite::handshake::derive_accept_key;

use super::{Blame, Shard};
use crate::connection::{Connection, ConnectionId, Exchange, Fate, Output, Role};
use crate::error::ApiError;
use crate::faults::Place;
use crate::ids::SessionId;
use crate::json::JsonFault;
use crate::metrics::{ConnectionEnd, Direction, MessageKind};
use crate::ws::{
    Beat, Codec, Control, Received, STATS_INTERVAL, ServerMessage, ViewerMessage, Violation,
};

/// Close codes (RFC 6455 §7.4.1).
pub(super) const GOING_AWAY: u16 = 1001;
pub(super) const POLICY_VIOLATION: u16 = 1008;
pub(super) const INTERNAL_ERROR: u16 = 1011;

/// What a socket or a session is told that ends with its token.
pub(super) const TOKEN_EXPIRED: &str = "the token has expired";

/// A message was taken, or there is an error to tell its sender.
pub(super) type Told = Result<(), SocketError>;

/// What is wrong with a message; the socket goes on.
pub(crate) struct SocketError {
    pub(crate) code: &'static str,
    pub(crate) error: Cow<'static, str>,
    pub(crate) seq: Option<u64>,
}

impl From<ApiError> for SocketError {
    fn from(error: ApiError) -> Self {
        Self {
            code: error.code(),
            error: error.to_string().into(),
            seq: None,
        }
    }
}

impl SocketError {
    pub(crate) fn message(&self) -> ServerMessage<'_> {
        ServerMessage::Error {
            code: self.code,
            error: self.error.as_ref().into(),
            seq: self.seq,
        }
    }
}

/// The way that a control message came, and whether who sent it may control devices.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Via {
    /// The viewer's WebSocket.
    Socket { allowed: bool },
    /// The session's data channel.
    Channel { allowed: bool },
}

/// Control messages that wait for an agent's link. Past it viewers are told to wait, so that no
/// viewer can get the agent dropped as a client that does not read.
const AGENT_BACKLOG_BYTES: usize = 64 << 10;

impl Shard {
    /// RFC 6455 §4.2.2.
    pub(super) fn upgrade(&mut self, connection: &mut Connection, exchange: &Exchange, key: &str) {
        let accept = derive_accept_key(key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nX-Request-Id: {}\r\n\r\n",
            exchange.id
        );
        connection.output.bytes.extend_from_slice(head.as_bytes());
        self.count_answer(exchange, 101);
    }

    /// Bytes of a WebSocket: so many are used. The rest is part of a message, or waits for the next
    /// turn.
    pub(super) fn socket_bytes(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        bytes: &[u8],
    ) -> usize {
        let mut input = bytes;
        if let Some((_, pulse)) = connection.role.socket() {
            pulse.heard(now);
        }
        while connection.fate == Fate::Stay {
            let Connection { role, output, .. } = &mut *connection;
            let Some((codec, _)) = role.socket() else {
                break;
            };
            match codec.receive(&mut input, &mut output.bytes) {
                Ok(None) => break,
                Ok(Some(Received::Pong)) => self.metrics.message(MessageKind::Pong, Direction::In),
                Ok(Some(Received::Closed)) => {
                    self.metrics.message(MessageKind::Close, Direction::In);
                    self.release(now, connection);
                    connection.end = ConnectionEnd::Peer;
                    connection.fate = Fate::Close;
                }
                Ok(Some(message)) => {
                    self.faults.pass(Place::SocketMessage);
                    let told = match &mut connection.role {
                        Role::Viewer(_) => self.viewer_message(now, connection, message),
                        Role::Agent(_) => self.agent_message(now, connection, message),
                        Role::Member(socket) => {
                            socket.spoke(self.turn);
                            self.member_message(now, connection, message);
                            Ok(())
                        }
                        Role::Http(_) => break,
                    };
                    if let Err(error) = told {
                        self.metrics.rejected(error.code);
                        self.say(connection, &error.message());
                    }
                }
                Err(violation) => self.violated(now, connection, violation),
            }
            if !connection.reads() {
                self.pause(connection);
                break;
            }
        }
        self.set_socket_alarm(now, connection);
        bytes.len() - input.len()
    }

    fn violated(&mut self, now: Instant, connection: &mut Connection, violation: Violation) {
        debug!(peer = %connection.peer, code = violation.code, "{}", violation.reason);
        connection.end = ConnectionEnd::Protocol;
        self.close_socket(now, connection, violation.code, violation.reason);
    }

    /// Sends a close frame; the connection closes when it is written.
    pub(crate) fn close_socket(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        code: u16,
        reason: &str,
    ) {
        self.release(now, connection);
        if let Some((codec, output)) = codec_of(connection) {
            codec.close(code, reason, &mut output.bytes);
            self.metrics.message(MessageKind::Close, Direction::Out);
        }
        connection.fate = Fate::Linger;
        self.set_alarm(connection, now + crate::limits::LINGER);
    }

    /// Sends an object over a WebSocket.
    pub(crate) fn say(&mut self, connection: &mut Connection, message: &ServerMessage<'_>) {
        if let Some((codec, output)) = codec_of(connection) {
            codec.send_text(&message.text(), &mut output.bytes);
            output.end_message();
            self.metrics.message(message.kind(), Direction::Out);
        }
    }

    /// Sends an object over another connection than the one that is being handled.
    pub(crate) fn tell(&mut self, now: Instant, id: ConnectionId, message: &ServerMessage<'_>) {
        self.with(now, id, |shard, connection| {
            shard.say(connection, message);
            shard.set_socket_alarm(now, connection);
            None
        });
    }

    /// Says why, and closes another connection's WebSocket (RFC 6455 §7.4.1: 1001, going away).
    pub(crate) fn dismiss(&mut self, now: Instant, id: ConnectionId, reason: &str) {
        self.with(now, id, |shard, connection| {
            shard.say_goodbye(now, connection, GOING_AWAY, reason);
            None
        });
    }

    /// Closes another connection's WebSocket, whose token has expired.
    pub(super) fn expire(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |shard, connection| {
            shard.end_expired(now, connection);
            None
        });
    }

    /// Closes another connection's WebSocket, whose session has failed.
    pub(super) fn dismiss_failed(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |shard, connection| {
            shard.fail_socket(now, connection);
            None
        });
    }

    fn end_expired(&mut self, now: Instant, connection: &mut Connection) {
        connection.end = ConnectionEnd::Expired;
        self.say_goodbye(now, connection, POLICY_VIOLATION, TOKEN_EXPIRED);
    }

    pub(super) fn say_goodbye(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        code: u16,
        reason: &str,
    ) {
        self.say(connection, &ServerMessage::Closing { reason });
        self.close_socket(now, connection, code, reason);
    }

    /// A viewer's socket begins: with the offer of the session that was made for it.
    pub(super) fn greet_viewer(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        session: SessionId,
        offer: Option<String>,
    ) {
        let previous = self.attach_socket(now, session, connection.id, offer.is_some());
        if let Some(sdp) = offer {
            self.say_offer(connection, session, &sdp);
        }
        if let Some(previous) = previous.filter(|&previous| previous != connection.id) {
            self.dismiss(
                now,
                previous,
                "replaced by another connection of the same session",
            );
        }
        self.set_socket_alarm(now, connection);
    }

    fn say_offer(&mut self, connection: &mut Connection, session: SessionId, sdp: &str) {
        let config = self.config.clone();
        let session_id = &session.to_string();
        let ice_servers = &config.media.ice_servers;
        self.say(
            connection,
            &ServerMessage::Offer {
                session_id,
                sdp,
                ice_servers,
            },
        );
    }

    fn viewer_message(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        message: Received,
    ) -> Told {
        let Role::Viewer(socket) = &connection.role else {
            return Ok(());
        };
        let (session, allowed) = (socket.session, socket.controls);
        let Received::Text(text) = message else {
            self.metrics.message(MessageKind::Other, Direction::In);
            return Err(bad_message("viewers send text messages".into()));
        };
        let message = self.parse_viewer(&text)?;
        let told = self.guarded(now, Blame::Session(session), |shard| {
            shard.obey_viewer(now, connection, (session, allowed), message)
        });
        told.unwrap_or_else(|| {
            // Its own session has ended, which could not reach it while it was at work.
            self.fail_socket(now, connection);
            Ok(())
        })
    }

    fn obey_viewer(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        (session, allowed): (SessionId, bool),
        message: ViewerMessage,
    ) -> Told {
        self.faults.pass(Place::SessionMessage);
        match message {
            ViewerMessage::Answer { sdp } => {
                self.metrics.message(MessageKind::Answer, Direction::In);
                Ok(self.answer(now, session, &sdp)?)
            }
            ViewerMessage::IceCandidate { candidate } => {
                self.metrics
                    .message(MessageKind::IceCandidate, Direction::In);
                Ok(self.add_candidate(now, session, &candidate)?)
            }
            ViewerMessage::Offer { ice_restart } => {
                self.metrics.message(MessageKind::Offer, Direction::In);
                let sdp = self.offer(now, session, ice_restart)?;
                self.say_offer(connection, session, &sdp);
                Ok(())
            }
            ViewerMessage::Control(control) => {
                self.metrics.message(MessageKind::Control, Direction::In);
                self.control(now, session, control, Via::Socket { allowed })
            }
        }
    }

    /// Reads an object of a viewer, from its socket or its data channel.
    pub(crate) fn parse_viewer(&mut self, text: &str) -> Result<ViewerMessage, SocketError> {
        serde_json::from_str(text).map_err(|fault| {
            self.metrics.message(MessageKind::Other, Direction::In);
            let fault = JsonFault::from(fault);
            bad_message(format!("this is not a message that a viewer may send: {fault}").into())
        })
    }

    /// Passes a control message on to the agent of the session's device.
    pub(crate) fn control(
        &mut self,
        now: Instant,
        session: SessionId,
        control: Control,
        via: Via,
    ) -> Told {
        let Control { seq, action } = control;
        let refuse = |code, error: &'static str| {
            Err(SocketError {
                code,
                error: error.into(),
                seq: Some(seq),
            })
        };
        let (socket, allowed) = match via {
            Via::Socket { allowed } => (true, allowed),
            Via::Channel { allowed } => (false, allowed),
        };
        if !allowed {
            let error = "this needs the role controller: the token's is viewer";
            return refuse("forbidden", error);
        }
        if let Some(fault) = action.fault() {
            return refuse("bad_control", fault);
        }
        let Some(viewer) = self.sessions.get_mut(&session) else {
            return refuse("unknown_session", "the session is closed");
        };
        viewer.touched = now;
        let (device, user) = (viewer.device.clone(), viewer.user.clone());
        let Some((agent, device)) = self
            .devices
            .get_mut(&device)
            .and_then(|device| Some((device.agent?, device)))
        else {
            return refuse("no_agent", "the device has no agent that could do it");
        };
        let behind = self.connections.get(agent).map_or(0, |c| c.output.len());
        if behind > AGENT_BACKLOG_BYTES {
            return refuse(
                "agent_busy",
                "the device's agent does not keep up; try again",
            );
        }
        let number = device.controls.sent(session, seq, socket);
        let message = ServerMessage::Control {
            seq: number,
            user_id: user.as_str(),
            action: &action,
        };
        self.tell(now, agent, &message);
        Ok(())
    }

    /// Sends an object to a session's viewer, over its socket or its data channel. False: neither
    /// takes it, the channel being closed or full.
    pub(crate) fn tell_viewer(
        &mut self,
        now: Instant,
        session: SessionId,
        socket: bool,
        message: &ServerMessage<'_>,
    ) -> bool {
        let Some(session) = self.sessions.get(&session) else {
            return false;
        };
        if let Some(connection) = session.socket.filter(|_| socket) {
            self.tell(now, connection, message);
            return true;
        }
        let text = message.text();
        let sent = self.plane.send_text(now, session.key, &text, &mut self.rtc);
        if sent {
            self.metrics.message(message.kind(), Direction::Out);
        }
        sent
    }

    /// The socket's alarm went off: its token's end, pings, patience, quality.
    pub(super) fn socket_time(&mut self, now: Instant, connection: &mut Connection) {
        if self.token_end(connection).is_some_and(|end| now >= end) {
            return self.end_expired(now, connection);
        }
        let room = self.room_backlog(connection);
        let Connection { role, output, .. } = &mut *connection;
        let Some((codec, pulse)) = role.socket() else {
            return;
        };
        match pulse.beat(now, &self.config.ws, output, room) {
            Beat::Well => {}
            Beat::Ping => {
                codec.ping(&mut output.bytes);
                output.end_message();
                self.metrics.message(MessageKind::Ping, Direction::Out);
            }
            Beat::Stalled if matches!(role, Role::Member(_)) => {
                return self.cut_member(now, connection);
            }
            beat @ (Beat::Silent | Beat::Stalled) => {
                debug!(peer = %connection.peer, "socket given up: {beat:?}");
                connection.end = match beat {
                    Beat::Stalled => ConnectionEnd::Slow,
                    Beat::Silent | Beat::Well | Beat::Ping => ConnectionEnd::Timeout,
                };
                self.release(now, connection);
                connection.output = Output::default();
                connection.fate = Fate::Close;
                return;
            }
        }
        if let Role::Viewer(socket) = &mut connection.role
            && now >= socket.stats_at
        {
            socket.stats_at = now + STATS_INTERVAL;
            let session = socket.session;
            if let Some(stats) = self.stats_view(session) {
                self.say(connection, &ServerMessage::Stats(&stats));
            }
        }
        self.set_socket_alarm(now, connection);
    }

    /// Sets the alarm to the next thing that a socket has to do.
    pub(crate) fn set_socket_alarm(&mut self, now: Instant, connection: &mut Connection) {
        if connection.fate != Fate::Stay {
            return;
        }
        let (room, end) = (self.room_backlog(connection), self.token_end(connection));
        let Connection { role, output, .. } = &mut *connection;
        let Some((_, pulse)) = role.socket() else {
            return;
        };
        let mut next = pulse.next(now, &self.config.ws, output, room);
        if let Role::Viewer(socket) = role {
            next = next.min(socket.stats_at);
        }
        let next = end.map_or(next, |end| end.min(next));
        self.set_alarm(connection, next);
    }

    /// When the token expires that the socket was opened with.
    fn token_end(&self, connection: &Connection) -> Option<Instant> {
        let expires_at = match &connection.role {
            Role::Viewer(socket) => socket.expires_at,
            Role::Agent(socket) => socket.expires_at,
            Role::Member(socket) => socket.expires_at,
            Role::Http(_) => None,
        };
        self.moment(expires_at)
    }

    /// When a token expires that does so at that Unix second.
    pub(super) fn moment(&self, expires_at: Option<u64>) -> Option<Instant> {
        self.clock.instant(expires_at?)
    }
}

pub(super) fn bad_message(error: Cow<'static, str>) -> SocketError {
    SocketError {
        code: "bad_message",
        error,
        seq: None,
    }
}

/// The encoder of a WebSocket, and where its frames go.
pub(super) fn codec_of(connection: &mut Connection) -> Option<(&mut Codec, &mut Output)> {
    let (codec, _) = connection.role.socket()?;
    Some((codec, &mut connection.output))
}
