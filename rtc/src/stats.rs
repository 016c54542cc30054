//! Statistics of sessions, sources and the plane: plain numbers, serialised elsewhere.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::{Codec, IceState};

/// Least time that rates are taken over: a session counts when something wakes it, which its own or
/// its viewer's reports do about each second.
pub(crate) const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// What is known of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionStats {
    /// The picture.
    pub video: TrackStats,
    /// The sound.
    pub audio: TrackStats,
    /// The connection that carries both.
    pub connection: ConnectionStats,
}

/// One track of a session, as sent and as the viewer reported it (RTCP receiver reports).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrackStats {
    /// What was sent last.
    pub codec: Option<Codec>,
    /// Pictures, or audio packets, sent whole.
    pub frames_sent: u64,
    /// Pictures that the viewer was not sent because it lay too far behind.
    pub frames_skipped: u64,
    /// Pictures (or audio packets) sent per second, over the last second or two.
    pub fps: f64,
    /// Bits of RTP payload per second, retransmissions included, over the last second or
    /// two.
    pub bitrate_bps: u64,
    /// RTP packets sent, retransmissions included.
    pub packets_sent: u64,
    /// Bytes of RTP payload sent, retransmissions included.
    pub bytes_sent: u64,
    /// Packets lost, as the viewer counts them over the whole session.
    pub packets_lost: u64,
    /// Share of packets lost, 0 to 1, over the reports of the last 2 to 4 seconds.
    pub loss_ratio: f64,
    /// Interarrival jitter in ms (RFC 3550 §6.4.1).
    pub jitter_ms: f64,
    /// Round trip in ms, where a report told it.
    pub rtt_ms: Option<f64>,
    /// NACK messages received.
    pub nacks: u64,
    /// Keyframe requests (PLI and FIR) received.
    pub plis: u64,
}

/// The connection of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionStats {
    /// State of ICE.
    pub ice_state: IceState,
    /// Where the viewer is, once a pair is selected.
    pub remote: Option<SocketAddr>,
    /// Bytes of datagrams sent.
    pub bytes_sent: u64,
    /// Bytes of datagrams received, without STUN.
    pub bytes_received: u64,
    /// Round trip in ms: the newest of the tracks.
    pub rtt_ms: Option<f64>,
    /// Media datagrams dropped because the socket would have blocked.
    pub datagrams_blocked: u64,
}

impl SessionStats {
    pub(crate) fn new() -> Self {
        Self {
            video: TrackStats::default(),
            audio: TrackStats::default(),
            connection: ConnectionStats {
                ice_state: IceState::New,
                remote: None,
                bytes_sent: 0,
                bytes_received: 0,
                rtt_ms: None,
                datagrams_blocked: 0,
            },
        }
    }
}

/// What is known of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceStats {
    /// A publisher sends; false after [`Plane::publisher_gone`](crate::Plane::publisher_gone).
    pub live: bool,
    /// The picture, once there was one.
    pub video: Option<VideoStats>,
    /// The sound, once there was some.
    pub audio: Option<AudioStats>,
    /// Sessions of this source, connected or not.
    pub sessions: usize,
    /// Sessions that are being sent media.
    pub viewers: usize,
}

/// The picture of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoStats {
    /// What the publisher sends.
    pub codec: Codec,
    /// Width and height in pixels, of the last keyframe that told them.
    pub size: Option<(u16, u16)>,
    /// `profile-level-id` of H.264 (RFC 6184 §8.1), from the last SPS.
    pub profile_level_id: Option<u32>,
    /// Pictures over the last second.
    pub fps: f64,
    /// Bits of access units per second, over the last second.
    pub bitrate_bps: u64,
    /// Pictures taken, ever.
    pub frames: u64,
    /// Keyframes taken, ever.
    pub keyframes: u64,
    /// Pictures not taken: before the first keyframe, or not to be packetised.
    pub dropped: u64,
    /// Bytes of packets kept for viewers who join. 0: they wait for a keyframe.
    pub gop_bytes: usize,
}

/// The sound of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioStats {
    /// What the publisher sends.
    pub codec: Codec,
    /// Audio packets over the last second.
    pub fps: f64,
    /// Bits of audio per second, over the last second.
    pub bitrate_bps: u64,
    /// Audio packets taken, ever.
    pub frames: u64,
}

/// Counts what goes through over windows of a second.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    window: Option<Instant>,
    count: u64,
    bytes: u64,
    pub(crate) per_second: f64,
    pub(crate) bits_per_second: u64,
}

impl Rate {
    pub(crate) fn add(&mut self, now: Instant, bytes: usize) {
        let start = *self.window.get_or_insert(now);
        let elapsed = now.saturating_duration_since(start);
        if elapsed >= STATS_INTERVAL {
            let seconds = elapsed.as_secs_f64();
            self.per_second = self.count as f64 / seconds;
            self.bits_per_second = (self.bytes as f64 * 8.0 / seconds) as u64;
            (self.window, self.count, self.bytes) = (Some(now), 0, 0);
        }
        self.count += 1;
        self.bytes += bytes as u64;
    }
}

/// What the plane has counted since it was made. Single-writer cells: read them, never reset them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlaneCounters {
    /// Datagrams that came in, of any kind.
    pub datagrams_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Datagrams put into outboxes.
    pub datagrams_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// RTP packets among them, retransmissions included.
    pub rtp_packets_sent: u64,
    /// Those of them that a viewer had asked for again.
    pub rtp_packets_resent: u64,
    /// Dropped: neither STUN nor DTLS nor (S)RT(C)P, or not parseable (RFC 7983 §7).
    pub malformed: u64,
    /// Dropped: on a socket that the plane does not have.
    pub unknown_socket: u64,
    /// Dropped: not STUN, from an address that passed no STUN check.
    pub unknown_source: u64,
    /// Dropped: a STUN request for a ufrag of no session here.
    pub unknown_ufrag: u64,
    /// Dropped: a STUN request with the wrong MESSAGE-INTEGRITY.
    pub stun_bad_integrity: u64,
    /// Dropped: STUN that is no Binding request.
    pub stun_ignored: u64,
    /// Dropped: a valid check from one address too many for its session.
    pub stun_address_limit: u64,
    /// Dropped: a valid check that came too soon after others from its address.
    pub stun_rate: u64,
    /// Valid checks of an agent that took itself for the controlled one. It was told.
    pub stun_role_conflicts: u64,
    /// Dropped: DTLS or SRTCP before the answer, or SRTCP before there are keys for it.
    pub early: u64,
    /// Dropped: RTP, which viewers have no reason to send.
    pub unexpected_media: u64,
    /// Dropped: SRTCP that came before (RFC 3711 §3.3.2).
    pub replayed: u64,
    /// Datagrams that DTLS refused, and SCTP packets that would open too much.
    pub refused: u64,
    /// NACK messages from viewers.
    pub nacks: u64,
    /// Keyframe requests from viewers.
    pub plis: u64,
    /// Keyframe requests passed on to publishers.
    pub keyframes_wanted: u64,
    /// Media datagrams given up because the socket would have blocked.
    pub blocked: u64,
    /// Pictures not sent to a viewer that lay too far behind.
    pub frames_skipped: u64,
    /// Data channel messages dropped: binary, not UTF-8, or too long.
    pub channel_messages_dropped: u64,
    /// ICE candidates refused because the session had its share.
    pub candidates_refused: u64,
    /// Panics caught. Each closed one session.
    pub panics: u64,
    /// Sessions created.
    pub sessions_created: u64,
    /// Sessions closed, by either side.
    pub sessions_closed: u64,
}
