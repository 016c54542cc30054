//! The connection that writes.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use super::place::{Lock, Place};
use super::schema::{self, Found, MIGRATIONS};
use super::write::{RowWriter, message_row, room_record};
use super::{Entry, MessageRow, Reader, StoreFault, StoreOpenError};
use crate::config;
use crate::rooms::{RoomRecord, Status};

/// Bytes of a page of a new file. A message of another room changes another page of the index, which
/// goes to the log as a whole (benches/README.md).
const PAGE_BYTES: u32 = 2048;

/// KiB of pages that the writer keeps: the ends of the tables, where rooms that talk are.
const CACHE_KIB: i64 = 8 << 10;

/// Pages of the write-ahead log after which a commit also carries them into the file: 32 MiB. A page
/// that has changed often by then is written there once.
const CHECKPOINT_PAGES: u32 = 16_000;

/// Bytes of the write-ahead log that are kept as a file once it is carried over.
const LOG_BYTES: u64 = 48 << 20;

// It is not cut and grown again each time, also when the last commit was a large one.
const _: () = assert!(LOG_BYTES > (CHECKPOINT_PAGES as u64) * (PAGE_BYTES as u64) * 5 / 4);

/// Messages deleted at once: some milliseconds, which a commit may have to wait.
pub const SWEEP_ROWS: usize = 500;

const DELETE_OLD: &str = "DELETE FROM messages WHERE rowid IN
     (SELECT rowid FROM messages WHERE at < ?1 ORDER BY at LIMIT ?2)";
const DELETE_OF_ROOM: &str = "DELETE FROM messages WHERE rowid IN
     (SELECT rowid FROM messages WHERE room = ?1 ORDER BY epoch, seq LIMIT ?2)";

/// The store's one writing connection.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    place: Place,
    fsync: bool,
    message_retention: Duration,
    /// The process before ended in order.
    clean: bool,
    /// Something that was handed over is not stored.
    lost: bool,
    /// Given back after the connection is closed: fields are dropped in their order.
    _lock: Option<Lock>,
}

impl Store {
    /// Opens the store, or creates it; brings older tables up to date; reads how the process before
    /// ended, and marks this one as not ended in order until it is.
    ///
    /// # Errors
    /// When another process has it, when it cannot be written, and when it is no store of ours or a
    /// later version's.
    pub fn open(config: &config::Store) -> Result<Self, StoreOpenError> {
        let place = Place::new(&config.path)?;
        let lock = match &place {
            Place::File(path) => Some(Lock::take(path)?),
            Place::Memory(_) => None,
        };
        place.create()?;
        let failed = |source| StoreOpenError::of(place.path(), source);
        let access = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut connection = place.connect(access).map_err(failed)?;
        let found = match schema::find(&connection).map_err(failed)? {
            Found::Version(found) => found,
            Found::Foreign => return Err(StoreOpenError::Foreign { path: place.path() }),
        };
        let known = MIGRATIONS.len() as u32;
        if found > known {
            let path = place.path();
            return Err(StoreOpenError::Newer { path, found, known });
        }
        if !set_up(&connection, &place).map_err(failed)? {
            return Err(StoreOpenError::NoWriteAheadLog { path: place.path() });
        }
        schema::migrate(&mut connection, found, MIGRATIONS).map_err(failed)?;
        let clean = take_mark(&connection).map_err(failed)?;
        Ok(Self {
            connection,
            place,
            fsync: config.fsync,
            message_retention: config.message_retention,
            clean,
            lost: false,
            _lock: lock,
        })
    }

    /// All rooms as they stand after the restart. When the process before did not end in order,
    /// messages that members have seen may be lost: rooms that are not over then get a new epoch,
    /// and that is written before this returns. With each live room come the newest `recent`
    /// messages of its epoch, in their order.
    pub fn load(
        &mut self,
        recent: usize,
    ) -> Result<Vec<(RoomRecord, Vec<MessageRow>)>, StoreOpenError> {
        self.read_rooms(recent)
            .map_err(|source| StoreOpenError::of(self.place.path(), source))
    }

    fn read_rooms(
        &mut self,
        recent: usize,
    ) -> rusqlite::Result<Vec<(RoomRecord, Vec<MessageRow>)>> {
        if !self.clean {
            self.connection.execute(
                "UPDATE rooms SET epoch = epoch + 1, last_seq = 0 WHERE status <> ?1",
                [Status::Ended as u8],
            )?;
            self.clean = true;
        }
        // Up to here each commit had to reach the disk: a mark or an epoch that a loss of power
        // took back would number messages twice.
        if !self.fsync {
            self.connection
                .pragma_update(None, "synchronous", "NORMAL")?;
        }
        let mut rooms = self.connection.prepare(
            "SELECT id, anchor, title, cover, device, status, viewer_count, epoch, last_seq, heat,
                    created_at, updated_at
             FROM rooms",
        )?;
        let mut messages = self.connection.prepare(
            "SELECT room, epoch, seq, at, text FROM messages
             WHERE room = ?1 AND epoch = ?2 ORDER BY seq DESC LIMIT ?3",
        )?;
        let limit = i64::try_from(recent).unwrap_or(i64::MAX);
        let mut loaded = Vec::new();
        for record in rooms.query_map([], room_record)? {
            let mut record = record?;
            let mut newest = Vec::new();
            if record.status == Status::Live {
                let rows = messages
                    .query_map(params![record.id.get(), record.epoch, limit], message_row)?;
                newest = rows.collect::<rusqlite::Result<_>>()?;
                newest.reverse();
            }
            if let Some(last) = newest.last() {
                record.last_seq = record.last_seq.max(last.seq);
            }
            loaded.push((record, newest));
        }
        Ok(loaded)
    }

