//! What TLS costs the server: CPU per request on connections that stay open, per handshake, per delivery to a room's
//! member, and memory of a connection that rests. The server has one shard, pinned to one CPU; everything else is on
//! another.
//!
//! ```text
//! cargo bench --bench tls -- --seconds 5 --rounds 3
//! ```
//!
//! CPU is user and system time of the server's process, as the kernel counts it. The certificate is ECDSA P-256.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use rustls::ClientConfig;
use serde_json::json;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

use support::process::{Process, available_cpus, pin_to};
use support::server::Server;
use support::tls::{TlsServer, handshake};

/// Connections that ask, and that rest.
const CONNECTIONS: usize = 64;
const RESTING: usize = 2000;
/// Members of the room.
const MEMBERS: usize = 200;
/// Bytes of a danmaku's text.
const CONTENT_BYTES: usize = 100;

#[derive(Parser)]
struct Arguments {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// The median of so many rounds counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Passed by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// A client's connection, of either kind.
trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// A server, and how to connect to it.
enum Target {
    Plain(Server),
    Tls(TlsServer),
}

impl Target {
    const ARGUMENTS: [&str; 8] = [
        "--shards",
        "1",
        "--cores",
        "0",
        "--set",
        "rooms.member_rate=0",
        "--log-level",
        "warn,media_service::launch=info",
    ];

    fn start(tls: bool) -> Self {
        match tls {
            false => Self::Plain(Server::start(&Self::ARGUMENTS)),
            true => Self::Tls(TlsServer::start(&Self::ARGUMENTS)),
        }
    }

    fn server(&self) -> &Server {
        match self {
            Self::Plain(server) => server,
            Self::Tls(tls) => &tls.server,
        }
    }

    fn address(&self) -> SocketAddr {
        self.server().http()
    }

    fn process(&self) -> Process {
        self.server().process()
    }

    fn connect(&self) -> Box<dyn Wire> {
        match self {
            Self::Plain(server) => {
                let socket = TcpStream::connect(server.http()).expect("it listens");
                socket.set_nodelay(true).expect("a TCP socket");
                Box::new(socket)
            }
            Self::Tls(tls) => Box::new(handshake(self.address(), &tls.config).expect("TLS")),
        }
    }

    /// Asks for something without a body: the answer's length is known.
    fn ask(&self, wire: &mut Box<dyn Wire>, request: &[u8], answer: usize) {
        wire.write_all(request).expect("the server reads");
        wire.flush().expect("the server reads");
        wire.read_exact(&mut vec![0; answer]).expect("an answer");
    }

    fn request(&self, method: &str, target: &str) -> Vec<u8> {
        let headers = [("X-User-Id", "ada"), ("X-Request-Id", "1")];
        let mut bytes = support::http::head(self.address(), method, target, &headers);
        bytes.extend(b"\r\n");
        bytes
    }

    /// Bytes of the answer to a request on this connection.
    fn length(&self, wire: &mut Box<dyn Wire>, request: &[u8]) -> usize {
        wire.write_all(request).expect("the server reads");
        wire.flush().expect("the server reads");
        let mut answer = vec![0; 4096];
        wire.read(&mut answer).expect("an answer in one piece")
    }

