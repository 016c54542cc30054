//! What goes wrong around the server, for a while.

use std::time::Duration;

use media_service::faults::{Fault as Injected, Place};
use media_service::limits::MAILBOX_MESSAGES;

use super::Kind;
use super::asks::Ask;
use super::rates::Rates;
use super::world::World;
use crate::Side;

/// A shard that stands still for longer ends its process.
const STUCK: Duration = Duration::from_secs(8);
const SECOND: Duration = Duration::from_secs(1);
/// The machine's memory, where it is looked at.
const MEMORY_BYTES: u64 = 1 << 30;
/// How long a process that was asked to end goes on, at most.
const DRAIN_DELAY: Duration = Duration::from_secs(3);
/// And how long its shards may take from then on.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// What ends again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Stuck(usize),
    Mailbox(usize),
    SlowMailboxes,
    Side,
    StoreSlow,
    StoreFull,
    Memory,
    Network,
}

impl World {
    pub(super) fn begin_fault(&mut self, kind: Kind) {
        let shard = self.plan.draw(self.plan.shards);
        let (fault, most) = match kind {
            Kind::Stuck => {
                self.sim.stuck[shard] = true;
                (Fault::Stuck(shard), STUCK)
            }
            Kind::MailboxFull => {
                self.sim.mailboxes[shard].capacity = self.plan.draw(3);
                (Fault::Mailbox(shard), 3 * SECOND)
            }
            Kind::MailboxSlow => {
                for mailbox in 0..self.plan.shards {
                    let delay = self.plan.time(SECOND / 2);
                    self.sim.mailboxes[mailbox].delay = delay;
                }
                (Fault::SlowMailboxes, 5 * SECOND)
            }
            Kind::SideTrouble => {
                self.sim.side = [Side::Full, Side::Silent][self.plan.draw(2)];
                (Fault::Side, 5 * SECOND)
            }
            Kind::StoreSlow => {
                self.sim.store.delay = self.plan.time(3 * SECOND);
                (Fault::StoreSlow, 5 * SECOND)
            }
            Kind::StoreFull => {
                self.sim.store.full = true;
                (Fault::StoreFull, 5 * SECOND)
            }
            Kind::Memory => {
                self.sim.totals.set_memory(Some(MEMORY_BYTES), true);
                self.short_since.get_or_insert(self.sim.now);
                (Fault::Memory, 5 * SECOND)
            }
            Kind::Partition => {
                for viewer in &self.sim.viewers {
                    if self.plan.draw(2) == 0 {
                        self.sim.network.cut.push(viewer.address);
                    }
                }
                (Fault::Network, 20 * SECOND)
            }
            _ => {
                let network = &mut self.sim.network;
                network.loss = self.plan.draw(20) as f64 / 100.0;
                network.duplicates = self.plan.draw(10) as f64 / 100.0;
                network.jitter = self.plan.time(SECOND / 5);
                (Fault::Network, 10 * SECOND)
            }
        };
        let until = self.sim.now + self.plan.time(most);
        self.note(&format!("{fault:?} begins"));
        self.faults.push((until, fault));
    }

    /// Ends what is over.
    pub(super) fn end_faults(&mut self) {
        let now = self.sim.now;
        let over: Vec<Fault> = self
            .faults
            .extract_if(.., |(until, _)| *until <= now)
            .map(|(_, fault)| fault)
            .collect();
        for fault in over {
            self.heal(fault);
        }
        for (_, fault) in &self.faults {
            match fault {
                Fault::Network => self.clear_since = now,
                _ => self.calm_since = now,
            }
        }
    }

    fn heal(&mut self, fault: Fault) {
        self.note(&format!("{fault:?} ends"));
        match fault {
            Fault::Stuck(shard) => self.sim.stuck[shard] = false,
            Fault::Mailbox(shard) => self.sim.mailboxes[shard].capacity = MAILBOX_MESSAGES,
            Fault::SlowMailboxes => {
                for mailbox in &mut self.sim.mailboxes {
                    mailbox.delay = Duration::ZERO;
                }
            }
            Fault::Side => self.sim.side = Side::Works,
            Fault::StoreSlow => self.sim.store.delay = Duration::from_millis(10),
            Fault::StoreFull => self.sim.store.full = false,
            Fault::Memory => {
                self.sim.totals.set_memory(Some(MEMORY_BYTES), false);
                self.short_since = None;
            }
            Fault::Network => self.heal_network(),
        }
        match fault {
            Fault::Network => self.clear_since = self.sim.now,
            _ => self.calm_since = self.sim.now,
        }
    }

