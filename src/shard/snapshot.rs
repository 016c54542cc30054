//! Everything that the shard counts, at an instant, for `/metrics`.

use super::Shard;
use crate::connection::Role;
use crate::metrics::{ByLabel, DatagramDrop, SessionGauges, ShardGauges, Snapshot};

impl Shard {
    pub(super) fn snapshot(&mut self) -> Snapshot {
        self.copy_plane_counters();
        self.metrics.rooms.copy(self.rooms.counters());
        self.metrics.rate_buckets_evicted = self.buckets.evicted();
        let mut oldest_first: Vec<_> = self.sessions.iter().collect();
        oldest_first.sort_unstable_by_key(|(_, session)| session.created);
        let sessions = oldest_first.into_iter().filter_map(|(id, session)| {
            let media = self.plane.session(session.key)?;
            let stats = media.stats();
            Some(SessionGauges {
                session_id: id,
                device_id: session.device.as_str(),
                ice_state: media.ice_state().name(),
                frame_rate: stats.video.fps,
                bitrate_bps: stats.video.bitrate_bps as f64,
                loss_ratio: stats.video.loss_ratio,
                rtt_ms: stats.connection.rtt_ms.unwrap_or(f64::NAN),
                jitter_ms: stats.video.jitter_ms,
                candidates: media.candidates() as u64,
            })
        });
        self.metrics.snapshot(self.gauges(), sessions)
    }

    fn gauges(&self) -> ShardGauges {
        let mut gauges = ShardGauges {
            connections: self.connections.len() as u64,
            devices: self.devices.len() as u64,
            rooms: ByLabel::of_rooms(&self.rooms),
            room_members: self.rooms.members() as u64,
            room_users: self.rooms.user_count() as u64,
            store_rows: self.rows_in_flight(),
            rate_buckets: self.buckets.count() as u64,
            timers: self.timers() as u64,
            ..ShardGauges::default()
        };
        for connection in self.connections.iter() {
            gauges.outbound_bytes += connection.output.len() as u64;
            gauges.websockets += u64::from(!matches!(connection.role, Role::Http(_)));
        }
        for device in self.devices.values() {
            for holder in [device.video, device.audio].into_iter().flatten() {
                gauges.publishers.bump(holder.kind);
            }
            let stats = self.plane.source_stats(device.source);
            let video = stats.and_then(|stats| stats.video);
            gauges.cached_media_bytes += video.map_or(0, |video| video.gop_bytes as u64);
        }
        gauges
    }

    /// The media plane counts for itself; its counts become the shard's.
    fn copy_plane_counters(&mut self) {
        let counters = self.plane.counters();
        let metrics = &mut self.metrics;
        metrics.datagrams_received = counters.datagrams_received;
        metrics.bytes_received = counters.bytes_received;
        metrics.rtp_packets = counters.rtp_packets_sent;
        metrics.frames_skipped = counters.frames_skipped;
        metrics.rtp_packets_resent = counters.rtp_packets_resent;
        metrics.nacks = counters.nacks;
        metrics.plis = counters.plis;
        let drops = &mut metrics.datagrams_dropped;
        for (reason, count) in [
            (DatagramDrop::BadIntegrity, counters.stun_bad_integrity),
            (DatagramDrop::UnknownUfrag, counters.unknown_ufrag),
            (DatagramDrop::UnknownSource, counters.unknown_source),
            (
                DatagramDrop::Malformed,
                counters.malformed + counters.unknown_socket,
            ),
            (DatagramDrop::StunIgnored, counters.stun_ignored),
            (DatagramDrop::AddressLimit, counters.stun_address_limit),
            (DatagramDrop::StunRate, counters.stun_rate),
            (DatagramDrop::Early, counters.early),
            (DatagramDrop::UnexpectedMedia, counters.unexpected_media),
            (DatagramDrop::Replayed, counters.replayed),
            (DatagramDrop::DtlsRefused, counters.refused),
        ] {
            drops.set(reason, count);
        }
    }
}
