//! Members: connections with a cursor into their room's log.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::log::{LOG_BYTES, Log, RECENT_BYTES};
use super::message::{Hello, Truncated, json};
use super::room::{Live, live_of};
use super::timers::Timer;
use super::{RoomError, Rooms, Status, Time};
use crate::connection::ConnectionId;
use crate::faults::Place;
use crate::ids::{RoomId, UserId};

/// What members that refuse bytes have not taken is held for so long at least, and twice that at
/// most: more than the second after which they are closed for being behind.
pub(super) const BLOCKED_HOLD: Duration = Duration::from_secs(2);

/// It is held up to so many bytes alone, two seconds of a room at 4 MB/s. The rest of the log is for
/// what is said until the next turn's end: a member that refuses bytes never fills it.
pub(super) const BLOCKED_MOST_BYTES: u64 = LOG_BYTES / 2;

/// Of what was before a member blocked, so much is held at most: members that come for old messages
/// again and again, and do not read them, cannot fill the log.
const BLOCKED_HOLD_BYTES: u64 = 2 * RECENT_BYTES;
const _: () = assert!(BLOCKED_HOLD_BYTES <= BLOCKED_MOST_BYTES);

/// A member of a live room on this shard. Good until [`Rooms::disconnect`]; then it is given out
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemberKey {
    room: u32,
    member: u32,
}

/// What a new member wants of what was before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// Nothing.
    None,
    /// Everything after this message.
    Since {
        /// Its number.
        seq: u64,
        /// The room's epoch in which it had that number.
        epoch: u32,
    },
    /// So many messages, or as many of them as are held.
    Recent(usize),
}

/// What a new member is told first. Its replay comes after, from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Names the member from now on.
    pub key: MemberKey,
    /// `{"type":"hello","room_id","epoch","seq","viewer_count"}`.
    pub hello: String,
    /// `{"type":"system","code":"history_truncated","from"}`, where less is held than was asked for.
    pub truncated: Option<String>,
}

/// Where a member stands after its socket took bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// There are more.
    More,
    /// It has everything.
    All,
    /// It has the close frame: nothing comes after.
    Finished,
}

/// Since when a member does not take what is sent to it. `None`: it does, or it was not sent yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Since its socket refused bytes, or last took some.
    pub blocked_since: Option<Instant>,
    /// Since its socket refused bytes so that it was more frames behind than the queue holds. What
    /// it was behind when it came does not count until it has caught up.
    pub behind_since: Option<Instant>,
}

/// A member. Times are the four bytes of the rooms' clock.
#[derive(Debug)]
pub(super) struct Member {
    /// Where the next byte for it stands in the log.
    pub(super) cursor: u64,
    pub(super) connection: ConnectionId,
    person: u32,
    /// Since its socket refused bytes, or last took some.
    blocked: Option<NonZeroU32>,
    /// Since it was more frames behind than the queue holds, as far as it was looked at.
    behind: Option<NonZeroU32>,
    /// It may be given bytes.
    pub(super) due: bool,
    /// It has not yet caught up with what was before it.
    replaying: bool,
    /// It is to be closed.
    pub(super) cut: bool,
}

// A million of them in a room are swept in a few milliseconds, and take 32 MB.
const _: () = assert!(size_of::<Option<Member>>() <= 32);

/// Zero stands for none: a millisecond of 49 days is counted as the one after it.
fn moment(ms: u32) -> NonZeroU32 {
    NonZeroU32::new(ms).unwrap_or(NonZeroU32::MIN)
}

impl Member {
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    pub(super) fn person(&self) -> u32 {
        self.person
    }

    /// Since when it is more than `queue` frames behind, through its own doing.
    fn behind_since(&self, log: &Log, queue: usize) -> Option<NonZeroU32> {
        if self.blocked.is_none() || self.replaying {
            return None;
        }
        let appended = || log.appended_past(self.cursor, queue).map(moment);
        self.behind.or_else(appended)
    }
}

impl MemberKey {
    pub(super) fn room(self) -> u32 {
        self.room
    }

    pub(super) fn member(self) -> u32 {
        self.member
    }
}

