//! What is wrong with the configuration, and who said so.

use std::fmt::{self, Write as _};

use thiserror::Error;

use crate::logging::OneLine;

/// Exit code of a process whose command line or configuration is at fault, as of the common
/// command line tools.
pub const FAULT_EXIT_CODE: u8 = 2;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the configuration file, counted from 1.
    File {
        /// The file as it was named.
        path: String,
        /// Line of the value.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag, such as `--listen` or `--set media.port`.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            // A path may hold anything; the line that it is printed on must stay one.
            Self::File { path, line } => write!(OneLine(f), "{path}:{line}"),
            Self::Variable(name) | Self::Flag(name) => OneLine(f).write_str(name),
        }
    }
}

/// One thing that is wrong, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong: a key (`media.port`), a variable, a file.
    pub subject: String,
    /// Completes the sentence that the subject begins.
    pub problem: String,
    /// Whoever set the values involved.
    pub origins: Vec<Origin>,
}

impl Fault {
    pub(super) fn new(subject: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            problem: problem.into(),
            origins: Vec::new(),
        }
    }

    pub(super) fn from(mut self, origin: Origin) -> Self {
        if origin != Origin::Default && !self.origins.contains(&origin) {
            self.origins.push(origin);
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(OneLine(f), "{}: {}", self.subject, self.problem)?;
        for (i, origin) in self.origins.iter().enumerate() {
            write!(f, "{}{origin}", if i == 0 { " [from " } else { ", " })?;
        }
        f.write_str(if self.origins.is_empty() { "" } else { "]" })
    }
}

/// All that is wrong: one line each.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConfigFaults(pub(super) Vec<Fault>);

impl ConfigFaults {
    /// The faults: unknown names by source, then values by key, then what does not fit together.
    pub fn faults(&self) -> &[Fault] {
        &self.0
    }
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// How alike two names must be, of 1, for one to be suggested in the place of the other.
const ALIKE: f64 = 0.4;

/// The known name that is most like the unknown one, if any is.
///
/// Likeness is by pairs of letters wherever they are (Sørensen–Dice), so that `port` finds
/// `media.port`.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::sorensen_dice(unknown, name), name))
        .filter(|&(likeness, _)| likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// How many characters of a refused value are repeated.
const SHOWN_CHARS: usize = 80;

/// A value as it is repeated in a fault: quoted where it is not a plain word, never long, and never
/// with a control character.
pub(super) fn shown(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:@-+/[]*".contains(c);
    let mut short: String = text.chars().take(SHOWN_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    if !short.is_empty() && short.chars().all(|c| plain(c) || c == '…') {
        short
    } else {
        format!("{short:?}")
    }
}
