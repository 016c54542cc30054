//! What a shard waits on: its descriptors, its tick, and a deadline.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::epoll::{Epoll, Readiness, Token, Trigger};
use crate::health::Vitals;
use crate::watchdog::LOOK_EVERY;

/// The granularity of a shard's timers. Waking an idle shard costs 10 to 20 µs of CPU, so ticks alone
/// are 0.2 to 0.4 % of a core; half of it would double that and serve no timer that this server has.
pub const TICK: Duration = Duration::from_millis(5);

/// The longest sleep of a shard that says that it rests: shorter than the watchdog's pause between two
/// looks, which must find that it has turned. It brings the cost of ticks down to an eighth.
pub const LONGEST_REST: Duration = Duration::from_millis(40);
const _: () = assert!(LONGEST_REST.as_nanos() < LOOK_EVERY.as_nanos());

/// Descriptors reported per turn. What is left comes in the next turn; more would only delay the
/// tick and the flush.
pub const EVENTS_PER_TURN: usize = 256;

/// The descriptors and the clock of one shard.
#[derive(Debug)]
pub struct Reactor {
    epoll: Epoll,
    last_tick: Instant,
    /// For the coming sleep.
    rest: Option<Instant>,
    vitals: Arc<Vitals>,
    buffer: Box<[libc::epoll_event]>,
}

/// Why [`Reactor::wait`] has returned.
#[derive(Clone, Copy, Debug)]
pub struct Wake {
    /// The time of this turn.
    pub now: Instant,
    /// At least [`TICK`] has passed since the last turn for which this was set.
    pub tick: bool,
    /// How much later than it should a tick comes: the shard or its CPU was busy.
    pub lag: Duration,
}

impl Reactor {
    /// # Errors
    /// If the kernel gives no more descriptors.
    pub(crate) fn new(vitals: Arc<Vitals>) -> io::Result<Self> {
        let buffer = vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_PER_TURN];
        Ok(Self {
            epoll: Epoll::new()?,
            last_tick: Instant::now(),
            rest: None,
            vitals,
            buffer: buffer.into_boxed_slice(),
        })
    }

    /// Watches `fd` until it is closed or [`Reactor::deregister`]ed, and reports it as `token`.
    ///
    /// # Errors
    /// `AlreadyExists` if it is watched, and whatever else epoll_ctl(2) refuses.
    pub fn register(&self, fd: BorrowedFd<'_>, token: Token, trigger: Trigger) -> io::Result<()> {
        self.epoll.add(fd, token, trigger)
    }

    /// Stops watching `fd`. News of it that the last [`Reactor::wait`] has already reported stays
    /// reported.
    ///
    /// # Errors
    /// `NotFound` if it is not watched.
    pub fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.epoll.remove(fd)
    }

    /// The clock that [`Wake::now`] and every deadline refer to.
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Lets the coming [`Reactor::wait`] sleep through ticks, as nothing is due before `until`, but for
    /// no longer than [`LONGEST_REST`] from the last one.
    pub fn rest(&mut self, until: Instant) {
        self.rest = Some(until);
    }

    /// Begins a turn: returns at once if a descriptor is ready, a tick is over or `deadline` has
    /// passed, and else sleeps in the kernel until that is so. `events` is cleared and filled with at
    /// most [`EVENTS_PER_TURN`] descriptors.
    ///
    /// The thread itself sleeps: a shard has no other task that could run meanwhile, and a sleep
    /// through glommio's rings costs several times as much.
    pub fn wait(&mut self, deadline: Option<Instant>, events: &mut Vec<Readiness>) -> Wake {
        events.clear();
        let tick_at = match self.rest.take() {
            None => self.last_tick + TICK,
            Some(rest) => rest.clamp(self.last_tick + TICK, self.last_tick + LONGEST_REST),
        };
        let until = deadline.map_or(tick_at, |deadline| deadline.min(tick_at));
        let mut now = Instant::now();
        loop {
            self.vitals.pulse.turn();
            let timeout = until.saturating_duration_since(now);
            self.epoll.wait(&mut self.buffer, timeout, |readiness| {
                events.push(readiness)
            });
            now = Instant::now();
            if now >= until || !events.is_empty() {
                break;
            }
        }
        let tick = now >= self.last_tick + TICK;
        if tick {
            self.last_tick = now;
        }
        Wake {
            now,
            tick,
            lag: now.saturating_duration_since(tick_at),
        }
    }
}
