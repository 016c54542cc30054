//! Figures of the process as a whole.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use super::{Held, ReloadReading, StoreReading};

/// Ticks of a second in `/proc/self/stat`: `USER_HZ`, 100 on every architecture that Rust's Linux
/// targets have.
const CLOCK_TICKS_PER_SECOND: f64 = 100.0;

/// What is not of one shard. A figure that the kernel would not tell is `None`, and has no series.
#[derive(Clone, Debug, Default)]
pub struct ProcessFigures {
    /// Resident memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// What that may be, in bytes; `None`: anything.
    pub memory_limit: Option<u64>,
    /// Whether new work is refused for the sake of memory.
    pub memory_short: bool,
    /// Open descriptors.
    pub open_fds: Option<u64>,
    /// The soft limit on descriptors.
    pub max_fds: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// User and system CPU time, in seconds.
    pub cpu_seconds: Option<f64>,
    /// When the process started, in seconds since the Unix epoch.
    pub start_time: Option<f64>,
    /// What was held when it was last counted.
    pub held: Held,
    /// Log lines dropped because the log could not keep up.
    pub log_lines_dropped: u64,
    /// What the watchdog saw of each shard's executor, by index of the shard.
    pub executors: Vec<ExecutorFigures>,
    /// What the store's thread counts.
    pub store: StoreReading,
    /// Times that the configuration was read again.
    pub reloads: ReloadReading,
}

/// What the watchdog saw of one shard's executor.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExecutorFigures {
    /// The longest time that it made no progress.
    pub longest_stall: Duration,
}

impl ProcessFigures {
    /// Reads what the kernel knows from `/proc/self`; the rest is for the caller to fill in.
    /// Counting descriptors takes about a microsecond for each, so this belongs on a thread that
    /// may wait.
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        ProcessFigures {
            memory_bytes: memory_bytes(&status),
            open_fds: open_fds(),
            max_fds: max_fds(&limits),
            threads: field(&status, "Threads:"),
            cpu_seconds: cpu_seconds(&stat),
            start_time: start_time(&stat),
            ..ProcessFigures::default()
        }
    }
}

/// Resident memory of the process, in bytes.
pub fn resident_bytes() -> Option<u64> {
    memory_bytes(&fs::read_to_string("/proc/self/status").ok()?)
}

/// The number that stands first after `name` in `text`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn memory_bytes(status: &str) -> Option<u64> {
    field(status, "VmRSS:").map(|kibibytes| kibibytes * 1024)
}

fn max_fds(limits: &str) -> Option<u64> {
    field(limits, "Max open files")
}

/// Open descriptors, without the one through which they are counted.
fn open_fds() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    (entries.count() as u64).checked_sub(1)
}

/// The field of `/proc/self/stat` with the number that proc(5) gives it, in clock ticks. The name
/// of the program, which is field 2, may hold anything, even a parenthesis.
fn stat_ticks(stat: &str, number: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name
        .split_ascii_whitespace()
        .nth(number - 3)?
        .parse()
        .ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    let (user, system) = (stat_ticks(stat, 14)?, stat_ticks(stat, 15)?);
    Some((user + system) / CLOCK_TICKS_PER_SECOND)
}

/// Read once: the kernel derives the time of boot from a clock that may be set, and a start does
/// not move.
fn start_time(stat: &str) -> Option<f64> {
    static START_TIME: OnceLock<Option<f64>> = OnceLock::new();
    *START_TIME.get_or_init(|| {
        let boot = field(&fs::read_to_string("/proc/stat").ok()?, "btime")?;
        Some(boot as f64 + stat_ticks(stat, 22)? / CLOCK_TICKS_PER_SECOND)
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn this_process_has_figures() {
        let figures = ProcessFigures::read();
        assert!(figures.memory_bytes.unwrap() > 1 << 20, "{figures:?}");
        assert!(figures.threads.unwrap() >= 1);
        assert!(figures.cpu_seconds.unwrap() >= 0.0);
        assert!(figures.open_fds.unwrap() <= figures.max_fds.unwrap());
        let age =
            SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() - figures.start_time.unwrap();
        assert!((-5.0..86_400.0).contains(&age), "started {age} s ago");
    }

    #[test]
    fn many_descriptors_are_counted() {
        let before = ProcessFigures::read().open_fds.unwrap();
        let held: Vec<_> = (0..100).map(|_| File::open("/dev/null").unwrap()).collect();
        let with = ProcessFigures::read().open_fds.unwrap();
        // Tests run side by side in this process and hold a few of their own.
        assert!(
            (90..=110).contains(&(with - before)),
            "{before} → {with}, {} held",
            held.len()
        );
    }

    #[test]
    fn a_hostile_program_name_is_skipped() {
        let mut stat = "7 (a) R) 9) S".to_owned();
        (4..=22).for_each(|number| stat.push_str(&format!(" {number}00")));
        assert_eq!(cpu_seconds(&stat), Some(29.0));
        assert_eq!(stat_ticks(&stat, 22), Some(2200.0));
    }

    #[test]
    fn what_is_missing_is_none() {
        assert_eq!(memory_bytes("Name:\tx\n"), None);
        assert_eq!(
            max_fds("Max open files            unlimited  unlimited  files\n"),
            None
        );
        assert_eq!(cpu_seconds("1 (x) R 2"), None);
    }
}
