//! Rooms and their members.

use serde_json::{Value, json};

use super::{Sim, Socket};

impl Sim {
    /// A room of ann's that is live: its id.
    #[track_caller]
    pub fn live_room(&mut self, shard: usize) -> u64 {
        let id = self.idle_room(shard);
        self.act(id, "start", "ann");
        id
    }

    /// A room of ann's that the shard has drawn the id of.
    #[track_caller]
    pub fn idle_room(&mut self, shard: usize) -> u64 {
        let client = self.connect(shard);
        let body = json!({"title": "Morning"}).to_string();
        let ann = [("X-User-Id", "ann")];
        let created = self.request(client, "POST", "/api/v1/rooms", &ann, body.as_bytes());
        created.expect(201).json()["id"].as_u64().expect("an id")
    }

    /// Does something with a room.
    #[track_caller]
    pub fn act(&mut self, room: u64, what: &str, user: &str) -> Value {
        let client = self.connect(0);
        let target = format!("/api/v1/rooms/{room}/{what}");
        let user = [("X-User-Id", user), ("Connection", "close")];
        self.request(client, "POST", &target, &user, b"")
            .expect(200)
            .json()
    }

    /// Reads something over a connection of its own.
    #[track_caller]
    pub fn read_json(&mut self, target: &str) -> Value {
        let client = self.connect(self.shards.len() - 1);
        let close = [("Connection", "close")];
        self.request(client, "GET", target, &close, b"")
            .expect(200)
            .json()
    }

    /// A member that has said hello.
    #[track_caller]
    pub fn member(&mut self, room: u64, user: &str) -> Socket {
        self.member_with(room, user, "").0
    }

    /// A member with further parameters, and its hello.
    #[track_caller]
    pub fn member_with(&mut self, room: u64, user: &str, more: &str) -> (Socket, Value) {
        let shard = self.draw(self.shards.len());
        let mut socket = self.open(shard, &format!("/ws?room_id={room}&user_id={user}{more}"));
        let hello = socket.expect(self, "hello");
        assert_eq!(hello["room_id"], room);
        (socket, hello)
    }
}

impl Socket {
    pub fn say(&mut self, sim: &mut Sim, content: &str) {
        self.send(sim, &json!({"type": "danmu", "content": content}));
    }
}

/// The numbers of the messages among these frames.
pub fn numbers(frames: &[Value]) -> Vec<u64> {
    frames
        .iter()
        .filter(|frame| frame["type"] == "danmu")
        .filter_map(|frame| frame["seq"].as_u64())
        .collect()
}
