//! What is on the `/metrics` page.

use super::families as f;
use super::families::Family;
use super::merge::Merge;
use super::snapshot::{SessionSeries, SessionTotals, Spread};
use super::text::Text;
use super::{
    Direction, Label, ProcessFigures, ShardGauges, ShardMetrics, Snapshot, held, load, reload,
    rooms, store,
};

/// The `Content-Type` of what [`encode`] writes.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The figures could not be written: a fault of ours, never of the one who scrapes.
#[derive(Debug, thiserror::Error)]
#[error("the metrics could not be written: {0}")]
pub struct EncodeError(#[from] prometheus::Error);

type Written = Result<(), prometheus::Error>;

/// A family, and where its figure is found in each `T`.
pub(super) type Reading<T, N> = (&'static Family, fn(&T) -> N);

/// The Prometheus text (format 0.0.4) of the process: sums over the shards, and series by shard
/// where the shard matters. `shards[i]` is what shard `i` answered; of a shard that is `None`
/// nothing is known, and `media_shard_up{shard="i"}` is 0. Takes milliseconds where there are
/// thousands of series: not for a shard's thread.
pub fn encode(
    shards: &[Option<Snapshot>],
    process: &ProcessFigures,
) -> Result<String, EncodeError> {
    let mut text = Text::default();
    let known: Vec<&Snapshot> = shards.iter().flatten().collect();
    // Where no shard is known there is nothing to sum, and zeros would look like a restart.
    if let Some((first, rest)) = known.split_first() {
        let mut metrics = first.metrics.clone();
        let mut gauges = first.gauges.clone();
        let mut totals = first.totals.clone();
        for shard in rest {
            metrics.merge(&shard.metrics);
            gauges.merge(&shard.gauges);
            totals.merge(&shard.totals);
        }
        let shown = shown_sessions(&known);
        write_sessions(&mut text, &metrics)?;
        write_session_totals(&mut text, &totals, shown.len())?;
        write_session_series(&mut text, &shown)?;
        write_devices(&mut text, &metrics, &gauges)?;
        write_http(&mut text, &metrics)?;
        write_connections(&mut text, &metrics, &gauges)?;
        rooms::write(&mut text, &metrics, &gauges)?;
        write_datagrams(&mut text, &metrics)?;
        text.by_label(&f::PANICS, "part", &metrics.panics)?;
    }
    write_shards(&mut text, shards)?;
    store::write(&mut text, &process.store)?;
    reload::write(&mut text, &process.reloads)?;
    write_process(&mut text, process)?;
    Ok(text.finish())
}

/// The sessions that get series of their own: the oldest of each shard, as many as the cap of the
/// process allows, and as evenly over the shards as their numbers allow.
fn shown_sessions<'a>(shards: &[&'a Snapshot]) -> Vec<&'a SessionSeries> {
    let cap = shards
        .first()
        .map_or(0, |shard| shard.metrics.config.session_series);
    let mut smallest_first: Vec<&[SessionSeries]> =
        shards.iter().map(|shard| &*shard.sessions).collect();
    smallest_first.sort_by_key(|sessions| sessions.len());
    let mut shown = Vec::new();
    for (index, sessions) in smallest_first.iter().enumerate() {
        let fair_share = (cap - shown.len()) / (smallest_first.len() - index);
        shown.extend(sessions.iter().take(fair_share));
    }
    shown
}

fn write_sessions(text: &mut Text, metrics: &ShardMetrics) -> Written {
    let devices = metrics.devices.series();
    let created = devices
        .iter()
        .map(|(device_id, cell)| ([*device_id], cell.created));
    text.counts(&f::SESSIONS_CREATED, ["device_id"], created)?;
    let lifetimes = devices
        .iter()
        .map(|(device_id, cell)| ([*device_id], &cell.lifetimes));
    text.histograms(&f::SESSION_DURATION, ["device_id"], lifetimes)?;
    text.by_label(&f::SESSIONS_CLOSED, "reason", &metrics.sessions_closed)?;
    text.count(&f::ICE_CANDIDATES_ACCEPTED, metrics.ice_candidates_added)
}

