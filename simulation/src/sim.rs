//! [`Sim`]: shards and all that is around them, stepped by the tick.
//!
//! It does what `media_service::driver` does, with queues in the place of sockets and mailboxes.

mod client;
mod leftovers;
mod mailbox;
mod rooms;
mod socket;
mod store;
mod turn;
mod watch;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use executor::TICK;
use media_service::accounts::Accounts;
use media_service::auth::Authenticator;
use media_service::config::Config;
use media_service::connection::ConnectionId;
use media_service::limits::Cap;
use media_service::message::Message;
use media_service::metrics::LastAnswers;
use media_service::placement::Shards;
use media_service::reload::Update;
use media_service::shard::{Shard, ShardSeed};
use media_service::totals::Totals;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use rtc::{Identity, MediaSocket, PlaneConfig, PlaneLimits};

pub use client::{HOST, head, request};
pub use mailbox::Mailbox;
pub use rooms::numbers;
pub use socket::{Socket, UPGRADE};
pub use store::Desk;
pub use wire::Wire;

use mailbox::Letter;
use store::StoredRooms;

use crate::{Network, Viewer, dtls};

/// A client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client(usize);

/// What the side thread does with its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Does them.
    Works,
    /// Takes no more: its queue is full.
    Full,
    /// Takes them and never answers.
    Silent,
}

/// N shards in virtual time.
pub struct Sim {
    pub now: Instant,
    pub start: Instant,
    pub shards: Vec<Shard>,
    pub totals: Arc<Totals>,
    pub placement: Shards,
    pub mailboxes: Vec<Mailbox>,
    /// Shards that make no progress.
    pub stuck: Vec<bool>,
    pub side: Side,
    pub store: Desk,
    config: Arc<Config>,
    /// A read of the server takes up to so many bytes.
    pub read_bytes: usize,
    /// What was read is handed over in pieces of so many bytes, as records of TLS are.
    pub record_bytes: usize,
    pub viewers: Vec<Viewer>,
    pub network: Network,
    /// Datagrams in the sockets of shards that stand still.
    unread: Vec<VecDeque<(SocketAddr, Vec<u8>)>>,
    wires: Vec<Wire>,
    /// Who has the connection; while it moves nobody has it.
    owners: HashMap<Client, (usize, ConnectionId)>,
    clients: HashMap<(usize, ConnectionId), Client>,
    ended: Vec<bool>,
    /// Turns that all shards have taken.
    pub turns: usize,
    last: LastAnswers,
    accounts: Option<Accounts>,
    /// What requests that name none are sent with.
    pub token: Option<String>,
    /// Connections that the shards of this process have taken.
    pub accepted: u64,
    /// Panics on purpose in this process, at most one caught for each.
    pub injected: u64,
    /// Connections that moved from shard to shard in this process.
    pub handed_over: u64,
    /// A step of time; a machine that is held up takes longer ones.
    pub tick: Duration,
    random: ChaCha20Rng,
}

/// Where a shard's media come from.
fn media_address(shard: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 40_000 + shard as u16))
}

impl Sim {
    /// Shards of the default configuration.
    pub fn new(shards: usize, seed: u64) -> Self {
        Self::with(shards, seed, |_| {})
    }

    /// Shards of a configuration that `edit` makes from the default.
    pub fn with(shards: usize, seed: u64, edit: impl FnOnce(&mut Config)) -> Self {
        println!("simulation seed: {seed}");
        Self::quiet(shards, seed, edit)
    }

    /// The same, and the seed is not printed.
    pub fn quiet(shards: usize, seed: u64, edit: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.store.path = ":memory:".into();
        config.store.fsync = false;
        // All clients come from one address, and refusals are for the tests of rates; but tokens are taken,
        // wherever they are.
        const ANY: usize = 1_000_000;
        let limits = &mut config.limits;
        limits.connections_per_address = Cap::OFF;
        (limits.session_rate, limits.session_burst) = (Cap::new(ANY), ANY);
        (limits.session_rate_total, limits.session_burst_total) = (Cap::new(ANY), ANY);
        (limits.room_rate, limits.room_burst) = (Cap::new(ANY), ANY);
        edit(&mut config);
        let config = Arc::new(config);
        // The clock is read once, some way from the machine's start; from then on time is a number.
        let now = Instant::now() + Duration::from_secs(3_600);
        let placement = NonZeroUsize::new(shards)
            .and_then(Shards::new)
            .expect("a number of shards");
        let (store, rooms) = Desk::open(&config, placement);
        // str0m draws from the thread's generator, DTLS from its own: names in descriptions and the
        // times at which something is sent again.
        fastrand::seed(seed);
        rtc::seed_dtls(dtls::SEED);
        let mut sim = Self {
            now,
            start: now,
            shards: Vec::new(),
            totals: Arc::new(Totals::new(shards)),
            placement,
            mailboxes: Vec::new(),
            stuck: vec![false; shards],
            side: Side::Works,
            store,
            config,
            read_bytes: media_service::limits::READ_BYTES,
            record_bytes: usize::MAX,
            viewers: Vec::new(),
            network: Network::new(seed),
            unread: vec![VecDeque::new(); shards],
            wires: Vec::new(),
            owners: HashMap::new(),
            clients: HashMap::new(),
            ended: vec![false; shards],
            turns: 0,
            last: LastAnswers::new(),
            accounts: None,
            token: None,
            accepted: 0,
            injected: 0,
            handed_over: 0,
            tick: TICK,
            random: ChaCha20Rng::seed_from_u64(seed),
        };
        sim.start_shards(rooms);
        sim
    }

