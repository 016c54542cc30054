//! [`World`]: a simulated server, and everybody who deals with it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use media_service::connection::Scope;

use super::accounts::Accounts;
use super::checks::Told;
use super::faults::Fault;
use super::members::Member;
use super::peers::Peer;
use super::publishers::{Clips, Publication, Publisher};
use super::rates::Rates;
use super::trace::Trace;
use super::viewers::{Attached, Watcher};
use super::{Counts, Kind, Options, Plan, Verdict};
use crate::{Client, Sim};

/// The server is checked in part after every step, and as a whole after so many.
const STEPS_PER_CHECK: usize = 10;

pub(super) struct World {
    pub(super) sim: Sim,
    pub(super) plan: Plan,
    pub(super) counts: Counts,
    pub(super) trace: Trace,
    pub(super) peers: Vec<Peer>,
    pub(super) publishers: Vec<Publisher>,
    /// Everything that was ever published, by its number.
    pub(super) publications: Vec<Publication>,
    pub(super) clips: Clips,
    pub(super) watchers: Vec<Watcher>,
    pub(super) attached: Vec<Attached>,
    pub(super) members: Vec<Member>,
    pub(super) rooms: Vec<u64>,
    pub(super) accounts: Accounts,
    pub(super) rates: Rates,
    pub(super) told: Told,
    pub(super) faults: Vec<(Instant, Fault)>,
    /// Since when nothing is wrong with the machine, its store and its mailboxes.
    pub(super) calm_since: Instant,
    /// Since when nothing is wrong with the network.
    pub(super) clear_since: Instant,
    /// Since when memory is short.
    pub(super) short_since: Option<Instant>,
    /// Since when the process knows that it will end.
    pub(super) stopping_since: Option<Instant>,
    /// The shards are ending, or have ended.
    pub(super) draining: bool,
    /// Every client has taken all that the server sent since it started.
    pub(super) exact: bool,
    /// Requests that were answered since then, as the clients saw it.
    pub(super) answered: u64,
    /// Sessions that were created since then, as the clients saw it.
    pub(super) created: u64,
    pub(super) next_id: u64,
    steps: usize,
    // Keeps the store's file.
    _folder: Option<tempfile::TempDir>,
}

impl World {
    pub(super) fn new(options: &Options) -> Self {
        let plan = Plan::new(options.seed, &options.without);
        let restarts = plan.has(Kind::Restart) || plan.has(Kind::Crash);
        let folder = restarts.then(|| tempfile::tempdir().expect("a folder"));
        let mut sim = Sim::quiet(plan.shards, options.seed, |config| {
            *config = plan.config.clone();
            config.store.path = match &folder {
                Some(folder) => folder.path().join("store.db"),
                None => ":memory:".into(),
            };
        });
        sim.read_bytes = plan.read_bytes;
        let now = sim.now;
        let accounts = Accounts::new(&plan.config);
        let mut world = Self {
            sim,
            plan,
            counts: Counts::default(),
            trace: Trace::new(options.trace),
            peers: Vec::new(),
            publishers: Vec::new(),
            publications: Vec::new(),
            clips: Clips::new(),
            watchers: Vec::new(),
            attached: Vec::new(),
            members: Vec::new(),
            rooms: Vec::new(),
            accounts,
            rates: Rates::new(now),
            told: Told::default(),
            faults: Vec::new(),
            calm_since: now,
            clear_since: now,
            short_since: None,
            stopping_since: None,
            draining: false,
            exact: true,
            answered: 0,
            created: 0,
            next_id: 0,
            steps: 0,
            _folder: folder,
        };
        world.sim.token = world.token("user-0");
        world.heal_network();
        world
    }

    /// Plays the whole schedule.
    pub(super) fn play(mut self, steps: usize) -> Verdict {
        for step in 0..steps {
            let kind = self.plan.action();
            super::at(step, kind.name());
            *self.counts.actions.entry(kind.name()).or_default() += 1;
            self.act(kind);
            let pause = self.plan.pause;
            let pause = self.plan.time(pause);
            self.run_for(pause);
        }
        super::at(steps, "the end");
        self.finish();
        self.counts.virtual_time = self.sim.now - self.sim.start;
        self.counts.datagrams_lost = self.sim.network.lost;
        Verdict {
            counts: self.counts,
            hash: self.trace.hash(),
        }
    }

