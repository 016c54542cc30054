//! Rooms, messages and users on disk: SQLite, written by one thread that no shard waits for.
//!
//! A shard pushes an [`Entry`] into the [`StoreQueue`] and goes on. The thread commits what has
//! gathered, opens the shard's [`Windows`] again, and reports to whoever waits for a row with
//! [`Message::Stored`](crate::message::Message::Stored). [`Store`] itself knows no thread and no
//! clock, so that a simulation may drive it; [`Reader`] reads beside it.

mod error;
mod place;
mod queue;
mod reader;
mod row;
mod schema;
mod thread;
mod write;
mod writer;

pub use error::StoreOpenError;
pub use queue::{STORE_ROWS_PER_SHARD, StoreQueue, Windows};
pub use reader::{Page, Reader};
pub use row::{Ack, Asker, Entry, MessageRow, Receipt, Receipts, Row, StoreFault, UserRecord};
pub use thread::{BATCH_DELAY, BATCH_ROWS, StoreThread, StoreView, start};
pub use writer::{SWEEP_ROWS, Store};
