//! What a plane tells its owner.

use crate::{Codec, SessionKey, SourceKey};

/// Something that happened in a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The session moved on.
    SessionState {
        /// Which session.
        session: SessionKey,
        /// Its state from now on.
        state: SessionState,
    },
    /// The ICE connection moved on.
    IceState {
        /// Which session.
        session: SessionKey,
        /// Its ICE state from now on.
        state: IceState,
    },
    /// The session closed by itself. Its key is dead.
    SessionClosed {
        /// Which session it was.
        session: SessionKey,
        /// Why.
        reason: CloseReason,
    },
    /// The data channel [`CONTROL_LABEL`](crate::CONTROL_LABEL) is open.
    ChannelOpen {
        /// Which session.
        session: SessionKey,
    },
    /// The viewer sent text on the data channel.
    ChannelMessage {
        /// Which session.
        session: SessionKey,
        /// At most [`CONTROL_MESSAGE_BYTES`](crate::CONTROL_MESSAGE_BYTES).
        text: String,
    },
    /// A viewer cannot go on without a keyframe. At most one per source and
    /// [`PlaneLimits::keyframe_interval`](crate::PlaneLimits::keyframe_interval).
    KeyframeWanted {
        /// Whose publisher should make one.
        source: SourceKey,
    },
    /// The source sends a codec that this viewer did not negotiate. Once per session and codec.
    CodecNotNegotiated {
        /// Which session.
        session: SessionKey,
        /// What it cannot be sent.
        codec: Codec,
    },
}

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Offered, not answered.
    New,
    /// Answered; ICE or DTLS are not through.
    Connecting,
    /// Media flows.
    Connected,
    /// Over.
    Closed,
}

impl SessionState {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            SessionState::New => "new",
            SessionState::Connecting => "connecting",
            SessionState::Connected => "connected",
            SessionState::Closed => "closed",
        }
    }
}

/// ICE state, as in `RTCIceConnectionState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IceState {
    /// Nothing was checked.
    New,
    /// Waiting for, or in, connectivity checks.
    Checking,
    /// A pair works.
    Connected,
    /// A pair works and was nominated.
    Completed,
    /// Checks have stopped coming.
    Disconnected,
}

impl IceState {
    /// Every state, for a gauge with one series per state.
    pub const ALL: [IceState; 5] = [
        IceState::New,
        IceState::Checking,
        IceState::Connected,
        IceState::Completed,
        IceState::Disconnected,
    ];

    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            IceState::New => "new",
            IceState::Checking => "checking",
            IceState::Connected => "connected",
            IceState::Completed => "completed",
            IceState::Disconnected => "disconnected",
        }
    }
}

impl From<str0m::IceConnectionState> for IceState {
    fn from(state: str0m::IceConnectionState) -> Self {
        use str0m::IceConnectionState as S;
        match state {
            S::New => IceState::New,
            S::Checking => IceState::Checking,
            S::Connected => IceState::Connected,
            S::Completed => IceState::Completed,
            S::Disconnected => IceState::Disconnected,
        }
    }
}

/// Why a session closed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The viewer closed its peer connection (DTLS `close_notify`, or its SCTP association ended).
    PeerClosed,
    /// No connectivity check for [`ICE_GONE`](crate::ICE_GONE) after ICE was lost.
    IceTimeout,
    /// DTLS failed: another certificate than the answer's, or a handshake that never ended.
    DtlsFailed,
    /// A fault inside the server; this session alone is gone.
    Fault,
}

impl CloseReason {
    /// The name in logs and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            CloseReason::PeerClosed => "peer_closed",
            CloseReason::IceTimeout => "ice_timeout",
            CloseReason::DtlsFailed => "dtls_failed",
            CloseReason::Fault => "fault",
        }
    }
}
