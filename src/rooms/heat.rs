//! How much is going on in a room: a score that decays, and the ranking by it.
//!
//! Each event adds its points; between events the score falls by half each `rooms.heat_half_life`:
//!
//! ```text
//! heat(t) = Σ points(e) · 2^(−(t − t(e)) / half-life)
//!
//! points: a user comes 5 · danmu 1 · like 0.2 · gift 1 + value, where value is
//! `data.value` · `data.count` (numbers from 0 on; 0 and 1 where they are missing), at most 10,000
//! ```
//!
//! Who comes counts when the others are told, once a second at most: whoever comes and goes all the
//! time adds less than somebody who talks.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Kind;
use crate::ids::RoomId;
use crate::limits::LIST_MAX;

/// Points of a user who comes into the room.
pub(super) const JOIN_POINTS: f64 = 5.0;
const DANMU_POINTS: f64 = 1.0;
const LIKE_POINTS: f64 = 0.2;
const GIFT_POINTS: f64 = 1.0;
/// The most that a gift's value counts, so that one number typed into a client does not decide the
/// ranking for hours.
const GIFT_VALUE_MOST: f64 = 10_000.0;

/// Points of a message.
pub(super) fn points(kind: Kind, data: Option<&Value>) -> f64 {
    match kind {
        Kind::Danmu => DANMU_POINTS,
        Kind::Like => LIKE_POINTS,
        Kind::Gift => GIFT_POINTS + data.map_or(0.0, gift_value),
        Kind::System => 0.0,
    }
}

fn gift_value(data: &Value) -> f64 {
    let number = |name: &str, missing: f64| {
        let number = data.get(name).and_then(Value::as_f64);
        number.map_or(missing, |n| n.max(0.0))
    };
    (number("value", 0.0) * number("count", 1.0)).min(GIFT_VALUE_MOST)
}

/// A room's score.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heat {
    score: f64,
    /// When it was this, in Unix milliseconds: it decays while the server is down too.
    at: u64,
}

impl Heat {
    pub(super) fn new(score: f64, at: u64) -> Self {
        Self { score, at }
    }

    /// The score now. A clock that was set back makes nothing hotter.
    pub(super) fn at(&self, unix_ms: u64, half_life: Duration) -> f64 {
        let elapsed = Duration::from_millis(unix_ms.saturating_sub(self.at));
        self.score * (-elapsed.as_secs_f64() / half_life.as_secs_f64()).exp2()
    }

    pub(super) fn add(&mut self, unix_ms: u64, half_life: Duration, points: f64) {
        self.score = self.at(unix_ms, half_life) + points;
        self.at = unix_ms.max(self.at);
    }
}

/// The ranking is as old as this at most: whoever polls it costs a walk over the live rooms no more
/// often.
pub(super) const RANKING_LIFE: Duration = Duration::from_secs(1);
/// Rooms of the ranking: a page at most.
const RANKING_ROOMS: usize = LIST_MAX;

/// The hottest rooms.
#[derive(Debug, Default)]
pub(super) struct Ranking {
    made: Option<Instant>,
    rooms: Vec<(RoomId, f64)>,
}

impl Ranking {
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.made
            .is_some_and(|made| now.saturating_duration_since(made) < RANKING_LIFE)
    }

    /// Takes the heat of every live room.
    pub(super) fn make(&mut self, now: Instant, rooms: impl Iterator<Item = (RoomId, f64)>) {
        self.made = Some(now);
        self.rooms.clear();
        self.rooms.extend(rooms);
        // The hottest first; by id where it is the same.
        let order = |a: &(RoomId, f64), b: &(RoomId, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if self.rooms.len() > RANKING_ROOMS {
            self.rooms.select_nth_unstable_by(RANKING_ROOMS, order);
            self.rooms.truncate(RANKING_ROOMS);
            self.rooms.shrink_to_fit();
        }
        self.rooms.sort_unstable_by(order);
    }

    pub(super) fn rooms(&self) -> &[(RoomId, f64)] {
        &self.rooms
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HALF_LIFE: Duration = Duration::from_secs(300);

    #[test]
    fn the_score_halves_each_half_life() {
        let mut heat = Heat::new(0.0, 1_000);
        heat.add(1_000, HALF_LIFE, 8.0);
        assert_eq!(heat.at(301_000, HALF_LIFE), 4.0);
        heat.add(301_000, HALF_LIFE, 4.0);
        assert_eq!(heat.at(901_000, HALF_LIFE), 2.0);
        assert_eq!(heat.at(0, HALF_LIFE), 8.0, "a clock that was set back");
    }

    #[test]
    fn a_gift_counts_by_its_value() {
        let gift = |data: Value| points(Kind::Gift, Some(&data));
        assert_eq!(points(Kind::Gift, None), 1.0);
        assert_eq!(gift(json!({"name": "rose"})), 1.0);
        assert_eq!(gift(json!({"value": 5})), 6.0);
        assert_eq!(gift(json!({"value": 5, "count": 3})), 16.0);
        assert_eq!(gift(json!({"value": -5, "count": 3})), 1.0);
        assert_eq!(gift(json!({"value": "5"})), 1.0);
        assert_eq!(gift(json!({"value": 1e300, "count": 1e300})), 10_001.0);
        assert_eq!(points(Kind::Danmu, Some(&json!({"value": 5}))), 1.0);
        assert_eq!(points(Kind::Like, None), 0.2);
        assert_eq!(points(Kind::System, None), 0.0);
    }

    #[test]
    fn the_ranking_is_by_heat() {
        let now = Instant::now();
        let room = |n| RoomId::new(n).unwrap();
        let mut ranking = Ranking::default();
        assert!(!ranking.is_fresh(now));
        let heats = (1..=2000).map(|n| (room(n), (n % 1500) as f64));
        ranking.make(now, heats);
        assert!(ranking.is_fresh(now + RANKING_LIFE / 2));
        assert!(!ranking.is_fresh(now + RANKING_LIFE));
        assert_eq!(ranking.rooms().len(), RANKING_ROOMS);
        assert_eq!(ranking.rooms()[0], (room(1499), 1499.0));
        assert!(ranking.rooms().is_sorted_by(|a, b| a.1 >= b.1));
    }
}
