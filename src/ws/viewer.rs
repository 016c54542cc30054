//! The state of a viewer's WebSocket.

use std::time::{Duration, Instant};

use super::Codec;
use super::pulse::Pulse;
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
    /// When quality is reported next.
    pub(crate) stats_at: Instant,
}

impl ViewerSocket {
    pub(crate) fn new(now: Instant, config: &config::Ws, session: SessionId) -> Self {
        Self {
            codec: Codec::new(config.message_bytes),
            pulse: Pulse::new(now, config),
            session,
            stats_at: now + STATS_INTERVAL,
        }
    }
}
