//! Media that leaves the server: RTP packets sealed by us, straight into the outbox.
//!
//! str0m does ICE, DTLS and SDP of a session. Its media path copies, queues and boxes every
//! packet for every viewer, which costs more than the encryption; so packets of sessions that
//! negotiated AES-GCM (RFC 7714: every browser) are made here instead, from the payload that all
//! viewers share: one pass of AES-GCM from there into the datagram. RTCP goes with them: without it
//! str0m needs no streams, which are a quarter of a session's memory. Viewers without AES-GCM are
//! served by str0m.
//!
//! ```text
//!   DTLS ─ keying material ─► keys: RFC 3711 key derivation ─► Sealer, Srtcp   (hooks see it pass)
//!   Lane ─ Index, header ──────────────────────────────────► seal ──► Outbox
//!   viewer's NACK ─► history: which packet of the source that was ─► sealed again, as RTX
//!   sender reports ─► srtcp ─► Outbox;  viewer's reports ─► srtcp ─► Session
//! ```
//!
//! AES-GCM breaks when a nonce is used twice with one key. Three things stand against it:
//! an [`Index`] cannot be copied and sealing consumes it, and RTCP is counted by what seals it; str0m
//! gets no keys of such a session; new keying material replaces the keys, and indices never go back.

mod history;
mod hooks;
mod keys;
mod seal;
mod send;
mod srtcp;
mod tally;

#[cfg(test)]
mod tests;

pub(crate) use history::{HISTORY_FRAMES, History, Missing, RETRANSMIT_AGE};
pub(crate) use hooks::{Keying, PROBE, Report, during, keyed, probe, take_probe};
pub(crate) use seal::{Header, Index, Indices, Packet, Sealer};
pub(crate) use send::{Route, SendTime, Shipped};
pub(crate) use srtcp::Srtcp;
pub(crate) use tally::{Sent, Tally};
