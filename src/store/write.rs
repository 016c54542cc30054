//! Rows of a batch into tables, and rows of tables back.

use rusqlite::types::Type;
use rusqlite::{CachedStatement, Connection, ErrorCode, Row as Columns, ffi, params};

use super::writer::failed;
use super::{MessageRow, Row, StoreFault, UserRecord};
use crate::auth::NoRole;
use crate::ids::{DeviceId, RoomId, UserId};
use crate::rooms::{RoomRecord, Status};

/// The statements of a batch: looked up once for all of its rows.
pub(super) struct RowWriter<'connection> {
    message: CachedStatement<'connection>,
    confirm: CachedStatement<'connection>,
    connection: &'connection Connection,
}

impl<'connection> RowWriter<'connection> {
    pub(super) fn new(connection: &'connection Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            message: connection.prepare_cached(
                "INSERT INTO messages (room, epoch, seq, at, text) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?,
            confirm: connection.prepare_cached(
                "SELECT 1 FROM messages WHERE room = ?1 AND epoch = ?2 AND seq = ?3",
            )?,
            connection,
        })
    }

    /// Writes a row. The outer error concerns the transaction, the inner one this row alone.
    pub(super) fn write(&mut self, row: &Row) -> rusqlite::Result<Result<(), StoreFault>> {
        let written = match row {
            Row::Room(record) => self.room(record),
            Row::RemoveRoom(room) => self.remove_room(*room),
            Row::Message(message) => self.message(message),
            Row::Repeat(message) => match self.holds(message.room, message.epoch, message.seq)? {
                true => Ok(()),
                false => self.message(message),
            },
            Row::Confirm { room, epoch, seq } => {
                let stored = self.holds(*room, *epoch, *seq)?;
                return Ok(stored.then_some(()).ok_or(StoreFault::Missing));
            }
            Row::User(user) => match self.user(user) {
                Err(fault) if is_clash(&fault) => {
                    return Ok(Err(StoreFault::UsernameTaken(user.username.clone())));
                }
                written => written,
            },
        };
        match written {
            Err(fault) if concerns_the_row(&fault) => Ok(Err(failed(fault))),
            written => written.map(Ok),
        }
    }

    fn message(&mut self, message: &MessageRow) -> rusqlite::Result<()> {
        self.message.execute(params![
            message.room.get(),
            message.epoch,
            message.seq,
            message.at,
            message.text
        ])?;
        Ok(())
    }

    fn holds(&mut self, room: RoomId, epoch: u32, seq: u64) -> rusqlite::Result<bool> {
        self.confirm.exists(params![room.get(), epoch, seq])
    }

    fn room(&self, record: &RoomRecord) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "INSERT OR REPLACE INTO rooms
             (id, anchor, title, cover, device, status, viewer_count, epoch, last_seq, heat,
              created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        statement.execute(params![
            record.id.get(),
            record.anchor.as_str(),
            record.title,
            record.cover,
            record.device.as_ref().map(DeviceId::as_str),
            record.status as u8,
            record.viewer_count,
            record.epoch,
            record.last_seq,
            record.heat,
            record.created_at,
            record.updated_at,
        ])?;
        Ok(())
    }

    fn remove_room(&self, room: RoomId) -> rusqlite::Result<()> {
        for sql in [
            "DELETE FROM rooms WHERE id = ?1",
            "INSERT OR IGNORE INTO removed_rooms (id) VALUES (?1)",
        ] {
            self.connection.prepare_cached(sql)?.execute([room.get()])?;
        }
        Ok(())
    }

    fn user(&self, user: &UserRecord) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO users (id, username, password_hash, role, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        statement.execute(params![
            user.id.as_str(),
            user.username,
            user.password_hash,
            user.role.name(),
            user.created_at,
        ])?;
        Ok(())
    }
}

/// Another user has the name, or (where ids are names) the id.
fn is_clash(fault: &rusqlite::Error) -> bool {
    fault.sqlite_error().is_some_and(|error| {
        matches!(
            error.extended_code,
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        )
    })
}

/// The row breaks a rule of its table, or holds a number that SQLite has not: the statement alone
/// is undone then, and the transaction goes on.
fn concerns_the_row(fault: &rusqlite::Error) -> bool {
    matches!(fault, rusqlite::Error::ToSqlConversionFailure(_))
        || fault.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// Columns: id, anchor, title, cover, device, status, viewer_count, epoch, last_seq, heat,
/// created_at, updated_at.
pub(super) fn room_record(columns: &Columns<'_>) -> rusqlite::Result<RoomRecord> {
    let device: Option<Box<str>> = columns.get(4)?;
    Ok(RoomRecord {
        id: room_id(columns, 0)?,
        anchor: user_id(columns, 1)?,
        title: columns.get(2)?,
        cover: columns.get(3)?,
        device: device
            .map(|text| DeviceId::try_from(&*text).map_err(|fault| damaged(4, Type::Text, fault)))
            .transpose()?,
        status: Status::from_number(columns.get(5)?)
            .ok_or_else(|| damaged(5, Type::Integer, "no status of a room"))?,
        viewer_count: columns.get(6)?,
        epoch: columns.get(7)?,
        last_seq: columns.get(8)?,
        heat: columns.get(9)?,
        created_at: columns.get(10)?,
        updated_at: columns.get(11)?,
    })
}

/// Columns: room, epoch, seq, at, text.
pub(super) fn message_row(columns: &Columns<'_>) -> rusqlite::Result<MessageRow> {
    Ok(MessageRow {
        room: room_id(columns, 0)?,
        epoch: columns.get(1)?,
        seq: columns.get(2)?,
        at: columns.get(3)?,
        text: columns.get(4)?,
    })
}

/// Columns: id, username, password_hash, role, created_at.
pub(super) fn user_record(columns: &Columns<'_>) -> rusqlite::Result<UserRecord> {
    let role: Box<str> = columns.get(3)?;
    Ok(UserRecord {
        id: user_id(columns, 0)?,
        username: columns.get(1)?,
        password_hash: columns.get(2)?,
        role: role
            .parse()
            .map_err(|fault: NoRole| damaged(3, Type::Text, fault))?,
        created_at: columns.get(4)?,
    })
}

fn room_id(columns: &Columns<'_>, index: usize) -> rusqlite::Result<RoomId> {
    RoomId::new(columns.get(index)?)
        .ok_or_else(|| damaged(index, Type::Integer, "no number of a room"))
}

fn user_id(columns: &Columns<'_>, index: usize) -> rusqlite::Result<UserId> {
    let text: Box<str> = columns.get(index)?;
    UserId::try_from(&*text).map_err(|fault| damaged(index, Type::Text, fault))
}

/// A column holds what this server does not write.
fn damaged(
    column: usize,
    kind: Type,
    why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, why.into())
}
