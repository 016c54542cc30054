//! Who is in a room: distinct users, however many sockets they have, and what is said of their
//! coming and going.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::message::json;
use super::rate::{Bucket, Rate};
use super::slots::Slots;
use super::{ViewerPage, ViewerView};
use crate::alarm::{Alarm, Fired};
use crate::clock::Rfc3339;
use crate::ids::UserId;

/// Comings and goings are told so long after the first of them, all together: five thousand joins
/// are then five thousand deliveries, and not twelve million.
pub(super) const PRESENCE_INTERVAL: Duration = Duration::from_secs(1);
/// Names of a presence frame, of those who came and of those who left; how many there were is said
/// in numbers. At most 18 kB.
pub(super) const PRESENCE_NAMES: usize = 64;

/// Users who left with less than a full bucket, and whose bucket waits for them. Whoever has more
/// names than this to leave with needs no second bucket for any of them.
const SPENT_MOST: usize = 4096;

/// Users of a room who joined it over HTTP: names that cost their sender a request, and the server
/// some 400 B each. Sockets have bounds of their own.
pub(super) const JOINS_MOST: usize = 10_000;
/// Joins of a room that lapse in one tick, at about a microsecond each.
const LAPSES_PER_TICK: usize = 256;

/// The users of a room.
#[derive(Debug, Default)]
pub(super) struct People {
    people: Slots<Person>,
    by_name: BTreeMap<UserId, u32>,
    /// Since the last presence frame.
    changes: BTreeMap<UserId, Change>,
    /// The buckets of users who have left and may come back before they are full again.
    spent: BTreeMap<UserId, Bucket>,
    /// A presence frame is on its way.
    announced: bool,
    /// When the joins over HTTP lapse, and whose they are.
    lapses: BTreeSet<(Instant, u32)>,
    /// When the first of them does.
    lapse: Alarm,
}

/// A user.
#[derive(Debug)]
struct Person {
    name: UserId,
    /// Unix milliseconds.
    joined_at: u64,
    sockets: u32,
    /// What it may say, over all of its sockets.
    bucket: Bucket,
    /// When its join over HTTP lapses, if it did.
    join: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Joined,
    Left,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "presence")]
struct Presence<'a> {
    joined: Vec<&'a UserId>,
    left: Vec<&'a UserId>,
    viewer_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    joined_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_count: Option<usize>,
}

impl People {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Everybody, in the order of their ids.
    pub(super) fn names(&self) -> impl Iterator<Item = &UserId> {
        self.by_name.keys()
    }

    pub(super) fn find(&self, user: &UserId) -> Option<u32> {
        self.by_name.get(user).copied()
    }

    /// Its name, and the bucket that its messages are taken from.
    pub(super) fn speaker(&mut self, person: u32) -> Option<(&UserId, &mut Bucket)> {
        let person = self.people.get_mut(person)?;
        Some((&person.name, &mut person.bucket))
    }

    /// The user is here. True: it was not before.
    pub(super) fn enter(&mut self, user: &UserId, unix_ms: u64) -> (u32, bool) {
        if let Some(person) = self.find(user) {
            return (person, false);
        }
        let person = self.people.insert(Person {
            name: user.clone(),
            joined_at: unix_ms,
            sockets: 0,
            bucket: self.spent.remove(user).unwrap_or(Bucket::full()),
            join: None,
        });
        self.by_name.insert(user.clone(), person);
        self.change(user, Change::Joined);
        (person, true)
    }

    /// The user has another socket here.
    pub(super) fn connected(&mut self, person: u32) {
        if let Some(person) = self.people.get_mut(person) {
            person.sockets += 1;
        }
    }

    /// One of its sockets is gone.
    pub(super) fn disconnected(&mut self, person: u32) {
        if let Some(person) = self.people.get_mut(person) {
            person.sockets -= 1;
        }
    }

    /// Whether the user may join over HTTP: it has, or there is room for one more.
    pub(super) fn may_join(&self, user: &UserId) -> bool {
        let person = self.find(user).and_then(|person| self.people.get(person));
        self.lapses.len() < JOINS_MOST || person.is_some_and(|person| person.join.is_some())
    }

    /// It has joined over HTTP, until then. `Some`: [`People::lapsed`] is to be asked at that time.
    pub(super) fn joined(&mut self, person: u32, until: Instant) -> Option<Instant> {
        self.unjoined(person);
        self.people.get_mut(person)?.join = Some(until);
        self.lapses.insert((until, person));
        self.watch_lapses()
    }

    /// It has no join over HTTP any more.
    pub(super) fn unjoined(&mut self, person: u32) {
        let held = self.people.get_mut(person);
        if let Some(until) = held.and_then(|person| person.join.take()) {
            self.lapses.remove(&(until, person));
        }
    }

