//! Live rooms from socket to socket: what a delivery costs the server, how long messages take, memory of a member.
//!
//! Deliveries are messages that members received. In an open loop a latency counts from when the message should have been
//! sent, so neither a late server nor a late generator hides it.

mod crowd;
mod frames;
mod load;
mod member;
mod room;
mod scenarios;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::Connection;
use crate::report::{BUSY, Column, LATENCY, Report};
use crate::{Error, target};
use load::Plan;

/// What is measured, see benches/load/README.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// 1,000 members of one room, closed loop.
    OneRoom,
    /// The same room, 1,000 messages a second.
    Paced,
    /// 1,000 rooms of 10 members.
    ManyRooms,
    /// Small rooms and a device's video beside a huge room.
    Neighbours,
    /// A member that reads nothing.
    Stalled,
    /// Messages that are acknowledged when they are stored.
    Store,
    /// 15,000 members that say nothing.
    Idle,
}

/// All scenarios, in the order in which they are measured.
const EVERY: [Scenario; 7] = [
    Scenario::OneRoom,
    Scenario::Paced,
    Scenario::ManyRooms,
    Scenario::Neighbours,
    Scenario::Stalled,
    Scenario::Store,
    Scenario::Idle,
];

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// What to measure; everything by default
    #[arg(value_enum)]
    pub scenarios: Vec<Scenario>,
    /// The server, and how long it is measured.
    #[command(flatten)]
    pub target: target::Arguments,
    /// Seconds that idle members are watched; two ping intervals by default
    #[arg(long)]
    pub idle_span: Option<u64>,
    /// Bytes of a message's frame from the server; more where its own fields take more
    #[arg(long, default_value_t = 170)]
    pub frame_bytes: usize,
    /// Members look for arrivals each so many µs and are not woken by them, as behind a network card that moderates
    /// its interrupts; 0: every arrival wakes them, which over loopback is charged to the server
    #[arg(long, default_value_t = 0)]
    pub moderation: u64,
    /// The server has no rooms to be opened: any number is one
    #[arg(long)]
    pub any_room: bool,
}

impl Arguments {
    fn plan(&self) -> Plan {
        Plan {
            warm_up: self.target.warm_up(),
            span: self.target.span(),
            moderation: Duration::from_micros(self.moderation),
        }
    }
}

/// Columns of the tables; each has those of them that have a figure.
pub const COLUMNS: [Column; 7] = [
    Column::median("µs/delivery", |it| it.us_per_unit()),
    Column::median("(user)", |it| it.server.user_us / it.units as f64),
    Column::median("(shard)", |it| it.per_unit("shard_us")),
    Column::median("(ksoftirqd)", |it| it.per_unit("ksoftirqd_us")),
    Column::median("messages/read", |it| {
        it.units as f64 / it.counted("reads") as f64
    }),
    Column::median("deliveries/core·s", |it| 1e6 / it.us_per_unit()),
    Column::median("deliveries/s", |it| it.units as f64 / it.seconds),
];

/// Of acknowledgements.
const ACKS: [Column; 3] = [
    Column::median("acks/s", |it| it.counted("acks") as f64 / it.seconds),
    Column::median("µs/ack", |it| {
        it.server.cpu_us() / it.counted("acks") as f64
    }),
    Column::median("(shard)", |it| {
        it.counted("shard_us") as f64 / it.counted("acks") as f64
    }),
];

/// What the neighbours notice.
const NEIGHBOURS: [Column; 5] = [
    Column::median("huge P50 ms", |it| it.ms_counted("group_1_p50_us")),
    Column::median("huge P99 ms", |it| it.ms_counted("group_1_p99_us")),
    Column::median("frame P50 ≤ ms", |it| it.ms_counted("frame_p50_us")),
    Column::median("frame P99 ≤ ms", |it| it.ms_counted("frame_p99_us")),
    Column::median("frames", |it| it.figure("frames")),
];

/// What became of the member that stalled.
const STALLED: [Column; 3] = [
    Column::median("closed by the server", |it| it.figure("stalled_closed")),
    Column::median("close code", |it| it.figure("stalled_close_code")),
    Column::median("messages it had", |it| it.figure("stalled_had")),
];

const IDLE: [Column; 7] = [
    Column::median("RSS/member B", |it| {
        (it.server.rss_after as f64 - it.server.rss_before as f64) / it.units as f64
    }),
    Column::median("anonymous/member B", |it| it.per_unit("anonymous_bytes")),
    Column::median("CPU %", |it| it.server.cpu_us() / it.seconds / 1e4),
    Column::median("CPU % before", |it| {
        it.counted("before_cpu_us") as f64 / it.seconds / 1e4
    }),
    Column::median("CPU % more", |it| {
        (it.server.cpu_us() - it.counted("before_cpu_us") as f64) / it.seconds / 1e4
    }),
    Column::median("join µs", |it| it.per_unit("join_cpu_us")),
    Column::worst("closed", |it| it.figure("lost_or_repeated")),
];

/// How much of a latency may be the generator's own, and what must be 0.
const DOUBTS: [Column; 3] = [
    Column::median("late send P99 ms", |it| it.ms_counted("late_p99_us")),
    Column::median("turn P99 ms", |it| it.ms_counted("turn_p99_us")),
    Column::worst("lost or repeated", |it| it.figure("lost_or_repeated")),
];

