use super::*;
use crate::scenarios::SCENARIOS;

/// Lines as a comparison has written them.
fn recorded() -> Vec<Record> {
    let lines = include_str!("recorded.jsonl").lines();
    lines
        .map(|line| serde_json::from_str(line).expect("a record"))
        .collect()
}

fn scenarios(names: &[&str]) -> Vec<&'static Scenario> {
    let named = |it: &&Scenario| names.contains(&it.name);
    SCENARIOS.iter().filter(named).collect()
}

fn fill(text: &str) -> String {
    text.replace("{viewers}", "300")
}

#[test]
fn the_table_says_what_is_reached_and_what_is_not() {
    let table = summary(
        &scenarios(&["viewers", "get-session", "rooms", "health"]),
        &recorded(),
        &fill,
    );
    assert_eq!(table, include_str!("summary.md"));
}

#[test]
fn the_details_have_a_line_for_each_contender_and_setting() {
    let table = details(
        &scenarios(&["viewers", "get-session", "rooms"]),
        &recorded(),
    );
    assert_eq!(table, include_str!("details.md"));
}

#[test]
fn a_target_is_met_at_its_bound() {
    let target = |more| Target {
        bound: Some(100.0),
        stretch: Some(if more { 120.0 } else { 80.0 }),
        of: None,
        more,
    };
    assert_eq!(reached(target(false), 100.0, None), "met");
    assert_eq!(reached(target(false), 110.0, None), "short by 10 %");
    assert_eq!(reached(target(false), 80.0, None), "better than met");
    assert_eq!(reached(target(true), 100.0, None), "met");
    assert_eq!(reached(target(true), 50.0, None), "short by 100 %");
    assert_eq!(reached(target(true), 130.0, None), "better than met");
}

#[test]
fn a_bound_that_is_met_does_not_hide_a_ratio_that_is_not() {
    let target = Target {
        bound: Some(6.5),
        stretch: None,
        of: Some((Axum, 0.95)),
        more: false,
    };
    assert_eq!(reached(target, 6.0, Some(0.9)), "met");
    assert_eq!(reached(target, 6.0, Some(1.05)), "1.05× axum");
    assert_eq!(reached(target, 6.0, None), "axum was not measured");
}

/// Whoever has no column of figures in a scenario is one that cannot, or is the server itself measured otherwise.
#[test]
fn every_peer_of_a_scenario_is_measured_or_explained() {
    for scenario in SCENARIOS
        .iter()
        .filter(|it| it.runs.iter().any(|run| run.who == Go))
    {
        for peer in PEERS {
            let measured = scenario.runs.iter().any(|run| run.who == peer);
            let explained = scenario.cannot.iter().any(|(who, _)| *who == peer);
            assert!(measured != explained, "{}: {}", scenario.name, peer.title());
        }
    }
}
