//! Signals, reloads and the beginning of the end: what is decided for all shards at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use executor::Postbox;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use tracing::{error, info, warn};

use super::{problems, warn_of_certificate};
use crate::accounts::AccountQueue;
use crate::clock;
use crate::config::Config;
use crate::driver::Mail;
use crate::faults::{Thread, pass_thread};
use crate::logging::LogLevel;
use crate::memory::{self, MemoryWatch};
use crate::message::Message;
use crate::metrics::ReloadFigures;
use crate::reload::{Reloaded, Reloader, Update};
use crate::threads;
use crate::tls;
use crate::totals::Totals;

/// A second signal ended the process before its sessions were closed (128 + SIGINT).
pub const EXIT_IMPATIENT: i32 = 130;

/// The process was not done by the deadline of its shutdown and some time more: the disk of its store hangs.
pub const EXIT_OVERDUE: i32 = 73;

/// After the deadline of a shutdown the store has so long to write what it was handed.
const STORE_PATIENCE: Duration = Duration::from_secs(2);
/// Given to the log's own thread before the process ends.
const LOG_GRACE: Duration = Duration::from_millis(200);

/// How often free memory is given back, and the memory of the process and the files of the configuration are
/// looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How soon a mailbox that was full is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// What a signal asks for.
enum Order {
    Reload,
    /// By this signal.
    Stop(i32),
}
/// Orders that wait at most: one of each kind.
const ORDERS: usize = 2;

/// The signals that the process listens to.
pub(super) fn signals() -> io::Result<Signals> {
    Signals::new([SIGTERM, SIGINT, SIGHUP])
}

/// The thread that looks after the process, before it runs.
pub(super) struct Control {
    pub(super) reloader: Reloader,
    pub(super) reloads: Arc<ReloadFigures>,
    pub(super) postbox: Postbox<Mail>,
    pub(super) accounts: AccountQueue,
    pub(super) level: LogLevel,
    pub(super) totals: Arc<Totals>,
}

/// The running threads.
pub(super) struct Threads {
    signals: Handle,
    watcher: JoinHandle<()>,
}

impl Threads {
    /// Ends them: nothing is left to be done.
    pub(super) fn join(self) {
        self.signals.close();
        let _ = self.watcher.join();
    }
}

impl Control {
    /// Starts the threads: one that only waits for signals, and one that does what they ask for.
    pub(super) fn start(self, signals: Signals) -> io::Result<Threads> {
        let (orders, received) = bounded(ORDERS);
        let asked = Arc::new(AtomicBool::new(false));
        let handle = signals.handle();
        let reload_asked = asked.clone();
        let watcher = threads::start("signals", move || watch(signals, &orders, &reload_asked))?;
        let work = Work {
            asked,
            owed: None,
            memory: MemoryWatch::new(self.reloader.running().limits.memory),
            look_at: Instant::now(),
            control: self,
        };
        threads::start("control", move || work.run(&received))?;
        Ok(Threads {
            signals: handle,
            watcher,
        })
    }
}

/// Passes signals on. Ends with the handle of the signals.
fn watch(mut signals: Signals, orders: &Sender<Order>, reload_asked: &AtomicBool) {
    let mut stopping = false;
    for signal in signals.forever() {
        if signal == SIGHUP {
            // One that is waiting reads what there is then.
            if !reload_asked.swap(true, Ordering::AcqRel) {
                let _ = orders.try_send(Order::Reload);
            }
            continue;
        }
        if stopping {
            // Asked twice: whoever asks does not want to wait.
            std::process::exit(EXIT_IMPATIENT);
        }
        stopping = true;
        pass_thread(Thread::Signals);
        let _ = orders.try_send(Order::Stop(signal));
    }
}

/// The control thread.
struct Work {
    control: Control,
    /// A reload waits among the orders.
    asked: Arc<AtomicBool>,
    /// An update that not everybody has yet.
    owed: Option<Owed>,
    memory: MemoryWatch,
    /// When memory and files are looked at next.
    look_at: Instant,
}

/// The times of a shutdown.
struct End {
    /// Sessions and connections are closed from then on.
    drain_at: Instant,
    /// What is open then is cut.
    deadline: Instant,
}

/// An update, and who has not got it yet.
struct Owed {
    update: Arc<Update>,
    shards: Vec<usize>,
    accounts: bool,
}

impl Owed {
    fn new(update: Arc<Update>, shards: usize) -> Self {
        Self {
            update,
            shards: (0..shards).collect(),
            accounts: true,
        }
    }

    /// Gives the update to those who have not got it yet. True: everybody has.
    fn deliver(&mut self, postbox: &Postbox<Mail>, accounts: &AccountQueue) -> bool {
        let update = &self.update;
        self.shards
            .retain(|&shard| postbox.send(shard, Mail::Reload(update.clone())).is_err());
        self.accounts = self.accounts && !accounts.reload(update.clone());
        self.shards.is_empty() && !self.accounts
    }
}

