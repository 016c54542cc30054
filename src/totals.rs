//! Totals over the process, for the caps on them: each shard writes its own cells, every shard
//! reads all of them. And what holds for the process as a whole.

use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::client::AddressBlock;
use crate::metrics::{Label, RateLimit};
use crate::placement::ShardId;
use crate::rates::BucketKey;

/// The gauges of all shards. Single writer each, so a sum may be a moment old: two shards that
/// admit at the same instant may pass a cap by one each.
#[derive(Debug)]
pub struct Totals {
    shards: Box<[Cells]>,
    /// What keyed hashes begin with.
    key: [u8; 32],
    forwarded: AtomicBool,
    /// The process was asked to end.
    stopping: AtomicBool,
    /// Bytes; 0: there is no limit.
    memory_limit: AtomicU64,
    memory_short: AtomicBool,
}

/// One shard's gauges, on a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Cells {
    totals: [AtomicUsize; Total::COUNT],
    /// Connections by address, in two rows (a count-min sketch): an address is counted in one cell of each,
    /// by two hashes, and the smaller one is at least its number.
    addresses: [Box<[AtomicU32]>; 2],
}

/// Cells of a row: 32 KiB. With 15,000 connections there are two in a cell, besides its own ones, so the
/// count is a few too large; to be taken for a large one an address must share both its cells with such.
const ADDRESS_CELLS: usize = 8_192;

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
    /// Closed connections over TLS whose last bytes wait for their sockets.
    Parting,
    /// Connections that have left for another shard, ever.
    HandedOver,
    /// Connections that came from another shard, ever.
    Adopted,
    /// Shards that take no new work.
    Draining,
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
    const COUNT: usize = 13;
}

impl Totals {
    /// All zero. The hashes have a key that everybody knows, until one is [given](Self::keyed).
    pub fn new(shards: usize) -> Self {
        let row = || (0..ADDRESS_CELLS).map(|_| AtomicU32::new(0)).collect();
        let cells = || Cells {
            totals: Default::default(),
            addresses: [row(), row()],
        };
        Self {
            shards: (0..shards).map(|_| cells()).collect(),
            key: [0; 32],
            forwarded: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            memory_limit: AtomicU64::new(0),
            memory_short: AtomicBool::new(false),
        }
    }

    /// With a key that no client can know. Without one, clients could choose addresses and names that share a
    /// cell or a bucket with somebody else's.
    pub fn keyed(mut self, key: [u8; 32]) -> Self {
        self.key = key;
        self
    }

    /// Sets the shard's own gauge. Only that shard may.
    pub fn set(&self, shard: ShardId, what: Total, value: usize) {
        // Who reads it sees what this shard has set before.
        self.shards[shard.index()].totals[what as usize].store(value, Ordering::Release);
    }

    /// One more on the shard's own gauge. Only that shard may say so.
    pub fn add(&self, shard: ShardId, what: Total) {
        self.set(shard, what, self.get(shard, what).wrapping_add(1));
    }

    /// The shard's own gauge.
    pub fn get(&self, shard: ShardId, what: Total) -> usize {
        self.shards[shard.index()].totals[what as usize].load(Ordering::Relaxed)
    }

    /// The sum over the shards.
    pub fn sum(&self, what: Total) -> usize {
        self.shards
            .iter()
            .map(|cells| cells.totals[what as usize].load(Ordering::Acquire))
            .sum()
    }

    /// Whether no shard has work any more, nor will: all of them drain, without sessions, without
    /// connections and with none on its way between two of them.
    pub fn is_quiet(&self) -> bool {
        if self.sum(Total::Draining) < self.shards.len() || self.sum(Total::Sessions) > 0 {
            return false;
        }
        // A connection is counted where it comes to before it is not where it was, and in between it has
        // left and not come. The order of these reads shows whether one moved meanwhile.
        let came = self.sum(Total::Adopted);
        self.sum(Total::Connections) == 0 && self.sum(Total::HandedOver) == came
    }

    /// The shard has a connection of that address more. Only that shard may say so.
    pub fn add_connection(&self, shard: ShardId, address: AddressBlock) {
        self.change_connections(shard, address, |count| count.saturating_add(1));
    }

