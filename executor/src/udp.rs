//! A shard's UDP socket: runs of datagrams with one system call in both directions.
//!
//! glommio's UDP socket is not used: after `EAGAIN` it sends one byte of the datagram.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use crate::bind::BindError;

/// Most segments of one send: `UDP_MAX_SEGMENTS` of linux/udp.h as it was introduced.
pub const MAX_RUN_SEGMENTS: usize = 64;
/// Most bytes of one send: a run is built as one UDP datagram, whose IPv4 payload is at most 65,507
/// bytes; a little less leaves room for IP options.
pub const MAX_RUN_BYTES: usize = 65_000;

/// Messages taken from the kernel per system call. Each is a datagram, or a run of them that the
/// kernel has put together (GRO).
const RECV_BATCH_MESSAGES: usize = 16;
/// Most datagrams that the kernel puts into one message: `UDP_GRO_CNT_MAX` of net/ipv4.
const MAX_GRO_SEGMENTS: usize = 64;
/// Most datagrams that one [`UdpPort::recv`] hands out. At 1 µs each this is the longest that UDP
/// keeps TCP on the same shard waiting; ordinary clients, whose datagrams the kernel cannot put
/// together, never fill more than a sixty-fourth of it.
pub const RECV_BATCH_DATAGRAMS: usize = RECV_BATCH_MESSAGES * MAX_GRO_SEGMENTS;
/// Room for one message. Larger ones do not exist: UDP's length field has 16 bits.
const MESSAGE_BYTES: usize = 65_536;
const _: () = assert!(RECV_BATCH_MESSAGES <= quinn_udp::BATCH_SIZE);
const _: () = assert!(MAX_RUN_BYTES <= MESSAGE_BYTES);

/// Wanted of the kernel for datagrams that wait to be sent: a keyframe of 100 kB to 64 viewers, of
/// which the kernel counts twice the bytes. It grants at most net.core.wmem_max unless the process
/// has CAP_NET_ADMIN.
pub(crate) const SEND_BUFFER_BYTES: usize = 8 << 20;
/// Wanted of the kernel for datagrams that wait to be received: what 1,000 viewers send (STUN,
/// RTCP, about 1 kB charged each) while a shard is busy with one long turn.
pub(crate) const RECV_BUFFER_BYTES: usize = 4 << 20;

/// A UDP socket bound to one address of this machine. Register it
/// [`Edge`](crate::Trigger::Edge).
#[derive(Debug)]
pub struct UdpPort {
    socket: Socket,
    state: UdpSocketState,
    local_addr: SocketAddr,
    /// [`RECV_BATCH_MESSAGES`] × [`MESSAGE_BYTES`]; the kernel touches only the pages it fills.
    buffer: Box<[u8]>,
}

/// The result of [`UdpPort::send`].
#[derive(Debug)]
pub enum SendOutcome {
    /// The kernel has taken every datagram.
    Sent,
    /// The kernel's buffer is full; at least one datagram was not taken. The port is reported
    /// writable when there is room.
    WouldBlock,
    /// The kernel refuses these datagrams or this destination; others may well go through.
    Failed(io::Error),
}

/// The result of [`UdpPort::recv`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The batch was full: there may be more, and the port is not reported again for it.
    More,
    /// The kernel had no more.
    Drained,
}

