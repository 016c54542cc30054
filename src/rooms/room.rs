//! A room, and what it has while it is live.

use super::heat::Heat;
use super::log::{Log, Recent};
use super::members::{BLOCKED_MOST_BYTES, Member};
use super::people::People;
use super::rate::Bucket;
use super::repeats::Repeats;
use super::slots::Slots;
use super::sweep::Sweep;
use super::{RoomError, RoomRecord, Status};

/// A room. One that is not live is its record.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) record: RoomRecord,
    /// While it is live, and after its end until the last member is gone.
    pub(super) live: Option<Box<Live>>,
}

/// What a live room has.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) log: Log,
    pub(super) members: Slots<Member>,
    /// Members whose sockets refuse bytes.
    pub(super) blocked: usize,
    /// Where the log stood at the last two turns of the blocked members' clock, or where those that
    /// have blocked since stand.
    pub(super) marks: [u64; 2],
    /// That clock runs.
    pub(super) rotating: bool,
    pub(super) people: People,
    pub(super) sweep: Sweep,
    /// What [`super::kept::Kept`] counts of its log.
    pub(super) counted: u64,
    /// Its messages were appended or taken, so that its log may be trimmed.
    pub(super) touched: bool,
    pub(super) intake: Bucket,
    pub(super) repeats: Repeats,
    pub(super) heat: Heat,
    /// Its record as it was stored does not have its `last_seq` and heat any more.
    pub(super) moved: bool,
    /// It was live when the server ended, and its anchor was not heard of since.
    pub(super) awaits_anchor: bool,
    /// The next member to be cut, once those that have not taken the room's end are.
    pub(super) cut_from: u32,
}

impl Live {
    pub(super) fn new(record: &RoomRecord, log: Log) -> Self {
        Self {
            sweep: Sweep::new(log.end()),
            log,
            members: Slots::default(),
            blocked: 0,
            marks: [0; 2],
            rotating: false,
            people: People::default(),
            counted: 0,
            touched: false,
            intake: Bucket::full(),
            repeats: Repeats::default(),
            heat: Heat::new(record.heat, record.updated_at),
            moved: false,
            awaits_anchor: false,
            cut_from: 0,
        }
    }

    /// Lets go of what nobody needs any more: what every member has that takes bytes, and what those
    /// that do not are given up for. Whether anything went.
    pub(super) fn trim(&mut self, recent: Recent) -> bool {
        if self.log.is_closed() {
            // It grows no more, and its end is for everybody who is left.
            return false;
        }
        let end = self.log.end();
        let floor = match (self.members.is_empty(), self.blocked) {
            (true, _) => end,
            (false, 0) => self.sweep.given(),
            (false, _) => {
                let held = self.marks[0].max(end.saturating_sub(BLOCKED_MOST_BYTES));
                self.sweep.given().min(held)
            }
        };
        self.log.trim(floor, recent)
    }
}

impl Room {
    /// Its live half, if members and messages may come.
    pub(super) fn open(&mut self) -> Result<&mut Live, RoomError> {
        self.is_open()?;
        self.live.as_deref_mut().ok_or(RoomError::NotLive)
    }

    pub(super) fn is_open(&self) -> Result<(), RoomError> {
        match self.record.status {
            Status::Live => Ok(()),
            Status::Idle => Err(RoomError::NotLive),
            Status::Ended => Err(RoomError::Ended),
        }
    }

    /// Distinct users now, or at its end.
    pub(super) fn viewer_count(&self) -> u64 {
        match &self.live {
            Some(live) if self.record.status == Status::Live => live.people.len() as u64,
            _ => self.record.viewer_count,
        }
    }
}

/// The live half of the room in this place.
pub(super) fn live_of(rooms: &mut Slots<Room>, slot: u32) -> Option<&mut Live> {
    rooms.get_mut(slot)?.live.as_deref_mut()
}
