//! What a plane is made from: addresses, bounds, identity and randomness.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Identity;

/// Everything that a [`Plane`](crate::Plane) needs to know at its start.
pub struct PlaneConfig {
    /// Certificate and DTLS configuration, shared by every shard of the process.
    pub identity: Identity,
    /// The shard's UDP sockets. The position in this list is the [`SocketIndex`].
    pub sockets: Vec<MediaSocket>,
    /// Bounds; [`PlaneLimits::default`] has the values of the specification.
    pub limits: PlaneLimits,
    /// Seed of the ChaCha20 generator that draws ICE credentials and RTP offsets. It must come from
    /// the operating system and differ between shards: whoever knows it can pass the STUN check of
    /// any session.
    pub seed: [u8; 32],
}

/// A UDP socket that media goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaSocket {
    /// Where it is bound.
    pub bound: SocketAddr,
    /// What candidates say: `bound`, or the outside address of a 1:1 NAT.
    pub advertised: SocketAddr,
}

/// Position of a socket in [`PlaneConfig::sockets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketIndex(pub u8);

/// Bounds of a plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaneLimits {
    /// Remote ICE candidates per session, those of the answer included. The next one is refused.
    pub candidates: usize,
    /// Bytes of packets that a source keeps since its last keyframe. Past it a viewer that joins
    /// waits for the next keyframe.
    pub gop_bytes: usize,
    /// Age of the last keyframe up to which the packets since are kept.
    pub gop_age: Duration,
    /// Shortest time between two keyframe requests to one publisher, however many viewers ask.
    pub keyframe_interval: Duration,
}

impl Default for PlaneLimits {
    fn default() -> Self {
        Self {
            candidates: 50,
            gop_bytes: 4 << 20,
            gop_age: Duration::from_secs(10),
            keyframe_interval: Duration::from_millis(500),
        }
    }
}
