//! Rooms, messages and users on disk: SQLite, written by one thread that no shard waits for.

mod row;

pub use row::{Entry, MessageRow, Purpose, Receipt, Receipts, Row, StoreFault, UserRecord};
