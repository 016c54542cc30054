//! The sockets of a shard's connections, by slot: a hash per send would be dear.

use super::stream::Stream;
use crate::connection::ConnectionId;

/// One for each connection that is watched.
#[derive(Debug, Default)]
pub(super) struct Sockets(Vec<Option<Socket>>);

#[derive(Debug)]
pub(super) struct Socket {
    generation: u32,
    pub(super) stream: Stream,
    /// The kernel may have bytes: edge-triggered, it will not say so again.
    pub(super) readable: bool,
    /// The peer sends no more: the end may stand right behind the bytes, without an edge of its own.
    pub(super) hangup: bool,
    /// Stands in the list of those to be read.
    pub(super) queued: bool,
}

impl Sockets {
    pub(super) fn insert(&mut self, id: ConnectionId, stream: Stream) {
        let index = id.slot as usize;
        if index >= self.0.len() {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(Socket {
            generation: id.generation,
            stream,
            readable: false,
            hangup: false,
            queued: false,
        });
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Socket> {
        let socket = self.0.get_mut(id.slot as usize)?.as_mut()?;
        (socket.generation == id.generation).then_some(socket)
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Socket> {
        self.get_mut(id)?;
        self.0[id.slot as usize].take()
    }
}
