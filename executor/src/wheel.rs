//! A hierarchical timing wheel: every timer of a shard in one structure.
//!
//! There is no cancellation. An owner keeps the deadline that counts in its own state, schedules a
//! key for it, and compares when the key comes out: if the deadline has moved on it schedules the
//! key again, if it is gone it does nothing. A session whose expiry moves with each packet thus
//! touches the wheel once per timeout, not once per packet:
//!
//! ```
//! use std::time::{Duration, Instant};
//! use executor::Wheel;
//!
//! let start = Instant::now();
//! let mut wheel = Wheel::new(start);
//! let mut expires_at = start + Duration::from_secs(300);
//! wheel.schedule(expires_at, "session");
//!
//! expires_at = start + Duration::from_secs(400); // activity: only the owner's deadline moves
//!
//! let mut due = Vec::new();
//! let now = start + Duration::from_secs(301);
//! wheel.expire(now, 64, &mut due);
//! for key in due.drain(..) {
//!     if expires_at > now {
//!         wheel.schedule(expires_at, key); // re-armed lazily
//!     }
//! }
//! assert_eq!(wheel.len(), 1);
//! ```
//!
//! The layout is that of Varghese and Lauck ("Hashed and Hierarchical Timing Wheels", 1987): level
//! `n` has 64 slots of 64ⁿ ticks. A timer sits on the level of the highest base-64 digit in which
//! its tick differs from the current one, and moves down when that digit is reached, at most once
//! per level. Slots are lists inside one slab, so nothing is allocated while the number of timers
//! stays within what it has been. A call looks at so many timers at most, also of one slot.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::reactor::TICK;

/// Slots of a level: as many as a `u64` has bits, so that a level's occupancy is one word.
const SLOTS: usize = 64;
/// Bits of a tick that choose the slot on a level.
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// Levels of the wheel: 64⁷ ticks of 5 ms are 697 years, so no deadline lies beyond.
const LEVELS: usize = 7;
/// The last tick; deadlines after it are treated as if they were in it.
const HORIZON_TICKS: u64 = (1 << (SLOT_BITS * LEVELS as u32)) - 1;
/// End of a list in the slab.
const NIL: u32 = u32::MAX;

/// Timers of a shard, with the granularity of [`TICK`].
///
/// Scheduling is O(1); expiring is O(1) amortised per timer, and skips empty stretches of time
/// without looking at their slots.
#[derive(Debug)]
pub struct Wheel<K> {
    start: Instant,
    /// Every timer of this tick or an earlier one has been handed out, or is in `overdue`.
    elapsed: u64,
    levels: [Level; LEVELS],
    /// What is left of the slot that begins at `elapsed`: to be handed out, or moved down.
    opened: u32,
    /// Keys whose deadline had passed when they were scheduled, before this expiry began.
    overdue: VecDeque<K>,
    /// The same, since then: for the next one, so that a timer that is always due does not keep one
    /// going for ever.
    late: VecDeque<K>,
    /// The last call has left something to the next one.
    unfinished: bool,
    nodes: Vec<Node<K>>,
    free: u32,
    len: usize,
}

/// One level: the heads of its slots' lists, and which of them are not empty.
#[derive(Clone, Copy, Debug)]
struct Level {
    occupied: u64,
    heads: [u32; SLOTS],
}

/// A timer in the slab, or a free place (`key` is `None`).
#[derive(Debug)]
struct Node<K> {
    tick: u64,
    next: u32,
    key: Option<K>,
}

impl<K> Wheel<K> {
    /// An empty wheel whose first tick begins at `start`.
    pub fn new(start: Instant) -> Self {
        let level = Level {
            occupied: 0,
            heads: [NIL; SLOTS],
        };
        Self {
            start,
            elapsed: 0,
            levels: [level; LEVELS],
            opened: NIL,
            overdue: VecDeque::new(),
            late: VecDeque::new(),
            unfinished: false,
            nodes: Vec::new(),
            free: NIL,
            len: 0,
        }
    }

    /// Timers that have not been handed out yet.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is pending.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Hands `key` out at the first [`Wheel::expire`] whose `now` has reached the tick that ends at
    /// or after `at`; at the next one if that tick is over. The same key may be scheduled more than
    /// once and comes out as often.
    pub fn schedule(&mut self, at: Instant, key: K) {
        self.len += 1;
        let tick = self.tick_at_or_after(at);
        if tick <= self.elapsed {
            self.late.push_back(key);
        } else {
            let node = self.allocate(tick, key);
            self.link(node);
        }
    }

