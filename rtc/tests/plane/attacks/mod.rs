//! What the network, and whoever forges an address on it, can try.

mod channel;
pub(crate) mod descriptions;
mod handshake;
mod reports;
mod stun;
