//! Media that leaves the server: RTP packets sealed by us, straight into the outbox.
//!
//! str0m does ICE, DTLS, SDP and RTCP of a session. Its media path copies, queues and boxes every
//! packet for every viewer, which costs more than the encryption; so packets of sessions that
//! negotiated AES-GCM (RFC 7714: every browser) are made here instead, from the payload that all
//! viewers share: one pass of AES-GCM from there into the datagram. Viewers without AES-GCM are
//! served by str0m.
//!
//! ```text
//!   DTLS ─ keying material ─► keys: RFC 3711 key derivation ─► Sealer   (hooks see it pass)
//!   Lane ─ Index, header ──────────────────────────────────► seal ──► Outbox
//!   viewer's NACK ─► history: which packet of the source that was ─► sealed again, as RTX
//!   str0m's sender reports ◄─ our counts and RTP time                (hooks see them pass)
//! ```
//!
//! AES-GCM breaks when a nonce is used twice with one key. Three things stand against it:
//! an [`Index`] cannot be copied and sealing consumes it; the ciphers that str0m is
//! given refuse everything but RTCP, for which SRTP has keys of its own; new keying material
//! replaces the key, and indices never go back.

mod cipher;
mod history;
mod hooks;
mod keys;
mod seal;
mod send;
mod tally;

#[cfg(test)]
mod tests;

pub(crate) use cipher::GuardedSrtp;
pub(crate) use history::{HISTORY_FRAMES, History, Missing, RETRANSMIT_AGE};
pub(crate) use hooks::{Keying, Report, during, keyed};
pub(crate) use seal::{Header, Index, Indices, Packet, Sealer};
pub(crate) use send::{Route, SendTime, Shipped};
pub(crate) use tally::{Sent, Tally};
