//! Everything that the API can be asked for, and what may be answered.

use std::time::Instant;

use serde_json::{Value, json};

use super::members::Opening;
use super::world::World;
use crate::support::http::Response;
use crate::{Client, UPGRADE};

/// A request.
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Statuses that are right whatever happened before, where nothing is wrong with the machine.
    pub(super) good: &'static [u16],
    pub(super) then: Then,
    /// It has the token that it is to have.
    pub(super) signed: bool,
}

/// What its client does with the answer.
pub(super) enum Then {
    Nothing,
    /// It has a session of the device, and watches it or leaves it alone.
    Session(Option<String>),
    /// Its answer to the offer was taken.
    Answered(usize),
    /// It has a fresh offer.
    Offered(usize),
    /// There is a room.
    Room(String),
    /// It has a WebSocket, until its token ends.
    Socket(Opening, Option<Instant>),
    /// It has, or has not, signed up with that name.
    SignedUp(String),
    /// It has a token.
    LoggedIn(String),
    /// It sees its own name.
    Profile(String),
}

impl Ask {
    pub(super) fn new(
        method: &'static str,
        target: impl Into<String>,
        good: &'static [u16],
    ) -> Self {
        Self {
            method,
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
            good,
            then: Then::Nothing,
            signed: false,
        }
    }

    pub(super) fn body(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }

    /// A handshake.
    pub(super) fn upgrade(target: String, good: &'static [u16], opening: Opening) -> Self {
        let mut ask = Self::new("GET", target, good).then(Then::Socket(opening, None));
        for (name, value) in UPGRADE {
            ask = ask.header(name, value);
        }
        ask
    }

    /// Who asks.
    pub(super) fn user(&self) -> &str {
        let header = self.headers.iter().find(|(name, _)| name == "X-User-Id");
        let parameter = || self.target.split_once("user_id=")?.1.split('&').next();
        let user = header.map(|(_, value)| value.as_str()).or_else(parameter);
        user.unwrap_or("user-0")
    }

    /// Whether it is not done where memory is short.
    pub(super) fn takes_memory(&self) -> bool {
        match &self.then {
            Then::Session(_) | Then::Room(_) => true,
            Then::Socket(opening, _) => {
                !matches!(opening, Opening::Viewer) || self.target.contains("deviceId=")
            }
            _ => false,
        }
    }

    /// Whether it is asked if the server is ready.
    pub(super) fn asks_readiness(&self) -> bool {
        self.target == "/health/ready"
    }

    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    /// Without what its client drew from a generator that is not the seed's.
    pub(super) fn redacted(&self) -> &str {
        &self.target
    }
}

impl World {
    /// Anything, about what there is or about what there is not.
    pub(super) fn any_ask(&mut self) -> Ask {
        match self.plan.draw(4) {
            0 => self.ask_in_general(),
            1 => self.ask_of_a_session(),
            2 => self.ask_of_a_device(),
            _ => self.ask_of_a_room(),
        }
    }

    fn ask_in_general(&mut self) -> Ask {
        let get = |target: &str| Ask::new("GET", target, &[200]);
        match self.plan.draw(17) {
            0 => get("/health"),
            1 => Ask::new("HEAD", "/health", &[200]),
            2 => get("/health/live"),
            3 => get("/health/ready"),
            4 => get("/metrics"),
            5 => get("/openapi.json"),
            6 => get("/"),
            7 => Ask::new("GET", "/nothing/here", &[404]),
            8 => Ask::new("OPTIONS", "/api/media/sessions", &[200, 204]),
            9 => Ask::new("DELETE", "/health", &[405]),
            10 => get("/api/v1/stats/online"),
            11 => get("/api/v1/stats/hot?limit=3"),
            12 => {
                Ask::new("GET", "/api/v1/users/me", &[200, 401, 404]).header("X-User-Id", "user-1")
            }
            13 => Ask::new("POST", "/api/v1/users", &[400]).body(&json!({"username": "x"})),
            14 => Ask::new("GET", "/api/v1/users/login", &[405]),
            15 => get("/api/v1/stats/shards"),
            _ => Ask::new("POST", "/api/media/sessions", &[400]).body(&json!([1])),
        }
    }

    fn ask_of_a_session(&mut self) -> Ask {
        let session = match self.pick(self.watchers.len()) {
            Some(at) if self.plan.draw(8) > 0 => self.watchers[at].session.clone(),
            _ => "3f0c8a52-6b1e-4c57-9d2a-0e8f7b6a5c41".to_owned(),
        };
        let one = format!("/api/media/sessions/{session}");
        match self.plan.draw(11) {
            0 => self.ask_for_session(false),
            1 => Ask::new("GET", "/api/media/sessions?limit=5", &[200]),
            2 => {
                let target = format!("/api/media/sessions?deviceId={}", self.device());
                Ask::new("GET", target, &[200])
            }
            3 => Ask::new("GET", one, &[200, 404]),
            4 => Ask::new("HEAD", one, &[200, 404]),
            5 => Ask::new("GET", format!("{one}/stats"), &[200, 404]),
            6 => Ask::new("POST", format!("{one}/answer"), &[400, 404, 409])
                .body(&json!({"type": "answer", "sdp": "v=0\r\n"})),
            7 | 8 => {
                let candidate = "candidate:1 1 udp 2113929471 198.51.100.7 50000 typ host";
                let candidate = [candidate, "", "nonsense"][self.plan.draw(3)];
                Ask::new(
                    "POST",
                    format!("{one}/ice-candidate"),
                    &[204, 400, 404, 409, 429],
                )
                .body(&json!({"candidate": candidate, "sdpMid": "0"}))
            }
            9 => Ask::new("OPTIONS", one, &[200, 204]),
            _ => Ask::new("PUT", one, &[405]).body(&json!({})),
        }
    }

