//! Which messages a room has seen before: a client that lost an acknowledgement sends again.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use serde_json::value::RawValue;

use crate::ids::UserId;

/// Messages with an id that a room remembers. A client sends again within seconds of losing its
/// connection; at the 10 messages a second of a busy room that is a minute and a half.
pub(super) const REPEATS: usize = 1024;

/// The newest messages with an id, by their sender and that id.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    seen: HashMap<Rc<str>, u64>,
    order: VecDeque<Rc<str>>,
}

impl Repeats {
    /// The `seq` of the message that this user sent with this id.
    pub(super) fn find(&self, user: &UserId, id: &RawValue) -> Option<u64> {
        if self.seen.is_empty() {
            return None;
        }
        self.seen.get(&*key(user, id)).copied()
    }

    /// A message was sent.
    pub(super) fn insert(&mut self, user: &UserId, id: &RawValue, seq: u64) {
        if self.order.len() == REPEATS
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        let key: Rc<str> = key(user, id).into();
        self.order.push_back(Rc::clone(&key));
        self.seen.insert(key, seq);
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
        let mut repeats = Repeats::default();
        assert_eq!(repeats.find(&a, &id(0)), None);
        for n in 0..REPEATS {
            repeats.insert(&a, &id(n), n as u64 + 1);
        }
        assert_eq!(repeats.find(&a, &id(0)), Some(1));
        assert_eq!(repeats.find(&b, &id(0)), None);
        repeats.insert(&b, &id(0), 5000);
        assert_eq!(repeats.find(&a, &id(0)), None, "the oldest went");
        assert_eq!(repeats.find(&b, &id(0)), Some(5000));
        assert_eq!(repeats.seen.len(), REPEATS);
    }
}
