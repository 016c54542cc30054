//! Members of rooms: every numbered message comes once, in order and without a gap, and is the same
//! for everybody.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::Message;

use super::asks::{Ask, Then};
use super::world::World;
use crate::{Client, Socket};

/// Members at once.
const MEMBERS: usize = 14;

/// What a connection becomes.
pub(super) enum Opening {
    Viewer,
    /// Of this device.
    Agent(String),
    Member {
        room: u64,
        user: String,
        /// Where it left: the epoch, and the last message that it has.
        left: Option<(u64, u64)>,
    },
}

/// A member's end of its socket.
pub(super) struct Member {
    socket: Socket,
    room: u64,
    user: String,
    left: Option<(u64, u64)>,
    epoch: Option<u64>,
    /// The number of the next message.
    next: u64,
    /// What it said and wants to have acknowledged.
    said: HashMap<u64, String>,
    slow_until: Option<Instant>,
    /// When its token does.
    ends: Option<Instant>,
}

impl World {
    pub(super) fn create_room(&mut self) {
        if self.rooms.len() >= self.plan.rooms {
            return;
        }
        let anchor = self.user();
        let ask = Ask::new("POST", "/api/v1/rooms", &[201])
            .header("X-User-Id", &anchor)
            .body(&json!({"title": "Morning"}))
            .then(Then::Room(anchor));
        self.send_any(ask);
    }

    pub(super) fn stop_room(&mut self) {
        let Some(at) = self.pick(self.rooms.len()) else {
            return;
        };
        let (room, user) = (self.rooms[at], self.user());
        let target = format!("/api/v1/rooms/{room}/stop");
        self.send_any(Ask::new("POST", target, &[200, 403, 409]).header("X-User-Id", &user));
        if self.plan.draw(2) == 0 {
            // There is place for another one.
            self.rooms.swap_remove(at);
        }
    }

    pub(super) fn open_member(&mut self) {
        if let Some(at) = self.pick(self.rooms.len()) {
            let (room, user) = (self.rooms[at], self.user());
            self.enter(room, user, None);
        }
    }

    pub(super) fn enter(&mut self, room: u64, user: String, left: Option<(u64, u64)>) {
        if self.members.len() >= MEMBERS {
            return;
        }
        let Some(peer) = self.connect() else {
            return;
        };
        let mut target = format!("/ws?room_id={room}&user_id={user}");
        if let Some((epoch, seq)) = left {
            target += &format!("&since={seq}&epoch={epoch}");
        }
        let opening = Opening::Member { room, user, left };
        self.send(peer, Ask::upgrade(target, &[101, 404, 409], opening));
    }

    /// The handshake is done.
    pub(super) fn opened(&mut self, client: Client, opening: Opening, ends: Option<Instant>) {
        match opening {
            Opening::Viewer => self.attached(client, None, ends),
            Opening::Agent(device) => self.attached(client, Some(&device), ends),
            Opening::Member { room, user, left } => self.members.push(Member {
                socket: Socket::new(client),
                room,
                user,
                left,
                epoch: None,
                next: 0,
                said: HashMap::new(),
                slow_until: None,
                ends,
            }),
        }
    }

    pub(super) fn say(&mut self) {
        let Some(at) = self.pick(self.members.len()) else {
            return;
        };
        for _ in 0..=self.plan.draw(6) {
            let number = self.next_id;
            self.next_id += 1;
            let member = &mut self.members[at];
            if member.epoch.is_none() {
                return;
            }
            let content = format!("{} says {number}", member.user);
            let message = match self.plan.draw(8) {
                0 => json!({"type": "danmu", "content": content}),
                1 => json!({"type": "like"}),
                2 => {
                    json!({"type": "gift", "content": content, "id": number, "data": {"value": 5}})
                }
                3 => json!(["no message"]),
                _ => json!({"type": "danmu", "content": content, "id": number}),
            };
            if message["id"].is_u64() {
                member.said.insert(number, content);
            }
            let message = Message::text(message.to_string());
            if !member.socket.try_send(&mut self.sim, message) {
                return;
            }
        }
    }

    pub(super) fn slow_member(&mut self) {
        if let Some(at) = self.pick(self.members.len()) {
            let until = self.sim.now + self.plan.time(Duration::from_secs(4));
            let client = self.members[at].socket.client;
            self.sim.wire(client).window = [0, 1, 50, 1_000][self.plan.draw(4)];
            self.members[at].slow_until = Some(until);
            self.exact = false;
        }
    }

