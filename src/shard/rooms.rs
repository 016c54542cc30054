//! The rooms of a shard between the API, the store and the clock.

use std::time::Instant;

use tracing::{info, warn};

use super::{Blame, Shard};
use crate::api::NewRoom;
use crate::connection::ConnectionId;
use crate::error::ApiError;
use crate::ids::{DeviceId, RoomId, UserId};
use crate::limits::SWEEP_MEMBERS;
use crate::media::{DEMO_DEVICE, DEMO_ROOM, DEMO_TITLE};
use crate::message::GatherId;
use crate::rooms::{RoomEvent, RoomFilter, RoomRecord, RoomView, Status, Time};
use crate::store::{Asker, MessageRow, Receipt, Row};
use crate::totals::Total;

/// Why rooms end by themselves.
pub(super) const ANCHOR_AWAY: &str = "its anchor stayed away";

impl Shard {
    /// This moment, for the rooms.
    pub(crate) fn time(&self, now: Instant) -> Time {
        let unix = self.clock.unix(now).as_millis();
        Time {
            now,
            unix_ms: u64::try_from(unix).unwrap_or(u64::MAX),
        }
    }

    /// The rooms that were stored.
    pub(super) fn restore_rooms(
        &mut self,
        now: Instant,
        rooms: Vec<(RoomRecord, Vec<MessageRow>)>,
    ) {
        let time = self.time(now);
        for (record, recent) in rooms {
            self.rooms.restore(time, record, recent);
        }
        self.count_rooms();
    }

    /// A slice of the sweeps: who is due is flushed with this turn. True: there is more.
    pub(super) fn sweep_rooms(&mut self, now: Instant) -> bool {
        let swept = self.guarded(now, Blame::Rooms, |shard| {
            let Self { rooms, outbox, .. } = shard;
            rooms.sweep(now, SWEEP_MEMBERS, &mut outbox.dirty)
        });
        // After a panic the other rooms are still to be swept.
        let more = swept.unwrap_or(true);
        self.take_room_events(now, ANCHOR_AWAY, None);
        more
    }

    /// The slice is with the kernel.
    pub(super) fn rooms_flushed(&mut self, now: Instant) {
        self.guarded(now, Blame::Rooms, |shard| shard.rooms.flushed(now));
        for swept in self.rooms.swept() {
            self.metrics.rooms.sweep_times.observe(swept.took);
            self.metrics.load.swept.observe(swept.members);
        }
    }

    /// A new room of this shard.
    pub(crate) fn new_room(
        &mut self,
        now: Instant,
        anchor: UserId,
        room: NewRoom,
    ) -> Result<RoomRecord, ApiError> {
        let limit = self.config.limits.rooms;
        if !limit.allows(self.totals.sum(Total::Rooms) + 1) {
            let limit = limit.get().unwrap_or_default();
            let what = "rooms";
            return Err(ApiError::Full { what, limit });
        }
        if let Some(limit) = self.config.limits.rooms_per_anchor.get()
            && self.rooms.open_rooms(&anchor) >= limit
        {
            return Err(ApiError::TooManyRooms { limit });
        }
        let id = self.draw_room_id();
        Ok(self.insert_room(now, id, anchor, room))
    }

    fn draw_room_id(&mut self) -> RoomId {
        let (shards, shard) = (self.shards, self.id);
        let mut random = || super::draw(&mut self.random);
        shards.room_id_for(shard, &mut random, |id| self.rooms.contains(id))
    }

    fn insert_room(
        &mut self,
        now: Instant,
        id: RoomId,
        anchor: UserId,
        room: NewRoom,
    ) -> RoomRecord {
        let time = self.time(now);
        let record = RoomRecord {
            id,
            anchor,
            title: room.title,
            cover: room.cover,
            device: room.device,
            status: Status::Idle,
            viewer_count: 0,
            epoch: 1,
            last_seq: 0,
            heat: 0.0,
            created_at: time.unix_ms,
            updated_at: time.unix_ms,
        };
        self.rooms.insert(time, record.clone());
        self.count_rooms();
        record
    }

