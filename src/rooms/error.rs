//! Why a room refuses something.

use std::borrow::Cow;

use super::people::JOINS_MOST;
use crate::limits::{MESSAGE_CONTENT_BYTES, MESSAGE_DATA_BYTES, MESSAGE_ID_BYTES};

/// Why a request about a room, or a message to it, was refused. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// No room has this id.
    #[error("there is no such room")]
    Unknown,
    /// Started a second time.
    #[error("the room was started before: a room is live once")]
    NotIdle,
    /// Not started yet.
    #[error("the room is not live: its anchor has not started it")]
    NotLive,
    /// It is over.
    #[error("the room has ended")]
    Ended,
    /// As many users as may have joined it without a socket.
    #[error("{JOINS_MOST} users have joined the room without a socket: connect to it instead")]
    RoomFull,
    /// The user is past `rooms.member_rate`.
    #[error("too many messages: wait a moment, and send them more slowly")]
    RateLimited,
    /// The room is past `rooms.message_rate`, or its log is full.
    #[error("the room has more messages than it can pass on: send again in a moment")]
    RoomBusy,
    /// Not a message that members send.
    #[error("{0}")]
    BadMessage(Cow<'static, str>),
    /// `content` is too long.
    #[error("content is too long: at most {MESSAGE_CONTENT_BYTES} bytes")]
    ContentTooLong,
    /// `data` is too long.
    #[error("data is too long: at most {MESSAGE_DATA_BYTES} bytes as JSON")]
    DataTooLong,
    /// `id` is too long.
    #[error("id is too long: at most {MESSAGE_ID_BYTES} bytes as JSON")]
    IdTooLong,
    /// The sender has sent another message under this `id`.
    #[error("the id was used for another message")]
    IdReused,
    /// A system message from somebody who may not send one.
    #[error("only the room's anchor or an admin may send system messages")]
    Forbidden,
    /// The server is shutting down.
    #[error("the server is shutting down: connect again in a moment")]
    Draining,
}

impl RoomError {
    /// The machine code, for the `code` field.
    pub fn code(&self) -> &'static str {
        match self {
            RoomError::Unknown => "unknown_room",
            RoomError::NotIdle => "room_not_idle",
            RoomError::NotLive => "room_not_live",
            RoomError::Ended => "room_ended",
            RoomError::RoomFull => "room_full",
            RoomError::RateLimited => "rate_limited",
            RoomError::RoomBusy => "room_busy",
            RoomError::BadMessage(_) => "bad_message",
            RoomError::ContentTooLong => "content_too_long",
            RoomError::DataTooLong => "data_too_long",
            RoomError::IdTooLong => "id_too_long",
            RoomError::IdReused => "id_reused",
            RoomError::Forbidden => "forbidden",
            RoomError::Draining => "draining",
        }
    }
}
