//! What a scraper sees.

mod parser;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use parser::Page;

const CAP: usize = 1_000;

fn shard_of(shards: usize) -> ShardMetrics {
    ShardMetrics::new(MetricsConfig {
        shards,
        session_series: CAP,
        device_series: CAP,
    })
}

fn page(shards: &[Option<Snapshot>]) -> Page {
    Page::parse(&encode(shards, &ProcessFigures::read()).unwrap())
}

/// What a shard answers that has counted this, and has these sessions.
fn snapshot<'a>(
    metrics: &ShardMetrics,
    gauges: ShardGauges,
    sessions: impl IntoIterator<Item = SessionGauges<'a>>,
) -> Snapshot {
    let mut snapshot = metrics.clone().snapshot(gauges, 0);
    for (device, _) in metrics.devices.series() {
        snapshot.add_device(metrics, device);
    }
    for session in sessions {
        snapshot.add_session(&session);
    }
    snapshot
}

fn page_of(metrics: &ShardMetrics) -> Page {
    page(&[Some(snapshot(metrics, ShardGauges::default(), []))])
}

/// A session that plays well.
fn session<'a>(session_id: &'a &'a str, device_id: &'a str) -> SessionGauges<'a> {
    SessionGauges {
        session_id,
        device_id,
        ice_state: "connected",
        frame_rate: 30.0,
        bitrate_bps: 2e6,
        loss_ratio: 0.01,
        rtt_ms: 12.5,
        jitter_ms: 3.0,
        candidates: 4,
    }
}

