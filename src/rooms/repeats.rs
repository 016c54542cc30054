//! Which messages a room has seen before: a client that lost an acknowledgement sends again.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::rc::Rc;

use serde_json::value::RawValue;

use super::RoomError;
use super::message::Inbound;
use crate::ids::UserId;

/// Messages with an id that a room remembers. A client sends again within seconds of losing its
/// connection; at the 10 messages a second of a busy room that is a minute and a half.
pub(super) const REPEATS: usize = 1024;

/// The newest messages with an id, by their sender and that id.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    seen: HashMap<Rc<str>, Seen>,
    order: VecDeque<Rc<str>>,
}

/// A message with an id.
#[derive(Debug)]
struct Seen {
    seq: u64,
    /// Of what it says, by the table's own hasher. Whoever finds two messages with the same has
    /// deceived itself alone.
    hash: u64,
}

impl Repeats {
    /// The `seq` that this message got when this user sent it with this id before.
    ///
    /// # Errors
    /// [`RoomError::IdReused`]: what the user sent with this id was another message.
    pub(super) fn find(
        &self,
        user: &UserId,
        id: &RawValue,
        message: &Inbound<'_>,
    ) -> Option<Result<u64, RoomError>> {
        if self.seen.is_empty() {
            return None;
        }
        let seen = self.seen.get(&*key(user, id))?;
        let same = seen.hash == self.hash(message);
        Some(same.then_some(seen.seq).ok_or(RoomError::IdReused))
    }

    /// A message was sent.
    pub(super) fn insert(&mut self, user: &UserId, id: &RawValue, message: &Inbound<'_>, seq: u64) {
        if self.order.len() == REPEATS
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        let key: Rc<str> = key(user, id).into();
        self.order.push_back(Rc::clone(&key));
        let hash = self.hash(message);
        self.seen.insert(key, Seen { seq, hash });
    }

    /// Of what the sender says: its kind, its content, its data as they were written.
    fn hash(&self, message: &Inbound<'_>) -> u64 {
        let data = message.data.map(RawValue::get);
        let said = (message.kind, &message.content, data);
        self.seen.hasher().hash_one(said)
    }
}

/// Neither a user's id nor JSON on one line has this character.
fn key(user: &UserId, id: &RawValue) -> String {
    [user.as_str(), id.get()].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_per_user() {
        let id = |n: usize| RawValue::from_string(n.to_string()).unwrap();
        let (a, b): (UserId, UserId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let like = Inbound::parse(r#"{"type":"like"}"#).unwrap();
        let mut repeats = Repeats::default();
        assert_eq!(repeats.find(&a, &id(0), &like), None);
        for n in 0..REPEATS {
            repeats.insert(&a, &id(n), &like, n as u64 + 1);
        }
        assert_eq!(repeats.find(&a, &id(0), &like), Some(Ok(1)));
        assert_eq!(repeats.find(&b, &id(0), &like), None);
        repeats.insert(&b, &id(0), &like, 5000);
        assert_eq!(repeats.find(&a, &id(0), &like), None, "the oldest went");
        assert_eq!(repeats.find(&b, &id(0), &like), Some(Ok(5000)));
        assert_eq!(repeats.seen.len(), REPEATS);
    }

    #[test]
    fn another_message_is_no_repeat() {
        let (user, id) = ("a".parse().unwrap(), RawValue::from_string("1".into()));
        let id = id.unwrap();
        let mut repeats = Repeats::default();
        let first = r#"{"type":"gift","content":"rose","data":{"value":1}}"#;
        repeats.insert(&user, &id, &Inbound::parse(first).unwrap(), 7);
        let find = |text: &str| repeats.find(&user, &id, &Inbound::parse(text).unwrap());
        assert_eq!(find(first), Some(Ok(7)));
        let spaced = r#"{ "data": {"value":1}, "content": "r\u006fse", "type": "gift", "x": 1 }"#;
        assert_eq!(find(spaced), Some(Ok(7)), "the same, written otherwise");
        for other in [
            r#"{"type":"danmu","content":"rose","data":{"value":1}}"#,
            r#"{"type":"gift","content":"Rose","data":{"value":1}}"#,
            r#"{"type":"gift","content":"rose","data":{"value":2}}"#,
            r#"{"type":"gift","content":"rose"}"#,
        ] {
            assert_eq!(find(other), Some(Err(RoomError::IdReused)), "{other}");
        }
    }
}
