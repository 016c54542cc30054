//! One member: its connection and what has come over it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SendFlags, SocketFlags, SocketType};

/// Connections that one source address takes: a third of the ephemeral ports that Linux has for each.
const CONNECTIONS_PER_ADDRESS: usize = 10_000;
/// User ids are numbers, which is what the peer wants, and of one length, so that all frames of a room have one.
const FIRST_USER: usize = 100_000;

/// How a member takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Counts what comes.
    Listener,
    /// Its messages' latencies are measured, before anything else is read.
    Probe,
    /// Reads nothing, and is not counted among its room's audience.
    Deaf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Upgrading,
    Open,
    Closed,
}

/// A member's end of its connection.
pub(super) struct Member {
    pub(super) socket: OwnedFd,
    pub(super) room: usize,
    pub(super) part: Part,
    pub(super) state: State,
    /// The beginning of a frame whose end has not come.
    pub(super) partial: Vec<u8>,
    /// What the socket did not take yet.
    pub(super) unsent: Vec<u8>,
    /// Of the last message.
    pub(super) seq: Option<u64>,
    /// Messages since the connection was made.
    pub(super) received: u64,
    pub(super) close_code: Option<u16>,
}

/// How a message follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Next,
    /// So many are missing in between.
    Hole(u64),
    /// It came before, or too late.
    Repeated,
}

impl Member {
    /// Connects the member with this number and asks for the upgrade. `room` is our index of the room.
    ///
    /// # Panics
    /// When the server does not listen, or descriptors are short.
    pub(super) fn connect(
        server: SocketAddrV4,
        number: usize,
        room: usize,
        room_id: u64,
        part: Part,
    ) -> Self {
        let flags = SocketFlags::CLOEXEC;
        let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
            .unwrap_or_else(|error| panic!("{error}: is `ulimit -n` above {number}?"));
        let host = 2 + (number / CONNECTIONS_PER_ADDRESS) as u8;
        let source = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, host), 0);
        // Closed with a reset, it leaves no TIME_WAIT that would keep its port from the next round.
        net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).expect("a socket");
        net::bind(&socket, &source).expect("all of 127/8 is ours");
        net::connect(&socket, &server)
            .unwrap_or_else(|error| panic!("member {number} cannot connect: {error}"));
        net::sockopt::set_tcp_nodelay(&socket, true).expect("a TCP socket");
        rustix::io::ioctl_fionbio(&socket, true).expect("a socket");
        let mut member = Self {
            socket,
            room,
            part,
            state: State::Upgrading,
            partial: Vec::new(),
            unsent: Vec::new(),
            seq: None,
            received: 0,
            close_code: None,
        };
        let request = format!(
            "GET /ws?room_id={room_id}&user_id={} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            FIRST_USER + number
        );
        member.unsent.extend(request.bytes());
        assert!(member.flush(), "a fresh connection takes a request");
        member
    }

    /// Sends what the socket takes. Whether that was all; what is lost with a closed connection counts as sent.
    pub(super) fn flush(&mut self) -> bool {
        match net::send(&self.socket, &self.unsent, SendFlags::NOSIGNAL) {
            Ok(count) => drop(self.unsent.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.unsent.clear(),
        }
        self.unsent.is_empty()
    }

    /// Counts a message with this `seq`; the peer has none.
    pub(super) fn count(&mut self, seq: Option<u64>) -> Order {
        self.received += 1;
        let last = std::mem::replace(&mut self.seq, seq);
        let Some((last, seq)) = last.zip(seq) else {
            return Order::Next;
        };
        match seq.checked_sub(last) {
            Some(1) => Order::Next,
            Some(0) | None => Order::Repeated,
            Some(distance) => Order::Hole(distance - 1),
        }
    }
}
