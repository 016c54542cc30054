//! What must be true of a shard between any two calls, whatever has happened to it before.

use std::collections::BTreeSet;

use super::Shard;
use crate::connection::{ConnectionId, Fate, OUTPUT_HIGH_WATER_BYTES, Phase, Role};
use crate::limits::READ_BYTES;
use crate::rooms::UserCounts;
use crate::store::STORE_ROWS_PER_SHARD;
use crate::totals::Total;

/// Bytes of an answer at most: a page of a room's history at its worst.
const LARGEST_ANSWER_BYTES: usize = 6 << 20;

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
            self.by_age.values().collect::<BTreeSet<_>>() == self.sessions.keys().collect(),
            "each session has its age",
        );
        let mut watching = UserCounts::default();
        let users = self.sessions.values().map(|session| &session.user);
        users.for_each(|user| watching.arrive(user));
        check(watching == self.watching, "each session has its user");
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
        self.audit_holders(&mut faults);
        self.audit_connections(&mut faults);
        faults
    }

    /// Who devices and sessions say that they belong to.
    fn audit_holders(&self, faults: &mut Vec<String>) {
        for (id, session) in &self.sessions {
            let own = |role: &Role| matches!(role, Role::Viewer(it) if it.session == *id);
            if session
                .socket
                .is_some_and(|socket| !self.has_role(socket, own))
            {
                faults.push(format!("session {id} names a socket that is not its own"));
            }
        }
        let publishes = |role: &Role| match role {
            Role::Http(http) => matches!(http.phase, Phase::Publish(..)),
            Role::Agent(_) => true,
            Role::Viewer(_) | Role::Member(_) => false,
        };
        for (id, device) in &self.devices {
            for holder in [device.video, device.audio].into_iter().flatten() {
                let connection = holder.connection;
                if connection.is_some_and(|it| !self.has_role(it, publishes)) {
                    faults.push(format!("device {id} is held by who does not publish"));
                }
            }
            let agent = |role: &Role| matches!(role, Role::Agent(_));
            if device.agent.is_some_and(|it| !self.has_role(it, agent)) {
                faults.push(format!("device {id} has an agent that is none"));
            }
        }
        if self.plane.source_keys().count() != self.devices.len() {
            faults.push("each source of the media plane is a device's".to_owned());
        }
        if self.rows_in_flight() > STORE_ROWS_PER_SHARD as u64 {
            faults.push("the store has more rows to do than it may".to_owned());
        }
    }

    fn audit_connections(&self, faults: &mut Vec<String>) {
        // A request is handled while less than the high water waits: its answer comes on top.
        let most_output = OUTPUT_HIGH_WATER_BYTES + LARGEST_ANSWER_BYTES;
        let most_input = self.config.ws.message_bytes.max(READ_BYTES) + READ_BYTES;
        for connection in self.connections.iter() {
            let peer = connection.peer;
            if connection.output.len() > most_output {
                let bytes = connection.output.len();
                faults.push(format!("{bytes} B wait for {peer}"));
            }
            if connection.input.len() > most_input {
                let bytes = connection.input.len();
                faults.push(format!("{bytes} B of {peer} are not handled"));
            }
            if connection.alarm.deadline().is_none() {
                faults.push(format!("nothing ever ends the connection of {peer}"));
            }
            if let Role::Viewer(socket) = &connection.role
                && connection.fate == Fate::Stay
                && self
                    .sessions
                    .get(&socket.session)
                    .is_none_or(|session| session.socket != Some(connection.id))
            {
                faults.push(format!("{peer} watches a session that is not its own"));
            }
        }
        for (id, gather) in &self.gathers {
            let waits = |role: &Role| matches!(role, Role::Http(http) if matches!(&http.phase, Phase::Wait(_, it) if it == id));
            if !self.has_role(gather.connection, waits) {
                faults.push(format!("nobody waits for aggregate {id:?}"));
            }
        }
        let open = self.connections.len();
        if self.gathers.len() > open {
            faults.push(format!(
                "{} aggregates for {open} connections",
                self.gathers.len()
            ));
        }
    }

    fn has_role(&self, id: ConnectionId, is: impl Fn(&Role) -> bool) -> bool {
        self.connections.get(id).is_some_and(|it| is(&it.role))
    }
}
