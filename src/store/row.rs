//! What shards hand to the store's thread, and what comes back.

use std::fmt;
use std::time::Instant;

use crate::auth::Role;
use crate::connection::ConnectionId;
use crate::ids::{RoomId, UserId};
use crate::message::GatherId;
use crate::placement::ShardId;
use crate::rooms::RoomRecord;

/// Something to be written. What one shard hands over is written in that order.
#[derive(Debug)]
pub enum Row {
    /// A room, new or changed.
    Room(Box<RoomRecord>),
    /// A room that is forgotten, and its messages with it.
    RemoveRoom(RoomId),
    /// A room's message.
    Message(MessageRow),
    /// A message that was handed over before: it is written if it was not.
    Repeat(MessageRow),
    /// Nothing: whether that message is stored is asked, behind everything handed over before.
    Confirm {
        /// Its room.
        room: RoomId,
        /// Its room's epoch.
        epoch: u32,
        /// Its number.
        seq: u64,
    },
    /// A new user.
    User(Box<UserRecord>),
}

/// A message as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRow {
    /// Its room.
    pub room: RoomId,
    /// Its room's epoch.
    pub epoch: u32,
    /// Its number within the epoch.
    pub seq: u64,
    /// Unix milliseconds.
    pub at: u64,
    /// The JSON object that the members were sent.
    pub text: Box<str>,
}

/// A user as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// The subject of its tokens.
    pub id: UserId,
    /// What it logs in with; unique whatever the case of its letters.
    pub username: Box<str>,
    /// A PHC string (argon2id).
    pub password_hash: Box<str>,
    /// What its tokens allow.
    pub role: Role,
    /// Unix milliseconds.
    pub created_at: u64,
}

/// Without the hash: it belongs in no log.
impl fmt::Debug for UserRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRecord")
            .field("id", &self.id)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// A row, and who waits for it.
#[derive(Debug)]
pub struct Entry {
    /// The shard that hands it over: its window opens again when the row is done with.
    pub shard: ShardId,
    /// What is written.
    pub row: Row,
    /// Whom to tell what became of it.
    pub receipt: Option<Receipt>,
}

/// Who waits for a row, on the entry's shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// A member: the acknowledgement of its message.
    Ack(ConnectionId, Ack),
    /// The request with which this user signs up: its answer.
    NewUser(Asker, UserId),
    /// A request for a room that is there already: it is taken back if the row is not stored.
    NewRoom(Asker, RoomId),
    /// The room itself, which is stored again if the row is not, and the request that has changed
    /// it, where there is one.
    Room(Option<Asker>, RoomId),
}

/// A request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// Its connection.
    pub connection: ConnectionId,
    /// Which of the connection's requests.
    pub gather: GatherId,
}

/// A member's message that is to be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The `id` that the member gave it, as JSON.
    pub id: Box<str>,
    /// The message's number.
    pub seq: u64,
    /// When it came.
    pub since: Instant,
}

/// Why a row is not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// Another user has this name.
    #[error("the username {0} is taken")]
    UsernameTaken(Box<str>),
    /// A [`Row::Confirm`] of what was lost.
    #[error("the message was not stored")]
    Missing,
    /// The database refused the batch: the disk is full, or worse.
    #[error("the store failed: {0}")]
    Failed(Box<str>),
}

/// What became of rows that somebody waits for: one batch, one shard.
pub type Receipts = Vec<(Receipt, Result<(), StoreFault>)>;
