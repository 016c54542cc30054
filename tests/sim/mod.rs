//! The tests, by what a client does, over one [`harness`].

mod harness;

mod mailboxes;
mod pipelining;
mod publishers;
mod sockets;
