//! The tables: what was played, what was seen, what must hold.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::Arguments;
use crate::control::Times;
use crate::ledger::Faults;
use crate::link;
use crate::sampler::{COLUMNS, Sample};
use crate::site::Site;
use crate::soak::Outcome;
use crate::verdict::{Check, judge};

pub struct Report {
    text: String,
    samples: Vec<Sample>,
    passed: bool,
}

impl Report {
    pub fn new(arguments: &Arguments, site: &Site, outcome: Outcome, faults: Faults) -> Self {
        let checks = judge(&outcome, &faults);
        let passed = checks.iter().all(|check| check.holds);
        let mut text = heading(arguments, site, &outcome);
        text += &checks_table(&checks);
        text += &latencies(&outcome);
        text += &held(&outcome);
        text += &played(&outcome);
        for (what, lines) in [
            ("Faults", &faults.first),
            ("Errors in the log", &outcome.errors),
        ] {
            if !lines.is_empty() {
                let _ = writeln!(text, "\n{what}:\n\n* {}", lines.join("\n* "));
            }
        }
        let verdict = if passed {
            "back at the baseline"
        } else {
            "NOT BACK"
        };
        let _ = writeln!(text, "\nverdict: {verdict}");
        Self {
            text,
            samples: outcome.samples,
            passed,
        }
    }

    pub fn passed(&self) -> bool {
        self.passed
    }

    pub fn print(&self) {
        println!("{}", self.text);
    }

    /// Writes `soak.md` and `soak.csv`.
    pub fn write(&self, directory: &Path) {
        let csv = csv(&self.samples);
        let written = fs::create_dir_all(directory)
            .and_then(|()| fs::write(directory.join("soak.md"), &self.text))
            .and_then(|()| fs::write(directory.join("soak.csv"), csv));
        if let Err(error) = written {
            eprintln!("{}: {error}", directory.display());
        }
    }
}

fn heading(arguments: &Arguments, site: &Site, outcome: &Outcome) -> String {
    let mut text = format!(
        "# Soak: {} minutes, seed {}, {} workers, {} shards, {} crashes\n\n",
        arguments.minutes, arguments.seed, arguments.workers, arguments.shards, outcome.crashes,
    );
    let build = if cfg!(debug_assertions) {
        "a debug build"
    } else {
        "a release build"
    };
    let _ = match site.link() {
        Some(link) => {
            let carried = link.carried();
            writeln!(
                text,
                "On {build}. Clients of the churn sit behind a link that loses {} ‰ of the packets each way, holds them up \
                 for {} ± {} ms, lets {} ‰ overtake and repeats {} ‰: {} packets carried, {} lost.",
                link::LOST,
                link::DELAY.as_millis(),
                link::JITTER.as_millis(),
                link::OVERTAKING,
                link::REPEATED,
                carried.carried,
                carried.lost,
            )
        }
        None => writeln!(text, "On {build}. All clients on loopback, without loss."),
    };
    text
}

fn checks_table(checks: &[Check]) -> String {
    let mut text = "\n| what | must be | is | |\n|---|---|---|---|\n".to_owned();
    for check in checks {
        let holds = if check.holds { "ok" } else { "**NO**" };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {holds} |",
            check.what, check.expected, check.found
        );
    }
    text
}

fn latencies(outcome: &Outcome) -> String {
    let mut text = "\n| beside the churn | count | P50 ms | P99 ms | P99.9 ms | longest ms |\n|---|---|---|---|---|---|\n".to_owned();
    let seen = &outcome.seen;
    let rows: [(&str, &Times); 4] = [
        ("message, member to member", &seen.messages),
        ("acknowledgement", &seen.acknowledgements),
        ("/health/live", &seen.live),
        ("/health/ready", &seen.ready),
    ];
    for (name, times) in rows {
        let [p50, p99, p999, longest] = [0.5, 0.99, 0.999, 1.0].map(|q| times.quantile_ms(q));
        let count = times.count();
        let _ = writeln!(
            text,
            "| {name} | {count} | {p50:.1} | {p99:.1} | {p999:.1} | {longest:.1} |"
        );
    }
    text
}

/// Each figure at the baseline, at its largest, at the end.
fn held(outcome: &Outcome) -> String {
    let mut text = "\n| held | baseline | largest | end |\n|---|---|---|---|\n".to_owned();
    for (index, column) in COLUMNS.iter().enumerate() {
        let figure = |sample: &Sample| sample.figures[index];
        let of = |sample: &Option<Sample>| sample.as_ref().map_or(f64::NAN, figure);
        let largest = outcome.samples.iter().map(figure).fold(0.0, f64::max);
        let (before, after) = (of(&outcome.baseline), of(&outcome.last));
        let _ = writeln!(
            text,
            "| {} | {before:.0} | {largest:.0} | {after:.0} |",
            column.name
        );
    }
    text
}

fn played(outcome: &Outcome) -> String {
    let mut text =
        "\n| played | times | cut short | the last time by |\n|---|---|---|---|\n".to_owned();
    for (name, count) in &outcome.counts {
        let reason = count.reason.replace('|', "/");
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {reason} |",
            count.played, count.cut_short
        );
    }
    let scenes = &outcome.scenes;
    for (name, times) in [
        ("link cut for 1 to 8 s", scenes.cuts),
        ("no descriptors for 5 s", scenes.exhaustions),
        ("a crowd past the cap of connections", scenes.crowds),
        ("sessions past their cap", scenes.session_floods),
        ("reload of a good file", scenes.reloads),
        ("reload of a bad file", scenes.bad_reloads),
    ] {
        let _ = writeln!(text, "| {name} | {times} | | |");
    }
    text
}

fn csv(samples: &[Sample]) -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
    let mut text = format!("seconds,phase,{}\n", names.join(","));
    for sample in samples {
        let figures: Vec<String> = sample
            .figures
            .iter()
            .map(|figure| format!("{figure:.0}"))
            .collect();
        let _ = writeln!(
            text,
            "{:.0},{},{}",
            sample.at.as_secs_f64(),
            sample.phase,
            figures.join(",")
        );
    }
    text
}
