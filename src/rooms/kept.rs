//! What rooms keep of what they have said, all of a shard together.

use std::time::Instant;

use super::Rooms;
use super::fail::At;
use super::log::{RECENT_BYTES, RECENT_TOTAL_BYTES, Recent};
use super::room::live_of;
use crate::faults::Place;

/// Other rooms that let go of something when one has said something, at some 100 ns each: enough to
/// make room for it wherever it is.
const OTHERS: usize = 8;

/// The logs of a shard's rooms.
#[derive(Debug)]
pub(super) struct Kept {
    /// Bytes that they hold, whoever needs them.
    pub(super) bytes: u64,
    /// Past this, rooms keep their share of it alone.
    pub(super) most: u64,
    /// The place of the room that was last made to let go of what is past its share.
    last: u32,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            bytes: 0,
            most: RECENT_TOTAL_BYTES,
            last: 0,
        }
    }
}

impl Rooms {
    /// Lets go of what nobody needs of a room's log. While the rooms hold too much, others do so too,
    /// each in its turn: those that say nothing have no more than their share either.
    pub(super) fn trim(&mut self, now: Instant, slot: u32) {
        self.trim_one(now, slot);
        let mut others = OTHERS;
        while self.kept.bytes > self.kept.most && others > 0 {
            others -= 1;
            self.kept.last = (self.kept.last + 1) % self.rooms.end().max(1);
            self.trim_one(now, self.kept.last);
        }
    }

    fn trim_one(&mut self, now: Instant, slot: u32) {
        self.at = Some(At::Place(slot));
        self.faults.pass(Place::RoomFlush);
        let share = match self.kept.bytes > self.kept.most {
            true => self.kept.most / self.live().max(1) as u64,
            false => RECENT_BYTES,
        };
        let recent = Recent {
            messages: self.config.recent,
            bytes: share.min(RECENT_BYTES),
        };
        let Some(live) = live_of(&mut self.rooms, slot) else {
            return;
        };
        live.touched = false;
        let went = live.trim(recent);
        let held = live.log.held();
        self.kept.bytes = self.kept.bytes + held - live.counted;
        live.counted = held;
        if went && live.blocked > 0 {
            // A sweep finds those that are left behind.
            live.sweep.look_again();
            self.sweeps.said(now, slot, live);
        }
    }
}
