//! Whether the peer of a WebSocket is alive and reads.

use std::time::{Duration, Instant};

use crate::config;
use crate::connection::Output;

/// A client that is more messages behind than the queue for so long has stalled (M10).
const BEHIND_MOST: Duration = Duration::from_secs(1);

/// Pings, and the patience with a peer that is silent or does not read.
#[derive(Debug)]
pub(crate) struct Pulse {
    heard: Instant,
    ping_at: Instant,
    interval: Duration,
    silence: Duration,
    write: Duration,
    queue: usize,
}

/// What time it is for a WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// All is well.
    Well,
    /// A ping is due; it counts as sent.
    Ping,
    /// Nothing was heard for too long.
    Silent,
    /// It does not take what is sent to it.
    Stalled,
}

impl Pulse {
    pub(crate) fn new(now: Instant, config: &config::Ws) -> Self {
        Self {
            heard: now,
            ping_at: now + config.ping_interval,
            interval: config.ping_interval,
            silence: config.pong_timeout,
            write: config.write_timeout,
            queue: config.queue,
        }
    }

    /// Bytes came.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(crate) fn beat(&mut self, now: Instant, output: &Output) -> Beat {
        if let Some(since) = output.stalled_since {
            let stalled = now.saturating_duration_since(since);
            if stalled >= self.write || (output.messages() > self.queue && stalled >= BEHIND_MOST) {
                return Beat::Stalled;
            }
        }
        if now.saturating_duration_since(self.heard) >= self.silence {
            return Beat::Silent;
        }
        if now >= self.ping_at {
            self.ping_at = now + self.interval;
            return Beat::Ping;
        }
        Beat::Well
    }

    /// When to look again.
    pub(crate) fn next(&self, now: Instant, output: &Output) -> Instant {
        let next = self.ping_at.min(self.heard + self.silence);
        match output.is_empty() {
            true => next,
            false => next.min(now + BEHIND_MOST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_silent_peer_is_pinged_and_then_given_up() {
        let start = Instant::now();
        let config = config::Ws::default();
        let (mut pulse, output) = (Pulse::new(start, &config), Output::default());
        assert_eq!(pulse.next(start, &output), start + seconds(54));
        assert_eq!(pulse.beat(start + seconds(54), &output), Beat::Ping);
        assert_eq!(pulse.beat(start + seconds(55), &output), Beat::Well);
        assert_eq!(pulse.beat(start + seconds(60), &output), Beat::Silent);
        pulse.heard(start + seconds(59));
        assert_eq!(pulse.beat(start + seconds(60), &output), Beat::Well);
    }

    #[test]
    fn a_peer_that_does_not_read_is_given_up() {
        let start = Instant::now();
        let config = config::Ws::default();
        let mut pulse = Pulse::new(start, &config);
        let mut output = Output::default();
        output.bytes.extend([0; 10]);
        output.end_message();
        output.wrote(start, 5);
        assert_eq!(pulse.beat(start + seconds(9), &output), Beat::Well);
        assert_eq!(pulse.beat(start + seconds(10), &output), Beat::Stalled);
        output.wrote(start + seconds(9), 1);
        assert_eq!(
            pulse.beat(start + seconds(10), &output),
            Beat::Well,
            "it made progress"
        );
        for _ in 0..config.queue {
            output.bytes.push(0);
            output.end_message();
        }
        assert_eq!(
            pulse.beat(start + seconds(10), &output),
            Beat::Stalled,
            "too far behind"
        );
    }
}
