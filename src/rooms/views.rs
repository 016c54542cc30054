//! What clients see of rooms.

use std::time::Duration;

use serde::Serialize;

use super::{RoomRecord, Status};
use crate::clock::Rfc3339;
use crate::ids::{DeviceId, RoomId, UserId};

/// A room, as `GET /api/v1/rooms/{id}` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct RoomView {
    pub id: RoomId,
    pub anchor_id: UserId,
    pub title: Box<str>,
    pub cover: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<DeviceId>,
    pub status: Status,
    pub viewer_count: u64,
    pub created_at: Rfc3339,
    pub updated_at: Rfc3339,
}

impl RoomView {
    pub(super) fn new(record: &RoomRecord, viewer_count: u64) -> Self {
        Self {
            id: record.id,
            anchor_id: record.anchor.clone(),
            title: record.title.clone(),
            cover: record.cover.clone(),
            device_id: record.device.clone(),
            status: record.status,
            viewer_count,
            created_at: Rfc3339::new(Duration::from_millis(record.created_at)),
            updated_at: Rfc3339::new(Duration::from_millis(record.updated_at)),
        }
    }
}

/// Which rooms of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomFilter {
    /// Of this status alone.
    pub status: Option<Status>,
    /// With greater ids than this.
    pub after: Option<RoomId>,
    /// So many at most.
    pub limit: usize,
}

/// A page of a room's viewers, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ViewerPage {
    /// Distinct users, connected or joined over HTTP.
    pub viewers: Vec<ViewerView>,
    /// The last one, where there are more.
    pub next_cursor: Option<UserId>,
}

/// A viewer of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct ViewerView {
    pub user_id: UserId,
    pub joined_at: Rfc3339,
}

/// A room of the heat ranking.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct HotRoom {
    pub room_id: RoomId,
    pub title: Box<str>,
    pub heat: f64,
    pub viewer_count: u64,
}
