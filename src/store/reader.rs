//! A connection that reads beside the writer.

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::place::Place;
use super::write::user_record;
use super::writer::failed;
use super::{StoreFault, UserRecord};
use crate::ids::{RoomId, UserId};

/// KiB of pages that a reader keeps.
const CACHE_KIB: i64 = 2 << 10;

/// Reads what is committed, without waiting for the writer or keeping it waiting.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

/// Messages of a room, the oldest first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The objects that the members were sent, each with its `epoch` in front.
    pub texts: Vec<String>,
    /// Epoch and `seq` of the last of them, where there are more.
    pub next: Option<(u32, u64)>,
}

impl Reader {
    pub(super) fn open(place: &Place) -> rusqlite::Result<Self> {
        let connection = place.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        // In memory there is no log to read from: reading would lock the tables against the writer.
        connection.pragma_update(None, "read_uncommitted", place.is_memory())?;
        Ok(Self { connection })
    }

    /// The room's messages after that epoch and `seq`, over all epochs, `limit` at most.
    pub fn messages(
        &self,
        room: RoomId,
        after: (u32, u64),
        limit: usize,
    ) -> Result<Page, StoreFault> {
        self.try_messages(room, after, limit).map_err(failed)
    }

    fn try_messages(
        &self,
        room: RoomId,
        (epoch, seq): (u32, u64),
        limit: usize,
    ) -> rusqlite::Result<Page> {
        // SQLite's numbers are signed; there is nothing after those that it has not.
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        // One more shows that there are more.
        let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut statement = self.connection.prepare_cached(
            "SELECT epoch, text, seq FROM messages
             WHERE room = ?1 AND (epoch, seq) > (?2, ?3) ORDER BY epoch, seq LIMIT ?4",
        )?;
        let mut rows = statement.query(params![room.get(), epoch, seq, one_more])?;
        let (mut page, mut last) = (Page::default(), None);
        while let Some(columns) = rows.next()? {
            if page.texts.len() == limit {
                page.next = last;
                break;
            }
            page.texts.push(message_text(columns)?);
            last = Some((columns.get(0)?, columns.get(2)?));
        }
        Ok(page)
    }

    /// The room's newest messages of all epochs, after which there are no more.
    pub fn newest(&self, room: RoomId, limit: usize) -> Result<Page, StoreFault> {
        let texts = self.try_newest(room, limit).map_err(failed)?;
        Ok(Page { texts, next: None })
    }

    fn try_newest(&self, room: RoomId, limit: usize) -> rusqlite::Result<Vec<String>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut statement = self.connection.prepare_cached(
            "SELECT epoch, text FROM messages
             WHERE room = ?1 ORDER BY epoch DESC, seq DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![room.get(), limit], message_text)?;
        let mut texts: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        texts.reverse();
        Ok(texts)
    }

    /// The user who logs in with this name, whatever the case of its letters.
    pub fn user_by_name(&self, username: &str) -> Result<Option<UserRecord>, StoreFault> {
        self.user_where("lower(username) = lower(?1)", username)
    }

    /// The user with this id.
    pub fn user(&self, id: &UserId) -> Result<Option<UserRecord>, StoreFault> {
        self.user_where("id = ?1", id.as_str())
    }

    /// How many users there are. It walks an index: some 20 ms for a million.
    pub fn user_count(&self) -> Result<usize, StoreFault> {
        self.connection
            .query_row("SELECT count(*) FROM users", [], |columns| columns.get(0))
            .map_err(failed)
    }

    fn user_where(&self, condition: &str, value: &str) -> Result<Option<UserRecord>, StoreFault> {
        let sql = format!(
            "SELECT id, username, password_hash, role, created_at FROM users WHERE {condition}"
        );
        self.connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.query_row([value], user_record).optional())
            .map_err(failed)
    }
}

/// Columns: epoch, text.
fn message_text(columns: &Row<'_>) -> rusqlite::Result<String> {
    let text = columns.get_ref(1)?.as_str()?;
    Ok(with_epoch(columns.get(0)?, text))
}

/// An object with a member `epoch` in front. It has others, each message its `type`.
fn with_epoch(epoch: u32, text: &str) -> String {
    let members = text.strip_prefix('{').unwrap_or(text);
    format!("{{\"epoch\":{epoch},{members}")
}
