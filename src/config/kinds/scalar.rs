//! Numbers, sizes, durations, switches and choices.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::friendly::{Spacing, SpanPrinter};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::MemoryLimit;
use crate::config::fault::shown;
use crate::limits::{CPUS, Cap};

use super::Kind;

/// `true` or `false`.
pub(in crate::config) struct Switch;

impl Kind for Switch {
    type Value = bool;

    fn parse(&self, text: &str) -> Result<bool, String> {
        text.parse()
            .map_err(|_| format!("{} is neither true nor false", shown(text)))
    }

    fn show(&self, value: &bool) -> toml::Value {
        (*value).into()
    }
}

/// A whole number within bounds.
pub(in crate::config) struct Count {
    pub(in crate::config) min: usize,
    pub(in crate::config) max: usize,
}

impl Kind for Count {
    type Value = usize;

    fn parse(&self, text: &str) -> Result<usize, String> {
        let Self { min, max } = self;
        match text.parse() {
            Ok(n) if (*min..=*max).contains(&n) => Ok(n),
            _ => Err(format!(
                "{} is not a whole number from {min} to {max}",
                shown(text)
            )),
        }
    }

    fn show(&self, value: &usize) -> toml::Value {
        number(*value)
    }
}

/// A number of shards, 0 for one per CPU.
pub(in crate::config) struct ShardCount {
    pub(in crate::config) max: usize,
}

impl Kind for ShardCount {
    type Value = Option<NonZeroUsize>;

    fn parse(&self, text: &str) -> Result<Self::Value, String> {
        Count {
            min: 0,
            max: self.max,
        }
        .parse(text)
        .map(NonZeroUsize::new)
    }

    fn show(&self, value: &Self::Value) -> toml::Value {
        number(value.map_or(0, NonZeroUsize::get))
    }
}

/// A cap, 0 for none.
pub(in crate::config) struct CapOf;

impl Kind for CapOf {
    type Value = Cap;

    fn parse(&self, text: &str) -> Result<Cap, String> {
        // As many bits as memory could ever hold of anything that is capped.
        let n: Result<u32, _> = text.parse();
        n.map(|n| Cap::new(n as usize)).map_err(|_| {
            format!(
                "{} is not a whole number from 0 (no cap) to {}",
                shown(text),
                u32::MAX
            )
        })
    }

    fn show(&self, value: &Cap) -> toml::Value {
        number(value.get().unwrap_or(0))
    }
}

fn number(n: usize) -> toml::Value {
    i64::try_from(n).unwrap_or(i64::MAX).into()
}

/// A size in bytes within bounds: `262144`, `256KiB`, `1MB`.
pub(in crate::config) struct Bytes {
    pub(in crate::config) min: usize,
    pub(in crate::config) max: usize,
}

/// Binary units (IEC 80000-13), from the largest; they are printed.
const BINARY_UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
/// What is read besides.
const OTHER_UNITS: [(&str, usize); 5] = [
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
    ("", 1),
];

impl Kind for Bytes {
    type Value = usize;

    fn parse(&self, text: &str) -> Result<usize, String> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, unit) = text.split_at(digits);
        let unit = unit.trim_start();
        let factor = BINARY_UNITS
            .iter()
            .chain(&OTHER_UNITS)
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|(_, factor)| *factor);
        let bytes = digits
            .parse()
            .ok()
            .zip(factor)
            .and_then(|(n, factor): (usize, usize)| n.checked_mul(factor));
        match bytes {
            Some(bytes) if (self.min..=self.max).contains(&bytes) => Ok(bytes),
            Some(_) => Err(format!(
                "{} is not from {} to {}",
                shown(text),
                bytes_text(self.min),
                bytes_text(self.max)
            )),
            None => Err(format!(
                "{} is not a size such as 256KiB, 1MiB or 262144",
                shown(text)
            )),
        }
    }

    fn show(&self, value: &usize) -> toml::Value {
        bytes_text(*value).into()
    }
}

fn bytes_text(bytes: usize) -> String {
    BINARY_UNITS
        .iter()
        .find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor))
        .map_or_else(
            || bytes.to_string(),
            |(name, factor)| format!("{}{name}", bytes / factor),
        )
}

/// An amount of memory: a size, `auto`, or 0 for any.
pub(in crate::config) struct MemorySize;

/// What a limit of memory can be: from less than an empty server has to more than any machine.
const MEMORY: Bytes = Bytes {
    min: 1 << 20,
    max: 1 << 50,
};
const AUTO: &str = "auto";

impl Kind for MemorySize {
    type Value = MemoryLimit;

    fn parse(&self, text: &str) -> Result<MemoryLimit, String> {
        match text {
            AUTO => Ok(MemoryLimit::Auto),
            "0" => Ok(MemoryLimit::Off),
            size => match MEMORY.parse(size) {
                Ok(bytes) => Ok(MemoryLimit::Bytes(bytes)),
                Err(problem) => Err(format!("{problem}, nor {AUTO}, nor 0 (no limit)")),
            },
        }
    }

