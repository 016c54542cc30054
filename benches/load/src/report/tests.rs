use serde_json::json;

use super::table::shown;
use super::*;

/// 1,000 requests with a round's figures.
fn outcome(connections: u64, user_us: f64, errors: u64) -> Outcome {
    let Value::Object(setting) = json!({"path": "/health", "connections": connections}) else {
        unreachable!("an object");
    };
    Outcome {
        scenario: "http".to_owned(),
        setting,
        unit: Unit::Request,
        units: 1_000,
        seconds: 2.0,
        server: ServerCost {
            user_us,
            system_us: 4_000.0,
            rss_before: 1 << 20,
            rss_after: 2 << 20,
        },
        client_cpu_us: 3_500.5,
        latency_us: Some(Latency {
            p50: 40.1,
            p99: 120.0,
            p999: 800.0,
            max: 1_200.0,
            count: 1_001,
        }),
        counts: BTreeMap::from([("errors".to_owned(), errors)]),
    }
}

#[test]
fn an_outcome_is_a_line_of_json_with_the_documented_names() {
    let line = json!({
        "scenario": "http", "setting": {"path": "/health", "connections": 32}, "unit": "request",
        "units": 1000, "seconds": 2.0,
        "server": {"user_us": 1000.0, "system_us": 4000.0, "rss_before": 1048576, "rss_after": 2097152},
        "client_cpu_us": 3500.5,
        "latency_us": {"p50": 40.1, "p99": 120.0, "p999": 800.0, "max": 1200.0, "count": 1001},
        "counts": {"errors": 2},
    });
    let outcome = outcome(32, 1_000.0, 2);
    assert_eq!(serde_json::to_value(&outcome).expect("JSON"), line);
    let back: Outcome = serde_json::from_value(line).expect("an outcome");
    assert_eq!(back, outcome);
}

#[test]
fn outcomes_without_latencies_survive_too() {
    let outcome = Outcome {
        latency_us: None,
        ..outcome(1, 0.0, 0)
    };
    let line = serde_json::to_string(&outcome).expect("JSON");
    let back: Outcome = serde_json::from_str(&line).expect("an outcome");
    assert_eq!(back, outcome);
}

#[test]
fn outcomes_are_appended_to_the_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("outcomes.jsonl");
    for round in [1, 2] {
        let mut report = Report::to(Some(path.clone())).expect("a file");
        report.push(outcome(round, 0.0, 0)).expect("a line");
    }
    let text = std::fs::read_to_string(&path).expect("a file");
    let lines: Vec<Outcome> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("an outcome"))
        .collect();
    assert_eq!(lines, [outcome(1, 0.0, 0), outcome(2, 0.0, 0)]);
}

/// Quantiles are those of the values, to three digits.
#[test]
fn quantiles_are_the_nearest_ranks() {
    let mut latencies = Latencies::default();
    assert_eq!(latencies.summary(), None);
    for us in 1..=10_000_u64 {
        latencies.record(us * 1_000);
    }
    let summary = latencies.summary().expect("there are values");
    let near = |have: f64, want: f64| (have - want).abs() <= want / 1e3;
    assert!(near(summary.p50, 5_000.0), "{summary:?}");
    assert!(near(summary.p99, 9_900.0), "{summary:?}");
    assert!(near(summary.p999, 9_990.0), "{summary:?}");
    assert!(near(summary.max, 10_000.0), "{summary:?}");
    assert_eq!(summary.count, 10_000);

    let mut one = Latencies::default();
    one.record(7);
    one.add(&latencies);
    assert_eq!((one.count(), one.quantile_us(0.0)), (10_001, Some(0.007)));
    one.clear();
    assert_eq!((one.count(), one.quantile_us(0.5)), (0, None));
}

#[test]
fn a_time_of_more_than_an_hour_counts_as_an_hour() {
    let mut latencies = Latencies::default();
    latencies.record(u64::MAX);
    let hour = LONGEST_NS as f64 / 1e3;
    let longest = latencies.quantile_us(1.0).expect("one value");
    assert!((longest - hour).abs() <= hour / 1e3, "{longest}");
}

#[test]
fn a_table_has_medians_and_the_worst_of_what_must_be_0() {
    let rounds = [
        outcome(32, 3_000.0, 0),
        outcome(32, 1_000.0, 7),
        outcome(32, 2_000.0, 0),
        outcome(1, 9_000.0, 0),
    ];
    let columns = [
        Column::median("µs/request", Outcome::us_per_unit),
        Column::median("requests/s", |it| it.units as f64 / it.seconds * 1e4),
        Column::median("nothing", |it| it.figure("nothing")),
        Column::worst("errors", |it| it.figure("errors")),
    ];
    let expected = "\
|                                       | µs/request | requests/s | errors |
|---------------------------------------|-----------:|-----------:|-------:|
| connections 32, path /health (of 3) |       6.00 |  5,000,000 |   7.00 |
| connections 1, path /health (of 1)  |       13.0 |  5,000,000 |      0 |
";
    let without_padding = |table: &str| -> Vec<String> {
        let line = |line: &str| line.replace("--", "").replace("  ", "").replace(" |", "|");
        table.lines().map(line).collect()
    };
    let table = table(&rounds, &columns);
    assert_eq!(
        without_padding(&table),
        without_padding(expected),
        "{table}"
    );
    let widths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
}

#[test]
fn numbers_are_shown_with_three_digits() {
    let all = [
        0.0,
        0.0123,
        1.234,
        12.34,
        1_234.5,
        1_234_567.0,
        -1_234.0,
        f64::NAN,
    ];
    assert_eq!(
        all.map(shown),
        [
            "0",
            "0.012",
            "1.23",
            "12.3",
            "1,234",
            "1,234,567",
            "-1,234",
            ""
        ]
    );
}
