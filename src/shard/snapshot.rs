//! Everything that the shard counts, at an instant, for `/metrics`.

use super::Shard;
use super::passes::{COPY_WORK, LOOK_WORK, PASS_ITEMS, next_keys};
use crate::connection::{Connection, Role};
use crate::ids::{DeviceId, SessionId};
use crate::metrics::{ByLabel, DatagramDrop, SessionGauges, ShardGauges, Snapshot};

/// What it costs to copy the counters, in tenths of a microsecond.
const BEGIN_WORK: usize = 300;

/// A snapshot on its way: the counters are those of its beginning, the rest is met in slices.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) snapshot: Snapshot,
    next: Next,
}

/// What a survey goes on with.
#[derive(Debug)]
enum Next {
    /// Connections from this slot on.
    Connections(u32),
    /// The devices after this one.
    Devices(Option<DeviceId>),
    /// The sessions that were created after that many others: past the cap on series the youngest go
    /// without.
    Sessions(u64),
}

impl Shard {
    pub(super) fn begin_snapshot(&mut self) -> Box<Survey> {
        self.copy_plane_counters();
        self.metrics.rooms.copy(self.rooms.counters());
        self.metrics.rate_buckets_evicted = self.buckets.evicted();
        let gauges = ShardGauges {
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
        self.work.did(BEGIN_WORK);
        Box::new(Survey {
            snapshot: self.metrics.snapshot(gauges, self.sessions.len()),
            next: Next::Connections(0),
        })
    }

    /// Goes on with a snapshot. False: it is complete.
    pub(super) fn survey(&mut self, survey: &mut Survey) -> bool {
        let Survey { snapshot, next } = survey;
        match next {
            Next::Connections(from) => {
                let Some(connections) = self.connections.in_slots(*from, PASS_ITEMS) else {
                    *next = Next::Devices(None);
                    return true;
                };
                for connection in connections {
                    survey_connection(snapshot, connection);
                }
                *from += PASS_ITEMS as u32;
                self.work.did(PASS_ITEMS * LOOK_WORK);
            }
            Next::Devices(after) => {
                let mut ids = next_keys(&self.devices, after.take());
                ids.iter().for_each(|id| self.survey_device(snapshot, id));
                self.work.did(ids.len() * COPY_WORK);
                *next = match ids.pop() {
                    Some(last) => Next::Devices(Some(last)),
                    None => Next::Sessions(0),
                };
            }
            Next::Sessions(after) => {
                let mut last = None;
                for (&number, id) in self.by_age.range(*after + 1..).take(PASS_ITEMS) {
                    self.survey_session(snapshot, id);
                    last = Some(number);
                }
                self.work.did(PASS_ITEMS * COPY_WORK);
                match last {
                    Some(last) => *after = last,
                    None => return false,
                }
            }
        }
        true
    }

    fn survey_device(&self, snapshot: &mut Snapshot, id: &DeviceId) {
        let Some(device) = self.devices.get(id) else {
            return;
        };
        snapshot.add_device(&self.metrics, id.as_str());
        let stats = self.plane.source_stats(device.source);
        let video = stats.and_then(|stats| stats.video);
        let gauges = snapshot.gauges();
        for holder in [device.video, device.audio].into_iter().flatten() {
            gauges.publishers.bump(holder.kind);
        }
        gauges.cached_media_bytes += video.map_or(0, |video| video.gop_bytes as u64);
    }

    fn survey_session(&self, snapshot: &mut Snapshot, id: &SessionId) {
        let Some(session) = self.sessions.get(id) else {
            return;
        };
        let Some(media) = self.plane.session(session.key) else {
            return;
        };
        let stats = media.stats();
        snapshot.add_session(&SessionGauges {
            session_id: id,
            device_id: session.device.as_str(),
            ice_state: media.ice_state().name(),
            frame_rate: stats.video.fps,
            bitrate_bps: stats.video.bitrate_bps as f64,
            loss_ratio: stats.video.loss_ratio,
            rtt_ms: stats.connection.rtt_ms.unwrap_or(f64::NAN),
            jitter_ms: stats.video.jitter_ms,
            candidates: media.candidates() as u64,
        });
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

fn survey_connection(snapshot: &mut Snapshot, connection: &Connection) {
    let gauges = snapshot.gauges();
    gauges.outbound_bytes += connection.output.len() as u64;
    gauges.websockets += u64::from(!matches!(connection.role, Role::Http(_)));
}
