//! The server under load: one that is started for each round, or any that runs already.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::json_lines::JsonLines;
use crate::metrics::Metrics;
use crate::process::{Process, available_cpus, pin_to, pin_to_any, take_all_descriptors};
use crate::report::Meter;
use crate::{Error, SOON, http};

/// Which server, and how long it is measured.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)] // flattened into others of this name
pub struct Arguments {
    /// HTTP address of a server that runs and is pinned already, any that has the same public interface
    #[arg(long, requires = "pid")]
    pub base: Option<SocketAddr>,
    /// That server's process
    #[arg(long, requires = "base")]
    pub pid: Option<u32>,
    /// Program of a media-service to start for each round; the one beside this program by default
    #[arg(long, conflicts_with = "base")]
    pub server: Option<PathBuf>,
    /// A further setting of the server that is started (`key=value`)
    #[arg(long, conflicts_with = "base")]
    pub set: Vec<String>,
    /// Shards of the server that is started
    #[arg(long, default_value_t = 1)]
    pub shards: usize,
    /// CPUs of the server, as `0` or `0,2`
    #[arg(long, default_value = "0", value_delimiter = ',')]
    pub server_cpu: Vec<usize>,
    /// CPU of the load generator
    #[arg(long, default_value_t = 1)]
    pub client_cpu: usize,
    /// Rounds, each with a fresh server; the medians count
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Seconds measured of each load
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Seconds of each load before they are measured
    #[arg(long, default_value_t = 2.0)]
    pub warm_up: f64,
}

impl Arguments {
    /// Checks what is needed before anything is started, takes all descriptors that there are, and pins the calling
    /// thread to the generator's CPU.
    ///
    /// # Errors
    /// A CPU, a program or a duration that there is not.
    pub fn prepare(&self) -> Result<(), Error> {
        let available = available_cpus();
        let own = self.base.is_none();
        let servers = self.server_cpu.iter().filter(|_| own);
        if let Some(&cpu) = servers
            .chain([&self.client_cpu])
            .find(|cpu| !available.contains(cpu))
        {
            return Err(Error::NoSuchCpu { cpu, available });
        }
        if own && !self.program()?.is_file() {
            let program = self.program()?;
            return Err(Error::NoProgram { program });
        }
        for seconds in [self.seconds, self.warm_up] {
            Duration::try_from_secs_f64(seconds)
                .map_err(|error| Error::Arguments(format!("{seconds} s: {error}")))?;
        }
        take_all_descriptors();
        pin_to(self.client_cpu);
        Ok(())
    }

    /// What is measured of each load.
    pub fn span(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// What comes before it.
    pub fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up)
    }

    fn program(&self) -> Result<PathBuf, Error> {
        match &self.server {
            Some(program) => Ok(program.clone()),
            None => {
                let own =
                    std::env::current_exe().map_err(Error::machine("where this program is"))?;
                Ok(own.with_file_name("media-service"))
            }
        }
    }
}

/// Requests are not to be refused for their rate: everybody comes from one address. Rooms in their own terms: no rate of
/// a member or of a room, any number of an anchor's.
const UNLIMITED: [&str; 8] = [
    "limits.session_rate=0",
    "limits.session_rate_total=0",
    "limits.login_rate=0",
    "limits.room_rate=0",
    "limits.connections=19000",
    "limits.rooms_per_anchor=0",
    "rooms.member_rate=0",
    "rooms.message_rate=0",
];

/// A server that runs. One that was started ends when this is dropped.
pub struct Target {
    /// Where it serves.
    pub http: SocketAddr,
    /// Its process.
    pub process: Process,
    softirq: Vec<Process>,
    _own: Option<Own>,
}

impl Target {
    /// Starts what the arguments name, with further settings (`key=value`) if it is a server of ours.
    ///
    /// # Errors
    /// When it does not serve soon.
    pub fn start(arguments: &Arguments, settings: &[&str]) -> Result<Self, Error> {
        let softirq = |cpu| Process::kernel_thread(&format!("ksoftirqd/{cpu}"));
        let softirq = arguments.server_cpu.iter().filter_map(softirq).collect();
        if let (Some(http), Some(pid)) = (arguments.base, arguments.pid) {
            let process = Process(pid);
            return Ok(Self {
                http,
                process,
                softirq,
                _own: None,
            });
        }
        // What a pinned thread starts is pinned whole, the server's side thread and its store included.
        pin_to_any(&arguments.server_cpu);
        let own = Own::start(arguments, settings);
        pin_to(arguments.client_cpu);
        let (own, http) = own?;
        let process = Process(own.child.id());
        Ok(Self {
            http,
            process,
            softirq,
            _own: Some(own),
        })
    }

    /// Begins to measure what it costs.
    pub fn meter(&self) -> Meter {
        Meter::start(self.process, &self.softirq)
    }

    /// A scrape.
    ///
    /// # Panics
    /// When it does not serve one.
    pub fn metrics(&self) -> Metrics {
        let response = http::request(self.http, "GET", "/metrics", &[], b"");
        Metrics::parse(&response.expect(200).text())
    }
}

/// A server that was started. Its store's directory goes after it.
struct Own {
    child: Child,
    _store: TempDir,
}

impl Own {
    fn start(arguments: &Arguments, settings: &[&str]) -> Result<(Self, SocketAddr), Error> {
        let program = arguments.program()?;
        let store = tempfile::tempdir().map_err(Error::machine("a temporary directory"))?;
        let mut command = Command::new(&program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MEDIA_") {
                command.env_remove(name);
            }
        }
        command
            .args(["--listen", "127.0.0.1:0", "--media-port", "0"])
            .args(["--log-format", "json", "--shards"])
            .arg(arguments.shards.to_string())
            .env("MEDIA_STORE_PATH", store.path().join("rooms.db"));
        let given = arguments.set.iter().map(String::as_str);
        for setting in UNLIMITED
            .into_iter()
            .chain(settings.iter().copied())
            .chain(given)
        {
            command.args(["--set", setting]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::machine(program.display().to_string()))?;
        let log = JsonLines::follow(child.stderr.take().expect("piped"));
        let mut own = Self {
            child,
            _store: store,
        };
        let http = own.ready(&log)?;
        Ok((own, http))
    }

    /// Waits until it serves, and gives where.
    fn ready(&mut self, log: &JsonLines) -> Result<SocketAddr, Error> {
        const POLL: Duration = Duration::from_millis(2);
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(ready) = log.with_message("ready").pop() {
                let listed = ready["http"].as_str().unwrap_or_default();
                let first = listed.split_ascii_whitespace().next().map(str::parse);
                return first.and_then(Result::ok).ok_or_else(|| Error::NotReady {
                    why: "its ready line names no HTTP address".to_owned(),
                    log: log.text(),
                });
            }
            let ended = self
                .child
                .try_wait()
                .map_err(Error::machine("the server's end"))?;
            if ended.is_some() || Instant::now() > deadline {
                let why = ended.map_or_else(|| format!("after {SOON:?}"), |end| end.to_string());
                let log = log.text();
                return Err(Error::NotReady { why, log });
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Own {
    /// Asks it to end, and makes it end.
    fn drop(&mut self) {
        const POLL: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + SOON;
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(POLL);
        }
    }
}
