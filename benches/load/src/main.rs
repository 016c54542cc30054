//! `load SCENARIO …`: see benches/load/README.md.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use load::report::Report;
use load::{Error, feed, requests, rooms, sessions, viewers};

#[derive(Parser)]
#[command(about = "Puts load on a media server and measures what it costs")]
struct CommandLine {
    /// File to append each outcome to, as a line of JSON
    #[arg(long, global = true)]
    out: Option<PathBuf>,
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// HTTP requests, in a closed or an open loop
    Http(requests::Arguments),
    /// Members of live rooms over WebSockets
    Rooms(rooms::Arguments),
    /// WebRTC viewers of one device
    Viewers(viewers::Arguments),
    /// Sessions created, and viewers set up
    Sessions(sessions::Arguments),
    /// The clip as RTP, for a server that takes it so
    Feed(feed::Arguments),
}

fn main() -> ExitCode {
    let CommandLine { out, load } = CommandLine::parse();
    match run(out, &load) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(out: Option<PathBuf>, load: &Load) -> Result<(), Error> {
    let mut report = Report::to(out)?;
    match load {
        Load::Http(arguments) => requests::run(arguments, &mut report),
        Load::Rooms(arguments) => rooms::run(arguments, &mut report),
        Load::Viewers(arguments) => viewers::run(arguments, &mut report),
        Load::Sessions(arguments) => sessions::run(arguments, &mut report),
        Load::Feed(arguments) => feed::run(arguments),
    }
}
