//! Rooms come, go live, end and are forgotten; users join and leave them; who is there and what is
//! going on.

use std::ops::Bound;
use std::time::Duration;

use super::log::Log;
use super::message::{Closing, json};
use super::people::PRESENCE_INTERVAL;
use super::room::{Live, Room, live_of};
use super::timers::Timer;
use super::{
    HotRoom, RoomError, RoomEvent, RoomFilter, RoomRecord, RoomView, Rooms, Status, Time,
    ViewerPage,
};
use crate::ids::{RoomId, UserId};
use crate::store::MessageRow;

/// Members have so long to take their room's end.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// What members are told at their room's end, with the code of RFC 6455 §7.4.1 for a purpose that is
/// fulfilled.
const ENDED: (u16, &str) = (1000, "the room has ended");
/// The code for a server that goes away.
const GOING_AWAY: u16 = 1001;
/// Bytes of a close frame's reason (RFC 6455 §5.5).
const CLOSE_REASON_BYTES: usize = 123;

impl Rooms {
    /// At the start: a stored room and, where it is live, the newest messages of its epoch, in their
    /// order. It ends by itself unless its anchor is heard of in time.
    pub fn restore(&mut self, time: Time, record: RoomRecord, recent: Vec<MessageRow>) {
        let at = self.clock.see(time.now);
        let live = (record.status == Status::Live).then(|| {
            let mut live = Live::new(&record, restored_log(&record, recent, at));
            live.awaits_anchor = true;
            Box::new(live)
        });
        let (id, anchor_timeout) = (record.id, self.config.anchor_timeout);
        match record.status {
            Status::Idle | Status::Ended => self.retire_later(time, &record),
            Status::Live => self.after(time, anchor_timeout, Timer::Anchor(id)),
        }
        let is_live = live.is_some();
        let slot = self.add(Room { record, live });
        if is_live {
            self.trim(time.now, slot);
        }
    }

    /// A room that was just created. To store it is for the caller.
    pub fn insert(&mut self, time: Time, record: RoomRecord) {
        self.restore(time, record, Vec::new());
    }

    /// Takes back a room that could not be stored. One that was started stays.
    pub fn remove(&mut self, id: RoomId) {
        if self.by_status[Status::Idle as usize].contains(&id) {
            self.take(id);
        }
    }

    /// What clients see of the room.
    pub fn view(&self, id: RoomId) -> Option<RoomView> {
        let room = self.room(id).ok()?;
        Some(RoomView::new(&room.record, room.viewer_count()))
    }

    /// Rooms in the order of their ids.
    pub fn list(&self, filter: &RoomFilter) -> Vec<RoomView> {
        let after = filter.after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (after, Bound::Unbounded);
        let view = |id| self.view(id);
        match filter.status {
            Some(status) => {
                let ids = self.by_status[status as usize].range(range).copied();
                ids.filter_map(view).take(filter.limit).collect()
            }
            None => {
                let ids = self.by_id.range(range).map(|(&id, _)| id);
                ids.filter_map(view).take(filter.limit).collect()
            }
        }
    }

    /// The room goes live, for once.
    ///
    /// # Errors
    /// [`RoomError::Unknown`], [`RoomError::NotIdle`].
    pub fn start(&mut self, time: Time, id: RoomId) -> Result<(), RoomError> {
        let slot = self.slot(id)?;
        let room = self.rooms.get_mut(slot).ok_or(RoomError::Unknown)?;
        if room.record.status != Status::Idle {
            return Err(RoomError::NotIdle);
        }
        room.record.updated_at = time.unix_ms;
        let log = Log::new(room.record.last_seq);
        room.live = Some(Box::new(Live::new(&room.record, log)));
        self.change_status(slot, Status::Live);
        Ok(())
    }

    /// The room ends: the number of its viewers is fixed, members are told and then closed, those
    /// that do not take it in 5 s without it.
    ///
    /// # Errors
    /// [`RoomError::Unknown`], [`RoomError::NotLive`], [`RoomError::Ended`].
    pub fn stop(&mut self, time: Time, id: RoomId) -> Result<(), RoomError> {
        let slot = self.slot(id)?;
        self.room(id)?.is_open()?;
        self.end(time, slot);
        Ok(())
    }

    /// A user joins without a socket. It lapses after `rooms.join_timeout`, counted from the last
    /// time.
    ///
    /// # Errors
    /// As [`Rooms::admits`], and [`RoomError::RoomFull`].
    pub fn join(&mut self, time: Time, id: RoomId, user: &UserId) -> Result<(), RoomError> {
        self.admits(id)?;
        let slot = self.slot(id)?;
        let live = live_of(&mut self.rooms, slot).ok_or(RoomError::NotLive)?;
        if !live.people.may_join(user) {
            return Err(RoomError::RoomFull);
        }
        let person = self.enter(time, slot, user)?;
        let live = live_of(&mut self.rooms, slot).ok_or(RoomError::NotLive)?;
        let until = time.now + self.config.join_timeout;
        if let Some(at) = live.people.joined(person, until) {
            self.wheel.schedule(at, Timer::Lapse(id));
        }
        Ok(())
    }

