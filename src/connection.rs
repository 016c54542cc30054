//! A TCP connection as the shard sees it: bytes in, bytes out, and what the peer is doing.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::alarm::Alarm;
use crate::api::Operation;
use crate::auth::Identity;
use crate::http::routes::Route;
use crate::http::{Decoder, HttpLimits, Request, Response};
use crate::ids::RequestId;
use crate::media::Publisher;
use crate::message::GatherId;
use crate::metrics::ConnectionEnd;
use crate::rates::Admission;
use crate::ws::{AgentSocket, Codec, MemberSocket, Pulse, ViewerSocket};

/// Names a connection of a shard; never reused for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ConnectionId {
    /// The connection in this slot, after so many others there.
    pub fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// Its place in a table of connections: no two that are open share one.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) peer: SocketAddr,
    /// What may be asked for over it.
    pub(crate) scope: Scope,
    /// The peer speaks TLS, which is all that its shard knows of it.
    pub(crate) tls: bool,
    /// Bytes that came and could not be handled yet.
    pub(crate) input: Vec<u8>,
    pub(crate) output: Output,
    pub(crate) alarm: Alarm,
    /// Requests that came over it.
    pub(crate) requests: u32,
    pub(crate) role: Role,
    pub(crate) fate: Fate,
    /// Why it ends, for the metrics, once it does.
    pub(crate) end: ConnectionEnd,
    /// Stands in the list of connections to flush.
    pub(crate) dirty: bool,
    /// The peer sends no more: what is left of it lies in the socket, and the end behind it.
    pub(crate) hung_up: bool,
}

/// What may be asked for over the connections of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All that there is.
    Everything,
    /// Metrics and probes, by anybody who reaches it (`metrics.listen`).
    Metrics,
}

/// What becomes of a connection once its output is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Stay,
    /// Its sending half is shut down, what the peer still sends is dropped for a while, so that
    /// the peer reads the answer instead of a reset (RFC 9112 §9.6).
    Linger,
    /// It is closed.
    Close,
}

/// What the peer is doing.
#[derive(Debug)]
pub enum Role {
    /// Sends requests.
    Http(Http),
    /// Watches a device.
    Viewer(Box<ViewerSocket>),
    /// Speaks for a device.
    Agent(Box<AgentSocket>),
    /// Is in a room.
    Member(Box<MemberSocket>),
}

impl Role {
    /// A peer that has sent nothing yet.
    pub(crate) fn new() -> Self {
        Role::Http(Http {
            decoder: Decoder::new(HttpLimits::default()),
            phase: Phase::Head,
            head_begun: false,
        })
    }

    /// What every WebSocket has.
    pub(crate) fn socket(&mut self) -> Option<(&mut Codec, &mut Pulse)> {
        match self {
            Role::Http(_) => None,
            Role::Viewer(socket) => Some((&mut socket.codec, &mut socket.pulse)),
            Role::Agent(socket) => Some((&mut socket.codec, &mut socket.pulse)),
            Role::Member(socket) => Some((&mut socket.codec, &mut socket.pulse)),
        }
    }
}

/// The HTTP side of a connection.
#[derive(Debug)]
pub struct Http {
    pub(crate) decoder: Decoder,
    pub(crate) phase: Phase,
    /// A part of a head is there, and its clock runs.
    pub(crate) head_begun: bool,
}

/// Where a request stands.
#[derive(Debug)]
pub enum Phase {
    /// Between requests, or within a head.
    Head,
    /// A small body is being collected.
    Body(Box<Exchange>, Vec<u8>),
    /// A live body flows into a device.
    Publish(Box<Exchange>, Box<Publisher>),
    /// Other shards or the side thread are asked.
    Wait(Box<Exchange>, GatherId),
    /// The last answer is given; what still comes is dropped.
    Done,
}

/// A request and what its answer needs to know of it.
#[derive(Debug)]
pub struct Exchange {
    pub(crate) request: Request,
    pub(crate) route: Route,
    /// Who asks.
    pub(crate) identity: Identity,
    /// Where the client is: the other end, or whom a trusted proxy there speaks for.
    pub(crate) client: IpAddr,
    /// The tokens that it needs.
    pub(crate) admission: Admission,
    pub(crate) id: RequestId,
    pub(crate) started: Instant,
    /// Its answer, which waits until something is stored.
    pub(crate) prepared: Option<Response>,
    /// The body has been read to its end: the connection can take another request.
    pub(crate) complete: bool,
}

