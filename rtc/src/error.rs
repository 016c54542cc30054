//! Errors of the plane, in sentences for the one who can do something about them.

use std::net::SocketAddr;

use crate::plane::MAX_SOCKETS;

/// Why a request about a session was refused. The session is as it was before, except after
/// [`Internal`](SessionError::Internal).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The key names no session.
    #[error("there is no such session")]
    UnknownSession,
    /// The key names no source.
    #[error("there is no such source")]
    UnknownSource,
    /// An answer came, but the last offer was answered already.
    #[error("there is no open offer: ask for a fresh one before sending another answer")]
    NoOpenOffer,
    /// The answer cannot be used. The offer stays open.
    #[error("bad SDP: {0}")]
    BadSdp(String),
    /// The session has its share of remote candidates.
    #[error("a session takes at most {limit} ICE candidates")]
    TooManyCandidates {
        /// [`PlaneLimits::candidates`](crate::PlaneLimits::candidates).
        limit: usize,
    },
    /// The candidate is not one (RFC 8839 §5.1).
    #[error("bad ICE candidate: {0}")]
    BadCandidate(String),
    /// Our own fault. The session is closed.
    #[error("the session failed inside the server and was closed")]
    Internal,
}

/// Why no DTLS identity could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Key or certificate could not be generated.
    #[error("cannot generate the DTLS certificate: {0}")]
    Certificate(String),
    /// The DTLS library refused its configuration.
    #[error("cannot configure DTLS: {0}")]
    Configuration(String),
}

/// Why a plane could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaneError {
    /// Without a socket there is nothing to offer.
    #[error("no media address: give at least one address to listen on for media")]
    NoSockets,
    /// More sockets than a [`SocketIndex`](crate::SocketIndex) counts.
    #[error("{0} media addresses are too many: at most {MAX_SOCKETS} are possible")]
    TooManySockets(usize),
    /// The address cannot stand in a candidate.
    #[error(
        "{address} cannot be advertised for media: {reason}; name an address that viewers can reach"
    )]
    BadAddress {
        /// The advertised address.
        address: SocketAddr,
        /// What is wrong with it.
        reason: String,
    },
}