    fn post(&self, target: &str, body: &str) -> serde_json::Value {
        match self {
            Self::Plain(server) => {
                let body = serde_json::from_str(body).expect("JSON");
                server.post_as("ada", target, &body).json()
            }
            Self::Tls(tls) => tls.request("POST", target, body.as_bytes()).json(),
        }
    }
}

/// CPU of the server for each of what `work` counts, in µs.
fn cost(process: Process, work: impl FnOnce() -> u64) -> f64 {
    let before = process.cpu();
    let count = work();
    process.cpu().since(before).total().as_secs_f64() * 1e6 / count as f64
}

fn requests(target: &Target, limit: Duration) -> f64 {
    let request = target.request("GET", "/health");
    let mut wires: Vec<_> = (0..CONNECTIONS).map(|_| target.connect()).collect();
    let lengths = wires.iter_mut().map(|wire| target.length(wire, &request));
    let length = lengths.max().expect("connections");
    cost(target.process(), || {
        let (begin, mut count) = (Instant::now(), 0);
        while begin.elapsed() < limit {
            for wire in &mut wires {
                target.ask(wire, &request, length);
                count += 1;
            }
        }
        count
    })
}

/// Connect, one request, close.
fn connections(target: &Target, config: Option<&Arc<ClientConfig>>, limit: Duration) -> f64 {
    let request = target.request("GET", "/health");
    let length = target.length(&mut target.connect(), &request);
    let connect = || -> Box<dyn Wire> {
        match (target, config) {
            (Target::Tls(_), Some(config)) => {
                Box::new(handshake(target.address(), config).expect("TLS"))
            }
            _ => target.connect(),
        }
    };
    cost(target.process(), || {
        let (begin, mut count) = (Instant::now(), 0);
        while begin.elapsed() < limit {
            target.ask(&mut connect(), &request, length);
            count += 1;
        }
        count
    })
}

/// Bytes of the server's memory for a connection that has had an answer.
fn resting(target: &Target) -> f64 {
    let request = target.request("GET", "/health");
    let open = || -> Vec<_> {
        let mut wires: Vec<_> = (0..RESTING).map(|_| target.connect()).collect();
        wires.iter_mut().for_each(|wire| {
            target.length(wire, &request);
        });
        wires
    };
    let first = open();
    let before = target.process().rss();
    let second = open();
    let grown = target.process().rss() as f64 - before as f64;
    drop((first, second));
    grown / RESTING as f64
}

fn deliveries(target: &Target, limit: Duration) -> f64 {
    let room = target.post("/api/v1/rooms", r#"{"title":"Bench"}"#)["id"].clone();
    target.post(&format!("/api/v1/rooms/{room}/start"), "{}");
    let address = target.address();
    let mut members: Vec<WebSocket<Box<dyn Wire>>> = (0..MEMBERS)
        .map(|user| {
            let url = format!("ws://{address}/ws?room_id={room}&user_id=user-{user}");
            let request = url.into_client_request().expect("a URL");
            let opened = tungstenite::client(request, target.connect());
            opened.map_err(|error| error.to_string()).expect("a room").0
        })
        .collect();
    let said = json!({"type": "danmu", "content": "x".repeat(CONTENT_BYTES)}).to_string();
    cost(target.process(), || {
        let (begin, mut count) = (Instant::now(), 0);
        while begin.elapsed() < limit {
            members[0].send(Message::text(said.as_str())).expect("open");
            for member in &mut members {
                while !member
                    .read()
                    .expect("a frame")
                    .to_text()
                    .is_ok_and(|text| text.contains("danmu"))
                {}
                count += 1;
            }
        }
        count
    })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let arguments = Arguments::parse();
    let limit = Duration::from_secs(arguments.seconds);
    if let Some(&cpu) = available_cpus().last() {
        pin_to(cpu);
    }
    let report = |what: &str, unit: &str, measure: &dyn Fn() -> f64| {
        let figures: Vec<_> = (0..arguments.rounds).map(|_| measure()).collect();
        println!("{what:44} {:9.1} {unit}", median(figures));
    };
    for (name, tls) in [("plain", false), ("TLS", true)] {
        let start = || Target::start(tls);
        report(&format!("{name}: a request, kept alive"), "us", &|| {
            requests(&start(), limit)
        });
        report(&format!("{name}: connect, request, close"), "us", &|| {
            let target = start();
            // Whoever has no store of sessions shakes hands in full.
            let full = match &target {
                Target::Plain(_) => None,
                Target::Tls(server) => {
                    let config = server.trusting(rustls::ALL_VERSIONS, &["http/1.1"]);
                    let mut config = ClientConfig::clone(&config);
                    config.resumption = rustls::client::Resumption::disabled();
                    Some(Arc::new(config))
                }
            };
            connections(&target, full.as_ref(), limit)
        });
        if tls {
            report("TLS: the same, resumed", "us", &|| {
                connections(&start(), None, limit)
            });
        }
        report(
            &format!("{name}: a delivery to one of {MEMBERS} members"),
            "us",
            &|| deliveries(&start(), limit),
        );
        report(&format!("{name}: a connection that rests"), "B", &|| {
            resting(&start())
        });
    }
}
