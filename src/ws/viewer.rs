//! The state of a viewer's WebSocket.

use std::time::{Duration, Instant};

use super::Codec;
use super::pulse::Pulse;
use crate::auth::{Identity, Role};
use crate::config;
use crate::ids::SessionId;

/// Quality is reported so often (M17).
pub const STATS_INTERVAL: Duration = Duration::from_secs(5);

/// A viewer's socket.
#[derive(Debug)]
pub struct ViewerSocket {
    pub(crate) codec: Codec,
    pub(crate) pulse: Pulse,
    /// What it watches.
    pub(crate) session: SessionId,
    /// Whether it may control the device.
    pub(crate) controls: bool,
    /// Unix seconds at which its token expires.
    pub(crate) expires_at: Option<u64>,
    /// When quality is reported next.
    pub(crate) stats_at: Instant,
}

impl ViewerSocket {
    pub(crate) fn new(
        now: Instant,
        config: &config::Ws,
        session: SessionId,
        identity: &Identity,
    ) -> Self {
        Self {
            codec: Codec::new(config.message_bytes),
            pulse: Pulse::new(now, config),
            session,
            controls: identity.role >= Role::Controller,
            expires_at: identity.expires_at,
            stats_at: now + STATS_INTERVAL,
        }
    }
}
