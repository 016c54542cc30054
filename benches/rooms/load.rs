//! Drives a crowd: messages in a closed loop or at a pace, a measured span, and what came of it.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use crate::cost::{Cost, Meters};
use crate::crowd::Crowd;
use crate::figures::{Figures, Samples};

/// How messages follow each other.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// A closed loop: so many messages are in flight in each room, and the next is sent when all of the room has one.
    InFlight(usize),
    /// The same, but a message is in flight until its sender is told that it is stored.
    Unacknowledged(usize),
    /// An open loop: so many messages a second over all rooms in turn, whatever the server does.
    PerSecond(f64),
    /// The same, each asking for an acknowledgement.
    AcknowledgedPerSecond(f64),
}

impl Pace {
    fn acknowledged(self) -> bool {
        matches!(
            self,
            Self::Unacknowledged(_) | Self::AcknowledgedPerSecond(_)
        )
    }
}

/// Messages for some rooms.
#[derive(Clone, Debug)]
pub struct Stream {
    pub rooms: Range<usize>,
    pub pace: Pace,
}

/// What a measured span gave.
pub struct Outcome {
    pub seconds: f64,
    pub deliveries: u64,
    reads: u64,
    pub acks: u64,
    pub cost: Cost,
    /// By the rooms' group.
    pub latencies: Vec<Samples>,
    /// From when messages should have been sent to when they were.
    send_lag: Samples,
    /// How long the generator's turns took.
    turns: Samples,
    /// Deliveries that never came or came twice, and members that were closed, from the beginning to the end.
    wrong: i64,
}

/// How a load is run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Before what is measured.
    pub warm_up: Duration,
    /// What is measured.
    pub span: Duration,
    /// Look for arrivals so often and sleep in between; zero: arrivals wake.
    pub moderation: Duration,
}

/// The longest sleep: figures are read and ends are noticed in time.
const LONGEST_WAIT: Duration = Duration::from_millis(2);

/// A stream under way.
struct Flow {
    stream: Stream,
    /// In an open loop: when the next message is to be sent, ns.
    due: u64,
    interval: u64,
    next_room: usize,
}

/// Runs the streams as planned. What is in flight at the end arrives before this returns, or never, but is not in the
/// outcome.
pub fn run(crowd: &mut Crowd, meters: &Meters, streams: &[Stream], plan: Plan) -> Outcome {
    let span = plan.span;
    let wrong = crowd.wrong();
    let mut load = Load::begin(crowd, streams);
    load.moderation = plan.moderation;
    load.drive(crowd, plan.warm_up);
    crowd.forget();
    load.send_lag.clear();

    eprintln!("measuring process {} for {span:?}", meters.process());
    let (before, tally, begin) = (meters.read(), crowd.tally, crowd.now());
    load.drive(crowd, span);
    let cost = meters.read().since(&before);
    let mut outcome = Outcome {
        seconds: (crowd.now() - begin) as f64 / 1e9,
        deliveries: crowd.tally.deliveries - tally.deliveries,
        reads: crowd.tally.reads - tally.reads,
        acks: crowd.tally.acks - tally.acks,
        cost,
        latencies: crowd.latencies.clone(),
        send_lag: load.send_lag,
        turns: crowd.turns.clone(),
        wrong: 0,
    };
    crowd.settle();
    outcome.wrong = crowd.wrong() - wrong;
    outcome
}

struct Load {
    flows: Vec<Flow>,
    send_lag: Samples,
    moderation: Duration,
    /// Which flow a room belongs to.
    flow_of: Vec<Option<usize>>,
}

impl Load {
    fn begin(crowd: &mut Crowd, streams: &[Stream]) -> Self {
        let now = crowd.now();
        let mut flow_of = vec![None; crowd.rooms.len()];
        let mut flows = Vec::new();
        for stream in streams {
            flow_of[stream.rooms.clone()].fill(Some(flows.len()));
            let mut interval = 0;
            match stream.pace {
                Pace::InFlight(count) | Pace::Unacknowledged(count) => {
                    for room in stream.rooms.clone() {
                        for _ in 0..count {
                            crowd.publish(room, now, stream.pace.acknowledged());
                        }
                    }
                }
                Pace::PerSecond(rate) | Pace::AcknowledgedPerSecond(rate) => {
                    interval = (1e9 / rate) as u64;
                }
            }
            flows.push(Flow {
                stream: stream.clone(),
                due: now,
                interval,
                next_room: stream.rooms.start,
            });
        }
        Self {
            flows,
            send_lag: Samples::default(),
            moderation: Duration::ZERO,
            flow_of,
        }
    }

