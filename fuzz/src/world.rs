//! One shard with everything around it, in virtual time: clients, a live room, a store that keeps
//! nothing.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use media_service::auth::Authenticator;
use media_service::config::{Auth, Config};
use media_service::connection::{ConnectionId, OUTPUT_HIGH_WATER_BYTES, Scope};
use media_service::ids::{RoomId, UserId};
use media_service::message::Message;
use media_service::metrics::{LastAnswers, ProcessFigures, encode};
use media_service::placement::Shards;
use media_service::rooms::{RoomRecord, Status};
use media_service::shard::{Flushed, Job, Shard, ShardSeed};
use media_service::store::Windows;
use media_service::totals::{Total, Totals};
use rtc::{Identity, MediaSocket, PlaneConfig, PlaneLimits};

use super::bitstreams::epoch;

/// What the server listens on, and is asked for.
pub const HOST: &str = "127.0.0.1:30006";
/// The room that is live: of `ann`.
pub const ROOM: u64 = 7;
/// What tokens are signed with, where anybody needs one.
pub const SECRET: &str = "a secret of thirty-two characters";
/// When the world begins (Unix seconds): in 2027.
pub const UNIX: u64 = 1_800_000_000;
/// A turn.
const TICK: Duration = Duration::from_millis(5);
/// Turns after which nothing is left to do at once.
const SETTLE_TURNS: usize = 40;
/// Rounds of a flush: what is carried out leaves a little more, a few times.
const FLUSH_ROUNDS: usize = 1000;
/// Largest answer: a page of metrics, a file of the page.
const ANSWER_BYTES: usize = 1 << 20;

/// A client's place in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client(usize);

/// A client's end of its connection.
#[derive(Debug)]
struct Wire {
    /// `None`: the server has closed it.
    id: Option<ConnectionId>,
    /// Sent, not yet read.
    waiting: Vec<u8>,
    /// Everything that the server has read of it.
    read: Vec<u8>,
    /// Everything that the server has written to it.
    output: Vec<u8>,
    /// It takes no more bytes.
    blocked: bool,
    /// It sends no more.
    ended: bool,
}

/// One shard and its clients.
pub struct World {
    now: Instant,
    shard: Shard,
    totals: Arc<Totals>,
    windows: Arc<Windows>,
    wires: Vec<Wire>,
    last: LastAnswers,
}

impl World {
    /// A server that asks nobody for a token.
    pub fn new() -> Self {
        Self::with(Auth::default())
    }

    /// A server that asks for tokens, signed with [`SECRET`].
    pub fn guarded() -> Self {
        Self::with(secret())
    }

    fn with(auth: Auth) -> Self {
        let config = Arc::new(Config {
            auth,
            ..Config::default()
        });
        let shards = Shards::new(NonZeroUsize::MIN).expect("one shard");
        let (totals, windows) = (Arc::new(Totals::new(1)), Windows::new(1));
        let address = SocketAddr::from(([192, 0, 2, 1], 40_000));
        let seed = ShardSeed {
            id: shards.all().next().expect("the shard"),
            shards,
            listen: config.server.listen.clone().into(),
            auth: Authenticator::new(&config.auth).map(Arc::new),
            config,
            plane: PlaneConfig {
                identity: identity(),
                sockets: vec![MediaSocket {
                    bound: address,
                    advertised: address,
                }],
                limits: PlaneLimits::default(),
                seed: [1; 32],
            },
            random: [2; 32],
            totals: totals.clone(),
            rooms: vec![(live_room(), Vec::new())],
            store: windows.clone(),
        };
        let now = epoch();
        let mut world = Self {
            now,
            shard: Shard::new(now, wall(now), seed).expect("a shard"),
            totals,
            windows,
            wires: Vec::new(),
            last: LastAnswers::new(),
        };
        world.turn();
        world
    }

    /// A new connection.
    pub fn connect(&mut self) -> Client {
        let client = Client(self.wires.len());
        let peer = SocketAddr::from(([198, 51, 100, 1], 1_024 + client.0 as u16));
        let id = self.shard.accepted(self.now, peer, Scope::Everything);
        self.wires.push(Wire {
            id: id.ok(),
            waiting: Vec::new(),
            read: Vec::new(),
            output: Vec::new(),
            blocked: false,
            ended: false,
        });
        client
    }

    /// A member of the room that has got its hello, which is not in its output any more.
    pub fn member(&mut self, user: &str) -> Client {
        let client = self.connect();
        let target = format!("/ws?room_id={ROOM}&user_id={user}");
        let request = format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{UPGRADE}\r\n");
        self.send(client, request.as_bytes());
        self.settle();
        let output = &mut self.wires[client.0].output;
        assert!(output.starts_with(b"HTTP/1.1 101 "), "{user} comes in");
        output.clear();
        client
    }

    /// The client sends.
    pub fn send(&mut self, client: Client, bytes: &[u8]) {
        if !self.wires[client.0].ended {
            self.wires[client.0].waiting.extend_from_slice(bytes);
        }
    }

    /// The client sends no more.
    pub fn end(&mut self, client: Client) {
        self.wires[client.0].ended = true;
    }

    /// The client breaks its connection.
    pub fn reset(&mut self, client: Client) {
        if let Some(id) = self.wires[client.0].id {
            self.shard.ended(self.now, id, true);
        }
    }

    /// The client takes no more bytes, or does again.
    pub fn block(&mut self, client: Client, blocked: bool) {
        self.wires[client.0].blocked = blocked;
    }

    /// The server is told to shut down.
    pub fn drain(&mut self) {
        let deadline = self.now + Duration::from_secs(30);
        self.shard.message(self.now, Message::Drain { deadline });
    }

