//! What is known of each shard from outside it.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use crate::eventfd::EventFd;

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
    /// How often the watchdog has kicked it because it was parked and stood still.
    pub kicks: u64,
    /// Stand-stills while parked that ended after a kick: wake-ups that glommio had lost, or times
    /// in which the kernel gave the CPU to something else.
    pub lost_wakeups: u64,
    /// The longest time in which it has made no turn, to about 10 ms.
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
                kicks: vitals.watch.kicks.load(Ordering::Relaxed),
                lost_wakeups: vitals.watch.lost_wakeups.load(Ordering::Relaxed),
                longest_stall: Duration::from_micros(
                    vitals.watch.longest_stall_us.load(Ordering::Relaxed),
                ),
            })
    }
}

/// What a shard and the watchdog tell each other.
#[derive(Debug)]
pub(crate) struct Vitals {
    pub(crate) cpu: usize,
    pub(crate) pulse: Pulse,
    pub(crate) watch: Watch,
    /// In the shard's epoll set; signalled by a kick.
    pub(crate) kick: EventFd,
    /// Of the heartbeat task; woken by a kick.
    pub(crate) heartbeat: OnceLock<Waker>,
    life: AtomicU8,
}

/// Written by the shard alone, in each turn; on cache lines of its own (two, as the CPU prefetches
/// them in pairs).
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Pulse {
    turns: AtomicU64,
    parked: AtomicBool,
}

/// Written by the watchdog alone.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Watch {
    pub(crate) kicks: AtomicU64,
    pub(crate) lost_wakeups: AtomicU64,
    pub(crate) longest_stall_us: AtomicU64,
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

    pub(crate) fn set_parked(&self, parked: bool) {
        self.parked.store(parked, Ordering::Relaxed);
    }

    /// Whether the driver waits for glommio to wake it (and a kick can help).
    pub(crate) fn parked(&self) -> bool {
        self.parked.load(Ordering::Relaxed)
    }
}

impl Vitals {
    pub(crate) fn new(cpu: usize, kick: EventFd) -> Self {
        Self {
            cpu,
            // Before its first turn it is for glommio to get the main future going.
            pulse: Pulse {
                turns: AtomicU64::new(0),
                parked: AtomicBool::new(true),
            },
            watch: Watch::default(),
            kick,
            heartbeat: OnceLock::new(),
            life: AtomicU8::new(Life::Starting as u8),
        }
    }

    pub(crate) fn life(&self) -> Life {
        // Acquire: whoever sees `Running` also sees the heartbeat's waker.
        match self.life.load(Ordering::Acquire) {
            0 => Life::Starting,
            1 => Life::Running,
            2 => Life::Returned,
            _ => Life::Died,
        }
    }

    pub(crate) fn set_life(&self, life: Life) {
        self.life.store(life as u8, Ordering::Release);
    }

    /// Wakes the shard on two ways that share nothing but io_uring: through the epoll set, if the
    /// driver's poll is still armed, and through glommio's own eventfd, which gets any parked
    /// executor to run whatever is runnable even if that poll was consumed.
    pub(crate) fn kick(&self) {
        self.kick.signal();
        if let Some(waker) = self.heartbeat.get() {
            waker.wake_by_ref();
        }
    }
}
