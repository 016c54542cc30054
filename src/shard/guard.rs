//! A panic ends what it was in, and nothing else (M14).
//!
//! Whoever handles something that may be lost alone does so within [`Shard::guarded`], which says
//! whom a panic is to be blamed on. What is to blame may be half changed, so none of its own code runs
//! again: it is dropped as a whole, its clients are told, and whatever is derived from it (gauges,
//! indices, counters) is counted afresh. A shard that panics too often, while it mends itself, or
//! where nobody is to blame ends, and the process with it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use rtc::{Event, SessionKey};
use tracing::error;

use super::Shard;
use super::sockets::INTERNAL_ERROR;
use crate::alarm::Alarm;
use crate::connection::{Connection, ConnectionId, Fate, Output, Phase, Role};
use crate::error::ApiError;
use crate::ids::{DeviceId, RoomId, SessionId};
use crate::limits::SWEEP_MEMBERS;
use crate::media::{Device, Track};
use crate::metrics::{ConnectionEnd, PanicPart, SessionEnd};
use crate::rooms::MemberKey;
use crate::totals::Total;

/// Panics of a shard that are caught in a minute. Somebody who has found one can close that many
/// connections of their own; a shard that fails at every tick ends in half a second.
pub const PANICS_PER_MINUTE: u32 = 100;
const MINUTE: Duration = Duration::from_secs(60);

/// What those are told whose session, device or room has failed.
pub(super) const FAILED: &str = "a fault of the server";

/// Whom a panic is blamed on.
#[derive(Debug, Clone)]
pub(super) enum Blame {
    /// What was asked gets no answer, and nothing was being changed.
    Question,
    /// A session.
    Session(SessionId),
    /// Who publishes to a device.
    Device(DeviceId),
    /// A room.
    Room(RoomId),
    /// The room of that member.
    RoomOf(MemberKey),
    /// The room that the rooms were at.
    Rooms,
}

/// The panics of the last minute.
#[derive(Debug, Default)]
pub(super) struct Panics {
    since: Option<Instant>,
    count: u32,
    /// The shard is putting itself in order, or has given that up.
    mending: bool,
    /// Those that the media plane has caught itself, as far as they are counted here.
    of_plane: u64,
}

impl Panics {
    /// Between two calls: what was to end the shard has not.
    pub(super) fn given_up(&self) -> bool {
        self.mending
    }

