//! What `/proc` tells of a process, and pinning of our own threads.

use std::fs;
use std::time::Duration;

use rustix::thread::CpuSet;

/// A process of this machine, by id.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

/// CPU time of a process.
#[derive(Clone, Copy, Debug)]
pub struct Cpu {
    /// In the program.
    pub user: Duration,
    /// In the kernel on its behalf.
    pub system: Duration,
}

impl Cpu {
    pub fn total(self) -> Duration {
        self.user + self.system
    }

    /// What was used since an earlier reading.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user - earlier.user,
            system: self.system - earlier.system,
        }
    }
}

impl Process {
    /// CPU time used so far. The kernel counts it in ticks of 10 ms.
    pub fn cpu(self) -> Cpu {
        let stat = self.read("stat");
        // The command's name is in parentheses and may hold blanks: fields are counted after it. utime and stime are
        // fields 14 and 15 of proc_pid_stat(5), 11 and 12 from there.
        let after_name = stat.rsplit_once(')').expect("proc_pid_stat(5)").1;
        let mut fields = after_name.split_ascii_whitespace().skip(11);
        let tick = Duration::from_secs(1) / rustix::param::clock_ticks_per_second() as u32;
        let mut time = || {
            tick * fields
                .next()
                .and_then(|f| f.parse().ok())
                .expect("a number")
        };
        Cpu {
            user: time(),
            system: time(),
        }
    }

    /// Resident memory in bytes.
    pub fn rss(self) -> u64 {
        let status = self.read("status");
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("VmRSS:"))
            .expect("a live process has VmRSS");
        let kib: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("kilobytes");
        kib * 1024
    }

    /// Open file descriptors.
    pub fn fds(self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0))
            .expect("our own child")
            .count()
    }

    /// Threads.
    pub fn threads(self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.0))
            .expect("our own child")
            .count()
    }

    fn read(self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

/// Pins the calling thread, and those that it starts from now on, to one CPU.
pub fn pin_to(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
        .unwrap_or_else(|e| panic!("cannot pin to CPU {cpu}: {e}"));
}

/// CPUs that this process may use, ascending.
pub fn available_cpus() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None).expect("the calling thread has an affinity");
    (0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect()
}
