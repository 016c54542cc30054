//! A shard without sockets: what the driver does with it, in virtual time.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use executor::TICK;
use media_service::config::Config;
use media_service::connection::{ConnectionId, Scope};
use media_service::limits::Cap;
use media_service::message::Message;
use media_service::placement::Shards;
use media_service::shard::{Flushed, Job, Shard, ShardSeed};
use media_service::store::Windows;
use media_service::totals::Totals;
use rtc::{Identity, MediaSocket, PlaneConfig, PlaneLimits};
use rustix::time::{ClockId, clock_gettime};

/// The day that the shard lives in, long after 1970.
const WALL: Duration = Duration::from_secs(400 * 24 * 3_600);
/// What clients ask for by default: `server.listen`.
const HOST: &str = "127.0.0.1:30006";

/// One shard, and a client that asks it.
pub struct Hall {
    pub shard: Shard,
    pub now: Instant,
    start: Instant,
    client: Option<ConnectionId>,
    /// What the client was sent.
    pub answer: Vec<u8>,
    /// What the threads beside the shard are asked for.
    pub jobs: Vec<Job>,
}

impl Hall {
    /// A shard alone, without caps and rates, of a configuration that `edit` makes from the default.
    pub fn new(edit: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        let limits = &mut config.limits;
        (limits.sessions, limits.devices) = (Cap::OFF, Cap::OFF);
        (limits.connections, limits.session_rate) = (Cap::OFF, Cap::OFF);
        limits.session_rate_total = Cap::OFF;
        config.http.requests_per_connection = Cap::OFF;
        edit(&mut config);
        let now = Instant::now() + Duration::from_secs(3_600);
        let shards = NonZeroUsize::new(1).and_then(Shards::new).expect("one shard");
        let address = SocketAddr::from(([192, 0, 2, 1], 40_000));
        let seed = ShardSeed {
            id: shards.all().next().expect("the first one"),
            shards,
            listen: config.server.listen.clone().into(),
            config: Arc::new(config),
            plane: PlaneConfig {
                identity: Identity::generate().expect("an identity"),
                sockets: vec![MediaSocket {
                    bound: address,
                    advertised: address,
                }],
                limits: PlaneLimits::default(),
                seed: [1; 32],
            },
            random: [2; 32],
            totals: Arc::new(Totals::new(1)),
            auth: None,
            rooms: Vec::new(),
            store: Windows::new(1),
        };
        let shard = Shard::new(now, UNIX_EPOCH + WALL, seed).expect("a plane that starts");
        Self {
            shard,
            now,
            start: now,
            client: None,
            answer: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// The CPU time of one turn of the driver, with the tick or without; and whether it wants another one.
    pub fn turn(&mut self, tick: bool) -> (Duration, bool) {
        let before = cpu();
        if tick {
            let wall = UNIX_EPOCH + WALL + (self.now - self.start);
            self.shard.tick(self.now, wall);
        }
        let more = self.end_turn();
        (cpu() - before, more)
    }

    /// A turn that begins with this.
    pub fn turn_with(&mut self, work: impl FnOnce(&mut Shard, Instant)) -> (Duration, bool) {
        let before = cpu();
        work(&mut self.shard, self.now);
        let more = self.end_turn();
        (cpu() - before, more)
    }

    fn end_turn(&mut self) -> bool {
        let more = self.shard.end_turn(self.now);
        self.carry();
        self.shard.flushed(self.now);
        more
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
                self.answer.extend_from_slice(output);
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
    pub fn settle(&mut self) -> Vec<Duration> {
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
    pub fn ask(&mut self, method: &str, path: &str, body: &str) -> Duration {
        let id = *self.client.get_or_insert_with(|| {
            let peer = SocketAddr::from(([127, 0, 0, 1], 1_024));
            let accepted = self.shard.accepted(self.now, peer, Scope::Everything);
            accepted.expect("there is a place")
        });
        self.answer.clear();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        let (took, _) = self.turn_with(|shard, now| shard.received(now, id, request.as_bytes()));
        took
    }

    /// Creates a session of the device, as a client does.
    pub fn create(&mut self, device: usize) {
        let body = format!(r#"{{"deviceId":"device-{device}","userId":"user-{device}"}}"#);
        self.ask("POST", "/api/media/sessions", &body);
        let answer = String::from_utf8_lossy(&self.answer);
        assert!(answer.starts_with("HTTP/1.1 201 "), "a session: {answer}");
    }

    /// Gives the shard a message, as its mailbox does.
    pub fn mail(&mut self, message: Message) -> (Duration, bool) {
        self.turn_with(|shard, now| shard.message(now, message))
    }
}

/// What this thread has used of a CPU.
pub fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