    fn act(&mut self, kind: Kind) {
        match kind {
            Kind::Connect => drop(self.connect()),
            Kind::Ask => self.ask(),
            Kind::Pipeline => self.pipeline(),
            Kind::HalfClose => self.half_close(),
            Kind::Reset => self.reset(),
            Kind::SlowClient => self.slow_client(),
            Kind::Watch => self.watch(),
            Kind::IceRestart => self.restart_ice(),
            Kind::Move => self.move_viewer(),
            Kind::Control => self.control(),
            Kind::Leave => self.leave(),
            Kind::Delete => self.delete(),
            Kind::Vanish => self.vanish(),
            Kind::Publish => self.publish(),
            Kind::PublishEnd => self.end_publisher(),
            Kind::PublishSilence => self.silence_publisher(),
            Kind::Agent => self.open_agent(),
            Kind::ViewerSocket => self.open_viewer_socket(),
            Kind::Speak => self.speak(),
            Kind::SocketGone => self.drop_socket(),
            Kind::Room => self.create_room(),
            Kind::StopRoom => self.stop_room(),
            Kind::Member => self.open_member(),
            Kind::Say => self.say(),
            Kind::SlowMember => self.slow_member(),
            Kind::Return => self.return_member(),
            Kind::MemberGone => self.drop_member(),
            Kind::SignUp => self.sign_up(),
            Kind::LogIn => self.log_in(),
            Kind::Stranger => self.stranger(),
            Kind::Stuck
            | Kind::MailboxFull
            | Kind::MailboxSlow
            | Kind::SideTrouble
            | Kind::StoreSlow
            | Kind::StoreFull
            | Kind::Memory
            | Kind::Partition
            | Kind::BadNetwork => self.begin_fault(kind),
            Kind::Restart => self.restart(true),
            Kind::Crash => self.restart(false),
            Kind::Panic => self.panic(),
            Kind::Reload => self.reload(),
            Kind::Pause => self.pause(),
            Kind::Scrape => self.scrape(),
            Kind::Wait => {
                let time = self.plan.time(Duration::from_secs(5));
                self.run_for(time);
            }
        }
    }

    pub(super) fn run_for(&mut self, duration: Duration) {
        let end = self.sim.now + duration;
        while self.sim.now < end {
            self.step();
        }
    }

    /// A tick of everything, and a look at it.
    pub(super) fn step(&mut self) {
        self.end_faults();
        self.feed_peers();
        self.feed_publishers();
        self.sim.step();
        self.look_at_rates();
        self.poll_peers();
        self.poll_publishers();
        self.poll_attached();
        self.poll_members();
        self.poll_viewers();
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_PER_CHECK) {
            self.check();
        }
    }

    /// Since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.sim.now - self.sim.start
    }

    pub(super) fn note(&mut self, what: &str) {
        let at = self.elapsed();
        self.trace.note(at, what);
    }

    pub(super) fn device(&mut self) -> String {
        let devices = self.plan.devices;
        format!("cam-{}", self.plan.draw(devices))
    }

    pub(super) fn user(&mut self) -> String {
        let users = self.plan.users;
        format!("user-{}", self.plan.draw(users))
    }

    /// Where a client is.
    pub(super) fn address(&mut self) -> IpAddr {
        let addresses = self.plan.addresses;
        [198, 51, 100, 20 + self.plan.draw(addresses) as u8].into()
    }

    /// A position in a list, if there is one.
    pub(super) fn pick(&mut self, length: usize) -> Option<usize> {
        (length > 0).then(|| self.plan.draw(length))
    }

    /// A connection to a shard that the kernel draws.
    pub(super) fn dial(&mut self, from: IpAddr) -> Option<Client> {
        let shards = self.plan.shards;
        let shard = self.plan.draw(shards);
        let client = self.sim.try_connect_from(from, shard, Scope::Everything);
        if client.is_some() {
            self.counts.connections += 1;
        }
        assert!(
            client.is_some() || self.plan.tight,
            "a connection is refused far below the cap"
        );
        client
    }

    /// Ends a connection without a word. What the server has sent is lost.
    pub(super) fn cut(&mut self, client: Client) {
        self.sim.wire(client).reset = true;
        self.exact = false;
    }

    /// Who holds which id.
    pub(super) fn owner_of<T: Ord + Clone>(
        owners: &mut BTreeMap<T, usize>,
        id: &T,
        shard: usize,
    ) -> Option<usize> {
        owners.insert(id.clone(), shard)
    }
}
