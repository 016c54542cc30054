//! What the DTLS instance of a session shares with it during its turn.
//!
//! str0m makes it through a factory that is the same for every session, so it cannot be given anything
//! of its own. A session takes away the keys that passed, and asks where its viewer is.

use std::cell::{Cell, RefCell};

use str0m::crypto::dtls::SrtpProfile;
use str0m::rtp::Ssrc;

use super::keys;
use super::seal::Sealer;
use super::srtcp::Srtcp;

/// What our sender reports say of one track (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    pub(crate) ssrc: Ssrc,
    pub(crate) packets: u32,
    /// Of payload, without headers.
    pub(crate) octets: u32,
    /// RTP time now; nothing before the first packet.
    pub(crate) rtp: Option<u32>,
}

/// Keys that a handshake has agreed on. They replace all that were before.
#[derive(Debug)]
pub(crate) enum Keying {
    /// The session's media is ours, and so is its RTCP.
    Sealed(Sealer),
    /// Without AES-GCM: str0m seals.
    Through,
}

/// What a DTLS instance puts out when it is asked where the viewer is: str0m addresses it, and it goes
/// no further. Its first byte is none of DTLS, STUN or RTP (RFC 7983 §7).
pub(crate) const PROBE: [u8; 1] = [0xff];

thread_local! {
    static PASSED: RefCell<Option<(Keying, Option<Srtcp>)>> = const { RefCell::new(None) };
    static PROBING: Cell<bool> = const { Cell::new(false) };
}

/// Runs a session's turn, which must not panic. Returns the keys that passed, too.
pub(crate) fn during<R>(turn: impl FnOnce() -> R) -> (R, Option<(Keying, Option<Srtcp>)>) {
    PASSED.take();
    let result = turn();
    PROBING.set(false);
    (result, PASSED.take())
}

/// The session whose turn it is wants to know where its viewer is.
pub(crate) fn probe() {
    PROBING.set(true);
}

/// Whether it does. Once.
pub(crate) fn take_probe() -> bool {
    PROBING.take()
}

/// A handshake of the session whose turn it is has come to an end. `client`: we were the client. True
/// when its keys are ours alone.
pub(crate) fn keyed(profile: SrtpProfile, material: &[u8], client: bool) -> bool {
    let (keying, keys) = match keys::derive(profile, material, client) {
        Some((sealer, srtcp)) => (Keying::Sealed(sealer), Some(srtcp)),
        None => (Keying::Through, None),
    };
    let ours = keys.is_some();
    PASSED.set(Some((keying, keys)));
    ours
}