    /// So many more. False: too many.
    fn allow(&mut self, now: Instant, more: u32) -> bool {
        if self.since.is_none_or(|since| now >= since + MINUTE) {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count = self.count.saturating_add(more);
        self.count <= PANICS_PER_MINUTE
    }
}

impl Shard {
    /// Does `work`. `None`: it has panicked, and what is to blame has ended.
    pub(super) fn guarded<R>(
        &mut self,
        now: Instant,
        blame: Blame,
        work: impl FnOnce(&mut Self) -> R,
    ) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(result) => Some(result),
            Err(panic) => {
                self.mend(now, panic, |shard| shard.end_blamed(now, blame));
                None
            }
        }
    }

    /// After a panic was caught: ends what is to blame, and puts the rest in order.
    pub(super) fn mend(
        &mut self,
        now: Instant,
        panic: Box<dyn Any + Send>,
        end: impl FnOnce(&mut Self) -> Option<PanicPart>,
    ) {
        if self.panics.mending || !self.panics.allow(now, 1) {
            // Whoever else would catch it must not.
            self.panics.mending = true;
            resume_unwind(panic);
        }
        self.panics.mending = true;
        let Some(part) = end(self) else {
            resume_unwind(panic);
        };
        self.metrics.panics.bump(part);
        self.drop_halves(now);
        self.panics.mending = false;
    }

    /// The media plane catches the panics of its sessions itself. Too many of them are too many as
    /// well.
    pub(super) fn count_plane_panics(&mut self, now: Instant) {
        let caught = self.plane.counters().panics;
        let more = caught - self.panics.of_plane;
        if more == 0 {
            return;
        }
        self.panics.of_plane = caught;
        for _ in 0..more {
            self.metrics.panics.bump(PanicPart::Session);
        }
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        assert!(
            self.panics.allow(now, more),
            "more than {PANICS_PER_MINUTE} sessions failed in a minute"
        );
    }

    /// `None`: nobody is known to be to blame.
    pub(super) fn end_blamed(&mut self, now: Instant, blame: Blame) -> Option<PanicPart> {
        match blame {
            Blame::Question => {
                error!(
                    shard = self.id.index(),
                    "a question has no answer: {FAILED}"
                );
                Some(PanicPart::Question)
            }
            Blame::Session(id) => {
                error!(session = %id, "the session ends: {FAILED}");
                self.end_session(now, id, SessionEnd::Fault);
                Some(PanicPart::Session)
            }
            Blame::Device(id) => {
                error!(device = %id, "the publisher ends: {FAILED}");
                // The entry that it waits for may be the one that failed.
                if let Some(device) = self.devices.get_mut(&id) {
                    device.alarm = Alarm::default();
                }
                self.end_publishers(now, &id);
                self.watch_idle(now, &id);
                Some(PanicPart::Device)
            }
            Blame::Room(id) => Some(self.end_room(now, id)),
            Blame::RoomOf(key) => {
                let id = self.rooms.id_of(key)?;
                Some(self.end_room(now, id))
            }
            Blame::Rooms => {
                let id = self.rooms.take_suspect()?;
                Some(self.end_room(now, id))
            }
        }
    }

    /// A connection has failed: it is closed without a word, for nobody knows what it has been sent.
    pub(super) fn fail_connection(
        &mut self,
        now: Instant,
        connection: &mut Connection,
    ) -> PanicPart {
        error!(peer = %connection.peer, "the connection is closed: {FAILED}");
        connection.output = Output::default();
        connection.fate = Fate::Close;
        connection.end = ConnectionEnd::Fault;
        self.release(now, connection);
        self.disown(now, connection.id);
        PanicPart::Connection
    }

    /// Takes from a connection whatever names it. Between what a request has done and what its connection
    /// becomes by it (a publisher, an agent, a member) the connection does not know of that itself.
    fn disown(&mut self, now: Instant, id: ConnectionId) {
        const TRACKS: [Track; 2] = [Track::Video, Track::Audio];
        let names = |device: &Device| {
            let holder = |track| device.holder(track).and_then(|it| it.connection);
            device.agent == Some(id) || TRACKS.iter().any(|&track| holder(track) == Some(id))
        };
        let devices = self.devices.values().filter(|device| names(device));
        let devices: Vec<_> = devices.map(|device| device.id.clone()).collect();
        for device in devices {
            for track in TRACKS {
                self.free_track(now, &device, track, Some(id));
            }
            if let Some(device) = self.devices.get_mut(&device) {
                device.agent = device.agent.filter(|&agent| agent != id);
            }
            self.watch_idle(now, &device);
        }
        let sessions = self.sessions.iter().filter(|(_, it)| it.socket == Some(id));
        let sessions: Vec<_> = sessions.map(|(&session, _)| session).collect();
        for session in sessions {
            self.detach_socket(now, session, id);
        }
        self.gathers.retain(|_, gather| gather.connection != id);
        if let Some(member) = self.rooms.member_on(id) {
            let time = self.time(now);
            self.rooms.disconnect(time, member);
        }
    }

    /// The device's publishers are told, and its tracks are free for others.
    fn end_publishers(&mut self, now: Instant, id: &DeviceId) {
        for track in [Track::Video, Track::Audio] {
            let Some(holder) = self.devices.get(id).and_then(|it| it.holder(track)) else {
                continue;
            };
            self.free_track(now, id, track, holder.connection);
            if let Some(connection) = holder.connection {
                self.with(now, connection, |shard, connection| {
                    shard.fail_publisher(now, connection);
                    None
                });
            }
        }
        self.watch_idle(now, id);
    }

    /// What a connection has published is lost, by no fault of its own.
    pub(super) fn fail_publisher(&mut self, now: Instant, connection: &mut Connection) {
        let Role::Http(http) = &mut connection.role else {
            return self.fail_socket(now, connection);
        };
        match std::mem::replace(&mut http.phase, Phase::Done) {
            Phase::Publish(exchange, publisher) => {
                self.stop_publishing(now, connection.id, &publisher);
                self.refuse(now, connection, exchange, ApiError::Internal);
            }
            other => http.phase = other,
        }
    }

    /// What a WebSocket was for has failed.
    pub(super) fn fail_socket(&mut self, now: Instant, connection: &mut Connection) {
        if connection.fate == Fate::Stay {
            connection.end = ConnectionEnd::Fault;
            self.say_goodbye(now, connection, INTERNAL_ERROR, FAILED);
        }
    }

    /// The room ends as if it had been stopped; its members are told in the next turns.
    fn end_room(&mut self, now: Instant, id: RoomId) -> PanicPart {
        let time = self.time(now);
        let left = self.rooms.fail(time, id);
        error!(room = %id, members = left.len(), "the room ends: {FAILED}");
        self.unreached.clear();
        for (id, rest) in left {
            match self.connections.get_mut(id) {
                Some(connection) => {
                    orphan(connection, rest.as_deref());
                    self.orphans.push_back(id);
                }
                // It is at work: whoever has it sees to that.
                None => self.unreached.push((id, rest)),
            }
        }
        self.take_room_events(now, FAILED, None);
        self.count_rooms();
        PanicPart::Room
    }

    /// Tells some of the members whose room has failed. True: there are more.
    pub(super) fn dismiss_orphans(&mut self, now: Instant) -> bool {
        for _ in 0..SWEEP_MEMBERS {
            let Some(id) = self.orphans.pop_front() else {
                return false;
            };
            self.with(now, id, |shard, connection| {
                shard.fail_socket(now, connection);
                None
            });
        }
        !self.orphans.is_empty()
    }

    /// Nothing half made is left: sessions that the media plane has and nobody else knows, and gauges
    /// that were not set any more. It looks at all sessions in this very turn: nothing may go on before.
    fn drop_halves(&mut self, now: Instant) {
        let unknown = |key: &SessionKey| !self.by_key.contains_key(key);
        let keys: Vec<_> = self.plane.session_keys().filter(unknown).collect();
        for key in keys {
            self.plane.close_session(now, key, &mut self.rtc);
        }
        let dead = |id: &SessionId| self.plane.session(self.sessions[id].key).is_none();
        let dead: Vec<_> = self.sessions.keys().copied().filter(dead).collect();
        for id in dead {
            self.session_gone(now, id, SessionEnd::Fault);
        }
        // Made for what has failed: nobody else would ever forget them.
        let unwatched = |it: &&Device| it.is_idle() && it.alarm.deadline().is_none();
        let devices = self.devices.values().filter(unwatched);
        let devices: Vec<_> = devices.map(|device| device.id.clone()).collect();
        for device in devices {
            self.watch_idle(now, &device);
        }
        self.totals
            .set(self.id, Total::Sessions, self.sessions.len());
        self.totals.set(self.id, Total::Devices, self.devices.len());
        self.count_connections();
        self.count_rooms();
    }

    /// Whom a panic over what the media plane reports is blamed on.
    pub(super) fn blame_of(&self, event: &Event) -> Blame {
        match event {
            Event::SessionState { session, .. }
            | Event::IceState { session, .. }
            | Event::ChannelOpen { session }
            | Event::SessionClosed { session, .. }
            | Event::ChannelMessage { session, .. }
            | Event::CodecNotNegotiated { session, .. } => match self.by_key.get(session) {
                Some(&id) => Blame::Session(id),
                None => Blame::Question,
            },
            Event::KeyframeWanted { source } => match self.by_source.get(source) {
                Some(id) => Blame::Device(id.clone()),
                None => Blame::Question,
            },
        }
    }
}

/// Takes a member out of a room that is no more. `rest` is what is left of the frame that its socket
/// has a part of; `None`: nobody knows, so nothing that it is sent would be understood.
pub(super) fn orphan(connection: &mut Connection, rest: Option<&[u8]>) {
    let Role::Member(socket) = &mut connection.role else {
        return;
    };
    socket.key = None;
    match rest {
        _ if connection.output.has_begun() => {}
        Some(rest) => connection.output.put_first(rest),
        None => {
            connection.output = Output::default();
            socket.codec.mute();
        }
    }
}
