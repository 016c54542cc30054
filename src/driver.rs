//! The only loop: waits for the kernel, gives the shard one bounded batch, flushes once.

mod complaints;
mod doors;
mod meter;
mod outgoing;
mod parting;
mod sockets;
mod stream;
mod token;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use executor::{Inbox, Listener, Postbox, Readiness, Received, Seat, Trigger, UdpPort};
use rtc::SocketIndex;
use tracing::{debug, error};

use self::complaints::Complaints;
use self::doors::Door;
use self::meter::Meter;
use self::parting::Parting;
use self::sockets::Sockets;
pub use self::stream::Stream;
use self::stream::{Broken, Input};
use crate::connection::{ConnectionId, Scope, Transfer};
use crate::limits::{
    DATAGRAM_BATCHES_PER_TURN, HANDSHAKES_PER_TURN, MESSAGES_PER_TURN, READ_BYTES, READS_PER_TURN,
};
use crate::message::Message;
use crate::metrics::{PanicPart, Stage, TlsHandshake};
use crate::reload::Update;
use crate::shard::{Shard, ShardSeed};
use crate::side::SideQueue;
use crate::store::StoreQueue;
use crate::tls::{Acceptor, TunnelFault};

/// What comes through a shard's mailbox.
#[derive(Debug)]
pub enum Mail {
    /// A connection that moves here: its next request names something of the receiver. Mailbox full:
    /// the request is answered 503 `shard_busy` by the sender, which keeps the connection.
    Adopt {
        /// Its socket, with its TLS.
        socket: Stream,
        /// What is known of it.
        transfer: Box<Transfer>,
    },
    /// For the state machine.
    Message(Message),
    /// Another configuration. Mailbox full: the sender tries again until it fits, or has a newer one.
    Reload(Arc<Update>),
}

/// What a shard's thread is given.
pub struct DriverSeed {
    /// What the state machine is made from.
    pub shard: ShardSeed,
    /// One per address, with what may be asked for through it.
    pub listeners: Vec<(Listener, Scope)>,
    /// For connections of `server.listen`; `None`: they are plain.
    pub tls: Option<Acceptor>,
    /// One per media address, in the order of the plane's sockets.
    pub ports: Vec<UdpPort>,
    /// The shard's mailbox.
    pub inbox: Inbox<Mail>,
    /// Everybody's.
    pub postbox: Postbox<Mail>,
    /// The side thread's queue.
    pub side: SideQueue,
    /// The store's queue.
    pub store: StoreQueue,
}

/// Runs a shard until it is drained.
///
/// # Panics
/// If it cannot start: the pool then ends the process, for a server without one of its shards
/// would answer for some devices and not for others.
pub fn run(seat: Seat, seed: DriverSeed) {
    let now = seat.reactor.now();
    let shard = match Shard::new(now, SystemTime::now(), seed.shard) {
        Ok(shard) => shard,
        // The configuration's check has left nothing to be refused here.
        Err(fault) => panic!("the media plane cannot start: {fault}"),
    };
    let index = seat.index;
    let mut driver = Driver {
        shard,
        seat,
        listeners: Vec::new(),
        tls: seed.tls,
        ports: seed.ports,
        inbox: seed.inbox,
        postbox: seed.postbox,
        side: seed.side,
        store: seed.store,
        sockets: Sockets::default(),
        parting: Parting::default(),
        complaints: Complaints::of(index),
        meter: Meter::new(now),
        ready: Vec::new(),
        dirty: Vec::new(),
        mail: Vec::new(),
        buffer: vec![0; READ_BYTES].into(),
    };
    if let Err(fault) = driver.register(seed.listeners) {
        panic!("the shard's descriptors cannot be watched: {fault}");
    }
    driver.turns();
}

struct Driver {
    shard: Shard,
    seat: Seat,
    listeners: Vec<Door>,
    tls: Option<Acceptor>,
    ports: Vec<UdpPort>,
    inbox: Inbox<Mail>,
    postbox: Postbox<Mail>,
    side: SideQueue,
    store: StoreQueue,
    sockets: Sockets,
    parting: Parting,
    complaints: Complaints,
    meter: Meter,
    /// Connections whose socket may hold more bytes than were read.
    ready: Vec<ConnectionId>,
    /// An empty list, to be filled next.
    dirty: Vec<ConnectionId>,
    mail: Vec<Mail>,
    buffer: Box<[u8]>,
}

