//! Rooms as their members see them.

mod life;
mod model;
mod order;
mod presence;
mod slow;
mod world;

use super::*;
use crate::store::MessageRow;

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

/// A stored message.
fn row(room: u64, epoch: u32, seq: u64) -> MessageRow {
    MessageRow {
        room: RoomId::new(room).unwrap(),
        epoch,
        seq,
        at: 1_700_000_000_000,
        text: format!(r#"{{"type":"danmu","content":"{seq}","seq":{seq}}}"#).into(),
    }
}