    pub(super) fn return_member(&mut self) {
        let Some(at) = self.pick(self.members.len()) else {
            return;
        };
        let member = self.members.swap_remove(at);
        let client = member.socket.client;
        self.note(&format!("member {client:?} leaves, and comes back"));
        self.cut(client);
        let left = member.epoch.map(|epoch| (epoch, member.next - 1));
        self.enter(member.room, member.user, left);
    }

    pub(super) fn drop_member(&mut self) {
        if let Some(at) = self.pick(self.members.len()) {
            let member = self.members.swap_remove(at);
            self.note(&format!("member {:?} is gone", member.socket.client));
            self.cut(member.socket.client);
        }
    }

    pub(super) fn poll_members(&mut self) {
        let mut members = std::mem::take(&mut self.members);
        members.retain_mut(|member| self.poll_member(member));
        members.append(&mut self.members);
        self.members = members;
    }

    /// Reads what came. False: it is closed.
    fn poll_member(&mut self, member: &mut Member) -> bool {
        let client = member.socket.client;
        if let Some(until) = member.slow_until {
            if self.sim.now < until {
                return true;
            }
            member.slow_until = None;
            member.ends = member.ends.map(|ends| ends.max(until));
            self.sim.wire(client).window = usize::MAX;
        }
        while let Some(frame) = member.socket.poll(&mut self.sim) {
            self.note(&format!("member {client:?} {frame}"));
            self.hear(member, &frame);
        }
        if !self.sim.wire(client).server_done {
            let late = self.outlives_its_token(member.ends);
            assert!(!late, "member {client:?} is there without a token");
            return true;
        }
        let code = member.socket.code();
        self.note(&format!("member {client:?} is closed: {code:?}"));
        self.leave_quietly(client);
        false
    }

    fn hear(&mut self, member: &mut Member, frame: &Value) {
        let kind = frame["type"].as_str().unwrap_or_default();
        match kind {
            "hello" => {
                assert!(member.epoch.is_none(), "a second hello");
                let (epoch, seq) = (frame["epoch"].as_u64(), frame["seq"].as_u64());
                let (epoch, seq) = (epoch.expect("an epoch"), seq.expect("a number"));
                member.epoch = Some(epoch);
                member.next = match member.left {
                    Some((left, last)) if left == epoch => {
                        assert!(last <= seq, "the room has gone back from {last} to {seq}");
                        last + 1
                    }
                    Some(_) | None => seq + 1,
                };
            }
            "system" if frame["code"] == "history_truncated" => {
                assert!(member.left.is_some(), "nothing was asked for");
                member.next = frame["from"].as_u64().expect("where it begins");
            }
            "danmu" | "gift" | "like" | "system" => {
                let seq = frame["seq"].as_u64().expect("a number");
                let epoch = member.epoch.expect("hello comes first");
                assert_eq!(
                    seq, member.next,
                    "{} of room {} misses a message or has it twice",
                    member.user, member.room
                );
                member.next += 1;
                self.counts.messages += 1;
                self.told.hear(member.room, epoch, seq, frame);
            }
            "ack" => {
                let seq = frame["seq"].as_u64().expect("a number");
                let id = frame["id"].as_u64().expect("the id that it was sent with");
                let content = member.said.remove(&id);
                let content = content.expect("an acknowledgement of what it said, and once");
                let epoch = member.epoch.expect("hello comes first");
                self.counts.acknowledged += 1;
                self.told.acknowledge(member.room, epoch, seq, content);
            }
            "error" => {
                let code = frame["code"].as_str().unwrap_or_default();
                let troubled = self.sim.now < self.calm_since + Duration::from_secs(10);
                let excused = match code {
                    "rate_limited" | "bad_message" | "room_ended" => true,
                    "not_stored" | "overloaded" => troubled,
                    "internal" => self.sim.injected > 0,
                    _ => false,
                };
                assert!(excused, "a member is told {frame}");
                if let Some(id) = frame["id"].as_u64() {
                    member.said.remove(&id);
                }
            }
            "presence" | "closing" => {}
            _ => panic!("a member is sent {frame}"),
        }
    }

    pub(super) fn lose_members(&mut self) {
        let mut members = std::mem::take(&mut self.members);
        for member in &mut members {
            member.slow_until = None;
            self.poll_member(member);
        }
    }
}