impl Driver {
    fn register(&mut self, listeners: Vec<(Listener, Scope)>) -> io::Result<()> {
        let reactor = &self.seat.reactor;
        for (i, (listener, scope)) in listeners.into_iter().enumerate() {
            reactor.register(listener.as_fd(), token::listener(i), Trigger::Level)?;
            self.listeners.push(Door {
                listener,
                scope,
                closed_until: None,
            });
        }
        for (i, port) in self.ports.iter().enumerate() {
            reactor.register(port.as_fd(), token::port(i), Trigger::Level)?;
        }
        reactor.register(self.inbox.as_fd(), token::inbox(), Trigger::Level)
    }

    fn turns(&mut self) {
        let mut events = Vec::new();
        let mut more = false;
        let mut end = self.seat.reactor.now();
        loop {
            let deadline = if more {
                Some(end)
            } else {
                self.rest(end);
                self.shard.deadline()
            };
            let wake = self.seat.reactor.wait(deadline, &mut events);
            let now = wake.now;
            self.begin_turn(now, events.len());
            let units = self.shard.metrics().access_units;
            more = self.turn(now, &events);
            if wake.tick {
                self.enter(Stage::Timers);
                self.shard.metrics().tick_lag.observe(wake.lag);
                self.shard.tick(now, SystemTime::now());
                self.reopen(now);
                self.tick_parting(now);
                self.tick_meter(now);
            }
            self.enter(Stage::FanOut);
            more |= self.shard.end_turn(now);
            more |= self.flush(now);
            end = self.seat.reactor.now();
            self.shard.flushed(end);
            let took = self.finish_turn(now, end);
            let metrics = self.shard.metrics();
            if metrics.access_units > units {
                // From the turn in which it was read to the end of the flush that carries its
                // first packets.
                metrics.frame_latency.observe(took);
            }
            if self.shard.is_draining() {
                self.stop_listening(now);
                let gone = self.parting.len() == 0 || self.shard.is_overdue(now);
                if self.shard.is_drained(now) && gone {
                    return;
                }
            }
        }
    }

    /// Lets the coming sleep go past ticks, unless one is needed.
    fn rest(&mut self, now: Instant) {
        let closed = self
            .listeners
            .iter()
            .any(|door| door.closed_until.is_some());
        if self.parting.len() == 0 && !closed {
            self.seat.reactor.rest(self.shard.rests_until(now));
        }
    }

    /// One batch. True: something was left for the next turn.
    fn turn(&mut self, now: Instant, events: &[Readiness]) -> bool {
        let mut more = false;
        for event in events {
            match token::named(event.token) {
                // Level-triggered: who is left is reported again.
                token::Named::Listener(index) => {
                    self.enter(Stage::Connections);
                    self.accept(now, index);
                }
                token::Named::Port(index) => {
                    self.enter(Stage::Datagrams);
                    self.receive_datagrams(now, index);
                }
                token::Named::Inbox => {
                    self.enter(Stage::Mail);
                    more |= self.receive_mail(now);
                }
                token::Named::Connection(slot, generation) => {
                    self.enter(Stage::Connections);
                    self.connection_ready(now, slot, generation, event);
                }
            }
        }
        let ready = std::mem::take(&mut self.ready);
        if !ready.is_empty() {
            self.enter(Stage::Connections);
        }
        let mut handshakes = 0;
        for id in ready {
            let Some(socket) = self.sockets.get_mut(id) else {
                continue;
            };
            if socket.stream.is_handshaking() {
                if handshakes == HANDSHAKES_PER_TURN {
                    self.ready.push(id);
                    continue;
                }
                handshakes += 1;
            }
            socket.queued = false;
            self.read(now, id);
        }
        more | !self.ready.is_empty()
    }

    fn connection_ready(&mut self, now: Instant, slot: u32, generation: u32, event: &Readiness) {
        let mask = token::GENERATION_MASK;
        let Some(id) = self.shard.connection_id(slot, generation, mask) else {
            return;
        };
        if event.readable || event.hangup {
            if let Some(socket) = self.sockets.get_mut(id) {
                socket.readable = true;
                socket.hangup |= event.hangup;
            }
            if event.hangup {
                self.shard.hung_up(now, id);
            }
            self.queue(id);
        }
        if event.writable {
            let waits = !self.shard.output(id).is_empty();
            let socket = self.sockets.get_mut(id);
            if waits {
                self.write(now, id);
            } else if socket.is_some_and(|socket| socket.stream.flush().is_err()) {
                self.shard.ended(now, id, true);
            }
        }
    }

