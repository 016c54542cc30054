//! Sans-IO media plane: the WebRTC sessions and the media sources of one shard.
//!
//! A [`Plane`] is a state machine. Time comes in as a parameter of every call, randomness as the
//! seed of its configuration, datagrams as slices; what it wants to send, to say and to be woken
//! for lies in an [`Outbox`] that the caller drains once per turn. It knows no socket, clock,
//! thread or lock.
//!
//! ```text
//!   write(access unit) ─► Source: packetise once ─► Track: packets since the last keyframe
//!                                                     │  one cursor per viewer
//!                                           fan_out ─► Lane: own SSRC, sequence, RTP time, format
//!                                                     │ ─► egress: SRTP
//!   datagram ─► Demux: address / ufrag ─► Session: ICE-lite, DTLS, RTCP, data channel (str0m)
//!                                                     │
//!                                                  Outbox: runs of equal datagrams, events, timers
//! ```

#![forbid(unsafe_code)]

#[cfg(test)]
extern crate self as rtc;

mod access_unit;
mod config;
mod credentials;
mod demux;
mod dtls;
mod egress;
mod error;
mod event;
mod fanout;
mod ingest;
mod keys;
mod outbox;
mod packetise;
mod plane;
#[cfg(test)]
mod rekeyed;
mod rtcp;
mod sctp;
mod sdp;
mod session;
mod signing;
mod source;
mod stats;
mod stun;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
#[cfg(test)]
mod testing;
#[cfg(test)]
#[path = "../tests/plane/through_str0m.rs"]
mod through_str0m;
mod timeline;
mod track;
mod viewer;

pub use access_unit::{AccessUnit, Codec};
pub use config::{MediaSocket, PlaneConfig, PlaneLimits, SocketIndex};
pub use dtls::Identity;
#[cfg(feature = "fault-injection")]
pub use dtls::seed_dtls;
pub use error::{IdentityError, PlaneError, SessionError};
pub use event::{CloseReason, Event, IceState, SessionState};
pub use ingest::{
    AccessUnitReader, BitstreamError, Container, Ingest, MAX_ACCESS_UNIT_BYTES,
    START_CODE_SEARCH_BYTES, VideoFormat,
};
pub use keys::{SessionKey, SourceKey};
pub use outbox::{Outbox, RUN_MAX_BYTES, RUN_MAX_SEGMENTS, Run};
pub use packetise::{MAX_PAYLOAD_BYTES, Packet, Packetiser};
pub use plane::Plane;
pub use sdp::{MAX_CANDIDATE_BYTES, MAX_SDP_BYTES};
pub use session::{CONTROL_LABEL, CONTROL_MESSAGE_BYTES, ICE_GONE, Session};
pub use stats::{
    AudioStats, ConnectionStats, PlaneCounters, SessionStats, SourceStats, TrackStats, VideoStats,
};
