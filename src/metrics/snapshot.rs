//! A shard's figures at an instant, as they travel to whoever writes `/metrics`.

use std::fmt::Display;

use super::merge::{ByName, Merge, cells};
use super::{ByLabel, PublisherKind, RoomState, ShardMetrics};

cells! {
    /// What a shard holds at this instant: sizes of its tables, which nobody needs to keep twice.
    pub struct ShardGauges {
        /// Open TCP connections, WebSockets among them.
        pub connections: u64,
        /// Open WebSockets.
        pub websockets: u64,
        /// Devices known: live, watched, or gone a moment ago.
        pub devices: u64,
        /// Publishers at work, by kind.
        pub publishers: ByLabel<PublisherKind>,
        /// Rooms by status.
        pub rooms: ByLabel<RoomState>,
        /// Connections that are members of a room.
        pub room_members: u64,
        /// Users in rooms; one that is on several shards counts on each.
        pub room_users: u64,
        /// Rows that the store is not done with.
        pub store_rows: u64,
        /// Token buckets that are not full.
        pub rate_buckets: u64,
        /// Timers in the wheel.
        pub timers: u64,
        /// Bytes held to be sent to clients (connections and datagrams).
        pub outbound_bytes: u64,
        /// Bytes of the groups of pictures kept for viewers that join.
        pub cached_media_bytes: u64,
    }
}

/// The figures of one session. A figure that is not known yet is NaN, and is left out.
#[derive(Clone, Copy)]
pub struct SessionGauges<'a> {
    /// Written only when the session gets series of its own.
    pub session_id: &'a dyn Display,
    /// The device that it watches.
    pub device_id: &'a str,
    /// ICE state as the W3C names it: new, checking, connected, completed, disconnected, failed,
    /// closed.
    pub ice_state: &'static str,
    /// Video frames sent over the last second, 1/s.
    pub frame_rate: f64,
    /// Video bits sent over the last second, bit/s.
    pub bitrate_bps: f64,
    /// Share of packets that the viewer reported lost, 0 to 1.
    pub loss_ratio: f64,
    /// Round-trip time, ms.
    pub rtt_ms: f64,
    /// Interarrival jitter (RFC 3550 §6.4.1), ms.
    pub jitter_ms: f64,
    /// ICE candidates of the viewer that were taken.
    pub candidates: u64,
}

/// A session with series of its own.
#[derive(Clone, Debug)]
pub(super) struct SessionSeries {
    pub(super) session_id: String,
    pub(super) device_id: String,
    pub(super) ice_state: &'static str,
    pub(super) frame_rate: f64,
    pub(super) bitrate_bps: f64,
    pub(super) loss_ratio: f64,
    pub(super) rtt_ms: f64,
    pub(super) jitter_ms: f64,
    pub(super) candidates: u64,
}

/// Sum, number and maximum of a figure over the sessions of which it is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread {
    pub(super) sum: f64,
    known: u64,
    max: f64,
}

impl Spread {
    fn add(&mut self, figure: f64) {
        if figure.is_finite() {
            self.sum += figure;
            self.known += 1;
            self.max = self.max.max(figure);
        }
    }

    /// The mean; NaN over nothing.
    pub(super) fn mean(&self) -> f64 {
        self.sum / self.known as f64
    }

    /// The maximum; NaN over nothing.
    pub(super) fn max(&self) -> f64 {
        if self.known == 0 { f64::NAN } else { self.max }
    }
}

impl Merge for Spread {
    fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.known += other.known;
        self.max = self.max.max(other.max);
    }
}

cells! {
    /// All sessions of a shard taken together, whether they have series of their own or not.
    pub(super) struct SessionTotals {
        pub(super) sessions: u64,
        pub(super) by_ice_state: ByName,
        pub(super) frame_rate: Spread,
        pub(super) bitrate_bps: Spread,
        pub(super) loss_ratio: Spread,
        pub(super) rtt_ms: Spread,
        pub(super) jitter_ms: Spread,
    }
}

impl SessionTotals {
    fn add(&mut self, session: &SessionGauges<'_>) {
        self.sessions += 1;
        self.by_ice_state.add(session.ice_state, 1);
        self.frame_rate.add(session.frame_rate);
        self.bitrate_bps.add(session.bitrate_bps);
        self.loss_ratio.add(session.loss_ratio);
        self.rtt_ms.add(session.rtt_ms);
        self.jitter_ms.add(session.jitter_ms);
    }
}

/// A shard's whole state at an instant.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) metrics: ShardMetrics,
    pub(super) gauges: ShardGauges,
    pub(super) totals: SessionTotals,
    pub(super) sessions: Vec<SessionSeries>,
    /// False where this is an older answer in the place of one that did not come.
    pub(super) answered: bool,
}

impl ShardMetrics {
    /// Begins a snapshot: copies the cells, but for those of devices, and takes what the shard holds now,
    /// about so many sessions among it. Devices and sessions follow one by one.
    pub fn snapshot(&mut self, gauges: ShardGauges, sessions: usize) -> Snapshot {
        let series = self.config.session_series.min(sessions);
        let named = self.devices.take_named();
        let mut metrics = self.clone();
        metrics.devices.reserve(named.len());
        self.devices.put_named(named);
        Snapshot {
            metrics,
            gauges,
            totals: SessionTotals::default(),
            // Its memory is touched as it fills.
            sessions: Vec::with_capacity(series),
            answered: true,
        }
    }
}

impl Snapshot {
    /// What the shard holds, to be added to.
    pub(crate) fn gauges(&mut self) -> &mut ShardGauges {
        &mut self.gauges
    }

    /// Copies the cells of a device, if it has any of its own.
    pub fn add_device(&mut self, metrics: &ShardMetrics, device_id: &str) {
        self.metrics.devices.copy(&metrics.devices, device_id);
    }

    /// Adds a session; the oldest first, for past the cap they go without series of their own and count in
    /// the totals alone.
    pub fn add_session(&mut self, session: &SessionGauges<'_>) {
        self.totals.add(session);
        if self.sessions.len() < self.metrics.config.session_series {
            self.sessions.push(SessionSeries {
                session_id: session.session_id.to_string(),
                device_id: session.device_id.to_owned(),
                ice_state: session.ice_state,
                frame_rate: session.frame_rate,
                bitrate_bps: session.bitrate_bps,
                loss_ratio: session.loss_ratio,
                rtt_ms: session.rtt_ms,
                jitter_ms: session.jitter_ms,
                candidates: session.candidates,
            });
        }
    }
}

/// The last answer of each shard. One that does not answer in time keeps its place with it, so that
/// the counters of the process do not fall and rise again, which Prometheus would take for a
/// restart.
#[derive(Debug, Default)]
pub struct LastAnswers {
    shards: Vec<Option<Snapshot>>,
}

impl LastAnswers {
    /// Nothing was answered yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what the shards answered now, by index, and gives what [`encode`](fn@super::encode)
    /// should write.
    pub fn update(&mut self, answers: Vec<Option<Snapshot>>) -> &[Option<Snapshot>] {
        self.shards.resize_with(answers.len(), || None);
        for (last, answer) in self.shards.iter_mut().zip(answers) {
            if answer.is_some() {
                *last = answer;
            } else if let Some(last) = last {
                last.answered = false;
            }
        }
        &self.shards
    }
}
