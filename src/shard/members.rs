//! Members of rooms: their sockets between the room's log and the store.

use std::time::Instant;

use serde_json::value::RawValue;
use tracing::debug;

use super::guard::orphan;
use super::sockets::{POLICY_VIOLATION, codec_of};
use super::{Blame, Shard};
use crate::connection::{Connection, ConnectionId, Fate, Output, Role};
use crate::limits::PAUSED_MEMBERS_PER_TURN;
use crate::metrics::{ConnectionEnd, Direction, MessageKind};
use crate::rooms::{Backlog, Inbound, MemberKey, Published, RoomError, Took};
use crate::store::{Ack, MessageRow, Receipt, Row, StoreFault};
use crate::ws::{MemberMessage, Received};

/// What a member is told that reads too slowly.
const TOO_SLOW: &str = "too far behind the room";

/// Why a member's message is not taken; the socket goes on.
enum Refusal {
    Room(RoomError),
    /// The store is behind by as much as may be.
    Overloaded,
    Binary,
}

impl From<RoomError> for Refusal {
    fn from(error: RoomError) -> Self {
        Refusal::Room(error)
    }
}

impl Refusal {
    fn code(&self) -> &'static str {
        match self {
            Refusal::Room(error) => error.code(),
            Refusal::Overloaded => "overloaded",
            Refusal::Binary => "bad_message",
        }
    }

    fn sentence(&self) -> String {
        match self {
            Refusal::Room(error) => error.to_string(),
            Refusal::Overloaded => "the server stores no more messages now; try again".to_owned(),
            Refusal::Binary => "members send text messages".to_owned(),
        }
    }
}

impl Shard {
    /// The member whose room's log is what its socket is sent next: only the rest of a frame, while
    /// the connection's own output waits. `None`: it is that output, which goes in between two frames
    /// of the log.
    pub(super) fn reads_log(&self, connection: &Connection) -> Option<MemberKey> {
        let Role::Member(socket) = &connection.role else {
            return None;
        };
        let key = socket.key?;
        let own = &connection.output;
        let own_first = !own.is_empty() && (own.has_begun() || self.rooms.at_boundary(key));
        (!own_first).then_some(key)
    }

    /// The socket took so much of the log, the `whole` that it was given or not.
    pub(super) fn wrote_log(
        &mut self,
        now: Instant,
        id: ConnectionId,
        key: MemberKey,
        count: usize,
        whole: bool,
    ) {
        if count == 0 && whole {
            return;
        }
        let took = self.guarded(now, Blame::RoomOf(key), |shard| {
            shard.rooms.took(now, key, count)
        });
        let Some(took) = took else {
            return;
        };
        match took {
            Took::All => {}
            Took::More if whole => {}
            Took::More => self.member_blocked(now, id),
            Took::Finished => self.with(now, id, |shard, connection| {
                // Nothing may follow the log's close frame.
                connection.output = Output::default();
                shard.release(now, connection);
                connection.end = match shard.draining {
                    Some(_) => ConnectionEnd::Drain,
                    None => ConnectionEnd::Finished,
                };
                connection.fate = Fate::Linger;
                shard.set_alarm(connection, now + crate::limits::LINGER);
                None
            }),
        }
    }

    /// Its socket refuses bytes, in a frame of its room or of its own: where it is a member, its room
    /// waits for it as far as it may.
    pub(super) fn member_blocked(&mut self, now: Instant, id: ConnectionId) {
        let Some(Role::Member(socket)) = self.connections.get(id).map(|it| &it.role) else {
            return;
        };
        let Some(key) = socket.key else {
            return;
        };
        self.guarded(now, Blame::RoomOf(key), |shard| {
            shard.rooms.blocked(now, key)
        });
        self.with(now, id, |shard, connection| {
            shard.set_socket_alarm(now, connection);
            None
        });
    }

