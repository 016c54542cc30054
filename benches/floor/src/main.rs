//! The floor: what a packet, a request and a delivery cost when nothing is done that could be left out.
//!
//! ```text
//! floor media --receivers plain|gro|sink     header, seal and a share of one UDP_SEGMENT send, per packet
//! floor http                                 accept, read, write of a fixed answer: a server for `load http`
//! floor rooms --frames 4                     one send of so many frames to each of 1,000 sockets
//! ```
//!
//! What stands for the server is one thread on one CPU, its clients are another thread on another CPU. benches/README.md
//! says what the figures are good for.

mod http;
mod media;
mod meter;
mod receivers;
mod rooms;
mod rounds;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(about = "What cannot be avoided, for a packet, a request and a delivery")]
enum Floor {
    /// Sealed packets over UDP_SEGMENT
    Media(media::Arguments),
    /// A server that reads and writes a fixed answer
    Http(http::Arguments),
    /// One send to each socket of a room
    Rooms(rooms::Arguments),
}

fn main() -> ExitCode {
    let result = match Floor::parse() {
        Floor::Media(arguments) => media::run(&arguments),
        Floor::Http(arguments) => http::run(&arguments),
        Floor::Rooms(arguments) => rooms::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}
