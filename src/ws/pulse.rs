//! Whether the peer of a WebSocket is alive and reads.

use std::time::{Duration, Instant};

use crate::config;
use crate::connection::Output;
use crate::rooms::Backlog;

/// A client that is more messages behind than the queue for so long has stalled (M10).
const BEHIND_MOST: Duration = Duration::from_secs(1);

/// A member whose socket refuses bytes is looked at so often: its room goes on without telling it.
const BLOCKED_LOOK: Duration = Duration::from_millis(250);

/// Pings, and the patience with a peer that is silent or does not read.
#[derive(Debug)]
pub(crate) struct Pulse {
    heard: Instant,
    ping_at: Instant,
    /// Since when more messages wait in its output than the queue holds.
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
            behind_since: None,
        }
    }

    /// Another configuration holds: the next ping may come sooner. Whatever else is due is reckoned
    /// from what was heard and taken, each time.
    pub(crate) fn hasten(&mut self, now: Instant, config: &config::Ws) {
        self.ping_at = self.ping_at.min(now + config.ping_interval);
    }

    /// Bytes came.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// What is due. `room` is a member's part of its room's log, nothing for anybody else.
    pub(crate) fn beat(
        &mut self,
        now: Instant,
        config: &config::Ws,
        output: &Output,
        room: Backlog,
    ) -> Beat {
        self.look(now, config, output);
        let gives_up = self.gives_up(now, config, output, room);
        if gives_up.is_some_and(|at| now >= at) {
            return Beat::Stalled;
        }
        if now.saturating_duration_since(self.heard) >= config.pong_timeout {
            return Beat::Silent;
        }
        if now >= self.ping_at {
            self.ping_at = now + config.ping_interval;
            return Beat::Ping;
        }
        Beat::Well
    }

    /// When to look again. To be asked after everything that is said.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        config: &config::Ws,
        output: &Output,
        room: Backlog,
    ) -> Instant {
        self.look(now, config, output);
        let alive = self.ping_at.min(self.heard + config.pong_timeout);
        let look = room.blocked_since.map(|_| now + BLOCKED_LOOK);
        let gives_up = self.gives_up(now, config, output, room);
        [look, gives_up]
            .into_iter()
            .flatten()
            .fold(alive, Instant::min)
    }

    fn look(&mut self, now: Instant, config: &config::Ws, output: &Output) {
        self.behind_since = match output.messages() > config.queue {
            // What was said in this turn alone, the socket has not refused yet.
            true => self
                .behind_since
                .filter(|_| output.stalled_since.is_some())
                .or(Some(now)),
            false => None,
        };
    }

    /// When patience with a peer that does not read ends, if it takes nothing until then.
    fn gives_up(
        &self,
        now: Instant,
        config: &config::Ws,
        output: &Output,
        room: Backlog,
    ) -> Option<Instant> {
        let waits = !output.is_empty();
        let stalled = waits.then(|| output.stalled_since.unwrap_or(now) + config.write_timeout);
        let behind = self.behind_since.filter(|_| waits);
        // While its socket takes frames of its own, those of its room wait for them.
        let taken = |since: Instant| output.stalled_since.map_or(since, |own| own.max(since));
        let blocked = room.blocked_since.map(taken);
        [
            stalled,
            behind.map(|since| since + BEHIND_MOST),
            blocked.map(|since| since + config.write_timeout),
            room.behind_since.map(|since| since + BEHIND_MOST),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_ROOM: Backlog = Backlog {
        blocked_since: None,
        behind_since: None,
    };

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_silent_peer_is_pinged_and_then_given_up() {
        let start = Instant::now();
        let config = config::Ws::default();
        let (mut pulse, output) = (Pulse::new(start, &config), Output::default());
        assert_eq!(
            pulse.next(start, &config, &output, NO_ROOM),
            start + seconds(54)
        );
        assert_eq!(
            pulse.beat(start + seconds(54), &config, &output, NO_ROOM),
            Beat::Ping
        );
        assert_eq!(
            pulse.beat(start + seconds(55), &config, &output, NO_ROOM),
            Beat::Well
        );
        assert_eq!(
            pulse.beat(start + seconds(60), &config, &output, NO_ROOM),
            Beat::Silent
        );
        pulse.heard(start + seconds(59));
        assert_eq!(
            pulse.beat(start + seconds(60), &config, &output, NO_ROOM),
            Beat::Well
        );
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
        assert_eq!(
            pulse.beat(start + seconds(9), &config, &output, NO_ROOM),
            Beat::Well
        );
        assert_eq!(
            pulse.beat(start + seconds(10), &config, &output, NO_ROOM),
            Beat::Stalled
        );
        output.wrote(start + seconds(9), 1);
        assert_eq!(
            pulse.beat(start + seconds(10), &config, &output, NO_ROOM),
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
            pulse.next(start, &config, &output, NO_ROOM);
        }
        assert_eq!(
            pulse.next(start, &config, &output, NO_ROOM),
            start + seconds(1)
        );
        output.wrote(start, 5);
        let later = start + Duration::from_millis(999);
        output.wrote(later, 1);
        assert_eq!(pulse.beat(later, &config, &output, NO_ROOM), Beat::Well);
        assert_eq!(
            pulse.beat(start + seconds(1), &config, &output, NO_ROOM),
            Beat::Stalled
        );
        output.wrote(later, 4);
        assert_eq!(
            pulse.beat(start + seconds(1), &config, &output, NO_ROOM),
            Beat::Well,
            "256"
        );
    }

    #[test]
    fn a_member_that_does_not_keep_up_with_its_room_is_given_up() {
        let start = Instant::now();
        let config = config::Ws::default();
        let (mut pulse, output) = (Pulse::new(start, &config), Output::default());
        let blocked = Backlog {
            blocked_since: Some(start),
            behind_since: None,
        };
        assert_eq!(
            pulse.next(start, &config, &output, blocked),
            start + Duration::from_millis(250)
        );
        let mut at = |after, room| pulse.beat(start + after, &config, &output, room);
        assert_eq!(at(seconds(9), blocked), Beat::Well);
        assert_eq!(at(seconds(10), blocked), Beat::Stalled);
        let behind = Backlog {
            behind_since: Some(start),
            ..blocked
        };
        assert_eq!(at(Duration::from_millis(999), behind), Beat::Well);
        assert_eq!(at(seconds(1), behind), Beat::Stalled);
    }

    #[test]
    fn a_member_makes_progress_with_frames_of_its_own_too() {
        let start = Instant::now();
        let config = config::Ws::default();
        let (mut pulse, mut output) = (Pulse::new(start, &config), Output::default());
        let blocked = Backlog {
            blocked_since: Some(start),
            behind_since: None,
        };
        output.bytes.extend([0; 10]);
        output.end_message();
        output.wrote(start + seconds(9), 5);
        let mut at = |after| pulse.beat(start + after, &config, &output, blocked);
        assert_eq!(at(seconds(10)), Beat::Well);
        assert_eq!(at(seconds(19)), Beat::Stalled);
    }
}
