//! What members send, and what all of them get of it.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::heat;
use super::{RoomError, RoomRecord};
use crate::ids::{RoomId, UserId};
use crate::json::JsonFault;
use crate::limits::{
    MESSAGE_CONTENT_BYTES, MESSAGE_DATA_BYTES, MESSAGE_DATA_LEVELS, MESSAGE_ID_BYTES,
};

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A line that flies over the picture.
    Danmu,
    /// A present; its `data` says which.
    Gift,
    /// A heart.
    Like,
    /// An announcement, of the anchor or an admin.
    System,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Danmu, Self::Gift, Self::Like, Self::System];

    /// As in `type`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Danmu => "danmu",
            Kind::Gift => "gift",
            Kind::Like => "like",
            Kind::System => "system",
        }
    }

    fn named(name: &str) -> Result<Self, RoomError> {
        if let "join" | "leave" = name {
            return Err(RoomError::BadMessage(Cow::Borrowed(
                "nobody sends join or leave: the server tells who comes and goes with presence",
            )));
        }
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or(RoomError::BadMessage(Cow::Borrowed(
            "type must be danmu, gift, like or system",
        )))
    }
}

/// A message from a member, within its bounds. The server knows its room, sender and time.
#[derive(Debug)]
pub struct Inbound<'a> {
    pub(super) kind: Kind,
    pub(super) content: Cow<'a, str>,
    pub(super) data: Option<&'a RawValue>,
    pub(super) id: Option<&'a RawValue>,
    /// What it adds to the room's heat.
    pub(super) points: f64,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

impl<'a> Inbound<'a> {
    /// Reads `{"type","content","data","id"}`. Unknown fields are ignored, the rest is checked down
    /// to the last escape: every member's client has to read it.
    ///
    /// # Errors
    /// [`RoomError::BadMessage`] with what is wrong, or which of its parts is too long.
    pub fn parse(text: &'a str) -> Result<Self, RoomError> {
        if !is_object(text) {
            return Err(RoomError::BadMessage(Cow::Borrowed(
                "a message is a JSON object",
            )));
        }
        let wire: Wire<'a> = serde_json::from_str(text).map_err(bad_json)?;
        let kind = Kind::named(&wire.kind)?;
        let content = wire.content.unwrap_or_default();
        if content.len() > MESSAGE_CONTENT_BYTES {
            return Err(RoomError::ContentTooLong);
        }
        // Blanks alone would fly past as nothing.
        if kind == Kind::Danmu && content.trim().is_empty() {
            return Err(RoomError::BadMessage(Cow::Borrowed(
                "content is missing or empty",
            )));
        }
        if wire
            .data
            .is_some_and(|data| data.get().len() > MESSAGE_DATA_BYTES)
        {
            return Err(RoomError::DataTooLong);
        }
        // It is passed on as it came; that it can be read, strings and depth included, shows here.
        let data: Option<Value> = wire
            .data
            .map(|data| serde_json::from_str(data.get()))
            .transpose()
            .map_err(|fault| {
                let fault = JsonFault::from(fault);
                RoomError::BadMessage(format!("data: {fault}").into())
            })?;
        if data
            .as_ref()
            .is_some_and(|data| levels(data) > MESSAGE_DATA_LEVELS)
        {
            let sentence = format!("data is nested deeper than {MESSAGE_DATA_LEVELS} levels");
            return Err(RoomError::BadMessage(sentence.into()));
        }
        if let Some(id) = wire.id {
            check_id(id.get())?;
        }
        Ok(Self {
            kind,
            content,
            data: wire.data,
            id: wire.id,
            points: heat::points(kind, data.as_ref()),
        })
    }

    /// The `id` of a message that [`Inbound::parse`] refuses, where it can be read and is one: its
    /// sender knows then which one was meant.
    pub fn id_of(refused: &'a str) -> Option<&'a RawValue> {
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow)]
            id: Option<&'a RawValue>,
        }
        if !is_object(refused) {
            return None;
        }
        let named: Named<'a> = serde_json::from_str(refused).ok()?;
        named.id.filter(|id| check_id(id.get()).is_ok())
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The `id` that its sender gave it to have it acknowledged, as JSON.
    pub fn id(&self) -> Option<&'a RawValue> {
        self.id
    }
}

