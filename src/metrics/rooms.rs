//! What a shard counts of its rooms.

use super::families as f;
use super::histogram::{Histogram, Latency, Work};
use super::merge::cells;
use super::text::Text;
use super::{ByLabel, RoomMessage, RoomState, ShardGauges, ShardMetrics};
use crate::rooms::RoomCounters;

cells! {
    /// The cells of rooms and their members. Those that the rooms count for themselves are copied in
    /// before a snapshot is taken.
    pub struct RoomCells {
        /// Messages that were broadcast, by type.
        pub messages: ByLabel<RoomMessage>,
        /// Frames that sockets took, one for each member.
        pub deliveries: u64,
        /// Bytes of them.
        pub bytes: u64,
        /// Sweeps over the members of a room.
        pub sweeps: u64,
        /// How long they took, from the first slice to the end of the last one.
        pub sweep_times: Histogram<Work>,
        /// Members closed since they were too far behind.
        pub members_cut: u64,
        /// Members that asked for what was before them.
        pub replays: u64,
        /// Those of them for whom some of it was no longer held.
        pub replays_truncated: u64,
        /// Messages that their sender had sent before.
        pub repeated: u64,
        /// Messages that were acknowledged.
        pub acks: u64,
        /// From a message to its acknowledgement.
        pub ack_latency: Histogram<Latency>,
    }
}

impl RoomCells {
    /// Takes over what the rooms have counted.
    pub fn copy(&mut self, counters: &RoomCounters) {
        for (kind, count) in [
            (RoomMessage::Danmu, counters.danmu),
            (RoomMessage::Gift, counters.gift),
            (RoomMessage::Like, counters.like),
            (RoomMessage::System, counters.system),
            (RoomMessage::Presence, counters.presence),
        ] {
            self.messages.set(kind, count);
        }
        self.deliveries = counters.deliveries;
        self.bytes = counters.bytes;
        self.sweeps = counters.sweeps;
        self.replays = counters.replays;
        self.replays_truncated = counters.replays_truncated;
        self.repeated = counters.repeated;
    }
}

pub(super) fn write(
    text: &mut Text,
    metrics: &ShardMetrics,
    gauges: &ShardGauges,
) -> Result<(), prometheus::Error> {
    let rooms = &metrics.rooms;
    text.by_label(&f::ROOMS, "status", &gauges.rooms)?;
    text.count(&f::ROOM_MEMBERS, gauges.room_members)?;
    text.count(&f::ROOM_USERS, gauges.room_users)?;
    text.by_label(&f::ROOM_MESSAGES, "type", &rooms.messages)?;
    for (family, count) in [
        (&f::ROOM_DELIVERIES, rooms.deliveries),
        (&f::ROOM_DELIVERED_BYTES, rooms.bytes),
        (&f::ROOM_SWEEPS, rooms.sweeps),
        (&f::ROOM_MEMBERS_CUT, rooms.members_cut),
        (&f::ROOM_REPLAYS, rooms.replays),
        (&f::ROOM_REPLAYS_TRUNCATED, rooms.replays_truncated),
        (&f::ROOM_REPEATED, rooms.repeated),
        (&f::ROOM_ACKS, rooms.acks),
        (&f::ROOM_ROWS_IN_FLIGHT, gauges.store_rows),
    ] {
        text.count(family, count)?;
    }
    text.histograms::<_, &str, 0>(&f::ROOM_SWEEP_TIME, [], [([], &rooms.sweep_times)])?;
    text.histograms::<_, &str, 0>(&f::ROOM_ACK_LATENCY, [], [([], &rooms.ack_latency)])
}

impl ByLabel<RoomState> {
    /// Rooms by status.
    pub fn of_rooms(rooms: &crate::rooms::Rooms) -> Self {
        use crate::rooms::Status;
        let mut counts = Self::default();
        for (state, status) in [
            (RoomState::Idle, Status::Idle),
            (RoomState::Live, Status::Live),
            (RoomState::Ended, Status::Ended),
        ] {
            counts.set(state, rooms.with_status(status) as u64);
        }
        counts
    }
}
