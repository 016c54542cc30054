//! Sockets that packets are sent to, and the thread that reads them.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use load::Error;
use load::process::pin_to;
use quinn_udp::{RecvMeta, UdpSockRef, UdpSocketState};
use rustix::event::{Timespec, epoll};

use crate::media::Kind;
use crate::meter::{Meter, Used};

/// Room for what one `recv` may bring: a run of datagrams that the kernel kept together.
const MESSAGE_BYTES: usize = 65_536;
/// Sockets reported by one wait.
const EVENTS: usize = 64;
/// How long a reader sleeps without packets before it looks whether it is to end.
const WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};
/// Wanted of a receiver's buffer: a keyframe's run twice, of which the kernel counts twice the bytes.
const RECEIVE_BUFFER_BYTES: usize = 512 << 10;
/// Of a sink's: less than the kernel's least, which it then takes.
const SINK_BUFFER_BYTES: usize = 1;

/// One socket a viewer.
pub(crate) struct Receivers {
    kind: Kind,
    sockets: Vec<(UdpSocket, Option<UdpSocketState>)>,
}

/// What the readers saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    pub(crate) datagrams: u64,
    pub(crate) used: Used,
}

/// Receivers that are being read.
pub(crate) struct Reading {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Result<Received, Error>>,
}

impl Receivers {
    /// Opens them; the addresses are those to send to.
    ///
    /// # Errors
    /// Descriptors or ports are used up.
    pub(crate) fn open(number: usize, kind: Kind) -> Result<(Self, Vec<SocketAddr>), Error> {
        let open = || {
            let sockets: io::Result<Vec<_>> = (0..number).map(|_| open_one(kind)).collect();
            let sockets = sockets?;
            let addresses = sockets.iter().map(|(socket, _)| socket.local_addr());
            let addresses: io::Result<Vec<_>> = addresses.collect();
            Ok((Self { kind, sockets }, addresses?))
        };
        open().map_err(Error::machine::<io::Error>("a receiver's socket"))
    }

    /// Reads them on a thread of that CPU until [`Reading::finish`]; a sink is held open and not read.
    pub(crate) fn read_on(self, cpu: usize) -> Reading {
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let thread = thread::spawn(move || {
            pin_to(cpu);
            self.read(&ended)
        });
        Reading { end, thread }
    }

    fn read(&self, end: &AtomicBool) -> Result<Received, Error> {
        let read = || {
            let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            let watched = if self.kind == Kind::Sink {
                0
            } else {
                self.sockets.len()
            };
            for (n, (socket, _)) in (0..).zip(&self.sockets[..watched]) {
                epoll::add(
                    &poll,
                    socket,
                    epoll::EventData::new_u64(n),
                    epoll::EventFlags::IN,
                )?;
            }
            let mut buffer = vec![0; MESSAGE_BYTES];
            let mut datagrams = 0;
            let mut events = Vec::with_capacity(EVENTS);
            loop {
                epoll::wait(
                    &poll,
                    rustix::buffer::spare_capacity(&mut events),
                    Some(&WAIT),
                )?;
                if events.is_empty() && end.load(Ordering::Relaxed) {
                    return Ok(datagrams);
                }
                for event in events.drain(..) {
                    let (socket, state) = &self.sockets[event.data.u64() as usize];
                    datagrams += drain(socket, state.as_ref(), &mut buffer)?;
                }
            }
        };
        let meter = Meter::begin()?;
        let datagrams = read().map_err(Error::machine::<io::Error>("receiving"))?;
        Ok(Received {
            datagrams,
            used: meter.used()?,
        })
    }
}

impl Reading {
    /// Reads what is still there, and says what came in all.
    ///
    /// # Errors
    /// The first of the readers.
    pub(crate) fn finish(self) -> Result<Received, Error> {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().expect("the reader does not panic")
    }
}

fn open_one(kind: Kind) -> io::Result<(UdpSocket, Option<UdpSocketState>)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    let bytes = match kind {
        Kind::Plain | Kind::Gro => RECEIVE_BUFFER_BYTES,
        Kind::Sink => SINK_BUFFER_BYTES,
    };
    socket2::SockRef::from(&socket).set_recv_buffer_size(bytes)?;
    // The state turns UDP_GRO on.
    let state = (kind == Kind::Gro)
        .then(|| UdpSocketState::new(UdpSockRef::from(&socket)))
        .transpose()?;
    Ok((socket, state))
}

/// Reads a socket until it has no more. How many datagrams that were.
fn drain(socket: &UdpSocket, state: Option<&UdpSocketState>, buffer: &mut [u8]) -> io::Result<u64> {
    let mut datagrams = 0;
    loop {
        let received = match state {
            None => socket.recv(buffer).map(|_| 1),
            Some(state) => {
                let mut meta = [RecvMeta::default()];
                let slices = &mut [IoSliceMut::new(buffer)];
                let messages = state.recv(UdpSockRef::from(socket), slices, &mut meta);
                messages.map(|_| meta[0].len.div_ceil(meta[0].stride.max(1)))
            }
        };
        match received {
            Ok(received) => datagrams += received as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(datagrams),
            Err(error) => return Err(error),
        }
    }
}
