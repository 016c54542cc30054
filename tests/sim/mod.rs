//! The tests, by what a client does, over one [`harness`].

mod harness;

mod pipelining;
mod publishers;
mod sockets;
