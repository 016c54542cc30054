//! Sweeps: who gets what a room has said, and when.
//!
//! A sweep walks the members of a room and marks those that are behind as due. It is cut into slices
//! over all rooms in turn, so that a large room keeps small ones waiting for one slice at most. The
//! next sweep of a room begins no sooner after the last one than 5/4 of what that took, so that a
//! room that always has something to say takes less than half the core (4/9), its rows in the store
//! included, and gathers more for each send the longer its sweeps are. The first message after a
//! pause goes out at once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use super::fail::At;
use super::room::{Live, live_of};
use super::{RoomEvent, Rooms};
use crate::connection::ConnectionId;
use crate::faults::Place;

/// The longest pause between two sweeps of a room, however long they take: what danmaku may lag.
pub(super) const PAUSE_MOST: Duration = Duration::from_millis(50);
/// From the beginning of a sweep to that of the next, at least: what nobody sees. A room of a
/// hundred members with thousands of messages a second would otherwise send each of them alone.
pub(super) const APART_LEAST: Duration = Duration::from_millis(1);
/// Places looked at for each member that a slice may name, at some 2 ns each: members that have
/// nothing to get, or refuse it, do not make a slice longer than those that do.
const LOOKS_PER_MEMBER: usize = 64;

/// A room's sweep.
#[derive(Debug)]
pub(super) struct Sweep {
    phase: Phase,
    /// Every member that takes bytes has those before here.
    given: u64,
    /// Where the log stood when the sweep began: it gives every member the bytes before here.
    target: u64,
    /// Members may have been left behind since it began: it has to look again.
    again: bool,
    /// Members that it has named.
    named: usize,
}

/// A sweep whose last bytes are with the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// From its first slice on.
    pub took: Duration,
    /// Members that it had something for.
    pub members: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing is to be sent. The next sweep begins no sooner than this.
    Idle { pause: Option<Instant> },
    /// Its turn comes.
    Queued,
    /// It goes on with this place.
    Running { next: u32, began: Instant },
    /// Every member has been named; the last slice is on its way to the kernel.
    Ended { began: Instant },
    /// Another sweep begins then.
    Paced { until: Instant },
}

impl Sweep {
    pub(super) fn new(end: u64) -> Self {
        Self {
            phase: Phase::Idle { pause: None },
            given: end,
            target: end,
            again: false,
            named: 0,
        }
    }

    /// Members may have been left behind.
    pub(super) fn look_again(&mut self) {
        self.again = true;
    }

    /// Where the log is held from for the members that take bytes.
    pub(super) fn given(&self) -> u64 {
        self.given
    }
}

/// The sweeps of all rooms.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    /// Rooms that wait for a slice, in turn.
    queue: VecDeque<u32>,
    paced: BinaryHeap<Reverse<(Instant, u32)>>,
    /// Rooms whose sweep ended with the slice that is on its way.
    ended: Vec<u32>,
    /// Rooms whose logs may be trimmed, once the turn's bytes are with the kernel.
    touched: Vec<u32>,
    swept: Vec<Swept>,
}

impl Sweeps {
    /// The room has said something.
    pub(super) fn said(&mut self, now: Instant, slot: u32, live: &mut Live) {
        self.touch(slot, live);
        let Phase::Idle { pause } = live.sweep.phase else {
            // It is looked at again when the sweep has ended.
            return;
        };
        if live.members.is_empty() {
            return;
        }
        match pause.filter(|&pause| pause > now) {
            Some(until) => self.pace(slot, live, until),
            None => self.enqueue(slot, live),
        }
    }

    /// What nobody needs of the room's log is let go of at the end of the turn: within it, members
    /// that have just come still have to be given what they asked for.
    pub(super) fn touch(&mut self, slot: u32, live: &mut Live) {
        if !live.touched {
            live.touched = true;
            self.touched.push(slot);
        }
    }

    fn enqueue(&mut self, slot: u32, live: &mut Live) {
        live.sweep.phase = Phase::Queued;
        self.queue.push_back(slot);
    }

    fn pace(&mut self, slot: u32, live: &mut Live, until: Instant) {
        live.sweep.phase = Phase::Paced { until };
        self.paced.push(Reverse((until, slot)));
    }
}

