//! What the network, and whoever forges an address on it, can try.

mod channel;
mod descriptions;
mod handshake;
mod reports;
mod stun;
