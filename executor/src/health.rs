//! What is known of each shard from outside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// The state of every shard, for `/metrics`. Reading it costs a shard nothing.
#[derive(Clone, Debug)]
pub struct Health {
    pub(crate) shards: Arc<[Arc<Vitals>]>,
}

/// One shard's state, as of one moment.
#[derive(Clone, Copy, Debug)]
pub struct ShardHealth {
    /// Which shard.
    pub index: usize,
    /// The CPU on which it is pinned.
    pub cpu: usize,
    /// Whether its main future is running: neither returned nor panicked.
    pub running: bool,
    /// Turns of its loop since it started.
    pub turns: u64,
    /// The longest time in which it has made no turn, to about 50 ms.
    pub longest_stall: Duration,
}

impl Health {
    /// The shards in the order of their indices.
    pub fn shards(&self) -> impl Iterator<Item = ShardHealth> + '_ {
        self.shards
            .iter()
            .enumerate()
            .map(|(index, vitals)| ShardHealth {
                index,
                cpu: vitals.cpu,
                running: vitals.life() == Life::Running,
                turns: vitals.pulse.turns(),
                longest_stall: vitals.longest_stall(),
            })
    }
}

/// What a shard and the watchdog tell each other.
#[derive(Debug)]
pub(crate) struct Vitals {
    pub(crate) cpu: usize,
    pub(crate) pulse: Pulse,
    /// Written by the watchdog alone.
    longest_stall_us: AtomicU64,
    life: AtomicU8,
}

/// Written by the shard alone, in each turn; on cache lines of its own (two, as the CPU prefetches
/// them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Pulse {
    turns: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Life {
    /// Not watched yet.
    Starting,
    Running,
    Returned,
    Died,
}

impl Pulse {
    /// Counts a turn. There is one writer, so a load and a store are enough.
    pub(crate) fn turn(&self) {
        self.turns
            .store(self.turns.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }
}

impl Vitals {
    pub(crate) fn new(cpu: usize) -> Self {
        Self {
            cpu,
            pulse: Pulse::default(),
            longest_stall_us: AtomicU64::new(0),
            life: AtomicU8::new(Life::Starting as u8),
        }
    }

    pub(crate) fn life(&self) -> Life {
        match self.life.load(Ordering::Relaxed) {
            0 => Life::Starting,
            1 => Life::Running,
            2 => Life::Returned,
            _ => Life::Died,
        }
    }

    pub(crate) fn set_life(&self, life: Life) {
        self.life.store(life as u8, Ordering::Relaxed);
    }

    pub(crate) fn longest_stall(&self) -> Duration {
        Duration::from_micros(self.longest_stall_us.load(Ordering::Relaxed))
    }

    /// Remembers a stand-still if it is the longest. For the watchdog alone.
    pub(crate) fn stood_still(&self, time: Duration) {
        if time > self.longest_stall() {
            let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            self.longest_stall_us.store(micros, Ordering::Relaxed);
        }
    }
}
