//! The buckets of a shard.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Rate;

/// Buckets that a shard keeps at once: those that are not full, at some 50 B each. With the default rates a client
/// that asks once is forgotten after 0.1 s (a log-in: 1 s), so it takes 65,536 addresses in that time to
/// fill the table.
pub const BUCKETS_PER_SHARD: usize = 65_536;

/// Buckets looked at whenever one is taken from: full ones are forgotten. Two for each that may be added
/// means that the whole table is looked at while it doubles.
const LOOKED_AT: usize = 2;
/// Of so many the fullest one makes place when the table has none.
const CANDIDATES: usize = 8;

/// Names a bucket: the keyed hash of what it is for. A client can choose its address or name, but not to meet
/// somebody else's bucket; by chance that happens once in 2⁴⁸ keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BucketKey(pub(crate) u64);

/// Buckets that are not full. One that nobody has taken from for long enough is as good as one that was
/// never there.
///
/// When there is place for no more, the fullest of a few makes it, and not the newcomer: who asks for the
/// first time is never refused since others ask much. Whose bucket goes has asked little, and may ask for as
/// much again; who has emptied its own stays known.
#[derive(Debug)]
pub struct Buckets {
    start: Instant,
    index: HashMap<BucketKey, usize>,
    slots: Vec<Slot>,
    /// Where the next look begins.
    hand: usize,
    capacity: usize,
    evicted: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    key: BucketKey,
    /// Nanoseconds since the start.
    full_at: u64,
}

impl Buckets {
    /// All buckets are full.
    pub fn new(start: Instant) -> Self {
        Self::with_capacity(start, BUCKETS_PER_SHARD)
    }

    pub(super) fn with_capacity(start: Instant, capacity: usize) -> Self {
        Self {
            start,
            index: HashMap::new(),
            slots: Vec::new(),
            hand: 0,
            capacity,
            evicted: 0,
        }
    }

    /// Takes a token. In constant time, but for the growth of the table.
    ///
    /// # Errors
    /// There is none before that time has passed.
    pub fn take(&mut self, now: Instant, key: BucketKey, rate: Rate) -> Result<(), Duration> {
        let now = self.nanos(now);
        self.forget_full(now);
        if let Some(&at) = self.index.get(&key) {
            return rate.take(&mut self.slots[at].full_at, now);
        }
        let mut full_at = now;
        rate.take(&mut full_at, now)?;
        if self.slots.len() >= self.capacity {
            self.make_place();
        }
        self.index.insert(key, self.slots.len());
        self.slots.push(Slot { key, full_at });
        Ok(())
    }

    /// Puts a token back that was taken for nothing.
    pub fn give_back(&mut self, key: BucketKey, rate: Rate) {
        if let Some(&at) = self.index.get(&key) {
            self.slots[at].full_at = rate.give_back(self.slots[at].full_at);
        }
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.slots.len()
    }

    /// How many had to make place before they were full.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn nanos(&self, now: Instant) -> u64 {
        // 584 years fit.
        now.saturating_duration_since(self.start).as_nanos() as u64
    }

    fn forget_full(&mut self, now: u64) {
        for _ in 0..LOOKED_AT {
            self.hand = if self.hand < self.slots.len() {
                self.hand
            } else {
                0
            };
            match self.slots.get(self.hand) {
                None => return,
                // The last one has come here: it is next.
                Some(slot) if slot.full_at <= now => self.remove(self.hand),
                Some(_) => self.hand += 1,
            }
        }
    }

    fn make_place(&mut self) {
        let count = self.slots.len();
        // From all over the table: neighbours came at the same time, and are alike.
        let candidates = (0..CANDIDATES).map(|n| (self.hand + n * count / CANDIDATES) % count);
        if let Some(fullest) = candidates.min_by_key(|&at| self.slots[at].full_at) {
            self.remove(fullest);
            self.evicted += 1;
        }
    }

    fn remove(&mut self, at: usize) {
        let gone = self.slots.swap_remove(at);
        self.index.remove(&gone.key);
        if let Some(moved) = self.slots.get(at) {
            self.index.insert(moved.key, at);
        }
    }
}
