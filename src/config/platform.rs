//! What the live platform's groups hold: rooms, their store.

use std::path::PathBuf;
use std::time::Duration;

use crate::limits::Cap;

/// `[rooms]`
#[derive(Debug, Clone, PartialEq)]
pub struct Rooms {
    /// Messages a second that one user may send to a room, over all of its sockets, 0: any number.
    /// Default: 10.
    pub member_rate: Cap,
    /// Messages that a user may send at once after a pause. Default: 20.
    pub member_burst: usize,
    /// Messages a second that a room takes from all its members together, 0: any number. What is
    /// past it is refused to its sender. Default: 10,000.
    pub message_rate: Cap,
    /// Recent messages that a live room keeps in memory for members that come back, up to 1 MiB, and
    /// 256 MiB for all rooms of a shard. Default: 1,024.
    pub recent: usize,
    /// A join by REST lapses after so long, unless repeated. Default: 60 s.
    pub join_timeout: Duration,
    /// A room that was live when the server ended comes back live, and ends after so long without a
    /// sign of its anchor. Default: 10 minutes.
    pub anchor_timeout: Duration,
    /// The time in which a room's heat falls to its half. Default: 5 minutes.
    pub heat_half_life: Duration,
    /// Rooms that ended so long ago are deleted with their messages, and those that were created so
    /// long ago and never started. Default: 30 days.
    pub retention: Duration,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            member_rate: Cap::new(10),
            member_burst: 20,
            message_rate: Cap::new(10_000),
            recent: 1024,
            join_timeout: Duration::from_secs(60),
            anchor_timeout: Duration::from_secs(10 * 60),
            heat_half_life: Duration::from_secs(5 * 60),
            retention: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// `[store]`
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    /// The SQLite file; `:memory:` keeps nothing beyond the process. Default: `media-service.db` in
    /// the working directory.
    pub path: PathBuf,
    /// Whether an acknowledged message also survives the loss of power (`fsync` at each commit), or
    /// the end of the process alone. Default: true.
    pub fsync: bool,
    /// Messages are deleted after so long. Default: 7 days.
    pub message_retention: Duration,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: PathBuf::from("media-service.db"),
            fsync: true,
            message_retention: Duration::from_secs(7 * 24 * 3600),
        }
    }
}
