//! `floor http`: accept, read, write of a fixed answer. A server of nothing else, for `load http` to drive.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use clap::Args;
use load::Error;
use load::process::pin_to;
use rustix::event::epoll;

/// Connections reported by one wait.
const EVENTS: usize = 64;
/// Read at once; a request of the generator has about 100 bytes.
const READ_BYTES: usize = 4_096;
/// What ends a request without a body (RFC 9112 §2.1).
const HEAD_END: &[u8] = b"\r\n\r\n";
/// Stands for the listener among the connections' descriptors.
const LISTENER: u64 = u64::MAX;

/// Arguments of `floor http`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// CPU of the server
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// Bytes of the answer's body: 217 are those of a session, 41 those of /health
    #[arg(long, default_value_t = 217)]
    body: usize,
}

/// Serves until the process is ended.
///
/// # Errors
/// The address is taken, or the CPU is not there.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    pin_to(arguments.server_cpu);
    let listener = TcpListener::bind(arguments.listen);
    let listener = listener.map_err(Error::machine(arguments.listen.to_string()))?;
    let address = listener
        .local_addr()
        .map_err(Error::machine("the listener"))?;
    println!("listening on {address}");
    serve(&listener, &answer(arguments.body)).map_err(Error::machine::<io::Error>("serving"))
}

/// The same answer to whatever is asked.
fn answer(body: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {body}\r\n\r\n"
    );
    // A JSON string, for clients that look.
    let filling = "x".repeat(body.saturating_sub(2));
    format!("{head}\"{filling}\"").into_bytes()
}

fn serve(listener: &TcpListener, answer: &[u8]) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let listening = epoll::EventData::new_u64(LISTENER);
    epoll::add(&poll, listener, listening, epoll::EventFlags::IN)?;
    let mut connections: HashMap<u64, TcpStream> = HashMap::new();
    let mut buffer = [0; READ_BYTES];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let key = event.data.u64();
            if key == LISTENER {
                for connection in accept_all(listener)? {
                    let key = connection.as_raw_fd() as u64;
                    let data = epoll::EventData::new_u64(key);
                    epoll::add(&poll, &connection, data, epoll::EventFlags::IN)?;
                    connections.insert(key, connection);
                }
            } else if let Some(connection) = connections.get_mut(&key)
                && !serve_one(connection, answer, &mut buffer)
            {
                connections.remove(&key);
            }
        }
    }
}

fn accept_all(listener: &TcpListener) -> io::Result<Vec<TcpStream>> {
    let mut accepted = Vec::new();
    loop {
        match listener.accept() {
            Ok((connection, _)) => {
                connection.set_nonblocking(true)?;
                connection.set_nodelay(true)?;
                accepted.push(connection);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(accepted),
            Err(error) => return Err(error),
        }
    }
}

/// Answers each request that one read brings. Whether the connection goes on.
fn serve_one(connection: &mut TcpStream, answer: &[u8], buffer: &mut [u8]) -> bool {
    let length = match connection.read(buffer) {
        Ok(0) => return false,
        Ok(length) => length,
        Err(error) => return error.kind() == ErrorKind::WouldBlock,
    };
    // The generator has one request at a time on a connection, and writes it at once.
    let whole = buffer[..length].ends_with(HEAD_END);
    whole && connection.write_all(answer).is_ok()
}
