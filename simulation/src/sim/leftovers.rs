//! What a server still holds when everybody has gone.

use media_service::totals::Total;

use super::Sim;

/// Gauges, and series that name what is gone.
const EMPTY: [&str; 9] = [
    "media_active_sessions",
    "media_devices",
    "media_publishers",
    "media_websocket_connections",
    "media_cached_media_bytes",
    "media_outbound_buffer_bytes",
    "media_session_info",
    "media_video_frame_rate",
    "media_session_duration_seconds_count",
];

impl Sim {
    /// What each shard knows of itself fits together.
    #[track_caller]
    pub fn assert_sound(&mut self) {
        for shard in &self.shards {
            assert_eq!(shard.audit(), [""; 0]);
        }
    }

    /// Nothing is left of what was: to be asked when every timeout has passed.
    #[track_caller]
    pub fn assert_nothing_left(&mut self) {
        for total in [
            Total::Sessions,
            Total::Orphans,
            Total::Devices,
            Total::Connections,
        ] {
            assert_eq!(self.totals.sum(total), 0, "{total:?}");
        }
        assert_eq!(self.totals.counted_by_address(), [0; 2]);
        let metrics = self.metrics();
        for name in EMPTY {
            let series = |labels: &str| labels != "_other";
            let left = metrics
                .matching(name, &[])
                .filter(|sample| sample.labels.get("device_id").is_none_or(|id| series(id)));
            assert_eq!(left.map(|sample| sample.value).sum::<f64>(), 0.0, "{name}");
        }
        assert!(metrics.sum("media_panics_caught_total", &[]) <= self.injected as f64);
        // The scrape's own connection, its alarm, and the deadline of its aggregate.
        assert_eq!(metrics.sum("media_shard_connections", &[]), 1.0);
        let timers = metrics.sum("media_shard_timers", &[]);
        assert!(timers <= 2.0, "{timers} timers");
    }
}
