//! What `/proc` tells of a process, and pinning of our own threads.

#[cfg(test)]
mod tests;

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit};
use rustix::thread::CpuSet;

/// A process of this machine, by id. Reading of one that has ended panics, and says which file is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(
    /// Its id.
    pub u32,
);

/// CPU time of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// In the program.
    pub user: Duration,
    /// In the kernel on its behalf.
    pub system: Duration,
    /// Both, of the threads that live: exact to the kernel's last look at the thread that runs.
    live: Duration,
}

/// Rounding of user and of system time, each to a tick, at both readings.
const TICKS_OF_DOUBT: u32 = 4;

impl Cpu {
    /// User and system time.
    pub fn total(self) -> Duration {
        self.user + self.system
    }

    /// What was used since an earlier reading. The total is exact to some µs while no thread ends in between, and to
    /// the ticks of 10 ms in which the kernel tells user and system time otherwise.
    pub fn since(self, earlier: Self) -> Self {
        let user = self.user.saturating_sub(earlier.user);
        let system = self.system.saturating_sub(earlier.system);
        let ticks = user + system;
        let live = self.live.saturating_sub(earlier.live);
        if ticks.abs_diff(live) > TICKS_OF_DOUBT * tick() {
            let live = Duration::ZERO;
            return Self { user, system, live };
        }
        let share = if ticks.is_zero() {
            0.0
        } else {
            user.as_secs_f64() / ticks.as_secs_f64()
        };
        let user = live.mul_f64(share);
        let system = live - user;
        Self { user, system, live }
    }
}

/// In which the kernel tells CPU time.
fn tick() -> Duration {
    Duration::from_secs(1) / rustix::param::clock_ticks_per_second() as u32
}

impl Process {
    /// This process.
    pub fn own() -> Self {
        Self(std::process::id())
    }

    /// A thread of the kernel by its name; none where `/proc` shows other processes to nobody.
    pub fn kernel_thread(name: &str) -> Option<Self> {
        let named = |entry: &fs::DirEntry| {
            fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
        };
        let entry = fs::read_dir("/proc").ok()?.flatten().find(named)?;
        Some(Self(entry.file_name().to_str()?.parse().ok()?))
    }

    /// CPU time used so far. The kernel counts its parts in ticks of 10 ms; see [`Cpu::since`].
    pub fn cpu(self) -> Cpu {
        let stat = self.read("stat");
        // The command's name is in parentheses and may hold blanks: fields are counted after it. utime and stime are
        // fields 14 and 15 of proc_pid_stat(5), 11 and 12 from there.
        let after_name = stat.rsplit_once(')').expect("proc_pid_stat(5)").1;
        let mut fields = after_name.split_ascii_whitespace().skip(11);
        let mut time = || {
            tick()
                * fields
                    .next()
                    .and_then(|f| f.parse().ok())
                    .expect("a number")
        };
        let (user, system) = (time(), time());
        let live = self.cpu_by_thread().into_iter().map(|(_, time)| time).sum();
        Cpu { user, system, live }
    }

    /// CPU time of each thread that lives, with its name; a name may be there more than once.
    pub fn cpu_by_thread(self) -> Vec<(String, Duration)> {
        let time = |task: fs::DirEntry| {
            // A thread may end between the listing and the reading.
            let read = |file| fs::read_to_string(task.path().join(file)).ok();
            // Documentation/scheduler/sched-stats.rst: the first number is the time on a CPU in ns.
            let nanoseconds = read("schedstat")?.split(' ').next()?.parse().ok()?;
            let name = read("comm")?.trim_end().to_owned();
            Some((name, Duration::from_nanos(nanoseconds)))
        };
        self.tasks().flatten().filter_map(time).collect()
    }

    /// Resident memory in bytes.
    pub fn rss(self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The part of it that is no page of a file, as the program itself is.
    pub fn anonymous(self) -> u64 {
        self.status_bytes("RssAnon:")
    }

    /// Open file descriptors.
    pub fn fds(self) -> usize {
        let path = format!("/proc/{}/fd", self.0);
        fs::read_dir(&path)
            .unwrap_or_else(|error| panic!("{path}: {error}"))
            .count()
    }

    /// Threads.
    pub fn threads(self) -> usize {
        self.tasks().count()
    }

    fn tasks(self) -> fs::ReadDir {
        let path = format!("/proc/{}/task", self.0);
        fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn status_bytes(self, name: &str) -> u64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.unwrap_or_else(|| panic!("process {} has no {name}", self.0)) * 1024
    }

    fn read(self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

/// Pins the calling thread, and those that it starts from now on, to one CPU.
///
/// # Panics
/// When the CPU is not among [`available_cpus`].
pub fn pin_to(cpu: usize) {
    pin_to_any(&[cpu]);
}

/// The same to some CPUs.
///
/// # Panics
/// As [`pin_to`].
pub fn pin_to_any(cpus: &[usize]) {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    rustix::thread::sched_setaffinity(None, &set)
        .unwrap_or_else(|e| panic!("cannot pin to CPU {cpus:?}: {e}"));
}

/// CPUs that this process may use, ascending.
pub fn available_cpus() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None).expect("the calling thread has an affinity");
    (0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect()
}

/// Takes all descriptors that this process may have. Those that it starts have as many.
pub fn take_all_descriptors() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, all).expect("up to the hard limit is allowed");
}
