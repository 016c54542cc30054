//! What is kept of a room beyond the process, and shown to clients.

use serde::{Serialize, Serializer};

use crate::ids::{DeviceId, RoomId, UserId};

/// Where a room stands. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// Created, not started.
    Idle = 0,
    /// Members come and talk.
    Live = 1,
    /// Over; it can still be read.
    Ended = 2,
}

impl Status {
    /// Every status, in its order.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Live, Self::Ended];

    /// The status with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// As its number.
impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

/// A room as it is stored. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct RoomRecord {
    /// Its id.
    pub id: RoomId,
    /// Who created it, starts and stops it.
    pub anchor: UserId,
    /// What it is called.
    pub title: Box<str>,
    /// The URL of its picture; empty: none.
    pub cover: Box<str>,
    /// The device whose picture it shows.
    pub device: Option<DeviceId>,
    /// Where it stands.
    pub status: Status,
    /// Distinct users at its end; 0 before.
    pub viewer_count: u64,
    /// `seq` counts within it. 1 at first, one more after a restart that may have lost messages.
    pub epoch: u32,
    /// The last message's `seq`, when the record was written; 0: none yet.
    pub last_seq: u64,
    /// Its heat at `updated_at`.
    pub heat: f64,
    /// When it was created.
    pub created_at: u64,
    /// When it was last written.
    pub updated_at: u64,
}