    /// Reads from the socket in this turn, if the shard wants bytes.
    fn queue(&mut self, id: ConnectionId) {
        let Some(socket) = self.sockets.get_mut(id) else {
            return;
        };
        let readable = socket.readable || socket.stream.holds();
        if readable && !socket.queued && self.shard.reads(id) {
            socket.queued = true;
            self.ready.push(id);
        }
    }

    fn read(&mut self, now: Instant, id: ConnectionId) {
        for _ in 0..READS_PER_TURN {
            if !self.shard.reads(id) {
                return;
            }
            let Some(socket) = self.sockets.get_mut(id) else {
                return;
            };
            let shard = &mut self.shard;
            let input = socket.stream.read(&mut self.buffer, &mut |bytes| {
                shard.received(now, id, bytes);
                shard.reads(id)
            });
            if let Some(result) = socket.stream.take_handshake() {
                shard.metrics().tls_handshakes.bump(result);
            }
            match input {
                Ok(Input::More) => {}
                Ok(Input::Held) => return,
                // A short read has emptied the socket; what comes now raises an edge.
                Ok(Input::Short) if socket.hangup => {}
                Ok(Input::Short | Input::Empty) => {
                    socket.readable = false;
                    return;
                }
                Ok(Input::End) => {
                    socket.readable = false;
                    return shard.ended(now, id, false);
                }
                Ok(Input::Plaintext) => {
                    shard.metrics().tls_handshakes.bump(TlsHandshake::Plaintext);
                    shard.spoke_plainly(now, id);
                }
                Err(fault) => {
                    socket.readable = false;
                    match fault {
                        Broken::Socket(_) => {}
                        Broken::Tls(TunnelFault::Panicked) => {
                            shard.metrics().panics.bump(PanicPart::Connection);
                            error!(peer = ?socket.stream.peer(), "TLS failed, a connection was closed");
                        }
                        Broken::Tls(fault) => debug!(peer = ?socket.stream.peer(), "TLS: {fault}"),
                    }
                    return shard.ended(now, id, true);
                }
            }
        }
        self.queue(id);
    }

    /// Takes a connection into the epoll set; what it has sent already raises the first edge.
    fn watch(&mut self, now: Instant, id: ConnectionId, stream: Stream) {
        let watched =
            self.seat
                .reactor
                .register(stream.as_fd(), token::connection(id), Trigger::Edge);
        if let Err(fault) = watched {
            self.complaints.unwatched(now, &fault);
            return self.shard.ended(now, id, true);
        }
        self.sockets.insert(id, stream);
        // What its TLS has read already raises none.
        self.queue(id);
    }

    fn receive_datagrams(&mut self, now: Instant, index: usize) {
        let socket = SocketIndex(index as u8);
        for _ in 0..DATAGRAM_BATCHES_PER_TURN {
            let shard = &mut self.shard;
            let mut datagrams = 0;
            let received = self.ports[index].recv(&mut |from, datagram| {
                datagrams += 1;
                shard.datagram(now, socket, from, datagram);
            });
            shard.metrics().load.received.observe(datagrams);
            match received {
                Ok(Received::More) => {}
                Ok(Received::Drained) => return,
                Err(fault) => return self.complaints.unreceived(now, &fault),
            }
        }
    }

    fn receive_mail(&mut self, now: Instant) -> bool {
        let mut mail = std::mem::take(&mut self.mail);
        let more = self.inbox.receive(MESSAGES_PER_TURN, &mut mail);
        let left = self.inbox.waiting();
        let load = &mut self.shard.metrics().load;
        load.mailbox = left as u64;
        load.deepest_mailbox.observe((mail.len() + left) as u64);
        for letter in mail.drain(..) {
            match letter {
                Mail::Message(message) => self.shard.message(now, message),
                Mail::Reload(update) => {
                    self.renew_certificate(&update);
                    self.shard.reload(now, &update);
                }
                Mail::Adopt { socket, transfer } => {
                    let id = self.shard.adopt(now, *transfer);
                    self.watch(now, id, socket);
                }
            }
        }
        self.mail = mail;
        more
    }
}
