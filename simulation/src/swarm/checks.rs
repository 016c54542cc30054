//! What must hold at any time.

use std::collections::{BTreeMap, HashMap};

use media_service::totals::Total;
use serde_json::Value;

use super::Kind;
use super::world::World;

/// Timers of a connection, a session or a device; those that were set anew stay until their time.
const TIMERS_EACH: usize = 400;

/// What members of rooms were told, over all of them.
#[derive(Default)]
pub(super) struct Told {
    /// By room, epoch and number: who said what.
    messages: HashMap<(u64, u64, u64), (String, String)>,
    acknowledged: BTreeMap<(u64, u64, u64), String>,
    /// Heard first since the process started.
    fresh: u64,
}

impl Told {
    pub(super) fn hear(&mut self, room: u64, epoch: u64, seq: u64, frame: &Value) {
        let text = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
        let said = (text("user_id"), text("content"));
        assert_eq!(frame["room_id"], room, "a message of another room");
        match self.messages.get(&(room, epoch, seq)) {
            Some(before) => assert_eq!(*before, said, "message {seq} of room {room} differs"),
            None => {
                self.messages.insert((room, epoch, seq), said);
                self.fresh += 1;
            }
        }
    }

    pub(super) fn acknowledge(&mut self, room: u64, epoch: u64, seq: u64, content: String) {
        if let Some((_, said)) = self.messages.get(&(room, epoch, seq)) {
            assert_eq!(*said, content, "another message is acknowledged");
        }
        self.acknowledged.insert((room, epoch, seq), content);
    }

    pub(super) fn restarted(&mut self) {
        self.fresh = 0;
    }
}

impl World {
    /// Looks at every shard's tables, and compares what they count with what happened.
    pub(super) fn check(&mut self) {
        self.counts.checks += 1;
        let shards = self.sim.placement;
        let (mut sessions, mut devices, mut rooms) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (mut accepted, mut ended, mut handed_over, mut closed) = (0, 0, 0, 0);
        let (mut open, mut answers, mut panics, mut broadcast) = (0, 0, 0, 0);
        for (shard, it) in self.sim.shards.iter().enumerate() {
            assert_eq!(it.audit(), [""; 0]);
            let has = it.holdings();
            for id in &has.sessions {
                assert_eq!(shards.shard_of_session(*id).index(), shard, "session {id}");
                assert_eq!(
                    World::owner_of(&mut sessions, id, shard),
                    None,
                    "session {id}"
                );
            }
            for id in &has.devices {
                assert_eq!(shards.shard_of(id).index(), shard, "device {id}");
                assert_eq!(
                    World::owner_of(&mut devices, id, shard),
                    None,
                    "device {id}"
                );
            }
            for id in &has.rooms {
                assert_eq!(shards.shard_of_room(*id).index(), shard, "room {id}");
                assert_eq!(World::owner_of(&mut rooms, id, shard), None, "room {id}");
            }
            let holds = 1 + has.connections + has.sessions.len() + has.devices.len();
            assert!(
                has.timers <= TIMERS_EACH * holds,
                "{} timers for {holds} things",
                has.timers
            );
            open += has.connections;
            answers += has.answers;
            panics += has.panics;
            broadcast += has.broadcast;
            accepted += has.accepted;
            ended += has.ended;
            handed_over += has.handed_over;
            closed += has.sessions_ended;
        }
        assert!(panics <= self.sim.injected, "a panic that was not injected");
        for (total, held) in [
            (Total::Sessions, sessions.len()),
            (Total::Devices, devices.len()),
            (Total::Rooms, rooms.len()),
            (Total::Connections, open),
        ] {
            assert_eq!(self.sim.totals.sum(total), held, "{total:?}");
        }
        assert_eq!(accepted, self.sim.accepted, "connections accepted");
        assert_eq!(open, self.sim.held(), "connections that shards have");
        let moving = self.sim.moving() as u64;
        assert_eq!(accepted, ended + open as u64 + moving, "connections ended");
        assert_eq!(handed_over, self.sim.handed_over, "connections handed over");
        self.counts.handed_over = self.counts.handed_over.max(handed_over);
        assert!(
            closed + sessions.len() as u64 >= self.created,
            "sessions that nobody counted"
        );
        // A panic may come between an answer and its count.
        let injected = self.sim.injected;
        assert!(
            answers + injected >= self.answered,
            "more answers than are counted"
        );
        // A connection that moves takes answers along that are not written yet.
        if self.exact && moving == 0 && self.plan_reads_all() {
            assert_eq!(answers, self.answered, "requests answered");
        }
        assert!(broadcast >= self.told.fresh, "messages that nobody counted");
        if self.exact && !self.plan.has(Kind::MemberGone) && !self.plan.has(Kind::Return) {
            assert_eq!(broadcast, self.told.fresh, "messages");
        }
    }

    /// Every answer that was written is read at once.
    fn plan_reads_all(&self) -> bool {
        let hides = [Kind::SlowClient, Kind::Reset, Kind::HalfClose];
        !hides.iter().any(|&kind| self.plan.has(kind))
    }

    /// Whatever was acknowledged is in its room's history.
    pub(super) fn check_acknowledged(&mut self) {
        let mut rooms: Vec<u64> = self.told.acknowledged.keys().map(|key| key.0).collect();
        rooms.dedup();
        for room in rooms {
            let stored = self.history(room);
            for ((_, epoch, seq), content) in
                self.told.acknowledged.range((room, 0, 0)..(room + 1, 0, 0))
            {
                assert_eq!(
                    stored.get(&(*epoch, *seq)),
                    Some(content),
                    "message {seq} of epoch {epoch} of room {room} was acknowledged"
                );
            }
        }
    }

    /// Everything that the server has of a room, by epoch and number.
    fn history(&mut self, room: u64) -> HashMap<(u64, u64), String> {
        let mut stored = HashMap::new();
        let mut more = String::new();
        loop {
            let target = format!("/api/v1/rooms/{room}/messages?limit=500{more}");
            let page = self.sim.read_json(&target);
            self.answered += 1;
            for message in page["messages"].as_array().expect("messages") {
                let number = |name: &str| message[name].as_u64().expect("a number");
                let content = message["content"].as_str().unwrap_or_default();
                stored.insert((number("epoch"), number("seq")), content.to_owned());
            }
            match page["next_cursor"].as_str() {
                Some(cursor) => more = format!("&cursor={cursor}"),
                None => return stored,
            }
        }
    }
}