/// A connection on its way to another shard: between the reading of a request and its answer.
#[derive(Debug)]
pub struct Transfer {
    pub(crate) peer: SocketAddr,
    pub(crate) scope: Scope,
    pub(crate) tls: bool,
    pub(crate) decoder: Decoder,
    pub(crate) exchange: Box<Exchange>,
    pub(crate) operation: Operation,
    pub(crate) input: Vec<u8>,
    pub(crate) output: Vec<u8>,
    pub(crate) requests: u32,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, peer: SocketAddr) -> Self {
        Self {
            id,
            peer,
            scope: Scope::Everything,
            tls: false,
            input: Vec::new(),
            output: Output::default(),
            alarm: Alarm::default(),
            requests: 0,
            role: Role::new(),
            fate: Fate::Stay,
            end: ConnectionEnd::Finished,
            dirty: false,
            hung_up: false,
        }
    }

    /// Whether more bytes are wanted from the socket now.
    pub(crate) fn reads(&self) -> bool {
        if self.output.len() > OUTPUT_HIGH_WATER_BYTES {
            return false;
        }
        match &self.role {
            Role::Http(http) => match &http.phase {
                Phase::Head | Phase::Body(..) | Phase::Done => true,
                // The next request waits until the end of this one's body has been shown. A body
                // whose sender is gone is read at once: only so it shows whether it is whole, and
                // it is no larger than the socket's buffer.
                Phase::Publish(exchange, publisher) => {
                    !exchange.complete && (publisher.reads() || self.hung_up)
                }
                Phase::Wait(..) => false,
            },
            Role::Viewer(_) | Role::Agent(_) => true,
            Role::Member(socket) => !socket.paused,
        }
    }

    /// Whether the socket has all that this connection had to say, nobody waited for that, and it goes
    /// on as it is: what nearly every answer comes to.
    pub(crate) fn is_answered_by(&self, count: usize) -> bool {
        matches!(self.role, Role::Http(_))
            && self.fate == Fate::Stay
            && count == self.output.len()
            && self.reads()
    }
}

/// A peer that does not read its answers gets no further request handled past this: pipelined
/// requests for large lists must not pile up.
pub const OUTPUT_HIGH_WATER_BYTES: usize = 256 << 10;

/// Bytes on their way to the peer.
#[derive(Debug, Default)]
pub struct Output {
    /// What comes before `bytes` where those are a large body, which is not copied for its head.
    first: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
    /// How many of `first`, or else of `bytes`, the socket has taken.
    written: usize,
    /// Where the messages of a WebSocket end, counted like `written`.
    ends: VecDeque<usize>,
    /// Since when the socket has taken nothing although there was something.
    pub(crate) stalled_since: Option<Instant>,
}

impl Output {
    /// What the socket is to take next.
    pub fn pending(&self) -> &[u8] {
        match self.first.is_empty() {
            true => &self.bytes[self.written..],
            false => &self.first[self.written..],
        }
    }

    /// Bytes still to be taken.
    pub fn len(&self) -> usize {
        self.first.len() + self.bytes.len() - self.written
    }

    /// All of them.
    pub(crate) fn rest(&self) -> Vec<u8> {
        match self.first.is_empty() {
            true => self.pending().to_vec(),
            false => [self.pending(), &self.bytes].concat(),
        }
    }

    /// The body of the answer whose head stands at the end.
    pub(crate) fn body(&mut self, body: Cow<'static, [u8]>) {
        match body {
            Cow::Owned(body) if body.len() > OUTPUT_HIGH_WATER_BYTES && self.first.is_empty() => {
                self.first = std::mem::replace(&mut self.bytes, body);
            }
            body => self.bytes.extend_from_slice(&body),
        }
    }

    /// Nothing is left to be taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Part of it is with the socket: nothing else may be sent in between.
    pub(crate) fn has_begun(&self) -> bool {
        self.written > 0
    }

    /// Puts bytes before everything else; nothing of that may have been sent.
    pub(crate) fn put_first(&mut self, bytes: &[u8]) {
        debug_assert!(!self.has_begun() && self.first.is_empty());
        self.bytes.splice(..0, bytes.iter().copied());
        self.ends.iter_mut().for_each(|end| *end += bytes.len());
    }

    /// Marks the end of a WebSocket message.
    pub(crate) fn end_message(&mut self) {
        self.ends.push_back(self.bytes.len());
    }

    /// WebSocket messages that the socket has not taken whole.
    pub(crate) fn messages(&self) -> usize {
        self.ends.len()
    }

    /// The socket took `count` bytes.
    pub(crate) fn wrote(&mut self, now: Instant, count: usize) {
        self.written += count;
        if !self.first.is_empty() && self.written == self.first.len() {
            (self.first, self.written) = (Vec::new(), 0);
        }
        while self.ends.front().is_some_and(|&end| end <= self.written) {
            self.ends.pop_front();
        }
        if self.is_empty() {
            // An idle connection holds no buffers.
            *self = Self::default();
        } else if count > 0 || self.stalled_since.is_none() {
            self.stalled_since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_body_stands_between_what_was_there_and_what_comes() {
        let now = Instant::now();
        let large = vec![b'x'; OUTPUT_HIGH_WATER_BYTES + 1];
        let mut expected = b"before,head,".to_vec();
        expected.extend_from_slice(&large);
        expected.extend_from_slice(b"after");
        for step in [5, 1_000, usize::MAX] {
            let mut output = Output::default();
            output.bytes.extend_from_slice(b"before,");
            output.bytes.extend_from_slice(b"head,");
            output.body(large.clone().into());
            output.bytes.extend_from_slice(b"after");
            assert_eq!(output.rest(), expected);
            let mut taken = Vec::new();
            while !output.is_empty() {
                assert_eq!(output.len(), expected.len() - taken.len());
                let count = step.min(output.pending().len());
                taken.extend_from_slice(&output.pending()[..count]);
                output.wrote(now, count);
            }
            assert!(taken == expected, "in pieces of {step} bytes");
        }
    }

    #[test]
    fn a_large_body_is_not_copied() {
        let body = vec![b'x'; OUTPUT_HIGH_WATER_BYTES + 1];
        let place = body.as_ptr();
        let mut output = Output::default();
        output.bytes.extend_from_slice(b"head");
        output.body(body.into());
        output.wrote(Instant::now(), 4);
        assert_eq!(output.pending().as_ptr(), place);
    }
}
