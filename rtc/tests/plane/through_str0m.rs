//! The same suite for viewers without AES-GCM, whose media str0m seals.

#[path = "addresses.rs"]
mod addresses;
#[path = "day.rs"]
mod day;
#[path = "fanout.rs"]
mod fanout;
#[path = "joining.rs"]
mod joining;
#[path = "negotiation.rs"]
mod negotiation;
#[path = "neighbours.rs"]
mod neighbours;
#[path = "playback.rs"]
mod playback;
#[path = "sessions.rs"]
mod sessions;
#[path = "sync.rs"]
mod sync;

/// As `crate::support`, but for the DTLS of its simulations.
mod support {
    pub(crate) use crate::support::{
        Mishap, Network, STEP, Viewer, ViewerId, is_media, media, viewer,
    };

    pub(crate) type Sim = crate::support::Simulation<crate::rekeyed::WithoutGcm>;
}
