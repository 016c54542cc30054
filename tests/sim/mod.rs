//! The tests, by what a client does, over one [`harness`].

mod harness;

mod backlog;
mod drain;
mod expiry;
mod limits;
mod mailboxes;
mod pipelining;
mod placement;
mod publishers;
mod rates;
mod restarts;
mod rooms;
mod sockets;
mod swarm;
mod tokens;
