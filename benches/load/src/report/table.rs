//! Outcomes as a table: columns are functions of an outcome, lines are settings.

use serde_json::{Map, Value};

use super::{Latency, Outcome};

/// How the figures of several rounds become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The one in the middle, of an even number the larger of both.
    Median,
    /// The largest: what must be 0, and what a target bounds.
    Worst,
}

/// A column of a table.
#[derive(Clone, Copy)]
pub struct Column {
    /// Its heading, which ends with the unit.
    pub name: &'static str,
    /// Its figure of a round; NaN where there is none.
    pub of: fn(&Outcome) -> f64,
    /// Which round's counts.
    pub merge: Merge,
}

impl Column {
    /// A column of medians.
    pub const fn median(name: &'static str, of: fn(&Outcome) -> f64) -> Self {
        let merge = Merge::Median;
        Self { name, of, merge }
    }

    /// A column of the worst.
    pub const fn worst(name: &'static str, of: fn(&Outcome) -> f64) -> Self {
        let merge = Merge::Worst;
        Self { name, of, merge }
    }
}

/// How long clients waited, in ms.
pub const LATENCY: [Column; 4] = [
    Column::median("P50 ms", |it| ms(it, |latency| latency.p50)),
    Column::median("P99 ms", |it| ms(it, |latency| latency.p99)),
    Column::median("P99.9 ms", |it| ms(it, |latency| latency.p999)),
    Column::median("max ms", |it| ms(it, |latency| latency.max)),
];

/// How busy both sides were.
pub const BUSY: [Column; 2] = [
    Column::median("server CPU %", |it| it.server.cpu_us() / it.seconds / 1e4),
    Column::median("client CPU %", |it| it.client_cpu_us / it.seconds / 1e4),
];

fn ms(outcome: &Outcome, of: fn(&Latency) -> f64) -> f64 {
    outcome
        .latency_us
        .as_ref()
        .map_or(f64::NAN, |latency| of(latency) / 1e3)
}

/// A Markdown table, aligned: a line for each setting with what its rounds came to. Columns without a figure are left
/// out.
pub fn table<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>, columns: &[Column]) -> String {
    let mut settings: Vec<(&Map<String, Value>, Vec<&Outcome>)> = Vec::new();
    for outcome in outcomes {
        match settings
            .iter_mut()
            .find(|(setting, _)| **setting == outcome.setting)
        {
            Some((_, rounds)) => rounds.push(outcome),
            None => settings.push((&outcome.setting, vec![outcome])),
        }
    }
    let figures = |rounds: &[&Outcome]| -> Vec<f64> {
        columns
            .iter()
            .map(|column| merged(column, rounds))
            .collect()
    };
    let lines: Vec<(String, Vec<f64>)> = settings
        .iter()
        .map(|(setting, rounds)| {
            let name = format!("{} (of {})", shown_setting(setting), rounds.len());
            (name, figures(rounds))
        })
        .collect();
    let kept: Vec<usize> = (0..columns.len())
        .filter(|&at| lines.iter().any(|(_, figures)| !figures[at].is_nan()))
        .collect();
    let mut cells = vec![vec![String::new()]];
    cells[0].extend(kept.iter().map(|&at| columns[at].name.to_owned()));
    for (name, figures) in lines {
        let mut line = vec![name];
        line.extend(kept.iter().map(|&at| shown(figures[at])));
        cells.push(line);
    }
    aligned(&cells)
}

/// Names and values, in the order of the names.
fn shown_setting(setting: &Map<String, Value>) -> String {
    let entries = setting.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name} {text}"),
        value => format!("{name} {value}"),
    });
    entries.collect::<Vec<_>>().join(", ")
}

/// One column of all rounds; NaN where none has a figure.
fn merged(column: &Column, rounds: &[&Outcome]) -> f64 {
    let figures = rounds.iter().map(|outcome| (column.of)(outcome));
    let mut figures: Vec<f64> = figures.filter(|figure| !figure.is_nan()).collect();
    figures.sort_by(f64::total_cmp);
    let counts = match column.merge {
        Merge::Worst => figures.last(),
        Merge::Median => figures.get(figures.len() / 2),
    };
    counts.copied().unwrap_or(f64::NAN)
}

/// The first line is the head.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (at, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            let cell = if at == 0 {
                format!("| {cell:<width$} ")
            } else {
                format!("| {cell:>width$} ")
            };
            out += &cell;
        }
        out += "|\n";
        if number == 0 {
            for (at, width) in widths.iter().enumerate() {
                let colon = if at == 0 { "-" } else { ":" };
                out += &format!("|{}{colon}", "-".repeat(width + 1));
            }
            out += "|\n";
        }
    }
    out
}

/// Three significant digits, and thousands apart.
pub(super) fn shown(value: f64) -> String {
    match value {
        _ if value.is_nan() => String::new(),
        _ if value == 0.0 => "0".to_owned(),
        _ if value.abs() < 1.0 => format!("{value:.3}"),
        _ if value.abs() < 10.0 => format!("{value:.2}"),
        _ if value.abs() < 100.0 => format!("{value:.1}"),
        _ => {
            let digits = format!("{value:.0}");
            let (sign, digits) = digits
                .strip_prefix('-')
                .map_or(("", digits.as_str()), |digits| ("-", digits));
            let groups: Vec<&str> = digits
                .as_bytes()
                .rchunks(3)
                .rev()
                .map(|group| std::str::from_utf8(group).expect("digits"))
                .collect();
            format!("{sign}{}", groups.join(","))
        }
    }
}