/// A shard with so many sessions of one device.
fn crowd(metrics: &ShardMetrics, name: &str, sessions: usize) -> Option<Snapshot> {
    let ids: Vec<String> = (0..sessions).map(|n| format!("{name}-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let sessions = ids.iter().map(|id| session(id, "cam-1"));
    Some(snapshot(metrics, ShardGauges::default(), sessions))
}

#[test]
fn every_promised_series_is_there() {
    let mut metrics = shard_of(1);
    metrics.session_created("cam-1");
    metrics.session_closed("cam-1", SessionEnd::Deleted, Duration::from_secs(42));
    metrics.message(MessageKind::Control, Direction::In);
    metrics.http_request("POST", Route::Sessions, 201, Duration::from_micros(80));
    let gauges = ShardGauges {
        websockets: 3,
        ..ShardGauges::default()
    };
    let snapshot = snapshot(&metrics, gauges, [session(&"s-1", "cam-1")]);
    let page = page(&[Some(snapshot)]);

    let s1 = ("session_id", "s-1");
    let post = [("method", "POST"), ("path", "/api/media/sessions")];
    for (name, labels, value) in [
        ("media_active_sessions", &[][..], 1.0),
        (
            "media_sessions_created_total",
            &[("device_id", "cam-1")],
            1.0,
        ),
        (
            "media_session_duration_seconds_count",
            &[("device_id", "cam-1")],
            1.0,
        ),
        (
            "media_session_duration_seconds_sum",
            &[("device_id", "cam-1")],
            42.0,
        ),
        (
            "media_ice_connection_state",
            &[s1, ("state", "connected")],
            1.0,
        ),
        ("media_ice_candidates_added_total", &[s1], 4.0),
        ("media_video_frame_rate", &[s1], 30.0),
        ("media_video_bitrate_bps", &[s1], 2e6),
        ("media_packet_loss_ratio", &[s1], 0.01),
        ("media_rtt_milliseconds", &[s1], 12.5),
        ("media_websocket_connections", &[], 3.0),
        (
            "media_websocket_messages_total",
            &[("type", "control"), ("direction", "in")],
            1.0,
        ),
        (
            "media_http_requests_total",
            &[post[0], post[1], ("status", "201")],
            1.0,
        ),
        ("media_http_duration_seconds_count", &post, 1.0),
        ("media_shard_up", &[("shard", "0")], 1.0),
        ("media_task_count", &[], 0.0),
        ("media_task_count_max", &[], 0.0),
        ("media_potential_task_leak", &[], 0.0),
        ("media_resources", &[("kind", "descriptors")], 0.0),
        ("media_resources_max", &[("kind", "timers")], 0.0),
        ("media_memory_pressure", &[], 0.0),
        ("media_config_reloads_total", &[("result", "refused")], 0.0),
    ] {
        assert_eq!(page.get(name, labels), Some(value), "{name}{labels:?}");
    }
    assert!(page.get("media_memory_usage_bytes", &[]).unwrap() > 1e6);
    let fast = [post[0], post[1], ("le", "0.00005")];
    assert_eq!(
        page.get("media_http_duration_seconds_bucket", &fast),
        Some(0.0)
    );
    let fast = [post[0], post[1], ("le", "0.0001")];
    assert_eq!(
        page.get("media_http_duration_seconds_bucket", &fast),
        Some(1.0)
    );
}

#[test]
fn names_follow_the_conventions() {
    use prometheus::proto::MetricType;
    let mut names = std::collections::HashSet::new();
    for family in families::ALL {
        let name = family.name;
        assert!(names.insert(name), "{name} is defined twice");
        assert!(
            name.starts_with("media_") || name.starts_with("process_"),
            "{name}"
        );
        assert!(family.help.ends_with('.'), "{name}");
        let counter = family.kind == MetricType::COUNTER;
        assert_eq!(name.ends_with("_total"), counter, "{name}");
        if family.kind == MetricType::HISTOGRAM {
            let units = ["_seconds", "_datagrams", "_events", "_members"];
            assert!(units.iter().any(|unit| name.ends_with(unit)), "{name}");
        }
    }
}

#[test]
fn shards_are_summed() {
    let (mut one, mut two) = (shard_of(2), shard_of(2));
    one.http_request("GET", Route::Health, 200, Duration::from_millis(1));
    two.http_request("GET", Route::Health, 200, Duration::from_secs(60));
    one.rejected("too_many_candidates");
    two.rejected("bad_sdp");
    two.rejected("too_many_candidates");
    one.datagrams_dropped.add(DatagramDrop::UnknownUfrag, 5);
    two.datagrams_dropped.add(DatagramDrop::UnknownUfrag, 7);
    two.load.turns.observe(Duration::from_micros(300));
    two.connections_accepted += 9;
    let page = page(&[crowd(&one, "a", 2), crowd(&two, "b", 3)]);

    assert_eq!(page.get("media_active_sessions", &[]), Some(5.0));
    assert_eq!(
        page.get("media_shard_sessions", &[("shard", "1")]),
        Some(3.0)
    );
    assert_eq!(page.get("media_sessions_video_bitrate_bps", &[]), Some(1e7));
    let health = [("method", "GET"), ("path", "/health")];
    assert_eq!(
        page.get("media_http_duration_seconds_count", &health),
        Some(2.0)
    );
    assert_eq!(
        page.get("media_http_duration_seconds_sum", &health),
        Some(60.001)
    );
    let code = |code| page.get("media_rejected_requests_total", &[("code", code)]);
    assert_eq!(
        (code("too_many_candidates"), code("bad_sdp")),
        (Some(2.0), Some(1.0))
    );
    let dropped = [("reason", "unknown_ufrag")];
    assert_eq!(
        page.get("media_datagrams_dropped_total", &dropped),
        Some(12.0)
    );
    let turns = |shard| {
        page.get(
            "media_shard_turn_duration_seconds_count",
            &[("shard", shard)],
        )
    };
    assert_eq!((turns("0"), turns("1")), (Some(0.0), Some(1.0)));
    assert_eq!(
        page.get("media_connections_accepted_total", &[("shard", "1")]),
        Some(9.0)
    );
}

#[test]
fn a_shard_that_does_not_answer_is_down_and_nothing_runs_backwards() {
    let (mut one, mut two) = (shard_of(2), shard_of(2));
    one.connections_refused += 1;
    two.connections_refused += 10;
    let mut last = LastAnswers::new();
    let first = page(last.update(vec![crowd(&one, "a", 1), None]));
    assert_eq!(first.get("media_shard_up", &[("shard", "1")]), Some(0.0));
    assert_eq!(first.get("media_connections_refused_total", &[]), Some(1.0));

    let both = page(last.update(vec![crowd(&one, "a", 1), crowd(&two, "b", 1)]));
    assert_eq!(both.get("media_connections_refused_total", &[]), Some(11.0));

    one.connections_refused += 1;
    let late = page(last.update(vec![crowd(&one, "a", 1), None]));
    assert_eq!(late.get("media_shard_up", &[("shard", "0")]), Some(1.0));
    assert_eq!(late.get("media_shard_up", &[("shard", "1")]), Some(0.0));
    assert_eq!(late.get("media_connections_refused_total", &[]), Some(12.0));

    let again = page(last.update(vec![None, crowd(&two, "b", 1)]));
    assert_eq!(again.get("media_shard_up", &[("shard", "1")]), Some(1.0));
}

#[test]
fn no_answer_at_all_is_not_a_restart() {
    let page = page(&[None, None]);
    assert_eq!(page.series_of("media_shard_up"), 2);
    assert_eq!(page.series_of("media_http_requests_total"), 0);
    assert_eq!(page.series_of("media_active_sessions"), 0);
    assert_eq!(page.series_of("media_task_count"), 1);
}

#[test]
fn past_the_cap_only_totals_remain() {
    let metrics = shard_of(3);
    let shards = [
        crowd(&metrics, "full", 2_000),
        crowd(&metrics, "few", 100),
        crowd(&metrics, "some", 700),
    ];
    let page = page(&shards);
    assert_eq!(page.get("media_active_sessions", &[]), Some(2_800.0));
    assert_eq!(page.get("media_sessions_hidden", &[]), Some(1_800.0));
    assert_eq!(page.series_of("media_rtt_milliseconds"), CAP);
    assert_eq!(page.series_of("media_ice_connection_state"), CAP);
    assert_eq!(
        page.get("media_sessions_ice_state", &[("state", "connected")]),
        Some(2_800.0)
    );
    // A quiet shard shows all it has, the others share the rest evenly, and the oldest stay.
    for (session, shown) in [
        ("few-99", true),
        ("some-449", true),
        ("some-450", false),
        ("full-449", true),
        ("full-450", false),
    ] {
        let series = page.get("media_video_frame_rate", &[("session_id", session)]);
        assert_eq!(series.is_some(), shown, "{session}");
    }
}

#[test]
fn series_can_be_switched_off() {
    let mut metrics = ShardMetrics::new(MetricsConfig {
        shards: 1,
        ..MetricsConfig::default()
    });
    metrics.session_created("cam-1");
    let page = page(&[crowd(&metrics, "a", 3)]);
    assert_eq!(
        page.get("media_sessions_created_total", &[("device_id", "_other")]),
        Some(1.0)
    );
    assert_eq!(page.get("media_sessions_hidden", &[]), Some(3.0));
    assert!(
        !page
            .samples
            .keys()
            .any(|key| key.contains("session_id") || key.contains("cam-1"))
    );
}

#[test]
fn the_series_of_a_device_vanish_with_it_and_give_up_their_place() {
    let config = MetricsConfig {
        shards: 2,
        session_series: CAP,
        device_series: 3,
    };
    let mut metrics = ShardMetrics::new(config);
    ["a", "b", "c", "c"]
        .into_iter()
        .for_each(|device| metrics.session_created(device));
    let created = |metrics: &ShardMetrics, device| {
        page_of(metrics).get("media_sessions_created_total", &[("device_id", device)])
    };
    assert_eq!(created(&metrics, "b"), Some(1.0));
    assert_eq!(
        created(&metrics, "c"),
        None,
        "two of three places are this shard's"
    );
    assert_eq!(created(&metrics, "_other"), Some(2.0));

    metrics.device_gone("a");
    metrics.session_closed("a", SessionEnd::Idle, Duration::from_secs(1));
    assert_eq!(
        created(&metrics, "a"),
        None,
        "what comes late brings nothing back"
    );
    metrics.session_created("c");
    assert_eq!(created(&metrics, "c"), Some(1.0));
}

#[test]
fn what_is_not_known_has_no_series() {
    let metrics = shard_of(1);
    let mut fresh = session(&"s-1", "cam-1");
    (fresh.rtt_ms, fresh.loss_ratio) = (f64::NAN, f64::INFINITY);
    let page = page(&[Some(snapshot(&metrics, ShardGauges::default(), [fresh]))]);
    assert_eq!(page.series_of("media_rtt_milliseconds"), 0);
    assert_eq!(page.series_of("media_packet_loss_ratio"), 0);
    assert_eq!(page.series_of("media_sessions_rtt_milliseconds"), 0);
    assert_eq!(page.series_of("media_video_frame_rate"), 1);
    assert_eq!(
        page.get("media_sessions_jitter_milliseconds", &[("stat", "max")]),
        Some(3.0)
    );
}

#[test]
fn strange_requests_share_a_label() {
    let mut metrics = shard_of(1);
    metrics.http_request("BREW", Route::Unmatched, 418, Duration::ZERO);
    metrics.http_request("PROPFIND", Route::Unmatched, 299, Duration::ZERO);
    let labels = [
        ("method", "other"),
        ("path", "unmatched"),
        ("status", "other"),
    ];
    assert_eq!(
        page_of(&metrics).get("media_http_requests_total", &labels),
        Some(2.0)
    );
}

#[test]
fn a_snapshot_may_leave_its_core() {
    fn travels<T: Send + 'static>() {}
    travels::<Snapshot>();
}

proptest! {
    #[test]
    fn any_label_survives(device in any::<String>(), id in any::<String>()) {
        let mut metrics = shard_of(1);
        metrics.session_created(&device);
        let page = page(&[Some(
            snapshot(&metrics, ShardGauges::default(), [session(&&*id, &device)]),
        )]);
        let labels = [("session_id", &*id), ("device_id", &*device)];
        prop_assert_eq!(page.get("media_session_info", &labels), Some(1.0));
        let created = page.get("media_sessions_created_total", &[("device_id", &*device)]);
        prop_assert_eq!(created, Some(1.0));
    }

    #[test]
    fn histograms_count_every_duration_once(micros in prop::collection::vec(0u64..20_000_000, 0..50)) {
        let mut metrics = shard_of(1);
        for &duration in &micros {
            metrics.frame_latency.observe(Duration::from_micros(duration));
        }
        let page = page_of(&metrics);
        for (bound, le) in [(50, "0.00005"), (1_000, "0.001"), (10_000_000, "10")] {
            let within = micros.iter().filter(|&&duration| duration <= bound).count() as f64;
            let bucket = page.get("media_frame_latency_seconds_bucket", &[("le", le)]);
            prop_assert_eq!(bucket, Some(within));
        }
        let count = page.get("media_frame_latency_seconds_count", &[]);
        prop_assert_eq!(count, Some(micros.len() as f64));
        let seconds = page.get("media_frame_latency_seconds_sum", &[]).unwrap();
        prop_assert!((seconds - micros.iter().sum::<u64>() as f64 / 1e6).abs() < 1e-6);
    }
}