    /// The room of the bundled clip: the newest one that is live since an earlier start, or a new
    /// one. Others end, and without the clip all do: nobody comes who would end them.
    pub(super) fn settle_demo_rooms(&mut self, now: Instant) {
        let device = DeviceId::try_from(DEMO_DEVICE);
        let anchor = UserId::try_from(DEMO_DEVICE);
        let (Some(first), Ok(device), Ok(anchor)) = (RoomId::new(DEMO_ROOM), device, anchor) else {
            return;
        };
        let time = self.time(now);
        let wanted = self.config.demo && self.shards.shard_of_room(first) == self.id;
        let live = self.rooms.list(&RoomFilter {
            status: Some(Status::Live),
            after: None,
            limit: usize::MAX,
        });
        let is_demo =
            |room: &RoomView| room.anchor_id == anchor && room.device_id.as_ref() == Some(&device);
        let mut demos: Vec<RoomId> = live
            .into_iter()
            .filter(is_demo)
            .map(|room| room.id)
            .collect();
        demos.sort_by_key(|&id| self.rooms.record(id).map(|record| record.created_at));
        match demos.pop_if(|_| wanted) {
            Some(newest) => self.rooms.heard_of_anchor(newest, &anchor),
            None if wanted => self.start_demo_room(now, first, anchor, device),
            None => {}
        }
        for old in demos {
            if let Err(error) = self.rooms.stop(time, old) {
                warn!(room = %old, "a room of the demo does not end: {error}");
            }
        }
        self.take_room_events(now, "no demo", None);
    }

    fn start_demo_room(&mut self, now: Instant, first: RoomId, anchor: UserId, device: DeviceId) {
        let id = match self.rooms.contains(first) {
            true => self.draw_room_id(),
            false => first,
        };
        let room = NewRoom {
            title: DEMO_TITLE.into(),
            cover: "".into(),
            device: Some(device),
        };
        self.insert_room(now, id, anchor, room);
        if let Err(error) = self.rooms.start(self.time(now), id) {
            warn!(room = %id, "the demo's room does not start: {error}");
        }
        self.take_room_events(now, "the demo", None);
    }

    /// Stores a room that was just made, for a request.
    pub(crate) fn store_new_room(
        &mut self,
        connection: ConnectionId,
        record: RoomRecord,
    ) -> GatherId {
        let gather = self.next_gather();
        let receipt = Receipt::NewRoom(Asker { connection, gather }, record.id);
        self.store(Row::Room(Box::new(record)), Some(receipt));
        gather
    }

    /// Stores what a request has changed of a room. Should that fail the room stays as it is now, and
    /// is stored as soon as it can be. `who` has asked for it.
    pub(crate) fn store_change(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        room: RoomId,
        who: &'static str,
    ) -> GatherId {
        let gather = self.next_gather();
        self.take_room_events(now, who, Some((room, Asker { connection, gather })));
        gather
    }

    /// A room that could not be stored is no room: whoever asked for it is told so. One that somebody
    /// has started meanwhile stays.
    pub(super) fn take_back(&mut self, room: RoomId) {
        self.rooms.remove(room);
        if self.rooms.contains(room) {
            self.unstored.changed(room);
        }
        self.count_rooms();
    }

    /// What the rooms report: to be stored, to be closed, to be forgotten. `why` a room has started or
    /// ended is for the log. `waiting`: who waits for what has changed of a room; what nobody waits
    /// for is stored with one of the next ticks.
    pub(super) fn take_room_events(
        &mut self,
        now: Instant,
        why: &'static str,
        waiting: Option<(RoomId, Asker)>,
    ) {
        let mut waiting = waiting;
        // None, nearly always: nothing is allocated then.
        for event in self.rooms.events().collect::<Vec<_>>() {
            match event {
                RoomEvent::Changed(record) => {
                    let id = record.id;
                    self.log_change(&record, why);
                    match waiting.take_if(|(room, _)| *room == id) {
                        Some((_, asker)) => {
                            let receipt = Receipt::Room(Some(asker), id);
                            self.store(Row::Room(record), Some(receipt));
                        }
                        None => self.unstored.changed(id),
                    }
                }
                RoomEvent::Removed(room) => {
                    self.count_rooms();
                    self.unstored.changed(room);
                }
                RoomEvent::Cut(id) => self.with(now, id, |shard, connection| {
                    shard.cut_member(now, connection);
                    None
                }),
            }
        }
    }

    fn log_change(&self, record: &RoomRecord, why: &'static str) {
        let (room, anchor, shard) = (record.id, &record.anchor, self.id.index());
        match record.status {
            Status::Idle => {}
            Status::Live => info!(%room, %anchor, why, shard, "room started"),
            Status::Ended => {
                let viewers = record.viewer_count;
                info!(%room, %anchor, why, viewers, shard, "room ended");
            }
        }
    }

    /// Nothing more is said in the rooms, and what moved in them since it was stored is stored,
    /// whatever the store says: there is no later, and the rooms that moved are what bounds it.
    pub(super) fn drain_rooms(&mut self, now: Instant) {
        let time = self.time(now);
        self.rooms.refuse();
        for record in self.rooms.records_to_save(time) {
            self.unstored.changed(record.id);
        }
        for room in self.unstored.take() {
            self.store_room(room);
        }
    }

    pub(super) fn count_rooms(&self) {
        self.totals.set(self.id, Total::Rooms, self.rooms.len());
    }
}
