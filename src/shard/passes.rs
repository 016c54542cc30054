//! What concerns everything at once is done in slices: so much in a turn, the rest in the next ones.
//!
//! Everything that may go over all sessions, devices or connections of a shard is a [`Pass`], which
//! knows where to go on. Each turn has [`TURN_WORK`] for them and for the timers that are due; several
//! passes take turns. What comes or goes meanwhile is met by a pass or not, as it lies before or behind
//! it: nothing is met twice, and what is there all the time is not missed. A session whose time has come
//! and whose timer has not is still there for whoever asks for it, a fraction of a second longer.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::Instant;

use super::gather::Part;
use super::{Blame, Shard};
use crate::connection::Connection;
use crate::ids::{DeviceId, SessionId};
use crate::limits::TURN_WORK;

/// Sessions, devices or connections that a pass meets before the next pass has its turn.
pub(super) const PASS_ITEMS: usize = 32;
const _: () = assert!(
    PASS_ITEMS * CLOSE_WORK <= TURN_WORK,
    "one slice is within a turn"
);

/// What it costs to look at something, in tenths of a microsecond: a step in a tree, a comparison.
pub(super) const LOOK_WORK: usize = 1;
/// To copy the figures of a session or of a device.
pub(super) const COPY_WORK: usize = 5;
/// To handle a timer.
pub(super) const TIMER_WORK: usize = 10;
/// To have str0m look at its clocks.
pub(super) const MEDIA_TIMER_WORK: usize = 50;
/// To close a session: what its viewer is told is sealed, and some 300 pieces of memory are freed.
pub(super) const CLOSE_WORK: usize = 100;

/// The next keys of a table after this one, as many as a slice has.
pub(super) fn next_keys<K: Ord + Clone, V>(table: &BTreeMap<K, V>, after: Option<K>) -> Vec<K> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let rest = table.range((from, Bound::Unbounded));
    rest.take(PASS_ITEMS).map(|(key, _)| key.clone()).collect()
}

/// What is left of a turn for timers and passes.
#[derive(Debug)]
pub(super) struct Work {
    left: usize,
}

impl Default for Work {
    fn default() -> Self {
        Self { left: TURN_WORK }
    }
}

impl Work {
    /// So much was done.
    pub(super) fn did(&mut self, work: usize) {
        self.left = self.left.saturating_sub(work);
    }

    /// Whether this turn may do more.
    pub(super) fn is_left(&self) -> bool {
        self.left > 0
    }
}

/// Something that goes over everything of a kind.
#[derive(Debug)]
pub(super) enum Pass {
    /// Collects this shard's part of an aggregate.
    Collect(Part),
    /// Closes the sessions after this one, of a shard that drains; then the connections.
    EndSessions(Option<SessionId>),
    /// Tells those behind connections, from this slot on, that the shard drains.
    DrainConnections(u32),
    /// Timeouts became shorter: for connections from this slot on.
    HastenConnections(u32),
    /// Messages have another bound: for sockets of connections from this slot on.
    LimitMessages(u32),
    /// Timeouts became shorter: for the sessions after this one.
    LookAtSessions(Option<SessionId>),
    /// Devices are forgotten sooner: those after this one.
    HastenDevices(Option<DeviceId>),
}

/// The passes on their way, the next one first. At most one per request that waits for an aggregate,
/// and one of each other kind.
#[derive(Debug, Default)]
pub(super) struct Passes(VecDeque<Pass>);

impl Passes {
    /// Collects something for somebody. What is there already is only to be handed over.
    pub(super) fn collect(&mut self, part: Part) {
        match part.is_complete() {
            true => self.0.push_front(Pass::Collect(part)),
            false => self.0.push_back(Pass::Collect(part)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn is_ready(&self) -> bool {
        matches!(self.0.front(), Some(Pass::Collect(part)) if part.is_complete())
    }

    /// Begins a pass; one of its kind that is on its way begins anew.
    pub(super) fn begin(&mut self, pass: Pass) {
        let kind = std::mem::discriminant(&pass);
        self.0.retain(|other| std::mem::discriminant(other) != kind);
        self.0.push_back(pass);
    }
}

impl Shard {
    /// Goes on with timers and passes as far as this turn may. True: there is more to do.
    pub(super) fn go_on(&mut self, now: Instant) -> bool {
        // Whoever comes first may use the turn up; the other one has the next.
        let timers_first = self.turn.is_multiple_of(2);
        let mut more = timers_first && self.go_on_with_timers(now);
        more |= self.go_on_with_passes(now);
        more |= !timers_first && self.go_on_with_timers(now);
        self.work = Work::default();
        more
    }

    fn go_on_with_passes(&mut self, now: Instant) -> bool {
        while self.work.is_left() || self.passes.is_ready() {
            let Some(pass) = self.passes.0.pop_front() else {
                return false;
            };
            // After a panic it is not gone on with: who asked has no answer.
            let rest = self.guarded(now, Blame::Question, |shard| shard.slice(now, pass));
            self.passes.0.extend(rest.flatten());
        }
        !self.passes.is_empty()
    }

    /// The next items of a pass. `Some`: there may be more.
    fn slice(&mut self, now: Instant, pass: Pass) -> Option<Pass> {
        Some(match pass {
            Pass::Collect(part) => Pass::Collect(self.collect(now, part)?),
            Pass::EndSessions(from) => self.end_sessions(now, from),
            Pass::DrainConnections(from) => {
                Pass::DrainConnections(self.each_connection(now, from, Self::drain_connection)?)
            }
            Pass::HastenConnections(from) => {
                Pass::HastenConnections(self.each_connection(now, from, Self::hasten_connection)?)
            }
            Pass::LimitMessages(from) => {
                Pass::LimitMessages(self.each_connection(now, from, Self::limit_messages)?)
            }
            Pass::LookAtSessions(after) => {
                Pass::LookAtSessions(Some(self.look_at_sessions(now, after)?))
            }
            Pass::HastenDevices(after) => {
                Pass::HastenDevices(Some(self.hasten_devices(now, after)?))
            }
        })
    }

    /// Has `work` done for the connections in the next slots. `Some`: the slot to go on from.
    fn each_connection(
        &mut self,
        now: Instant,
        from: u32,
        work: fn(&mut Self, Instant, &mut Connection),
    ) -> Option<u32> {
        let ids: Vec<_> = {
            let connections = self.connections.in_slots(from, PASS_ITEMS)?;
            connections.into_iter().map(|it| it.id).collect()
        };
        self.work
            .did(PASS_ITEMS * LOOK_WORK + ids.len() * TIMER_WORK);
        for id in ids {
            self.with(now, id, |shard, connection| {
                work(shard, now, connection);
                None
            });
        }
        Some(from + PASS_ITEMS as u32)
    }
}

#[cfg(test)]
mod tests;
