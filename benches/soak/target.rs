//! The server under churn: its settings, with timeouts of seconds and caps that the churn meets, and its restarts.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use tempfile::TempDir;

use crate::Arguments;
use crate::site::Site;
use crate::support::process::Process;
use crate::support::server::{Server, run_to_end};

/// Where the server listens for clients behind the link: a namespace of our own has every port free.
const PORT: u16 = 30006;

/// TCP connections that the server takes: the churn holds some 600 of them, and a crowd meets the cap.
pub const CONNECTIONS: usize = 1000;
/// Sessions that it takes, as above.
pub const SESSIONS: usize = 150;

/// What the server is asked for beyond its defaults.
const SETTINGS: &[(&str, &str)] = &[
    ("http.head_timeout", "'2s'"),
    ("http.body_timeout", "'3s'"),
    ("http.idle_timeout", "'5s'"),
    ("ws.ping_interval", "'2s'"),
    ("ws.pong_timeout", "'6s'"),
    ("ws.write_timeout", "'3s'"),
    ("media.idle_timeout", "'6s'"),
    ("media.publisher_timeout", "'3s'"),
    ("media.device_linger", "'3s'"),
    ("rooms.join_timeout", "'5s'"),
    // Behind a crash rooms wait for their anchors, who are none of the clients, for longer than any run.
    ("rooms.anchor_timeout", "'24h'"),
    ("rooms.retention", "'5s'"),
    // What each room and session is kept for is bounded, so that the baseline is met soon.
    ("rooms.recent", "128"),
    ("limits.rooms", "400"),
    ("limits.devices", "60"),
    ("limits.sessions_per_device", "60"),
    ("http.json_body_bytes", "'64KiB'"),
    ("log.level", "'info'"),
];

/// Settings that this build may not have, see [`Known`].
const SETTINGS_IF_KNOWN: &[(&str, &str)] = &[
    ("limits.session_rate", "40"),
    ("limits.session_burst", "80"),
    ("limits.room_rate", "20"),
    ("limits.room_burst", "40"),
    ("limits.login_rate", "5"),
    ("limits.connections_per_address", "0"),
    ("media.setup_timeout", "'5s'"),
    ("http.body_deadline", "'6s'"),
    ("metrics.leak_interval", "'1s'"),
];

/// A good file that a reload brings: the same, but for limits and timeouts.
const OTHER_SETTINGS: &[(&str, &str)] = &[
    ("http.idle_timeout", "'4s'"),
    ("media.candidates", "40"),
    ("rooms.message_rate", "5000"),
    ("limits.devices", "50"),
];

/// A file that no reload may take.
const BAD_FILES: &[&str] = &[
    "[http]\nhead_timeout = 'soon'\n",
    "[server\nshards = -1\n",
    "[limits]\nsessions = -5\nnonsense = 1\n",
    "",
];

/// After SIGTERM the server has so long to end, as it is configured by default.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// What a server is started with, again and again on the same store.
pub struct Target {
    directory: TempDir,
    server_address: IpAddr,
    shards: usize,
    /// Keys that this build has, by `--print-config`.
    known: String,
}