fn write_session_totals(text: &mut Text, totals: &SessionTotals, shown: usize) -> Written {
    text.count(&f::ACTIVE_SESSIONS, totals.sessions)?;
    text.count(
        &f::SESSIONS_HIDDEN,
        totals.sessions.saturating_sub(shown as u64),
    )?;
    let states = totals
        .by_ice_state
        .iter()
        .map(|(state, sessions)| ([state], sessions));
    text.counts(&f::SESSIONS_ICE_STATE, ["state"], states)?;
    text.figure(&f::SESSIONS_VIDEO_BITRATE, totals.bitrate_bps.sum)?;
    let spreads: [(&Family, &Spread); 4] = [
        (&f::SESSIONS_FRAME_RATE, &totals.frame_rate),
        (&f::SESSIONS_LOSS_RATIO, &totals.loss_ratio),
        (&f::SESSIONS_RTT, &totals.rtt_ms),
        (&f::SESSIONS_JITTER, &totals.jitter_ms),
    ];
    for (family, spread) in spreads {
        let stats = [(["mean"], spread.mean()), (["max"], spread.max())];
        text.figures(family, ["stat"], stats)?;
    }
    Ok(())
}

fn write_session_series(text: &mut Text, shown: &[&SessionSeries]) -> Written {
    let labels = |session: &SessionSeries| [session.session_id.clone(), session.device_id.clone()];
    let devices = shown.iter().map(|session| (labels(session), 1));
    text.counts(&f::SESSION_INFO, ["session_id", "device_id"], devices)?;
    let states = shown
        .iter()
        .map(|session| ([&*session.session_id, session.ice_state], 1));
    text.counts(&f::ICE_CONNECTION_STATE, ["session_id", "state"], states)?;
    let figures: [Reading<SessionSeries, f64>; 6] = [
        (&f::ICE_CANDIDATES_ADDED, |session| {
            session.candidates as f64
        }),
        (&f::VIDEO_FRAME_RATE, |session| session.frame_rate),
        (&f::VIDEO_BITRATE, |session| session.bitrate_bps),
        (&f::PACKET_LOSS_RATIO, |session| session.loss_ratio),
        (&f::RTT, |session| session.rtt_ms),
        (&f::JITTER, |session| session.jitter_ms),
    ];
    for (family, figure) in figures {
        let series = shown
            .iter()
            .map(|session| ([&*session.session_id], figure(session)));
        text.figures(family, ["session_id"], series)?;
    }
    Ok(())
}

fn write_devices(text: &mut Text, metrics: &ShardMetrics, gauges: &ShardGauges) -> Written {
    text.count(&f::DEVICES, gauges.devices)?;
    text.by_label(&f::PUBLISHERS, "kind", &gauges.publishers)?;
    text.by_label(&f::PUBLISHERS_STARTED, "kind", &metrics.publishers_started)?;
    text.count(&f::ACCESS_UNITS, metrics.access_units)?;
    text.count(&f::KEYFRAME_REQUESTS, metrics.keyframe_requests)?;
    text.count(&f::CACHED_MEDIA, gauges.cached_media_bytes)?;
    text.histograms::<_, &str, 0>(&f::FRAME_LATENCY, [], [([], &metrics.frame_latency)])
}

fn write_http(text: &mut Text, metrics: &ShardMetrics) -> Written {
    let requests = metrics.http.requests();
    text.counts(&f::HTTP_REQUESTS, ["method", "path", "status"], requests)?;
    text.histograms(
        &f::HTTP_DURATION,
        ["method", "path"],
        metrics.http.durations(),
    )?;
    let refused = metrics.rejected.iter().map(|(code, count)| ([code], count));
    text.counts(&f::REJECTED_REQUESTS, ["code"], refused)?;
    text.by_label(&f::RATE_LIMITED, "kind", &metrics.rate_limited)?;
    text.count(&f::RATE_BUCKETS_EVICTED, metrics.rate_buckets_evicted)
}

fn write_connections(text: &mut Text, metrics: &ShardMetrics, gauges: &ShardGauges) -> Written {
    text.count(&f::WEBSOCKET_CONNECTIONS, gauges.websockets)?;
    let messages = [
        (Direction::In, &metrics.messages_in),
        (Direction::Out, &metrics.messages_out),
    ];
    let messages = messages.into_iter().flat_map(|(direction, counts)| {
        counts
            .iter()
            .map(move |(kind, count)| ([kind.as_str(), direction.as_str()], count))
    });
    text.counts(&f::WEBSOCKET_MESSAGES, ["type", "direction"], messages)?;
    text.count(&f::RATE_BUCKETS, gauges.rate_buckets)?;
    text.count(&f::CONNECTIONS_REFUSED, metrics.connections_refused)?;
    text.count(&f::CONNECTIONS_HANDED_OVER, metrics.connections_handed_over)?;
    text.by_label(
        &f::CONNECTIONS_CLOSED,
        "reason",
        &metrics.connections_closed,
    )?;
    text.by_label(&f::TLS_HANDSHAKES, "result", &metrics.tls_handshakes)?;
    text.count(&f::OUTBOUND_BUFFER, gauges.outbound_bytes)
}