    /// A member's socket begins: with where the room stands.
    pub(super) fn greet_member(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        greeting: [Option<String>; 2],
    ) {
        if let Some((codec, output)) = codec_of(connection) {
            for text in greeting.into_iter().flatten() {
                codec.send_text(&text, &mut output.bytes);
                output.end_message();
                self.metrics.message(MessageKind::Hello, Direction::Out);
            }
        }
        self.set_socket_alarm(now, connection);
    }

    /// How far a member is behind its room.
    pub(super) fn room_backlog(&self, connection: &Connection) -> Backlog {
        match &connection.role {
            Role::Member(socket) => {
                let backlog = |key| self.rooms.backlog(key);
                socket.key.map(backlog).unwrap_or_default()
            }
            Role::Viewer(_) | Role::Agent(_) | Role::Http(_) => Backlog::default(),
        }
    }

    /// A member's message.
    pub(super) fn member_message(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        message: Received,
    ) {
        let text = match message {
            Received::Text(text) => text,
            Received::Binary(_) => {
                self.metrics.message(MessageKind::Other, Direction::In);
                return self.refuse_message(connection, &Refusal::Binary, None);
            }
            Received::Pong | Received::Closed => return,
        };
        self.metrics.message(MessageKind::Room, Direction::In);
        let message = match Inbound::parse(&text) {
            Ok(message) => message,
            Err(error) => {
                let id = Inbound::id_of(&text);
                return self.refuse_message(connection, &error.into(), id);
            }
        };
        let Role::Member(socket) = &connection.role else {
            return;
        };
        let room = socket.room;
        let taken = self.guarded(now, Blame::Room(room), |shard| {
            shard.take_message(now, connection, &message)
        });
        match taken {
            Some(Ok(())) => {}
            Some(Err(refusal)) => self.refuse_message(connection, &refusal, message.id()),
            None => self.fail_speaker(now, connection),
        }
    }

    fn take_message(
        &mut self,
        now: Instant,
        connection: &Connection,
        message: &Inbound<'_>,
    ) -> Result<(), Refusal> {
        let Role::Member(socket) = &connection.role else {
            return Ok(());
        };
        let Some(key) = socket.key else {
            return Ok(());
        };
        if !self.store_takes() {
            return Err(Refusal::Overloaded);
        }
        let room = socket.room;
        let (time, trace) = (self.time(now), self.random_bytes());
        let published = self
            .rooms
            .publish(time, key, message, socket.privileged, trace)?;
        let message_row = |epoch, seq, text: &str| MessageRow {
            room,
            epoch,
            seq,
            at: time.unix_ms,
            text: text.into(),
        };
        let (row, seq) = match published {
            Published::New { seq, epoch, text } => {
                (Row::Message(message_row(epoch, seq, text)), seq)
            }
            // Broadcast before, but perhaps not stored yet, or never.
            Published::Repeated { seq, epoch, text } => match text {
                Some(text) => (Row::Repeat(message_row(epoch, seq, text)), seq),
                None => (Row::Confirm { room, epoch, seq }, seq),
            },
        };
        let receipt = message.id().map(|id| {
            let ack = Ack {
                id: id.get().into(),
                seq,
                since: now,
            };
            Receipt::Ack(connection.id, ack)
        });
        self.store(row, receipt);
        Ok(())
    }

    fn refuse_message(
        &mut self,
        connection: &mut Connection,
        refusal: &Refusal,
        id: Option<&RawValue>,
    ) {
        self.metrics.rejected(refusal.code());
        let error = &refusal.sentence();
        let code = refusal.code();
        self.tell_member(connection, &MemberMessage::Error { code, error, id });
    }

    fn tell_member(&mut self, connection: &mut Connection, message: &MemberMessage<'_>) {
        if let Some((codec, output)) = codec_of(connection) {
            codec.send_text(&message.text(), &mut output.bytes);
            output.end_message();
            self.metrics.message(message.kind(), Direction::Out);
        }
    }

