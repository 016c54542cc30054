//! HTTP requests on connections that stay open: a closed loop, or an open loop at a constant rate.

mod engine;
mod response;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use crate::report::{BUSY, Column, LATENCY, Report, Unit};
use crate::target::{self, Target};
use crate::{Error, http};
use engine::{Engine, Pace};

/// What stands for a session's id in a path.
const ID: &str = "{id}";

/// Which sessions a connection asks for, where the server has several shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Owners {
    /// Those of one shard, as a client's own connection does.
    One,
    /// Those of all shards in turn, as a proxy's connections do.
    Alternating,
}

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The server, and how long it is measured.
    #[command(flatten)]
    pub target: target::Arguments,
    /// What is asked for. `/api/media/sessions/{id}`, as it stands here: sessions that are created first
    #[arg(long, default_value = "/health")]
    pub path: String,
    /// A further header of each request (`Name: value`)
    #[arg(long)]
    pub header: Vec<String>,
    /// Connections, each with one request in flight
    #[arg(long, default_value_t = 32)]
    pub connections: usize,
    /// Requests a second, whatever the server does (an open loop); without it each answer is followed by the next
    /// request (a closed loop)
    #[arg(long)]
    pub rate: Option<f64>,
    /// Sessions that are created for a path with `{id}`
    #[arg(long, default_value_t = 64)]
    pub sessions: usize,
    /// Whose sessions a connection asks for
    #[arg(long, value_enum, default_value_t = Owners::One)]
    pub owners: Owners,
}

/// The name of outcomes.
pub const SCENARIO: &str = "http";

/// Columns of the table.
pub const COLUMNS: [Column; 7] = [
    Column::median("µs/request", |it| it.us_per_unit()),
    Column::median("(user)", |it| it.server.user_us / it.units as f64),
    Column::median("(shard)", |it| it.per_unit("shard_us")),
    Column::median("requests/s", |it| it.units as f64 / it.seconds),
    Column::worst("errors", |it| it.counted("errors") as f64),
    Column::worst("closed", |it| it.counted("closed") as f64),
    Column::worst("unanswered", |it| it.counted("unanswered") as f64),
];

/// How late an open loop sent.
const LATE: [Column; 2] = [
    Column::median("late send P99 ms", |it| it.ms_counted("late_p99_us")),
    Column::median("late sends", |it| it.figure("late_sends")),
];

/// Runs the load, round by round.
///
/// # Errors
/// What keeps it from being measured.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Error> {
    arguments.check()?;
    arguments.target.prepare()?;
    for _ in 0..arguments.target.rounds {
        let target = Target::start(&arguments.target, &[])?;
        let requests = arguments.requests(&target)?;
        let mut engine = Engine::connect(target.http, arguments.connections, requests)?;
        let outcome = engine.measure(&target, arguments)?;
        report.push(outcome)?;
    }
    let columns = [&COLUMNS[..], &LATENCY, &LATE, &BUSY].concat();
    report.print(&format!("GET {}", arguments.path), SCENARIO, &columns);
    Ok(())
}

impl Arguments {
    fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Arguments(what.to_owned()));
        if self.connections == 0 {
            return wrong("--connections must be 1 or more");
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e9)) {
            return wrong("--rate must be more than 0 and at most 1,000,000,000 requests a second");
        }
        if self.path.contains(ID) && self.sessions == 0 {
            return wrong("--sessions must be 1 or more for a path with {id}");
        }
        Ok(())
    }

    fn pace(&self) -> Pace {
        self.rate.map_or(Pace::Closed, Pace::PerSecond)
    }

    fn setting(&self) -> Map<String, Value> {
        let mut setting = json!({
            "path": self.path, "connections": self.connections, "shards": self.target.shards,
        });
        if let Some(rate) = self.rate {
            setting["rate"] = json!(rate);
        }
        if self.path.contains(ID) {
            setting["owners"] = json!(format!("{:?}", self.owners).to_lowercase());
            setting["sessions"] = json!(self.sessions);
        }
        let Value::Object(setting) = setting else {
            unreachable!("it is written as an object");
        };
        setting
    }

    /// Requests as they go over the wire: connections take the lists in turn, and each sends its list's in turn.
    fn requests(&self, target: &Target) -> Result<Vec<Vec<Vec<u8>>>, Error> {
        let request = |path: &str| {
            let mut head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", target.http);
            for header in &self.header {
                head += &format!("{header}\r\n");
            }
            (head + "\r\n").into_bytes()
        };
        if !self.path.contains(ID) {
            return Ok(vec![vec![request(&self.path)]]);
        }
        let by_owner = create_sessions(target, self.sessions)?;
        let requests = |ids: Vec<String>| -> Vec<Vec<u8>> {
            let requests = ids.iter().map(|id| request(&self.path.replace(ID, id)));
            requests.collect()
        };
        Ok(match self.owners {
            Owners::One => by_owner.into_iter().map(requests).collect(),
            Owners::Alternating => vec![requests(in_turn(&by_owner))],
        })
    }
}

/// Creates sessions, each of a device of its own. Their ids, by the shard that the server tells for them; all in one
/// where it tells none.
fn create_sessions(target: &Target, count: usize) -> Result<Vec<Vec<String>>, Error> {
    const SESSIONS: &str = "/api/media/sessions";
    let server = target.http;
    let failed = |error| Error::Connection { server, error };
    let mut connection = http::Connection::try_open(server).map_err(failed)?;
    let mut ask = |method: &str, path: &str, body: &[u8]| -> Result<Value, Error> {
        let headers: &[_] = if body.is_empty() {
            &[]
        } else {
            &[("Content-Type", "application/json")]
        };
        let sent = connection.send_request(method, path, headers, body);
        let answer = sent.and_then(|()| connection.try_response(false));
        let answer = answer.map_err(failed)?;
        match (answer.status, serde_json::from_slice(&answer.body)) {
            (200 | 201, Ok(body)) => Ok(body),
            (status, _) => Err(Error::Refused {
                request: format!("{method} {path}"),
                status,
                body: answer.text(),
            }),
        }
    };
    let mut by_owner = std::collections::BTreeMap::<u64, Vec<String>>::new();
    for number in 0..count {
        let body = json!({"deviceId": format!("load-{number}"), "userId": "load"});
        let made = ask("POST", SESSIONS, body.to_string().as_bytes())?;
        let Some(id) = made["sessionId"].as_str() else {
            return Err(Error::Refused {
                request: format!("POST {SESSIONS}"),
                status: 201,
                body: format!("without a sessionId: {made}"),
            });
        };
        let view = ask("GET", &format!("{SESSIONS}/{id}"), b"")?;
        let owner = view["shard"].as_u64().unwrap_or_default();
        by_owner.entry(owner).or_default().push(id.to_owned());
    }
    Ok(by_owner.into_values().collect())
}

/// One of each list after the other, as long as all have one.
fn in_turn(lists: &[Vec<String>]) -> Vec<String> {
    let shortest = lists.iter().map(Vec::len).min().unwrap_or_default();
    (0..shortest)
        .flat_map(|at| lists.iter().map(move |list| list[at].clone()))
        .collect()
}

/// What requests are counted as.
const UNIT: Unit = Unit::Request;
