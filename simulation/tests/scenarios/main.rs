//! The tests, by what a client does.

mod backlog;
mod drain;
mod expiry;
mod faults;
mod limits;
mod mailboxes;
mod pipelining;
mod placement;
mod publishers;
mod rates;
mod reload;
mod restarts;
mod rooms;
mod sockets;
mod tokens;
