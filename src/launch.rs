//! From a configuration to running shards, and to their end.

mod control;
mod sockets;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use executor::{
    BindError, CpuList, EXIT_SHARD_DIED, Pool, PoolError, PoolOptions, Postbox, Preflight, Problem,
    cpu, mailboxes,
};
use rtc::{Identity, MediaSocket, PlaneConfig, PlaneLimits};
use signal_hook::iterator::Signals;
use tracing::{error, info, warn};

use self::control::Control;
pub use self::control::{EXIT_IMPATIENT, EXIT_OVERDUE};
use self::sockets::{Addresses, Sockets};
use crate::accounts::{self, AccountQueue, Accounts};
use crate::auth::Authenticator;
use crate::clock;
use crate::config::{Config, Inputs};
use crate::driver::{self, DriverSeed, Mail};
use crate::limits::MAILBOX_MESSAGES;
use crate::logging::LogGuard;
use crate::memory;
use crate::metrics::{ReloadFigures, StoreFigures};
use crate::placement::Shards;
use crate::reload::Reloader;
use crate::rooms::{RoomRecord, Status};
use crate::shard::ShardSeed;
use crate::side::{SideView, side};
use crate::store::{
    self, MessageRow, Reader, Store, StoreFault, StoreOpenError, StoreQueue, StoreThread,
    StoreView, Windows,
};
use crate::tls::{self, Acceptor, TlsError};
use crate::totals::{Total, Totals};

/// Why the server cannot start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The machine refuses something that is needed; each line says what to do.
    #[error("{}", .0.join("\n"))]
    Preflight(Vec<String>),
    /// A CPU that the process may not use.
    #[error(
        "server.cores: CPU {cpu} may not be used by this process, which has {available}; \
         its affinity (taskset) or cgroup (cpuset) says so"
    )]
    Cpu {
        /// The CPU.
        cpu: usize,
        /// Those that may be used.
        available: CpuList,
    },
    /// More shards than can be named.
    #[error("server.shards: {0} shards are too many")]
    Shards(usize),
    /// An address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No certificate.
    #[error(transparent)]
    Identity(#[from] rtc::IdentityError),
    /// Certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreOpenError),
    /// Its users cannot be counted.
    #[error("the users cannot be counted: {0}")]
    Users(StoreFault),
    /// The shards cannot start, or one has died.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The kernel refuses something small.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl LaunchError {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            // The watchdog's own exit for it is the same: whoever comes first.
            LaunchError::Pool(PoolError::ShardDied { .. }) => EXIT_SHARD_DIED as u8,
            LaunchError::Preflight(_)
            | LaunchError::Cpu { .. }
            | LaunchError::Shards(_)
            | LaunchError::Bind(_)
            | LaunchError::Identity(_)
            | LaunchError::Tls(_)
            | LaunchError::Store(_)
            | LaunchError::Users(_)
            | LaunchError::Pool(_)
            | LaunchError::Io { .. } => EXIT_FAILED,
        }
    }

    fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| LaunchError::Io { what, source }
    }
}

/// The server could not start.
const EXIT_FAILED: u8 = 1;

/// Descriptors of a shard besides its connections: epoll, timer, mailbox, rings, sockets, reserve.
const DESCRIPTORS_PER_SHARD: u64 = 32;

