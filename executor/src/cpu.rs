//! Which CPUs there are, and how many shards to run on them.

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::cgroup::{Cgroups, read};

/// The highest CPU number that Linux knows how to name (`CONFIG_NR_CPUS` is at most 8192). Bounds
/// what a range such as `0-4000000000` can make us allocate.
const MAX_CPU: usize = 8191;

/// CPU numbers, sorted and without repetition. Written as Linux writes them: `0-3,8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuList(Vec<usize>);

/// What is wrong with a list of CPUs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseCpuListError {
    /// Nothing is listed.
    #[error("no CPU is listed: write numbers and ranges, for example 0-3,8")]
    Empty,
    /// An element is no number and no range.
    #[error("`{0}` is neither a CPU number nor a range: write for example 0-3,8")]
    NotANumber(String),
    /// A range whose end is before its start.
    #[error("the range {0}-{1} runs backwards: write {1}-{0}")]
    Backwards(usize, usize),
    /// A number beyond what Linux supports.
    #[error("there is no CPU {0}: Linux numbers them up to {MAX_CPU}")]
    TooHigh(String),
}

impl CpuList {
    /// The list of these CPUs.
    pub fn new(cpus: impl IntoIterator<Item = usize>) -> Self {
        let mut cpus: Vec<usize> = cpus.into_iter().collect();
        cpus.sort_unstable();
        cpus.dedup();
        Self(cpus)
    }

    /// The CPUs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `cpu` is one of them.
    pub fn contains(&self, cpu: usize) -> bool {
        self.0.binary_search(&cpu).is_ok()
    }
}

impl FromStr for CpuList {
    type Err = ParseCpuListError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut cpus = Vec::new();
        if text.trim().is_empty() {
            return Err(ParseCpuListError::Empty);
        }
        for element in text.split(',').map(str::trim) {
            let (first, last) = match element.split_once('-') {
                Some((first, last)) => (number(first, element)?, number(last, element)?),
                None => (number(element, element)?, number(element, element)?),
            };
            if last < first {
                return Err(ParseCpuListError::Backwards(first, last));
            }
            cpus.extend(first..=last);
        }
        Ok(Self::new(cpus))
    }
}

/// Parses `digits`, a part of the list's `element`.
fn number(digits: &str, element: &str) -> Result<usize, ParseCpuListError> {
    let digits = digits.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseCpuListError::NotANumber(element.to_owned()));
    }
    match digits.parse() {
        Ok(cpu) if cpu <= MAX_CPU => Ok(cpu),
        _ => Err(ParseCpuListError::TooHigh(digits.to_owned())),
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0.chunk_by(|a, b| a + 1 == *b);
        for (index, run) in runs.enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match run {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [only] => write!(f, "{comma}{only}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

/// The CPUs that this process may use: its affinity (`taskset`, `CPUAffinity=`) and the cpuset of
/// its cgroup (`docker --cpuset-cpus`, the static CPU manager of Kubernetes).
///
/// # Errors
/// If the kernel does not say, or if the two have no CPU in common.
pub fn available() -> io::Result<CpuList> {
    let ids = core_affinity::get_core_ids()
        .ok_or_else(|| io::Error::other("the affinity of this process cannot be read"))?;
    let affinity = CpuList::new(ids.into_iter().map(|core| core.id));
    let cpus = match Cgroups::of_this_process().cpuset() {
        Some(cpuset) => CpuList::new(affinity.iter().filter(|cpu| cpuset.contains(*cpu))),
        None => affinity,
    };
    if cpus.is_empty() {
        return Err(io::Error::other(
            "the affinity of this process and the cpuset of its cgroup have no CPU in common",
        ));
    }
    Ok(cpus)
}

/// The CPU time that the cgroup of this process may use, in CPUs (`docker --cpus 1.5`, a CPU limit
/// of Kubernetes): the lowest of it and the cgroups above it. `None` if there is no limit.
pub fn quota() -> Option<f64> {
    Cgroups::of_this_process().quota()
}

/// How many shards to run if nobody says: one per CPU, but no more than the quota can keep busy,
/// for shards beyond it would take time from each other, in pauses of up to 100 ms. At least one.
pub fn default_shards(available: &CpuList, quota: Option<f64>) -> usize {
    let by_quota = quota.map_or(usize::MAX, |cpus| cpus.ceil() as usize);
    available.len().min(by_quota).max(1)
}

impl Cgroups {
    fn cpuset(&self) -> Option<CpuList> {
        let v2 = self
            .unified()
            .find_map(|dir| read(&dir, "cpuset.cpus.effective"));
        let v1 = || {
            let mut dirs = self.version_1("cpuset");
            dirs.find_map(|dir| {
                read(&dir, "cpuset.effective_cpus").or_else(|| read(&dir, "cpuset.cpus"))
            })
        };
        v2.or_else(v1)?.parse().ok()
    }

    fn quota(&self) -> Option<f64> {
        let v2 = self.unified().filter_map(|dir| {
            let limit = read(&dir, "cpu.max")?;
            let (quota, period) = limit.split_once(' ')?;
            ratio(quota, period) // `max` for the quota is no number: no limit
        });
        let v1 = self.version_1("cpu").filter_map(|dir| {
            ratio(
                &read(&dir, "cpu.cfs_quota_us")?,
                &read(&dir, "cpu.cfs_period_us")?,
            )
        });
        v2.chain(v1).min_by(f64::total_cmp)
    }
}

/// `quota / period`, both in microseconds; `None` unless both are positive.
fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

#[cfg(test)]
mod tests;
