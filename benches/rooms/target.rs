//! The server under load: this workspace's, the peer, or one that runs already. Each is pinned to one CPU as a whole.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::Arguments;
use crate::cost::Meters;
use crate::support::http::Connection;
use crate::support::metrics::Metrics;
use crate::support::process::{Process, pin_to};
use crate::support::server::Server;
use crate::support::{SOON, http, wait_until};

/// Requests for rooms that are under way at once: each waits for a commit.
const ROOM_REQUESTS_AT_ONCE: usize = 50;

/// Who opens the rooms.
const ANCHOR: &str = "anchor";

/// A server that runs.
pub struct Target {
    pub http: SocketAddr,
    pub meters: Meters,
    /// Room ids of the peer are our choice.
    peer: bool,
    running: Running,
}

/// What ends with the target.
enum Running {
    /// Dropped in this order: the store's directory after the server.
    Own {
        _server: Server,
        _store: TempDir,
    },
    Peer(Child),
    Elsewhere,
}

impl Target {
    /// Starts what the arguments name, with further settings of this workspace's server.
    pub fn start(arguments: &Arguments, settings: &[&str]) -> Self {
        if let (Some(http), Some(pid)) = (arguments.base, arguments.pid) {
            return Self::new(arguments, http, Process(pid), Running::Elsewhere);
        }
        // What a pinned thread starts is pinned whole, the server's side thread and its store included.
        pin_to(arguments.server_cpu);
        let target = match &arguments.peer {
            Some(program) => Self::start_peer(arguments, program),
            None => Self::start_own(arguments, settings),
        };
        pin_to(arguments.client_cpu);
        target
    }

    pub fn is_peer(&self) -> bool {
        self.peer
    }

    /// Makes live rooms, and gives their ids.
    pub fn open_rooms(&self, count: usize) -> Vec<u64> {
        if self.peer {
            return (1..=count as u64).collect();
        }
        let mut connections: Vec<Connection> = (0..count.min(ROOM_REQUESTS_AT_ONCE))
            .map(|_| Connection::open(self.http))
            .collect();
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            let batch = connections.len().min(count - ids.len());
            let body = json!({"title": "bench", "cover": ""}).to_string();
            let targets = vec!["/api/v1/rooms".to_owned(); batch];
            let made = post(&mut connections, &targets, body.as_bytes());
            let made: Vec<u64> = made
                .iter()
                .map(|room| room["id"].as_u64().expect("a room has an id"))
                .collect();
            let starts: Vec<String> = made
                .iter()
                .map(|id| format!("/api/v1/rooms/{id}/start"))
                .collect();
            post(&mut connections, &starts, b"");
            ids.extend(made);
        }
        ids
    }

    pub fn metrics(&self) -> Metrics {
        let response = http::request(self.http, "GET", "/metrics", &[], b"");
        Metrics::parse(&response.expect(200).text())
    }

    fn new(arguments: &Arguments, http: SocketAddr, process: Process, running: Running) -> Self {
        Self {
            http,
            meters: Meters::new(process, arguments.server_cpu),
            peer: matches!(running, Running::Peer(_)),
            running,
        }
    }

    fn start_own(arguments: &Arguments, settings: &[&str]) -> Self {
        let store = tempfile::tempdir().expect("a temporary directory");
        let path = format!("store.path={}", store.path().join("rooms.db").display());
        let mut line = vec!["--shards", "1", "--set", &path];
        // The load itself is not to be refused.
        let unlimited = [
            "rooms.member_rate=0",
            "rooms.message_rate=0",
            "limits.connections=19000",
            "limits.rooms_per_anchor=0",
        ];
        let given = arguments.set.iter().map(String::as_str);
        for setting in unlimited
            .into_iter()
            .chain(settings.iter().copied())
            .chain(given)
        {
            line.extend(["--set", setting]);
        }
        let server = Server::start(&line);
        let (http, process) = (server.http(), server.process());
        let running = Running::Own {
            _server: server,
            _store: store,
        };
        Self::new(arguments, http, process, running)
    }

    fn start_peer(arguments: &Arguments, program: &Path) -> Self {
        let http = free_address();
        let child = Command::new(program)
            .args(["-hub", "tuned", "-mux", "127.0.0.1:0", "-addr"])
            .arg(http.to_string())
            .env("GOMAXPROCS", "1")
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let process = Process(child.id());
        wait_until(SOON, "the peer listens", || {
            TcpStream::connect_timeout(&http, SOON).is_ok()
        });
        Self::new(arguments, http, process, Running::Peer(child))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Running::Peer(child) = &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One request on each connection, then all answers.
fn post(connections: &mut [Connection], targets: &[String], body: &[u8]) -> Vec<serde_json::Value> {
    let headers = [("Content-Type", "application/json"), ("X-User-Id", ANCHOR)];
    for (connection, target) in connections.iter_mut().zip(targets) {
        connection
            .send_request("POST", target, &headers, body)
            .unwrap_or_else(|error| panic!("POST {target}: {error}"));
    }
    let answers = connections.iter_mut().zip(targets);
    answers
        .map(|(connection, target)| {
            let answer = connection.response();
            let fine = matches!(answer.status, 200 | 201);
            assert!(fine, "POST {target}: {} {}", answer.status, answer.text());
            answer.json()
        })
        .collect()
}

/// A loopback address that nobody listens on now.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("it is bound")
}
