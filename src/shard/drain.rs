//! The end of a shard: no new work, what is there is told and closed (M11).

use std::time::Instant;

use tracing::info;

use super::Shard;
use crate::connection::{Fate, Http, Phase, Role};
use crate::error::ApiError;
use crate::metrics::{ConnectionEnd, SessionEnd};
use crate::totals::Total;

impl Shard {
    /// Closes what is there. Requests in flight are still answered.
    pub(super) fn drain(&mut self, now: Instant, deadline: Instant) {
        if self.draining.is_some() {
            return;
        }
        self.draining = Some(deadline);
        self.demo = None;
        let ids: Vec<_> = self.sessions.keys().copied().collect();
        let closed = ids.len();
        for id in ids {
            self.end_session(now, id, SessionEnd::Drain);
        }
        self.totals.set(self.id, Total::Drained, closed);
        for id in self.connections.ids() {
            self.drain_connection(now, id);
        }
        info!(shard = self.id.index(), sessions = closed, "draining");
    }

    fn drain_connection(&mut self, now: Instant, id: crate::connection::ConnectionId) {
        let mut socket = false;
        self.with(now, id, |shard, connection| {
            match &mut connection.role {
                Role::Http(Http {
                    phase: phase @ Phase::Publish(..),
                    ..
                }) => {
                    let Phase::Publish(exchange, publisher) = std::mem::replace(phase, Phase::Done)
                    else {
                        return None;
                    };
                    shard.stop_publishing(now, id, &publisher);
                    shard.refuse(now, connection, exchange, ApiError::Draining);
                }
                Role::Http(Http {
                    phase: Phase::Head, ..
                }) if connection.input.is_empty() => {
                    connection.end = ConnectionEnd::Drain;
                    connection.fate = Fate::Close;
                }
                // Its request is in flight: answered, with `Connection: close`.
                Role::Http(_) => {}
                Role::Viewer(_) | Role::Agent(_) => socket = true,
            }
            None
        });
        if socket {
            self.dismiss(now, id, "the server is shutting down");
        }
    }

    /// Nothing is left, or the time is up: the driver may end.
    pub fn is_drained(&self, now: Instant) -> bool {
        self.draining
            .is_some_and(|deadline| self.connections.len() == 0 || now >= deadline)
    }

    /// Whether the shard is shutting down.
    pub fn is_draining(&self) -> bool {
        self.draining.is_some()
    }
}
