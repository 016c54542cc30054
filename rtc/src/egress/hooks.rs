//! What the ciphers and the DTLS instance of a session share with it during its turn.
//!
//! str0m makes both through factories that are the same for every session, so they cannot be given
//! anything of their own. A session lends its sender reports to the thread for the time of a turn,
//! and takes away the keys that passed.

use std::cell::RefCell;

use str0m::crypto::SrtpProvider;
use str0m::crypto::dtls::SrtpProfile;
use str0m::rtp::Ssrc;

use super::keys;
use super::seal::Sealer;

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
    /// The session's media is ours.
    Sealed(Sealer),
    /// Without AES-GCM: str0m seals.
    Through,
}

/// The reports of video and audio.
type Reports = [Option<Report>; 2];

#[derive(Default)]
struct Lent {
    reports: Reports,
    keying: Option<Keying>,
}

thread_local! {
    static LENT: RefCell<Lent> = RefCell::default();
}

/// Runs a session's turn, which must not panic. Returns the keys that passed, too.
pub(crate) fn during<R>(reports: Reports, turn: impl FnOnce() -> R) -> (R, Option<Keying>) {
    LENT.set(Lent {
        reports,
        keying: None,
    });
    let result = turn();
    (result, LENT.take().keying)
}

/// A handshake of the session whose turn it is has come to an end. `client`: we were the client.
pub(crate) fn keyed(
    provider: &dyn SrtpProvider,
    profile: SrtpProfile,
    material: &[u8],
    client: bool,
) {
    let sealer = keys::derive(provider, profile, material, client);
    let keying = sealer.map_or(Keying::Through, Keying::Sealed);
    LENT.with_borrow_mut(|lent| lent.keying = Some(keying));
}

/// The report of a track of the session whose turn it is.
pub(super) fn report(ssrc: u32) -> Option<Report> {
    LENT.with_borrow(|lent| {
        let mut reports = lent.reports.iter().flatten();
        reports.find(|report| *report.ssrc == ssrc).copied()
    })
}
