//! What a shard counts, and how `/metrics` shows it.
//!
//! Each shard owns a [`ShardMetrics`]: plain cells that its code bumps, with no atomic, no lock and no allocation on
//! the way. A scrape asks every shard for a [`Snapshot`], and [`encode`] sums and writes them off the shards. The names
//! live in `families`, each once, next to its help.
//!
//! Labels that grow with use (`session_id`, `device_id`) are capped, and their series vanish with what they name.

mod devices;
mod histogram;
mod http;
mod labels;
mod snapshot;

use std::time::Duration;

use crate::http::routes::Route;

use devices::DeviceCells;
use http::HttpCells;

pub use histogram::Histogram;
pub use labels::{
    ByLabel, ConnectionEnd, DatagramDrop, Direction, Label, MessageKind, PublisherKind, SessionEnd,
    SocketKind,
};
pub use snapshot::{SessionGauges, ShardGauges, Snapshot};

/// Which series a shard keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Shards of the process, which share the caps below.
    pub shards: usize,
    /// Sessions of the process that have series of their own. 0: none has, `usize::MAX`: all have.
    pub session_series: usize,
    /// Devices of the process that have series of their own, as above. The rest is counted as `device_id="_other"`.
    pub device_series: usize,
}

/// The cells of one shard.
///
/// Where another part of the shard already counts (the media plane its packets), its counts are copied in before a
/// snapshot is taken; the cells here are then the only ones that `/metrics` knows.
#[derive(Clone, Debug)]
pub struct ShardMetrics {
    config: MetricsConfig,
    http: HttpCells,
    rejected: Vec<(&'static str, u64)>,
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
    /// Connections that ended here, by reason. One that was handed over has not ended.
    pub connections_closed: ByLabel<ConnectionEnd>,

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
    /// Datagrams received and not used, by reason.
    pub datagrams_dropped: ByLabel<DatagramDrop>,
    /// Sends: each is a run of datagrams to one address (UDP_SEGMENT).
    pub send_runs: u64,
    /// Datagrams in those runs.
    pub send_segments: u64,
    /// Bytes in those runs, without UDP and IP headers.
    pub send_bytes: u64,
    /// Datagrams dropped because the socket would have blocked.
    pub send_blocked: u64,
    /// Datagrams dropped because the kernel refused them (an unreachable address).
    pub send_failed: u64,
    /// RTP packets sent, without retransmissions.
    pub rtp_packets: u64,
    /// Bytes of those packets.
    pub rtp_bytes: u64,
    /// Packets that viewers reported missing (NACK, RFC 4585 §6.2.1).
    pub nacks: u64,
    /// Keyframes that viewers asked for (PLI and FIR, RFC 4585 §6.3.1, RFC 5104 §4.3.1).
    pub plis: u64,

    /// Panics that were caught; each closed one session or connection.
    pub panics: u64,
    /// Messages to other shards that found their mailbox full.
    pub mailbox_full: u64,
    /// How long turns took.
    pub turns: Histogram<14>,
    /// How late ticks came.
    pub tick_lag: Histogram<14>,
    /// From a frame's last byte in to its first packet's send.
    pub frame_latency: Histogram<17>,
}

impl ShardMetrics {
    /// Cells that have counted nothing.
    pub fn new(config: MetricsConfig) -> Self {
        ShardMetrics {
            config,
            http: HttpCells::new(),
            rejected: Vec::new(),
            devices: DeviceCells::new(config.device_series.div_ceil(config.shards.max(1))),
            sessions_closed: ByLabel::default(),
            messages_in: ByLabel::default(),
            messages_out: ByLabel::default(),
            connections_accepted: 0,
            connections_refused: 0,
            connections_handed_over: 0,
            connections_closed: ByLabel::default(),
            ice_candidates_added: 0,
            publishers_started: ByLabel::default(),
            access_units: 0,
            keyframe_requests: 0,
            datagrams_received: 0,
            datagrams_dropped: ByLabel::default(),
            send_runs: 0,
            send_segments: 0,
            send_bytes: 0,
            send_blocked: 0,
            send_failed: 0,
            rtp_packets: 0,
            rtp_bytes: 0,
            nacks: 0,
            plis: 0,
            panics: 0,
            mailbox_full: 0,
            turns: Histogram::new(&histogram::WORK),
            tick_lag: Histogram::new(&histogram::WORK),
            frame_latency: Histogram::new(&histogram::LATENCY),
        }
    }

    /// Counts an answered request. `took` runs from its complete head to its complete answer, so for a live body it
    /// is the time that was published, and for a WebSocket that of the handshake.
    pub fn http_request(&mut self, method: &str, route: Route, status: u16, took: Duration) {
        self.http.count(method, route, status, took);
    }

    /// Counts a request or message that was refused, by its machine-readable code. Codes are written in the source,
    /// some fifty of them, so the list is short and searching it needs no hash.
    pub fn rejected(&mut self, code: &'static str) {
        match self.rejected.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => self.rejected.push((code, 1)),
        }
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
        self.devices.of(device_id).lifetimes.observe(lived);
    }

    /// The device has gone: its series vanish, and its place is free for another.
    pub fn device_gone(&mut self, device_id: &str) {
        self.devices.forget(device_id);
    }
}