/// Runs the server until SIGTERM or SIGINT, with the configuration that was read from the inputs.
pub fn serve(inputs: Inputs, config: Config, log: &LogGuard) -> Result<(), LaunchError> {
    if let Err(fault) = memory::keep_pages_small() {
        warn!("huge pages stay on, memory will be larger: {fault}");
    }
    #[cfg(feature = "fault-injection")]
    if crate::faults::requests_may() {
        warn!("faults are injected: whoever asks from this host can make the server fail");
    }
    let config = Arc::new(config);
    let (shards, cpus) = placement(&config)?;
    preflight(&config, shards)?;
    let signals = control::signals().map_err(LaunchError::io("signals"))?;
    let totals = Arc::new(Totals::new(shards.count()).keyed(random()?));
    let (postbox, inboxes) =
        mailboxes(shards.count(), MAILBOX_MESSAGES).map_err(LaunchError::io("mailboxes"))?;
    let tls = tls::load(&config.tls)?.map(Acceptor::new);
    let sockets = Sockets::bind(&config, shards)?;
    let store = start_store(&config, shards, &postbox)?;
    let auth = Authenticator::new(&config.auth).map(Arc::new);
    let [reader, of_accounts] = store.readers;
    let accounts = start_accounts(&config, auth.clone(), of_accounts, &postbox)?;
    let (jobs, side) = side(accounts.clone());

    let addresses = sockets.addresses;
    let listen: Arc<[SocketAddr]> = addresses.own().into();
    let identity = Identity::generate()?;
    let mut seeds = Vec::new();
    let of_shards = sockets.of_shards.into_iter().zip(store.rooms);
    for ((id, inbox), (sockets, rooms)) in shards.all().zip(inboxes).zip(of_shards) {
        let plane = plane(&config, &identity, sockets.media)?;
        seeds.push(DriverSeed {
            shard: ShardSeed {
                id,
                shards,
                config: config.clone(),
                listen: listen.clone(),
                plane,
                random: random()?,
                totals: totals.clone(),
                rooms,
                store: store.windows.clone(),
                auth: auth.clone(),
            },
            listeners: sockets.listeners,
            tls: tls.clone(),
            ports: sockets.ports,
            inbox,
            postbox: postbox.clone(),
            side: jobs.clone(),
            store: store.queue.clone(),
        });
    }
    drop((jobs, store.queue));
    let options = PoolOptions {
        cpus: cpus.clone(),
        stall: Default::default(),
    };
    let pool = executor::spawn(options, seeds, driver::run)?;
    let reloads = Arc::new(ReloadFigures::new(clock::unix_seconds(), &config.tls));
    let view = SideView {
        postbox: postbox.clone(),
        health: pool.health(),
        totals: totals.clone(),
        leak_interval: config.metrics.leak_interval,
        log: log.dropped_lines(),
        store: store.figures,
        reloads: reloads.clone(),
        reader,
    };
    side.start(view).map_err(LaunchError::io("side thread"))?;
    warn_of_clear_tokens(&config, &addresses.http);
    warn_of_certificate(&config);
    announce(&config, shards, &cpus, &addresses);
    let control = Control {
        reloader: Reloader::new(inputs, config),
        reloads,
        postbox,
        accounts,
        level: log.level(),
        totals: totals.clone(),
    };
    supervise(pool, signals, control, &totals, store.thread)
}

/// A shard's media plane.
fn plane(
    config: &Config,
    identity: &Identity,
    sockets: Vec<MediaSocket>,
) -> Result<PlaneConfig, LaunchError> {
    let limits = PlaneLimits {
        candidates: config.candidates(),
        ..PlaneLimits::default()
    };
    Ok(PlaneConfig {
        identity: identity.clone(),
        sockets,
        limits,
        seed: random()?,
    })
}

fn start_accounts(
    config: &Config,
    auth: Option<Arc<Authenticator>>,
    reader: Reader,
    postbox: &Postbox<Mail>,
) -> Result<AccountQueue, LaunchError> {
    let accounts = Accounts::new(config, auth, reader).map_err(LaunchError::Users)?;
    accounts::start(accounts, postbox.clone()).map_err(LaunchError::io("accounts thread"))
}

/// The store at work, and what was in it.
struct RunningStore {
    queue: StoreQueue,
    thread: StoreThread,
    windows: Arc<Windows>,
    figures: Arc<StoreFigures>,
    /// For the side thread and for accounts.
    readers: [Reader; 2],
    /// Each shard's rooms with their recent messages.
    rooms: Vec<Vec<(RoomRecord, Vec<MessageRow>)>>,
}

/// Opens the store, reads the rooms of each shard, and starts the thread that writes.
fn start_store(
    config: &Config,
    shards: Shards,
    postbox: &Postbox<Mail>,
) -> Result<RunningStore, LaunchError> {
    let mut store = Store::open(&config.store)?;
    if store.is_memory() {
        warn!("store.path is :memory: rooms, messages and users are lost when the process ends");
    }
    info!(path = %store.path().display(), "store opened");
    let clean = store.is_clean();
    let loaded = store.load(config.rooms.recent)?;
    if !loaded.is_empty() {
        let is_live = |(record, _): &&(RoomRecord, _)| record.status == Status::Live;
        let live = loaded.iter().filter(is_live).count();
        info!(rooms = loaded.len(), live, clean, "rooms recovered");
    }
    let mut rooms: Vec<_> = shards.all().map(|_| Vec::new()).collect();
    for (record, recent) in loaded {
        rooms[shards.shard_of_room(record.id).index()].push((record, recent));
    }
    let readers = [store.reader()?, store.reader()?];
    let windows = Windows::new(shards.count());
    let figures = Arc::new(StoreFigures::default());
    let view = StoreView {
        postbox: postbox.clone(),
        windows: windows.clone(),
        figures: figures.clone(),
    };
    let (queue, thread) = store::start(store, view).map_err(LaunchError::io("store thread"))?;
    Ok(RunningStore {
        queue,
        thread,
        windows,
        figures,
        readers,
        rooms,
    })
}