    /// Takes away the joins over HTTP that have lapsed, as many as may in a tick, and names whose
    /// they were. `Some`: to be asked again at that time.
    pub(super) fn lapsed(&mut self, now: Instant, users: &mut Vec<u32>) -> Option<Instant> {
        match self.lapse.fired(now) {
            Fired::Due => {}
            Fired::Again(at) => return Some(at),
            Fired::Nothing => return None,
        }
        while users.len() < LAPSES_PER_TICK
            && let Some(&(until, person)) = self.lapses.first()
            && until <= now
        {
            self.unjoined(person);
            users.push(person);
        }
        self.watch_lapses()
    }

    fn watch_lapses(&mut self) -> Option<Instant> {
        let &(first, _) = self.lapses.first()?;
        self.lapse.set(first)
    }

    /// Takes the user away whom nothing keeps here. Returns it then.
    pub(super) fn leave(&mut self, person: u32, at: u32, rate: Option<Rate>) -> Option<UserId> {
        let held = self.people.get(person)?;
        if held.sockets > 0 || held.join.is_some() {
            return None;
        }
        let Person { name, bucket, .. } = self.people.remove(person)?;
        self.by_name.remove(&name);
        if !bucket.is_full(at, rate) && self.spent.len() < SPENT_MOST {
            self.spent.insert(name.clone(), bucket);
        }
        self.change(&name, Change::Left);
        Some(name)
    }

    /// Who came and left between two frames was never there for the others, and who left and came
    /// back never away.
    fn change(&mut self, user: &UserId, change: Change) {
        match self.changes.get(user) {
            Some(&earlier) if earlier != change => _ = self.changes.remove(user),
            _ => _ = self.changes.insert(user.clone(), change),
        }
    }

    /// Whether a presence frame is to be scheduled now: there is something to tell or to let go of,
    /// and none is.
    pub(super) fn announce(&mut self) -> bool {
        let wanted = !self.changes.is_empty() || !self.spent.is_empty();
        let due = wanted && !self.announced;
        self.announced |= due;
        due
    }

    /// The presence frame that was scheduled, unless everything is as it was.
    pub(super) fn presence(&mut self, at: u32, rate: Option<Rate>) -> Option<String> {
        self.announced = false;
        self.spent.retain(|_, bucket| !bucket.is_full(at, rate));
        if self.changes.is_empty() {
            return None;
        }
        let changed = |change| {
            let users = self.changes.iter().filter(move |(_, it)| **it == change);
            users.map(|(user, _)| user)
        };
        let cut = |count| (count > PRESENCE_NAMES).then_some(count);
        let frame = Presence {
            joined: changed(Change::Joined).take(PRESENCE_NAMES).collect(),
            left: changed(Change::Left).take(PRESENCE_NAMES).collect(),
            viewer_count: self.len(),
            joined_count: cut(changed(Change::Joined).count()),
            left_count: cut(changed(Change::Left).count()),
        };
        Some(json(&frame))
    }

    /// What the frame says has been told. Returns how many came.
    pub(super) fn told(&mut self) -> usize {
        let changes = std::mem::take(&mut self.changes);
        let joined = changes.values().filter(|&&it| it == Change::Joined);
        joined.count()
    }

    /// The users after this one.
    pub(super) fn page(&self, after: Option<&UserId>, limit: usize) -> ViewerPage {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut range = self.by_name.range::<UserId, _>((from, Bound::Unbounded));
        let viewers: Vec<ViewerView> = range
            .by_ref()
            .take(limit)
            .filter_map(|(user, &person)| {
                let joined_at = Duration::from_millis(self.people.get(person)?.joined_at);
                Some(ViewerView {
                    user_id: user.clone(),
                    joined_at: Rfc3339::new(joined_at),
                })
            })
            .collect();
        let last = viewers.last().map(|viewer| viewer.user_id.clone());
        ViewerPage {
            viewers,
            next_cursor: last.filter(|_| range.next().is_some()),
        }
    }
}

/// Users of a shard, and in how many rooms each is, or how many sessions each has. A tree: a table of a
/// million users would stop the shard while it grows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct UserCounts(BTreeMap<UserId, u32>);

impl UserCounts {
    pub(crate) fn contains(&self, user: &UserId) -> bool {
        self.0.contains_key(user)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn users(&self) -> impl Iterator<Item = &UserId> {
        self.0.keys()
    }

    pub(crate) fn arrive(&mut self, user: &UserId) {
        match self.0.get_mut(user) {
            Some(rooms) => *rooms += 1,
            None => _ = self.0.insert(user.clone(), 1),
        }
    }

    pub(crate) fn depart(&mut self, user: &UserId) {
        if let Some(rooms) = self.0.get_mut(user) {
            *rooms -= 1;
            if *rooms == 0 {
                self.0.remove(user);
            }
        }
    }
}
