//! One core's server as a pure state machine: bytes and time come in, bytes go out.

mod admit;
mod agents;
mod answers;
#[cfg(feature = "fault-injection")]
mod audit;
mod connections;
mod devices;
mod drain;
mod gather;
mod guard;
#[cfg(feature = "fault-injection")]
mod holdings;
mod jobs;
mod members;
mod passes;
mod rates;
mod reload;
mod requests;
mod rooms;
mod rows;
mod sessions;
mod snapshot;
mod sockets;
#[cfg(test)]
mod tests;
mod timers;
mod transport;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use executor::Wheel;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use rtc::{Plane, SessionKey, SocketIndex, SourceKey};

pub(crate) use self::connections::Connections;
pub(crate) use self::gather::Gather;
pub use self::guard::PANICS_PER_MINUTE;
use self::guard::{Blame, Panics};
#[cfg(feature = "fault-injection")]
pub use self::holdings::Holdings;
pub use self::jobs::{Job, Read, ReadJob, Scrape};
use self::passes::{Passes, Work};
pub(crate) use self::requests::{Reply, Step};
use self::rows::Unstored;
pub(crate) use self::sessions::Session;
pub(crate) use self::timers::Timer;
use crate::api::LastUsers;
use crate::auth::Authenticator;
use crate::clock::WallClock;
use crate::config::Config;
use crate::connection::{Connection, ConnectionId, Transfer};
use crate::faults::{Faults, Place};
use crate::http::routes::Route;
use crate::http::{HttpDate, Method, OriginPolicy};
use crate::ids::{DeviceId, SessionId};
use crate::limits::FAN_OUT_PACKETS;
use crate::media::{Demo, Device};
use crate::message::{GatherId, Message};
use crate::metrics::{LoadCells, ShardMetrics};
use crate::placement::{ShardId, Shards};
use crate::rates::Buckets;
use crate::rooms::{Orphan, RoomRecord, Rooms, UserCounts};
use crate::store::{Entry, MessageRow, Windows};
use crate::totals::{Total, Totals};

/// What a shard is made from.
pub struct ShardSeed {
    /// Which one it is.
    pub id: ShardId,
    /// Of how many.
    pub shards: Shards,
    /// The process' configuration.
    pub config: Arc<Config>,
    /// Where the process listens for HTTP: the names it answers to.
    pub listen: Arc<[SocketAddr]>,
    /// The media plane's certificate and sockets.
    pub plane: rtc::PlaneConfig,
    /// For ids.
    pub random: [u8; 32],
    /// The gauges of all shards.
    pub totals: Arc<Totals>,
    /// Who may ask; `None`: anybody, anything.
    pub auth: Option<Arc<Authenticator>>,
    /// The rooms that live on it, each with its recent messages.
    pub rooms: Vec<(RoomRecord, Vec<MessageRow>)>,
    /// What the store is done with.
    pub store: Arc<Windows>,
}

