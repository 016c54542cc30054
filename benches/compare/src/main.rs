//! Runs the load generator against this server, its peers and the floor in turn, and writes one table.
//!
//! ```text
//! cargo build --release --workspace && target/release/compare               # everything
//! target/release/compare --quick --only health get-session                  # does it work at all
//! ```
//!
//! In each round every contender of a scenario is measured once, one after the other (A B C A B C), each on a fresh
//! process on the server's CPU. benches/README.md says how to read the figures.

mod contender;
mod figures;
mod machine;
mod runs;
mod scenarios;
mod table;

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use load::process::available_cpus;

use crate::contender::Programs;
use crate::figures::Record;
use crate::machine::{Machine, load_average};
use crate::runs::{Filling, Runner};
use crate::scenarios::{SCENARIOS, Scenario};

#[derive(Parser)]
#[command(about = "Measures this server, its peers and the floor in turn")]
struct Arguments {
    /// Scenarios to run; all by default
    #[arg(long, num_args = 1.., value_parser = scenario)]
    only: Vec<&'static Scenario>,
    /// Rounds; in each every contender is measured once
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds measured of each load
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds of each load before they are measured
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Few viewers, one round of a second: shows that everything runs, and measures nothing
    #[arg(long)]
    quick: bool,
    /// Directory of the results; by default one of benches/runs that is named after this day and machine, and
    /// target/compare with --only or --quick
    #[arg(long)]
    out: Option<PathBuf>,
    /// Another build of the server than the one beside this program
    #[arg(long)]
    server: Option<PathBuf>,
    /// CPU of whoever serves
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// CPU of the clients
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
    /// Prints the page again from the lines that are there, without measuring
    #[arg(long)]
    table: bool,
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    /// Of the generator's library.
    #[error(transparent)]
    Load(#[from] load::Error),
    /// Something else has a peer's port.
    #[error("{address} is taken: end what listens there")]
    Taken {
        /// Which.
        address: SocketAddr,
    },
    /// A peer that was started does not serve.
    #[error("{who} takes no connections ({why})")]
    NotReady {
        /// Its name.
        who: &'static str,
        /// Its end, or the time that has passed.
        why: String,
    },
    /// A load ended without figures.
    #[error("`{command}` failed: {why}")]
    Failed {
        /// As it was called.
        command: String,
        /// The last that it wrote.
        why: String,
    },
    /// Recorded lines that are none.
    #[error("{}, line {line}: {source}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Something of this machine.
    #[error("{what}: {source}")]
    Machine {
        /// What was tried.
        what: String,
        /// Of the kernel.
        source: io::Error,
    },
}

impl CompareError {
    /// Names what was tried; for `map_err`.
    fn machine(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Machine { what, source }
    }
}

fn scenario(name: &str) -> Result<&'static Scenario, String> {
    SCENARIOS.iter().find(|it| it.name == name).ok_or_else(|| {
        let names: Vec<_> = SCENARIOS.iter().map(|it| it.name).collect();
        format!("no scenario of this name; there are {}", names.join(", "))
    })
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all that could be measured was.
fn run(arguments: &Arguments) -> Result<bool, CompareError> {
    let own = std::env::current_exe().map_err(CompareError::machine("where this program is"))?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root
        .canonicalize()
        .map_err(CompareError::machine("the workspace"))?;
    let machine = Machine::read(&root);
    let today = jiff::Zoned::now().date();
    // Only what was measured whole is a result to be kept.
    let part = arguments.quick || !arguments.only.is_empty();
    let out = arguments.out.clone().unwrap_or_else(|| match part {
        true => root.join("target/compare"),
        false => {
            let name = format!("{today}-{}", machine.slug);
            root.join("benches/runs").join(name)
        }
    });
    fs::create_dir_all(&out).map_err(CompareError::machine(out.display().to_string()))?;
    let lines = out.join("compare.jsonl");
    let chosen: Vec<&Scenario> = match arguments.only.as_slice() {
        [] => SCENARIOS.iter().collect(),
        only => only.to_vec(),
    };

    let mut notes = Vec::new();
    let mut whole = true;
    let filling = Filling::new(arguments.quick)?;
    if !arguments.table {
        check_cpus(arguments)?;
        let before = load_average();
        let programs = Programs {
            root: root.clone(),
            built: own.with_file_name(""),
            server: arguments.server.clone(),
        };
        let mut runner = Runner::new(
            arguments,
            programs,
            &filling,
            File::create(&lines).map_err(CompareError::machine(lines.display().to_string()))?,
        );
        for scenario in &chosen {
            runner.measure(scenario)?;
        }
        whole = runner.whole();
        notes = runner.into_notes();
        notes.push(format!(
            "load average before {before}, after {}",
            load_average()
        ));
    }
    let records = read(&lines)?;
    let fill = |text: &str| filling.fill(text);
    let page = page(
        arguments,
        &machine,
        &today.to_string(),
        &chosen,
        &records,
        &notes,
        &fill,
    );
    let path = out.join("compare.md");
    fs::write(&path, &page).map_err(CompareError::machine(path.display().to_string()))?;
    print!("{}", table::summary(&chosen, &records, &fill));
    for note in &notes {
        println!("* {note}");
    }
    Ok(whole)
}

fn check_cpus(arguments: &Arguments) -> Result<(), CompareError> {
    let available = available_cpus();
    for cpu in [arguments.server_cpu, arguments.client_cpu] {
        if !available.contains(&cpu) {
            return Err(load::Error::NoSuchCpu { cpu, available }.into());
        }
    }
    Ok(())
}

/// What `compare.jsonl` holds.
fn read(path: &Path) -> Result<Vec<Record>, CompareError> {
    let text =
        fs::read_to_string(path).map_err(CompareError::machine(path.display().to_string()))?;
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|source| CompareError::Line {
            path: path.to_owned(),
            line: number + 1,
            source,
        })
    };
    text.lines().enumerate().map(parse).collect()
}

fn page(
    arguments: &Arguments,
    machine: &Machine,
    date: &str,
    scenarios: &[&Scenario],
    records: &[Record],
    notes: &[String],
    fill: &dyn Fn(&str) -> String,
) -> String {
    let mut page = format!(
        "# Compared, {date}, {}\n\n`compare --rounds {} --seconds {}`: medians of the rounds; in brackets how many times \
         a peer's figure this server's is, as the median over the rounds. CPU is user and system time of the server's \
         process for a unit of work, over loopback with the receiver's part of the kernel's work. Server on CPU {}, \
         clients on CPU {}.\n\n",
        machine.slug,
        arguments.rounds,
        arguments.seconds,
        arguments.server_cpu,
        arguments.client_cpu
    );
    if arguments.quick {
        page += "**Quick: this shows that everything runs. Its figures mean nothing.**\n\n";
    }
    page += &table::summary(scenarios, records, fill);
    page += "\n## Not measured, and what else to know\n\n";
    for (name, who, why) in scenarios
        .iter()
        .flat_map(|it| it.cannot.iter().map(|(who, why)| (it.name, who, why)))
    {
        page += &format!("* {name}, {}: {why}\n", who.title());
    }
    for note in notes {
        page += &format!("* {note}\n");
    }
    page += "\n## All figures\n\n";
    page += &table::details(scenarios, records);
    page += "\n## Machine\n\n| | |\n|---|---|\n";
    for (name, value) in &machine.facts {
        page += &format!("| {name} | {value} |\n");
    }
    page
}
