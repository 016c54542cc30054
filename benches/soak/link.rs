//! The link between server and clients: packets of one TUN device come out of the other, late, twice, in another order,
//! or never. In this process and not `tc netem`, which many kernels come without; the figures mean the same there.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::dice::Dice;

/// Packets of 1,000 that are lost in each direction.
pub const LOST: u64 = 20;
/// Packets of 1,000 that overtake those before them.
pub const OVERTAKING: u64 = 10;
/// Packets of 1,000 that come twice.
pub const REPEATED: u64 = 5;
/// A packet takes so long one way, …
pub const DELAY: Duration = Duration::from_millis(20);
/// … and up to so much more or less, in steps from packet to packet.
pub const JITTER: Duration = Duration::from_millis(10);
/// The largest such step.
const JITTER_STEP: Duration = Duration::from_micros(500);

/// Packets under way in one direction, as in a router's queue; more are lost. At 1,500 B 6 MB.
const QUEUE_PACKETS: usize = 4096;
/// Larger than the largest packet of a device with the usual MTU of 1,500.
const PACKET_BYTES: usize = 2048;
/// A thread with nothing to send looks up so often, to end with the link.
const IDLE: Duration = Duration::from_millis(100);
/// Seed of the link's own dice: the chances count, not the order.
const SEED: u64 = 7;

/// Two threads that carry packets until it is dropped.
pub struct Link {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cut: AtomicBool,
    ended: AtomicBool,
    carried: AtomicU64,
    lost: AtomicU64,
}

/// Packets of both directions.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    pub carried: u64,
    pub lost: u64,
}

impl Link {
    /// # Errors
    /// Those of cloning a descriptor.
    pub fn start(near: File, far: File) -> io::Result<Self> {
        let state = Arc::new(State::default());
        let ways = [(near.try_clone()?, far.try_clone()?), (far, near)];
        for (number, (from, to)) in ways.into_iter().enumerate() {
            let way = Way {
                from,
                to,
                state: Arc::clone(&state),
                dice: Dice::new(SEED, number as u64),
                jitter: Duration::ZERO,
                under_way: BinaryHeap::new(),
                taken: 0,
            };
            thread::spawn(move || way.run());
        }
        Ok(Self { state })
    }

    /// Loses everything from now on, or no more than usual.
    pub fn cut(&self, cut: bool) {
        self.state.cut.store(cut, Ordering::Relaxed);
    }

    pub fn carried(&self) -> Carried {
        Carried {
            carried: self.state.carried.load(Ordering::Relaxed),
            lost: self.state.lost.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
    }
}

/// One direction.
struct Way {
    from: File,
    to: File,
    state: Arc<State>,
    dice: Dice,
    /// On top of `DELAY - JITTER`; up to twice `JITTER`.
    jitter: Duration,
    under_way: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    /// Packets so far, so that those due at once leave in their order.
    taken: u64,
}

impl Way {
    fn run(mut self) {
        while !self.state.ended.load(Ordering::Relaxed) {
            self.wait();
            self.take();
            self.deliver();
        }
    }

    fn wait(&self) {
        let next = self.under_way.peek().map(|Reverse((due, ..))| *due);
        let wait = next.map_or(IDLE, |due| due.saturating_duration_since(Instant::now()));
        let wait = Timespec::try_from(wait.min(IDLE)).expect("100 ms");
        let mut readable = [PollFd::new(&self.from, PollFlags::IN)];
        // Interrupted by a signal is as good as nothing to do.
        let _ = poll(&mut readable, Some(&wait));
    }

    fn take(&mut self) {
        let mut packet = [0; PACKET_BYTES];
        while let Ok(length) = self.from.read(&mut packet) {
            let full = self.under_way.len() >= QUEUE_PACKETS;
            if full || self.state.cut.load(Ordering::Relaxed) || self.in_a_thousand(LOST) {
                self.state.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let copies = 1 + u64::from(self.in_a_thousand(REPEATED));
            for _ in 0..copies {
                let due = self.due();
                self.taken += 1;
                let late = (due, self.taken, packet[..length].to_vec());
                self.under_way.push(Reverse(late));
            }
        }
    }

    fn due(&mut self) -> Instant {
        let now = Instant::now();
        if self.in_a_thousand(OVERTAKING) {
            return now;
        }
        let step = Duration::from_nanos(self.dice.below(JITTER_STEP.as_nanos() as u64));
        self.jitter = match self.dice.one_in(2) {
            true => (self.jitter + step).min(2 * JITTER),
            false => self.jitter.saturating_sub(step),
        };
        now + (DELAY - JITTER) + self.jitter
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while self
            .under_way
            .peek()
            .is_some_and(|Reverse((due, ..))| *due <= now)
        {
            let Some(Reverse((_, _, packet))) = self.under_way.pop() else {
                return;
            };
            match self.to.write(&packet) {
                Ok(_) => self.state.carried.fetch_add(1, Ordering::Relaxed),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => self.state.lost.fetch_add(1, Ordering::Relaxed),
            };
        }
    }

    fn in_a_thousand(&mut self, n: u64) -> bool {
        self.dice.below(1000) < n
    }
}