/// A shard. It has no I/O, no clock and no other thread: a driver (or a simulation) calls it and
/// carries away what [`Shard::outbox`] holds afterwards.
pub struct Shard {
    pub(crate) id: ShardId,
    pub(crate) shards: Shards,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: WallClock,
    pub(crate) date: HttpDate,
    pub(crate) started: Instant,
    /// Where the process listens for HTTP.
    listen: Arc<[SocketAddr]>,
    pub(crate) origins: OriginPolicy,
    /// `Strict-Transport-Security` of answers over TLS.
    pub(crate) hsts: Option<String>,
    pub(crate) totals: Arc<Totals>,
    pub(crate) auth: Option<Arc<Authenticator>>,
    pub(crate) metrics: ShardMetrics,
    pub(crate) plane: Plane,
    pub(crate) rtc: rtc::Outbox,
    pub(crate) connections: Connections,
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    pub(crate) by_source: HashMap<SourceKey, DeviceId>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    /// In the order of their creation.
    by_age: BTreeMap<u64, SessionId>,
    last_session: u64,
    /// How many viewers' sessions each user has.
    watching: UserCounts,
    pub(crate) by_key: HashMap<SessionKey, SessionId>,
    pub(crate) gathers: HashMap<GatherId, Gather>,
    pub(crate) last_gather: u64,
    pub(crate) buckets: Buckets,
    pub(crate) rooms: Rooms,
    pub(crate) last_users: LastUsers,
    /// Numbers the turns, from one end of a turn to the next.
    turn: u32,
    /// Members that sent more messages in this turn than it may handle.
    paused: Vec<ConnectionId>,
    /// Members that go on in the next turns, some in each, in this order.
    waiting: VecDeque<ConnectionId>,
    /// Members whose room has failed, and who are not told yet.
    orphans: VecDeque<ConnectionId>,
    /// Members of the room that failed last that were at work meanwhile.
    unreached: Vec<Orphan>,
    panics: Panics,
    pub(crate) faults: Faults,
    pub(crate) demo: Option<Demo>,
    pub(crate) draining: Option<Instant>,
    /// When the rooms of a shard that drains are closed at the latest; `None`: they need not be.
    rooms_close_by: Option<Instant>,
    /// What the store is done with of the rows that it was sent.
    pub(crate) windows: Arc<Windows>,
    pub(crate) rows_sent: u64,
    unstored: Unstored,
    /// Those of its rows that somebody waits for, and that the store has not answered.
    receipts_due: usize,
    pub(crate) outbox: Outbox,
    wheel: Wheel<Timer>,
    /// When publishers are looked at, earliest first: to a frame a tick of the wheel is long. Entries may be stale, as in
    /// the wheel.
    moments: BinaryHeap<Reverse<(Instant, ConnectionId)>>,
    /// Timers that have come and are not handled yet.
    due: VecDeque<Timer>,
    /// Timers until then are being handled; the wheel has named the last of them.
    expiring: Option<Instant>,
    expired: bool,
    passes: Passes,
    /// What is left of this turn for timers and passes.
    work: Work,
    media_timers: Vec<(SessionKey, Instant)>,
    /// Requests answered in this turn, which are counted at its end.
    pub(crate) answered: Vec<Answered>,
    random: ChaCha20Rng,
}

// A shard's state belongs to one core: nothing may carry it to another one.
const _: () = {
    trait NotSend<A> {
        fn proof() {}
    }
    impl<T: ?Sized> NotSend<()> for T {}
    struct IfSend;
    impl<T: ?Sized + Send> NotSend<IfSend> for T {}
    // Ambiguous, hence an error, should `Shard` ever be `Send`.
    let _ = <Shard as NotSend<_>>::proof;
};

/// A request that has its answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) method: Method,
    pub(crate) route: Route,
    pub(crate) status: u16,
    pub(crate) started: Instant,
}

/// What the driver carries away after a call.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Connections with bytes to write, or to be closed.
    pub dirty: Vec<ConnectionId>,
    /// Connections that want bytes again after they had wanted none.
    pub resumed: Vec<ConnectionId>,
    /// Connections that move to another shard.
    pub moves: Vec<(ConnectionId, ShardId, Box<Transfer>)>,
    /// Messages to other shards.
    pub messages: Vec<(ShardId, Message)>,
    /// Work for the threads beside the shards.
    pub jobs: Vec<Job>,
    /// Rows for the store.
    pub rows: Vec<Entry>,
}

/// What is to be done with a connection after its output was written as far as it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// It goes on; unwritten bytes wait until the socket is writable.
    Stay,
    /// The socket took all that it was given: there may be further output for it.
    More,
    /// Shut the sending half down; the rest of what the peer sends is dropped.
    Shutdown,
    /// It is forgotten: close the socket.
    Close,
}

/// Why a connection was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionRefused {
    /// `limits.connections`
    Full,
    /// `limits.connections_per_address`
    Address,
}