    fn start_shards(&mut self, rooms: StoredRooms) {
        let auth = Authenticator::new(&self.config.auth).map(Arc::new);
        let reader = self.store.second_reader();
        let accounts = Accounts::new(&self.config, auth.clone(), reader);
        self.accounts = Some(accounts.expect("users that can be counted"));
        (self.accepted, self.handed_over) = (0, 0);
        let identity = Identity::generate().expect("an identity");
        let config = self.config.clone();
        for (id, rooms) in self.placement.all().zip(rooms) {
            let address = media_address(id.index());
            let mut seed = || {
                let mut bytes = [0; 32];
                self.random.fill_bytes(&mut bytes);
                bytes
            };
            let plane = PlaneConfig {
                identity: identity.clone(),
                sockets: vec![MediaSocket {
                    bound: address,
                    advertised: address,
                }],
                limits: PlaneLimits {
                    candidates: config.media.candidates.get().unwrap_or(usize::MAX),
                    ..PlaneLimits::default()
                },
                seed: seed(),
            };
            let seed = ShardSeed {
                id,
                shards: self.placement,
                config: config.clone(),
                listen: config.server.listen.clone().into(),
                plane,
                random: seed(),
                totals: self.totals.clone(),
                auth: auth.clone(),
                rooms,
                store: self.store.windows.clone(),
            };
            let wall = wall(self.now - self.start);
            let shard = Shard::new(self.now, wall, seed).expect("a plane that starts");
            self.shards.push(shard);
            self.mailboxes.push(Mailbox::new());
        }
    }

    /// The next process has another configuration.
    pub fn reconfigure(&mut self, edit: impl FnOnce(&mut Config)) {
        edit(Arc::make_mut(&mut self.config));
    }

    /// The process ends and another one starts on the same store, which is a file: in order, or by
    /// a crash. All connections are gone.
    pub fn restart(&mut self, clean: bool) {
        if clean && !self.ended.iter().all(|&ended| ended) {
            self.drain(Duration::from_secs(30));
            self.run_until(Duration::from_secs(30), "the shards end", |sim| {
                sim.ended.iter().all(|&ended| ended)
            });
        }
        self.store.end(self.now, clean);
        for client in self.owners.keys().copied().collect::<Vec<_>>() {
            self.close(client);
        }
        self.shards.clear();
        self.mailboxes.clear();
        self.unread.iter_mut().for_each(VecDeque::clear);
        self.ended.fill(false);
        self.totals = Arc::new(Totals::new(self.placement.count()));
        let (store, rooms) = Desk::open(&self.config, self.placement);
        self.store = store;
        self.start_shards(rooms);
    }

    /// A device that lives on the shard.
    pub fn device_on(&self, shard: usize) -> String {
        (0..)
            .map(|n| format!("cam-{n}"))
            .find(|id| self.placement.shard_of(id).index() == shard)
            .expect("names hash to every shard")
    }

    /// A uniform number below `end`.
    pub fn draw(&mut self, end: usize) -> usize {
        (self.random.next_u64() % end as u64) as usize
    }

    /// Whether the shard's driver has returned.
    pub fn has_ended(&self, shard: usize) -> bool {
        self.ended[shard]
    }

    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.step();
        }
    }

    /// Runs until `done`.
    ///
    /// # Panics
    /// When it is not so within `limit`.
    #[track_caller]
    pub fn run_until(
        &mut self,
        limit: Duration,
        what: &str,
        mut done: impl FnMut(&mut Sim) -> bool,
    ) {
        let end = self.now + limit;
        while !done(self) {
            assert!(self.now < end, "not within {limit:?}: {what}");
            self.step();
        }
    }

    /// Tells every shard that another configuration holds, which `edit` makes from the present one.
    pub fn reload(&mut self, edit: impl FnOnce(&mut Config)) {
        self.reconfigure(edit);
        let update = Arc::new(Update::new(Config::clone(&self.config)));
        if let Some(accounts) = &mut self.accounts {
            accounts.reload(&update);
        }
        for mailbox in &mut self.mailboxes {
            mailbox
                .send(self.now, 0.0, Letter::Reload(update.clone()))
                .expect("a mailbox with room");
        }
    }

    /// Whether some shard has not heard of its new configuration.
    pub fn reloads(&self) -> bool {
        self.mailboxes.iter().any(Mailbox::reloads)
    }

    /// Tells every shard to shut down.
    pub fn drain(&mut self, timeout: Duration) {
        let deadline = self.now + timeout;
        for mailbox in &mut self.mailboxes {
            let letter = Letter::Message(Message::Drain { deadline });
            mailbox
                .send(self.now, 0.0, letter)
                .expect("a mailbox with room");
        }
    }
}

/// When the simulations begin: in 2001.
pub const UNIX: Duration = Duration::from_secs(1_000_000_000);

fn wall(elapsed: Duration) -> SystemTime {
    UNIX_EPOCH + UNIX + elapsed
}
