//! What a shard holds and has counted, for whoever knows what it should be (`simulation`).

use super::Shard;
use crate::ids::{DeviceId, RoomId, SessionId};
use crate::rooms::RoomFilter;

/// A shard between two turns.
#[derive(Debug)]
pub struct Holdings {
    /// The sessions that it has.
    pub sessions: Vec<SessionId>,
    /// The devices that it has.
    pub devices: Vec<DeviceId>,
    /// The rooms that it has.
    pub rooms: Vec<RoomId>,
    /// Connections that it has.
    pub connections: usize,
    /// Timers in the wheel, stale ones included.
    pub timers: usize,
    /// Messages that rooms broadcast, presence aside.
    pub broadcast: u64,
    /// Requests answered.
    pub answers: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections handed over to another shard.
    pub handed_over: u64,
    /// Connections that ended here.
    pub ended: u64,
    /// Sessions that ended.
    pub sessions_ended: u64,
    /// Panics that were caught.
    pub panics: u64,
}

impl Shard {
    /// Takes as long as there is much.
    pub fn holdings(&self) -> Holdings {
        let counters = self.rooms.counters();
        let all = RoomFilter {
            status: None,
            after: None,
            limit: usize::MAX,
        };
        let rooms = self.rooms.list(&all).into_iter();
        Holdings {
            sessions: self.sessions.keys().copied().collect(),
            devices: self.devices.keys().cloned().collect(),
            rooms: rooms.map(|room| room.id).collect(),
            connections: self.connections.len(),
            timers: self.timers(),
            broadcast: counters.danmu + counters.gift + counters.like + counters.system,
            answers: self.metrics.requests_answered(),
            accepted: self.metrics.connections_accepted,
            handed_over: self.metrics.connections_handed_over,
            ended: self.metrics.connections_closed.total(),
            sessions_ended: self.metrics.sessions_ended(),
            panics: self.metrics.panics.total(),
        }
    }
}