impl ConnectionRefused {
    /// What the client is told, before it has asked for anything.
    pub fn answer(self) -> String {
        let error = match self {
            Self::Full => "the server has as many connections as it may; try again later",
            Self::Address => "your address has as many connections as it may; close some of them",
        };
        let body = format!(r#"{{"error":"{error}","code":"{}"}}"#, self.code());
        format!(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// The key that sets the cap.
    pub fn cap(self) -> &'static str {
        match self {
            Self::Full => "limits.connections",
            Self::Address => "limits.connections_per_address",
        }
    }

    /// The machine code of the answer.
    pub fn code(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Address => "too_many_connections",
        }
    }
}

impl Shard {
    /// A shard that starts now.
    pub fn new(now: Instant, wall: SystemTime, seed: ShardSeed) -> Result<Self, rtc::PlaneError> {
        let config = seed.config;
        let metrics = reload::metrics(seed.shards, &config);
        let origins = reload::origins(&seed.listen, &config);
        let mut plane = Plane::new(now, seed.plane)?;
        plane.set_time_of_day(now, wall);
        let mut shard = Self {
            id: seed.id,
            shards: seed.shards,
            clock: WallClock::new(now, wall),
            date: HttpDate::default(),
            started: now,
            listen: seed.listen,
            origins,
            hsts: reload::hsts(&config),
            totals: seed.totals,
            auth: seed.auth,
            metrics: ShardMetrics::new(metrics),
            plane,
            rtc: rtc::Outbox::default(),
            connections: Connections::default(),
            devices: BTreeMap::new(),
            by_source: HashMap::new(),
            sessions: BTreeMap::new(),
            by_age: BTreeMap::new(),
            last_session: 0,
            watching: UserCounts::default(),
            by_key: HashMap::new(),
            gathers: HashMap::new(),
            last_gather: 0,
            buckets: Buckets::new(now),
            rooms: Rooms::new(now, &config.rooms, config.ws.queue),
            last_users: LastUsers::default(),
            turn: 0,
            paused: Vec::new(),
            waiting: VecDeque::new(),
            orphans: VecDeque::new(),
            unreached: Vec::new(),
            panics: Panics::default(),
            faults: Faults::default(),
            demo: None,
            draining: None,
            rooms_close_by: None,
            windows: seed.store,
            rows_sent: 0,
            unstored: Unstored::default(),
            receipts_due: 0,
            outbox: Outbox::default(),
            wheel: Wheel::new(now),
            moments: BinaryHeap::new(),
            due: VecDeque::new(),
            expiring: None,
            expired: false,
            passes: Passes::default(),
            work: Work::default(),
            media_timers: Vec::new(),
            answered: Vec::new(),
            random: ChaCha20Rng::from_seed(seed.random),
            config,
        };
        shard.restore_rooms(now, seed.rooms);
        if shard.config.demo {
            shard.start_demo(now);
        }
        shard.settle_demo_rooms(now);
        Ok(shard)
    }

    /// A datagram came in.
    pub fn datagram(&mut self, now: Instant, socket: SocketIndex, from: SocketAddr, bytes: &[u8]) {
        // What the bytes do to their session is caught there.
        self.guarded(now, Blame::Question, |shard| {
            let Self { plane, rtc, .. } = shard;
            plane.datagram(now, socket, from, bytes, rtc);
        });
    }

    /// The tick: what is due, as far as one turn goes, and the wall clock's anchor.
    pub fn tick(&mut self, now: Instant, wall: SystemTime) {
        self.clock = WallClock::new(now, wall);
        self.fire_due(now);
        self.close_acknowledged(now);
        let time = self.time(now);
        self.guarded(now, Blame::Rooms, |shard| shard.rooms.tick(time));
        self.take_room_events(now, rooms::ANCHOR_AWAY, None);
        self.store_rooms(now);
        self.count_plane_panics(now);
        self.count_held();
    }

    /// Ends a turn: publishers whose moment has come, a slice of fan-out, what the media plane reports, a slice
    /// of the timers that are due and of the [passes] over everything, a slice of the rooms' sweeps. True: there
    /// is more to do, take another turn at once.
    ///
    /// # Panics
    /// After a panic that was to end the shard, and that somebody else has caught: TLS hands its bytes to the
    /// shard from within a guard of its own.
    pub fn end_turn(&mut self, now: Instant) -> bool {
        assert!(!self.panics.given_up(), "the shard has failed in this turn");
        self.look_at_publishers(now);
        let mut more = self.plane.fan_out(now, FAN_OUT_PACKETS, &mut self.rtc);
        more |= self.go_on(now);
        self.take_media_events(now);
        self.turn = self.turn.wrapping_add(1);
        more |= self.resume_paused(now);
        more |= self.dismiss_orphans(now);
        self.faults.pass(Place::Turn);
        more |= self.sweep_rooms(now);
        more
    }

