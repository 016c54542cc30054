//! Totals over the process, for the caps on them: each shard writes its own cell, every shard
//! reads all of them. And what holds for the process as a whole.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::placement::ShardId;

/// The gauges of all shards. Single writer each, so a sum may be a moment old: two shards that
/// admit at the same instant may pass a cap by one each.
#[derive(Debug)]
pub struct Totals {
    shards: Box<[Cells]>,
    /// The process was asked to end.
    stopping: AtomicBool,
    /// Bytes; 0: there is no limit.
    memory_limit: AtomicU64,
    memory_short: AtomicBool,
}

/// One shard's gauges, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Cells([AtomicUsize; Total::COUNT]);

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// WebRTC sessions.
    Sessions,
    /// Devices that are known.
    Devices,
    /// Sessions of the media plane that no session of the API has.
    Orphans,
    /// Rooms of any status.
    Rooms,
    /// TCP connections.
    Connections,
    /// Entries of timer wheels.
    Timers,
    /// Rows that the store is not done with.
    StoreRows,
    /// Sessions that a shutdown closed.
    Drained,
    /// Members of rooms that a shutdown closed.
    DrainedMembers,
}

impl Total {
    const COUNT: usize = 9;
}

impl Totals {
    /// All zero.
    pub fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| Cells::default()).collect(),
            stopping: AtomicBool::new(false),
            memory_limit: AtomicU64::new(0),
            memory_short: AtomicBool::new(false),
        }
    }

    /// Sets the shard's own gauge. Only that shard may.
    pub fn set(&self, shard: ShardId, what: Total, value: usize) {
        self.shards[shard.index()].0[what as usize].store(value, Ordering::Relaxed);
    }

    /// The sum over the shards.
    pub fn sum(&self, what: Total) -> usize {
        self.shards
            .iter()
            .map(|cells| cells.0[what as usize].load(Ordering::Relaxed))
            .sum()
    }

    /// The process was asked to end: it is not ready for new clients any more, although those that come
    /// are served until it drains.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether it was.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// What the memory of the process was found to be: its limit in bytes, if it has one, and whether new
    /// work is to be refused for the sake of what runs.
    pub fn set_memory(&self, limit: Option<u64>, short: bool) {
        let limit = limit.unwrap_or_default();
        self.memory_limit.store(limit, Ordering::Relaxed);
        self.memory_short.store(short, Ordering::Relaxed);
    }

    /// The limit of memory in bytes; `None`: there is none.
    pub fn memory_limit(&self) -> Option<u64> {
        Some(self.memory_limit.load(Ordering::Relaxed)).filter(|&limit| limit > 0)
    }

    /// Whether memory is short.
    pub fn is_memory_short(&self) -> bool {
        self.memory_short.load(Ordering::Relaxed)
    }
}
