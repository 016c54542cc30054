//! Rooms with clients around them, in the order of the driver's turns.

use serde_json::Value;

use super::super::*;
use super::record;
use crate::limits::Cap;

/// Where the virtual time begins, in Unix milliseconds.
pub(super) const START_MS: u64 = 1_700_000_000_000;

/// The rooms, their clients and the time.
pub(super) struct World {
    pub(super) rooms: Rooms,
    start: Instant,
    pub(super) now: Instant,
    pub(super) clients: Vec<Client>,
    dirty: Vec<ConnectionId>,
    /// Members that a slice may name.
    pub(super) slice: usize,
    /// How long a turn takes from its sweep to its flush.
    pub(super) turn_takes: Duration,
    pub(super) events: Vec<RoomEvent>,
    /// What the wheel holds of rooms in which nothing goes on: their retention.
    quiet: usize,
}

/// A member and its socket.
pub(super) struct Client {
    pub(super) id: ConnectionId,
    pub(super) key: MemberKey,
    pub(super) room: RoomId,
    pub(super) hello: Value,
    pub(super) truncated: Option<Value>,
    /// What came over the socket.
    pub(super) bytes: Vec<u8>,
    /// Bytes that the socket still takes.
    pub(super) space: usize,
    /// The socket has refused bytes.
    pub(super) refused: bool,
    /// It has refused bytes and not taken all of them since.
    pub(super) lags_since: Option<Instant>,
    pub(super) finished: bool,
    pub(super) cut: bool,
    pub(super) gone: bool,
}

/// What a client read.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    Text(Value),
    Close(u16, String),
}

/// The whole frames in `bytes`.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while bytes.len() >= 2 {
        let (header, length) = match bytes[1] {
            126 if bytes.len() < 4 => break,
            126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
            n => (2, usize::from(n)),
        };
        let Some(payload) = bytes.get(header..header + length) else {
            break;
        };
        frames.push(match bytes[0] {
            0x81 => Frame::Text(serde_json::from_slice(payload).unwrap()),
            0x88 => Frame::Close(
                u16::from_be_bytes([payload[0], payload[1]]),
                String::from_utf8(payload[2..].to_vec()).unwrap(),
            ),
            other => panic!("no frame begins with {other:#x}"),
        });
        bytes = &bytes[header + length..];
    }
    frames
}

impl Client {
    /// The texts with a `seq` that came whole.
    pub(super) fn messages(&self) -> Vec<Value> {
        let frames = frames(&self.bytes).into_iter();
        let texts = frames.filter_map(|frame| match frame {
            Frame::Text(text) if text["seq"].is_u64() => Some(text),
            _ => None,
        });
        texts.collect()
    }

    pub(super) fn seqs(&self) -> Vec<u64> {
        let messages = self.messages();
        messages
            .iter()
            .map(|m| m["seq"].as_u64().unwrap())
            .collect()
    }

    pub(super) fn presence(&self) -> Vec<Value> {
        let frames = frames(&self.bytes).into_iter();
        let texts = frames.filter_map(|frame| match frame {
            Frame::Text(text) if text["type"] == "presence" => Some(text),
            _ => None,
        });
        texts.collect()
    }
}

/// A configuration without rates.
pub(super) fn config() -> config::Rooms {
    config::Rooms {
        member_rate: Cap::OFF,
        message_rate: Cap::OFF,
        ..config::Rooms::default()
    }
}

pub(super) fn room(id: u64) -> RoomId {
    RoomId::new(id).unwrap()
}

pub(super) fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

impl World {
    /// With the live rooms 1 to `rooms`.
    pub(super) fn new(config: &config::Rooms, rooms: u64) -> Self {
        let now = Instant::now();
        let mut world = Self {
            rooms: Rooms::new(now, config, 256),
            start: now,
            now,
            clients: Vec::new(),
            dirty: Vec::new(),
            slice: 64,
            turn_takes: Duration::ZERO,
            events: Vec::new(),
            quiet: rooms as usize,
        };
        for id in 1..=rooms {
            world.rooms.insert(world.time(), record(id));
            world.rooms.start(world.time(), room(id)).unwrap();
        }
        world.events.extend(world.rooms.events());
        world
    }

    pub(super) fn time(&self) -> Time {
        Time {
            now: self.now,
            unix_ms: START_MS + (self.now - self.start).as_millis() as u64,
        }
    }

