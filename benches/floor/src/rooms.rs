//! `floor rooms`: one send of so many frames to each member's socket, and nothing else of a room.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use load::Error;
use load::report::Unit;
use rustix::event::epoll;
use serde_json::json;

use crate::meter::{Meter, Used};
use crate::rounds::{Measured, Rounds, on_cpu};

/// Connections reported by one wait.
const EVENTS: usize = 256;
/// Read at once: more than a sweep brings to one member.
const READ_BYTES: usize = 64 << 10;
/// A sweep of 1,000 members takes some milliseconds; past this something is wrong.
const SWEEP_LIMIT: Duration = Duration::from_secs(10);

/// Arguments of `floor rooms`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// Members, each with a socket of its own
    #[arg(long, default_value_t = 1_000)]
    members: usize,
    /// Frames of a send: what a sweep finds in the room's log
    #[arg(long, default_value_t = 1)]
    frames: usize,
    /// Bytes of a frame
    #[arg(long, default_value_t = 170)]
    frame_bytes: usize,
    #[command(flatten)]
    rounds: Rounds,
}

/// Runs the rounds.
///
/// # Errors
/// The kernel refuses a socket, or a sweep does not arrive.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    if arguments.frames * arguments.frame_bytes > READ_BYTES {
        return Err(Error::Arguments(format!(
            "a send of {} frames of {} bytes is more than {READ_BYTES} bytes",
            arguments.frames, arguments.frame_bytes
        )));
    }
    arguments.rounds.each("floor rooms", || round(arguments))
}

fn round(arguments: &Arguments) -> Result<Measured, Error> {
    let (ours, theirs) =
        connect(arguments.members).map_err(Error::machine::<io::Error>("members"))?;
    let (arrived, arrivals) = channel();
    let sweep_bytes = arguments.members * arguments.frames * arguments.frame_bytes;
    let rounds = &arguments.rounds;
    let (client_cpu, server_cpu) = (rounds.client_cpu, rounds.server_cpu);
    let reader = thread::spawn(move || on_cpu(client_cpu, || read(&theirs, sweep_bytes, &arrived)));
    let sent = on_cpu(server_cpu, move || send(arguments, ours, &arrivals));
    // A reader that failed explains a sweep that did not arrive.
    let client = reader.join().expect("the reader does not panic")?;
    let (sweeps, used) = sent?;
    Ok(Measured {
        scenario: "floor rooms",
        setting: json!({
            "members": arguments.members, "frames": arguments.frames, "frame_bytes": arguments.frame_bytes,
        }),
        unit: Unit::Delivery,
        units: sweeps * (arguments.members * arguments.frames) as u64,
        used,
        client,
        counts: BTreeMap::from([("sweeps".to_owned(), sweeps)]),
    })
}

/// The server's ends and the members'.
fn connect(members: usize) -> io::Result<(Vec<TcpStream>, Vec<TcpStream>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let mut ends = (Vec::new(), Vec::new());
    for _ in 0..members {
        let theirs = TcpStream::connect(address)?;
        theirs.set_nonblocking(true)?;
        let (ours, _) = listener.accept()?;
        ours.set_nodelay(true)?;
        ends.0.push(ours);
        ends.1.push(theirs);
    }
    Ok(ends)
}

/// Sweeps, each when the one before has arrived everywhere; how many were measured. Closes the sockets at the end.
fn send(
    arguments: &Arguments,
    mut members: Vec<TcpStream>,
    arrivals: &Receiver<()>,
) -> Result<(u64, Used), Error> {
    let frames = vec![b'.'; arguments.frames * arguments.frame_bytes];
    let mut sweep = || {
        for member in &mut members {
            member
                .write_all(&frames)
                .map_err(Error::machine("sending"))?;
        }
        arrivals
            .recv_timeout(SWEEP_LIMIT)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => {
                    Error::machine("waiting for a sweep")(ErrorKind::TimedOut)
                }
                RecvTimeoutError::Disconnected => {
                    Error::machine("waiting for a sweep")(ErrorKind::UnexpectedEof)
                }
            })
    };
    let warm = Instant::now() + arguments.rounds.warm_up();
    while Instant::now() < warm {
        sweep()?;
    }
    let meter = Meter::begin()?;
    let end = Instant::now() + arguments.rounds.span();
    let mut sweeps = 0;
    while Instant::now() < end {
        sweep()?;
        sweeps += 1;
    }
    Ok((sweeps, meter.used()?))
}

/// Reads all members until they are closed, and tells of each whole sweep.
fn read(members: &[TcpStream], sweep_bytes: usize, arrived: &Sender<()>) -> Result<Used, Error> {
    let meter = Meter::begin()?;
    read_all(members, sweep_bytes, arrived).map_err(Error::machine::<io::Error>("receiving"))?;
    meter.used()
}

fn read_all(members: &[TcpStream], sweep_bytes: usize, arrived: &Sender<()>) -> io::Result<()> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (n, member) in (0..).zip(members) {
        epoll::add(
            &poll,
            member,
            epoll::EventData::new_u64(n),
            epoll::EventFlags::IN,
        )?;
    }
    let mut buffer = vec![0; READ_BYTES];
    let mut events = Vec::with_capacity(EVENTS);
    let mut read = 0;
    loop {
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let mut member = &members[event.data.u64() as usize];
            match member.read(&mut buffer) {
                // The sender has ended, and closes all of them.
                Ok(0) => return Ok(()),
                Ok(bytes) => read += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if read >= sweep_bytes {
                read -= sweep_bytes;
                if arrived.send(()).is_err() {
                    return Ok(());
                }
            }
        }
    }
}
