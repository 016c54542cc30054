//! Shards without sockets: N of them in one thread, in virtual time, with their clients, their
//! viewers and everything between them simulated from a printed seed.
//!
//! What takes a minute here takes a minute of nobody's time, and what depends on the order of
//! events (mailboxes that are slow or full, bytes that come in pieces, clients that do not read)
//! can be put in any order.

mod sim;
mod support;
