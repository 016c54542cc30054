//! What a shard holds, for whoever checks it from outside after every step (`simulation`).

use super::Shard;
use crate::connection::{ConnectionId, Fate, OUTPUT_HIGH_WATER_BYTES, Phase, Role};
use crate::ids::{DeviceId, RoomId, SessionId};
use crate::limits::READ_BYTES;
use crate::rooms::RoomFilter;
use crate::store::STORE_ROWS_PER_SHARD;

/// A shard between two turns, read and not changed.
#[derive(Debug)]
pub struct Audit {
    /// The sessions that it has.
    pub sessions: Vec<SessionId>,
    /// The devices that it has.
    pub devices: Vec<DeviceId>,
    /// The rooms that it has.
    pub rooms: Vec<RoomId>,
    /// Connections that it has.
    pub connections: usize,
    /// Of those, members of rooms.
    pub members: usize,
    /// Aggregates that wait for answers.
    pub gathers: usize,
    /// Timers in the wheel, stale ones included.
    pub timers: usize,
    /// Messages that rooms broadcast, presence aside.
    pub broadcast: u64,
    /// Requests answered.
    pub answers: u64,
    /// Connections accepted, handed over to another shard, and ended here.
    pub accepted: [u64; 3],
    /// Sessions that ended.
    pub sessions_ended: u64,
    /// Panics that were caught.
    pub panics: u64,
    /// Tables that do not agree with each other, and buffers past their bounds: none.
    pub faults: Vec<String>,
}

impl Shard {
    /// Reads all tables, so it takes as long as they are large.
    pub fn audit(&self) -> Audit {
        let mut faults = Vec::new();
        self.audit_sessions(&mut faults);
        self.audit_devices(&mut faults);
        self.audit_connections(&mut faults);
        let members = self.connections.iter().filter(|connection| {
            matches!(&connection.role, Role::Member(socket) if socket.key.is_some())
        });
        let members = members.count();
        if members != self.rooms.members() {
            let rooms = self.rooms.members();
            faults.push(format!(
                "{members} connections are members, rooms have {rooms}"
            ));
        }
        if self.rows_in_flight() > STORE_ROWS_PER_SHARD as u64 {
            let rows = self.rows_in_flight();
            faults.push(format!("the store has not done {rows} rows"));
        }
        let counters = self.rooms.counters();
        Audit {
            sessions: self.sessions.keys().copied().collect(),
            devices: self.devices.keys().cloned().collect(),
            rooms: self
                .rooms
                .list(&RoomFilter {
                    status: None,
                    after: None,
                    limit: usize::MAX,
                })
                .into_iter()
                .map(|room| room.id)
                .collect(),
            connections: self.connections.len(),
            members,
            gathers: self.gathers.len(),
            timers: self.timers(),
            broadcast: counters.danmu + counters.gift + counters.like + counters.system,
            answers: self.metrics.requests_answered(),
            accepted: [
                self.metrics.connections_accepted,
                self.metrics.connections_handed_over,
                self.metrics.connections_closed.total(),
            ],
            sessions_ended: self.metrics.sessions_ended(),
            panics: self.metrics.panics,
            faults,
        }
    }

    fn audit_sessions(&self, faults: &mut Vec<String>) {
        let sizes = [
            self.sessions.len(),
            self.by_key.len(),
            self.plane.sessions(),
            self.devices.values().map(|it| it.sessions.len()).sum(),
        ];
        if sizes.iter().any(|&size| size != sizes[0]) {
            faults.push(format!(
                "sessions, by key, in the plane, of devices: {sizes:?}"
            ));
        }
        for (id, session) in &self.sessions {
            let device = self.devices.get(&session.device);
            if self.by_key.get(&session.key) != Some(id) {
                faults.push(format!("session {id} is not found by its key"));
            }
            if self.plane.session(session.key).is_none() {
                faults.push(format!("session {id} is not in the plane"));
            }
            if device.is_none_or(|device| !device.sessions.contains(id)) {
                faults.push(format!("session {id} is not one of its device's"));
            }
            if let Some(socket) = session.socket
                && !self.has_role(
                    socket,
                    |role| matches!(role, Role::Viewer(it) if it.session == *id),
                )
            {
                faults.push(format!("session {id} names a socket that is not its own"));
            }
        }
    }

    fn audit_devices(&self, faults: &mut Vec<String>) {
        let sizes = [
            self.devices.len(),
            self.by_source.len(),
            self.plane.source_keys().count(),
        ];
        if sizes.iter().any(|&size| size != sizes[0]) {
            faults.push(format!("devices, by source, in the plane: {sizes:?}"));
        }
        for (id, device) in &self.devices {
            if self.by_source.get(&device.source) != Some(id) {
                faults.push(format!("device {id} is not found by its source"));
            }
            for holder in [device.video, device.audio].into_iter().flatten() {
                let publishes = |role: &Role| match role {
                    Role::Http(http) => matches!(http.phase, Phase::Publish(..)),
                    Role::Agent(_) => true,
                    Role::Viewer(_) | Role::Member(_) => false,
                };
                if let Some(connection) = holder.connection
                    && !self.has_role(connection, publishes)
                {
                    faults.push(format!("device {id} is held by who does not publish"));
                }
            }
            if let Some(agent) = device.agent
                && !self.has_role(agent, |role| matches!(role, Role::Agent(_)))
            {
                faults.push(format!("device {id} has an agent that is none"));
            }
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

/// Bytes of an answer at most: a page of a room's history at its worst.
const LARGEST_ANSWER_BYTES: usize = 6 << 20;
