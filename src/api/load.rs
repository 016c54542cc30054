//! `/api/v1/stats/shards`: where the time of each shard goes.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use crate::metrics::Label;
use crate::shard::Shard;

/// What a shard has counted since it started: whoever asks twice knows the rates.
#[derive(Debug, Serialize)]
pub struct Load {
    /// Since the shard started: the clock of the other figures.
    uptime_seconds: f64,
    busy_seconds: f64,
    cpu_seconds: f64,
    stage_seconds: BTreeMap<&'static str, f64>,
    turns: u64,
    /// Turns that took no longer than each bound.
    turn_buckets: Vec<Bucket>,
    longest_turn_seconds: f64,
    events: u64,
    datagrams_received: u64,
    receives: u64,
    datagrams_sent: u64,
    sends: u64,
    room_deliveries: u64,
    room_sweeps: u64,
    mailbox_depth: u64,
    mailbox_deepest: u64,
    mailbox_refused: u64,
    hand_overs_in: u64,
    hand_overs_out: u64,
    connections: usize,
    sessions: usize,
}

/// As Prometheus has them.
#[derive(Debug, Serialize)]
struct Bucket {
    /// Seconds.
    le: f64,
    count: u64,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Loads {
    shards: Vec<ShardLoad>,
}

#[derive(Debug, Serialize)]
struct ShardLoad {
    shard: usize,
    /// Whether it has answered in time. One that has not has no figures.
    up: bool,
    #[serde(flatten)]
    load: Option<Load>,
}

impl Loads {
    /// What the shards gave, by index.
    pub(crate) fn new(parts: impl Iterator<Item = Option<Load>>) -> Self {
        let shards = parts.enumerate().map(|(shard, load)| ShardLoad {
            shard,
            up: load.is_some(),
            load,
        });
        Self {
            shards: shards.collect(),
        }
    }
}

impl Shard {
    /// This shard's part.
    pub(crate) fn load(&self, now: Instant) -> Load {
        let metrics = &self.metrics;
        let load = &metrics.load;
        let buckets = load.turns.cumulative();
        let stages = load.stages();
        let rooms = self.rooms.counters();
        Load {
            uptime_seconds: now.saturating_duration_since(self.started).as_secs_f64(),
            busy_seconds: load.turns.sum(),
            cpu_seconds: load.cpu.as_secs_f64(),
            stage_seconds: stages
                .map(|(stage, time)| (stage.as_str(), time.as_secs_f64()))
                .collect(),
            turns: load.turns.count(),
            turn_buckets: buckets.map(|(le, count)| Bucket { le, count }).collect(),
            longest_turn_seconds: load.longest_turn.get().as_secs_f64(),
            events: load.events.sum() as u64,
            datagrams_received: load.received.sum() as u64,
            receives: load.received.count(),
            datagrams_sent: load.runs.sum() as u64,
            sends: load.runs.count(),
            room_deliveries: rooms.deliveries,
            room_sweeps: rooms.sweeps,
            mailbox_depth: load.mailbox,
            mailbox_deepest: load.deepest_mailbox.get(),
            mailbox_refused: metrics.mailbox_full,
            hand_overs_in: metrics.connections_adopted,
            hand_overs_out: metrics.connections_handed_over,
            connections: self.connections.len(),
            sessions: self.sessions.len(),
        }
    }
}
