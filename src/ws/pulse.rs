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
    /// Since when more messages wait than the queue holds.
    behind_since: Option<Instant>,
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
            behind_since: None,
        }
    }

    /// Bytes came.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(crate) fn beat(&mut self, now: Instant, output: &Output) -> Beat {
        self.look(now, output);
        if self.gives_up(now, output).is_some_and(|at| now >= at) {
            return Beat::Stalled;
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

    /// When to look again. To be asked after everything that is said.
    pub(crate) fn next(&mut self, now: Instant, output: &Output) -> Instant {
        self.look(now, output);
        let next = self.ping_at.min(self.heard + self.silence);
        self.gives_up(now, output).map_or(next, |at| at.min(next))
    }

    fn look(&mut self, now: Instant, output: &Output) {
        self.behind_since = match output.messages() > self.queue {
            // What was said in this turn alone, the socket has not refused yet.
            true => self
                .behind_since
                .filter(|_| output.stalled_since.is_some())
                .or(Some(now)),
            false => None,
        };
    }

    /// When patience with a peer that does not read ends, if it takes nothing until then.
    fn gives_up(&self, now: Instant, output: &Output) -> Option<Instant> {
        if output.is_empty() {
            return None;
        }
        let stalled = output.stalled_since.unwrap_or(now) + self.write;
        let behind = self.behind_since.map(|since| since + BEHIND_MOST);
        Some(behind.map_or(stalled, |at| at.min(stalled)))
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
    }

    #[test]
    fn a_peer_that_stays_behind_is_given_up_although_it_reads() {
        let start = Instant::now();
        let config = config::Ws::default();
        let mut pulse = Pulse::new(start, &config);
        let mut output = Output::default();
        for _ in 0..config.queue + 1 {
            output.bytes.extend([0; 10]);
            output.end_message();
            pulse.next(start, &output);
        }
        assert_eq!(pulse.next(start, &output), start + seconds(1));
        output.wrote(start, 5);
        let later = start + Duration::from_millis(999);
        output.wrote(later, 1);
        assert_eq!(pulse.beat(later, &output), Beat::Well);
        assert_eq!(pulse.beat(start + seconds(1), &output), Beat::Stalled);
        output.wrote(later, 4);
        assert_eq!(pulse.beat(start + seconds(1), &output), Beat::Well, "256");
    }
}