    /// Everything that the server has written to the client.
    pub fn output(&self, client: Client) -> &[u8] {
        &self.wires[client.0].output
    }

    /// Everything that the server has read of what the client has sent.
    pub fn read(&self, client: Client) -> &[u8] {
        &self.wires[client.0].read
    }

    /// A turn of the driver.
    pub fn turn(&mut self) {
        self.after(TICK);
    }

    /// A turn, so much later.
    pub fn after(&mut self, time: Duration) {
        self.now += time;
        for wire in 0..self.wires.len() {
            self.receive(wire);
            self.write(wire);
        }
        self.shard.tick(self.now, wall(self.now));
        loop {
            let more = self.shard.end_turn(self.now);
            self.flush();
            self.shard.flushed(self.now);
            if !more {
                break;
            }
        }
        for wire in self.wires.iter().filter_map(|wire| wire.id) {
            let waiting = self.shard.output(wire).len();
            assert!(
                waiting <= OUTPUT_HIGH_WATER_BYTES + ANSWER_BYTES,
                "{waiting} B wait"
            );
        }
    }

    /// Turns until nothing is left to do at once.
    pub fn settle(&mut self) {
        (0..SETTLE_TURNS).for_each(|_| self.turn());
    }

    /// Everybody goes. What only they had is gone too, and nothing went wrong on the way.
    pub fn finish(mut self) {
        self.settle();
        for client in (0..self.wires.len()).map(Client) {
            self.block(client, false);
            self.reset(client);
        }
        self.settle();
        assert_eq!(
            self.totals.sum(Total::Connections),
            0,
            "connections are left"
        );
        // Past every patience that sessions have.
        for _ in 0..4 {
            self.after(Duration::from_secs(301));
        }
        assert_eq!(self.totals.sum(Total::Sessions), 0, "sessions are left");
        let caught = self.shard.metrics().panics.iter();
        assert_eq!(
            caught.map(|(_, count)| count).sum::<u64>(),
            0,
            "a panic was caught"
        );
    }

    fn receive(&mut self, wire: usize) {
        let wire = &mut self.wires[wire];
        let Some(id) = wire.id else { return };
        if !self.shard.reads(id) {
            return;
        }
        if !wire.waiting.is_empty() {
            let bytes = std::mem::take(&mut wire.waiting);
            self.shard.received(self.now, id, &bytes);
            wire.read.extend_from_slice(&bytes);
        } else if wire.ended {
            self.shard.ended(self.now, id, false);
        }
    }

    fn write(&mut self, wire: usize) {
        let Some(id) = self.wires[wire].id else {
            return;
        };
        loop {
            let wire = &mut self.wires[wire];
            let output = self.shard.output(id);
            let count = if wire.blocked { 0 } else { output.len() };
            wire.output.extend_from_slice(&output[..count]);
            match self.shard.wrote(self.now, id, count) {
                Flushed::More => {}
                Flushed::Stay | Flushed::Shutdown => return,
                Flushed::Close => return wire.id = None,
            }
        }
    }

    /// Carries out everything that the shard has left.
    fn flush(&mut self) {
        self.shard.datagrams().clear_runs();
        for _ in 0..FLUSH_ROUNDS {
            let outbox = std::mem::take(self.shard.outbox());
            assert!(outbox.moves.is_empty(), "there is nowhere to move to");
            let done = outbox.dirty.is_empty()
                && outbox.messages.is_empty()
                && outbox.jobs.is_empty()
                && outbox.rows.is_empty();
            if done {
                return;
            }
            let mut receipts = Vec::new();
            for entry in outbox.rows {
                self.windows.advance(entry.shard, 1);
                receipts.extend(entry.receipt.map(|receipt| (receipt, Ok(()))));
            }
            if !receipts.is_empty() {
                self.shard.message(self.now, Message::Stored(receipts));
            }
            for id in outbox.dirty {
                if let Some(wire) = self.wires.iter().position(|wire| wire.id == Some(id)) {
                    self.write(wire);
                }
            }
            for (_, message) in outbox.messages {
                self.shard.message(self.now, message);
            }
            for job in outbox.jobs {
                self.do_job(job);
            }
        }
        panic!("the shard is not done after {FLUSH_ROUNDS} rounds of one flush");
    }

    /// Scrapes are written; who reads the store or hashes a password is told to come back.
    fn do_job(&mut self, job: Job) {
        let Job::Scrape(scrape) = job else {
            return self.shard.job_refused(self.now, job);
        };
        let snapshots = self.last.update(scrape.snapshots);
        let text = encode(snapshots, &ProcessFigures::default()).expect("figures can be written");
        let message = Message::Encoded {
            connection: scrape.connection,
            gather: scrape.gather,
            text,
        };
        self.shard.message(self.now, message);
    }
}

/// What makes a request a WebSocket's handshake.
pub const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The process' certificate: drawing one for each input would cost more than the input.
pub fn identity() -> Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    let make = || Identity::generate().expect("an identity");
    IDENTITY.get_or_init(make).clone()
}

/// Tokens are signed with [`SECRET`].
pub fn secret() -> Auth {
    Auth {
        jwt_secret: Some(SECRET.into()),
        ..Auth::default()
    }
}

fn live_room() -> RoomRecord {
    RoomRecord {
        id: RoomId::new(ROOM).expect("an id"),
        anchor: UserId::try_from("ann").expect("an id"),
        title: "Morning".into(),
        cover: "".into(),
        device: None,
        status: Status::Live,
        viewer_count: 0,
        epoch: 1,
        last_seq: 0,
        heat: 0.0,
        created_at: UNIX * 1_000,
        updated_at: UNIX * 1_000,
    }
}

fn wall(now: Instant) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(UNIX) + now.saturating_duration_since(epoch())
}
