//! What a session costs: made and ended over HTTP, or set up by a viewer until media could flow.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::http::Connection;
use crate::report::{BUSY, Column, Cost, LATENCY, Latencies, Outcome, Report, Unit};
use crate::target::{self, Target};
use crate::viewers::crowd::Crowd;
use crate::viewers::receive::Details;
use crate::viewers::signalling::{self, MediaService, SESSIONS, Signalling};
use crate::viewers::viewer::{Media, Options, Viewer};
use crate::{Error, SOON};

/// Sessions before those that are measured: what a process allocates once is not a session's.
const BEFORE: usize = 16;

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The server, and how long it is measured.
    #[command(flatten)]
    pub target: target::Arguments,
    /// How sessions are made
    #[arg(long, value_enum, default_value_t = signalling::Kind::MediaService)]
    pub signalling: signalling::Kind,
    /// Device that the sessions are of
    #[arg(long, default_value = "load")]
    pub device: String,
    /// Sessions in each round
    #[arg(long, default_value_t = 2_000)]
    pub sessions: usize,
    /// Requests, or viewers on their way, at once
    #[arg(long, default_value_t = 1)]
    pub concurrency: usize,
    /// Viewers answer the offers, and are set up when ICE and DTLS are done. Otherwise sessions are made, and ended
    #[arg(long)]
    pub setup: bool,
}

/// Runs the load, round by round.
///
/// # Errors
/// What keeps it from being measured.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Error> {
    if arguments.sessions == 0 || arguments.concurrency == 0 {
        let text = "--sessions and --concurrency: one at least";
        return Err(Error::Arguments(text.to_owned()));
    }
    if !arguments.setup && arguments.signalling != signalling::Kind::MediaService {
        let text =
            "--signalling: sessions that nobody answers are those of this service's interface";
        return Err(Error::Arguments(text.to_owned()));
    }
    arguments.target.prepare()?;
    for _ in 0..arguments.target.rounds {
        let target = Target::start(&arguments.target, &[])?;
        let outcomes = if arguments.setup {
            vec![set_up(arguments, &target)?]
        } else {
            create_and_end(arguments, &target)?
        };
        for outcome in outcomes {
            report.push(outcome)?;
        }
    }
    let columns = [&COST[..], &LATENCY, &BUSY].concat();
    for (title, scenario) in [
        ("Sessions made: POST", "sessions-create"),
        ("Sessions ended: DELETE", "sessions-delete"),
        ("Viewers set up: POST, answer, ICE, DTLS", "sessions-setup"),
    ] {
        if report.outcomes().iter().any(|it| it.scenario == scenario) {
            report.print(title, scenario, &columns);
        }
    }
    Ok(())
}

const COST: [Column; 4] = [
    Column::median("µs each", Outcome::us_per_unit),
    Column::median("(user)", |it| it.server.user_us / it.units as f64),
    Column::median("each second", |it| it.units as f64 / it.seconds),
    Column::median("RSS each kB", |it| {
        let grown = it.server.rss_after.saturating_sub(it.server.rss_before);
        grown as f64 / it.units as f64 / 1e3
    }),
];

impl Arguments {
    fn outcome(&self, scenario: &str, unit: Unit, cost: Cost, waited: &Latencies) -> Outcome {
        let setting: Map<String, Value> = [
            ("concurrency".to_owned(), json!(self.concurrency)),
            ("sessions".to_owned(), json!(self.sessions)),
        ]
        .into_iter()
        .collect();
        let mut outcome = cost.outcome(scenario, setting, unit, self.sessions as u64);
        outcome.latency_us = waited.summary();
        outcome
    }
}

/// Connections for one request at a time on each.
struct Clients<'a> {
    target: &'a Target,
    connections: Vec<Connection>,
}