/// serde would take a list of the fields' values too.
fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Arrays and objects within each other. What was read has few: serde_json bounds them.
fn levels(value: &Value) -> usize {
    let within = match value {
        Value::Array(items) => items.iter().map(levels).max(),
        Value::Object(fields) => fields.values().map(levels).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return 0,
    };
    1 + within.unwrap_or(0)
}

fn bad_json(fault: serde_json::Error) -> RoomError {
    RoomError::BadMessage(JsonFault::from(fault).to_string().into())
}

/// A number or a string.
fn check_id(json: &str) -> Result<(), RoomError> {
    if json.len() > MESSAGE_ID_BYTES {
        return Err(RoomError::IdTooLong);
    }
    match serde_json::from_str(json) {
        Ok(Value::String(_) | Value::Number(_)) => Ok(()),
        Ok(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | Err(_) => Err(
            RoomError::BadMessage(Cow::Borrowed("id must be a string or a number")),
        ),
    }
}

/// A message as all members get it.
#[derive(Serialize)]
pub(super) struct Outbound<'a> {
    r#type: &'static str,
    room_id: RoomId,
    user_id: &'a UserId,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    timestamp: u64,
    trace_id: fmt::Arguments<'a>,
    seq: u64,
}

/// The text of a message: its sender, its time in Unix milliseconds, its trace and its number are
/// the server's.
pub(super) fn outbound(
    room: &RoomRecord,
    user: &UserId,
    message: &Inbound<'_>,
    unix_ms: u64,
    trace: [u8; 16],
    seq: u64,
) -> String {
    json(&Outbound {
        r#type: message.kind.name(),
        room_id: room.id,
        user_id: user,
        content: &message.content,
        data: message.data,
        timestamp: unix_ms,
        trace_id: format_args!("{:032x}", u128::from_be_bytes(trace)),
        seq,
    })
}

/// The first frame of every member.
#[derive(Serialize)]
#[serde(tag = "type", rename = "hello")]
pub(super) struct Hello {
    pub(super) room_id: RoomId,
    pub(super) epoch: u32,
    pub(super) seq: u64,
    /// Distinct users, this one too.
    pub(super) viewer_count: usize,
}

/// To a member that asked for more than is held.
#[derive(Serialize)]
#[serde(tag = "type", rename = "system")]
pub(super) struct Truncated {
    pub(super) code: &'static str,
    /// The first message that it is sent.
    pub(super) from: u64,
}

/// To every member, before the close frame.
#[derive(Serialize)]
#[serde(tag = "type", rename = "closing")]
pub(super) struct Closing<'a> {
    pub(super) reason: &'a str,
}