/// How many shards, and on which CPUs.
fn placement(config: &Config) -> Result<(Shards, Vec<usize>), LaunchError> {
    let available = cpu::available().map_err(LaunchError::io("the CPUs cannot be read"))?;
    let cpus: Vec<usize> = match &config.server.cores {
        Some(cores) => {
            if let Some(&cpu) = cores.iter().find(|&&cpu| !available.contains(cpu)) {
                return Err(LaunchError::Cpu { cpu, available });
            }
            cores.clone()
        }
        None => available.iter().collect(),
    };
    let count = match (config.server.shards, &config.server.cores) {
        (Some(count), _) => count.get(),
        (None, Some(cores)) => cores.len(),
        (None, None) => executor::cpu::default_shards(&available, cpu::quota()),
    };
    let shards = NonZeroUsize::new(count)
        .and_then(Shards::new)
        .ok_or(LaunchError::Shards(count))?;
    Ok((shards, cpus))
}

/// What the machine refuses of what the configuration asks of it; limits are raised as far as it lets.
fn problems(config: &Config, shards: usize) -> Vec<Problem> {
    let connections = config.limits.connections.get().unwrap_or(65_536) as u64;
    let descriptors = connections + DESCRIPTORS_PER_SHARD * shards as u64;
    Preflight {
        shards,
        descriptors,
    }
    .check()
}

/// Says what the machine refuses, before anything is started.
fn preflight(config: &Config, shards: Shards) -> Result<(), LaunchError> {
    let (fatal, warnings): (Vec<_>, Vec<_>) = problems(config, shards.count())
        .into_iter()
        .partition(|problem| problem.fatal);
    for problem in warnings {
        warn!("{}", problem.message);
    }
    match fatal.is_empty() {
        true => Ok(()),
        false => Err(LaunchError::Preflight(
            fatal.into_iter().map(|problem| problem.message).collect(),
        )),
    }
}

fn random() -> Result<[u8; 32], LaunchError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|fault| LaunchError::Io {
        what: "the system's random generator",
        source: io::Error::other(fault.to_string()),
    })?;
    Ok(seed)
}

/// Tokens are as good as passwords.
fn warn_of_clear_tokens(config: &Config, http: &[SocketAddr]) {
    let open = |address: &&SocketAddr| !address.ip().to_canonical().is_loopback();
    let address = http.iter().find(open);
    if let Some(address) = address.filter(|_| config.auth.is_on() && !config.tls.is_on()) {
        warn!(
            "server.listen: tokens and passwords cross the network in the clear on {address}: set \
             tls.cert and tls.key, or have a proxy in front that speaks TLS"
        );
    }
}

/// Clients will complain of it too, and not to whoever reads this.
fn warn_of_certificate(config: &Config) {
    let cert = config.tls.cert.as_ref();
    if let Some(complaint) = cert.and_then(|cert| cert.complaint(clock::unix_seconds())) {
        warn!("tls.cert: {complaint}");
    }
}

/// The `ready` line: every address and port, so that port 0 can be used.
fn announce(config: &Config, shards: Shards, cpus: &[usize], addresses: &Addresses) {
    let list = |addresses: &[SocketAddr]| {
        addresses
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let cores = CpuList::new(cpus.iter().copied());
    let metrics = (!addresses.metrics.is_empty()).then(|| list(&addresses.metrics));
    info!(
        http = list(&addresses.http), metrics, media = list(&addresses.media),
        tls = config.tls.is_on(), shards = shards.count(), %cores, demo = config.demo,
        version = env!("CARGO_PKG_VERSION"), pid = std::process::id(),
        "ready"
    );
}

/// Waits for the shards, which end when they are told to.
fn supervise(
    pool: Pool,
    signals: Signals,
    control: Control,
    totals: &Totals,
    store: StoreThread,
) -> Result<(), LaunchError> {
    let threads = control
        .start(signals)
        .map_err(LaunchError::io("control thread"))?;
    pool.join()?;
    // The shards are gone and have handed over what there was.
    if let Err(fault) = store.join() {
        error!("{fault}");
    }
    threads.join();
    info!(
        sessions = totals.sum(Total::Drained),
        members = totals.sum(Total::DrainedMembers),
        "shutdown complete"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_shard_has_an_exit_code_of_its_own() {
        let died = PoolError::ShardDied {
            shard: 1,
            message: "a bug".into(),
        };
        assert_eq!(LaunchError::from(died).exit_code(), 71);
        assert_eq!(LaunchError::from(PoolError::NoCpus).exit_code(), 1);
    }
}
