//! [`Sim`]: shards and all that is around them, stepped by the tick.
//!
//! It does what `media_service::driver` does, with queues in the place of sockets and mailboxes.

mod client;
mod leftovers;
mod mailbox;
#[path = "../../../rtc/tests/support/media.rs"]
#[allow(dead_code)]
pub(crate) mod media;
#[path = "../../../rtc/tests/support/network.rs"]
#[allow(dead_code)]
mod network;
mod rooms;
mod socket;
mod store;
#[path = "../../../rtc/tests/support/viewer.rs"]
#[allow(dead_code)]
pub(crate) mod viewer;
mod watch;
mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use executor::TICK;
use media_service::auth::Authenticator;
use media_service::config::Config;
use media_service::connection::ConnectionId;
use media_service::limits::{Cap, READS_PER_TURN};
use media_service::message::Message;
use media_service::metrics::{LastAnswers, ProcessFigures, encode};
use media_service::placement::Shards;
use media_service::shard::{Flushed, Job, Shard, ShardSeed};
use media_service::side::read;
use media_service::totals::Totals;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use rtc::{Identity, MediaSocket, PlaneConfig, PlaneLimits, SocketIndex};

pub(crate) use client::{HOST, head, request};
pub(crate) use mailbox::Mailbox;
pub(crate) use rooms::numbers;
pub(crate) use socket::Socket;
pub(crate) use store::Desk;
pub(crate) use viewer::{Viewer, ViewerId};
pub(crate) use wire::Wire;

use mailbox::Letter;
use network::Network;
use store::StoredRooms;

/// Rounds of a flush: what is carried out leaves a little more, a few times.
const FLUSH_ROUNDS: usize = 1000;

/// A client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client(usize);

/// What the side thread does with its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Does them.
    Works,
    /// Takes no more: its queue is full.
    Full,
    /// Takes them and never answers.
    Silent,
}

/// N shards in virtual time.
pub(crate) struct Sim {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) shards: Vec<Shard>,
    pub(crate) totals: Arc<Totals>,
    pub(crate) placement: Shards,
    pub(crate) mailboxes: Vec<Mailbox>,
    /// Shards that make no progress.
    pub(crate) stuck: Vec<bool>,
    pub(crate) side: Side,
    pub(crate) store: Desk,
    config: Arc<Config>,
    /// A read of the server takes up to so many bytes.
    pub(crate) read_bytes: usize,
    pub(crate) viewers: Vec<Viewer>,
    network: Network,
    wires: Vec<Wire>,
    /// Who has the connection; while it moves nobody has it.
    owners: HashMap<Client, (usize, ConnectionId)>,
    clients: HashMap<(usize, ConnectionId), Client>,
    ended: Vec<bool>,
    /// Turns that all shards have taken.
    pub(crate) turns: usize,
    last: LastAnswers,
    random: ChaCha20Rng,
}

/// Where a shard's media come from.
fn media_address(shard: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 40_000 + shard as u16))
}

impl Sim {
    /// Shards of the default configuration.
    pub(crate) fn new(shards: usize, seed: u64) -> Self {
        Self::with(shards, seed, |_| {})
    }

