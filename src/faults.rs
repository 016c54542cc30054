//! Faults on purpose, for tests: places in a shard at which it panics, stands still or leaks when it
//! was told to.
//!
//! Nothing of this is in a build without the feature `fault-injection`: [`Faults::pass`] is empty
//! there. `cargo build --workspace` turns it on, for the simulation needs it, so the feature alone
//! strikes nobody: a process takes faults from requests only if it is started with
//! `ALLOW_FAULT_INJECTION=1` as well, and then from this host, in the header `X-Fault`, as in
//! `X-Fault: panic:RoomSweep`. (Behind a proxy on this host everybody comes from it.)

#[cfg(feature = "fault-injection")]
mod play;

#[cfg(feature = "fault-injection")]
pub use play::{Fault, UnknownFault};
#[cfg(feature = "fault-injection")]
pub(crate) use play::{of_request, pass_thread, requests_may};

/// Where a shard can be struck. What is lost by it is in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Bytes of a connection are handled (the connection).
    ConnectionBytes,
    /// A connection's deadline has passed (the connection).
    ConnectionTimer,
    /// A message of a WebSocket is read (the connection).
    SocketMessage,
    /// A request is carried out (what it names; the request is answered 500).
    Request,
    /// A request is carried out, and its connection becomes what it is by it (the connection).
    Reply,
    /// A viewer's message, over its socket, is done (the session).
    SessionMessage,
    /// A datagram is given to its session (the session).
    SessionDatagram,
    /// str0m's time has come (the session).
    SessionMedia,
    /// A session's own deadline has passed (the session).
    SessionTimer,
    /// A picture or packet of a device is taken in (its publisher).
    DeviceFrame,
    /// A device may be forgotten (its publisher, if it has one).
    DeviceTimer,
    /// A publisher's time has come (the connection).
    PublisherTimer,
    /// A member has come into a room (the room).
    RoomJoin,
    /// A message stands in a room's log (the room).
    RoomMessage,
    /// A slice of a room's sweep is made (the room).
    RoomSweep,
    /// A member's socket took some of the log (the room).
    RoomDelivery,
    /// A room's log is trimmed behind its sweep (the room).
    RoomFlush,
    /// Something happens to a room by itself (the room).
    RoomTimer,
    /// A message of another shard is handled (whoever waits for its answer).
    Mailbox,
    /// A turn ends, and it is nobody's fault (the shard).
    Turn,
}

/// The threads beside the shards, each of which the process ends without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thread {
    /// Writes figures and reads the store.
    Side,
    /// Writes the store.
    Store,
    /// Hashes passwords.
    Accounts,
    /// Waits for signals.
    Signals,
}

/// The faults that wait for the shard to come to their place.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    #[cfg(feature = "fault-injection")]
    armed: Vec<Place>,
    #[cfg(feature = "fault-injection")]
    held: play::Held,
}

impl Faults {
    /// The shard is there.
    #[inline(always)]
    pub(crate) fn pass(&mut self, place: Place) {
        #[cfg(feature = "fault-injection")]
        self.strike(place);
        #[cfg(not(feature = "fault-injection"))]
        let _ = place;
    }
}

/// The thread is at work.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub(crate) fn pass_thread(_: Thread) {}
