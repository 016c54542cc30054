//! Connections: accepted, read, written, moved, closed.

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::{ConnectionRefused, Flushed, Moving, Shard, Step};
use crate::api::Operation;
use crate::client::AddressBlock;
use crate::connection::{
    Connection, ConnectionId, Exchange, Fate, Http, Phase, Role, Scope, Transfer,
};
use crate::error::ApiError;
use crate::faults::Place;
use crate::limits::{Cap, LINGER, MONITORING_CONNECTIONS, READ_BYTES};
use crate::metrics::ConnectionEnd;
use crate::totals::Total;

impl Shard {
    /// A connection was accepted, over which so much may be asked for.
    pub fn accepted(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        scope: Scope,
    ) -> Result<ConnectionId, ConnectionRefused> {
        if let Err(refused) = self.door(peer.ip(), scope) {
            self.metrics.connections_refused += 1;
            self.metrics.rejected(refused.code());
            return Err(refused);
        }
        self.metrics.connections_accepted += 1;
        let id = self.connections.reserve();
        let mut connection = Box::new(Connection::new(id, peer));
        connection.scope = scope;
        connection.tls = scope == Scope::Everything && self.config.tls.is_on();
        let patience = match self.draining {
            Some(_) => LINGER,
            None => self.config.http.head_timeout,
        };
        self.set_alarm(&mut connection, now + patience);
        self.count_in(&connection);
        self.connections.put(connection);
        self.count_connections();
        Ok(id)
    }