    /// A session of some device, to be watched or left alone.
    pub(super) fn ask_for_session(&mut self, watch: bool) -> Ask {
        let (device, user) = (self.device(), self.user());
        let body = json!({"deviceId": device, "userId": user});
        Ask::new("POST", "/api/media/sessions", &[201])
            .body(&body)
            .then(Then::Session(watch.then_some(device)))
    }

    fn ask_of_a_device(&mut self) -> Ask {
        let device = self.device();
        let one = format!("/api/media/devices/{device}");
        match self.plan.draw(8) {
            0 => Ask::new("GET", "/api/media/devices", &[200]),
            1 | 2 => Ask::new("GET", one, &[200, 404]),
            3 => {
                let mut ask = Ask::new("PUT", format!("{one}/video?fps=60"), &[200, 409])
                    .header("Content-Type", "video/h264");
                ask.body = self.clips.whole();
                ask
            }
            4 => {
                let mut ask = Ask::new("PUT", format!("{one}/audio"), &[400, 409])
                    .header("Content-Type", "audio/ogg");
                ask.body = b"no Ogg at all, whatever it says".to_vec();
                ask
            }
            5 => {
                let mut ask = Ask::new("PUT", format!("{one}/video"), &[409, 415])
                    .header("Content-Type", "text/plain");
                ask.body = b"words".to_vec();
                ask
            }
            6 => Ask::new("GET", format!("{one}/ws"), &[426]),
            _ => Ask::new("GET", "/api/media/ws", &[400, 426]),
        }
    }

    fn ask_of_a_room(&mut self) -> Ask {
        let room = match self.pick(self.rooms.len()) {
            Some(at) if self.plan.draw(8) > 0 => self.rooms[at],
            _ => 4_711,
        };
        let user = self.user();
        let one = format!("/api/v1/rooms/{room}");
        let ask = match self.plan.draw(12) {
            0 => Ask::new("GET", "/api/v1/rooms?limit=3", &[200]),
            1 => Ask::new("GET", one, &[200, 404]),
            2 => Ask::new("POST", format!("{one}/start"), &[200, 403, 404, 409]),
            3 if self.plan.draw(4) == 0 => {
                Ask::new("POST", format!("{one}/stop"), &[200, 404, 409])
            }
            3..=5 => Ask::new("POST", format!("{one}/join"), &[200, 404, 409]),
            6 => Ask::new("POST", format!("{one}/leave"), &[200, 404, 409]),
            7 => Ask::new("GET", format!("{one}/messages?limit=20"), &[200, 404]),
            8 => Ask::new("GET", format!("{one}/messages?last=5"), &[200, 404]),
            9 => Ask::new("GET", format!("{one}/viewers?limit=2"), &[200, 404]),
            10 => Ask::new("GET", format!("/ws?room_id={room}"), &[404, 409, 426]),
            _ => Ask::new("POST", "/api/v1/rooms", &[400]).body(&json!({"title": ""})),
        };
        match ask.headers.is_empty() {
            true => ask.header("X-User-Id", &user),
            false => ask,
        }
    }

    /// What the client of an answer does. False: its connection is another thing now.
    pub(super) fn go_on(
        &mut self,
        at: usize,
        client: Client,
        then: Then,
        response: &Response,
    ) -> bool {
        let good = response.status < 300;
        match then {
            Then::Nothing => {}
            Then::Session(device) if good => {
                self.counts.sessions += 1;
                self.created += 1;
                if let Some(device) = device {
                    self.begin_watching(at, &device, &response.json());
                }
            }
            Then::Answered(watcher) => self.answer_taken(watcher, response.status),
            Then::Offered(watcher) => {
                let offer = good.then(|| response.json());
                self.fresh_offer(at, watcher, offer.as_ref());
            }
            Then::Room(anchor) if good => {
                let room = response.json()["id"].as_u64().expect("an id");
                self.note(&format!("room {room} of {anchor}"));
                self.rooms.push(room);
                let start = Ask::new("POST", format!("/api/v1/rooms/{room}/start"), &[200, 409]);
                self.send(at, start.header("X-User-Id", &anchor));
            }
            Then::Session(_) | Then::Room(_) => {}
            Then::SignedUp(name) => self.signed_up(name, response.status),
            Then::LoggedIn(name) if good => self.logged_in(at, name, &response.json()),
            Then::Profile(name) if good => assert_eq!(response.json()["username"], name),
            Then::LoggedIn(_) | Then::Profile(_) => {}
            Then::Socket(opening, ends) => {
                if response.status == 101 {
                    self.opened(client, opening, ends);
                    return false;
                }
            }
        }
        true
    }
}
