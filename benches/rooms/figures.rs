//! Figures of rounds: distributions, medians, and how they are printed.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

/// Samples of a time in ns.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<u64>);

impl Samples {
    pub fn push(&mut self, sample: u64) {
        self.0.push(sample);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The quantiles of all samples, in ms; NaN without any.
    pub fn quantiles_ms<const N: usize>(&self, quantiles: [f64; N]) -> [f64; N] {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        quantiles.map(|quantile| {
            let rank = (sorted.len() as f64 * quantile) as usize;
            let last = sorted.len().wrapping_sub(1);
            sorted
                .get(rank.min(last))
                .map_or(f64::NAN, |&ns| ns as f64 / 1e6)
        })
    }
}

/// How the figures of several rounds become one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Merge {
    Median,
    /// The largest: what must be 0, and what a target bounds.
    Worst,
}

/// What one round measured, in the order of the table's columns.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<(&'static str, f64, Merge)>);

impl Figures {
    /// A figure whose median counts. The name ends with the unit.
    pub fn add(&mut self, name: &'static str, value: f64) {
        self.0.push((name, value, Merge::Median));
    }

    /// A figure whose worst value counts.
    pub fn add_worst(&mut self, name: &'static str, value: f64) {
        self.0.push((name, value, Merge::Worst));
    }

    /// P50, P99, P99.9 and the maximum.
    pub fn add_latency(&mut self, samples: &Samples) {
        let names = ["P50 ms", "P99 ms", "P99.9 ms", "max ms"];
        let values = samples.quantiles_ms([0.5, 0.99, 0.999, 1.0]);
        for (name, value) in names.into_iter().zip(values) {
            self.add(name, value);
        }
    }

    fn json(&self) -> Value {
        let entries = self.0.iter().map(|(name, value, _)| {
            let value = serde_json::Number::from_f64(*value).map_or(Value::Null, Value::Number);
            ((*name).to_owned(), value)
        });
        Value::Object(entries.collect::<Map<_, _>>())
    }
}

/// Rounds of one variant of a scenario.
pub struct Rows {
    scenario: &'static str,
    title: String,
    rounds: Vec<(String, Figures)>,
}

impl Rows {
    pub fn new(scenario: &'static str, title: String) -> Self {
        Self {
            scenario,
            title,
            rounds: Vec::new(),
        }
    }

    /// One round of `variant`; rounds of a variant have the same columns.
    pub fn push(&mut self, variant: impl Into<String>, figures: Figures) {
        let variant = variant.into();
        eprintln!("{} {variant}: {}", self.scenario, figures.json());
        self.rounds.push((variant, figures));
    }

    /// Each variant's medians as a Markdown table.
    pub fn print(&self) {
        println!("\n### {}\n", self.title);
        let mut columns: Vec<&str> = Vec::new();
        for (name, ..) in self.rounds.iter().flat_map(|(_, figures)| &figures.0) {
            if !columns.contains(name) {
                columns.push(name);
            }
        }
        println!("| | {} |", columns.join(" | "));
        println!("|---|{}", "---|".repeat(columns.len()));
        for (variant, rounds) in self.variants() {
            let cells: Vec<String> = columns
                .iter()
                .map(|column| merged(column, &rounds).map_or(String::new(), shown))
                .collect();
            println!(
                "| {variant} (median of {}) | {} |",
                rounds.len(),
                cells.join(" | ")
            );
        }
    }

    /// Appends every round to `rooms.jsonl` in this directory.
    pub fn write(&self, directory: &Path, server: &str) {
        fs::create_dir_all(directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let path = directory.join("rooms.jsonl");
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for (number, (variant, figures)) in self.rounds.iter().enumerate() {
            let line = json!({
                "scenario": self.scenario, "server": server, "variant": variant, "line": number,
                "figures": figures.json(), "host": host(),
            });
            writeln!(file, "{line}").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    fn variants(&self) -> Vec<(&str, Vec<&Figures>)> {
        let mut variants: Vec<(&str, Vec<&Figures>)> = Vec::new();
        for (variant, figures) in &self.rounds {
            match variants.iter_mut().find(|(name, _)| name == variant) {
                Some((_, rounds)) => rounds.push(figures),
                None => variants.push((variant, vec![figures])),
            }
        }
        variants
    }
}

/// One column of all rounds of a variant; `None` where it has no such column.
fn merged(column: &str, rounds: &[&Figures]) -> Option<f64> {
    let figures: Vec<_> = rounds
        .iter()
        .filter_map(|figures| figures.0.iter().find(|(name, ..)| *name == column))
        .collect();
    let mut values: Vec<f64> = figures.iter().map(|(_, value, _)| *value).collect();
    values.sort_by(f64::total_cmp);
    match figures.first()?.2 {
        Merge::Worst => values.last().copied(),
        Merge::Median => values.get(values.len() / 2).copied(),
    }
}

/// Three significant digits, and thousands apart.
fn shown(value: f64) -> String {
    match value {
        _ if value.is_nan() => "-".to_owned(),
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

/// What the figures were measured on.
pub fn host() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    json!({
        "cpu": model.trim_start_matches([' ', '\t', ':']),
        "cpus": cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load": read("/proc/loadavg").split(' ').next(),
    })
}
