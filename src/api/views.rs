//! What the API shows of sessions and devices.

use rtc::{SessionStats, TrackStats};
use serde::Serialize;

use crate::clock::Rfc3339;
use crate::ids::{DeviceId, SessionId, UserId};
use crate::placement::ShardId;

/// A session, as `GET /api/media/sessions/{id}` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct SessionView {
    pub session_id: SessionId,
    pub device_id: DeviceId,
    pub user_id: UserId,
    pub state: &'static str,
    pub ice_state: &'static str,
    pub shard: ShardId,
    pub created_at: Rfc3339,
    pub last_activity_at: Rfc3339,
}

/// A page of sessions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionList {
    sessions: Vec<SessionView>,
    next_cursor: Option<SessionId>,
}

impl SessionList {
    /// The first `limit` of what the shards gave, each in order.
    pub fn new(mut sessions: Vec<SessionView>, limit: usize) -> Self {
        sessions.sort_unstable_by_key(|session| session.session_id);
        // Each shard gave `limit + 1` at most: one more than fits says that there is a next page.
        let more = sessions.len() > limit;
        sessions.truncate(limit);
        let next_cursor = if more {
            sessions.last().map(|session| session.session_id)
        } else {
            None
        };
        Self {
            sessions,
            next_cursor,
        }
    }
}

/// A device, as `GET /api/media/devices/{id}` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct DeviceView {
    pub device_id: DeviceId,
    pub live: bool,
    pub video: Option<VideoView>,
    pub audio: Option<AudioView>,
    pub viewers: usize,
    pub publisher: Option<PublisherView>,
    pub agent: bool,
    pub shard: ShardId,
    pub since: Rfc3339,
}

/// A device's video.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct VideoView {
    pub codec: &'static str,
    pub width: Option<u16>,
    pub height: Option<u16>,
    pub fps: f64,
    pub bitrate_bps: u64,
}

/// A device's audio.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct AudioView {
    pub codec: &'static str,
    pub bitrate_bps: u64,
}

/// Who publishes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct PublisherView {
    pub kind: &'static str,
    pub address: Option<String>,
    pub since: Rfc3339,
}

/// All devices.
#[derive(Debug, Serialize)]
pub struct DeviceList {
    devices: Vec<DeviceView>,
}

impl DeviceList {
    /// In the order of their ids.
    pub fn new(mut devices: Vec<DeviceView>) -> Self {
        devices.sort_unstable_by(|a, b| a.device_id.cmp(&b.device_id));
        Self { devices }
    }
}

/// What a finished body came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Published {
    pub access_units: u64,
    pub bytes: u64,
}

/// Quality of a session, as `GET …/stats` and the `stats` message show it.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct StatsView {
    pub video: TrackView,
    pub audio: TrackView,
    pub connection: ConnectionView,
}

/// Quality of one track.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct TrackView {
    pub codec: Option<&'static str>,
    pub fps: f64,
    pub bitrate_bps: u64,
    pub frames_sent: u64,
    pub frames_skipped: u64,
    pub packets_sent: u64,
    pub bytes_sent: u64,
    pub packets_lost: u64,
    pub loss_ratio: f64,
    pub jitter_ms: f64,
    pub rtt_ms: Option<f64>,
    pub nacks: u64,
    pub plis: u64,
}

/// The connection below both tracks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct ConnectionView {
    pub ice_state: &'static str,
    pub remote_address: Option<String>,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub rtt_ms: Option<f64>,
    pub datagrams_blocked: u64,
}

impl From<&SessionStats> for StatsView {
    fn from(stats: &SessionStats) -> Self {
        let connection = &stats.connection;
        Self {
            video: (&stats.video).into(),
            audio: (&stats.audio).into(),
            connection: ConnectionView {
                ice_state: connection.ice_state.name(),
                remote_address: connection.remote.map(|remote| remote.to_string()),
                bytes_sent: connection.bytes_sent,
                bytes_received: connection.bytes_received,
                rtt_ms: connection.rtt_ms,
                datagrams_blocked: connection.datagrams_blocked,
            },
        }
    }
}

impl From<&TrackStats> for TrackView {
    fn from(stats: &TrackStats) -> Self {
        Self {
            codec: stats.codec.map(rtc::Codec::name),
            fps: stats.fps,
            bitrate_bps: stats.bitrate_bps,
            frames_sent: stats.frames_sent,
            frames_skipped: stats.frames_skipped,
            packets_sent: stats.packets_sent,
            bytes_sent: stats.bytes_sent,
            packets_lost: stats.packets_lost,
            loss_ratio: stats.loss_ratio,
            jitter_ms: stats.jitter_ms,
            rtt_ms: stats.rtt_ms,
            nacks: stats.nacks,
            plis: stats.plis,
        }
    }
}