    /// The peer of a new connection speaks plain HTTP where TLS is spoken. What it has sent is not
    /// looked at: it is told so, in the clear.
    pub fn spoke_plainly(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |shard, connection| {
            connection.tls = false;
            let exchange = shard.nameless_exchange(now, connection);
            shard.refuse(now, connection, exchange, ApiError::TlsRequired);
            None
        });
    }

    /// Whether there is a place for another connection of that address.
    fn door(&self, peer: IpAddr, scope: Scope) -> Result<(), ConnectionRefused> {
        let limits = &self.config.limits;
        let kept = match scope {
            Scope::Everything => 0,
            Scope::Metrics => MONITORING_CONNECTIONS,
        };
        let open = self.totals.sum(Total::Connections) + self.totals.sum(Total::Parting);
        if !limits.connections.allows((open + 1).saturating_sub(kept)) {
            return Err(ConnectionRefused::Full);
        }
        let proxies = &self.config.server.trusted_proxies;
        // What is on this host has other ways to harm it, and a proxy speaks for many.
        let exempt = limits.connections_per_address == Cap::OFF
            || peer.to_canonical().is_loopback()
            || proxies.iter().any(|network| network.contains(peer));
        let of_address = || self.totals.connections_of(AddressBlock::of(peer));
        match exempt || limits.connections_per_address.allows(of_address() + 1) {
            true => Ok(()),
            false => Err(ConnectionRefused::Address),
        }
    }

    fn count_in(&self, connection: &Connection) {
        let address = AddressBlock::of(connection.peer.ip());
        self.totals.add_connection(self.id, address);
    }

    fn count_out(&self, connection: &Connection) {
        let address = AddressBlock::of(connection.peer.ip());
        self.totals.remove_connection(self.id, address);
    }

    /// Bytes came on a connection.
    pub fn received(&mut self, now: Instant, id: ConnectionId, bytes: &[u8]) {
        self.with(now, id, |shard, connection| {
            shard.take_bytes(now, connection, bytes)
        });
    }

    /// The peer closed its half of the connection, or (`reset`) the connection is broken. The end is
    /// read like bytes, when the shard [`reads`](Self::reads): a client may close its half and still
    /// wait for its answers.
    pub fn ended(&mut self, now: Instant, id: ConnectionId, reset: bool) {
        self.with(now, id, |shard, connection| {
            shard.take_end(now, connection, reset);
            None
        });
    }

    /// The peer has said that it sends no more. Its last bytes and its end are still to be read.
    pub fn hung_up(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |shard, connection| {
            connection.hung_up = true;
            shard.publish(now, connection, Ok(()));
            None
        });
    }

    /// The connection in that slot, if its generation ends in those bits.
    pub fn connection_id(&self, slot: u32, generation: u32, mask: u32) -> Option<ConnectionId> {
        self.connections
            .id(slot)
            .filter(|id| id.generation & mask == generation)
    }

    /// Whether the driver should read from the connection's socket.
    pub fn reads(&self, id: ConnectionId) -> bool {
        self.connections.get(id).is_some_and(Connection::reads)
    }

    /// What is to be written to the connection's socket next: its own output, or its part of the log
    /// of its room. More may follow once it is [`wrote`](Self::wrote).
    pub fn output(&self, id: ConnectionId) -> &[u8] {
        let Some(connection) = self.connections.get(id) else {
            return &[];
        };
        match self.reads_log(connection) {
            None => connection.output.pending(),
            Some(key) if connection.output.is_empty() => self.rooms.pending(key),
            // What is its own waits for this frame alone.
            Some(key) => self.rooms.unfinished(key).unwrap_or_default(),
        }
    }

    /// The socket took `count` bytes of the [`output`](Self::output), all that it would take. The
    /// answer alone says what follows: the connection is not listed to be flushed again by this, so
    /// that a socket which takes nothing is written once a flush, whatever waits for it.
    pub fn wrote(&mut self, now: Instant, id: ConnectionId, count: usize) -> Flushed {
        if let Some(connection) = self.connections.get_mut(id)
            && connection.is_answered_by(count)
        {
            connection.output.wrote(now, count);
            connection.dirty = false;
            return Flushed::Stay;
        }
        if self.connections.is_out(id) {
            // It moves to another shard, and its output with it.
            return Flushed::Stay;
        }
        let whole = count == self.output(id).len();
        let Some(connection) = self.connections.get_mut(id) else {
            return Flushed::Close;
        };
        connection.dirty = true;
        self.take_written(now, id, count, whole);
        let Some(connection) = self.connections.get_mut(id) else {
            return Flushed::Stay;
        };
        connection.dirty = false;
        let fate = connection.fate;
        if !self.output(id).is_empty() {
            return match whole {
                true => Flushed::More,
                false => Flushed::Stay,
            };
        }
        match fate {
            Fate::Stay => Flushed::Stay,
            Fate::Linger => Flushed::Shutdown,
            Fate::Close => {
                self.forget(id);
                Flushed::Close
            }
        }
    }

    /// So much is with the socket, the `whole` that it was given or not. Whoever waited for that
    /// goes on.
    fn take_written(&mut self, now: Instant, id: ConnectionId, count: usize, whole: bool) {
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        if let Some(key) = self.reads_log(connection) {
            return self.wrote_log(now, id, key, count, whole);
        }
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let read = connection.reads();
        connection.output.wrote(now, count);
        if !connection.output.is_empty() {
            self.member_blocked(now, id);
        }
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        if connection.fate == Fate::Stay && !read && connection.reads() {
            self.resume(now, id);
        }
    }

    /// The connection has left for another shard.
    pub fn moved(&mut self, id: ConnectionId) {
        self.metrics.connections_handed_over += 1;
        self.totals.add(self.id, Total::HandedOver);
        self.lost(id);
    }

    /// The connection was to leave for another shard, and its socket is gone.
    pub fn lost(&mut self, id: ConnectionId) {
        self.connections.remove(id);
        self.count_connections();
    }

    /// So many sockets of connections that are forgotten are still open.
    pub fn parting(&self, count: usize) {
        self.totals.set(self.id, Total::Parting, count);
    }

    /// The other shard's mailbox is full: the request is answered here.
    pub fn move_refused(&mut self, now: Instant, id: ConnectionId, transfer: Transfer) {
        self.metrics.mailbox_full += 1;
        let (connection, exchange, _) = Self::unpack(id, transfer);
        self.count_in(&connection);
        self.connections.put(connection);
        self.with(now, id, |shard, connection| {
            shard.refuse(now, connection, exchange, ApiError::ShardBusy);
            shard.take_bytes(now, connection, &[])
        });
    }

    /// A connection moved here with a request for something that this shard owns, or for a token on its way
    /// there.
    pub fn adopt(&mut self, now: Instant, transfer: Transfer) -> ConnectionId {
        let id = self.connections.reserve();
        let (connection, exchange, operation) = Self::unpack(id, transfer);
        self.count_in(&connection);
        self.connections.put(connection);
        self.count_connections();
        self.totals.add(self.id, Total::Adopted);
        self.metrics.connections_adopted += 1;
        self.with(now, id, |shard, connection| {
            match shard.dispatch(now, connection, exchange, operation) {
                Step::Go(_) => shard.take_bytes(now, connection, &[]),
                Step::Stop => None,
                // It has its token: on to the next one, or to what it names.
                Step::Move(_, moving) => Some(moving),
            }
        });
        id
    }

    /// Takes the connection out, lets `work` have it and the whole shard, and puts it back. If it had
    /// to wait and need not any more, it goes on. A panic ends this connection alone.
    pub(crate) fn with(
        &mut self,
        now: Instant,
        id: ConnectionId,
        work: impl FnOnce(&mut Self, &mut Connection) -> Option<Moving>,
    ) {
        let Some(mut connection) = self.connections.take(id) else {
            return;
        };
        let read = connection.reads();
        let result = catch_unwind(AssertUnwindSafe(|| work(self, &mut connection)));
        match result {
            Ok(None) => {}
            Ok(Some(moving)) => {
                self.count_out(&connection);
                let transfer = Self::pack(&mut connection, moving.exchange, moving.operation);
                self.outbox.moves.push((id, moving.to, transfer));
                return;
            }
            // The panic hook has logged what and where.
            Err(panic) => self.mend(now, panic, |shard| {
                Some(shard.fail_connection(now, &mut connection))
            }),
        }
        let wanted = connection.fate != Fate::Stay || !connection.output.is_empty();
        if wanted && !connection.dirty {
            connection.dirty = true;
            self.outbox.dirty.push(id);
        }
        let goes_on = !read && connection.reads();
        self.connections.put(connection);
        if goes_on {
            self.resume(now, id);
        }
    }

    /// Bytes that came, with those that wait from before.
    fn take_bytes(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        bytes: &[u8],
    ) -> Option<Moving> {
        self.faults.pass(Place::ConnectionBytes);
        let mut waiting = std::mem::take(&mut connection.input);
        let fresh = waiting.is_empty();
        if !fresh {
            waiting.extend_from_slice(bytes);
        }
        let input = if fresh { bytes } else { &waiting };
        let (used, moving) = self.advance(now, connection, input);
        connection.input = if fresh {
            input[used..].to_vec()
        } else {
            waiting.drain(..used);
            if waiting.is_empty() {
                waiting = Vec::new();
            } else if used > 0 && waiting.capacity() > READ_BYTES {
                // A large message has gone; what is left of the next one is small.
                waiting.shrink_to_fit();
            }
            waiting
        };
        moving
    }

    fn take_end(&mut self, now: Instant, connection: &mut Connection, reset: bool) {
        self.release(now, connection);
        if connection.fate == Fate::Stay {
            connection.end = if reset {
                ConnectionEnd::Io
            } else {
                ConnectionEnd::Peer
            };
        }
        if reset || !matches!(connection.role, Role::Http(_)) {
            connection.output = Default::default();
        }
        connection.fate = Fate::Close;
    }

    /// Goes on with a connection that had to wait.
    fn resume(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |shard, connection| {
            let moving = shard.take_bytes(now, connection, &[]);
            if connection.reads() {
                shard.outbox.resumed.push(id);
            }
            moving
        });
    }

    fn pack(
        connection: &mut Connection,
        exchange: Box<Exchange>,
        operation: Operation,
    ) -> Box<Transfer> {
        let decoder = match std::mem::replace(&mut connection.role, Role::new()) {
            Role::Http(http) => http.decoder,
            // Requests are parsed in the HTTP role alone.
            Role::Viewer(_) | Role::Agent(_) | Role::Member(_) => {
                unreachable!("a WebSocket sends no request")
            }
        };
        Box::new(Transfer {
            peer: connection.peer,
            scope: connection.scope,
            tls: connection.tls,
            decoder,
            exchange,
            operation,
            input: std::mem::take(&mut connection.input),
            output: connection.output.rest(),
            requests: connection.requests,
        })
    }

    fn unpack(id: ConnectionId, transfer: Transfer) -> (Box<Connection>, Box<Exchange>, Operation) {
        let mut connection = Box::new(Connection::new(id, transfer.peer));
        connection.scope = transfer.scope;
        connection.tls = transfer.tls;
        connection.role = Role::Http(Http {
            decoder: transfer.decoder,
            phase: Phase::Head,
            head_begun: false,
        });
        connection.input = transfer.input;
        connection.output.bytes = transfer.output;
        connection.requests = transfer.requests;
        (connection, transfer.exchange, transfer.operation)
    }

    fn forget(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.remove(id) {
            self.metrics.connections_closed.bump(connection.end);
            self.count_out(&connection);
            self.count_connections();
        }
    }
}
