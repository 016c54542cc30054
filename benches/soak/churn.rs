//! The churn: workers that play one episode after the other, each from dice of its own.

use std::any::Any;
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::episodes::{EPISODES, Episode};
use crate::ledger::Ledger;
use crate::site::Site;

/// Things that a worker leaves behind on purpose and holds on to, such as a connection that says nothing.
const PARKED: usize = 20;
/// A worker rests so long between two episodes, in ms: a bound on their rate.
const REST: std::ops::Range<u64> = 20..200;

/// What episodes are played against.
pub struct Stage {
    pub http: SocketAddr,
    pub media: Vec<SocketAddr>,
    /// Where the clients are.
    pub local: IpAddr,
    /// Live rooms that stay.
    pub rooms: Vec<u64>,
    pub ledger: Arc<Ledger>,
    /// Makes what is said unlike anything else.
    pub said: AtomicU64,
    /// Set when the churn is to end: long episodes look at it.
    ending: AtomicBool,
}

impl Stage {
    pub fn new(
        http: SocketAddr,
        media: Vec<SocketAddr>,
        local: IpAddr,
        rooms: Vec<u64>,
        ledger: Arc<Ledger>,
    ) -> Self {
        Self {
            http,
            media,
            local,
            rooms,
            ledger,
            said: AtomicU64::new(0),
            ending: AtomicBool::new(false),
        }
    }

    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Sleeps, but not beyond the end.
    pub fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.is_ending() {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// One worker's hands.
pub struct Player {
    pub stage: Arc<Stage>,
    pub dice: Dice,
    parked: VecDeque<(Instant, Box<dyn Any + Send>)>,
}

impl Player {
    /// Holds on to something for a while and then lets it go.
    pub fn park(&mut self, thing: impl Any + Send, time: Duration) {
        self.parked
            .push_back((Instant::now() + time, Box::new(thing)));
        if self.parked.len() > PARKED {
            self.parked.pop_front();
        }
    }

    /// A name that nobody had before.
    pub fn unique(&self, of: &str) -> String {
        format!("{of}-{}", self.stage.said.fetch_add(1, Ordering::Relaxed))
    }

    fn let_go(&mut self) {
        let now = Instant::now();
        self.parked.retain(|(until, _)| *until > now);
    }
}

/// How often an episode was played.
#[derive(Clone, Debug, Default)]
pub struct Count {
    pub played: u64,
    /// Could not be played to its end: refused at a cap, lost on the way, timed out.
    pub cut_short: u64,
    /// The last reason.
    pub reason: String,
}

pub type Counts = BTreeMap<&'static str, Count>;

/// Workers at work.
pub struct Churn {
    stage: Arc<Stage>,
    counts: Arc<Mutex<Counts>>,
    workers: Vec<JoinHandle<()>>,
}

impl Churn {
    /// Starts workers on the clients' side.
    pub fn start(site: &Arc<Site>, stage: Stage, seed: u64, workers: u64) -> Self {
        let stage = Arc::new(stage);
        let counts = Arc::new(Mutex::new(Counts::new()));
        let start = |number| {
            let mut player = Player {
                stage: Arc::clone(&stage),
                dice: Dice::new(seed, number),
                parked: VecDeque::new(),
            };
            let (site, counts) = (Arc::clone(site), Arc::clone(&counts));
            thread::spawn(move || {
                site.go_to_clients();
                work(&mut player, &counts);
            })
        };
        let workers = (0..workers).map(start).collect();
        Self {
            stage,
            counts,
            workers,
        }
    }

    pub fn stage(&self) -> &Arc<Stage> {
        &self.stage
    }

    /// Ends it, lets go of everything, and tells what was played.
    pub fn end(self) -> Counts {
        self.stage.ending.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.join().expect("episodes are caught");
        }
        self.counts.lock().expect("workers do not panic").clone()
    }
}

fn work(player: &mut Player, counts: &Mutex<Counts>) {
    let total: u64 = EPISODES.iter().map(|episode| episode.weight).sum();
    while !player.stage.is_ending() {
        let mut drawn = player.dice.below(total);
        let episode = EPISODES
            .iter()
            .find(|episode| match drawn.checked_sub(episode.weight) {
                None => true,
                Some(rest) => {
                    drawn = rest;
                    false
                }
            })
            .expect("drawn below the sum");
        let played = play(episode, player);
        let mut counts = counts.lock().expect("workers do not panic");
        let count = counts.entry(episode.name).or_default();
        count.played += 1;
        if let Err(reason) = played {
            count.cut_short += 1;
            count.reason = reason;
        }
        drop(counts);
        player.let_go();
        let rest = player.dice.millis(REST);
        player.stage.pause(rest);
    }
}

thread_local! {
    /// Whether this thread plays an episode.
    static PLAYING: Cell<bool> = const { Cell::new(false) };
}

/// The kit of the tests panics when a server does not do as it is asked: here it ends an episode. Its threads are named
/// for nobody, so theirs are quiet too.
pub fn keep_panics_of_clients_quiet() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !PLAYING.get() {
            loud(panic);
        }
    }));
}

fn play(episode: &Episode, player: &mut Player) -> Result<(), String> {
    PLAYING.set(true);
    let played = catch_unwind(AssertUnwindSafe(|| (episode.play)(player)));
    PLAYING.set(false);
    played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        Err(text
            .unwrap_or("a panic")
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned())
    })
}
