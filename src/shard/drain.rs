//! The end of a shard: no new work, what is there is told and closed (M11).

use std::time::{Duration, Instant};

use tracing::info;

use super::passes::{Pass, next_keys};
use super::sockets::GOING_AWAY;
use super::{Blame, Shard};
use crate::connection::{Connection, Fate, Phase, Role};
use crate::error::ApiError;
use crate::ids::SessionId;
use crate::limits::LINGER;
use crate::metrics::{ConnectionEnd, SessionEnd};
use crate::totals::Total;

/// A request that is in flight may stand still for so long; a body that never comes must not use
/// up the whole time of a shutdown.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);

/// Members are told that the server goes away when what they have said is acknowledged, which takes
/// a batch of the store; and so long after the last message at the latest, should the store hang.
const ACKS_PATIENCE: Duration = Duration::from_secs(1);

/// What viewers and agents are told.
pub(super) const SHUTTING_DOWN: &str = "the server is shutting down";

impl Shard {
    /// Closes what is there, in the next turns. Requests in flight are still answered.
    pub(super) fn drain(&mut self, now: Instant, deadline: Instant) {
        if self.draining.is_some() {
            return;
        }
        self.draining = Some(deadline);
        self.totals.set(self.id, Total::Draining, 1);
        self.demo = None;
        let closed = self.sessions.len();
        let members = self.rooms.members();
        self.totals.set(self.id, Total::Drained, closed);
        self.totals.set(self.id, Total::DrainedMembers, members);
        self.drain_rooms(now);
        let left = deadline.saturating_duration_since(now);
        self.rooms_close_by = Some(now + ACKS_PATIENCE.min(left / 2));
        self.close_acknowledged(now);
        self.passes.begin(Pass::EndSessions(None));
        let shard = self.id.index();
        info!(shard, sessions = closed, members, "draining");
    }

    /// Closes the next sessions of a shard that drains; after the last one its connections are told.
    pub(super) fn end_sessions(&mut self, now: Instant, after: Option<SessionId>) -> Pass {
        let ids = next_keys(&self.sessions, after);
        let Some(&last) = ids.last() else {
            return Pass::DrainConnections(0);
        };
        for id in ids {
            self.guarded(now, Blame::Session(id), |shard| {
                shard.end_session(now, id, SessionEnd::Drain)
            });
        }
        Pass::EndSessions(Some(last))
    }

    /// Tells and closes the members of a shard that drains, once nobody waits for the store any more.
    pub(super) fn close_acknowledged(&mut self, now: Instant) {
        let due = |&mut by: &mut Instant| self.receipts_due == 0 || now >= by;
        if self.rooms_close_by.take_if(due).is_some() {
            self.rooms.drain(self.time(now), SHUTTING_DOWN);
        }
    }

    pub(super) fn drain_connection(&mut self, now: Instant, connection: &mut Connection) {
        if connection.fate != Fate::Stay {
            return;
        }
        connection.end = ConnectionEnd::Drain;
        if matches!(connection.role, Role::Member(_)) {
            // Its room's log ends with a close frame.
            return;
        }
        let Role::Http(http) = &mut connection.role else {
            return self.say_goodbye(now, connection, GOING_AWAY, SHUTTING_DOWN);
        };
        match std::mem::replace(&mut http.phase, Phase::Done) {
            Phase::Publish(exchange, publisher) => {
                self.stop_publishing(now, connection.id, &publisher);
                self.refuse(now, connection, exchange, ApiError::Draining);
            }
            // Its request is in flight: answered, with `Connection: close`.
            phase => {
                let rests = matches!(phase, Phase::Head) && http.decoder.between_requests();
                http.phase = phase;
                // A resting one has time to see that the server is not ready any more.
                let patience = if rests { LINGER } else { REQUEST_PATIENCE };
                let at = now + patience;
                self.set_alarm_by(connection, at);
            }
        }
    }

    /// Nothing is left on any shard, for a request in flight there may name something of this one; or the
    /// time is up. The driver may end.
    pub fn is_drained(&self, now: Instant) -> bool {
        self.is_draining() && (self.totals.is_quiet() || self.is_overdue(now))
    }

    /// Its time is up, whatever is still there.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.draining.is_some_and(|deadline| now >= deadline)
    }

    /// Whether the shard is shutting down.
    pub fn is_draining(&self) -> bool {
        self.draining.is_some()
    }
}
