//! Listeners, and connections from the accept to the epoll set.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Instant;

use executor::{Accepted, Listener, Trigger};
use tracing::error;

use super::{Driver, Stream, token};
use crate::connection::{ConnectionId, Scope};
use crate::limits::ACCEPTS_PER_TURN;
use crate::reload::Update;
use crate::shard::ConnectionRefused;
use crate::tls::Acceptor;

pub(super) struct Door {
    pub(super) listener: Listener,
    pub(super) scope: Scope,
    /// Descriptors had run out: closed until then.
    pub(super) closed_until: Option<Instant>,
}

impl Driver {
    /// Takes those who wait at a listener. True: there may be more.
    pub(super) fn accept(&mut self, now: Instant, index: usize) -> bool {
        for _ in 0..ACCEPTS_PER_TURN {
            let door = &mut self.listeners[index];
            match door.listener.accept(now) {
                Accepted::Connection { socket, peer } => {
                    let scope = door.scope;
                    match self.shard.accepted(now, peer, scope) {
                        Ok(id) => self.open(now, id, socket, scope),
                        Err(refused) => {
                            self.complaints.refused(now, peer.ip(), refused);
                            self.turn_away(socket, scope, refused);
                        }
                    }
                }
                Accepted::Empty => return false,
                Accepted::Exhausted { retry_at } => {
                    self.complaints.exhausted(now);
                    door.closed_until = Some(retry_at);
                    self.shard.metrics().connections_refused += 1;
                    // Level-triggered, it would be reported again and again.
                    let _ = self.seat.reactor.deregister(door.listener.as_fd());
                    return false;
                }
            }
        }
        true
    }

    /// Tells a client that there is no place for it, and closes: whether it hears that is its own affair.
    fn turn_away(&mut self, mut socket: TcpStream, scope: Scope, refused: ConnectionRefused) {
        if self.tls.is_some() && scope == Scope::Everything {
            // A handshake for a refusal would cost what the cap is to save.
            return;
        }
        // A request that is here already and was not read would turn the end into a reset, which may overtake
        // the answer.
        let _ = socket.read(&mut self.buffer);
        let _ = socket.write(refused.answer().as_bytes());
    }

    /// Watches listeners again whose pause is over.
    pub(super) fn reopen(&mut self, now: Instant) {
        for (i, door) in self.listeners.iter_mut().enumerate() {
            if door.closed_until.is_some_and(|until| now >= until) {
                let fd = door.listener.as_fd();
                if self
                    .seat
                    .reactor
                    .register(fd, token::listener(i), Trigger::Level)
                    .is_ok()
                {
                    door.closed_until = None;
                }
            }
        }
    }

    /// Begins a connection that was accepted.
    fn open(&mut self, now: Instant, id: ConnectionId, socket: TcpStream, scope: Scope) {
        let stream = match (&self.tls, scope) {
            (Some(acceptor), Scope::Everything) => Stream::accept(socket, acceptor),
            (None, Scope::Everything) | (_, Scope::Metrics) => Ok(Stream::plain(socket)),
        };
        match stream {
            Ok(stream) => self.watch(now, id, stream),
            Err(fault) => {
                error!("TLS cannot be spoken: {fault}");
                self.shard.ended(now, id, true);
            }
        }
    }

    /// Connections that are there go on with the certificate that they began with.
    pub(super) fn renew_certificate(&mut self, update: &Update) {
        if let (Some(acceptor), Some(tls)) = (&mut self.tls, &update.tls) {
            *acceptor = Acceptor::new(tls.clone());
        }
    }

    /// Empties the accept queues, then closes the listeners: no client is reset that had connected.
    pub(super) fn stop_listening(&mut self, now: Instant) {
        for i in 0..self.listeners.len() {
            while self.accept(now, i) {}
        }
        self.listeners.clear();
    }
}
