//! The ids that clients name things by. Each is validated where it enters, so that whoever holds
//! one may log it, use it as a label and put it into JSON or a path as it is.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use thiserror::Error;
use uuid::Uuid;

use crate::limits::{ID_CHARS, REQUEST_ID_CHARS, SESSION_ID_CHARS};

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdError {
    /// No character at all.
    #[error("is empty: it must have 1 to {most} characters")]
    Empty {
        /// The most characters that this kind of id may have.
        most: usize,
    },
    /// More characters than this kind of id may have.
    #[error("is too long: it must have 1 to {most} characters")]
    TooLong {
        /// The most characters that this kind of id may have.
        most: usize,
    },
    /// A character that ids do not have. Control characters are shown escaped.
    #[error("has the character {0:?}: only A–Z a–z 0–9 . _ : @ - are allowed")]
    Character(char),
    /// A request id holds something else than visible ASCII.
    #[error("has the character {0:?}: only visible ASCII is allowed")]
    NotVisibleAscii(char),
    /// Not a UUID in its hyphenated form.
    #[error("is not a UUID such as 3f0c8a52-6b1e-4c57-9d2a-0e8f7b6a5c41")]
    NotUuid,
    /// Not the number of a room.
    #[error("is not a room's number: a whole number from 1 to 9007199254740991")]
    NotRoom,
}

/// Checks the length in characters, of which an accepted id has one byte each.
fn check_length(text: &str, most: usize) -> Result<(), IdError> {
    match text.len() {
        0 => Err(IdError::Empty { most }),
        n if n <= most => Ok(()),
        _ => Err(IdError::TooLong { most }),
    }
}

fn check_name(text: &str) -> Result<(), IdError> {
    check_length(text, ID_CHARS)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._:@-".contains(c);
    match text.chars().find(|&c| !allowed(c)) {
        None => Ok(()),
        Some(c) => Err(IdError::Character(c)),
    }
}

fn check_request_id(text: &str) -> Result<(), IdError> {
    check_length(text, REQUEST_ID_CHARS)?;
    match text.chars().find(|c| !c.is_ascii_graphic()) {
        None => Ok(()),
        Some(c) => Err(IdError::NotVisibleAscii(c)),
    }
}

/// Reads an id from a string of any format, with the id's own sentence as the error.
struct IdVisitor<T>(&'static str, fn(&str) -> Result<T, IdError>);

impl<T> Visitor<'_> for IdVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as a string", self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        self.1(text).map_err(|e| E::custom(format_args!("{} {e}", self.0)))
    }
}

/// An id that is text. `Arc<str>`: an id is cloned into sessions, log lines and metrics, and goes
/// to other shards in messages.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as the client wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = IdError;

            fn try_from(text: &str) -> Result<Self, IdError> {
                $check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::try_from(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(IdVisitor($what, |text| Self::try_from(text)))
            }
        }
    };
}

text_id! {
    /// A device: 1 to 128 characters of `A–Z a–z 0–9 . _ : @ -`. Places the device and its sessions.
    DeviceId, "a device id", check_name
}

text_id! {
    /// A user (a JWT's subject): 1 to 128 characters of `A–Z a–z 0–9 . _ : @ -`.
    UserId, "a user id", check_name
}

text_id! {
    /// What a client or a proxy calls a request: 1 to 128 characters of visible ASCII.
    RequestId, "a request id", check_request_id
}

impl Default for UserId {
    /// Whoever does not say who it is, where nobody is asked to.
    fn default() -> Self {
        thread_local! {
            // One for each thread: a count that all shards share would wander between their caches.
            static ANONYMOUS: UserId = UserId("anonymous".into());
        }
        ANONYMOUS.with(UserId::clone)
    }
}

impl RequestId {
    /// The id of a request that came without one.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        let mut text = [0; uuid::fmt::Simple::LENGTH];
        let text = uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .simple()
            .encode_lower(&mut text);
        Self((&*text).into())
    }
}

/// A live room: an integer of 1 to 2⁵³−1, so that it is exact as a number of JSON. Its decimal text
/// places the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RoomId(u64);

impl RoomId {
    /// The largest integer that a JavaScript number holds exactly.
    pub const MAX: u64 = (1 << 53) - 1;

    /// The room with this number.
    pub fn new(number: u64) -> Option<Self> {
        (1..=Self::MAX).contains(&number).then_some(Self(number))
    }