    /// The network is as well as this seed's can be; who has left stays away.
    pub(super) fn heal_network(&mut self) {
        let network = &mut self.sim.network;
        network.loss = 0.0;
        network.duplicates = 0.0;
        network.delay = self.plan.delay;
        network.jitter = self.plan.jitter;
        network.cut.clear();
        for watcher in self.watchers.iter().filter(|it| it.over) {
            let address = self.sim.viewers[watcher.id.0].address;
            self.sim.network.cut.push(address);
        }
    }

    pub(super) fn heal_all(&mut self) {
        for (_, fault) in std::mem::take(&mut self.faults) {
            self.heal(fault);
        }
    }

    /// All stand still together, as on a machine that is held up.
    pub(super) fn pause(&mut self) {
        self.sim.tick = self.plan.time(SECOND / 2);
        self.calm_since = self.sim.now;
        self.step();
        self.sim.tick = executor::TICK;
        self.calm_since = self.sim.now;
    }

    /// The process ends, and another one starts.
    pub(super) fn restart(&mut self, clean: bool) {
        self.note(if clean {
            "the process ends"
        } else {
            "the process crashes"
        });
        self.heal_all();
        if clean {
            self.shut_down();
        }
        self.sim.restart(clean);
        self.draining = true;
        self.lose_peers();
        (self.draining, self.stopping_since) = (false, None);
        self.lose_publishers();
        self.lose_viewers();
        self.lose_members();
        (self.answered, self.created) = (0, 0);
        self.rates = Rates::new(self.sim.now);
        self.exact = true;
        self.sim.injected = 0;
        self.told.restarted();
        self.calm_since = self.sim.now;
        self.check();
        self.check_acknowledged();
    }

    /// Asks the process to end, and waits for it: everybody is served until the shards are told.
    fn shut_down(&mut self) {
        self.calm_since = self.sim.now;
        self.sim.totals.stop();
        self.stopping_since = Some(self.sim.now);
        self.send_any(Ask::new("GET", "/health/ready", &[503]));
        let delay = self.plan.time(DRAIN_DELAY);
        self.run_for(delay);
        self.note("the shards end");
        self.sim.drain(DRAIN_TIMEOUT);
        self.draining = true;
        self.asked_too_late();
        let until = self.sim.now + DRAIN_TIMEOUT + SECOND;
        while !(0..self.plan.shards).all(|shard| self.sim.has_ended(shard)) {
            assert!(self.sim.now < until, "the shards do not end");
            self.step();
        }
    }

    /// Something of a shard panics when the shard is there next.
    pub(super) fn panic(&mut self) {
        let shard = self.plan.draw(self.plan.shards);
        let place = Place::ALL[self.plan.draw(Place::ALL.len())];
        // Nobody is to blame for that: it ends the process.
        if place != Place::Turn {
            self.note(&format!("shard {shard} will panic: {place:?}"));
            self.sim.shards[shard].inject(Injected::Panic(place));
            self.sim.injected += 1;
            self.exact = false;
        }
    }

    /// Another configuration, of which every shard hears.
    pub(super) fn reload(&mut self) {
        let full = |fault: &Fault| matches!(fault, Fault::Mailbox(_));
        if self.faults.iter().any(|(_, fault)| full(fault)) {
            return;
        }
        self.plan.reconfigure();
        self.rates.changing = true;
        let drawn = self.plan.config.clone();
        self.sim.reload(|config| {
            let store = config.store.clone();
            *config = drawn;
            config.store = store;
        });
    }

    pub(super) fn scrape(&mut self) {
        self.send_any(Ask::new("GET", "/metrics", &[200]));
    }
}
