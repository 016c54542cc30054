//! The store, whose commits take virtual time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media_service::config::Config;
use media_service::placement::{ShardId, Shards};
use media_service::rooms::RoomRecord;
use media_service::store::{
    BATCH_ROWS, Entry, MessageRow, Reader, Receipts, Store, StoreFault, Windows,
};

/// The rooms of each shard, with their recent messages.
pub(crate) type StoredRooms = Vec<Vec<(RoomRecord, Vec<MessageRow>)>>;

/// A store without its thread.
pub struct Desk {
    /// From the first row of a batch to its commit.
    pub delay: Duration,
    /// It refuses every row: the disk is full.
    pub full: bool,
    store: Option<Store>,
    pub(crate) reader: Reader,
    pub(crate) windows: Arc<Windows>,
    rows: VecDeque<(Instant, Entry)>,
}

impl Desk {
    /// Opens the configured store: itself, and what is in it.
    pub(crate) fn open(config: &Config, shards: Shards) -> (Self, StoredRooms) {
        let mut store = Store::open(&config.store).expect("a store that opens");
        let mut rooms: StoredRooms = shards.all().map(|_| Vec::new()).collect();
        for (record, recent) in store.load(config.rooms.recent).expect("rooms") {
            rooms[shards.shard_of_room(record.id).index()].push((record, recent));
        }
        let desk = Self {
            delay: Duration::from_millis(10),
            full: false,
            reader: store.reader().expect("a reader"),
            store: Some(store),
            windows: Windows::new(shards.count()),
            rows: VecDeque::new(),
        };
        (desk, rooms)
    }

    /// Another reader of the same store.
    pub(crate) fn second_reader(&self) -> Reader {
        let store = self.store.as_ref().expect("it has not ended");
        store.reader().expect("a reader")
    }

    pub(crate) fn push(&mut self, now: Instant, entry: Entry) {
        self.rows.push_back((now + self.delay, entry));
    }

    /// Commits what is due: who is to be told.
    pub(crate) fn commit(&mut self, now: Instant) -> Vec<(ShardId, Receipts)> {
        let mut told: Vec<(ShardId, Receipts)> = Vec::new();
        loop {
            let due = self.rows.iter().take_while(|(at, _)| *at <= now).count();
            let batch: Vec<Entry> = self
                .rows
                .drain(..due.min(BATCH_ROWS))
                .map(|(_, entry)| entry)
                .collect();
            if batch.is_empty() {
                return told;
            }
            let failed = || StoreFault::Failed("the disk is full".into());
            let results = match (self.full, &mut self.store) {
                (false, Some(store)) => store.commit(&batch),
                (true, _) | (_, None) => batch.iter().map(|_| Err(failed())).collect(),
            };
            for (entry, result) in batch.into_iter().zip(results) {
                self.windows.advance(entry.shard, 1);
                if let Some(receipt) = entry.receipt {
                    told.push((entry.shard, vec![(receipt, result)]));
                }
            }
        }
    }

    /// The process ends: in order, or with everything lost that is not committed.
    pub(crate) fn end(&mut self, now: Instant, clean: bool) {
        if clean {
            self.commit(now + self.delay);
        }
        let store = self.store.take().expect("it ends once");
        if clean {
            store.finish().expect("a store that closes");
        }
    }
}
