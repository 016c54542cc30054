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
use tracing::{info, warn};

use crate::accounts::AccountQueue;
use crate::clock;
use crate::driver::Mail;
use crate::faults::{Thread, pass_thread};
use crate::logging::LogLevel;
use crate::message::Message;
use crate::metrics::ReloadFigures;
use crate::reload::{Reloaded, Reloader, Update};
use crate::threads;

/// A second signal ended the process before its sessions were closed (128 + SIGINT).
pub const EXIT_IMPATIENT: i32 = 130;

/// How often the files of the configuration are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How soon a mailbox that was full is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);

/// What a signal asks for.
enum Order {
    Reload,
    Stop,
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
}

/// The running threads.
pub(super) struct Threads {
    signals: Handle,
    watcher: JoinHandle<()>,
}

impl Threads {
    /// Ends them, whatever they wait for.
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
            control: self,
            asked,
            owed: None,
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
        info!(signal, "shutting down");
        let _ = orders.try_send(Order::Stop);
    }
}

/// The control thread.
struct Work {
    control: Control,
    /// A reload waits among the orders.
    asked: Arc<AtomicBool>,
    /// An update that not everybody has yet.
    owed: Option<Owed>,
}

/// An update, and who has not got it yet.
struct Owed {
    update: Arc<Update>,
    shards: Vec<usize>,
    accounts: bool,
}

impl Work {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let wait = match &self.owed {
                Some(_) => RETRY_INTERVAL,
                None => LOOK_INTERVAL,
            };
            match orders.recv_timeout(wait) {
                Ok(Order::Reload) => {
                    self.asked.store(false, Ordering::Release);
                    self.reload("SIGHUP");
                }
                Ok(Order::Stop) => return self.drain(),
                Err(RecvTimeoutError::Timeout) if self.owed.is_some() => {}
                Err(RecvTimeoutError::Timeout) => {
                    if self.control.reloader.files_changed() {
                        self.reload("a file changed");
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.deliver();
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
                let applied = applied.join(", ");
                info!(why, applied, "configuration reloaded");
                self.owed = Some(Owed {
                    update,
                    shards: (0..self.control.postbox.shards()).collect(),
                    accounts: true,
                });
            }
        }
    }

    /// Gives the update to those who have not got it yet.
    fn deliver(&mut self) {
        let Some(owed) = &mut self.owed else {
            return;
        };
        let Control {
            postbox, accounts, ..
        } = &self.control;
        let update = &owed.update;
        owed.shards
            .retain(|&shard| postbox.send(shard, Mail::Reload(update.clone())).is_err());
        owed.accounts = owed.accounts && !accounts.reload(update.clone());
        if owed.shards.is_empty() && !owed.accounts {
            self.owed = None;
        }
    }

    fn drain(&self) {
        let postbox = &self.control.postbox;
        let timeout = self.control.reloader.running().server.shutdown_timeout;
        let deadline = Instant::now() + timeout;
        for shard in 0..postbox.shards() {
            // A full mailbox empties within a turn; a shard that is dead is the watchdog's.
            while postbox
                .send(shard, Mail::Message(Message::Drain { deadline }))
                .is_err()
                && Instant::now() < deadline
            {
                thread::sleep(RETRY_INTERVAL);
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