    /// The user's join without a socket is over; its sockets stay. Whoever did not join has left.
    ///
    /// # Errors
    /// [`RoomError::Unknown`].
    pub fn leave(&mut self, time: Time, id: RoomId, user: &UserId) -> Result<(), RoomError> {
        let slot = self.slot(id)?;
        if let Some(live) = live_of(&mut self.rooms, slot)
            && let Some(person) = live.people.find(user)
        {
            live.people.unjoined(person);
            self.depart(time, slot, person);
        }
        Ok(())
    }

    /// The user has done something with the room. A room that was live when the server ended goes on
    /// if it was the anchor.
    pub fn heard_of_anchor(&mut self, id: RoomId, user: &UserId) {
        let Some(&slot) = self.by_id.get(&id) else {
            return;
        };
        if let Some(room) = self.rooms.get_mut(slot)
            && room.record.anchor == *user
            && let Some(live) = &mut room.live
        {
            live.awaits_anchor = false;
        }
    }

    /// Shutdown begins: nobody comes, nothing more is said.
    pub fn refuse(&mut self) {
        self.draining = true;
    }

    /// Shutdown: every member is told and then closed, nobody comes, nothing more is said.
    pub fn drain(&mut self, time: Time, reason: &str) {
        self.refuse();
        let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES)];
        let live = self.by_status[Status::Live as usize].iter();
        let slots: Vec<u32> = live.filter_map(|id| self.by_id.get(id).copied()).collect();
        for slot in slots {
            self.close(time, slot, GOING_AWAY, reason);
        }
    }

    /// At a clean shutdown: the live rooms whose `last_seq` and heat are not those that were stored.
    pub fn records_to_save(&mut self, time: Time) -> Vec<RoomRecord> {
        let half_life = self.config.heat_half_life;
        let mut records = Vec::new();
        for id in &self.by_status[Status::Live as usize] {
            let room = self
                .by_id
                .get(id)
                .and_then(|&slot| self.rooms.get_mut(slot));
            if let Some(room) = room
                && let Some(live) = &mut room.live
                && std::mem::take(&mut live.moved)
            {
                live.settle(&mut room.record, time, half_life);
                records.push(room.record.clone());
            }
        }
        records
    }

    /// Who is in the room, in the order of their ids. Nobody is in one that is not live.
    ///
    /// # Errors
    /// [`RoomError::Unknown`].
    pub fn viewers(
        &self,
        id: RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<ViewerPage, RoomError> {
        let room = self.room(id)?;
        Ok(match &room.live {
            Some(live) if room.is_open().is_ok() => live.people.page(after, limit),
            _ => ViewerPage {
                viewers: Vec::new(),
                next_cursor: None,
            },
        })
    }

    /// The hottest live rooms. Their order is a second old at most.
    pub fn hot(&mut self, time: Time, limit: usize) -> Vec<HotRoom> {
        if !self.ranking.is_fresh(time.now) {
            let half_life = self.config.heat_half_life;
            let heats = self.by_status[Status::Live as usize]
                .iter()
                .filter_map(|&id| {
                    let live = self.rooms.get(*self.by_id.get(&id)?)?.live.as_ref()?;
                    Some((id, live.heat.at(time.unix_ms, half_life)))
                });
            self.ranking.make(time.now, heats);
        }
        let rooms = self.ranking.rooms().iter().filter_map(|&(id, heat)| {
            let room = self.room(id).ok().filter(|room| room.is_open().is_ok())?;
            Some(HotRoom {
                room_id: id,
                title: room.record.title.clone(),
                heat,
                viewer_count: room.viewer_count(),
            })
        });
        rooms.take(limit).collect()
    }

    /// Ends a live room.
    pub(super) fn end(&mut self, time: Time, slot: u32) {
        let half_life = self.config.heat_half_life;
        let Some(room) = self.rooms.get_mut(slot) else {
            return;
        };
        let viewers = room.viewer_count();
        let Some(live) = &mut room.live else {
            return;
        };
        live.settle(&mut room.record, time, half_life);
        room.record.viewer_count = viewers;
        let record = room.record.clone();
        self.change_status(slot, Status::Ended);
        self.retire_later(time, &record);
        let (code, reason) = ENDED;
        self.close(time, slot, code, reason);
        if live_of(&mut self.rooms, slot).is_some_and(|live| live.members.is_empty()) {
            self.forget_live(slot);
        }
    }

    /// Ends the log of a room that has members.
    fn close(&mut self, time: Time, slot: u32, code: u16, reason: &str) {
        let at = self.clock.see(time.now);
        let Some(room) = self.rooms.get_mut(slot) else {
            return;
        };
        let Some(live) = &mut room.live else {
            return;
        };
        if live.members.is_empty() || live.log.is_closed() {
            return;
        }
        live.log.close(at, &json(&Closing { reason }), code, reason);
        self.sweeps.said(time.now, slot, live);
        let id = room.record.id;
        self.after(time, CLOSE_TIMEOUT, Timer::Force(id));
    }

    /// The user is in the room from now on, if it was not before.
    pub(super) fn enter(&mut self, time: Time, slot: u32, user: &UserId) -> Result<u32, RoomError> {
        let room = self.rooms.get_mut(slot).ok_or(RoomError::Unknown)?;
        let anchor = room.record.anchor == *user;
        let live = room.open()?;
        live.awaits_anchor &= !anchor;
        let (person, new) = live.people.enter(user, time.unix_ms);
        if new {
            live.moved = true;
            self.online.arrive(user);
            self.announce(time, slot);
        }
        Ok(person)
    }

    /// The user is not in the room any more, if nothing keeps it there.
    pub(super) fn depart(&mut self, time: Time, slot: u32, person: u32) {
        let (at, rate) = (self.clock.see(time.now), self.member_rate);
        let live = live_of(&mut self.rooms, slot);
        if let Some(user) = live.and_then(|live| live.people.leave(person, at, rate)) {
            self.online.depart(&user);
            self.announce(time, slot);
        }
    }

    pub(super) fn announce(&mut self, time: Time, slot: u32) {
        if let Some(room) = self.rooms.get_mut(slot)
            && let Some(live) = &mut room.live
            && live.people.announce()
        {
            let timer = Timer::Presence(room.record.id);
            self.after(time, PRESENCE_INTERVAL, timer);
        }
    }

    /// The last member of a room that has ended is gone: what is left is its record.
    pub(super) fn forget_live(&mut self, slot: u32) {
        let live = self.rooms.get_mut(slot).and_then(|room| room.live.take());
        if let Some(live) = live {
            self.kept.bytes -= live.counted;
            for user in live.people.names() {
                self.online.depart(user);
            }
        }
    }

    /// Takes a room away.
    pub(super) fn take(&mut self, id: RoomId) {
        if let Some(room) = self
            .by_id
            .remove(&id)
            .and_then(|slot| self.rooms.remove(slot))
        {
            self.by_status[room.record.status as usize].remove(&id);
            if room.record.status != Status::Ended {
                self.one_open_less(&room.record.anchor);
            }
        }
    }

    pub(super) fn retire_later(&mut self, time: Time, record: &RoomRecord) {
        let age = Duration::from_millis(time.unix_ms.saturating_sub(record.updated_at));
        let left = self.config.retention.saturating_sub(age);
        self.after(time, left, Timer::Retire(record.id));
    }

    /// Retention became shorter: rooms that are kept are looked at when it has passed.
    pub(super) fn retire_sooner(&mut self, time: Time) {
        let of = |status: Status| self.by_status[status as usize].iter();
        let kept = of(Status::Idle).chain(of(Status::Ended));
        let records: Vec<_> = kept.filter_map(|&id| self.record(id).cloned()).collect();
        for record in records {
            self.retire_later(time, &record);
        }
    }

    pub(super) fn after(&mut self, time: Time, wait: Duration, timer: Timer) {
        self.wheel.schedule(time.now + wait, timer);
    }

    fn add(&mut self, room: Room) -> u32 {
        let (id, status) = (room.record.id, room.record.status);
        debug_assert!(!self.contains(id), "room {id} is here already");
        if status != Status::Ended {
            *self.open.entry(room.record.anchor.clone()).or_default() += 1;
        }
        let slot = self.rooms.insert(room);
        self.by_id.insert(id, slot);
        self.by_status[status as usize].insert(id);
        slot
    }

    pub(super) fn change_status(&mut self, slot: u32, status: Status) {
        if let Some(room) = self.rooms.get_mut(slot) {
            let record = &mut room.record;
            self.by_status[record.status as usize].remove(&record.id);
            self.by_status[status as usize].insert(record.id);
            record.status = status;
            let record = Box::new(record.clone());
            if status == Status::Ended {
                self.one_open_less(&record.anchor);
            }
            self.events.push(RoomEvent::Changed(record));
        }
    }

    fn one_open_less(&mut self, anchor: &UserId) {
        if let Some(rooms) = self.open.get_mut(anchor) {
            *rooms -= 1;
            if *rooms == 0 {
                self.open.remove(anchor);
            }
        }
    }
}

impl Live {
    /// Puts what moves with every message into the record.
    fn settle(&self, record: &mut RoomRecord, time: Time, half_life: Duration) {
        record.last_seq = self.log.last_seq();
        record.heat = self.heat.at(time.unix_ms, half_life);
        record.updated_at = time.unix_ms;
    }
}

/// The log of a room that was live when the server ended. Only what is without gaps up to its end
/// can be replayed.
fn restored_log(record: &RoomRecord, mut rows: Vec<MessageRow>, at: u32) -> Log {
    rows.retain(|row| row.epoch == record.epoch);
    let last = rows.last().map_or(0, |row| row.seq).max(record.last_seq);
    let whole = rows.iter().rev().zip((0..=last).rev());
    let count = whole.take_while(|(row, seq)| row.seq == *seq).count();
    let mut log = Log::new(last - count as u64);
    for row in &rows[rows.len() - count..] {
        // What is past the log's bound is what came last: it must not be there without the rest.
        if log.push_message(at, &row.text).is_err() {
            return Log::new(last);
        }
    }
    log
}
