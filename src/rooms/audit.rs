//! What must be true of the rooms between any two calls.

use super::people::UserCounts;
use super::{MemberKey, Rooms, Status};
use crate::connection::ConnectionId;

impl Rooms {
    /// The connection of that member.
    pub(crate) fn connection_of(&self, key: MemberKey) -> Option<ConnectionId> {
        let live = self.rooms.get(key.room())?.live.as_deref()?;
        Some(live.members.get(key.member())?.connection)
    }

    /// What does not hold, in words.
    pub fn audit(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let (mut members, mut bytes, mut open) = (0, 0, 0);
        let mut online = UserCounts::default();
        for (&id, &slot) in &self.by_id {
            let mut check = |holds: bool, what: &str| {
                if !holds {
                    faults.push(format!("room {id}: {what}"));
                }
            };
            let Some(room) = self.rooms.get(slot) else {
                check(false, "it has no place");
                continue;
            };
            check(room.record.id == id, "its place is another room's");
            let stands = |status: Status| self.by_status[status as usize].contains(&id);
            check(
                Status::ALL
                    .into_iter()
                    .all(|status| stands(status) == (status == room.record.status)),
                "it is listed as what it is",
            );
            open += usize::from(room.record.status != Status::Ended);
            check(
                room.record.status != Status::Live || room.live.is_some(),
                "a live room has what it takes",
            );
            let Some(live) = &room.live else { continue };
            members += live.members.len();
            bytes += live.counted;
            live.people.names().for_each(|user| online.arrive(user));
            let (mut blocked, mut found) = (0, 0);
            let places = 0..live.members.end();
            for member in places.filter_map(|slot| live.members.get(slot)) {
                found += 1;
                blocked += usize::from(member.is_blocked());
                check(
                    member.cursor <= live.log.end(),
                    "a cursor is within the log",
                );
            }
            check(found == live.members.len(), "its members are counted");
            check(blocked == live.blocked, "its blocked members are counted");
        }
        let mut check = |holds: bool, what: &str| {
            if !holds {
                faults.push(format!("rooms: {what}"));
            }
        };
        check(members == self.members, "members are counted");
        check(bytes == self.kept.bytes, "what logs hold is counted");
        check(online == self.online, "who is online is known");
        check(
            open == self.open.values().sum::<usize>(),
            "open rooms are counted by anchor",
        );
        let listed: usize = self.by_status.iter().map(|ids| ids.len()).sum();
        check(listed == self.by_id.len(), "each room is listed once");
        faults
    }
}
