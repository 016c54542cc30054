//! Every metric: its name, its kind and its help, once.
//!
//! Names follow the Prometheus conventions (base units, `_total` for counters) but where the
//! service that this one replaces had fixed a name with its own unit: its dashboards go on working.

use prometheus::proto::MetricType;

/// A metric family.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: MetricType,
    pub(super) help: &'static str,
}

macro_rules! families {
    ($($id:ident $kind:ident $name:literal $help:literal;)*) => {
        $(pub(super) const $id: Family = Family { name: $name, kind: MetricType::$kind, help: $help };)*

        /// All of them, for the tests of their names.
        #[cfg(test)]
        pub(super) const ALL: &[Family] = &[$($id,)*];
    };
}

families! {
    // Sessions.
    ACTIVE_SESSIONS GAUGE "media_active_sessions"
        "Sessions that are open.";
    SESSIONS_CREATED COUNTER "media_sessions_created_total"
        "Sessions created, by device; devices past the cap are counted as _other, and a device's series vanishes with it.";
    SESSION_DURATION HISTOGRAM "media_session_duration_seconds"
        "How long sessions that ended were open, by device, as above.";
    SESSIONS_CLOSED COUNTER "media_sessions_closed_total"
        "Sessions that ended, by reason.";
    ICE_CANDIDATES_ACCEPTED COUNTER "media_ice_candidates_accepted_total"
        "ICE candidates of viewers that were taken, over all sessions.";

    // One session each, up to the cap; the series vanish with the session.
    SESSION_INFO GAUGE "media_session_info"
        "1, with the device that a session watches.";
    ICE_CONNECTION_STATE GAUGE "media_ice_connection_state"
        "1 for the ICE state that a session is in.";
    ICE_CANDIDATES_ADDED COUNTER "media_ice_candidates_added_total"
        "ICE candidates of a session's viewer that were taken.";
    VIDEO_FRAME_RATE GAUGE "media_video_frame_rate"
        "Video frames sent to a session in the last second.";
    VIDEO_BITRATE GAUGE "media_video_bitrate_bps"
        "Video bits sent to a session in the last second.";
    PACKET_LOSS_RATIO GAUGE "media_packet_loss_ratio"
        "Share of a session's packets that its viewer reported lost, 0 to 1.";
    RTT GAUGE "media_rtt_milliseconds"
        "Round-trip time of a session in milliseconds.";
    JITTER GAUGE "media_jitter_milliseconds"
        "Interarrival jitter that a session's viewer reported, in milliseconds.";

    // All sessions taken together.
    SESSIONS_HIDDEN GAUGE "media_sessions_hidden"
        "Open sessions without series of their own, because the cap is reached or they are switched off.";
    SESSIONS_ICE_STATE GAUGE "media_sessions_ice_state"
        "Open sessions by ICE state.";
    SESSIONS_VIDEO_BITRATE GAUGE "media_sessions_video_bitrate_bps"
        "Video bits sent to all sessions in the last second.";
    SESSIONS_FRAME_RATE GAUGE "media_sessions_video_frame_rate"
        "Video frames sent in the last second: mean and maximum over the sessions.";
    SESSIONS_LOSS_RATIO GAUGE "media_sessions_packet_loss_ratio"
        "Share of packets reported lost: mean and maximum over the sessions.";
    SESSIONS_RTT GAUGE "media_sessions_rtt_milliseconds"
        "Round-trip time in milliseconds: mean and maximum over the sessions.";
    SESSIONS_JITTER GAUGE "media_sessions_jitter_milliseconds"
        "Interarrival jitter in milliseconds: mean and maximum over the sessions.";

    // Devices and their media.
    DEVICES GAUGE "media_devices"
        "Devices known: live, watched, or gone a moment ago.";
    PUBLISHERS GAUGE "media_publishers"
        "Publishers at work, by kind.";
    PUBLISHERS_STARTED COUNTER "media_publishers_started_total"
        "Publishers that began, by kind.";
    ACCESS_UNITS COUNTER "media_access_units_received_total"
        "Access units and audio packets that publishers brought.";
    KEYFRAME_REQUESTS COUNTER "media_keyframe_requests_total"
        "Keyframes asked of publishers, after merging what viewers asked.";
    CACHED_MEDIA GAUGE "media_cached_media_bytes"
        "Bytes of the groups of pictures kept for viewers that join.";
    FRAME_LATENCY HISTOGRAM "media_frame_latency_seconds"
        "From a frame's last byte in to its first packet's send.";

    // HTTP and WebSocket.
    HTTP_REQUESTS COUNTER "media_http_requests_total"
        "Requests answered, by method, template of the path, and status.";
    HTTP_DURATION HISTOGRAM "media_http_duration_seconds"
        "From a request's complete head to its complete answer, by method and template of the path.";
    REJECTED_REQUESTS COUNTER "media_rejected_requests_total"
        "Requests and messages refused, by the code of the error.";
    RATE_LIMITED COUNTER "media_rate_limited_total"
        "Requests refused by a rate, by which one.";
    RATE_BUCKETS GAUGE "media_rate_buckets"
        "Token buckets that are kept, since they were not full when they were last looked at.";
    RATE_BUCKETS_EVICTED COUNTER "media_rate_buckets_evicted_total"
        "Token buckets that made place for others before they were full: whose they were may ask for more.";
    WEBSOCKET_CONNECTIONS GAUGE "media_websocket_connections"
        "WebSockets that are open.";
    WEBSOCKET_MESSAGES COUNTER "media_websocket_messages_total"
        "WebSocket messages, by type and by direction as the server sees it.";
    CONNECTIONS_ACCEPTED COUNTER "media_connections_accepted_total"
        "TCP connections accepted, by the shard whose listener took them.";
    CONNECTIONS_REFUSED COUNTER "media_connections_refused_total"
        "TCP connections turned away at the door.";
    CONNECTIONS_HANDED_OVER COUNTER "media_connections_handed_over_total"
        "Connections passed on to the shard that owns what they asked for.";
    CONNECTIONS_CLOSED COUNTER "media_connections_closed_total"
        "TCP connections that ended, by reason.";
    TLS_HANDSHAKES COUNTER "media_tls_handshakes_total"
        "TLS handshakes, by how they ended.";
    OUTBOUND_BUFFER GAUGE "media_outbound_buffer_bytes"
        "Bytes held to be sent to clients.";

    // Rooms.
    ROOMS GAUGE "media_rooms"
        "Rooms that are held, by status.";
    ROOM_MEMBERS GAUGE "media_room_members"
        "WebSockets that are members of a room.";
    ROOM_USERS GAUGE "media_room_users"
        "Users in rooms, summed over the shards.";
    ROOM_MESSAGES COUNTER "media_room_messages_total"
        "Messages that rooms broadcast, by type.";
    ROOM_DELIVERIES COUNTER "media_room_deliveries_total"
        "Frames of rooms that members' sockets took, one for each member.";
    ROOM_DELIVERED_BYTES COUNTER "media_room_delivered_bytes_total"
        "Bytes of the frames that members' sockets took.";
    ROOM_SWEEPS COUNTER "media_room_sweeps_total"
        "Sweeps over the members of a room.";
    ROOM_SWEEP_TIME HISTOGRAM "media_room_sweep_duration_seconds"
        "How long sweeps took, from their first slice to the end of the last one.";
    ROOM_MEMBERS_CUT COUNTER "media_room_members_cut_total"
        "Members that were closed since they were too far behind their room.";
    ROOM_REPLAYS COUNTER "media_room_replays_total"
        "Members that asked for what was before them.";
    ROOM_REPLAYS_TRUNCATED COUNTER "media_room_replays_truncated_total"
        "Members that asked for what was no longer held.";
    ROOM_REPEATED COUNTER "media_room_repeated_messages_total"
        "Messages that their sender had sent before, and that were not broadcast again.";
    ROOM_ACKS COUNTER "media_room_acks_total"
        "Messages that were acknowledged to their sender.";
    ROOM_ACK_LATENCY HISTOGRAM "media_room_ack_latency_seconds"
        "From a message to its acknowledgement, which waits for the store.";
    ROOM_ROWS_IN_FLIGHT GAUGE "media_room_store_rows"
        "Rows that shards have handed to the store and that it is not done with.";

    // Datagrams.
    DATAGRAMS_RECEIVED COUNTER "media_datagrams_received_total"
        "Datagrams received.";
    RECEIVED_BYTES COUNTER "media_received_bytes_total"
        "Bytes of the datagrams received, without UDP and IP headers.";
    DATAGRAMS_DROPPED COUNTER "media_datagrams_dropped_total"
        "Datagrams received and not used, by reason.";
    SEND_RUNS COUNTER "media_send_runs_total"
        "Sends: each is a run of datagrams to one address.";
    DATAGRAMS_SENT COUNTER "media_datagrams_sent_total"
        "Datagrams sent.";
    SENT_BYTES COUNTER "media_sent_bytes_total"
        "Bytes of the datagrams sent, without UDP and IP headers.";
    SEND_BLOCKED COUNTER "media_send_blocked_datagrams_total"
        "Datagrams dropped because the socket would have blocked.";
    SEND_FAILED COUNTER "media_send_failed_datagrams_total"
        "Datagrams dropped because the kernel refused them.";
    RTP_PACKETS COUNTER "media_rtp_packets_sent_total"
        "RTP packets sent, retransmissions included.";
    RETRANSMISSIONS COUNTER "media_retransmissions_sent_total"
        "RTP packets sent again because a viewer reported them missing.";
    FRAMES_SKIPPED COUNTER "media_frames_skipped_total"
        "Pictures not sent to a viewer that lay too far behind.";
    NACKS COUNTER "media_nacks_received_total"
        "Reports of missing packets from viewers.";
    PLIS COUNTER "media_plis_received_total"
        "Keyframes that viewers asked for.";

    // Shards.
    SHARD_UP GAUGE "media_shard_up"
        "1 if the shard answered this scrape in time; if not, its figures are those of its last answer.";
    SHARD_SESSIONS GAUGE "media_shard_sessions"
        "Sessions that a shard owns.";
    SHARD_CONNECTIONS GAUGE "media_shard_connections"
        "TCP connections that a shard owns.";
    SHARD_TIMERS GAUGE "media_shard_timers"
        "Timers in a shard's wheel.";
    SHARD_BUSY COUNTER "media_shard_busy_seconds_total"
        "Time of a shard's turns, each from what the kernel has ready to the end of its flush: the rate is the share of time that the shard is busy.";
    SHARD_CPU COUNTER "media_shard_cpu_seconds_total"
        "CPU time of a shard's thread, with what waiting and waking up cost it.";
    SHARD_STAGES COUNTER "media_shard_stage_seconds_total"
        "Time of a shard's turns, by what was done in it; the stages add up to media_shard_busy_seconds_total.";
    SHARD_TURN HISTOGRAM "media_shard_turn_duration_seconds"
        "How long a shard's turns took.";
    SHARD_LONGEST_TURN GAUGE "media_shard_longest_turn_seconds"
        "A shard's longest turn of the last 30 to 60 s.";
    SHARD_TURN_EVENTS HISTOGRAM "media_shard_turn_events"
        "Sockets and mailboxes that were ready in a shard's turn; 0 in one for time alone, or for what an earlier turn had left.";
    SHARD_RECEIVED_BATCH HISTOGRAM "media_shard_receive_batch_datagrams"
        "Datagrams that one system call has brought to a shard.";
    SHARD_SEND_RUN HISTOGRAM "media_shard_send_run_datagrams"
        "Datagrams of one send of a shard, all to one address.";
    SHARD_SWEPT_MEMBERS HISTOGRAM "media_shard_sweep_members"
        "Members for whom a sweep of a shard's room had something.";
    SHARD_TICK_LAG HISTOGRAM "media_shard_tick_lag_seconds"
        "How late a shard's ticks came.";
    SHARD_HAND_OVERS COUNTER "media_shard_hand_overs_total"
        "Connections that a shard has taken over from others (in) or has passed on to them (out).";
    SHARD_MAILBOX GAUGE "media_shard_mailbox_depth"
        "Messages that a shard's last look at its mailbox has left in it.";
    SHARD_MAILBOX_DEEPEST GAUGE "media_shard_mailbox_deepest"
        "The most messages that a shard has found in its mailbox in the last 30 to 60 s.";
    SHARD_MAILBOX_FULL COUNTER "media_shard_mailbox_full_total"
        "Messages of a shard that found another's mailbox full.";
    SHARD_LONGEST_STALL GAUGE "media_shard_longest_stall_seconds"
        "The longest time that a shard made no progress.";
    PANICS COUNTER "media_panics_caught_total"
        "Panics caught, by what each has ended.";

    // The store.
    STORE_ROWS COUNTER "media_store_rows_total"
        "Rows (messages, rooms, users) that the store is done with, failed ones included.";
    STORE_FAILED_ROWS COUNTER "media_store_failed_rows_total"
        "Rows that the database refused, alone or with their batch.";
    STORE_BATCHES COUNTER "media_store_batches_total"
        "Transactions of the store.";
    STORE_COMMITS COUNTER "media_store_commit_seconds_total"
        "How long the store's transactions took together.";
    STORE_LAST_COMMIT GAUGE "media_store_last_commit_seconds"
        "How long the store's last transaction took.";
    STORE_LONGEST_COMMIT GAUGE "media_store_longest_commit_seconds"
        "How long the store's longest transaction took.";

    // The process.
    MEMORY_USAGE GAUGE "media_memory_usage_bytes"
        "Memory of the process that is resident.";
    MEMORY_LIMIT GAUGE "media_memory_limit_bytes"
        "Resident memory above which new work is refused (limits.memory); not there when there is no limit.";
    MEMORY_PRESSURE GAUGE "media_memory_pressure"
        "1 while new work is refused since memory is short.";
    RESOURCES GAUGE "media_resources"
        "What the process held at the last sample (metrics.leak_interval), by kind.";
    RESOURCES_MAX GAUGE "media_resources_max"
        "The most of it at any sample.";
    TASK_COUNT GAUGE "media_task_count"
        "Threads, descriptors and sessions beyond those of the start that no live connection or session accounts for.";
    TASK_COUNT_MAX GAUGE "media_task_count_max"
        "The largest media_task_count seen.";
    POTENTIAL_TASK_LEAK GAUGE "media_potential_task_leak"
        "1 while media_task_count is far above its baseline.";
    CONFIG_RELOADS COUNTER "media_config_reloads_total"
        "Times that the configuration was read again, by result: applied, unchanged, or refused for its faults.";
    CONFIG_LAST_RELOAD GAUGE "media_config_last_reload_success_timestamp_seconds"
        "When a configuration without faults was last read, in seconds since the Unix epoch.";
    CERTIFICATE_EXPIRY GAUGE "media_tls_certificate_expiry_timestamp_seconds"
        "When the certificate of tls.cert ends, in seconds since the Unix epoch; not there without TLS.";
    LOG_LINES_DROPPED COUNTER "media_log_lines_dropped_total"
        "Log lines dropped because the log could not keep up.";
    BUILD_INFO GAUGE "media_build_info"
        "1, with the version of the server.";
    OPEN_FDS GAUGE "process_open_fds"
        "Descriptors that are open.";
    MAX_FDS GAUGE "process_max_fds"
        "Descriptors that the process may open.";
    THREADS GAUGE "process_threads"
        "Threads of the process.";
    CPU_SECONDS COUNTER "process_cpu_seconds_total"
        "User and system CPU time of the process.";
    START_TIME GAUGE "process_start_time_seconds"
        "When the process started, in seconds since the Unix epoch.";
}
