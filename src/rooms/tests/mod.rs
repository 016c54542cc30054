//! Rooms as their members see them.

use super::*;

/// An idle room.
pub(super) fn record(id: u64) -> RoomRecord {
    RoomRecord {
        id: RoomId::new(id).unwrap(),
        anchor: "anchor".parse().unwrap(),
        title: "A room".into(),
        cover: "".into(),
        device: None,
        status: Status::Idle,
        viewer_count: 0,
        epoch: 1,
        last_seq: 0,
        heat: 0.0,
        created_at: 1_700_000_000_000,
        updated_at: 1_700_000_000_000,
    }
}