impl Target {
    pub fn new(arguments: &Arguments, site: &Site) -> Self {
        let (status, known, problem) = run_to_end(&["--print-config"]);
        assert!(status.success(), "--print-config: {problem}");
        let target = Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            server_address: site.server_address(),
            shards: arguments.shards,
            known: keys(&known),
        };
        target.write_config(&[]);
        target
    }

    pub fn start(&self) -> Server {
        let config = self.config().display().to_string();
        let shards = self.shards.to_string();
        let mut line = vec!["--config", &config, "--shards", &shards];
        let address = SocketAddr::new(self.server_address, PORT).to_string();
        let ip = self.server_address.to_string();
        if !self.server_address.is_loopback() {
            line.extend(["--listen", &address, "--insecure"]);
            line.extend(["--media-listen", "127.0.0.1", "--media-listen", &ip]);
        }
        let store = format!(
            "store.path={}",
            self.directory.path().join("rooms.db").display()
        );
        line.extend(["--set", &store]);
        Server::start(&line)
    }

    /// Where the clients behind the link find a server.
    pub fn http(&self, server: &Server) -> SocketAddr {
        match self.server_address.is_loopback() {
            true => server.http(),
            false => SocketAddr::new(self.server_address, PORT),
        }
    }

    /// Where these clients send datagrams to.
    pub fn media(&self, server: &Server) -> Vec<SocketAddr> {
        let of_clients = |address: &&SocketAddr| address.ip() == self.server_address;
        server.media().iter().filter(of_clients).copied().collect()
    }

    /// Whether the server reads its configuration again on SIGHUP; one that does not would end.
    pub fn reloads(&self, server: &Server) -> bool {
        server
            .get("/metrics")
            .text()
            .contains("media_config_reloads_total")
    }

    /// Another good configuration, or the first one again.
    pub fn reload_good(&self, server: &Server, other: bool) {
        self.write_config(if other { OTHER_SETTINGS } else { &[] });
        server.signal(Signal::HUP);
    }

    /// A configuration that must change nothing. The good one follows.
    pub fn reload_bad(&self, server: &Server, number: usize) {
        self.replace(BAD_FILES[number % BAD_FILES.len()]);
        server.signal(Signal::HUP);
    }

    fn write_config(&self, other: &[(&str, &str)]) {
        let connections = CONNECTIONS.to_string();
        let sessions = SESSIONS.to_string();
        let caps = [
            ("limits.connections", connections.as_str()),
            ("limits.sessions", sessions.as_str()),
        ];
        let known = SETTINGS_IF_KNOWN.iter().filter(|(key, _)| self.knows(key));
        let mut tables: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        for (key, value) in SETTINGS.iter().chain(&caps).chain(known).chain(other) {
            let (table, key) = key.split_once('.').expect("a key has a table");
            tables.entry(table).or_default().insert(key, value);
        }
        let mut text = String::new();
        for (table, keys) in tables {
            let _ = writeln!(text, "[{table}]");
            for (key, value) in keys {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        self.replace(&text);
    }

    /// A reader finds the old file or the new one.
    fn replace(&self, text: &str) {
        let next = self.directory.path().join("next.toml");
        fs::write(&next, text).expect("room on the disk");
        fs::rename(&next, self.config()).expect("the same directory");
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("soak.toml")
    }

    fn knows(&self, key: &str) -> bool {
        self.known.lines().any(|line| line == key)
    }
}

/// `table.key`, one a line, of what `--print-config` prints.
fn keys(toml: &str) -> String {
    let mut keys = String::new();
    let mut table = "";
    for line in toml.lines() {
        if let Some(name) = line.strip_prefix('[') {
            table = name.split(']').next().unwrap_or_default();
        } else if let Some((key, _)) = line.split_once(" = ") {
            let _ = writeln!(keys, "{table}.{key}");
        }
    }
    keys
}

/// Lowers a process' limit of descriptors until it is dropped.
pub struct FewDescriptors {
    pid: Pid,
    before: Rlimit,
}

impl FewDescriptors {
    /// So that it can open `more` of them.
    pub fn leave(process: Process, more: u64) -> Self {
        let pid = Pid::from_raw(process.0 as i32).expect("a process' id is not 0");
        let before = getrlimit(Resource::Nofile);
        let low = Rlimit {
            current: Some(process.fds() as u64 + more),
            maximum: before.maximum,
        };
        prlimit(Some(pid), Resource::Nofile, low).expect("our own child");
        Self { pid, before }
    }
}

impl Drop for FewDescriptors {
    fn drop(&mut self) {
        // The server may be gone by now.
        let _ = prlimit(Some(self.pid), Resource::Nofile, self.before);
    }
}