impl Clients<'_> {
    /// One request after the other on each connection, in a closed loop; gives the answers' bodies in the order of the
    /// requests.
    fn all(
        &mut self,
        requests: &[(&'static str, String, String)],
        waited: &mut Latencies,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let server = self.target.http;
        let lost = |error| Error::Connection { server, error };
        let headers = [("Content-Type", "application/json")];
        let mut bodies = Vec::with_capacity(requests.len());
        for together in requests.chunks(self.connections.len()) {
            let mut sent = Vec::with_capacity(together.len());
            for ((method, target, body), connection) in together.iter().zip(&mut self.connections) {
                sent.push(Instant::now());
                connection
                    .send_request(method, target, &headers, body.as_bytes())
                    .map_err(lost)?;
            }
            for (((method, target, _), connection), sent) in
                together.iter().zip(&mut self.connections).zip(sent)
            {
                let response = connection.try_response(false).map_err(lost)?;
                waited.record(sent.elapsed().as_nanos() as u64);
                if !(200..300).contains(&response.status) {
                    return Err(Error::Refused {
                        request: format!("{method} {target}"),
                        status: response.status,
                        body: response.text(),
                    });
                }
                bodies.push(response.body);
            }
        }
        Ok(bodies)
    }
}

fn create_and_end(arguments: &Arguments, target: &Target) -> Result<Vec<Outcome>, Error> {
    let server = target.http;
    let open =
        |_| Connection::try_open(server).map_err(|error| Error::Connection { server, error });
    let connections = (0..arguments.concurrency).map(open);
    let mut clients = Clients {
        target,
        connections: connections.collect::<Result<_, _>>()?,
    };
    let wish = MediaService::wish(&arguments.device).to_string();
    let create = |count| vec![("POST", SESSIONS.to_owned(), wish.clone()); count];
    let mut waited = Latencies::default();
    clients.all(&create(BEFORE), &mut waited)?;

    waited.clear();
    let wishes = create(arguments.sessions);
    let meter = target.meter();
    let created = clients.all(&wishes, &mut waited)?;
    let made = arguments.outcome("sessions-create", Unit::Session, meter.stop(), &waited);

    let end = |body: &Vec<u8>| {
        let created: Value = serde_json::from_slice(body).unwrap_or_default();
        let session = created["sessionId"].as_str().unwrap_or_default();
        ("DELETE", format!("{SESSIONS}/{session}"), String::new())
    };
    let ends: Vec<_> = created.iter().map(end).collect();
    waited.clear();
    let meter = target.meter();
    clients.all(&ends, &mut waited)?;
    let ended = arguments.outcome("sessions-delete", Unit::Session, meter.stop(), &waited);
    Ok(vec![made, ended])
}

fn set_up(arguments: &Arguments, target: &Target) -> Result<Outcome, Error> {
    let mut arrivals = Arrivals {
        signalling: arguments
            .signalling
            .connect(target.http, &arguments.device)?,
        crowd: Crowd::new(false)?,
        on_their_way: Vec::new(),
        waited: Latencies::default(),
    };
    arrivals.run(BEFORE, arguments.concurrency)?;
    arrivals.waited.clear();
    let meter = target.meter();
    arrivals.run(arguments.sessions, arguments.concurrency)?;
    let cost = meter.stop();
    let Arrivals {
        mut signalling,
        crowd,
        waited,
        ..
    } = arrivals;
    for viewer in crowd.iter() {
        signalling.close(&viewer.session)?;
    }
    Ok(arguments.outcome("sessions-setup", Unit::Setup, cost, &waited))
}

/// Viewers that come and stay.
struct Arrivals {
    signalling: Box<dyn Signalling>,
    crowd: Crowd,
    /// Which of them are not connected yet.
    on_their_way: Vec<usize>,
    waited: Latencies,
}

impl Arrivals {
    /// Sets up so many more.
    fn run(&mut self, more: usize, at_once: usize) -> Result<(), Error> {
        let all = self.crowd.len() + more;
        let mut progress = Instant::now();
        while self.crowd.len() < all || !self.on_their_way.is_empty() {
            if self.crowd.len() < all && self.on_their_way.len() < at_once {
                self.begin()?;
            } else {
                self.crowd.turn();
            }
            if self.settle()? {
                progress = Instant::now();
            } else if progress.elapsed() > SOON {
                let what = "a viewer is set up".to_owned();
                return Err(Error::TooSlow { what, limit: SOON });
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Error> {
        let options = Options {
            media: Media::Counted,
            nack: true,
            loss: None,
            details: Details::default(),
            reports: Duration::from_secs(1),
        };
        let clicked = Instant::now();
        let created = self.signalling.create()?;
        let (mut viewer, answer) = Viewer::answer(&created.offer, &options)?;
        self.signalling.answer(&created.session, &answer)?;
        (viewer.session, viewer.clicked) = (created.session, clicked);
        self.on_their_way.push(self.crowd.add(viewer)?);
        Ok(())
    }

    /// Takes note of those that are connected; whether there was one.
    fn settle(&mut self) -> Result<bool, Error> {
        let before = self.on_their_way.len();
        let (crowd, waited) = (&self.crowd, &mut self.waited);
        self.on_their_way.retain(|&index| {
            let viewer = &crowd[index];
            if let Some(connected) = viewer.connected {
                waited.record((connected - viewer.clicked).as_nanos() as u64);
            }
            viewer.connected.is_none()
        });
        let failed = self.on_their_way.iter().map(|&index| &self.crowd[index]);
        match failed.filter_map(|viewer| viewer.closed.as_ref()).next() {
            Some(why) => Err(Error::SetUp { why: why.clone() }),
            None => Ok(self.on_their_way.len() < before),
        }
    }
}
