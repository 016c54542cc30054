//! What the store's thread counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::families as f;
use super::text::Text;

/// The store's cells. Its thread alone writes them, whoever scrapes reads.
#[derive(Debug, Default)]
pub struct StoreFigures {
    rows: AtomicU64,
    failed_rows: AtomicU64,
    batches: AtomicU64,
    commit_nanos: AtomicU64,
    last_commit_nanos: AtomicU64,
    longest_commit_nanos: AtomicU64,
}

/// What the cells held at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreReading {
    /// Rows that were handed over and are done with, those that failed included.
    pub rows: u64,
    /// Rows that the database refused, alone or with their batch.
    pub failed_rows: u64,
    /// Transactions.
    pub batches: u64,
    /// How long they took together.
    pub commits: Duration,
    /// How long the last of them took.
    pub last_commit: Duration,
    /// How long the longest of them took.
    pub longest_commit: Duration,
}

impl StoreFigures {
    /// Counts a transaction.
    pub fn batch(&self, rows: usize, failed: usize, took: Duration) {
        // One writer: nothing comes between the load and the store.
        let add = |cell: &AtomicU64, count: u64| {
            cell.store(cell.load(Ordering::Relaxed) + count, Ordering::Relaxed);
        };
        let nanos = took.as_nanos() as u64;
        add(&self.rows, rows as u64);
        add(&self.failed_rows, failed as u64);
        add(&self.batches, 1);
        add(&self.commit_nanos, nanos);
        self.last_commit_nanos.store(nanos, Ordering::Relaxed);
        self.longest_commit_nanos
            .fetch_max(nanos, Ordering::Relaxed);
    }

    /// What they hold now.
    pub fn read(&self) -> StoreReading {
        let count = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let time = |cell| Duration::from_nanos(count(cell));
        StoreReading {
            rows: count(&self.rows),
            failed_rows: count(&self.failed_rows),
            batches: count(&self.batches),
            commits: time(&self.commit_nanos),
            last_commit: time(&self.last_commit_nanos),
            longest_commit: time(&self.longest_commit_nanos),
        }
    }
}

pub(super) fn write(text: &mut Text, store: &StoreReading) -> Result<(), prometheus::Error> {
    text.count(&f::STORE_ROWS, store.rows)?;
    text.count(&f::STORE_FAILED_ROWS, store.failed_rows)?;
    text.count(&f::STORE_BATCHES, store.batches)?;
    text.figure(&f::STORE_COMMITS, store.commits.as_secs_f64())?;
    text.figure(&f::STORE_LAST_COMMIT, store.last_commit.as_secs_f64())?;
    text.figure(&f::STORE_LONGEST_COMMIT, store.longest_commit.as_secs_f64())
}
