//! Rows on their way to the store, and the answers that wait for them.

use std::time::Instant;

use super::Shard;
use crate::connection::{ConnectionId, Phase, Role};
use crate::error::ApiError;
use crate::http::Response;
use crate::message::GatherId;
use crate::store::{Entry, Purpose, Receipt, Receipts, Row, STORE_ROWS_PER_SHARD, StoreFault};

impl Shard {
    /// Whether the store's window for this shard has room for one more row.
    pub(crate) fn store_takes(&self) -> bool {
        self.rows_in_flight() < STORE_ROWS_PER_SHARD as u64
    }

    /// Rows that were handed over and that the store is not done with.
    pub(crate) fn rows_in_flight(&self) -> u64 {
        self.rows_sent.saturating_sub(self.windows.done(self.id))
    }

    /// Hands a row to the store; [`Shard::store_takes`] was asked.
    pub(crate) fn store(&mut self, row: Row, receipt: Option<Receipt>) {
        self.rows_sent += 1;
        self.receipts_due += usize::from(receipt.is_some());
        self.outbox.rows.push(Entry {
            shard: self.id,
            row,
            receipt,
        });
    }

    /// Stores what a connection's request has made, and answers it when that is done.
    pub(super) fn answer_when_stored(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        gather: GatherId,
        row: Row,
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
            let purpose = Purpose::Request(gather);
            self.store(
                row,
                Some(Receipt {
                    connection,
                    purpose,
                }),
            );
        }
    }

    /// What became of rows that somebody here waits for.
    pub(super) fn stored(&mut self, now: Instant, receipts: Receipts) {
        // None are lost but where the mailbox stayed full.
        self.receipts_due = self.receipts_due.saturating_sub(receipts.len());
        for (receipt, result) in receipts {
            let id = receipt.connection;
            match receipt.purpose {
                Purpose::Request(gather) => self.request_stored(now, id, gather, result),
                Purpose::NewRoom { gather, room } => {
                    if result.is_err() {
                        self.take_back(room);
                    }
                    self.request_stored(now, id, gather, result);
                }
                Purpose::Ack(ack) => self.acknowledged(now, id, ack, &result),
            }
        }
    }

    fn request_stored(
        &mut self,
        now: Instant,
        id: ConnectionId,
        gather: GatherId,
        result: Result<(), StoreFault>,
    ) {
        let result = result.map_err(|fault| match fault {
            StoreFault::UsernameTaken(username) => ApiError::UsernameTaken { username },
            StoreFault::Missing | StoreFault::Failed(_) => ApiError::StoreFailed,
        });
        self.give_prepared(now, id, gather, result);
    }
}
