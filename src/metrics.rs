//! What a shard counts, and how `/metrics` shows it.
//!
//! Each shard owns a [`ShardMetrics`]: plain cells that its code bumps, with no atomic, no lock and
//! no allocation on the way. A scrape asks every shard for a [`Snapshot`], and [`encode`](fn@encode) sums and
//! writes them off the shards. The names live in `families`, each once, next to its help.
//!
//! Labels that grow with use (`session_id`, `device_id`) are capped, and their series vanish with
//! what they name.

mod devices;
mod encode;
mod families;
mod held;
mod histogram;
mod http;
mod labels;
mod leak;
mod load;
mod merge;
mod process;
mod reload;
mod rooms;
mod snapshot;
mod store;
mod text;

use std::time::Duration;

use crate::http::routes::Route;

use devices::DeviceCells;
use http::HttpCells;
use merge::{ByName, Merge, cells};

pub use encode::{CONTENT_TYPE, EncodeError, encode};
pub use held::{Held, HeldWatch};
pub use histogram::{Batch, Buckets, Histogram, Latency, Lifetime, Measure, Run, Work};
pub use labels::{
    ByLabel, ConnectionEnd, DatagramDrop, Direction, Label, MessageKind, PanicPart, PublisherKind,
    RateLimit, Resource, RoomMessage, RoomState, SessionEnd, Stage, TlsHandshake,
};
pub use leak::LeakDetector;
pub use load::{LoadCells, Peak};
pub use process::{ExecutorFigures, ProcessFigures, resident_bytes};
pub use reload::{ReloadFigures, ReloadReading};
pub use rooms::RoomCells;
pub use snapshot::{LastAnswers, SessionGauges, ShardGauges, Snapshot};
pub use store::{StoreFigures, StoreReading};

/// Which series a shard keeps; none of a session or a device by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Shards of the process, which share the caps below.
    pub shards: usize,
    /// Sessions of the process that have series of their own. 0: none has, `usize::MAX`: all have.
    pub session_series: usize,
    /// Devices of the process that have series of their own, as above. The rest is counted as
    /// `device_id="_other"`.
    pub device_series: usize,
}

impl MetricsConfig {
    /// A shard's part of the devices with series of their own.
    fn device_cap(&self) -> usize {
        self.device_series.div_ceil(self.shards.max(1))
    }
}

impl Merge for MetricsConfig {
    /// It is the same on every shard.
    fn merge(&mut self, _: &Self) {}
}

