//! Live rooms: members, messages, presence, heat. No sockets, no clocks, no other thread.

mod record;

pub use record::{RoomRecord, Status};
