//! Live rooms over HTTP, and members that talk in them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Error, Message};

use super::SOON;
use super::http::Response;
use super::server::Server;
use super::ws::{Refused, Socket};

/// Messages of a page of the history: the largest there is.
const PAGE: usize = 500;

/// A message's place in its room.
pub type Place = (u64, u64);

impl Server {
    /// Creates a room and gives its id.
    ///
    /// # Panics
    /// When the answer is not 201.
    #[track_caller]
    pub fn create_room(&self, anchor: &str, title: &str) -> u64 {
        let room = self
            .post_as(anchor, "/api/v1/rooms", &json!({"title": title}))
            .expect(201)
            .json();
        room["id"]
            .as_u64()
            .unwrap_or_else(|| panic!("no id: {room}"))
    }

    /// Creates a room and starts it.
    #[track_caller]
    pub fn live_room(&self, anchor: &str, title: &str) -> u64 {
        let room = self.create_room(anchor, title);
        self.change_room(anchor, room, "start").expect(200);
        room
    }

    /// `start`, `stop`, `join`, `leave`.
    pub fn change_room(&self, user: &str, room: u64, what: &str) -> Response {
        self.post_as(user, &format!("/api/v1/rooms/{room}/{what}"), &json!({}))
    }

    /// What the API tells of a room.
    #[track_caller]
    pub fn room(&self, room: u64) -> Value {
        self.get(&format!("/api/v1/rooms/{room}"))
            .expect(200)
            .json()
    }

    /// All stored messages of a room, oldest first.
    #[track_caller]
    pub fn history(&self, room: u64) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let target = format!("/api/v1/rooms/{room}/messages?limit={PAGE}{cursor}");
            let mut page = self.get(&target).expect(200).json();
            let Value::Array(messages) = page["messages"].take() else {
                panic!("no list: {page}");
            };
            all.extend(messages);
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }
}

/// Epoch and number of a message of the history.
#[track_caller]
pub fn place(message: &Value) -> Place {
    let number = |name: &str| {
        message[name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name}: {message}"))
    };
    (number("epoch"), number("seq"))
}

/// A member of a room.
pub struct Member {
    pub socket: Socket,
    /// Of its hello.
    pub epoch: u64,
    /// The room's last message when it came, of its hello.
    pub seq: u64,
}

impl Member {
    /// # Panics
    /// When the room does not take it.
    #[track_caller]
    pub fn join(server: &Server, room: u64, user: &str) -> Self {
        Self::try_join(server, room, user, "")
            .unwrap_or_else(|refused| panic!("room {room}: {refused:?}"))
    }

    /// Comes back: `since` a message.
    #[track_caller]
    pub fn rejoin(server: &Server, room: u64, user: &str, since: Place) -> Self {
        let (epoch, seq) = since;
        Self::try_join(server, room, user, &format!("&since={seq}&epoch={epoch}"))
            .unwrap_or_else(|refused| panic!("room {room}: {refused:?}"))
    }

    /// # Errors
    /// The server's answer, when it is not 101.
    pub fn try_join(server: &Server, room: u64, user: &str, more: &str) -> Result<Self, Refused> {
        let target = format!("/ws?room_id={room}&user_id={user}{more}");
        let mut socket = Socket::try_open(server.http(), &target, &[])?;
        let first = next_json(&mut socket, SOON).unwrap_or_else(|end| panic!("no hello: {end:?}"));
        assert_eq!(first["type"], "hello", "{first}");
        assert_eq!(first["room_id"], room, "{first}");
        let (epoch, seq) = place(&first);
        Ok(Self { socket, epoch, seq })
    }

    /// Sends a danmaku.
    pub fn say(&mut self, content: &str) {
        self.socket
            .send(&json!({"type": "danmu", "content": content}));
    }

    /// Sends a danmaku that is to be acknowledged.
    pub fn say_with_id(&mut self, content: &str, id: &Value) {
        self.socket
            .send(&json!({"type": "danmu", "content": content, "id": id}));
    }

    /// The next object of the server; how the connection ended, if it did.
    ///
    /// # Errors
    /// Nothing came in time, or the end.
    pub fn next(&mut self, limit: Duration) -> Result<Value, Ended> {
        next_json(&mut self.socket, limit)
    }

    /// The next message of the room, of those with a number.
    ///
    /// # Panics
    /// When none comes soon, or an error does.
    #[track_caller]
    pub fn message(&mut self) -> Value {
        loop {
            let next = self
                .next(SOON)
                .unwrap_or_else(|end| panic!("no message: {end:?}"));
            match next["type"].as_str() {
                Some("presence" | "ack") => {}
                Some("error" | "closing" | "hello") | None => panic!("no message but {next}"),
                Some(_) => return next,
            }
        }
    }
}

/// What everybody else in the room sees of an attack: their own messages, in order, and nothing wrong.
pub struct Bystander {
    pub member: Member,
    said: u64,
}

impl Bystander {
    #[track_caller]
    pub fn join(server: &Server, room: u64) -> Self {
        Self {
            member: Member::join(server, room, "bystander"),
            said: 0,
        }
    }

    /// Says something and hears it, after what others said; gives that.
    #[track_caller]
    pub fn talks(&mut self) -> Vec<Value> {
        self.said += 1;
        let content = format!("all is well {}", self.said);
        self.member.say(&content);
        let mut others = Vec::new();
        loop {
            let message = self.member.message();
            if message["content"] == *content {
                return others;
            }
            others.push(message);
        }
    }
}

/// Why nothing came.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// Not in time.
    Silent,
    /// With the server's close code, where it gave one.
    Closed(Option<u16>),
}

fn next_json(socket: &mut Socket, limit: Duration) -> Result<Value, Ended> {
    let deadline = Instant::now() + limit;
    loop {
        match socket.next(deadline) {
            Ok(Some(Message::Text(text))) => {
                return Ok(serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")));
            }
            Ok(Some(Message::Close(frame))) => {
                return Err(Ended::Closed(frame.map(|frame| frame.code.into())));
            }
            Ok(Some(_)) => {}
            Ok(None) => return Err(Ended::Silent),
            Err(
                Error::Io(_) | Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_),
            ) => {
                return Err(Ended::Closed(None));
            }
            Err(error) => panic!("{error}"),
        }
    }
}