impl Rooms {
    /// A slice of sweeps: marks at most `members` members as due and names their connections, which
    /// are to be written in this turn. True: there is more to sweep at once.
    pub fn sweep(&mut self, now: Instant, members: usize, dirty: &mut Vec<ConnectionId>) -> bool {
        self.resume_paced(now);
        let mut slice = Slice {
            members,
            looks: members * LOOKS_PER_MEMBER,
        };
        while !slice.is_full()
            && let Some(slot) = self.sweeps.queue.pop_front()
        {
            self.at = Some(At::Place(slot));
            self.faults.pass(Place::RoomSweep);
            let Some(live) = live_of(&mut self.rooms, slot) else {
                continue;
            };
            let (next, began) = match live.sweep.phase {
                Phase::Queued => {
                    live.sweep.target = live.log.end();
                    live.sweep.again = false;
                    live.sweep.named = 0;
                    (0, now)
                }
                Phase::Running { next, began } => (next, began),
                // The place has another room by now.
                Phase::Idle { .. } | Phase::Ended { .. } | Phase::Paced { .. } => continue,
            };
            let events = &mut self.events;
            let before = dirty.len();
            let next = slice.name(live, next, dirty, |member| {
                events.push(RoomEvent::Cut(member))
            });
            live.sweep.named += dirty.len() - before;
            match next {
                Some(next) => {
                    live.sweep.phase = Phase::Running { next, began };
                    self.sweeps.queue.push_back(slot);
                }
                None => {
                    live.sweep.phase = Phase::Ended { began };
                    self.sweeps.ended.push(slot);
                }
            }
        }
        self.at = None;
        !self.sweeps.queue.is_empty()
    }

    /// The turn's bytes are with the kernel: paces the rooms whose sweep ended with them, and lets go
    /// of what nobody needs any more.
    pub fn flushed(&mut self, now: Instant) {
        self.sweeps.swept.clear();
        // One by one: what is left after a panic is looked at after the next turn.
        while let Some(slot) = self.sweeps.ended.pop() {
            self.at = Some(At::Place(slot));
            let Some(live) = live_of(&mut self.rooms, slot) else {
                continue;
            };
            let Phase::Ended { began } = live.sweep.phase else {
                continue;
            };
            let took = now.saturating_duration_since(began);
            self.counters.sweeps += 1;
            let members = live.sweep.named;
            self.sweeps.swept.push(Swept { took, members });
            live.sweep.given = live.sweep.target;
            let pause = (began + APART_LEAST).max(now + (took * 5 / 4).min(PAUSE_MOST));
            self.sweeps.touch(slot, live);
            // Members that were named early do not have what was said since.
            match live.log.end() > live.sweep.target || live.sweep.again {
                true => self.sweeps.pace(slot, live, pause),
                false => live.sweep.phase = Phase::Idle { pause: Some(pause) },
            }
        }
        while let Some(slot) = self.sweeps.touched.pop() {
            self.trim(now, slot);
        }
        self.at = None;
    }

    /// The sweeps that [`Rooms::flushed`] has last seen the end of.
    pub fn swept(&self) -> &[Swept] {
        &self.sweeps.swept
    }

    /// When the next sweep is wanted: now, where the moment has passed.
    pub fn deadline(&self) -> Option<Instant> {
        match self.sweeps.queue.is_empty() {
            true => self.sweeps.paced.peek().map(|Reverse((at, _))| *at),
            false => Some(self.clock.origin),
        }
    }

    fn resume_paced(&mut self, now: Instant) {
        while let Some(&Reverse((until, slot))) = self.sweeps.paced.peek()
            && until <= now
        {
            self.sweeps.paced.pop();
            if let Some(live) = live_of(&mut self.rooms, slot)
                && live.sweep.phase == (Phase::Paced { until })
            {
                self.sweeps.enqueue(slot, live);
            }
        }
    }
}

/// What is left of a slice.
struct Slice {
    members: usize,
    looks: usize,
}

impl Slice {
    fn is_full(&self) -> bool {
        self.members == 0 || self.looks == 0
    }

    /// Names members of a room, from this place on, that are behind and take bytes. Returns the
    /// place to go on with, `None` at the end. Members that the log has left behind are given to
    /// `cut`.
    fn name(
        &mut self,
        live: &mut Live,
        from: u32,
        dirty: &mut Vec<ConnectionId>,
        mut cut: impl FnMut(ConnectionId),
    ) -> Option<u32> {
        let (start, end) = (live.log.start(), live.log.end());
        for slot in from..live.members.end() {
            if self.is_full() {
                return Some(slot);
            }
            self.looks -= 1;
            let Some(member) = live.members.get_mut(slot) else {
                continue;
            };
            if member.cursor == end || member.cut {
                continue;
            }
            if member.cursor < start {
                member.cut = true;
                cut(member.connection);
            } else if !member.is_blocked() {
                member.due = true;
                dirty.push(member.connection);
                self.members -= 1;
            }
        }
        None
    }
}
