//! `/api/v1/stats`: aggregates over the rooms of all shards.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cardinality_estimator::CardinalityEstimator;
use serde::Serialize;

use crate::ids::UserId;
use crate::rooms::{HotRoom, Rooms};

/// Users of a shard that are counted exactly. More are counted by a sketch, so that what a shard
/// sends stays below 32 KiB.
pub const EXACT_USERS: usize = 4096;

/// A shard's users are counted anew when the last count is so old: it takes a millisecond for twenty
/// thousand of them, and anybody may ask.
const USERS_FRESH: Duration = Duration::from_secs(1);

/// Registers of the sketch, as a power of two: a standard error of 0.8 %.
const SKETCH_PRECISION: usize = 14;
/// Bits of a register: enough for 2⁶⁴ users.
const SKETCH_WIDTH: usize = 6;

type Sketch = CardinalityEstimator<u64, DefaultHasher, SKETCH_PRECISION, SKETCH_WIDTH>;

/// Distinct users: the same one may be on several shards.
#[derive(Debug, Clone)]
pub enum UserSet {
    /// Hashes of their ids.
    Exact(HashSet<u64>),
    /// HyperLogLog of them.
    Sketch(Box<Sketch>),
}

/// One shard's part of `/api/v1/stats/online`.
#[derive(Debug)]
pub struct Online {
    /// Everybody in a room, a second ago at most.
    pub users: Arc<UserSet>,
    /// Connections that are members of a room.
    pub connections: usize,
    /// Rooms that are live.
    pub rooms_live: usize,
}

/// A shard's users, and when they were counted.
#[derive(Debug, Default)]
pub(crate) struct LastUsers(Option<(Instant, Arc<UserSet>)>);

/// The answer of `/api/v1/stats/online`.
#[derive(Debug, Serialize)]
pub(crate) struct OnlineStats {
    users: usize,
    connections: usize,
    rooms_live: usize,
}

/// The answer of `/api/v1/stats/hot`.
#[derive(Debug, Serialize)]
pub(crate) struct HotRooms {
    rooms: Vec<HotRoom>,
}

impl UserSet {
    /// The set of these users.
    pub fn of<'a>(users: impl Iterator<Item = &'a UserId>, count: usize) -> Self {
        let hashes = users.map(hash);
        if count <= EXACT_USERS {
            return UserSet::Exact(hashes.collect());
        }
        let mut sketch = Sketch::new();
        hashes.for_each(|hash| sketch.insert_hash(hash));
        UserSet::Sketch(Box::new(sketch))
    }

    /// Adds those of another shard.
    fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (UserSet::Exact(mine), UserSet::Exact(theirs)) => mine.extend(theirs),
            (UserSet::Sketch(mine), UserSet::Sketch(theirs)) => mine.merge(theirs),
            (UserSet::Sketch(mine), UserSet::Exact(theirs)) => {
                theirs.iter().for_each(|&hash| mine.insert_hash(hash));
            }
            (UserSet::Exact(mine), UserSet::Sketch(theirs)) => {
                let mut sketch = theirs.clone();
                mine.iter().for_each(|&hash| sketch.insert_hash(hash));
                *self = UserSet::Sketch(sketch);
            }
        }
    }

    /// How many they are, about.
    fn len(&self) -> usize {
        match self {
            UserSet::Exact(hashes) => hashes.len(),
            UserSet::Sketch(sketch) => sketch.estimate(),
        }
    }
}

/// The same on every shard.
fn hash(user: &UserId) -> u64 {
    let mut hasher = DefaultHasher::new();
    user.hash(&mut hasher);
    hasher.finish()
}

impl LastUsers {
    /// Everybody in these rooms, up to a second ago.
    pub(crate) fn users(&mut self, now: Instant, rooms: &Rooms) -> Arc<UserSet> {
        let fresh = |made: &Instant| now.saturating_duration_since(*made) < USERS_FRESH;
        match &self.0 {
            Some((made, users)) if fresh(made) => users.clone(),
            _ => {
                let users = Arc::new(UserSet::of(rooms.users(), rooms.user_count()));
                self.0 = Some((now, users.clone()));
                users
            }
        }
    }
}

impl OnlineStats {
    /// What the shards gave, together.
    pub(crate) fn new(parts: impl Iterator<Item = Online>) -> Self {
        let mut users = UserSet::Exact(HashSet::new());
        let (mut connections, mut rooms_live) = (0, 0);
        for part in parts {
            users.merge(&part.users);
            connections += part.connections;
            rooms_live += part.rooms_live;
        }
        Self {
            users: users.len(),
            connections,
            rooms_live,
        }
    }
}

impl HotRooms {
    /// The `limit` hottest of what the shards gave.
    pub(crate) fn new(mut rooms: Vec<HotRoom>, limit: usize) -> Self {
        rooms.sort_unstable_by(|a, b| {
            let by_id = || a.room_id.cmp(&b.room_id);
            b.heat.total_cmp(&a.heat).then_with(by_id)
        });
        rooms.truncate(limit);
        Self { rooms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(range: std::ops::Range<usize>) -> UserSet {
        let count = range.len();
        let ids: Vec<UserId> = range
            .map(|n| UserId::try_from(&*format!("user-{n}")).unwrap())
            .collect();
        UserSet::of(ids.iter(), count)
    }

    #[test]
    fn users_on_several_shards_count_once() {
        let part = |range| Online {
            users: Arc::new(users(range)),
            connections: 2,
            rooms_live: 1,
        };
        let stats = OnlineStats::new([part(0..4000), part(3000..5000)].into_iter());
        assert_eq!(
            (stats.users, stats.connections, stats.rooms_live),
            (5000, 4, 2)
        );
    }

    #[test]
    fn many_users_are_counted_to_a_few_percent() {
        let parts = [
            users(0..20_000),
            users(10_000..40_000),
            users(39_000..41_000),
        ];
        for order in [[0, 1, 2], [2, 0, 1]] {
            let mut all = UserSet::Exact(HashSet::new());
            for index in order {
                all.merge(&parts[index]);
            }
            let error = all.len() as f64 / 41_000.0 - 1.0;
            assert!(error.abs() < 0.03, "{}", all.len());
        }
    }

    #[test]
    fn users_are_counted_once_a_second_however_often_they_are_asked_for() {
        let (now, mut last) = (Instant::now(), LastUsers::default());
        let rooms = Rooms::new(now, &crate::config::Rooms::default(), 256);
        let first = last.users(now, &rooms);
        let again = last.users(now + USERS_FRESH / 2, &rooms);
        assert!(Arc::ptr_eq(&first, &again));
        let later = last.users(now + USERS_FRESH, &rooms);
        assert!(!Arc::ptr_eq(&first, &later));
    }
}
