//! Shards without sockets: N of them in one thread, in virtual time, with their clients, their
//! viewers and everything between them simulated from a printed seed.
//!
//! What takes a minute here takes a minute of nobody's time, and what depends on the order of
//! events (mailboxes that are slow or full, bytes that come in pieces, clients that do not read)
//! can be put in any order.

#![allow(missing_docs)] // a kit for tests: names and signatures say most of it

mod dtls;
#[path = "../../rtc/tests/support/media.rs"]
pub mod media;
#[path = "../../rtc/tests/support/network.rs"]
mod network;
mod sim;
pub mod support;
pub mod swarm;
#[path = "../../rtc/tests/support/viewer.rs"]
pub mod viewer;

pub use network::Network;
pub use sim::{
    Client, Desk, HOST, Mailbox, Side, Sim, Socket, UNIX, UPGRADE, Wire, head, numbers, request,
};
pub use viewer::{Viewer, ViewerId};