    /// Writes in one transaction. The results are in the order of the entries. A row that cannot be
    /// written for its own sake does not take the others with it; when the transaction fails, every
    /// result is [`StoreFault::Failed`].
    pub fn commit(&mut self, entries: &[Entry]) -> Vec<Result<(), StoreFault>> {
        let results = self.try_commit(entries).unwrap_or_else(|fault| {
            let fault = failed(fault);
            entries.iter().map(|_| Err(fault.clone())).collect()
        });
        self.lost |= results
            .iter()
            .any(|result| matches!(result, Err(StoreFault::Failed(_))));
        results
    }

    fn try_commit(&mut self, entries: &[Entry]) -> rusqlite::Result<Vec<Result<(), StoreFault>>> {
        let transaction = self.begin()?;
        let results = {
            let mut writer = RowWriter::new(&transaction)?;
            let rows = entries.iter().map(|entry| writer.write(&entry.row));
            rows.collect::<rusqlite::Result<_>>()?
        };
        transaction.commit()?;
        Ok(results)
    }

    /// Deletes messages that are older than the retention, and those of removed rooms: at most
    /// `rows` ([`SWEEP_ROWS`] usually). True: there may be more.
    pub fn sweep_old(&mut self, now_unix_ms: u64, rows: usize) -> Result<bool, StoreFault> {
        let retention = u64::try_from(self.message_retention.as_millis()).unwrap_or(u64::MAX);
        let oldest = now_unix_ms.saturating_sub(retention);
        self.try_sweep(oldest, rows).map_err(failed)
    }

    fn try_sweep(&mut self, oldest: u64, rows: usize) -> rusqlite::Result<bool> {
        let transaction = self.begin()?;
        let mut deleted = transaction
            .prepare_cached(DELETE_OLD)?
            .execute(params![oldest, rows])?;
        while deleted < rows {
            let removed = transaction
                .prepare_cached("SELECT id FROM removed_rooms LIMIT 1")?
                .query_map([], |row| row.get::<_, i64>(0))?
                .next()
                .transpose()?;
            let Some(room) = removed else {
                break;
            };
            let left = rows - deleted;
            let of_room = transaction
                .prepare_cached(DELETE_OF_ROOM)?
                .execute(params![room, left])?;
            if of_room < left {
                transaction
                    .prepare_cached("DELETE FROM removed_rooms WHERE id = ?1")?
                    .execute([room])?;
            }
            deleted += of_room;
        }
        transaction.commit()?;
        Ok(deleted == rows)
    }

    /// Ends in order: the next process keeps the rooms' epochs, unless a row was lost in this one's
    /// life. Carries the write-ahead log over and closes the file.
    pub fn finish(self) -> Result<(), StoreFault> {
        self.try_finish().map_err(failed)
    }

    fn try_finish(self) -> rusqlite::Result<()> {
        if !self.lost {
            self.connection
                .execute("UPDATE shutdown SET clean = 1", [])?;
        }
        self.connection
            .pragma(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()))?;
        self.connection.close().map_err(|(_, fault)| fault)
    }

    /// A connection that reads what is committed, also while this one writes.
    pub fn reader(&self) -> Result<Reader, StoreOpenError> {
        Reader::open(&self.place).map_err(|source| StoreOpenError::of(self.place.path(), source))
    }

    /// The file, or `:memory:`.
    pub fn path(&self) -> PathBuf {
        self.place.path()
    }

    /// Until [`Store::load`]: whether the process before ended in order, so that no message is lost.
    pub fn is_clean(&self) -> bool {
        self.clean
    }

    /// It keeps nothing beyond the process.
    pub fn is_memory(&self) -> bool {
        self.place.is_memory()
    }

    fn begin(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
    }
}

/// Sets the connection up; false: the file system has no write-ahead log.
fn set_up(connection: &Connection, place: &Place) -> rusqlite::Result<bool> {
    // Of a file that has pages already it changes nothing.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    // An I/O error through a mapping is a signal, which would end the process.
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    Ok(mode == "wal" || place.is_memory())
}

/// Whether the process before ended in order; from now on this one has not.
fn take_mark(connection: &Connection) -> rusqlite::Result<bool> {
    let clean = connection.query_row("SELECT clean FROM shutdown", [], |row| row.get(0))?;
    connection.execute("UPDATE shutdown SET clean = 0", [])?;
    Ok(clean)
}

pub(super) fn failed(fault: rusqlite::Error) -> StoreFault {
    StoreFault::Failed(fault.to_string().into())
}

#[cfg(test)]
mod tests;