    /// A connection that has more messages than its turn: it goes on in the next one.
    pub(super) fn pause(&mut self, connection: &Connection) {
        if matches!(&connection.role, Role::Member(socket) if socket.paused) {
            self.paused.push(connection.id);
        }
    }

    /// Goes on with some of those who had more than an earlier turn could handle. True: there are
    /// more of them now.
    pub(super) fn resume_paused(&mut self, now: Instant) -> bool {
        let turn = self.waiting.len().min(PAUSED_MEMBERS_PER_TURN);
        for id in self.waiting.drain(..turn).collect::<Vec<_>>() {
            self.with(now, id, |_, connection| {
                if let Role::Member(socket) = &mut connection.role {
                    socket.paused = false;
                }
                None
            });
        }
        // Those who are paused again wait behind the others.
        self.waiting.extend(self.paused.drain(..));
        !self.waiting.is_empty()
    }

    /// A member leaves its room: with the rest of the frame that its socket has a part of.
    pub(super) fn leave_room(&mut self, now: Instant, connection: &mut Connection) {
        let Role::Member(socket) = &mut connection.role else {
            return;
        };
        let Some(key) = socket.key.take() else {
            return;
        };
        match self.rooms.unfinished(key) {
            // It stands between two frames of the room, whatever the log still has.
            _ if connection.output.has_begun() => {}
            Some(&[]) => {}
            Some(rest) => connection.output.put_first(rest),
            // Whatever came next would be taken for a part of that frame.
            None => {
                connection.output = Output::default();
                socket.codec.mute();
            }
        }
        let time = self.time(now);
        self.guarded(now, Blame::RoomOf(key), |shard| {
            shard.rooms.disconnect(time, key)
        });
    }

    /// The room of a member has failed while the member was at work, so that it could not be reached.
    fn fail_speaker(&mut self, now: Instant, connection: &mut Connection) {
        let lost = std::mem::take(&mut self.unreached);
        let own = lost.into_iter().find(|(id, _)| *id == connection.id);
        orphan(connection, own.and_then(|(_, rest)| rest).as_deref());
        self.fail_socket(now, connection);
    }

    /// Closes the socket of a member that does not keep up.
    pub(super) fn cut_member(&mut self, now: Instant, connection: &mut Connection) {
        debug!(peer = %connection.peer, "member given up: {TOO_SLOW}");
        self.metrics.rooms.members_cut += 1;
        connection.end = ConnectionEnd::Slow;
        if !connection.output.has_begun() {
            connection.output = Output::default();
        }
        self.close_socket(now, connection, POLICY_VIOLATION, TOO_SLOW);
    }

    /// A member's message is stored, or not.
    pub(super) fn acknowledged(
        &mut self,
        now: Instant,
        to: ConnectionId,
        ack: Ack,
        result: &Result<(), StoreFault>,
    ) {
        self.with(now, to, |shard, connection| {
            shard.acknowledge(connection, ack.id, ack.seq, result);
            shard.set_socket_alarm(now, connection);
            None
        });
        let took = now.saturating_duration_since(ack.since);
        self.metrics.rooms.ack_latency.observe(took);
    }

    fn acknowledge(
        &mut self,
        connection: &mut Connection,
        id: Box<str>,
        seq: u64,
        result: &Result<(), StoreFault>,
    ) {
        // It was JSON when the message was read.
        let Ok(id) = RawValue::from_string(id.into()) else {
            return;
        };
        if connection.fate != Fate::Stay || !matches!(connection.role, Role::Member(_)) {
            return;
        }
        let message = match result {
            Ok(()) => {
                self.metrics.rooms.acks += 1;
                MemberMessage::Ack { id: &id, seq }
            }
            Err(_) => {
                self.metrics.rejected("not_stored");
                MemberMessage::Error {
                    code: "not_stored",
                    error: "the message was broadcast and is not stored",
                    id: Some(&id),
                }
            }
        };
        self.tell_member(connection, &message);
    }
}
