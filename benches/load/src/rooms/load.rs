//! Drives a crowd: messages in a closed loop or at a pace, a measured span, and what came of it.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value};

use super::crowd::Crowd;
use crate::report::{Cost, Latencies, Outcome, Unit};
use crate::target::Target;

/// How messages follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
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
pub(super) struct Stream {
    pub(super) rooms: Range<usize>,
    pub(super) pace: Pace,
}

/// What a measured span gave.
pub(super) struct Measured {
    cost: Cost,
    deliveries: u64,
    reads: u64,
    acks: u64,
    /// By the rooms' group.
    latencies: Vec<Latencies>,
    /// From when messages should have been sent to when they were.
    send_lag: Latencies,
    /// How long the generator's turns took.
    turns: Latencies,
    /// Deliveries that never came or came twice, and members that were closed, from the beginning to the end.
    wrong: i64,
}

/// How a load is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Before what is measured.
    pub(super) warm_up: Duration,
    /// What is measured.
    pub(super) span: Duration,
    /// Look for arrivals so often and sleep in between; zero: arrivals wake.
    pub(super) moderation: Duration,
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

/// Runs the streams as planned. What is in flight at the end arrives before this returns, or never, but is not in what
/// was measured.
pub(super) fn run(crowd: &mut Crowd, target: &Target, streams: &[Stream], plan: Plan) -> Measured {
    let wrong = crowd.wrong();
    let mut load = Load::begin(crowd, streams);
    load.moderation = plan.moderation;
    load.drive(crowd, plan.warm_up);
    crowd.forget();
    load.send_lag.clear();

    eprintln!("measuring process {} for {:?}", target.process.0, plan.span);
    let (meter, tally) = (target.meter(), crowd.tally);
    load.drive(crowd, plan.span);
    let mut measured = Measured {
        cost: meter.stop(),
        deliveries: crowd.tally.deliveries - tally.deliveries,
        reads: crowd.tally.reads - tally.reads,
        acks: crowd.tally.acks - tally.acks,
        latencies: crowd.latencies.clone(),
        send_lag: load.send_lag,
        turns: crowd.turns.clone(),
        wrong: 0,
    };
    crowd.settle();
    measured.wrong = crowd.wrong() - wrong;
    measured
}

struct Load {
    flows: Vec<Flow>,
    send_lag: Latencies,
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
            send_lag: Latencies::default(),
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
                self.send_lag.record(crowd.now() - flow.due);
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

impl Measured {
    /// The outcome, with the latencies of the first group of rooms.
    pub(super) fn outcome(self, scenario: &str, setting: Map<String, Value>) -> Outcome {
        let deliveries = self.deliveries;
        let mut outcome = self
            .cost
            .outcome(scenario, setting, Unit::Delivery, deliveries);
        outcome.latency_us = self.latencies[0].summary();
        outcome.count("reads", self.reads);
        outcome.count("acks", self.acks);
        outcome.count("lost_or_repeated", self.wrong.unsigned_abs());
        for (group, latencies) in self.latencies.iter().enumerate().skip(1) {
            for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
                count_quantile(
                    &mut outcome,
                    &format!("group_{group}_{name}_us"),
                    latencies,
                    share,
                );
            }
        }
        count_quantile(&mut outcome, "late_p99_us", &self.send_lag, 0.99);
        count_quantile(&mut outcome, "turn_p99_us", &self.turns, 0.99);
        outcome
    }
}

/// Nothing is counted where nothing was measured.
fn count_quantile(outcome: &mut Outcome, name: &str, latencies: &Latencies, share: f64) {
    if let Some(us) = latencies.quantile_us(share) {
        outcome.count(name, us as u64);
    }
}