    /// Shards of a configuration that `edit` makes from the default.
    pub(crate) fn with(shards: usize, seed: u64, edit: impl FnOnce(&mut Config)) -> Self {
        println!("simulation seed: {seed}");
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
            viewers: Vec::new(),
            network: Network::new(seed),
            wires: Vec::new(),
            owners: HashMap::new(),
            clients: HashMap::new(),
            ended: vec![false; shards],
            turns: 0,
            last: LastAnswers::new(),
            random: ChaCha20Rng::seed_from_u64(seed),
        };
        sim.start_shards(rooms);
        sim
    }

    fn start_shards(&mut self, rooms: StoredRooms) {
        let auth = Authenticator::new(&self.config.auth).map(Arc::new);
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
    pub(crate) fn reconfigure(&mut self, edit: impl FnOnce(&mut Config)) {
        edit(Arc::make_mut(&mut self.config));
    }

    /// The process ends and another one starts on the same store, which is a file: in order, or by
    /// a crash. All connections are gone.
    pub(crate) fn restart(&mut self, clean: bool) {
        if clean {
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
        self.ended.fill(false);
        self.totals = Arc::new(Totals::new(self.placement.count()));
        let (store, rooms) = Desk::open(&self.config, self.placement);
        self.store = store;
        self.start_shards(rooms);
    }

    /// A device that lives on the shard.
    pub(crate) fn device_on(&self, shard: usize) -> String {
        (0..)
            .map(|n| format!("cam-{n}"))
            .find(|id| self.placement.shard_of(id).index() == shard)
            .expect("names hash to every shard")
    }

    /// A uniform number below `end`.
    pub(crate) fn draw(&mut self, end: usize) -> usize {
        (self.random.next_u64() % end as u64) as usize
    }

    /// Whether the shard's driver has returned.
    pub(crate) fn has_ended(&self, shard: usize) -> bool {
        self.ended[shard]
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
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
    pub(crate) fn run_until(
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

    /// Tells every shard to shut down.
    pub(crate) fn drain(&mut self, timeout: Duration) {
        let deadline = self.now + timeout;
        for mailbox in &mut self.mailboxes {
            let letter = Letter::Message(Message::Drain { deadline });
            mailbox
                .send(self.now, 0.0, letter)
                .expect("a mailbox with room");
        }
    }

    /// One tick: a turn of every shard, and of the viewers.
    pub(crate) fn step(&mut self) {
        self.now += TICK;
        while let Some((to, from, bytes)) = self.network.arrived(self.now) {
            if let Some(viewer) = self.viewers.iter_mut().find(|v| v.address == to) {
                viewer.receive(self.now, from, &bytes);
            } else if let Some(shard) = (0..self.shards.len()).find(|&i| media_address(i) == to) {
                self.shards[shard].datagram(self.now, SocketIndex(0), from, &bytes);
            }
        }
        for (shard, receipts) in self.store.commit(self.now) {
            let _ = self.mail(shard.index(), Letter::Message(Message::Stored(receipts)));
        }
        for shard in 0..self.shards.len() {
            if !self.stuck[shard] && !self.ended[shard] {
                self.turn(shard);
            }
        }
        for viewer in &mut self.viewers {
            viewer.tick(self.now);
            for (to, bytes) in viewer.outgoing.drain(..) {
                self.network.send(self.now, viewer.address, to, &bytes);
            }
        }
    }

    fn turn(&mut self, shard: usize) {
        let now = self.now;
        for letter in self.mailboxes[shard].receive(now) {
            match letter {
                Letter::Message(message) => self.shards[shard].message(now, message),
                Letter::Adopt(client, transfer) => {
                    let id = self.shards[shard].adopt(now, *transfer);
                    self.own(client, shard, id);
                }
            }
        }
        let mut here: Vec<Client> = self.clients_of(shard);
        here.sort_unstable_by_key(|client| client.0);
        for client in here {
            self.read(client);
            self.write(client);
        }
        self.shards[shard].tick(now, wall(now - self.start));
        // The driver takes further turns at once while there is more to do.
        let mut more = true;
        while more {
            self.turns += 1;
            more = self.shards[shard].end_turn(now);
            self.flush(shard);
            self.shards[shard].flushed(now);
        }
        if self.shards[shard].is_drained(now) {
            self.ended[shard] = true;
            for client in self.clients_of(shard) {
                self.close(client);
            }
        }
    }

    fn clients_of(&self, shard: usize) -> Vec<Client> {
        self.owners
            .iter()
            .filter(|(_, (owner, _))| *owner == shard)
            .map(|(&client, _)| client)
            .collect()
    }

    fn own(&mut self, client: Client, shard: usize, id: ConnectionId) {
        self.owners.insert(client, (shard, id));
        self.clients.insert((shard, id), client);
    }

    fn disown(&mut self, client: Client) {
        if let Some(owner) = self.owners.remove(&client) {
            self.clients.remove(&owner);
        }
    }

    fn close(&mut self, client: Client) {
        self.disown(client);
        self.wires[client.0].server_done = true;
        self.wires[client.0].closed = true;
    }

    /// Reads what the client has sent, as long as the shard wants it.
    fn read(&mut self, client: Client) {
        for _ in 0..READS_PER_TURN {
            let Some(&(shard, id)) = self.owners.get(&client) else {
                return;
            };
            if !self.shards[shard].reads(id) {
                return;
            }
            let most = 1 + self.draw(self.read_bytes);
            let wire = &mut self.wires[client.0];
            if wire.reset {
                return self.shards[shard].ended(self.now, id, true);
            }
            if wire.to_server.is_empty() {
                if wire.client_done && !wire.end_read {
                    wire.end_read = true;
                    self.shards[shard].ended(self.now, id, false);
                }
                return;
            }
            let count = most.min(wire.to_server.len());
            let bytes: Vec<u8> = wire.to_server.drain(..count).collect();
            self.shards[shard].received(self.now, id, &bytes);
        }
    }

    /// Writes what the client's socket takes.
    fn write(&mut self, client: Client) {
        let Some(&(shard, id)) = self.owners.get(&client) else {
            return;
        };
        loop {
            let (now, owner, wire) = (self.now, &mut self.shards[shard], &mut self.wires[client.0]);
            let output = owner.output(id);
            let mut count = output.len().min(wire.room());
            if wire.reset && !output.is_empty() {
                owner.ended(now, id, true);
                count = 0;
            } else {
                wire.to_client.extend_from_slice(&output[..count]);
            }
            match owner.wrote(now, id, count) {
                Flushed::Stay => return,
                Flushed::More => {}
                Flushed::Shutdown => return wire.server_done = true,
                Flushed::Close => return self.close(client),
            }
        }
    }

    /// Carries out everything that the shard has left.
    ///
    /// # Panics
    /// When it leaves something more and more: a driver would never come back from that.
    fn flush(&mut self, shard: usize) {
        for run in self.shards[shard].datagrams().runs() {
            for datagram in run.contents.chunks(run.segment) {
                self.network
                    .send(self.now, media_address(shard), run.to, datagram);
            }
        }
        self.shards[shard].datagrams().clear_runs();
        for _ in 0..FLUSH_ROUNDS {
            let outbox = std::mem::take(self.shards[shard].outbox());
            for entry in outbox.rows {
                self.store.push(self.now, entry);
            }
            // Who wants bytes again is asked each turn here.
            if outbox.dirty.is_empty()
                && outbox.moves.is_empty()
                && outbox.messages.is_empty()
                && outbox.jobs.is_empty()
            {
                return;
            }
            for id in outbox.dirty {
                match self.clients.get(&(shard, id)) {
                    Some(&client) => self.write(client),
                    None => _ = self.shards[shard].wrote(self.now, id, 0),
                }
            }
            for (id, to, transfer) in outbox.moves {
                let client = self.clients[&(shard, id)];
                self.disown(client);
                match self.mail(to.index(), Letter::Adopt(client, transfer)) {
                    Ok(()) => self.shards[shard].moved(id),
                    Err(Letter::Adopt(_, transfer)) => {
                        self.shards[shard].move_refused(self.now, id, *transfer);
                        self.own(client, shard, id);
                    }
                    Err(Letter::Message(_)) => unreachable!("the letter itself comes back"),
                }
            }
            for (to, message) in outbox.messages {
                if self.mail(to.index(), Letter::Message(message)).is_err() {
                    self.shards[shard].undelivered(to);
                }
            }
            for job in outbox.jobs {
                self.do_job(shard, job);
            }
        }
        panic!("the shard is not done after {FLUSH_ROUNDS} rounds of one flush");
    }

    fn mail(&mut self, to: usize, letter: Letter) -> Result<(), Letter> {
        if self.ended[to] {
            return Err(letter);
        }
        let share = self.draw(1000) as f64 / 1000.0;
        self.mailboxes[to].send(self.now, share, letter)
    }

    fn do_job(&mut self, shard: usize, job: Job) {
        match self.side {
            Side::Works => {}
            Side::Full => return self.shards[shard].job_refused(self.now, job),
            Side::Silent => return,
        }
        let (to, message) = match job {
            Job::Scrape(scrape) => {
                let snapshots = self.last.update(scrape.snapshots);
                let text = encode(snapshots, &ProcessFigures::default())
                    .expect("figures that can be written");
                let message = Message::Encoded {
                    connection: scrape.connection,
                    gather: scrape.gather,
                    text,
                };
                (scrape.from, message)
            }
            Job::Read(job) => {
                let message = Message::Replied {
                    connection: job.connection,
                    gather: job.gather,
                    reply: read(&self.store.reader, &job.read),
                };
                (job.from, message)
            }
            Job::Account(job) => panic!("users sign up and log in over real sockets: {job:?}"),
        };
        // The side thread tries for a second; a mailbox that stays full loses it.
        let _ = self.mail(to.index(), Letter::Message(message));
    }
}

/// When the simulations begin: in 2001.
pub(crate) const UNIX: Duration = Duration::from_secs(1_000_000_000);

fn wall(elapsed: Duration) -> SystemTime {
    UNIX_EPOCH + UNIX + elapsed
}
