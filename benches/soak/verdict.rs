//! What must hold, and whether it does.

use crate::control::{PICTURES, Seen};
use crate::ledger::Faults;
use crate::sampler::{Bound, COLUMNS, MEMORY_BYTES, MEMORY_SHARE, Sample};
use crate::soak::Outcome;
use crate::target::SHUTDOWN_TIMEOUT;

/// Share of its pictures that the control viewer must get in each window.
const PICTURES_SHARE: f64 = 0.95;

/// One thing that must hold.
#[derive(Clone, Debug)]
pub struct Check {
    pub what: String,
    pub expected: String,
    pub found: String,
    pub holds: bool,
}

impl Check {
    fn new(what: &str, expected: impl ToString, found: impl ToString, holds: bool) -> Self {
        Self {
            what: what.to_owned(),
            expected: expected.to_string(),
            found: found.to_string(),
            holds,
        }
    }
}

pub fn judge(outcome: &Outcome, faults: &Faults) -> Vec<Check> {
    let mut checks = held(outcome);
    checks.extend(steady(&outcome.seen));
    let errors = outcome.errors.len();
    checks.push(Check::new(
        "errors and panics in the log",
        0,
        errors,
        errors == 0,
    ));
    let text = format!(
        "{} of {} stored",
        outcome.checked.acknowledged, outcome.checked.stored
    );
    let some = outcome.checked.acknowledged > 0;
    checks.push(Check::new(
        "acknowledged messages found in order",
        "all",
        text,
        some,
    ));
    checks.push(Check::new(
        "wrong answers, gaps and losses",
        0,
        faults.count,
        faults.count == 0,
    ));
    let (code, took) = outcome.shutdown.unwrap_or_default();
    let found = format!("{code:?} in {:.1} s", took.as_secs_f64());
    let bound = format!("exit 0 in {} s", SHUTDOWN_TIMEOUT.as_secs());
    let in_time = code == Some(0) && took < SHUTDOWN_TIMEOUT;
    checks.push(Check::new("shutdown on SIGTERM", bound, found, in_time));
    checks.push(Check::new(
        "restart with all rooms",
        true,
        outcome.restarted,
        outcome.restarted,
    ));
    checks
}

/// What the server holds after the churn, against the baseline.
fn held(outcome: &Outcome) -> Vec<Check> {
    let (Some(baseline), Some(last)) = (&outcome.baseline, &outcome.last) else {
        return vec![Check::new(
            "samples before and after",
            "both",
            "missing",
            false,
        )];
    };
    let check = |(index, column): (usize, &crate::sampler::Column)| {
        let figure = |sample: &Sample| sample.figures[index];
        let (before, after) = (figure(baseline), figure(last));
        let most = match column.bound {
            Bound::Baseline(beside) => before + beside,
            Bound::Memory => before * (1.0 + MEMORY_SHARE) + MEMORY_BYTES,
            Bound::Never => {
                let largest = outcome.samples.iter().map(figure).fold(0.0, f64::max);
                return Some(Check::new(
                    column.name,
                    "0 all along",
                    largest,
                    largest == 0.0,
                ));
            }
            Bound::Shown => return None,
        };
        let bound = format!("≤ {most:.0} (baseline {before:.0})");
        Some(Check::new(
            column.name,
            bound,
            format!("{after:.0}"),
            after <= most,
        ))
    };
    COLUMNS.iter().enumerate().filter_map(check).collect()
}

/// What those beside the churn saw.
fn steady(seen: &Seen) -> Vec<Check> {
    let least = (PICTURES as f64 * PICTURES_SHARE) as usize;
    let worst = seen.windows.iter().min().copied().unwrap_or_default();
    vec![
        Check::new(
            "control viewer: pictures in its worst 10 s",
            format!("≥ {least} of {PICTURES}"),
            format!("{worst} ({} windows)", seen.windows.len()),
            worst >= least,
        ),
        Check::new("control viewer: gaps", 0, seen.gaps, seen.gaps == 0),
        Check::new(
            "control member: messages heard",
            "all, in order",
            seen.messages.count(),
            seen.messages.count() > 0,
        ),
    ]
}
