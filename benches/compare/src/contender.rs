//! Who is measured, and how each is started.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use load::process::{available_cpus, pin_to, pin_to_any};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::CompareError;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// This server.
    Server,
    /// This server with one shard, where the other one has two.
    OneShard,
    /// `benches/peers/mediasvc`.
    Go,
    /// `benches/peers/axum`.
    Axum,
    /// `benches/peers/janus`.
    Janus,
    /// `benches/floor`.
    Floor,
}

/// Where Janus' configuration puts its signalling and takes RTP.
const JANUS_HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8088);
const JANUS_RTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5004);
/// The number of the stream there.
pub(crate) const JANUS_MOUNTPOINT: &str = "1";
/// What a server may need until it takes connections.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// And to end, before it is made to.
const END_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// The directory of `load`, `floor` and `media-service`.
    pub(crate) built: PathBuf,
    /// Another build of the server.
    pub(crate) server: Option<PathBuf>,
}

impl Contender {
    /// As the table has it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Server => "this server",
            Self::OneShard => "one shard",
            Self::Go => "Go",
            Self::Axum => "axum",
            Self::Janus => "Janus",
            Self::Floor => "floor",
        }
    }

    /// How its program is got.
    fn how_to_get(self) -> &'static str {
        match self {
            Self::Server | Self::OneShard => "cargo build --release",
            Self::Go => "(cd benches/peers/mediasvc && go build), with Go 1.26",
            Self::Axum => "cargo build --release --manifest-path benches/peers/axum/Cargo.toml",
            Self::Janus => "apt-get install --no-install-recommends janus",
            Self::Floor => "cargo build --release -p floor",
        }
    }

    /// Its program, or the sentence that says what to do.
    pub(crate) fn program(self, programs: &Programs) -> Result<PathBuf, String> {
        let peers = programs.root.join("benches/peers");
        let (program, there) = match self {
            Self::Server | Self::OneShard => {
                let own = || programs.built.join("media-service");
                let program = programs.server.clone().unwrap_or_else(own);
                let there = program.is_file();
                (program, there)
            }
            Self::Go => is_there(peers.join("mediasvc/mediasvc")),
            Self::Axum => is_there(peers.join("axum/target/release/axum-peer")),
            // Its script starts what Debian has installed.
            Self::Janus => (peers.join("janus/start"), in_path("janus")),
            Self::Floor => is_there(programs.built.join("floor")),
        };
        if there {
            return Ok(program);
        }
        Err(format!(
            "{} is missing: {}",
            self.title(),
            self.how_to_get()
        ))
    }

    /// Starts it on that CPU, and waits until it takes connections. Not for this server: `load` starts it itself.
    ///
    /// # Errors
    /// It does not serve.
    pub(crate) fn start(
        self,
        program: &Path,
        arguments: &[String],
        cpu: usize,
    ) -> Result<Running, CompareError> {
        let address = match self {
            Self::Janus => JANUS_HTTP,
            Self::Server | Self::OneShard | Self::Go | Self::Axum | Self::Floor => free_port()?,
        };
        if TcpStream::connect(address).is_ok() {
            return Err(CompareError::Taken { address });
        }
        let mut command = Command::new(program);
        match self {
            Self::Go => {
                let media = free_port()?.to_string();
                command.args(["-addr", &address.to_string(), "-mux", &media]);
                command.env("GOMAXPROCS", "1");
            }
            Self::Axum => {
                command.args(["--listen", &address.to_string()]);
            }
            Self::Floor => {
                let cpu = cpu.to_string();
                command.args([
                    "http",
                    "--listen",
                    &address.to_string(),
                    "--server-cpu",
                    &cpu,
                ]);
            }
            Self::Server | Self::OneShard | Self::Janus => {}
        }
        command.args(arguments);
        let mut running = Running {
            child: spawn_on(&mut command, cpu)?,
            feed: None,
            address,
        };
        running.wait_until_ready(self)?;
        Ok(running)
    }
}

fn is_there(path: PathBuf) -> (PathBuf, bool) {
    let there = path.is_file();
    (path, there)
}

fn in_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// A port that was free a moment ago.
fn free_port() -> Result<SocketAddr, CompareError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map_err(CompareError::machine("a free port"))
}

/// What a pinned thread starts is pinned whole.
fn spawn_on(command: &mut Command, cpu: usize) -> Result<Child, CompareError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let all = available_cpus();
    pin_to(cpu);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    pin_to_any(&all);
    child.map_err(CompareError::machine(program))
}

/// A peer that runs, and ends with this.
pub(crate) struct Running {
    child: Child,
    feed: Option<Child>,
    pub(crate) address: SocketAddr,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it RTP from now on.
    ///
    /// # Errors
    /// The generator cannot be started.
    pub(crate) fn feed(&mut self, load: &Path, fps: &str, cpu: usize) -> Result<(), CompareError> {
        let to = JANUS_RTP.to_string();
        let mut command = Command::new(load);
        command.args(["feed", "--to", &to, "--fps", fps]);
        self.feed = Some(spawn_on(&mut command, cpu)?);
        Ok(())
    }

    fn wait_until_ready(&mut self, who: Contender) -> Result<(), CompareError> {
        let deadline = Instant::now() + READY_LIMIT;
        while TcpStream::connect(self.address).is_err() {
            let ended = self.child.try_wait();
            let ended = ended.map_err(CompareError::machine(who.title()))?;
            if ended.is_some() || Instant::now() > deadline {
                let why =
                    ended.map_or_else(|| format!("after {READY_LIMIT:?}"), |end| end.to_string());
                return Err(CompareError::NotReady {
                    who: who.title(),
                    why,
                });
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in self.feed.iter_mut().chain([&mut self.child]) {
            end(child);
        }
    }
}

/// Asks a process to end, and makes it end.
pub(crate) fn end(child: &mut Child) {
    let deadline = Instant::now() + END_LIMIT;
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_missing_is_named_with_the_way_to_get_it() {
        let empty = tempfile::tempdir().unwrap();
        let programs = Programs {
            root: empty.path().to_owned(),
            built: empty.path().to_owned(),
            server: None,
        };
        let sentence = Contender::Axum.program(&programs).unwrap_err();
        assert!(
            sentence.starts_with("axum is missing: cargo build"),
            "{sentence}"
        );
        let sentence = Contender::Go.program(&programs).unwrap_err();
        assert!(sentence.contains("go build"), "{sentence}");
    }

    #[test]
    fn a_peer_that_ends_at_once_is_no_server() {
        let error = Contender::Axum.start(Path::new("false"), &[], available_cpus()[0]);
        let error = error.err().expect("it does not serve").to_string();
        assert!(
            error.contains("axum") && error.contains("exit status: 1"),
            "{error}"
        );
    }
}