    /// An id of these random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self((u128::from_le_bytes(bytes) % u128::from(Self::MAX)) as u64 + 1)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// Takes what [`fmt::Display`] writes alone, so that a room has one path.
impl FromStr for RoomId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse()
            .ok()
            .and_then(Self::new)
            .filter(|id| id.to_string() == text)
            .ok_or(IdError::NotRoom)
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A media session: a UUID, whose text places the session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SessionId(Uuid);

impl SessionId {
    /// A version 4 UUID (RFC 9562 §5.4) of these random bytes. A session that is to live on a
    /// certain shard gets its id from [`Shards::session_id_for`](crate::placement::Shards).
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// The one text of this id (lower case, hyphens) without an allocation.
    pub fn encode(self, buffer: &mut [u8; SESSION_ID_CHARS]) -> &str {
        self.0.hyphenated().encode_lower(buffer)
    }
}

/// Takes the hyphenated form alone, in either case: one session has one path.
impl FromStr for SessionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != SESSION_ID_CHARS {
            return Err(IdError::NotUuid);
        }
        Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| IdError::NotUuid)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.encode(&mut [0; SESSION_ID_CHARS]))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(IdVisitor("a session id", |text| text.parse()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_device_id_is_kept_as_it_was_written() {
        for text in [
            "a",
            "emulator-5554",
            "10.0.0.7:5555",
            "cam_1@Roof",
            &"x".repeat(ID_CHARS),
        ] {
            let id = DeviceId::try_from(text).unwrap();
            assert_eq!(id.to_string(), text);
            assert_eq!(serde_json::to_string(&id).unwrap(), format!("{text:?}"));
            assert_eq!(
                serde_json::from_str::<DeviceId>(&format!("{text:?}")).unwrap(),
                id
            );
            assert_eq!(HashMap::from([(id, 1)]).get(text), Some(&1));
        }
    }

    #[test]
    fn what_is_no_id_is_refused_with_a_sentence() {
        let long = "x".repeat(ID_CHARS + 1);
        let table = [
            ("", "is empty: it must have 1 to 128 characters"),
            (&*long, "is too long: it must have 1 to 128 characters"),
            (
                "a b",
                "has the character ' ': only A–Z a–z 0–9 . _ : @ - are allowed",
            ),
            (
                "a/b",
                "has the character '/': only A–Z a–z 0–9 . _ : @ - are allowed",
            ),
            (
                "a\nb",
                "has the character '\\n': only A–Z a–z 0–9 . _ : @ - are allowed",
            ),
            (
                "caméra",
                "has the character 'é': only A–Z a–z 0–9 . _ : @ - are allowed",
            ),
        ];
        for (text, sentence) in table {
            assert_eq!(DeviceId::try_from(text).unwrap_err().to_string(), sentence);
            assert_eq!(text.parse::<UserId>().unwrap_err().to_string(), sentence);
        }
        let json = serde_json::from_str::<DeviceId>("\"a b\"")
            .unwrap_err()
            .to_string();
        assert!(
            json.starts_with("a device id has the character ' '"),
            "{json}"
        );
        let json = serde_json::from_str::<UserId>("7").unwrap_err().to_string();
        assert!(json.contains("expected a user id as a string"), "{json}");
    }

    #[test]
    fn a_request_id_is_visible_ascii_and_one_is_made_where_none_came() {
        assert!(RequestId::try_from("req/1?{}~!").is_ok());
        assert_eq!(
            RequestId::try_from("a b"),
            Err(IdError::NotVisibleAscii(' '))
        );
        let made = RequestId::from_random([7; 16]);
        assert_eq!(made.as_str(), "07070707070747078707070707070707");
        assert_eq!(RequestId::try_from(made.as_str()), Ok(made));
    }

    #[test]
    fn a_session_id_has_one_text() {
        let id = SessionId::from_random([0xab; 16]);
        assert_eq!(id.to_string(), "abababab-abab-4bab-abab-abababababab");
        assert_eq!("ABABABAB-ABAB-4BAB-ABAB-ABABABABABAB".parse(), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{id}\""));
        assert_eq!(
            serde_json::from_str::<SessionId>(&format!("\"{id}\"")).unwrap(),
            id
        );

        let other_forms = [
            "",
            "abababababab4bababababababababab",
            "x",
            "{abababab-abab}",
        ];
        for text in other_forms {
            assert_eq!(text.parse::<SessionId>(), Err(IdError::NotUuid));
        }
    }

    #[test]
    fn a_room_id_is_a_number_with_one_text() {
        for number in [1, 42, RoomId::MAX] {
            let id = RoomId::new(number).unwrap();
            assert_eq!(number.to_string().parse(), Ok(id));
            assert_eq!(serde_json::to_string(&id).unwrap(), number.to_string());
        }
        for text in ["", "0", "-1", "01", "+1", "1.0", "9007199254740992", "x"] {
            assert_eq!(text.parse::<RoomId>(), Err(IdError::NotRoom), "{text}");
        }
        for byte in 0..=255 {
            assert!(RoomId::new(RoomId::from_random([byte; 16]).get()).is_some());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_id_or_a_fault(
            text in prop_oneof![
                any::<String>(),
                proptest::collection::vec(proptest::sample::select(b"azAZ09._:@-/".as_slice()), 0..140)
                    .prop_map(|bytes| String::from_utf8(bytes).unwrap()),
                any::<u128>().prop_map(|bits| Uuid::from_u128(bits).to_string()),
            ],
        ) {
            let ok = (1..=ID_CHARS).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:@-".contains(&b));
            prop_assert_eq!(DeviceId::try_from(&*text).is_ok(), ok);
            match text.parse::<SessionId>() {
                Ok(id) => prop_assert_eq!(id.to_string(), text.to_ascii_lowercase()),
                Err(_) => prop_assert!(Uuid::try_parse(&text).is_err()),
            }
        }
    }
}
