//! A room in which the server has panicked: it ends, and nothing of it is trusted but its record.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::people::UserCounts;
use super::room::{Live, Room};
use super::{MemberKey, Rooms, Status, Time};
use crate::connection::ConnectionId;
use crate::ids::RoomId;

/// Names a connection of a room that has failed, with what is left of the frame that its socket has
/// a part of. `None`: that cannot be said.
pub type Orphan = (ConnectionId, Option<Box<[u8]>>);

/// What is being changed, for whoever catches a panic meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    Place(u32),
    Room(RoomId),
}

impl Rooms {
    /// The room of that member.
    pub fn id_of(&self, key: MemberKey) -> Option<RoomId> {
        Some(self.rooms.get(key.room())?.record.id)
    }

    /// The room that was being changed when a call did not return.
    pub fn take_suspect(&mut self) -> Option<RoomId> {
        match self.at.take()? {
            At::Place(slot) => Some(self.rooms.get(slot)?.record.id),
            At::Room(id) => Some(id),
        }
    }

    /// Ends a room that may be half changed. Returns those who were its members until now.
    ///
    /// What is derived from all rooms is counted afresh, at some 0.2 µs for each user who is online.
    pub fn fail(&mut self, time: Time, id: RoomId) -> Vec<Orphan> {
        self.at = None;
        let Some(&slot) = self.by_id.get(&id) else {
            return Vec::new();
        };
        let Some(room) = self.rooms.get_mut(slot) else {
            return Vec::new();
        };
        let live = room.live.take();
        let left = live.as_deref().map(members).unwrap_or_default();
        if let Some(live) = live.filter(|_| room.record.status == Status::Live) {
            let record = &mut room.record;
            record.viewer_count = live.people.len() as u64;
            record.last_seq = record.last_seq.max(live.log.last_seq());
            record.updated_at = time.unix_ms;
            let record = record.clone();
            self.change_status(slot, Status::Ended);
            self.retire_later(time, &record);
        }
        self.recount();
        left
    }

    /// Counts what is derived from the rooms.
    fn recount(&mut self) {
        self.by_status = Default::default();
        self.open.clear();
        (self.online, self.members, self.kept.bytes) = (UserCounts::default(), 0, 0);
        for (&id, &slot) in &self.by_id {
            let Some(Room { record, live }) = self.rooms.get(slot) else {
                continue;
            };
            self.by_status[record.status as usize].insert(id);
            if record.status != Status::Ended {
                *self.open.entry(record.anchor.clone()).or_default() += 1;
            }
            if let Some(live) = live {
                self.members += live.members.len();
                self.kept.bytes += live.counted;
                live.people
                    .names()
                    .for_each(|user| self.online.arrive(user));
            }
        }
    }
}

/// The members of a room, and the rest of the frame that each has a part of.
fn members(live: &Live) -> Vec<Orphan> {
    let places = 0..live.members.end();
    let members = places.filter_map(|slot| live.members.get(slot));
    members
        .map(|member| {
            let rest = || live.log.rest_of_frame(member.cursor).map(Box::from);
            // The log may be what has failed.
            let rest = catch_unwind(AssertUnwindSafe(rest)).ok().flatten();
            (member.connection, rest)
        })
        .collect()
}