fn write_datagrams(text: &mut Text, metrics: &ShardMetrics) -> Written {
    text.by_label(&f::DATAGRAMS_DROPPED, "reason", &metrics.datagrams_dropped)?;
    let counts: [(&Family, u64); 12] = [
        (&f::DATAGRAMS_RECEIVED, metrics.datagrams_received),
        (&f::RECEIVED_BYTES, metrics.bytes_received),
        (&f::SEND_RUNS, metrics.send_runs),
        (&f::DATAGRAMS_SENT, metrics.send_datagrams),
        (&f::SENT_BYTES, metrics.send_bytes),
        (&f::SEND_BLOCKED, metrics.send_blocked),
        (&f::SEND_FAILED, metrics.send_failed),
        (&f::RTP_PACKETS, metrics.rtp_packets),
        (&f::RETRANSMISSIONS, metrics.rtp_packets_resent),
        (&f::FRAMES_SKIPPED, metrics.frames_skipped),
        (&f::NACKS, metrics.nacks),
        (&f::PLIS, metrics.plis),
    ];
    for (family, count) in counts {
        text.count(family, count)?;
    }
    Ok(())
}

fn write_shards(text: &mut Text, shards: &[Option<Snapshot>]) -> Written {
    let answered = |shard: &Option<Snapshot>| shard.as_ref().is_some_and(|shard| shard.answered);
    let up = shards
        .iter()
        .enumerate()
        .map(|(index, s)| ([index.to_string()], answered(s).into()));
    text.counts(&f::SHARD_UP, ["shard"], up)?;

    let numbered = shards.iter().enumerate();
    let known: Vec<load::Known<'_>> = numbered
        .filter_map(|(index, shard)| Some(([index.to_string()], shard.as_ref()?)))
        .collect();
    let figures: [Reading<Snapshot, u64>; 5] = [
        (&f::SHARD_SESSIONS, |shard| shard.totals.sessions),
        (&f::SHARD_CONNECTIONS, |shard| shard.gauges.connections),
        (&f::SHARD_TIMERS, |shard| shard.gauges.timers),
        (&f::CONNECTIONS_ACCEPTED, |shard| {
            shard.metrics.connections_accepted
        }),
        (&f::SHARD_MAILBOX_FULL, |shard| shard.metrics.mailbox_full),
    ];
    for (family, figure) in figures {
        text.counts(family, ["shard"], load::each(&known, figure))?;
    }
    load::write(text, &known)?;
    let lag = load::each(&known, |shard| &shard.metrics.tick_lag);
    text.histograms(&f::SHARD_TICK_LAG, ["shard"], lag)
}

fn write_process(text: &mut Text, process: &ProcessFigures) -> Written {
    let executors = || {
        let numbered = process.executors.iter().enumerate();
        numbered.map(|(index, executor)| ([index.to_string()], executor))
    };
    let stalls = executors().map(|(index, e)| (index, e.longest_stall.as_secs_f64()));
    text.figures(&f::SHARD_LONGEST_STALL, ["shard"], stalls)?;

    held::write(text, &process.held)?;
    text.count(&f::LOG_LINES_DROPPED, process.log_lines_dropped)?;
    text.counts(
        &f::BUILD_INFO,
        ["version"],
        [([env!("CARGO_PKG_VERSION")], 1)],
    )?;
    text.count(&f::MEMORY_PRESSURE, process.memory_short.into())?;
    let figures: [(&Family, Option<f64>); 7] = [
        (
            &f::MEMORY_USAGE,
            process.memory_bytes.map(|bytes| bytes as f64),
        ),
        (
            &f::MEMORY_LIMIT,
            process.memory_limit.map(|bytes| bytes as f64),
        ),
        (&f::OPEN_FDS, process.open_fds.map(|fds| fds as f64)),
        (&f::MAX_FDS, process.max_fds.map(|fds| fds as f64)),
        (&f::THREADS, process.threads.map(|threads| threads as f64)),
        (&f::CPU_SECONDS, process.cpu_seconds),
        (&f::START_TIME, process.start_time),
    ];
    for (family, figure) in figures {
        if let Some(figure) = figure {
            text.figure(family, figure)?;
        }
    }
    Ok(())
}
