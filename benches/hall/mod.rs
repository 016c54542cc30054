//! A shard without sockets: what the driver does with it, in virtual time.

#![allow(dead_code)] // Several benches share this; none needs all of it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use executor::TICK;
use media_service::config::Config;
use media_service::connection::{ConnectionId, Scope};
use media_service::limits::Cap;
use media_service::message::Message;
use media_service::placement::{ShardId, Shards};
use media_service::shard::{Flushed, Job, Shard, ShardSeed};
use media_service::store::Windows;
use media_service::totals::Totals;
use rtc::{Identity, MediaSocket, PlaneConfig, PlaneLimits};
use rustix::time::{ClockId, clock_gettime};

/// The day that the shard lives in, long after 1970.
const WALL: Duration = Duration::from_secs(400 * 24 * 3_600);
/// What clients ask for by default: `server.listen`.
const HOST: &str = "127.0.0.1:30006";

/// Bytes of an answer that are kept: what it begins with tells whether it is one. A copy of a large one
/// would be in the figures.
const ANSWER_BYTES: usize = 4_096;

/// One shard, and a client that asks it.
pub(crate) struct Hall {
    pub(crate) shard: Shard,
    pub(crate) now: Instant,
    start: Instant,
    client: Option<ConnectionId>,
    /// What the client was sent first.
    pub(crate) answer: Vec<u8>,
    /// What the threads beside the shard are asked for.
    pub(crate) jobs: Vec<Job>,
    turns: u64,
    /// The longest turn since somebody took it.
    pub(crate) longest: Turn,
}

/// The CPU time of a turn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Turn {
    /// Which one of its hall's it is, counted from 1.
    pub(crate) number: u64,
    /// What it began with (a tick, a request, a message), its end, and the carrying away.
    pub(crate) parts: [Duration; 3],
}

impl Turn {
    pub(crate) fn took(&self) -> Duration {
        self.parts.iter().sum()
    }
}

impl Hall {
    /// A shard alone, without caps and rates, of a configuration that `edit` makes from the default.
    pub(crate) fn new(edit: impl FnOnce(&mut Config)) -> Self {
        let now = start();
        let shard = shards(now, 1, edit).pop().expect("one shard");
        Self {
            shard,
            now,
            start: now,
            client: None,
            answer: Vec::new(),
            jobs: Vec::new(),
            turns: 0,
            longest: Turn::default(),
        }
    }

    /// The CPU time of one turn of the driver, with the tick or without; and whether it wants another one.
    pub(crate) fn turn(&mut self, tick: bool) -> (Duration, bool) {
        let wall = UNIX_EPOCH + WALL + (self.now - self.start);
        self.turn_with(|shard, now| {
            if tick {
                shard.tick(now, wall);
            }
        })
    }

    /// A turn that begins with this.
    pub(crate) fn turn_with(&mut self, work: impl FnOnce(&mut Shard, Instant)) -> (Duration, bool) {
        let began = cpu();
        work(&mut self.shard, self.now);
        let worked = cpu();
        let more = self.shard.end_turn(self.now);
        let ended = cpu();
        self.carry();
        self.shard.flushed(self.now);
        let parts = [worked - began, ended - worked, cpu() - ended];
        self.turns += 1;
        let turn = Turn {
            number: self.turns,
            parts,
        };
        if turn.took() > self.longest.took() {
            self.longest = turn;
        }
        (turn.took(), more)
    }

    /// Turns until nothing is left to do.
    pub(crate) fn finish(&mut self) -> Vec<Duration> {
        let mut turns = Vec::new();
        loop {
            let (took, more) = self.turn(false);
            turns.push(took);
            if !more {
                return turns;
            }
        }
    }

    /// What the driver carries away; sockets take whatever they are given.
    fn carry(&mut self) {
        self.shard.datagrams().clear_runs();
        loop {
            let outbox = std::mem::take(self.shard.outbox());
            self.jobs.extend(outbox.jobs);
            if outbox.dirty.is_empty() {
                return;
            }
            outbox.dirty.into_iter().for_each(|id| self.write(id));
        }
    }

