//! What unit tests share.

use std::net::SocketAddr;
use std::time::Instant;

use crate::{Identity, MediaSocket, Plane, PlaneConfig, PlaneLimits};

/// A plane with one socket.
pub(crate) fn plane(now: Instant) -> Plane {
    let address = SocketAddr::from(([192, 0, 2, 1], 40_000));
    let config = PlaneConfig {
        identity: Identity::generate().expect("an identity"),
        sockets: vec![MediaSocket {
            bound: address,
            advertised: address,
        }],
        limits: PlaneLimits::default(),
        seed: [7; 32],
    };
    Plane::new(now, config).expect("a plane")
}

/// The start of a test's virtual time. The only clock that is read.
#[allow(clippy::disallowed_methods)]
pub(crate) fn start() -> Instant {
    Instant::now()
}
