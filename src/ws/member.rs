//! The state of a room member's WebSocket, and what it alone is told.

use std::time::Instant;

use serde::Serialize;
use serde_json::value::RawValue;

use super::Codec;
use super::pulse::Pulse;
use crate::auth::Identity;
use crate::config;
use crate::ids::RoomId;
use crate::limits::MEMBER_MESSAGES_PER_TURN;
use crate::metrics::MessageKind;
use crate::rooms::MemberKey;

/// A member's socket. Thousands of them wait for their rooms: it owns no buffer.
#[derive(Debug)]
pub struct MemberSocket {
    pub(crate) codec: Codec,
    pub(crate) pulse: Pulse,
    /// What it is in the room; `None` once it has left.
    pub(crate) key: Option<MemberKey>,
    pub(crate) room: RoomId,
    /// It may send `system` messages.
    pub(crate) privileged: bool,
    /// Unix seconds at which its token expires.
    pub(crate) expires_at: Option<u64>,
    /// It sent more than a turn may handle: the rest waits for the next one.
    pub(crate) paused: bool,
    /// The turn that it spoke in last, and how often it did there.
    turn: u32,
    said: usize,
}

impl MemberSocket {
    pub(crate) fn new(
        now: Instant,
        config: &config::Ws,
        room: RoomId,
        key: MemberKey,
        privileged: bool,
        identity: &Identity,
    ) -> Self {
        Self {
            codec: Codec::new(config.message_bytes),
            pulse: Pulse::new(now, config),
            key: Some(key),
            room,
            privileged,
            expires_at: identity.expires_at,
            paused: false,
            turn: 0,
            said: 0,
        }
    }

    /// A message of its came in this turn. It pauses if that was as many as a turn may handle, in however
    /// many pieces they came: with TLS each may be a record of its own.
    pub(crate) fn spoke(&mut self, turn: u32) {
        if self.turn != turn {
            (self.turn, self.said) = (turn, 0);
        }
        self.said += 1;
        self.paused = self.said >= MEMBER_MESSAGES_PER_TURN;
    }
}

/// What one member is told; the others are not.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum MemberMessage<'a> {
    /// Its message is stored.
    Ack {
        /// As it named it.
        id: &'a RawValue,
        /// The message's number.
        seq: u64,
    },
    /// Its message is not taken, or not stored; the socket goes on.
    Error {
        /// For programs.
        code: &'a str,
        /// For people.
        error: &'a str,
        /// As it named the message, where it did.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
    },
}

impl MemberMessage<'_> {
    /// The object as text.
    pub(crate) fn text(&self) -> String {
        // Strings, numbers, and JSON that was read as such.
        serde_json::to_string(self).expect("plain data serialises")
    }

    /// The `type` label of `media_websocket_messages_total`.
    pub(crate) fn kind(&self) -> MessageKind {
        match self {
            MemberMessage::Ack { .. } => MessageKind::Ack,
            MemberMessage::Error { .. } => MessageKind::Error,
        }
    }
}

#[cfg(test)]
#[test]
fn private_objects_are_written_as_documented() {
    let id = RawValue::from_string(r#""a-1""#.into()).unwrap();
    let text = MemberMessage::Ack { id: &id, seq: 7 }.text();
    assert_eq!(text, r#"{"type":"ack","id":"a-1","seq":7}"#);
    let error = |id| MemberMessage::Error {
        code: "rate_limited",
        error: "slow down",
        id,
    };
    let text = error(None).text();
    assert_eq!(
        text,
        r#"{"type":"error","code":"rate_limited","error":"slow down"}"#
    );
    assert!(error(Some(&id)).text().ends_with(r#","id":"a-1"}"#));
}
