//! Live rooms: members, messages, presence, heat. No sockets, no clocks, no other thread.
//!
//! A message is encoded once, as a finished WebSocket frame, and appended to its room's log
//! (`log.rs`). A member is a cursor into it (`members.rs`); a sweep (`sweep.rs`) gives every member
//! the bytes from its cursor to the log's end, in slices, and no more often than it takes. The log's
//! past is what members that come back are given, so there is no second way to send a message.

#[cfg(feature = "fault-injection")]
mod audit;
mod error;
mod fail;
mod heat;
mod kept;
mod lifecycle;
mod log;
mod members;
mod message;
mod people;
mod publish;
mod rate;
mod record;
mod repeats;
mod room;
mod slots;
mod sweep;
#[cfg(test)]
mod tests;
mod timers;
mod views;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use executor::Wheel;

pub use self::error::RoomError;
pub use self::fail::Orphan;
pub use self::members::{Backlog, MemberKey, Replay, Took, Welcome};
pub use self::message::{Inbound, Kind};
pub use self::publish::Published;
pub use self::record::{RoomRecord, Status};
pub use self::sweep::Swept;
pub use self::views::{HotRoom, RoomFilter, RoomView, ViewerPage, ViewerView};

use self::fail::At;
use self::heat::Ranking;
use self::kept::Kept;
pub(crate) use self::people::UserCounts;
use self::rate::Rate;
use self::room::Room;
use self::slots::Slots;
use self::sweep::Sweeps;
use self::timers::Timer;
use crate::config;
use crate::connection::ConnectionId;
use crate::faults::Faults;
use crate::ids::{RoomId, UserId};

/// Both clocks of a moment.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// For what lasts.
    pub now: Instant,
    /// For people and what is stored: Unix milliseconds.
    pub unix_ms: u64,
}

/// What the rooms leave for their caller.
#[derive(Debug)]
pub enum RoomEvent {
    /// A room was started or has ended: to be stored.
    Changed(Box<RoomRecord>),
    /// A member is to be closed at once: it would miss what the log has let go of, or has not taken
    /// the end of its room in time.
    Cut(ConnectionId),
    /// A room that ended long ago, or was not started for as long, is forgotten: its messages may go
    /// too.
    Removed(RoomId),
}

/// What the rooms count, since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomCounters {
    /// Messages of this kind that were broadcast.
    pub danmu: u64,
    /// As above.
    pub gift: u64,
    /// As above.
    pub like: u64,
    /// As above.
    pub system: u64,
    /// Presence frames that were broadcast.
    pub presence: u64,
    /// Frames of rooms that sockets took, one for each member.
    pub deliveries: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Sweeps over the members of a room.
    pub sweeps: u64,
    /// Members that asked for what was before them.
    pub replays: u64,
    /// Those of them for whom some of it was no longer held.
    pub replays_truncated: u64,
    /// Messages that their sender had sent before.
    pub repeated: u64,
}

impl RoomCounters {
    /// The messages of this kind.
    fn of(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Danmu => &mut self.danmu,
            Kind::Gift => &mut self.gift,
            Kind::Like => &mut self.like,
            Kind::System => &mut self.system,
        }
    }
}

/// The rooms of a shard.
#[derive(Debug)]
pub struct Rooms {
    config: config::Rooms,
    /// Frames that a member may be behind.
    queue: usize,
    clock: Clock,
    member_rate: Option<Rate>,
    room_rate: Option<Rate>,
    rooms: Slots<Room>,
    by_id: BTreeMap<RoomId, u32>,
    by_status: [BTreeSet<RoomId>; Status::ALL.len()],
    /// How many rooms each anchor has that have not ended.
    open: BTreeMap<UserId, usize>,
    online: UserCounts,
    members: usize,
    sweeps: Sweeps,
    kept: Kept,
    ranking: Ranking,
    wheel: Wheel<Timer>,
    /// What is due.
    due: VecDeque<Timer>,
    /// Rooms whose retention has passed.
    retiring: VecDeque<RoomId>,
    events: Vec<RoomEvent>,
    counters: RoomCounters,
    /// The text of the message that is being sent.
    text: String,
    draining: bool,
    /// Which room is being changed, where a call changes many.
    at: Option<At>,
    faults: Faults,
}

