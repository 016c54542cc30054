//! A UDP relay between a browser and the server, which loses packets and moves like a NAT.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The longest that a datagram of UDP can be.
const DATAGRAM_BYTES: usize = 64 << 10;
/// How often the threads look for what they are told, when nothing comes.
const LOOK: Duration = Duration::from_millis(50);

/// What is told to the relay's threads, and what they tell.
#[derive(Default)]
struct State {
    /// Datagrams of a million that are lost, in each direction.
    loss: AtomicU32,
    lost: AtomicU64,
    forwarded: AtomicU64,
    /// How often its port towards the server has changed.
    moves: AtomicU32,
    ended: AtomicBool,
}

/// A running relay.
pub struct Relay {
    address: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

/// A client's way to the server.
struct Way {
    upstream: Arc<UdpSocket>,
    moves: u32,
}

impl Relay {
    /// Forwards between whoever sends to [`Self::address`] and the server. Loses nothing at first.
    pub fn start(server: SocketAddr, seed: u64) -> Self {
        println!("relay seed: {seed}");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port of the kernel's choice");
        socket.set_read_timeout(Some(LOOK)).expect("an option");
        let address = socket.local_addr().expect("bound");
        let state = Arc::new(State::default());
        let own = Arc::clone(&state);
        let thread = thread::spawn(move || outward(&Arc::new(socket), server, seed, &own));
        Self {
            address,
            state,
            thread: Some(thread),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loses this share of the datagrams from now on, 0 to 1, in each direction.
    pub fn lose(&self, share: f64) {
        self.state
            .loss
            .store((share * 1e6) as u32, Ordering::Relaxed);
    }

    /// Takes another port towards the server; what comes to the old one is lost.
    pub fn change_port(&self) {
        self.state.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// Datagrams lost and forwarded so far.
    pub fn counts(&self) -> (u64, u64) {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        (count(&self.state.lost), count(&self.state.forwarded))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// From clients to the server, until the relay ends.
fn outward(socket: &Arc<UdpSocket>, server: SocketAddr, seed: u64, state: &Arc<State>) {
    let mut random = Random::new(seed);
    let mut ways: HashMap<SocketAddr, Way> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    while !state.ended.load(Ordering::Relaxed) {
        let Some((len, client)) = heard(socket.recv_from(&mut buffer)) else {
            continue;
        };
        let moves = state.moves.load(Ordering::Relaxed);
        if ways.get(&client).is_none_or(|way| way.moves != moves) {
            let upstream = UdpSocket::bind("127.0.0.1:0").expect("a port of the kernel's choice");
            upstream.connect(server).expect("an address of this host");
            upstream.set_read_timeout(Some(LOOK)).expect("an option");
            let upstream = Arc::new(upstream);
            let way = Way {
                upstream: Arc::clone(&upstream),
                moves,
            };
            let (socket, state) = (Arc::clone(socket), Arc::clone(state));
            let random = Random::new(seed ^ u64::from(client.port()) << 16 ^ u64::from(moves));
            thread::spawn(move || inward(&socket, &upstream, client, moves, random, &state));
            ways.insert(client, way);
        }
        if !random.loses(state) {
            let _ = ways[&client].upstream.send(&buffer[..len]);
        }
    }
}

/// From the server to a client, until the relay ends or has moved.
fn inward(
    socket: &UdpSocket,
    upstream: &UdpSocket,
    client: SocketAddr,
    moves: u32,
    mut random: Random,
    state: &State,
) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    let goes_on =
        || !state.ended.load(Ordering::Relaxed) && state.moves.load(Ordering::Relaxed) == moves;
    while goes_on() {
        let Some((len, _)) = heard(upstream.recv_from(&mut buffer)) else {
            continue;
        };
        if goes_on() && !random.loses(state) {
            let _ = socket.send_to(&buffer[..len], client);
        }
    }
}

/// A datagram, or nothing within [`LOOK`]. A port that is closed at the other end is nothing, too.
fn heard(received: io::Result<(usize, SocketAddr)>) -> Option<(usize, SocketAddr)> {
    received.ok()
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Whether the next datagram is lost.
    fn loses(&mut self, state: &State) -> bool {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % 1_000_000;
        let lost = drawn < u64::from(state.loss.load(Ordering::Relaxed));
        let count = if lost { &state.lost } else { &state.forwarded };
        count.fetch_add(1, Ordering::Relaxed);
        lost
    }
}
