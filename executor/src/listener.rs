//! The shards' TCP listeners: one port, one `SO_REUSEPORT` socket per shard.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::bind::BindError;

/// Connections that the kernel holds for a shard that has not accepted them yet; what is more is
/// refused. The kernel lowers it to net.core.somaxconn.
pub const BACKLOG: i32 = 4096;

/// Bytes that a connection's socket takes beyond what is on the wire (TCP_NOTSENT_LOWAT). Without it
/// a peer that reads nothing makes the kernel take 826 kB for it before the socket blocks, with it
/// 20 kB; and what waits here can still be merged, or dropped.
const NOT_SENT_BYTES: u32 = 16 << 10;

/// Pause after the process has run out of descriptors: accepting again at once fails again, and did
/// so 238,000 times in half a second.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Connections that were broken before they could be accepted are skipped; after this many in a row
/// the shard does something else first.
const BROKEN_IN_A_ROW: usize = 16;

/// One shard's share of the listening port. Register it [`Level`](crate::Trigger::Level).
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    local_addr: SocketAddr,
    /// Given up to accept a connection when there is no other descriptor, so that its peer learns
    /// of it instead of waiting in the backlog.
    reserve: Option<File>,
    retry_at: Option<Instant>,
}

/// The result of [`Listener::accept`].
#[derive(Debug)]
pub enum Accepted {
    /// A connection: non-blocking, closed on exec, without Nagle's delay.
    Connection {
        /// The connection.
        socket: TcpStream,
        /// Its other end.
        peer: SocketAddr,
    },
    /// Nobody is waiting.
    Empty,
    /// Descriptors or memory have run out. Nothing is accepted before `retry_at`; as the listener
    /// stays readable, its owner deregisters it until then.
    Exhausted {
        /// When to try again.
        retry_at: Instant,
    },
}

/// Makes one listener per shard on `addr`, among which the kernel spreads the connections. With
/// port 0 it chooses one port for all.
///
/// `SO_REUSEPORT` would let a second server of the same user share the port unnoticed, so a given
/// port is bound exclusively first.
///
/// # Errors
/// See [`BindError`].
pub fn bind_all(addr: SocketAddr, shards: usize) -> Result<Vec<Listener>, BindError> {
    if addr.port() != 0 {
        // SO_REUSEADDR: the remains of an earlier server's connections do not count, listeners do.
        bound_socket(addr, false).map_err(|source| BindError::new(addr, source))?;
    }
    let mut listeners = Vec::with_capacity(shards);
    let mut shared = addr;
    for _ in 0..shards {
        let listener = Listener::bind(shared).map_err(|source| BindError::new(shared, source))?;
        shared = listener.local_addr;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn bound_socket(addr: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(addr),
        Type::STREAM.cloexec().nonblocking(),
        Some(Protocol::TCP),
    )?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

impl Listener {
    fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = bound_socket(addr, true)?;
        // Inherited by what is accepted.
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_notsent_lowat(NOT_SENT_BYTES)?;
        socket.listen(BACKLOG)?;
        let local_addr = internet_address(&socket.local_addr()?)?;
        Ok(Self {
            socket,
            local_addr,
            reserve: Some(reserve()?),
            retry_at: None,
        })
    }

    /// The address that connections are made to, with the port that the kernel chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Accepts one connection. Never waits.
    pub fn accept(&mut self, now: Instant) -> Accepted {
        match self.retry_at {
            Some(retry_at) if now < retry_at => return Accepted::Exhausted { retry_at },
            _ => self.retry_at = None,
        }
        for _ in 0..BROKEN_IN_A_ROW {
            let error = match self.accept_one() {
                Ok((socket, peer)) => return Accepted::Connection { socket, peer },
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::EAGAIN) => return Accepted::Empty,
                Some(libc::EMFILE | libc::ENFILE) => {
                    self.turn_one_away();
                    return self.back_off(now);
                }
                Some(libc::ENOBUFS | libc::ENOMEM) => return self.back_off(now),
                // What Linux reports of a connection that broke while it waited: accept(2), "Error
                // handling".
                _ => {}
            }
        }
        Accepted::Empty
    }

    fn accept_one(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = self
            .socket
            .accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)?;
        Ok((socket.into(), internet_address(&peer)?))
    }

    fn turn_one_away(&mut self) {
        if self.reserve.take().is_some() {
            drop(self.accept_one());
        }
        // May fail if another shard was quicker; then this one has no reserve until it succeeds.
        self.reserve = reserve().ok();
    }

    fn back_off(&mut self, now: Instant) -> Accepted {
        let retry_at = now + ACCEPT_BACKOFF;
        self.retry_at = Some(retry_at);
        Accepted::Exhausted { retry_at }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn reserve() -> io::Result<File> {
    File::open("/dev/null")
}

fn internet_address(addr: &socket2::SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket()
        .ok_or_else(|| io::Error::other("not an internet address"))
}