    /// The turn's answers are with the kernel: now it is known what they took.
    pub fn flushed(&mut self, now: Instant) {
        self.rooms_flushed(now);
        for answered in self.answered.drain(..) {
            let took = now.saturating_duration_since(answered.started);
            let Answered {
                method,
                route,
                status,
                ..
            } = answered;
            self.metrics
                .http_request(method.as_str(), route, status, took);
        }
    }

    /// What the driver carries away.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Does something bad to the shard, or has it done when the shard is there.
    #[cfg(feature = "fault-injection")]
    pub fn inject(&mut self, fault: crate::faults::Fault) {
        use crate::faults::Fault;
        match fault {
            Fault::Panic(Place::SessionDatagram) => self.plane.strike_datagram(),
            Fault::Panic(Place::SessionMedia) => self.plane.strike_timeout(),
            Fault::Panic(place) if place.is_in_rooms() => self.rooms.inject(fault),
            Fault::None => {
                self.rooms.inject(fault);
                self.plane.strike_none();
                self.faults.arm(fault);
            }
            fault => self.faults.arm(fault),
        }
    }

    /// The datagrams to send.
    pub fn datagrams(&mut self) -> &mut rtc::Outbox {
        &mut self.rtc
    }

    /// The datagrams to send, and what is told of the sends.
    pub fn sends(&mut self) -> (&rtc::Outbox, &mut LoadCells) {
        (&self.rtc, &mut self.metrics.load)
    }

    /// The socket would not take a run of datagrams: it was dropped.
    pub fn send_blocked(&mut self, session: SessionKey, datagrams: usize) {
        self.metrics.send_blocked += datagrams as u64;
        self.plane.send_blocked(session, datagrams as u64);
    }

    /// The cells that the driver counts in.
    pub fn metrics(&mut self) -> &mut ShardMetrics {
        &mut self.metrics
    }

    pub(crate) fn random_bytes(&mut self) -> [u8; 16] {
        draw(&mut self.random)
    }

    pub(crate) fn schedule(&mut self, at: Instant, timer: Timer) {
        self.wheel.schedule(at, timer);
    }

    pub(crate) fn set_alarm(&mut self, connection: &mut Connection, at: Instant) {
        if let Some(at) = connection.alarm.set(at) {
            self.wheel.schedule(at, Timer::Connection(connection.id));
        }
    }

    /// As [`Shard::set_alarm`], unless it goes off before that anyway.
    pub(crate) fn set_alarm_by(&mut self, connection: &mut Connection, at: Instant) {
        if connection
            .alarm
            .deadline()
            .is_none_or(|deadline| deadline > at)
        {
            self.set_alarm(connection, at);
        }
    }

    pub(crate) fn timers(&self) -> usize {
        self.wheel.len() + self.due.len() + self.moments.len()
    }

    /// Gauges of what is not admitted by itself, for whoever looks for leaks.
    fn count_held(&self) {
        let orphans = self
            .plane
            .session_count()
            .saturating_sub(self.sessions.len());
        for (total, count) in [
            (Total::Orphans, orphans),
            (Total::Timers, self.timers()),
            (Total::StoreRows, self.rows_in_flight() as usize),
        ] {
            self.totals.set(self.id, total, count);
        }
    }

    fn count_connections(&self) {
        self.totals
            .set(self.id, Total::Connections, self.connections.len());
    }
}

fn draw(random: &mut ChaCha20Rng) -> [u8; 16] {
    let mut bytes = [0; 16];
    random.fill_bytes(&mut bytes);
    bytes
}

/// A request that another shard must answer.
#[derive(Debug)]
pub(crate) struct Moving {
    pub(crate) to: ShardId,
    pub(crate) exchange: Box<crate::connection::Exchange>,
    pub(crate) operation: crate::api::Operation,
}