impl UdpPort {
    /// Takes `addr` for this socket alone, with enlarged buffers and GRO. Port 0 lets the kernel
    /// choose.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(addr: SocketAddr) -> Result<Self, BindError> {
        Self::try_bind(addr).map_err(|source| BindError::new(addr, source))
    }

    fn try_bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(addr),
            Type::DGRAM.cloexec().nonblocking(),
            Some(Protocol::UDP),
        )?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        enlarge(
            &socket,
            libc::SO_SNDBUFFORCE,
            libc::SO_SNDBUF,
            SEND_BUFFER_BYTES,
        );
        enlarge(
            &socket,
            libc::SO_RCVBUFFORCE,
            libc::SO_RCVBUF,
            RECV_BUFFER_BYTES,
        );
        socket.bind(&addr.into())?;
        let local_addr = socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("not an internet address"))?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let buffer = vec![0; RECV_BATCH_MESSAGES * MESSAGE_BYTES].into_boxed_slice();
        Ok(Self {
            socket,
            state,
            local_addr,
            buffer,
        })
    }

    /// The address that peers send to, with the port that the kernel chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Datagrams that the kernel takes in one send; 1 if this machine's kernel or network card
    /// cannot segment. [`UdpPort::send`] takes [`MAX_RUN_SEGMENTS`] in any case.
    pub fn max_segments(&self) -> usize {
        self.state.max_gso_segments().min(MAX_RUN_SEGMENTS)
    }

    /// Receives one batch, at most [`RECV_BATCH_DATAGRAMS`], and passes each datagram and the
    /// address that it came from to `each`, in the order of arrival. Never waits.
    ///
    /// # Errors
    /// What the kernel reports of the socket; the port stays usable.
    pub fn recv(&mut self, each: &mut dyn FnMut(SocketAddr, &mut [u8])) -> io::Result<Received> {
        let mut metas = [RecvMeta::default(); RECV_BATCH_MESSAGES];
        let mut chunks = self.buffer.chunks_exact_mut(MESSAGE_BYTES);
        let mut slices: [IoSliceMut<'_>; RECV_BATCH_MESSAGES] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let messages =
            match self
                .state
                .recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)
            {
                Ok(messages) => messages,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Received::Drained);
                }
                Err(error) => return Err(error),
            };
        for (meta, message) in metas.iter().zip(&mut slices).take(messages) {
            // An empty datagram has a stride of 0; it says nothing to anybody.
            for datagram in message[..meta.len].chunks_mut(meta.stride.max(1)) {
                each(meta.addr, datagram);
            }
        }
        Ok(if messages == RECV_BATCH_MESSAGES {
            Received::More
        } else {
            Received::Drained
        })
    }

    /// Sends `contents` to `to` as datagrams of `segment` bytes, the last of which may be shorter:
    /// one system call where the kernel can segment, one per datagram elsewhere. At most
    /// [`MAX_RUN_SEGMENTS`] datagrams and [`MAX_RUN_BYTES`]. Never waits.
    pub fn send(&self, to: SocketAddr, contents: &[u8], segment: usize) -> SendOutcome {
        if let Err(refusal) = check_run(to, contents, segment) {
            return SendOutcome::Failed(io::Error::new(io::ErrorKind::InvalidInput, refusal));
        }
        if self.state.max_gso_segments() > 1 || contents.len() <= segment {
            match self.send_run(to, contents, segment) {
                // The kernel has refused to segment, which `state` remembers: one by one, then.
                SendOutcome::Failed(_)
                    if self.state.max_gso_segments() == 1 && contents.len() > segment => {}
                outcome => return outcome,
            }
        }
        for datagram in contents.chunks(segment) {
            match self.send_run(to, datagram, segment) {
                SendOutcome::Sent => {}
                outcome => return outcome,
            }
        }
        SendOutcome::Sent
    }

    fn send_run(&self, to: SocketAddr, contents: &[u8], segment: usize) -> SendOutcome {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: Some(segment),
            src_ip: None,
        };
        match self
            .state
            .try_send(UdpSockRef::from(&self.socket), &transmit)
        {
            Ok(()) => SendOutcome::Sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => SendOutcome::WouldBlock,
            Err(error) => SendOutcome::Failed(error),
        }
    }
}

impl AsFd for UdpPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Refuses what the kernel would answer with EINVAL: it answers so for a card that cannot segment,
/// too, and nobody outside may switch segmentation off for everyone by an address with port 0.
fn check_run(to: SocketAddr, contents: &[u8], segment: usize) -> Result<(), &'static str> {
    if to.port() == 0 || to.ip().is_unspecified() {
        return Err("the destination has no port or no address");
    }
    if contents.is_empty() || segment == 0 {
        return Err("there is nothing to send");
    }
    if contents.len() > MAX_RUN_BYTES || contents.len().div_ceil(segment) > MAX_RUN_SEGMENTS {
        return Err("the run is longer than one send can be");
    }
    Ok(())
}

/// Asks for `bytes` of buffer beyond the system's maximum, and if that is not allowed, for as much
/// as is. [`crate::Preflight`] says so to the user when it is too little.
fn enlarge(socket: &Socket, force: i32, ordinary: i32, bytes: usize) {
    let value = i32::try_from(bytes).unwrap_or(i32::MAX);
    for option in [force, ordinary] {
        // SAFETY: the pointer is to a readable integer of the length given.
        let rc = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const value).cast(),
                size_of::<i32>() as libc::socklen_t,
            )
        };
        if rc == 0 {
            return;
        }
    }
}
