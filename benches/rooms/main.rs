//! Live rooms under load, over loopback and through the public interface alone: CPU of the server per delivery, latency
//! from publish to receive, memory of a member. The server is pinned to one CPU, everything else to another.
//!
//! ```text
//! cargo bench --bench rooms -- one-room --seconds 10 --rounds 3
//! cargo bench --bench rooms -- all --out target/rooms
//! cargo bench --bench rooms -- many-rooms --peer benches/peers/mediasvc/mediasvc
//! ```
//!
//! Deliveries are messages that members received. CPU is user and system time of the server's whole process, as the
//! kernel counts it; over loopback that includes the receiving sockets' softirq work. In an open loop a latency counts
//! from when the message should have been sent, so neither a late server nor a late generator hides it.

#![allow(unreachable_pub)] // nothing is outside of a program
#![allow(unsafe_code, reason = "a variable is set before there are threads")]

#[path = "../../tests/support/mod.rs"]
mod support;

mod cost;
mod crowd;
mod figures;
mod frames;
mod load;
mod member;
mod room;
mod scenarios;
mod target;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use rustix::process::{Resource, Rlimit};

use figures::Rows;
use load::Plan;
use support::process::{available_cpus, pin_to};

/// A scenario, see benches/README.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    OneRoom,
    Paced,
    ManyRooms,
    Neighbours,
    Idle,
    Stalled,
    Store,
    All,
}

const EVERY_SCENARIO: [Scenario; 7] = [
    Scenario::OneRoom,
    Scenario::Paced,
    Scenario::ManyRooms,
    Scenario::Neighbours,
    Scenario::Stalled,
    Scenario::Store,
    Scenario::Idle,
];

#[derive(Parser)]
#[command(about = "Measures live rooms under load")]
struct Arguments {
    /// What to measure
    #[arg(value_enum, default_values_t = [Scenario::All])]
    scenarios: Vec<Scenario>,
    /// Seconds measured of each load
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Seconds of each load before they are measured
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
    /// Rounds, each with a fresh server; the medians count
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that idle members are watched; two ping intervals by default
    #[arg(long)]
    idle_span: Option<u64>,
    /// Bytes of a message's frame from the server; more where its own fields take more
    #[arg(long, default_value_t = 170)]
    frame_bytes: usize,
    /// Another build of this server
    #[arg(long, conflicts_with_all = ["peer", "base"])]
    server: Option<PathBuf>,
    /// A further setting of this server (`key=value`)
    #[arg(long)]
    set: Vec<String>,
    /// The peer in the place of this server: its program, see benches/peers
    #[arg(long, conflicts_with = "base")]
    peer: Option<PathBuf>,
    /// A server's HTTP address, running and pinned already (with --pid)
    #[arg(long, requires = "pid")]
    base: Option<SocketAddr>,
    /// That server's process
    #[arg(long, requires = "base")]
    pid: Option<u32>,
    /// Members look for arrivals each so many µs and are not woken by them, as behind a network card that moderates
    /// its interrupts; 0: every arrival wakes them, which over loopback is charged to the server
    #[arg(long, default_value_t = 0)]
    moderation: u64,
    /// CPU of the server
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// CPU of everything else
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
    /// Directory to append every round to, as JSON lines
    #[arg(long)]
    out: Option<PathBuf>,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn plan(&self) -> Plan {
        Plan {
            warm_up: Duration::from_secs(self.warm_up),
            span: Duration::from_secs(self.seconds),
            moderation: Duration::from_micros(self.moderation),
        }
    }

    fn scenarios(&self) -> &[Scenario] {
        if self.scenarios.contains(&Scenario::All) {
            &EVERY_SCENARIO
        } else {
            &self.scenarios
        }
    }

    /// What is under load, for the results.
    fn server_name(&self) -> &'static str {
        match (&self.peer, &self.base) {
            (Some(_), _) => "peer",
            (_, Some(_)) => "elsewhere",
            _ => "media-service",
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(server) = &arguments.server {
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var("MEDIA_SERVICE_BIN", server) };
    }
    if let Err(problem) = prepare(&arguments) {
        eprintln!("{problem}");
        return ExitCode::FAILURE;
    }
    println!("{} on {}", arguments.server_name(), figures::host());
    for &scenario in arguments.scenarios() {
        let rows = match scenario {
            Scenario::Store if arguments.peer.is_some() => {
                println!("\nstore: the peer acknowledges nothing");
                continue;
            }
            scenario => run(scenario, &arguments),
        };
        rows.print();
        if let Some(directory) = &arguments.out {
            rows.write(directory, arguments.server_name());
        }
    }
    ExitCode::SUCCESS
}

fn run(scenario: Scenario, arguments: &Arguments) -> Rows {
    match scenario {
        Scenario::OneRoom => scenarios::one_room(arguments),
        Scenario::Paced => scenarios::paced(arguments),
        Scenario::ManyRooms => scenarios::many_rooms(arguments),
        Scenario::Neighbours => scenarios::neighbours(arguments),
        Scenario::Idle => scenarios::idle(arguments),
        Scenario::Stalled => scenarios::stalled(arguments),
        Scenario::Store => scenarios::store(arguments),
        Scenario::All => unreachable!("replaced by every scenario"),
    }
}

/// Checks what is needed before anything is started, and takes all descriptors that we may have.
fn prepare(arguments: &Arguments) -> Result<(), String> {
    for cpu in [arguments.server_cpu, arguments.client_cpu] {
        if !available_cpus().contains(&cpu) {
            return Err(format!("CPU {cpu} is not one of {:?}", available_cpus()));
        }
    }
    for program in arguments.peer.iter().chain(&arguments.server) {
        if !program.is_file() {
            return Err(format!(
                "{} is missing; see benches/README.md for how it is built",
                program.display()
            ));
        }
    }
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, all).map_err(|error| error.to_string())?;
    pin_to(arguments.client_cpu);
    Ok(())
}