    fn show(&self, value: &MemoryLimit) -> toml::Value {
        match value {
            MemoryLimit::Auto => AUTO.into(),
            MemoryLimit::Off => number(0),
            MemoryLimit::Bytes(bytes) => MEMORY.show(bytes),
        }
    }
}

/// A duration within bounds, with its unit: `30s`, `5m`, `1h30m`, `250ms`.
pub(in crate::config) struct Span {
    pub(in crate::config) min: Duration,
    pub(in crate::config) max: Duration,
}

impl Kind for Span {
    type Value = Duration;

    fn parse(&self, text: &str) -> Result<Duration, String> {
        let span = signed_duration(text).ok_or_else(|| {
            format!(
                "{} is not a duration with its unit, such as 30s, 5m or 250ms",
                shown(text)
            )
        })?;
        match Duration::try_from(span) {
            Ok(span) if (self.min..=self.max).contains(&span) => Ok(span),
            _ => Err(format!(
                "{} is not from {} to {}",
                shown(text),
                span_text(self.min),
                span_text(self.max)
            )),
        }
    }

    fn show(&self, value: &Duration) -> toml::Value {
        span_text(*value).into()
    }
}

/// A day is 24 hours here: no calendar is meant.
fn signed_duration(text: &str) -> Option<SignedDuration> {
    match text.trim().strip_suffix('d') {
        Some(days) => {
            SignedDuration::try_from_hours(days.trim().parse::<i64>().ok()?.checked_mul(24)?)
        }
        None => text.parse().ok(),
    }
}

/// The duration as it is written in a configuration.
pub(in crate::config) fn span_text(span: Duration) -> String {
    SpanPrinter::new()
        .spacing(Spacing::None)
        .unsigned_duration_to_string(&span)
}

/// One of a few words.
pub(in crate::config) struct Choice<T: 'static>(pub(in crate::config) &'static [(&'static str, T)]);

impl<T: Copy + PartialEq + 'static> Kind for Choice<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, String> {
        let found = self.0.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<_> = self.0.iter().map(|(name, _)| *name).collect();
            format!("{} is none of {}", shown(text), names.join(", "))
        })
    }

    fn show(&self, value: &T) -> toml::Value {
        let found = self.0.iter().find(|(_, choice)| choice == value);
        found.map_or("", |(name, _)| name).into()
    }
}

/// CPUs as in `/proc/<pid>/status` and `taskset -c`: `0-3`, `0,2,4-7`; nothing for every one.
pub(in crate::config) struct Cores;

impl Kind for Cores {
    type Value = Option<Vec<usize>>;

    fn parse(&self, text: &str) -> Result<Self::Value, String> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let mut cores = Vec::new();
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            match (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
                (Ok(first), Ok(last)) if first <= last && last < CPUS => cores.extend(first..=last),
                _ => {
                    let last = CPUS - 1;
                    let problem = "is not a list of CPUs such as 0-3 or 0,2";
                    return Err(format!("{} {problem} (0 to {last})", shown(text)));
                }
            }
        }
        cores.sort_unstable();
        cores.dedup();
        Ok(Some(cores))
    }

    fn show(&self, value: &Self::Value) -> toml::Value {
        let ranges = value
            .iter()
            .flat_map(|cores| cores.chunk_by(|a, b| a + 1 == *b));
        let ranges: Vec<_> = ranges
            .map(|range| match range {
                [one] => one.to_string(),
                range => format!("{}-{}", range[0], range[range.len() - 1]),
            })
            .collect();
        ranges.join(",").into()
    }
}

/// A level, or the directives of an [`EnvFilter`].
pub(in crate::config) struct Directives;

impl Kind for Directives {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        // A lone word that is no level would be taken for a target and silence everything else.
        let is_level = |word: &str| word.trim().parse::<LevelFilter>().is_ok();
        if let Some(word) = text
            .split(',')
            .find(|word| !word.contains('=') && !is_level(word))
        {
            return Err(format!(
                "{} is not a level (off, error, warn, info, debug, trace) nor TARGET=LEVEL",
                shown(word.trim())
            ));
        }
        match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(e) => Err(format!("{} is not a filter: {e}", shown(text))),
        }
    }

    fn show(&self, value: &String) -> toml::Value {
        value.as_str().into()
    }
}

/// A number or a switch in the place of a path is a mistake, and not the name of a file.
pub(super) fn path_text(value: &toml::Value) -> Result<&str, String> {
    let refused = || format!("{} is not a path in quotes", shown(&value.to_string()));
    value.as_str().ok_or_else(refused)
}

/// A path of a file.
pub(in crate::config) struct FilePath;

impl Kind for FilePath {
    type Value = PathBuf;

    fn parse(&self, text: &str) -> Result<PathBuf, String> {
        match text.is_empty() {
            true => Err("is empty: name a file".to_owned()),
            false => Ok(PathBuf::from(text)),
        }
    }

    fn read(&self, value: &toml::Value) -> Result<PathBuf, String> {
        self.parse(path_text(value)?)
    }

    fn show(&self, value: &PathBuf) -> toml::Value {
        value.display().to_string().into()
    }
}
