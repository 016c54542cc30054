//! What a shard waits on: its descriptors, its tick, and a deadline.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use glommio::timer::Timer;

use crate::epoll::{Epoll, Readiness, Token, Trigger};
use crate::health::Vitals;
use crate::readable::Readable;
use crate::timerfd::TimerFd;

/// The granularity of a shard's timers, and its heartbeat. A tick of an idle shard costs 40 to 65 µs
/// of CPU, nearly all of it glommio waking up and going to sleep again, so this is about 1 % of a
/// core; half of it would double that and serve no timer that this server has.
pub const TICK: Duration = Duration::from_millis(5);

/// Descriptors reported per turn. What is left comes in the next turn; more would only delay the
/// tick and the flush.
pub const EVENTS_PER_TURN: usize = 256;

/// Tokens from here on are the reactor's own.
const RESERVED: u64 = u64::MAX - 1;
const KICK: Token = Token(RESERVED);
const DEADLINE: Token = Token(RESERVED + 1);

/// The descriptors and the clock of one shard.
#[derive(Debug)]
pub struct Reactor {
    epoll: Epoll,
    readable: Readable,
    timer: TimerFd,
    /// The deadline for which `timer` is set and has not fired.
    timer_set_for: Option<Instant>,
    heart: Rc<Heart>,
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
}

impl Reactor {
    /// # Errors
    /// If the kernel gives no more descriptors.
    pub(crate) fn new(vitals: Arc<Vitals>, heart: Rc<Heart>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let timer = TimerFd::new()?;
        epoll.add(vitals.kick.as_fd(), KICK, Trigger::Edge)?;
        epoll.add(timer.as_fd(), DEADLINE, Trigger::Edge)?;
        let readable = Readable::new(epoll.as_fd())?;
        let buffer = vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_PER_TURN];
        Ok(Self {
            epoll,
            readable,
            timer,
            timer_set_for: None,
            heart,
            vitals,
            buffer: buffer.into_boxed_slice(),
        })
    }

    /// Watches `fd` until it is closed or [`Reactor::deregister`]ed, and reports it as `token`.
    ///
    /// # Errors
    /// `AlreadyExists` if it is watched, `InvalidInput` for the two highest tokens (they are the
    /// reactor's own), and whatever else epoll_ctl(2) refuses.
    pub fn register(&self, fd: BorrowedFd<'_>, token: Token, trigger: Trigger) -> io::Result<()> {
        if token.0 >= RESERVED {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the two highest tokens are the reactor's own",
            ));
        }
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

    /// Begins a turn: returns at once if a descriptor is ready, a tick is over or `deadline` has
    /// passed, and else as soon as that is so. `events` is cleared and filled with at most
    /// [`EVENTS_PER_TURN`] descriptors.
    ///
    /// While there is work it neither suspends the task nor enters glommio: readiness comes from
    /// epoll and the tick from the clock, so a busy shard cannot starve its own I/O.
    pub async fn wait(&mut self, deadline: Option<Instant>, events: &mut Vec<Readiness>) -> Wake {
        events.clear();
        loop {
            self.vitals.pulse.turn();
            self.collect(events);
            let now = Instant::now();
            let tick = self.heart.next_tick.get() <= now;
            if tick {
                self.heart.next_tick.set(now + TICK);
            }
            if tick || !events.is_empty() || deadline.is_some_and(|deadline| deadline <= now) {
                return Wake { now, tick };
            }
            self.set_timer(deadline, now);
            self.vitals.pulse.set_parked(true);
            self.park().await;
            self.vitals.pulse.set_parked(false);
        }
    }

    fn collect(&mut self, events: &mut Vec<Readiness>) {
        let timer_set_for = &mut self.timer_set_for;
        self.epoll
            .poll(&mut self.buffer, |readiness| match readiness.token {
                KICK => {}
                DEADLINE => *timer_set_for = None,
                _ => events.push(readiness),
            });
    }

    /// Sees to it that a deadline before the next tick ends the coming sleep.
    fn set_timer(&mut self, deadline: Option<Instant>, now: Instant) {
        let Some(deadline) = deadline else { return };
        if deadline < self.heart.next_tick.get() && self.timer_set_for != Some(deadline) {
            self.timer.set(deadline - now);
            self.timer_set_for = Some(deadline);
        }
    }

    /// Sleeps until a descriptor is ready or the heart beats. It may return for less: the caller
    /// looks again.
    async fn park(&mut self) {
        let mut parked = false;
        poll_fn(|cx| {
            if self.readable.poll_readable(cx).is_ready() || parked {
                return Poll::Ready(());
            }
            parked = true;
            self.heart.wake_on_beat(cx.waker());
            Poll::Pending
        })
        .await;
    }
}

/// What the driver and the heartbeat task of a shard share.
#[derive(Debug)]
pub(crate) struct Heart {
    /// Between two beats, if the driver reports no tick in the meantime.
    pause: Duration,
    next_tick: Cell<Instant>,
    driver: RefCell<Option<Waker>>,
}

impl Heart {
    pub(crate) fn new(pause: Duration) -> Rc<Self> {
        Rc::new(Self {
            pause,
            next_tick: Cell::new(Instant::now() + TICK),
            driver: RefCell::new(None),
        })
    }

    fn wake_on_beat(&self, waker: &Waker) {
        let mut driver = self.driver.borrow_mut();
        match &mut *driver {
            Some(known) => known.clone_from(waker),
            None => *driver = Some(waker.clone()),
        }
    }

    /// To the next tick if the driver has reported the last one by itself, being awake. If the
    /// tick is what the driver is about to report, a whole pause.
    fn until_next_beat(&self) -> Duration {
        let to_tick = self
            .next_tick
            .get()
            .saturating_duration_since(Instant::now());
        if to_tick.is_zero() {
            self.pause
        } else {
            to_tick
        }
    }

    fn beat(&self) {
        let driver = self.driver.borrow().clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

/// The heartbeat task: wakes the driver at every tick, so that no wake-up that glommio loses lasts
/// longer, and whenever it is woken itself, which is what a kick of the watchdog does. Never ends.
pub(crate) fn heartbeat(heart: Rc<Heart>, vitals: Arc<Vitals>) -> impl Future<Output = ()> {
    let mut timer = Box::pin(Timer::new(heart.pause));
    poll_fn(move |cx| {
        if vitals.heartbeat.get().is_none() {
            let _ = vitals.heartbeat.set(cx.waker().clone());
        }
        heart.beat();
        while timer.as_mut().poll(cx).is_ready() {
            timer.set(Timer::new(heart.until_next_beat()));
        }
        Poll::Pending
    })
}
