//! What the work costs: CPU of the server, of the kernel on its core beside it, and of this generator; memory.

use std::fs;

use crate::support::process::{Cpu, Process};

/// One reading; [`Meter::since`] makes a cost of two.
#[derive(Clone, Copy)]
pub struct Meter {
    server: Cpu,
    shards: f64,
    softirq: Option<Cpu>,
    generator: Cpu,
}

/// CPU time in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// User and system time of the server's process.
    pub server: f64,
    /// The part of it outside the kernel.
    pub user: f64,
    /// The part of it on the shards' threads; the rest is that of the store, of the side thread and of the watchdog.
    /// 0 for the peer, which has no shards.
    pub shards: f64,
    /// Of `ksoftirqd` on the server's core: work of the network that was put off, for the server as for its clients.
    pub softirq: f64,
    /// Of this process.
    pub generator: f64,
}

/// Which processes are looked at.
#[derive(Clone, Copy)]
pub struct Meters {
    server: Process,
    softirq: Option<Process>,
}

impl Meters {
    /// For a server that is pinned to this CPU.
    pub fn new(server: Process, cpu: usize) -> Self {
        Self {
            server,
            softirq: kernel_thread(&format!("ksoftirqd/{cpu}")),
        }
    }

    /// The server's process id, for whoever wants to look at it with other tools.
    pub fn process(&self) -> u32 {
        self.server.0
    }

    pub fn read(&self) -> Meter {
        Meter {
            server: self.server.cpu(),
            shards: seconds_of_shards(self.server),
            softirq: self.softirq.map(Process::cpu),
            generator: Process(std::process::id()).cpu(),
        }
    }

    pub fn memory(&self) -> Memory {
        let path = format!("/proc/{}/status", self.server.0);
        let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
            kib.unwrap_or_else(|| panic!("{path} has no {name}")) * 1024.0
        };
        Memory {
            resident: bytes("VmRSS:"),
            anonymous: bytes("RssAnon:"),
        }
    }
}

/// Memory of the server in user space, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub resident: f64,
    /// Without the pages of files, that is of the program itself.
    pub anonymous: f64,
}

impl Meter {
    /// What was used since an earlier reading.
    pub fn since(&self, earlier: &Self) -> Cost {
        let server = self.server.since(earlier.server);
        let softirq = self.softirq.zip(earlier.softirq);
        Cost {
            server: server.total().as_secs_f64(),
            user: server.user.as_secs_f64(),
            shards: self.shards - earlier.shards,
            softirq: softirq.map_or(0.0, |(now, then)| now.since(then).total().as_secs_f64()),
            generator: self
                .generator
                .since(earlier.generator)
                .total()
                .as_secs_f64(),
        }
    }
}

/// CPU time of the threads whose name says that they are shards.
fn seconds_of_shards(server: Process) -> f64 {
    let tasks = format!("/proc/{}/task", server.0);
    let tasks = fs::read_dir(&tasks).unwrap_or_else(|error| panic!("{tasks}: {error}"));
    let seconds = |task: fs::DirEntry| {
        let read = |file| fs::read_to_string(task.path().join(file)).ok();
        if !read("comm")?.starts_with("shard-") {
            return None;
        }
        // Documentation/scheduler/sched-stats.rst: the first number is the time on a CPU in ns.
        let time = read("schedstat")?;
        let nanoseconds: f64 = time.split(' ').next()?.parse().ok()?;
        Some(nanoseconds / 1e9)
    };
    tasks.flatten().filter_map(seconds).sum()
}

/// A thread of the kernel by its name; none where `/proc` shows other processes to nobody.
fn kernel_thread(name: &str) -> Option<Process> {
    let named = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let entry = fs::read_dir("/proc").ok()?.flatten().find(named)?;
    Some(Process(entry.file_name().to_str()?.parse().ok()?))
}