/// An object as text.
pub(super) fn json(object: &impl Serialize) -> String {
    // Strings, numbers and lists of them: nothing that JSON cannot carry.
    serde_json::to_string(object).expect("plain data serialises")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refusal(text: &str) -> String {
        Inbound::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_said_in_words_of_json() {
        let table = [
            ("", "a message is a JSON object"),
            (r#"["danmu","x"]"#, "a message is a JSON object"),
            ("7", "a message is a JSON object"),
            ("{}", "type is missing"),
            (
                r#"{"type":"shout","content":"x"}"#,
                "type must be danmu, gift, like or system",
            ),
            (
                r#"{"type":"join"}"#,
                "nobody sends join or leave: the server tells who comes and goes with presence",
            ),
            (r#"{"type":"danmu"}"#, "content is missing or empty"),
            (
                r#"{"type":"danmu","content":" \u3000\n"}"#,
                "content is missing or empty",
            ),
            (
                r#"{"type":"danmu","content":7}"#,
                "integer `7` stands where a string belongs",
            ),
            (
                r#"{"type":"like","id":{}}"#,
                "id must be a string or a number",
            ),
            (
                r#"{"type":"gift","data":"\ud800"}"#,
                "data: it is not JSON: unexpected end of hex escape",
            ),
        ];
        for (text, sentence) in table {
            assert_eq!(refusal(text), sentence, "{text}");
        }
        for text in [r#"{"type":{}}"#, r#"{"type":"danmu","content":[1]}"#, "nul"] {
            let sentence = refusal(text);
            for word in ["::", "struct", "line", "bad"] {
                assert!(!sentence.contains(word), "{text}: {sentence}");
            }
        }
    }

    #[test]
    fn every_part_has_its_bound() {
        let content = |n| json!({"type": "danmu", "content": "x".repeat(n)}).to_string();
        assert!(Inbound::parse(&content(MESSAGE_CONTENT_BYTES)).is_ok());
        assert_eq!(
            Inbound::parse(&content(MESSAGE_CONTENT_BYTES + 1)).unwrap_err(),
            RoomError::ContentTooLong
        );
        let data = |n| json!({"type": "gift", "data": "x".repeat(n - 2)}).to_string();
        assert!(Inbound::parse(&data(MESSAGE_DATA_BYTES)).is_ok());
        assert_eq!(
            Inbound::parse(&data(MESSAGE_DATA_BYTES + 1)).unwrap_err(),
            RoomError::DataTooLong
        );
        let id = |n| json!({"type": "like", "id": "x".repeat(n - 2)}).to_string();
        assert!(Inbound::parse(&id(MESSAGE_ID_BYTES)).is_ok());
        assert_eq!(
            Inbound::parse(&id(MESSAGE_ID_BYTES + 1)).unwrap_err(),
            RoomError::IdTooLong
        );
        let deep = format!(
            r#"{{"type":"gift","data":{}{}}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        assert!(
            refusal(&deep).contains("recursion limit"),
            "{}",
            refusal(&deep)
        );
    }

    #[test]
    fn the_id_of_a_refused_message_is_read_where_that_is_possible() {
        let long = json!({"type": "danmu", "content": "x".repeat(9_000), "id": 7}).to_string();
        let deep = format!(
            r#"{{"data":{}{},"id":"a-1"}}"#,
            "[".repeat(500),
            "]".repeat(500)
        );
        for (text, id) in [
            (r#"{"id":"a-1"}"#, Some(r#""a-1""#)),
            (r#"{"type":"shout","content":"x","id":7}"#, Some("7")),
            (r#"{"type":"danmu","id":1.5,"content":7}"#, Some("1.5")),
            (
                r#"{"type":"gift","data":"\ud800","id":"b"}"#,
                Some(r#""b""#),
            ),
            (&long, Some("7")),
            (&deep, Some(r#""a-1""#)),
            (r#"{"type":"like","id":{}}"#, None),
            (r#"{"type":"like","id":"\ud800"}"#, None),
            (r#"{"id":7"#, None),
            ("[7]", None),
            ("", None),
        ] {
            assert!(Inbound::parse(text).is_err(), "{text}");
            assert_eq!(Inbound::id_of(text).map(RawValue::get), id, "{text}");
        }
        let id = format!(r#"{{"id":"{}"}}"#, "x".repeat(MESSAGE_ID_BYTES));
        assert!(Inbound::id_of(&id).is_none(), "too long");
    }

    #[test]
    fn content_is_escaped_and_data_passed_on_as_it_came() {
        let text =
            r#"{"content":"<b>\u0007\"é","type":"gift","data":{"value": 1.50,"n":[ ]},"x":1}"#;
        let message = Inbound::parse(text).unwrap();
        let room = super::super::tests::record(5);
        let user = "u1".parse().unwrap();
        assert_eq!(
            outbound(&room, &user, &message, 1_700_000_000_123, [0xab; 16], 9),
            concat!(
                r#"{"type":"gift","room_id":5,"user_id":"u1","content":"<b>\u0007\"é","#,
                r#""data":{"value": 1.50,"n":[ ]},"timestamp":1700000000123,"#,
                r#""trace_id":"abababababababababababababababab","seq":9}"#
            )
        );
        let like = Inbound::parse(r#"{"type":"like"}"#).unwrap();
        assert_eq!(
            outbound(&room, &user, &like, 1, [0; 16], 1),
            concat!(
                r#"{"type":"like","room_id":5,"user_id":"u1","content":"","timestamp":1,"#,
                r#""trace_id":"00000000000000000000000000000000","seq":1}"#
            )
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_message_or_a_fault(text in prop_oneof![
            any::<String>(),
            ("\\PC{0,20}", "\\PC{0,20}").prop_map(|(content, data)| {
                json!({"type": "danmu", "content": content, "data": data}).to_string()
            }),
            r#"\{("type":"(danmu|gift|like|system|join)",?|"content":"[a-z\\"]{0,5}",?|"data":[0-9{}\[\]",]{0,9},?|"id":[0-9"a]{0,4},?){0,4}\}"#,
        ]) {
            if let Ok(message) = Inbound::parse(&text) {
                let room = super::super::tests::record(1);
                let text = outbound(&room, &UserId::default(), &message, 0, [0; 16], 1);
                let read: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(&read["content"], &*message.content);
                prop_assert_eq!(&read["seq"], 1);
            }
        }
    }
}