impl Rooms {
    /// No rooms. `queue` is how many frames a member may be behind.
    pub fn new(now: Instant, config: &config::Rooms, queue: usize) -> Self {
        Self {
            config: config.clone(),
            queue,
            clock: Clock::new(now),
            member_rate: Rate::new(config.member_rate, config.member_burst),
            room_rate: Rate::steady(config.message_rate),
            rooms: Slots::default(),
            by_id: BTreeMap::new(),
            by_status: Default::default(),
            open: BTreeMap::new(),
            online: UserCounts::default(),
            members: 0,
            sweeps: Sweeps::default(),
            kept: Kept::default(),
            ranking: Ranking::default(),
            wheel: Wheel::new(now),
            due: VecDeque::new(),
            retiring: VecDeque::new(),
            events: Vec::new(),
            counters: RoomCounters::default(),
            text: String::new(),
            draining: false,
            at: None,
            faults: Faults::default(),
        }
    }

    /// Another configuration holds from now on, its retention for rooms that are kept already too. A join
    /// that is to lapse has the time that it had before.
    pub fn reconfigure(&mut self, time: Time, config: &config::Rooms, queue: usize) {
        let kept_for_less = config.retention < self.config.retention;
        self.config = config.clone();
        if kept_for_less {
            self.retire_sooner(time);
        }
        self.queue = queue;
        self.member_rate = Rate::new(config.member_rate, config.member_burst);
        self.room_rate = Rate::steady(config.message_rate);
    }

    /// Whether the room is here.
    pub fn contains(&self, id: RoomId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Rooms of any status.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Rooms that are live.
    pub fn live(&self) -> usize {
        self.by_status[Status::Live as usize].len()
    }

    /// Rooms of this status.
    pub fn with_status(&self, status: Status) -> usize {
        self.by_status[status as usize].len()
    }

    /// Rooms of this anchor that have not ended.
    pub fn open_rooms(&self, anchor: &UserId) -> usize {
        self.open.get(anchor).copied().unwrap_or_default()
    }

    /// The room as it was last stored.
    pub fn record(&self, id: RoomId) -> Option<&RoomRecord> {
        Some(&self.room(id).ok()?.record)
    }

    /// Whether the user is in a room of this shard.
    pub fn online(&self, user: &UserId) -> bool {
        self.online.contains(user)
    }

    /// Everybody who is in a room of this shard, in the order of their ids.
    pub fn users(&self) -> impl Iterator<Item = &UserId> {
        self.online.users()
    }

    /// How many they are.
    pub fn user_count(&self) -> usize {
        self.online.len()
    }

    /// Connections that are members of a room.
    pub fn members(&self) -> usize {
        self.members
    }

    /// What is asked of the caller since the last call.
    pub fn events(&mut self) -> std::vec::Drain<'_, RoomEvent> {
        self.events.drain(..)
    }

    /// The counters.
    pub fn counters(&self) -> &RoomCounters {
        &self.counters
    }

    /// Has a panic happen here.
    #[cfg(feature = "fault-injection")]
    pub fn inject(&mut self, fault: crate::faults::Fault) {
        self.faults.arm(fault);
    }

    fn slot(&self, id: RoomId) -> Result<u32, RoomError> {
        self.by_id.get(&id).copied().ok_or(RoomError::Unknown)
    }

    fn room(&self, id: RoomId) -> Result<&Room, RoomError> {
        self.rooms.get(self.slot(id)?).ok_or(RoomError::Unknown)
    }
}

/// Milliseconds since the rooms were made. What is kept of a member has four bytes, which wrap after
/// 49 days; so only the distance between two near moments means anything.
#[derive(Debug)]
struct Clock {
    origin: Instant,
    /// The latest moment that was seen.
    latest: u64,
}

impl Clock {
    fn new(origin: Instant) -> Self {
        Self { origin, latest: 0 }
    }

    /// This moment, in four bytes.
    fn see(&mut self, now: Instant) -> u32 {
        let ms = now.saturating_duration_since(self.origin).as_millis() as u64;
        self.latest = self.latest.max(ms);
        ms as u32
    }

    /// The moment, not more than 49 days before the latest one.
    fn instant(&self, ms: u32) -> Instant {
        let ago = (self.latest as u32).wrapping_sub(ms);
        self.origin + Duration::from_millis(self.latest.saturating_sub(u64::from(ago)))
    }
}