    /// A client of the room. Returns its index.
    pub(super) fn connect(&mut self, id: RoomId, name: &str, replay: Replay) -> usize {
        let connection = ConnectionId::new(self.clients.len() as u32, 0);
        let time = self.time();
        let welcome = self
            .rooms
            .connect(time, id, &user(name), connection, replay)
            .unwrap();
        self.clients.push(Client {
            id: connection,
            key: welcome.key,
            room: id,
            hello: serde_json::from_str(&welcome.hello).unwrap(),
            truncated: welcome
                .truncated
                .map(|text| serde_json::from_str(&text).unwrap()),
            bytes: Vec::new(),
            space: usize::MAX,
            refused: false,
            lags_since: None,
            finished: false,
            cut: false,
            gone: false,
        });
        self.dirty.push(connection);
        self.clients.len() - 1
    }

    pub(super) fn disconnect(&mut self, client: usize) {
        let time = self.time();
        if !std::mem::replace(&mut self.clients[client].gone, true) {
            self.rooms.disconnect(time, self.clients[client].key);
        }
    }

    /// Returns the message's `seq`.
    pub(super) fn say(&mut self, client: usize, content: &str) -> Result<u64, RoomError> {
        let text = serde_json::json!({"type": "danmu", "content": content}).to_string();
        self.send(client, &text, false)
    }

    pub(super) fn send(
        &mut self,
        client: usize,
        text: &str,
        privileged: bool,
    ) -> Result<u64, RoomError> {
        let inbound = Inbound::parse(text)?;
        let (time, key) = (self.time(), self.clients[client].key);
        match self
            .rooms
            .publish(time, key, &inbound, privileged, [7; 16])?
        {
            Published::New { seq, .. } | Published::Repeated { seq, .. } => Ok(seq),
        }
    }

    /// Writes what the socket takes, as the driver does.
    pub(super) fn write(&mut self, client: usize) {
        let now = self.now;
        let client = &mut self.clients[client];
        if client.gone {
            return;
        }
        loop {
            let pending = self.rooms.pending(client.key);
            if pending.is_empty() {
                return;
            }
            let count = pending.len().min(client.space);
            if count == 0 {
                client.refused = true;
                client.lags_since.get_or_insert(now);
                return self.rooms.blocked(now, client.key);
            }
            client.space -= count;
            client.bytes.extend_from_slice(&pending[..count]);
            client.refused = false;
            match self.rooms.took(now, client.key, count) {
                Took::More => {}
                Took::All => client.lags_since = None,
                Took::Finished => client.finished = true,
            }
        }
    }

    /// The socket takes so many more bytes, and says so.
    pub(super) fn make_space(&mut self, client: usize, bytes: usize) {
        self.clients[client].space = bytes;
        if self.clients[client].refused {
            self.write(client);
        }
    }

    /// A turn's end: a slice of sweeps, the writes, the flush. True: more at once.
    pub(super) fn turn(&mut self) -> bool {
        let more = self.rooms.sweep(self.now, self.slice, &mut self.dirty);
        for connection in std::mem::take(&mut self.dirty) {
            let client = self.clients.iter().position(|it| it.id == connection);
            self.write(client.expect("a client of ours"));
        }
        self.now += self.turn_takes;
        self.rooms.flushed(self.now);
        self.take_events();
        more
    }

    pub(super) fn tick(&mut self) {
        let time = self.time();
        self.rooms.tick(time);
        self.take_events();
    }

    /// Clients that are cut are gone, and those that have the close frame too.
    fn take_events(&mut self) {
        self.events.extend(self.rooms.events());
        for event in &self.events {
            if let RoomEvent::Cut(connection) = event {
                let client = self.clients.iter_mut().find(|it| it.id == *connection);
                client.expect("a client of ours").cut = true;
            }
        }
        for client in 0..self.clients.len() {
            if self.clients[client].cut || self.clients[client].finished {
                self.disconnect(client);
            }
        }
    }

    /// What the rooms have to do by themselves.
    pub(super) fn timers(&self) -> usize {
        self.rooms.wheel.len() - self.quiet
    }

    /// Clients that were cut.
    pub(super) fn cuts(&self) -> usize {
        self.clients.iter().filter(|client| client.cut).count()
    }

    /// Turns and ticks until this much later.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.tick();
            while self.turn() {}
            let next = self.rooms.deadline().map_or(end, |at| at.max(self.now));
            self.now = next.min(self.now + Duration::from_millis(5)).min(end);
        }
        self.tick();
        while self.turn() {}
    }
}
