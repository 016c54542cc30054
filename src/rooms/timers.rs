//! What happens to rooms by itself.

use std::time::Instant;

use super::fail::At;
use super::heat::JOIN_POINTS;
use super::lifecycle::CLOSE_TIMEOUT;
use super::members::BLOCKED_HOLD;
use super::room::live_of;
use super::{RoomEvent, Rooms, Status, Time};
use crate::faults::Place;
use crate::ids::RoomId;

/// Members of a room that are cut in one tick: a close and its system call each.
const CUTS_PER_TICK: usize = 256;

/// Timers of rooms that a tick looks at, some microseconds each. A thousand rooms that tell at the same
/// moment who has come take four ticks.
const TIMERS_PER_TICK: usize = 256;

/// Rooms that are forgotten in one tick: a row for the store each, and its messages to delete. At
/// 5 ms a tick that is 1,600 a second, where all of them may be due at once after a long stop.
const RETIREMENTS_PER_TICK: usize = 8;

/// What the wheel has for a room. One that is there no more, or not in that state, ignores it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Timer {
    /// Who came and left is told.
    Presence(RoomId),
    /// What blocked members are still held for.
    Rotate(RoomId),
    /// Joins without a socket may have lapsed.
    Lapse(RoomId),
    /// A room that came back waits for its anchor no longer.
    Anchor(RoomId),
    /// Members that have not taken their room's end are cut.
    Force(RoomId),
    /// A room that has ended, or was never started, is forgotten.
    Retire(RoomId),
}

impl Timer {
    fn room(self) -> RoomId {
        match self {
            Timer::Presence(id)
            | Timer::Rotate(id)
            | Timer::Lapse(id)
            | Timer::Anchor(id)
            | Timer::Force(id)
            | Timer::Retire(id) => id,
        }
    }
}

impl Rooms {
    /// The tick: whatever is due. Its cost depends on that alone, not on how many rooms or members
    /// there are.
    pub fn tick(&mut self, time: Time) {
        self.clock.see(time.now);
        self.wheel.expire(time.now, TIMERS_PER_TICK, &mut self.due);
        // One by one: what is left after a panic is due with the next tick.
        while let Some(timer) = self.due.pop_front() {
            self.at = Some(At::Room(timer.room()));
            self.faults.pass(Place::RoomTimer);
            match timer {
                Timer::Presence(id) => self.tell_presence(time, id),
                Timer::Rotate(id) => self.rotate(time, id),
                Timer::Lapse(id) => self.lapse(time, id),
                Timer::Anchor(id) => self.give_anchor_up(time, id),
                Timer::Force(id) => self.force(time, id),
                Timer::Retire(id) => self.retiring.push_back(id),
            }
        }
        self.retire(time);
        self.at = None;
    }

    /// An instant before which a tick does nothing; `None`: nothing waits for one.
    pub fn next_due(&self) -> Option<Instant> {
        match self.due.is_empty() && self.retiring.is_empty() {
            true => self.wheel.next_deadline_hint(),
            false => Some(self.clock.origin),
        }
    }

    fn tell_presence(&mut self, time: Time, id: RoomId) {
        let at = self.clock.see(time.now);
        let Some(&slot) = self.by_id.get(&id) else {
            return;
        };
        let Some(live) = live_of(&mut self.rooms, slot) else {
            return;
        };
        let frame = live.people.presence(at, self.member_rate);
        if live.log.is_closed() {
            return;
        }
        // A full log: the next frame tells it all.
        if let Some(frame) = frame
            && live.log.push_notice(at, &frame).is_ok()
        {
            let points = live.people.told() as f64 * JOIN_POINTS;
            live.heat
                .add(time.unix_ms, self.config.heat_half_life, points);
            self.counters.presence += 1;
            self.sweeps.said(time.now, slot, live);
        }
        self.announce(time, slot);
    }

    fn rotate(&mut self, time: Time, id: RoomId) {
        let Some(&slot) = self.by_id.get(&id) else {
            return;
        };
        let Some(live) = live_of(&mut self.rooms, slot) else {
            return;
        };
        live.rotating = live.blocked > 0;
        if !live.rotating {
            return;
        }
        live.marks = [live.marks[1], live.log.end()];
        self.sweeps.touch(slot, live);
        self.after(time, BLOCKED_HOLD, Timer::Rotate(id));
    }

    fn lapse(&mut self, time: Time, id: RoomId) {
        let Some(&slot) = self.by_id.get(&id) else {
            return;
        };
        let Some(live) = live_of(&mut self.rooms, slot) else {
            return;
        };
        let mut users = Vec::new();
        if let Some(at) = live.people.lapsed(time.now, &mut users) {
            self.wheel.schedule(at, Timer::Lapse(id));
        }
        for person in users {
            self.depart(time, slot, person);
        }
    }

    fn give_anchor_up(&mut self, time: Time, id: RoomId) {
        let Some(&slot) = self.by_id.get(&id) else {
            return;
        };
        if live_of(&mut self.rooms, slot).is_some_and(|live| live.awaits_anchor) && !self.draining {
            self.end(time, slot);
        }
    }

    /// Cuts some of the members that are left of a closed room.
    fn force(&mut self, time: Time, id: RoomId) {
        let Some(&slot) = self.by_id.get(&id) else {
            return;
        };
        let Some(live) = live_of(&mut self.rooms, slot) else {
            return;
        };
        let mut cuts = CUTS_PER_TICK;
        while cuts > 0 && live.cut_from < live.members.end() {
            if let Some(member) = live.members.get_mut(live.cut_from)
                && !member.cut
            {
                member.cut = true;
                cuts -= 1;
                self.events.push(RoomEvent::Cut(member.connection));
            }
            live.cut_from += 1;
        }
        if live.cut_from < live.members.end() {
            // Due already: it comes with the next tick.
            self.wheel.schedule(time.now, Timer::Force(id));
        }
    }

    /// Forgets some of the rooms whose retention has passed.
    fn retire(&mut self, time: Time) {
        for _ in 0..RETIREMENTS_PER_TICK {
            let Some(id) = self.retiring.pop_front() else {
                return;
            };
            self.at = Some(At::Room(id));
            self.retire_one(time, id);
        }
    }

    fn retire_one(&mut self, time: Time, id: RoomId) {
        let Some(room) = self.by_id.get(&id).and_then(|&slot| self.rooms.get(slot)) else {
            return;
        };
        if room.record.status == Status::Live {
            return;
        }
        let age = time.unix_ms.saturating_sub(room.record.updated_at);
        if room.live.is_some() {
            // Its last members are being cut.
            self.after(time, CLOSE_TIMEOUT, Timer::Retire(id));
        } else if u128::from(age) < self.config.retention.as_millis() {
            // The clock was set back.
            let record = room.record.clone();
            self.retire_later(time, &record);
        } else {
            self.take(id);
            self.events.push(RoomEvent::Removed(id));
        }
    }
}