impl Scenario {
    /// The name of outcomes.
    fn name(self) -> &'static str {
        match self {
            Self::OneRoom => "rooms/one-room",
            Self::Paced => "rooms/paced",
            Self::ManyRooms => "rooms/many-rooms",
            Self::Neighbours => "rooms/neighbours",
            Self::Stalled => "rooms/stalled",
            Self::Store => "rooms/store",
            Self::Idle => "rooms/idle",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::OneRoom => "One room, closed loop",
            Self::Paced => "One room, open loop",
            Self::ManyRooms => "Many small rooms",
            Self::Neighbours => "Small rooms and a video, without and with a huge room",
            Self::Stalled => "One room, without and with a member that reads nothing",
            Self::Store => "Acknowledged messages",
            Self::Idle => "Idle members",
        }
    }

    fn columns(self) -> Vec<Column> {
        match self {
            Self::OneRoom | Self::Paced | Self::ManyRooms => {
                [&COLUMNS[..], &LATENCY, &BUSY, &DOUBTS].concat()
            }
            Self::Neighbours => [&COLUMNS[6..], &LATENCY, &NEIGHBOURS, &BUSY, &DOUBTS].concat(),
            Self::Stalled => [&COLUMNS[..], &LATENCY, &STALLED, &BUSY, &DOUBTS].concat(),
            Self::Store => [&ACKS[..], &LATENCY, &BUSY, &DOUBTS].concat(),
            Self::Idle => IDLE.to_vec(),
        }
    }

    /// One round.
    fn round(self, arguments: &Arguments, report: &mut Report) -> Result<(), Error> {
        let name = self.name();
        match self {
            Self::OneRoom => scenarios::one_room(name, arguments, report),
            Self::Paced => scenarios::paced(name, arguments, report),
            Self::ManyRooms => scenarios::many_rooms(name, arguments, report),
            Self::Neighbours => scenarios::neighbours(name, arguments, report),
            Self::Stalled => scenarios::stalled(name, arguments, report),
            Self::Store => scenarios::store(name, arguments, report),
            Self::Idle => scenarios::idle(name, arguments, report),
        }
    }
}

/// Runs the scenarios, each round by round.
///
/// # Errors
/// What keeps them from being measured.
///
/// # Panics
/// When the server refuses members, or ends in the middle.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Error> {
    arguments.target.prepare()?;
    let scenarios = match &arguments.scenarios[..] {
        [] => &EVERY,
        some => some,
    };
    for &scenario in scenarios {
        for _ in 0..arguments.target.rounds {
            scenario.round(arguments, report)?;
        }
        report.print(scenario.title(), scenario.name(), &scenario.columns());
    }
    Ok(())
}

/// Requests for rooms that are under way at once: each waits for a commit.
const ROOM_REQUESTS_AT_ONCE: usize = 50;
/// Who opens the rooms.
const ANCHOR: &str = "anchor";

/// Makes live rooms, and gives their ids.
fn open_rooms(arguments: &Arguments, server: SocketAddr, count: usize) -> Result<Vec<u64>, Error> {
    if arguments.any_room {
        return Ok((1..=count as u64).collect());
    }
    let mut connections = Vec::new();
    for _ in 0..count.min(ROOM_REQUESTS_AT_ONCE) {
        let connection = Connection::try_open(server);
        connections.push(connection.map_err(|error| Error::Connection { server, error })?);
    }
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let batch = connections.len().min(count - ids.len());
        let body = json!({"title": "load", "cover": ""}).to_string();
        let targets = vec!["/api/v1/rooms".to_owned(); batch];
        let made = post(server, &mut connections, &targets, body.as_bytes())?;
        let made: Vec<u64> = made.iter().filter_map(|room| room["id"].as_u64()).collect();
        if made.len() < batch {
            let what = "POST /api/v1/rooms: a room without an id; --any-room is for servers that open none";
            return Err(Error::Arguments(what.to_owned()));
        }
        let starts: Vec<String> = made
            .iter()
            .map(|id| format!("/api/v1/rooms/{id}/start"))
            .collect();
        post(server, &mut connections, &starts, b"")?;
        ids.extend(made);
    }
    Ok(ids)
}

/// One request on each connection, then all answers.
fn post(
    server: SocketAddr,
    connections: &mut [Connection],
    targets: &[String],
    body: &[u8],
) -> Result<Vec<Value>, Error> {
    let headers = [("Content-Type", "application/json"), ("X-User-Id", ANCHOR)];
    let failed = |error| Error::Connection { server, error };
    for (connection, target) in connections.iter_mut().zip(targets) {
        let sent = connection.send_request("POST", target, &headers, body);
        sent.map_err(failed)?;
    }
    let mut answers = Vec::with_capacity(targets.len());
    for (connection, target) in connections.iter_mut().zip(targets) {
        let answer = connection.try_response(false).map_err(failed)?;
        match (answer.status, serde_json::from_slice(&answer.body)) {
            (200 | 201, Ok(body)) => answers.push(body),
            (status, _) => {
                return Err(Error::Refused {
                    request: format!("POST {target}"),
                    status,
                    body: answer.text(),
                });
            }
        }
    }
    Ok(answers)
}
