//! The real server as a child process on ports of the kernel's choice.

use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::http::{self, Connection, Response};
use super::json_lines::JsonLines;
use super::metrics::Metrics;
use super::process::Process;
use super::{SOON, wait_until};

/// The binary under test. `MEDIA_SERVICE_BIN` names another build of it.
fn binary() -> String {
    std::env::var("MEDIA_SERVICE_BIN")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_media-service").to_owned())
}

/// A command line of the server with nothing taken from our own environment that would configure it.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MEDIA_") {
            command.env_remove(name);
        }
    }
    // Servers run side by side, and a test that keeps something names a file of its own.
    command.env("MEDIA_STORE_PATH", ":memory:");
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the server with a command line after which it ends by itself, and gives (status, stdout, stderr).
pub fn run_to_end(arguments: &[&str]) -> (ExitStatus, String, String) {
    let mut child = command(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let deadline = Instant::now() + SOON;
    while child.try_wait().expect("our child").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("{arguments:?} did not end within {SOON:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("our child");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8 output");
    (output.status, text(output.stdout), text(output.stderr))
}

/// Ports of the kernel's choice, and a log to be read by the line.
const OWN: [&str; 6] = [
    "--listen",
    "127.0.0.1:0",
    "--media-port",
    "0",
    "--log-format",
    "json",
];

/// A running server. Dropped, it is asked to end, and waited for.
pub struct Server {
    child: Child,
    process: Process,
    log: JsonLines,
    http: SocketAddr,
    scraped_at: Vec<SocketAddr>,
    media: Vec<SocketAddr>,
    shards: usize,
}

impl Server {
    /// Starts the server and waits until it is ready.
    ///
    /// # Panics
    /// With its log, when it ends or is not ready soon.
    pub fn start(arguments: &[&str]) -> Self {
        let all = [&OWN[..], arguments].concat();
        Self::spawn(command(&all).env("ALLOW_FAULT_INJECTION", "1"))
    }

    /// As it is deployed, be it built with `fault-injection` or not: requests bring no faults.
    pub fn start_safe(arguments: &[&str]) -> Self {
        let all = [&OWN[..], arguments].concat();
        Self::spawn(&mut command(&all))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            // Everybody comes from one address here: rates are for the tests of rates, which set them.
            .env("MEDIA_LIMITS_SESSION_RATE", "0")
            .env("MEDIA_LIMITS_SESSION_RATE_TOTAL", "0")
            .env("MEDIA_LIMITS_LOGIN_RATE", "0")
            .env("MEDIA_LIMITS_ROOM_RATE", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let log = JsonLines::follow(child.stderr.take().expect("piped"));
        let process = Process(child.id());
        let deadline = Instant::now() + SOON;
        let ready = loop {
            if let Some(ready) = log.with_message("ready").pop() {
                break ready;
            }
            let ended = child.try_wait().expect("our child");
            if ended.is_some() || Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the server is not ready ({ended:?}):\n{}", log.text());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let http = addresses(&ready["http"])[0];
        let scraped_at = match &ready["metrics"] {
            Value::Null => Vec::new(),
            listed => addresses(listed),
        };
        let media = addresses(&ready["media"]);
        let shards = ready["shards"]
            .as_u64()
            .expect("the ready line tells the number of shards") as usize;
        Self {
            child,
            process,
            log,
            http,
            scraped_at,
            media,
            shards,
        }
    }

    /// Where HTTP is served.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where metrics alone are served.
    pub fn scraped_at(&self) -> &[SocketAddr] {
        &self.scraped_at
    }

    /// Media addresses, shard by shard.
    pub fn media(&self) -> &[SocketAddr] {
        &self.media
    }

    pub fn shards(&self) -> usize {
        self.shards
    }

    pub fn process(&self) -> Process {
        self.process
    }

    pub fn log(&self) -> &JsonLines {
        &self.log
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.http)
    }

    pub fn get(&self, target: &str) -> Response {
        http::request(self.http, "GET", target, &[], b"")
    }

    pub fn delete(&self, target: &str) -> Response {
        http::request(self.http, "DELETE", target, &[], b"")
    }

    pub fn post(&self, target: &str, body: &Value) -> Response {
        let headers = [("Content-Type", "application/json")];
        http::request(
            self.http,
            "POST",
            target,
            &headers,
            body.to_string().as_bytes(),
        )
    }

    /// A POST of this user, where nobody is authenticated.
    pub fn post_as(&self, user: &str, target: &str, body: &Value) -> Response {
        let headers = [("Content-Type", "application/json"), ("X-User-Id", user)];
        http::request(
            self.http,
            "POST",
            target,
            &headers,
            body.to_string().as_bytes(),
        )
    }

    /// Creates a session over HTTP and gives the response's body.
    ///
    /// # Panics
    /// When the answer is not 201.
    #[track_caller]
    pub fn create_session(&self, device: &str, user: &str) -> Value {
        self.post(
            "/api/media/sessions",
            &json!({"deviceId": device, "userId": user}),
        )
        .expect(201)
        .json()
    }

    /// What the API tells of a device.
    pub fn device(&self, device: &str) -> Value {
        self.get(&format!("/api/media/devices/{device}")).json()
    }

    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&self.get("/metrics").expect(200).text())
    }

    /// Waits until a metric, summed over its series with these labels, has a value.
    pub fn wait_metric(&self, name: &str, labels: &[(&str, &str)], holds: impl Fn(f64) -> bool) {
        let mut last = 0.0;
        let deadline = Instant::now() + SOON;
        while Instant::now() < deadline {
            last = self.metrics().sum(name, labels);
            if holds(last) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("{name}{labels:?} is {last}");
    }

    /// What a live server accounts to its clients. Compare before and after: see [`Self::wait_nothing_left`].
    pub fn footprint(&self) -> Footprint {
        let metrics = self.metrics();
        Footprint {
            sessions: metrics
                .get("media_active_sessions", &[])
                .expect("always there") as u64,
            tasks: metrics.get("media_task_count", &[]).expect("always there") as u64,
            websockets: metrics.sum("media_websocket_connections", &[]) as u64,
            members: metrics.sum("media_room_members", &[]) as u64,
            fds: self.process.fds(),
            threads: self.process.threads(),
        }
    }

    /// Waits until nothing is left of what was made since `before`.
    pub fn wait_nothing_left(&self, before: &Footprint) {
        let mut now = self.footprint();
        let deadline = Instant::now() + SOON;
        while !now.is_back_at(before) {
            assert!(
                Instant::now() < deadline,
                "left behind: before {before:?}, now {now:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
            now = self.footprint();
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("our own child takes signals");
    }

    /// Whether the process still runs.
    pub fn running(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }

    /// Waits for the end of the process.
    ///
    /// # Panics
    /// When it has not ended within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        wait_until(limit, "the server ends", || {
            self.child.try_wait().expect("our child").is_some()
        });
        wait_until(SOON, "its log is read", || self.log.is_complete());
        self.child.wait().expect("our child")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.running() {
            return;
        }
        self.signal(Signal::TERM);
        let deadline = Instant::now() + SOON;
        while self.running() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                if !std::thread::panicking() {
                    panic!("the server did not end on SIGTERM:\n{}", self.log.text());
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}", self.log.text());
        }
    }
}

/// The server samples its tasks each 10 s, perhaps while a scrape's own connection comes or goes.
const TASKS_SAMPLED_BESIDE: u64 = 2;

/// What the server holds for its clients.
#[derive(Clone, Debug)]
pub struct Footprint {
    pub sessions: u64,
    pub tasks: u64,
    pub websockets: u64,
    pub members: u64,
    pub fds: usize,
    pub threads: usize,
}

impl Footprint {
    /// Whether nothing is left of what was made since `before`.
    fn is_back_at(&self, before: &Self) -> bool {
        let held = |f: &Self| (f.sessions, f.websockets, f.members, f.fds, f.threads);
        held(self) == held(before) && self.tasks <= before.tasks + TASKS_SAMPLED_BESIDE
    }
}

/// Addresses of a log field, which is one text with blanks between them.
fn addresses(field: &Value) -> Vec<SocketAddr> {
    let text = field
        .as_str()
        .unwrap_or_else(|| panic!("not a list of addresses: {field}"));
    let parse = |text: &str| {
        text.parse()
            .unwrap_or_else(|_| panic!("not an address: {text}"))
    };
    text.split_ascii_whitespace().map(parse).collect()
}