impl Rooms {
    /// Whether a member may come: to be asked before its connection is upgraded.
    ///
    /// # Errors
    /// [`RoomError::Unknown`], [`RoomError::NotLive`], [`RoomError::Ended`],
    /// [`RoomError::Draining`].
    pub fn admits(&self, id: RoomId) -> Result<(), RoomError> {
        self.room(id)?.is_open()?;
        match self.draining {
            true => Err(RoomError::Draining),
            false => Ok(()),
        }
    }

    /// A new member. The caller sends it the welcome, then what is [`Rooms::pending`], in this turn.
    ///
    /// # Errors
    /// As [`Rooms::admits`].
    pub fn connect(
        &mut self,
        time: Time,
        id: RoomId,
        user: &UserId,
        connection: ConnectionId,
        replay: Replay,
    ) -> Result<Welcome, RoomError> {
        self.admits(id)?;
        self.clock.see(time.now);
        let slot = self.slot(id)?;
        let person = self.enter(time, slot, user)?;
        let room = self.rooms.get_mut(slot).ok_or(RoomError::Unknown)?;
        let epoch = room.record.epoch;
        let live = room.open()?;
        live.people.connected(person);
        let log = &live.log;
        let start = replay_from(log, epoch, replay);
        // What is held of it, from its first message on.
        let cursor = start.unwrap_or_else(|| log.after(log.first_seq() - 1).unwrap_or(log.end()));
        let truncated = start.is_none().then(|| Truncated {
            code: "history_truncated",
            from: log.first_seq(),
        });
        let hello = Hello {
            room_id: id,
            epoch,
            seq: log.last_seq(),
            viewer_count: live.people.len(),
        };
        self.counters.replays += u64::from(!matches!(replay, Replay::None | Replay::Recent(0)));
        self.counters.replays_truncated += u64::from(truncated.is_some());
        let waits = cursor < log.end();
        let member = live.members.insert(Member {
            cursor,
            connection,
            person,
            blocked: None,
            behind: None,
            due: waits,
            replaying: waits,
            cut: false,
        });
        self.faults.pass(Place::RoomJoin);
        self.members += 1;
        Ok(Welcome {
            key: MemberKey { room: slot, member },
            hello: json(&hello),
            truncated: truncated.as_ref().map(json),
        })
    }

    /// The member on that connection, looked for among all: for who has lost its key.
    pub fn member_on(&self, connection: ConnectionId) -> Option<MemberKey> {
        self.by_id.values().find_map(|&room| {
            let members = &self.rooms.get(room)?.live.as_deref()?.members;
            let on = |&member: &u32| {
                members
                    .get(member)
                    .is_some_and(|it| it.connection == connection)
            };
            let member = (0..members.end()).find(on)?;
            Some(MemberKey { room, member })
        })
    }

    /// The member's connection is gone.
    pub fn disconnect(&mut self, time: Time, key: MemberKey) {
        let Some(room) = self.rooms.get_mut(key.room) else {
            return;
        };
        let ended = room.record.status == Status::Ended;
        let Some(live) = room.live.as_deref_mut() else {
            return;
        };
        let Some(member) = live.members.remove(key.member) else {
            return;
        };
        self.members -= 1;
        live.blocked -= usize::from(member.is_blocked());
        self.sweeps.touch(key.room, live);
        live.people.disconnected(member.person);
        let last = live.members.is_empty();
        self.depart(time, key.room, member.person);
        if ended && last {
            self.forget_live(key.room);
        }
    }

    /// The bytes that the member's socket may be given now: whole frames but for the first one, to
    /// the log's end. None unless the member is due.
    pub fn pending(&self, key: MemberKey) -> &[u8] {
        match self.member(key) {
            Some((live, member)) if member.due && !member.cut => live.log.from(member.cursor),
            _ => &[],
        }
    }

    /// Whether frames of the member's own may go out now: it stands between two frames of the room.
    pub fn at_boundary(&self, key: MemberKey) -> bool {
        self.member(key)
            .is_none_or(|(live, member)| live.log.is_boundary(member.cursor))
    }

