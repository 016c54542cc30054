//! What crosses shards. Nothing on the path of a packet or a room message.

use std::time::Instant;

use serde::Serialize;

use crate::api::{DeviceView, Load, Online, SessionFilter, SessionView};
use crate::connection::ConnectionId;
use crate::error::ApiError;
use crate::http::Response;
use crate::ids::UserId;
use crate::metrics::Snapshot;
use crate::placement::ShardId;
use crate::rooms::{HotRoom, RoomFilter, RoomView};
use crate::store::{Receipts, UserRecord};

/// A message from one shard to another, through the receiver's bounded mailbox. (A connection that
/// moves goes there with its socket: [`Mail::Adopt`](crate::driver::Mail::Adopt).)
#[derive(Debug)]
pub enum Message {
    /// Part of an aggregate. Mailbox full: counts as a shard that did not answer.
    Query {
        /// Who asks.
        from: ShardId,
        /// The asking shard's number for it.
        gather: GatherId,
        /// What is asked.
        query: Query,
    },
    /// The answer to a [`Message::Query`]. Mailbox full: dropped, the asker's deadline passes.
    Answer {
        /// Who answers.
        from: ShardId,
        /// As in the query.
        gather: GatherId,
        /// What was asked for.
        answer: Answer,
    },
    /// Text that the side thread encoded for a connection. Mailbox full: the side thread tries
    /// again for a second; the request's deadline passes then.
    Encoded {
        /// Whose request it answers.
        connection: ConnectionId,
        /// Which of its requests; it may have been given up.
        gather: GatherId,
        /// The text.
        text: String,
    },
    /// What the side thread answers a connection's request with. Mailbox full: as
    /// [`Message::Encoded`].
    Replied {
        /// Whose request it answers.
        connection: ConnectionId,
        /// Which of its requests.
        gather: GatherId,
        /// The answer.
        reply: Result<Response, ApiError>,
    },
    /// A new user's password is hashed: to be stored, and answered then. Mailbox full: as
    /// [`Message::Encoded`].
    Hashed {
        /// Whose request it was.
        connection: ConnectionId,
        /// Which of its requests.
        gather: GatherId,
        /// The user.
        user: Box<UserRecord>,
        /// The answer, once that is stored.
        response: Response,
    },
    /// What became of rows that connections of the shard wait for; one message a batch. Mailbox
    /// full: the store's thread tries again for a second, and keeps the shard's window closed
    /// meanwhile; then it is lost, and who waits for it is never told.
    Stored(Receipts),
    /// Shut down: stop taking work, close what is there, be gone by the deadline. Mailbox full:
    /// the sender tries again until it fits.
    Drain {
        /// When the shard is gone, whatever it still holds.
        deadline: Instant,
    },
}

/// Names a running aggregate on the shard that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct GatherId(pub u64);

/// What every shard is asked for.
#[derive(Debug, Clone)]
pub enum Query {
    /// Sessions in the order of their ids.
    Sessions(SessionFilter),
    /// All devices.
    Devices,
    /// Whether the user is online.
    UserOnline(UserId),
    /// Everything that is counted.
    Metrics,
    /// Rooms in the order of their ids.
    Rooms(RoomFilter),
    /// The hottest rooms, so many.
    Hot(usize),
    /// Who and what is online.
    Online,
    /// Where its time goes.
    Load,
}

/// One shard's part.
#[derive(Debug)]
pub enum Answer {
    /// At most as many as were asked for.
    Sessions(Vec<SessionView>),
    /// All of the shard's devices.
    Devices(Vec<DeviceView>),
    /// Whether the user has something on the shard.
    UserOnline(bool),
    /// The shard's counters.
    Metrics(Box<Snapshot>),
    /// One more than were asked for at most.
    Rooms(Vec<RoomView>),
    /// The hottest first.
    Hot(Vec<HotRoom>),
    /// What is on the shard.
    Online(Online),
    /// Where the shard's time goes.
    Load(Box<Load>),
}