impl Work {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut end: Option<End> = None;
        loop {
            match orders.recv_timeout(self.patience(end.as_ref())) {
                Ok(Order::Reload) => {
                    self.asked.store(false, Ordering::Release);
                    self.reload("SIGHUP");
                }
                Ok(Order::Stop(signal)) => end = Some(self.stop(signal)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Some(end) = end.as_ref().filter(|end| Instant::now() >= end.drain_at) {
                self.drain(end.deadline);
                return wait_for_end(orders, end.deadline);
            }
            self.look();
            self.deliver();
        }
    }

    /// How long to wait for an order.
    fn patience(&self, end: Option<&End>) -> Duration {
        let now = Instant::now();
        let next = match &self.owed {
            Some(_) => RETRY_INTERVAL,
            None => self.look_at.saturating_duration_since(now),
        };
        end.map_or(next, |end| {
            next.min(end.drain_at.saturating_duration_since(now))
        })
    }

    /// What is done each second.
    fn look(&mut self) {
        let now = Instant::now();
        if now < self.look_at {
            return;
        }
        self.look_at = now + LOOK_INTERVAL;
        memory::give_back();
        self.memory.look(&self.control.totals);
        if self.control.reloader.files_changed() {
            self.reload("a file changed");
        }
    }

    /// The server is not ready any more. Everything else goes on for a while, so that whoever sends
    /// clients here can notice.
    fn stop(&self, signal: i32) -> End {
        let server = &self.control.reloader.running().server;
        let (delay, timeout) = (server.drain_delay, server.shutdown_timeout);
        info!(
            signal,
            delay_seconds = delay.as_secs_f64(),
            timeout_seconds = timeout.as_secs_f64(),
            "shutting down"
        );
        self.control.totals.stop();
        let now = Instant::now();
        End {
            drain_at: now + delay,
            deadline: now + timeout,
        }
    }

    fn reload(&mut self, why: &'static str) {
        let reloaded = self.control.reloader.reload();
        self.control.reloads.count(&reloaded, clock::unix_seconds());
        match reloaded {
            Reloaded::Refused(faults) => {
                for fault in faults.faults() {
                    warn!("{fault}");
                }
                let faults = faults.faults().len();
                warn!(
                    why,
                    faults, "the configuration is at fault: the old one stays"
                );
            }
            Reloaded::Unchanged { waiting } => {
                tell_waiting(&waiting);
                info!(why, "configuration read again: nothing to apply");
            }
            Reloaded::Applied {
                update,
                applied,
                waiting,
            } => {
                tell_waiting(&waiting);
                self.control.level.set(&update.config.log.level);
                self.memory.set_limit(update.config.limits.memory);
                if applied.iter().any(|key| tls::KEYS.contains(key)) {
                    warn_of_certificate(&update.config);
                }
                if applied.contains(&"limits.connections") {
                    self.make_room(&update.config);
                }
                let applied = applied.join(", ");
                info!(why, applied, "configuration reloaded");
                // Who has not got the one before needs it no more.
                self.owed = Some(Owed::new(update, self.control.postbox.shards()));
            }
        }
    }

    /// More connections need more descriptors.
    fn make_room(&self, config: &Config) {
        for problem in problems(config, self.control.postbox.shards()) {
            warn!("{}", problem.message);
        }
    }

    fn deliver(&mut self) {
        let Control {
            postbox, accounts, ..
        } = &self.control;
        let whole = |owed: &mut Owed| owed.deliver(postbox, accounts);
        self.owed.take_if(whole);
    }

    fn drain(&self, deadline: Instant) {
        let postbox = &self.control.postbox;
        let drain = || Mail::Message(Message::Drain { deadline });
        // A full mailbox empties within a turn; a shard that is dead is the watchdog's, and keeps no other
        // from its end.
        let mut shards: Vec<usize> = (0..postbox.shards()).collect();
        loop {
            shards.retain(|&shard| postbox.send(shard, drain()).is_err());
            if shards.is_empty() || Instant::now() >= deadline {
                return;
            }
            thread::sleep(RETRY_INTERVAL);
        }
    }
}

/// Waits until the process has nothing more to do. What hangs must not keep it beyond its deadline.
fn wait_for_end(orders: &Receiver<Order>, deadline: Instant) {
    let overdue = deadline + STORE_PATIENCE;
    loop {
        match orders.recv_deadline(overdue) {
            Ok(Order::Reload | Order::Stop(_)) => {}
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                error!(
                    "the process did not end in time: what the store was handed last may be lost"
                );
                thread::sleep(LOG_GRACE);
                std::process::exit(EXIT_OVERDUE);
            }
        }
    }
}

/// Names the keys that differ from what runs.
fn tell_waiting(keys: &[&str]) {
    if !keys.is_empty() {
        warn!("needs a restart: {}", keys.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use executor::mailboxes;

    use super::*;

    #[test]
    fn a_shard_whose_mailbox_is_full_gets_the_update_later_and_nobody_twice() {
        let (postbox, mut inboxes) = mailboxes(2, 1).unwrap();
        let (accounts, _jobs) = AccountQueue::new();
        let drain = Message::Drain {
            deadline: Instant::now(),
        };
        postbox.send(1, Mail::Message(drain)).unwrap();
        let update = Arc::new(Update::new(Config::default()));
        let mut owed = Owed::new(update, 2);
        assert!(!owed.deliver(&postbox, &accounts));
        let mut receive = |shard: usize| {
            let mut mail = Vec::new();
            inboxes[shard].receive(10, &mut mail);
            mail
        };
        assert!(matches!(receive(0)[..], [Mail::Reload(_)]));
        assert!(matches!(receive(1)[..], [Mail::Message(_)]));
        assert!(owed.deliver(&postbox, &accounts));
        assert!(receive(0).is_empty());
        assert!(matches!(receive(1)[..], [Mail::Reload(_)]));
    }
}