    fn write(&mut self, id: ConnectionId) {
        loop {
            let output = self.shard.output(id);
            let count = output.len();
            if self.client == Some(id) {
                let kept = count.min(ANSWER_BYTES.saturating_sub(self.answer.len()));
                self.answer.extend_from_slice(&output[..kept]);
            }
            match self.shard.wrote(self.now, id, count) {
                Flushed::More => {}
                Flushed::Stay | Flushed::Shutdown => return,
                Flushed::Close if self.client == Some(id) => return self.client = None,
                Flushed::Close => return,
            }
        }
    }

    /// Turns with a tick each until nothing is left to do at once: what each of them took.
    pub(crate) fn settle(&mut self) -> Vec<Duration> {
        self.now += TICK;
        let mut turns = Vec::new();
        let mut tick = true;
        loop {
            let (took, more) = self.turn(tick);
            turns.push(took);
            if !more {
                return turns;
            }
            tick = false;
        }
    }

    /// Sends a request; its answer comes in this turn or a later one. What the turn took.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &str) -> Duration {
        let id = match self.client {
            Some(id) => id,
            None => *self.client.insert(connect(&mut self.shard, self.now)),
        };
        self.answer.clear();
        let request = request(method, path, body);
        let (took, _) = self.turn_with(|shard, now| shard.received(now, id, request.as_bytes()));
        took
    }

    /// Creates a session of the device, as a client does.
    pub(crate) fn create(&mut self, device: usize) {
        let body = format!(r#"{{"deviceId":"device-{device}","userId":"user-{device}"}}"#);
        self.ask("POST", "/api/media/sessions", &body);
        let answer = String::from_utf8_lossy(&self.answer);
        assert!(answer.starts_with("HTTP/1.1 201 "), "a session: {answer}");
    }

    /// Gives the shard a message, as its mailbox does.
    pub(crate) fn mail(&mut self, message: Message) -> (Duration, bool) {
        self.turn_with(|shard, now| shard.message(now, message))
    }
}

/// The clock is read once; from then on time is a number.
pub(crate) fn start() -> Instant {
    Instant::now() + Duration::from_secs(3_600)
}

/// All shards of a process without caps and rates.
pub(crate) fn shards(now: Instant, count: usize, edit: impl FnOnce(&mut Config)) -> Vec<Shard> {
    let mut config = Config::default();
    let limits = &mut config.limits;
    (limits.sessions, limits.devices) = (Cap::OFF, Cap::OFF);
    (limits.connections, limits.session_rate) = (Cap::OFF, Cap::OFF);
    limits.session_rate_total = Cap::OFF;
    config.http.requests_per_connection = Cap::OFF;
    edit(&mut config);
    let config = Arc::new(config);
    let shards = NonZeroUsize::new(count).and_then(Shards::new);
    let shards = shards.expect("a number of shards");
    let identity = Identity::generate().expect("an identity");
    let totals = Arc::new(Totals::new(count));
    let store = Windows::new(count);
    let shard = |id: ShardId| {
        let number = id.index() as u8;
        let address = SocketAddr::from(([192, 0, 2, 1], 40_000 + u16::from(number)));
        let seed = ShardSeed {
            id,
            shards,
            listen: config.server.listen.clone().into(),
            config: config.clone(),
            plane: PlaneConfig {
                identity: identity.clone(),
                sockets: vec![MediaSocket {
                    bound: address,
                    advertised: address,
                }],
                limits: PlaneLimits::default(),
                seed: [number; 32],
            },
            random: [number; 32],
            totals: totals.clone(),
            auth: None,
            rooms: Vec::new(),
            store: store.clone(),
        };
        Shard::new(now, UNIX_EPOCH + WALL, seed).expect("a plane that starts")
    };
    shards.all().map(shard).collect()
}

/// A client of the shard.
pub(crate) fn connect(shard: &mut Shard, now: Instant) -> ConnectionId {
    let peer = SocketAddr::from(([127, 0, 0, 1], 1_024));
    let accepted = shard.accepted(now, peer, Scope::Everything);
    accepted.expect("there is a place")
}

/// A request as clients send it.
pub(crate) fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What this thread has used of a CPU.
pub(crate) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