cells! {
    /// The cells of one shard.
    ///
    /// Where another part of the shard already counts (the media plane its packets), its counts are
    /// copied in before a snapshot is taken; the cells here are then the only ones that `/metrics`
    /// knows.
    pub struct ShardMetrics {
        config: MetricsConfig,
        http: HttpCells,
        rejected: ByName,
        devices: DeviceCells,
        sessions_closed: ByLabel<SessionEnd>,

        /// Messages that came in over WebSockets.
        pub messages_in: ByLabel<MessageKind>,
        /// Messages that went out over WebSockets.
        pub messages_out: ByLabel<MessageKind>,

        /// TCP connections accepted by this shard's listener.
        pub connections_accepted: u64,
        /// TCP connections turned away at the door: over the limit, or no descriptor left.
        pub connections_refused: u64,
        /// Connections passed on to the shard that owns what they asked for.
        pub connections_handed_over: u64,
        /// Connections that other shards passed on to this one.
        pub connections_adopted: u64,
        /// Connections that ended here, by reason. One that was handed over has not ended.
        pub connections_closed: ByLabel<ConnectionEnd>,

        /// TLS handshakes, by how they ended.
        pub tls_handshakes: ByLabel<TlsHandshake>,
        /// Requests refused by a rate, by which one.
        pub rate_limited: ByLabel<RateLimit>,
        /// Token buckets that made place for others before they were full.
        pub rate_buckets_evicted: u64,

        /// ICE candidates of viewers that were taken, over all sessions.
        pub ice_candidates_added: u64,
        /// Publishers that began, by kind.
        pub publishers_started: ByLabel<PublisherKind>,
        /// Access units and audio packets that publishers brought.
        pub access_units: u64,
        /// Keyframes asked of publishers, after merging what viewers asked.
        pub keyframe_requests: u64,

        /// Datagrams received.
        pub datagrams_received: u64,
        /// Bytes of those datagrams, without UDP and IP headers.
        pub bytes_received: u64,
        /// Datagrams received and not used, by reason.
        pub datagrams_dropped: ByLabel<DatagramDrop>,
        /// Sends: each is a run of datagrams to one address (UDP_SEGMENT).
        pub send_runs: u64,
        /// Datagrams in those runs.
        pub send_datagrams: u64,
        /// Bytes in those runs, without UDP and IP headers.
        pub send_bytes: u64,
        /// Datagrams dropped because the socket would have blocked.
        pub send_blocked: u64,
        /// Datagrams dropped because the kernel refused them (an unreachable address).
        pub send_failed: u64,
        /// RTP packets sent, retransmissions included.
        pub rtp_packets: u64,
        /// Those of them that a viewer had asked for again (RTX, RFC 4588).
        pub rtp_packets_resent: u64,
        /// Pictures not sent to a viewer that lay too far behind.
        pub frames_skipped: u64,
        /// Reports of missing packets from viewers (NACK, RFC 4585 §6.2.1).
        pub nacks: u64,
        /// Keyframes that viewers asked for (PLI and FIR, RFC 4585 §6.3.1, RFC 5104 §4.3.1).
        pub plis: u64,

        /// Rooms and their members.
        pub rooms: RoomCells,

        /// Panics that were caught, by what has ended with each.
        pub panics: ByLabel<PanicPart>,
        /// Messages to other shards that found their mailbox full.
        pub mailbox_full: u64,
        /// Where the shard's time goes.
        pub load: LoadCells,
        /// How late ticks came.
        pub tick_lag: Histogram<Work>,
        /// From a frame's last byte in to its first packet's send.
        pub frame_latency: Histogram<Latency>,
    }
}

impl ShardMetrics {
    /// Cells that have counted nothing.
    pub fn new(config: MetricsConfig) -> Self {
        ShardMetrics {
            config,
            devices: DeviceCells::new(config.device_cap()),
            ..ShardMetrics::default()
        }
    }

    /// Other caps hold from now on: what is past them counts in the aggregates alone.
    pub fn reconfigure(&mut self, config: MetricsConfig) {
        self.config = config;
        self.devices.set_cap(config.device_cap());
    }

    /// Counts an answered request. `took` runs from its complete head to its complete answer, so
    /// for a live body it is the time that was published, and for a WebSocket that of the
    /// handshake.
    pub fn http_request(&mut self, method: &str, route: Route, status: u16, took: Duration) {
        self.http.count(method, route, status, took);
    }

    /// Counts a request or message that was refused, by its machine-readable code.
    pub fn rejected(&mut self, code: &'static str) {
        self.rejected.add(code, 1);
    }

    /// Counts a message over a WebSocket.
    pub fn message(&mut self, kind: MessageKind, direction: Direction) {
        match direction {
            Direction::In => self.messages_in.bump(kind),
            Direction::Out => self.messages_out.bump(kind),
        }
    }

    /// Counts a session of a device that was created.
    pub fn session_created(&mut self, device_id: &str) {
        self.devices.of(device_id).created += 1;
    }

    /// Counts a session of a device that ended, after it had `lived`.
    pub fn session_closed(&mut self, device_id: &str, reason: SessionEnd, lived: Duration) {
        self.sessions_closed.bump(reason);
        self.devices.of_former(device_id).lifetimes.observe(lived);
    }

    /// Requests that were answered, of any kind.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn requests_answered(&self) -> u64 {
        self.http.requests().map(|(_, count)| count).sum()
    }

    /// Sessions that ended, for any reason.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn sessions_ended(&self) -> u64 {
        self.sessions_closed.total()
    }

    /// The device has gone: its series vanish, and its place is free for another.
    pub fn device_gone(&mut self, device_id: &str) {
        self.devices.forget(device_id);
    }
}

#[cfg(test)]
mod tests;