    fn drive(&mut self, crowd: &mut Crowd, time: Duration) {
        let end = crowd.now() + time.as_nanos() as u64;
        loop {
            let now = crowd.now();
            if now >= end {
                return;
            }
            self.send_due(crowd, now);
            let due = self.flows.iter().filter(|flow| flow.interval > 0);
            let due = due.map(|flow| flow.due).min().unwrap_or(u64::MAX);
            let wait = Duration::from_nanos(due.min(end).saturating_sub(crowd.now()));
            if self.moderation.is_zero() {
                crowd.turn(wait.min(LONGEST_WAIT));
            } else if !crowd.turn(Duration::ZERO) {
                thread::sleep(wait.min(self.moderation));
            }
            self.send_next(crowd);
        }
    }

    /// Open loops: everything whose time has come.
    fn send_due(&mut self, crowd: &mut Crowd, now: u64) {
        for flow in self.flows.iter_mut().filter(|flow| flow.interval > 0) {
            while flow.due <= now {
                crowd.publish(flow.next_room, flow.due, flow.stream.pace.acknowledged());
                self.send_lag.push(crowd.now() - flow.due);
                flow.due += flow.interval;
                flow.next_room += 1;
                if flow.next_room == flow.stream.rooms.end {
                    flow.next_room = flow.stream.rooms.start;
                }
            }
        }
    }

    /// Closed loops: one message for each that has arrived.
    fn send_next(&mut self, crowd: &mut Crowd) {
        let completed = std::mem::take(&mut crowd.completed);
        let acknowledged = std::mem::take(&mut crowd.acknowledged);
        let now = crowd.now();
        for (rooms, of_acks) in [(&completed, false), (&acknowledged, true)] {
            for &room in rooms {
                let Some(flow) = self.flow_of[room] else {
                    continue;
                };
                let pace = self.flows[flow].stream.pace;
                let closed = matches!(pace, Pace::InFlight(_) | Pace::Unacknowledged(_));
                if closed && pace.acknowledged() == of_acks {
                    crowd.publish(room, now, of_acks);
                }
            }
        }
    }
}

impl Outcome {
    /// What a delivery costs.
    pub fn add_cost(&self, figures: &mut Figures) {
        let deliveries = self.deliveries as f64;
        let each = |seconds: f64| seconds * 1e6 / deliveries;
        figures.add("µs/delivery", each(self.cost.server));
        figures.add("(user)", each(self.cost.user));
        if self.cost.shards > 0.0 {
            figures.add("(shard)", each(self.cost.shards));
        }
        figures.add("(ksoftirqd)", each(self.cost.softirq));
        figures.add("messages/read", deliveries / self.reads as f64);
        figures.add("deliveries/core·s", deliveries / self.cost.server);
    }

    /// How much was done, and how busy the server's core was with it.
    pub fn add_rate(&self, figures: &mut Figures) {
        figures.add("deliveries/s", self.deliveries as f64 / self.seconds);
        figures.add("server CPU %", 100.0 * self.cost.server / self.seconds);
    }

    /// Latencies of one group of rooms.
    pub fn add_latency(&self, figures: &mut Figures, group: usize) {
        figures.add_latency(&self.latencies[group]);
    }

    /// How much of a latency may be the generator's own, and what must be 0.
    pub fn add_doubts(&self, figures: &mut Figures) {
        let [send] = self.send_lag.quantiles_ms([0.99]);
        let [turn] = self.turns.quantiles_ms([0.99]);
        if !send.is_nan() {
            figures.add("late send P99 ms", send);
        }
        figures.add("turn P99 ms", turn);
        figures.add("client CPU %", 100.0 * self.cost.generator / self.seconds);
        figures.add_worst("lost or repeated", self.wrong as f64);
    }
}