    /// What is left of the frame that the member's socket has a part of: after it, frames of the
    /// member's own may go out. `None`: the log has let go of it.
    pub fn unfinished(&self, key: MemberKey) -> Option<&[u8]> {
        let (live, member) = self.member(key)?;
        live.log.rest_of_frame(member.cursor)
    }

    /// The socket took `count` of the [`Rooms::pending`] bytes.
    pub fn took(&mut self, now: Instant, key: MemberKey, count: usize) -> Took {
        let at = moment(self.clock.see(now));
        let queue = self.queue;
        let Some(live) = live_of(&mut self.rooms, key.room) else {
            return Took::All;
        };
        let Some(member) = live.members.get_mut(key.member) else {
            return Took::All;
        };
        let log = &live.log;
        let behind_since = member.behind_since(log, queue);
        let behind = log.behind(member.cursor);
        member.cursor += count as u64;
        self.faults.pass(Place::RoomDelivery);
        debug_assert!(member.cursor <= log.end(), "no more than was pending");
        let left = log.behind(member.cursor);
        self.counters.deliveries += (behind - left) as u64;
        self.counters.bytes += count as u64;
        if member.cursor < log.end() {
            member.behind = behind_since.filter(|_| left > queue);
            if count > 0 && member.is_blocked() {
                member.blocked = Some(at);
            }
            return Took::More;
        }
        member.due = false;
        member.replaying = false;
        member.behind = None;
        let closed = log.is_closed();
        if member.blocked.take().is_some() {
            live.blocked -= 1;
            self.sweeps.touch(key.room, live);
        }
        match closed {
            true => Took::Finished,
            false => Took::All,
        }
    }

    /// The member's socket refuses bytes: it is asked again when it can be written.
    pub fn blocked(&mut self, now: Instant, key: MemberKey) {
        let at = self.clock.see(now);
        let queue = self.queue;
        let Some(room) = self.rooms.get_mut(key.room) else {
            return;
        };
        let Some(live) = room.live.as_deref_mut() else {
            return;
        };
        let Some(member) = live.members.get_mut(key.member) else {
            return;
        };
        // It refused frames of its own: the room waits for nothing.
        if member.cursor == live.log.end() || member.cut {
            return;
        }
        member.due = true;
        if !member.replaying && member.behind.is_none() && live.log.behind(member.cursor) > queue {
            member.behind = Some(moment(at));
        }
        if member.blocked.is_some() {
            return;
        }
        member.blocked = Some(moment(at));
        if live.blocked == 0 {
            live.marks = [live.log.end(); 2];
        }
        live.blocked += 1;
        let oldest = live.log.end().saturating_sub(BLOCKED_HOLD_BYTES);
        let hold = member.cursor.max(oldest);
        live.marks = live.marks.map(|mark| mark.min(hold));
        if !live.rotating {
            live.rotating = true;
            let timer = Timer::Rotate(room.record.id);
            self.wheel.schedule(now + BLOCKED_HOLD, timer);
        }
    }

    /// Whether the member keeps up.
    pub fn backlog(&self, key: MemberKey) -> Backlog {
        let (mut blocked, mut behind) = (None, None);
        if let Some((live, member)) = self.member(key) {
            blocked = member.blocked;
            behind = member.behind_since(&live.log, self.queue);
        }
        let instant = |ms: NonZeroU32| self.clock.instant(ms.get());
        Backlog {
            blocked_since: blocked.map(instant),
            behind_since: behind.map(instant),
        }
    }

    fn member(&self, key: MemberKey) -> Option<(&Live, &Member)> {
        let live = self.rooms.get(key.room)?.live.as_deref()?;
        Some((live, live.members.get(key.member)?))
    }
}

/// Where the replay begins; `None`: it is not held, or the room has never said it.
fn replay_from(log: &Log, epoch: u32, replay: Replay) -> Option<u64> {
    match replay {
        Replay::None => Some(log.end()),
        Replay::Since { seq, epoch: its } if its == epoch => log.after(seq),
        Replay::Since { .. } => None,
        Replay::Recent(count) => {
            let wanted = log.last_seq().saturating_sub(count as u64);
            log.after(wanted.max(log.first_seq() - 1))
        }
    }
}