    /// Hands the keys to `due` that are due at `now`: none before its deadline, each at most one
    /// [`TICK`] after it, in the order of their ticks. Looks at `most` timers at most. True: there are
    /// more, so it is to be called again with the same `now`; what is scheduled meanwhile and overdue
    /// already waits for the next `now`. One before the last one finds nothing but what was overdue when
    /// it was scheduled.
    pub fn expire(&mut self, now: Instant, most: usize, due: &mut impl Extend<K>) -> bool {
        let target = self.ticks_until(now);
        if !self.unfinished {
            std::mem::swap(&mut self.overdue, &mut self.late);
        }
        for _ in 0..most {
            if let Some(key) = self.overdue.pop_front() {
                self.len -= 1;
                due.extend(Some(key));
                continue;
            }
            if self.opened == NIL && !self.open(target) {
                self.unfinished = false;
                return false;
            }
            let node = self.opened;
            self.opened = self.nodes[node as usize].next;
            if self.nodes[node as usize].tick == self.elapsed {
                self.len -= 1;
                due.extend(self.release(node));
            } else {
                self.link(node);
            }
        }
        self.unfinished = !self.overdue.is_empty() || self.opened != NIL || self.open(target);
        self.unfinished
    }

    /// An instant before which nothing becomes due (a lower bound: a timer far away is known only
    /// to the width of its slot), or `None` if no timer is pending.
    pub fn next_deadline_hint(&self) -> Option<Instant> {
        if self.unfinished || !self.late.is_empty() {
            return Some(self.instant_of(self.elapsed));
        }
        self.next_slot().map(|(_, _, tick)| self.instant_of(tick))
    }

    /// The earliest occupied slot and the tick at which it begins. All timers of a level lie before
    /// those of the next one, so it is the first bit of the first level that has any.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        let slot = self.levels[level].occupied.trailing_zeros() as usize;
        let shift = SLOT_BITS * level as u32;
        let block = self.elapsed >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
        Some((level, slot, block | (slot as u64) << shift))
    }

    /// Goes on to the next slot that begins until `target` and has timers; false where there is none.
    fn open(&mut self, target: u64) -> bool {
        match self.next_slot() {
            Some((level, slot, tick)) if tick <= target => {
                self.elapsed = tick;
                let level = &mut self.levels[level];
                level.occupied &= !(1 << slot);
                self.opened = std::mem::replace(&mut level.heads[slot], NIL);
                true
            }
            _ => {
                self.elapsed = self.elapsed.max(target);
                false
            }
        }
    }

    /// Puts a timer of a future tick into its slot.
    fn link(&mut self, node: u32) {
        let tick = self.nodes[node as usize].tick;
        debug_assert!(tick > self.elapsed);
        let highest_differing_bit = u64::BITS - 1 - (self.elapsed ^ tick).leading_zeros();
        let level = (highest_differing_bit / SLOT_BITS) as usize;
        let slot = (tick >> (SLOT_BITS * level as u32)) as usize % SLOTS;
        let level = &mut self.levels[level];
        self.nodes[node as usize].next = std::mem::replace(&mut level.heads[slot], node);
        level.occupied |= 1 << slot;
    }

    fn allocate(&mut self, tick: u64, key: K) -> u32 {
        let node = Node {
            tick,
            next: NIL,
            key: Some(key),
        };
        match self.free {
            NIL => {
                let index = u32::try_from(self.nodes.len()).unwrap_or(NIL);
                assert_ne!(index, NIL, "a wheel holds fewer than 2^32 timers");
                self.nodes.push(node);
                index
            }
            index => {
                self.free = std::mem::replace(&mut self.nodes[index as usize], node).next;
                index
            }
        }
    }

    fn release(&mut self, index: u32) -> Option<K> {
        let node = &mut self.nodes[index as usize];
        node.next = std::mem::replace(&mut self.free, index);
        node.key.take()
    }

    /// Whole ticks that are over at `now`.
    fn ticks_until(&self, now: Instant) -> u64 {
        let ticks = now.saturating_duration_since(self.start).as_nanos() / TICK.as_nanos();
        ticks.min(u128::from(HORIZON_TICKS)) as u64
    }

    fn tick_at_or_after(&self, at: Instant) -> u64 {
        let ticks = at
            .saturating_duration_since(self.start)
            .as_nanos()
            .div_ceil(TICK.as_nanos());
        ticks.min(u128::from(HORIZON_TICKS)) as u64
    }

    fn instant_of(&self, tick: u64) -> Instant {
        let nanos = u128::from(tick) * TICK.as_nanos();
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests;
