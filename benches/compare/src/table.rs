//! The page of a comparison.

use std::fmt::Write;

use load::report::Outcome;

use crate::contender::Contender::{self, Axum, Floor, Go, Janus, OneShard, Server};
use crate::figures::{Figure, Record, Rounds, median, ratio};
use crate::scenarios::{Row, Scenario, Target};

/// Whoever has a column beside this server.
const PEERS: [Contender; 3] = [Go, Axum, Janus];
/// And with lines of their own among the details.
const ALL: [Contender; 6] = [Server, OneShard, Go, Axum, Janus, Floor];

/// One line for each row that was measured, with medians.
pub(crate) fn summary(
    scenarios: &[&Scenario],
    records: &[Record],
    fill: &dyn Fn(&str) -> String,
) -> String {
    let mut lines = vec![
        [
            "work",
            "this server",
            "Go",
            "axum",
            "Janus",
            "floor",
            "× floor",
            "target",
            "reached",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for scenario in scenarios {
        for row in scenario.rows {
            if let Some(line) = line(scenario, row, records, fill) {
                lines.push(line);
            }
        }
    }
    markdown(&lines)
}

fn line(
    scenario: &Scenario,
    row: &Row,
    records: &[Record],
    fill: &dyn Fn(&str) -> String,
) -> Option<Vec<String>> {
    let of = |who| rounds(scenario, row, records, who);
    let middle = |rounds: &Rounds| median(rounds.iter().map(|(_, figure)| *figure));
    let ours = of(Server);
    let own = middle(&ours);
    let mut cells = vec![
        fill(row.work),
        own.map_or_else(String::new, |own| {
            format!("**{}** {}", shown(own), row.unit)
        }),
    ];
    for peer in PEERS {
        let theirs = of(peer);
        let cell = match (middle(&theirs), ratio(&ours, &theirs)) {
            (Some(figure), Some(times)) => format!("{} ({times:.2}×)", shown(figure)),
            (Some(figure), None) => shown(figure),
            (None, _) if scenario.cannot.iter().any(|(who, _)| *who == peer) => "n/a".to_owned(),
            (None, _) => String::new(),
        };
        cells.push(cell);
    }
    // Memory and latencies have no floor: what a floor has is CPU, and what follows from it.
    let has_floor = matches!(row.figure, Figure::CpuPerUnit | Figure::Rate);
    let floor = if has_floor { of(Floor) } else { Rounds::new() };
    if own.is_none() && floor.is_empty() && PEERS.iter().all(|peer| of(*peer).is_empty()) {
        return None;
    }
    cells.push(middle(&floor).map_or_else(String::new, shown));
    let times = ratio(&ours, &floor).map(|times| format!("{times:.2}×"));
    cells.push(times.unwrap_or_default());
    match (row.target, own) {
        (Some(target), Some(own)) => {
            let others = target.of.and_then(|(who, _)| ratio(&ours, &of(who)));
            cells.extend([wanted(target, row.unit), reached(target, own, others)]);
        }
        (Some(target), None) => cells.extend([wanted(target, row.unit), String::new()]),
        (None, _) => cells.extend([String::new(), String::new()]),
    }
    Some(cells)
}

/// A row's figures of one contender.
fn rounds(scenario: &Scenario, row: &Row, records: &[Record], who: Contender) -> Rounds {
    let wanted = |outcome: &Outcome| {
        let named = row.named.is_none_or(|name| outcome.scenario == name);
        named
            && row.only.is_none_or(|(names, value)| {
                let of = |name: &&str| {
                    outcome
                        .setting
                        .get(*name)
                        .and_then(serde_json::Value::as_u64)
                };
                names.iter().find_map(of) == Some(value)
            })
    };
    let records = records
        .iter()
        .filter(|it| it.scenario == scenario.name && it.contender == who);
    let records = records.filter(|it| wanted(&it.outcome));
    records
        .filter_map(|it| Some((it.round, row.figure.of(&it.outcome)?)))
        .collect()
}

/// What is to be reached, in a cell.
fn wanted(target: Target, unit: &str) -> String {
    let sign = if target.more { "≥" } else { "≤" };
    let mut parts = Vec::new();
    if let Some(bound) = target.bound {
        parts.push(format!("{sign} {} {unit}", shown(bound)));
    }
    if let Some((who, times)) = target.of {
        parts.push(format!("{sign} {times}× {}", who.title()));
    }
    if let Some(stretch) = target.stretch {
        parts.push(format!("better {sign} {}", shown(stretch)));
    }
    parts.join(", ")
}

/// Whether it is, and how much is missing.
fn reached(target: Target, own: f64, of_other: Option<f64>) -> String {
    // How many times too much of what is to be small, or too little of what is to be large.
    let excess = |figure: f64, bound: f64| {
        if target.more {
            bound / figure
        } else {
            figure / bound
        }
    };
    let mut short = Vec::new();
    if let Some(bound) = target.bound
        && excess(own, bound) > 1.0
    {
        short.push(format!(
            "short by {:.0} %",
            (excess(own, bound) - 1.0) * 100.0
        ));
    }
    if let Some((who, times)) = target.of {
        match of_other {
            Some(measured) if excess(measured, times) > 1.0 => {
                short.push(format!("{measured:.2}× {}", who.title()));
            }
            Some(_) => {}
            None => short.push(format!("{} was not measured", who.title())),
        }
    }
    match (short.is_empty(), target.stretch) {
        (false, _) => short.join(", "),
        (true, Some(stretch)) if excess(own, stretch) <= 1.0 => "better than met".to_owned(),
        (true, _) => "met".to_owned(),
    }
}

/// A column of the details.
type Column = (&'static str, fn(&Outcome) -> Option<f64>);

const DETAILS: [Column; 11] = [
    ("CPU µs/unit", |it| Figure::CpuPerUnit.of(it)),
    ("(user)", |it| Some(it.server.user_us / it.units as f64)),
    ("units/s", |it| Figure::Rate.of(it)),
    ("P50 µs", |it| Some(it.latency_us.as_ref()?.p50)),
    ("P99 µs", |it| Some(it.latency_us.as_ref()?.p99)),
    ("P99.9 µs", |it| Some(it.latency_us.as_ref()?.p999)),
    ("RSS MB", |it| Some(it.server.rss_after as f64 / 1e6)),
    ("server CPU %", |it| {
        Some(it.server.cpu_us() / it.seconds / 1e4)
    }),
    ("client CPU %", |it| {
        Some(it.client_cpu_us / it.seconds / 1e4)
    }),
    ("lost", |it| Figure::Count("lost", 1.0).of(it)),
    ("errors", |it| Figure::Count("errors", 1.0).of(it)),
];

/// One line for each contender, scenario and setting, with medians and the span of the first column.
pub(crate) fn details(scenarios: &[&Scenario], records: &[Record]) -> String {
    let mut head = vec![
        "scenario".to_owned(),
        "who".to_owned(),
        "setting".to_owned(),
        "rounds".to_owned(),
    ];
    head.extend(DETAILS.iter().map(|(name, _)| (*name).to_owned()));
    head.insert(5, "lowest to highest".to_owned());
    let mut lines = vec![head];
    for scenario in scenarios {
        for who in ALL {
            let of_who = records
                .iter()
                .filter(|it| it.scenario == scenario.name && it.contender == who);
            let mut settings: Vec<(String, Vec<&Outcome>)> = Vec::new();
            for record in of_who {
                let setting = setting(&record.outcome);
                match settings.iter_mut().find(|(known, _)| *known == setting) {
                    Some((_, outcomes)) => outcomes.push(&record.outcome),
                    None => settings.push((setting, vec![&record.outcome])),
                }
            }
            for (setting, outcomes) in settings {
                lines.push(detail(scenario, who, setting, &outcomes));
            }
        }
    }
    markdown(&lines)
}

fn detail(
    scenario: &Scenario,
    who: Contender,
    setting: String,
    outcomes: &[&Outcome],
) -> Vec<String> {
    let mut cells = vec![
        scenario.name.to_owned(),
        who.title().to_owned(),
        setting,
        outcomes.len().to_string(),
    ];
    for (_, of) in DETAILS {
        let figures = outcomes.iter().filter_map(|outcome| of(outcome));
        cells.push(median(figures).map_or_else(String::new, shown));
    }
    let mut costs: Vec<f64> = outcomes
        .iter()
        .filter_map(|it| Figure::CpuPerUnit.of(it))
        .collect();
    costs.sort_by(f64::total_cmp);
    let span = costs.first().zip(costs.last());
    let span = span.map(|(low, high)| format!("{} to {}", shown(*low), shown(*high)));
    cells.insert(5, span.unwrap_or_default());
    cells
}

fn setting(outcome: &Outcome) -> String {
    let entries = outcome.setting.iter().map(|(name, value)| match value {
        serde_json::Value::String(text) => format!("{name} {text}"),
        value => format!("{name} {value}"),
    });
    entries.collect::<Vec<_>>().join(", ")
}

/// The first line is the head.
fn markdown(lines: &[Vec<String>]) -> String {
    let mut out = String::new();
    for (number, cells) in lines.iter().enumerate() {
        let _ = writeln!(out, "| {} |", cells.join(" | "));
        if number == 0 {
            let _ = writeln!(out, "|{}", "---|".repeat(cells.len()));
        }
    }
    out
}

/// Three digits, and thousands apart.
fn shown(figure: f64) -> String {
    let decimals = match figure.abs() {
        0.0 => 0,
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    let digits = format!("{figure:.decimals$}");
    if figure.abs() < 1000.0 {
        return digits;
    }
    let bytes = digits.as_bytes();
    let groups: Vec<&str> = bytes
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits"))
        .collect();
    groups.join(",")
}

#[cfg(test)]
#[path = "table/tests.rs"]
mod tests;
