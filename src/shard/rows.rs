//! Rows on their way to the store, and the answers that wait for them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tracing::info;

use super::Shard;
use crate::connection::{ConnectionId, Phase, Role};
use crate::error::ApiError;
use crate::http::Response;
use crate::ids::RoomId;
use crate::message::GatherId;
use crate::store::{
    Asker, Entry, Receipt, Receipts, Row, STORE_ROWS_PER_SHARD, StoreFault, UserRecord,
};

/// Rooms that are stored in one tick without being asked for: 1,600 a second, so that even when a
/// thousand retire at once most of what the store can write is left to messages.
const ROOM_ROWS_PER_TICK: usize = 8;
/// After a room's row has failed, none is tried for so long: what fills a disk does not go away in
/// a moment.
const ROOM_ROWS_PAUSE: Duration = Duration::from_secs(1);

/// Rooms that are not stored as they are, the longest waiting first. A room may stand in it again
/// while it does: it is then written twice as it is.
#[derive(Debug, Default)]
pub(super) struct Unstored {
    rooms: VecDeque<RoomId>,
    paused_until: Option<Instant>,
}

impl Unstored {
    /// The room has changed.
    pub(super) fn changed(&mut self, room: RoomId) {
        self.rooms.push_back(room);
    }

    /// Its row could not be written.
    fn failed(&mut self, now: Instant, room: RoomId) {
        self.rooms.push_back(room);
        self.paused_until = Some(now + ROOM_ROWS_PAUSE);
    }

    /// None is left, paused or not.
    pub(super) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// The room whose turn it is.
    fn next(&mut self, now: Instant) -> Option<RoomId> {
        if self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.rooms.pop_front()
    }

    /// All of them, paused or not.
    pub(super) fn take(&mut self) -> VecDeque<RoomId> {
        std::mem::take(&mut self.rooms)
    }
}

impl Shard {
    /// Whether the store's window for this shard has room for one more row.
    pub(crate) fn store_takes(&self) -> bool {
        self.rows_in_flight() < STORE_ROWS_PER_SHARD as u64
    }

    /// Rows that were handed over and that the store is not done with.
    pub(crate) fn rows_in_flight(&self) -> u64 {
        self.rows_sent.saturating_sub(self.windows.done(self.id))
    }

    /// Hands a row to the store; [`Shard::store_takes`] was asked, unless the shard ends or starts.
    pub(crate) fn store(&mut self, row: Row, receipt: Option<Receipt>) {
        self.rows_sent += 1;
        self.receipts_due += usize::from(receipt.is_some());
        self.outbox.rows.push(Entry {
            shard: self.id,
            row,
            receipt,
        });
    }

    /// Stores a user who signs up, and answers the request when that is done.
    pub(super) fn store_user(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        gather: GatherId,
        user: Box<UserRecord>,
        response: Response,
    ) {
        if !self.store_takes() {
            return self.give(now, connection, gather, Err(ApiError::ShardBusy));
        }
        let mut waits = false;
        self.with(now, connection, |_, connection| {
            if let Role::Http(http) = &mut connection.role
                && let Phase::Wait(exchange, waits_for) = &mut http.phase
                && *waits_for == gather
            {
                exchange.prepared = Some(response);
                waits = true;
            }
            None
        });
        // Whoever has gone away meanwhile does not want it any more.
        if waits {
            let asker = Asker { connection, gather };
            let receipt = Receipt::NewUser(asker, user.id.clone());
            self.store(Row::User(user), Some(receipt));
        }
    }

    /// What became of rows that somebody here waits for.
    pub(super) fn stored(&mut self, now: Instant, receipts: Receipts) {
        // None are lost but where the mailbox stayed full.
        self.receipts_due = self.receipts_due.saturating_sub(receipts.len());
        for (receipt, result) in receipts {
            match receipt {
                Receipt::Ack(id, ack) => self.acknowledged(now, id, ack, &result),
                Receipt::NewUser(asker, user) => {
                    if result.is_ok() {
                        info!(%user, "user signed up");
                    }
                    self.request_stored(now, asker, result);
                }
                Receipt::NewRoom(asker, room) => {
                    if result.is_err() {
                        self.take_back(room);
                    }
                    self.request_stored(now, asker, result);
                }
                Receipt::Room(asker, room) => {
                    if result.is_err() {
                        self.unstored.failed(now, room);
                    }
                    if let Some(asker) = asker {
                        self.request_stored(now, asker, result);
                    }
                }
            }
        }
    }

    /// Hands over the rows of rooms that are not stored as they are: a few in a tick, while the
    /// store takes them.
    pub(super) fn store_rooms(&mut self, now: Instant) {
        for _ in 0..ROOM_ROWS_PER_TICK {
            if !self.store_takes() {
                return;
            }
            let Some(room) = self.unstored.next(now) else {
                return;
            };
            self.store_room(room);
        }
    }

    /// Hands over the room as it is now, or that it is no more.
    pub(super) fn store_room(&mut self, room: RoomId) {
        let row = match self.rooms.record(room) {
            Some(record) => Row::Room(Box::new(record.clone())),
            None => Row::RemoveRoom(room),
        };
        self.store(row, Some(Receipt::Room(None, room)));
    }

    fn request_stored(
        &mut self,
        now: Instant,
        Asker { connection, gather }: Asker,
        result: Result<(), StoreFault>,
    ) {
        let result = result.map_err(|fault| match fault {
            StoreFault::UsernameTaken(username) => ApiError::UsernameTaken { username },
            StoreFault::Missing | StoreFault::Failed(_) => ApiError::StoreFailed,
        });
        self.give_prepared(now, connection, gather, result);
    }
}
