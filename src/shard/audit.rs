//! What must be true of a shard between any two calls, whatever has happened to it before.

use super::Shard;
use crate::connection::Role;
use crate::totals::Total;

impl Shard {
    /// What does not hold, in words; nothing, when all is well. It looks at everything that there is.
    pub fn audit(&self) -> Vec<String> {
        let mut faults = self.rooms.audit();
        let mut check = |holds: bool, what: &str| {
            if !holds {
                faults.push(format!("shard {}: {what}", self.id.index()));
            }
        };
        check(
            self.sessions.len() == self.by_key.len(),
            "each session has one key",
        );
        check(
            self.sessions.len() == self.plane.sessions(),
            "each session is one of the media plane's",
        );
        for (id, session) in &self.sessions {
            check(
                self.by_key.get(&session.key) == Some(id),
                "a session's key names it",
            );
            check(
                self.plane.session(session.key).is_some(),
                "a session's key is alive",
            );
            let device = self.devices.get(&session.device);
            check(
                device.is_some_and(|device| device.sessions.contains(id)),
                "a session's device knows it",
            );
        }
        for device in self.devices.values() {
            check(
                device
                    .sessions
                    .iter()
                    .all(|id| self.sessions.contains_key(id)),
                "a device's sessions are there",
            );
            check(
                self.by_source.get(&device.source) == Some(&device.id),
                "a device's source names it",
            );
        }
        check(
            self.by_source.len() == self.devices.len(),
            "each device has one source",
        );
        let gauges = [
            (Total::Sessions, self.sessions.len()),
            (Total::Devices, self.devices.len()),
            (Total::Connections, self.connections.len()),
            (Total::Rooms, self.rooms.len()),
        ];
        for (total, count) in gauges {
            let gauge = self.totals.get(self.id, total);
            check(
                gauge == count,
                &format!("{total:?} is {gauge}, and there are {count}"),
            );
        }
        let mut members = 0;
        for connection in self.connections.iter() {
            let Role::Member(socket) = &connection.role else {
                continue;
            };
            let Some(key) = socket.key else { continue };
            members += 1;
            check(
                self.rooms.id_of(key) == Some(socket.room)
                    && self.rooms.connection_of(key) == Some(connection.id),
                "a member's key names its connection",
            );
        }
        check(
            members == self.rooms.members(),
            "each member of a room is a connection",
        );
        faults
    }
}