    /// The shard has a connection of that address less.
    pub fn remove_connection(&self, shard: ShardId, address: AddressBlock) {
        self.change_connections(shard, address, |count| count.saturating_sub(1));
    }

    /// Connections of that address on all shards: not less than there are.
    pub fn connections_of(&self, address: AddressBlock) -> usize {
        let rows = self.cells(address).into_iter().enumerate();
        let sums = rows.map(|(row, cell)| {
            let counts = self.shards.iter().map(|it| &it.addresses[row][cell]);
            counts
                .map(|count| count.load(Ordering::Relaxed) as usize)
                .sum()
        });
        sums.min().unwrap_or(0)
    }

    /// Connections that are counted by address, in each row of cells: as many as there are.
    #[cfg(feature = "fault-injection")]
    pub fn counted_by_address(&self) -> [usize; 2] {
        [0, 1].map(|row| {
            let cells = self.shards.iter().flat_map(|it| &it.addresses[row]);
            let counts = cells.map(|count| count.load(Ordering::Relaxed) as usize);
            counts.sum()
        })
    }

    /// The bucket of that rate for that client, user or name.
    pub(crate) fn bucket(&self, limit: RateLimit, of: &[u8]) -> BucketKey {
        BucketKey(self.hash(limit.index() as u8, of))
    }

    /// Whether this is the first time in the process that a forwarding header is ignored.
    pub(crate) fn first_ignored_header(&self) -> bool {
        // Read before it is written: later ones leave the cache line where it is.
        !self.forwarded.load(Ordering::Relaxed) && !self.forwarded.swap(true, Ordering::Relaxed)
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

    fn change_connections(
        &self,
        shard: ShardId,
        address: AddressBlock,
        change: impl Fn(u32) -> u32,
    ) {
        for (row, cell) in self.cells(address).into_iter().enumerate() {
            let count = &self.shards[shard.index()].addresses[row][cell];
            // It has no other writer.
            count.store(change(count.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    }

    /// The cell of the address in each row.
    fn cells(&self, address: AddressBlock) -> [usize; 2] {
        let hash = self.hash(ADDRESS_HASH, &address.bytes()) as usize;
        [hash % ADDRESS_CELLS, hash / ADDRESS_CELLS % ADDRESS_CELLS]
    }

    /// SipHash, from a state that depends on the key.
    fn hash(&self, kind: u8, bytes: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.key);
        hasher.write_u8(kind);
        hasher.write(bytes);
        hasher.finish()
    }
}

/// What a [`Totals::hash`] is for, beside the kinds of rates.
const ADDRESS_HASH: u8 = u8::MAX;
const _: () = assert!(RateLimit::ALL.len() < ADDRESS_HASH as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_address_over_the_shards() {
        let totals = Totals::new(2).keyed([7; 32]);
        let [one, two] = [ShardId::new(0), ShardId::new(1)];
        let address = |n: u32| AddressBlock::of(std::net::Ipv4Addr::from(n).into());
        for n in 0..15_000 {
            totals.add_connection(ShardId::new((n % 2) as u16), address(0x0a00_0000 + n));
        }
        let much = address(0xc000_0201);
        for _ in 0..500 {
            totals.add_connection(one, much);
            totals.add_connection(two, much);
        }
        assert!((1_000..1_020).contains(&totals.connections_of(much)));
        let worst = (0..15_000).map(|n| totals.connections_of(address(0x0a00_0000 + n)));
        assert!(worst.max() < Some(20), "nobody is taken for another one");
        for _ in 0..500 {
            totals.remove_connection(two, much);
        }
        assert!((500..520).contains(&totals.connections_of(much)));
    }

    #[test]
    fn nobody_chooses_its_cell() {
        let bucket = |key| {
            let totals = Totals::new(1).keyed(key);
            totals.bucket(RateLimit::SessionAddress, b"192.0.2.1")
        };
        assert_eq!(bucket([1; 32]), bucket([1; 32]));
        assert_ne!(bucket([1; 32]), bucket([2; 32]));
        let totals = Totals::new(1);
        let other = totals.bucket(RateLimit::LoginAddress, b"192.0.2.1");
        assert_ne!(
            totals.bucket(RateLimit::SessionAddress, b"192.0.2.1"),
            other
        );
    }
}
