//! Looks, before anything is started, for what this machine or container refuses.

use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::udp::{RECV_BUFFER_BYTES, SEND_BUFFER_BYTES};

/// glommio refuses to start below this soft RLIMIT_MEMLOCK, whatever the capabilities.
const LEAST_LOCKED_BYTES: u64 = 512 << 10;
/// Locked memory that a shard's three rings take on kernels before 5.12, which charge it to the
/// limit, rounded up. (The buffers that glommio would register besides are optional to it.)
const RING_BYTES_PER_SHARD: u64 = 128 << 10;
/// The first kernel that does not charge the rings to RLIMIT_MEMLOCK.
const RINGS_UNCHARGED_SINCE: (u32, u32) = (5, 12);
/// The first kernel with every operation of io_uring that glommio wants.
const LEAST_KERNEL: (u32, u32) = (5, 8);
/// CAP_IPC_LOCK of linux/capability.h.
const CAP_IPC_LOCK: u32 = 14;
/// CAP_NET_ADMIN of linux/capability.h.
const CAP_NET_ADMIN: u32 = 12;
/// Descriptors that a shard uses before the first connection: rings, eventfds, epoll set, listener
/// and its reserve, UDP ports; with room.
const DESCRIPTORS_PER_SHARD: u64 = 24;
/// Descriptors of the process besides: standard streams, logs, configuration, side threads.
const DESCRIPTORS_OF_PROCESS: u64 = 32;

/// What is going to be started.
#[derive(Clone, Copy, Debug)]
pub struct Preflight {
    /// Shards.
    pub shards: usize,
    /// Wanted RLIMIT_NOFILE: connections, devices and files together.
    pub descriptors: u64,
}

/// Something that will not work, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The server cannot start; else it can, but serves less.
    pub fatal: bool,
    /// What, why, and what to do, in sentences.
    pub message: String,
}

impl Preflight {
    /// Raises the soft limits of descriptors and locked memory as far as is allowed and needed, and
    /// returns every problem that is left, fatal ones first.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = [
            io_uring(),
            self.locked_memory(),
            self.descriptors(),
            buffers("send", "wmem_max", SEND_BUFFER_BYTES),
            buffers("receive", "rmem_max", RECV_BUFFER_BYTES),
        ]
        .into_iter()
        .flatten()
        .collect();
        problems.sort_by_key(|problem| !problem.fatal);
        problems
    }

    fn locked_memory(&self) -> Option<Problem> {
        let rings = self.shards as u64 * RING_BYTES_PER_SHARD;
        let charged = kernel_release().is_some_and(|release| release < RINGS_UNCHARGED_SINCE)
            && !has_capability(CAP_IPC_LOCK);
        let wanted = if charged {
            rings.max(LEAST_LOCKED_BYTES)
        } else {
            LEAST_LOCKED_BYTES
        };
        let limit = raise(libc::RLIMIT_MEMLOCK, wanted);
        locked_memory_problem(limit, wanted)
    }

    fn descriptors(&self) -> Option<Problem> {
        let least = DESCRIPTORS_OF_PROCESS + self.shards as u64 * DESCRIPTORS_PER_SHARD;
        let limit = raise(libc::RLIMIT_NOFILE, self.descriptors.max(least));
        descriptors_problem(limit, least, self.descriptors)
    }
}

fn locked_memory_problem(limit: u64, wanted: u64) -> Option<Problem> {
    (limit < wanted).then(|| Problem {
        fatal: true,
        message: format!(
            "the limit of locked memory (RLIMIT_MEMLOCK) is {} KiB, and io_uring needs {} KiB. \
             Raise it: `ulimit -l {}`, docker run --ulimit memlock={}, systemd: LimitMEMLOCK={}K",
            limit >> 10,
            wanted >> 10,
            wanted >> 10,
            wanted,
            wanted >> 10,
        ),
    })
}

fn descriptors_problem(limit: u64, least: u64, wanted: u64) -> Option<Problem> {
    let fatal = limit < least;
    (fatal || limit < wanted).then(|| Problem {
        fatal,
        message: format!(
            "the hard limit of open files (RLIMIT_NOFILE) is {limit}: {}. Raise it to {}: \
             `ulimit -Hn {1}` before the start, docker run --ulimit nofile={1}, systemd: \
             LimitNOFILE={1}",
            if fatal {
                format!("the server itself needs {least}")
            } else {
                format!("connections beyond about {} will be refused", limit - least)
            },
            wanted.max(least),
        ),
    })
}

/// Asks the kernel for a small ring and gives it back.
fn io_uring() -> Option<Problem> {
    // Larger than the kernel's `struct io_uring_params` (120 bytes), which it fills in.
    let mut params = [0_u64; 32];
    let entries: libc::c_uint = 1;
    // SAFETY: `params` is writable, zeroed and large enough.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, entries, params.as_mut_ptr()) };
    if fd >= 0 {
        // SAFETY: the kernel has just given us this descriptor and nobody else knows it.
        drop(unsafe { OwnedFd::from_raw_fd(fd as i32) });
        return old_kernel();
    }
    let error = io::Error::last_os_error();
    let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
    Some(io_uring_problem(&error, disabled.as_deref().map(str::trim)))
}

fn old_kernel() -> Option<Problem> {
    let (major, minor) = kernel_release()?;
    ((major, minor) < LEAST_KERNEL).then(|| Problem {
        fatal: true,
        message: format!(
            "Linux {major}.{minor} has an io_uring that lacks operations we need: run on Linux \
             {}.{} or newer",
            LEAST_KERNEL.0, LEAST_KERNEL.1
        ),
    })
}

/// Puts into words why the kernel gives no ring. `disabled` is the sysctl kernel.io_uring_disabled.
fn io_uring_problem(error: &io::Error, disabled: Option<&str>) -> Problem {
    let message = match (error.raw_os_error(), disabled) {
        (Some(libc::EPERM), Some("1" | "2")) => {
            "io_uring is switched off on this machine (kernel.io_uring_disabled). Switch it on: \
             `sysctl -w kernel.io_uring_disabled=0` on the host"
                .to_owned()
        }
        (Some(libc::EPERM | libc::EACCES), _) => {
            "io_uring is forbidden here, usually by the seccomp profile of a container. Allow \
             io_uring_setup, io_uring_enter and io_uring_register: docker run --security-opt \
             seccomp=PROFILE.json (or seccomp=unconfined), Kubernetes: securityContext.\
             seccompProfile, systemd: add @aio to SystemCallFilter="
                .to_owned()
        }
        (Some(libc::ENOSYS), _) => format!(
            "this kernel has no io_uring: run on Linux {}.{} or newer, and not in a sandbox that \
             leaves it out (gVisor)",
            LEAST_KERNEL.0, LEAST_KERNEL.1
        ),
        (Some(libc::ENOMEM), _) => {
            "the kernel has no memory for io_uring: raise the limit of locked memory \
             (RLIMIT_MEMLOCK) or the memory limit of the cgroup"
                .to_owned()
        }
        _ => format!("io_uring cannot be used: {error}"),
    };
    Problem {
        fatal: true,
        message,
    }
}

/// A socket buffer that the system keeps smaller than we ask for costs datagrams, not the start.
fn buffers(direction: &str, sysctl: &str, wanted: usize) -> Option<Problem> {
    if has_capability(CAP_NET_ADMIN) {
        return None; // may exceed the system's maximum
    }
    let maximum = fs::read_to_string(format!("/proc/sys/net/core/{sysctl}")).ok()?;
    buffers_problem(direction, sysctl, maximum.trim().parse().ok()?, wanted)
}

fn buffers_problem(
    direction: &str,
    sysctl: &str,
    maximum: usize,
    wanted: usize,
) -> Option<Problem> {
    (maximum < wanted).then(|| Problem {
        fatal: false,
        message: format!(
            "the {direction} buffer of the media ports is limited to {} KiB, and {} KiB are \
             wanted: with many viewers, bursts of datagrams will be dropped. Raise it: `sysctl -w \
             net.core.{sysctl}={wanted}` on the host",
            maximum >> 10,
            wanted >> 10,
        ),
    })
}

/// Raises the soft limit towards `wanted`, as far as the hard one allows, and returns what it is.
fn raise(resource: libc::__rlimit_resource_t, wanted: u64) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is writable.
    if unsafe { libc::getrlimit(resource, &mut limit) } != 0 || limit.rlim_cur >= wanted {
        return limit.rlim_cur;
    }
    let raised = libc::rlimit {
        rlim_cur: wanted.min(limit.rlim_max),
        ..limit
    };
    // SAFETY: `raised` is readable.
    match unsafe { libc::setrlimit(resource, &raised) } {
        0 => raised.rlim_cur,
        _ => limit.rlim_cur,
    }
}

/// Major and minor version of the running kernel.
fn kernel_release() -> Option<(u32, u32)> {
    parse_release(&fs::read_to_string("/proc/sys/kernel/osrelease").ok()?)
}

fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|byte: char| !byte.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether this process has a capability in effect: CapEff of /proc/self/status.
fn has_capability(capability: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    bits.is_some_and(|bits| bits & (1 << capability) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(errno: i32, disabled: Option<&str>) -> String {
        let problem = io_uring_problem(&io::Error::from_raw_os_error(errno), disabled);
        assert!(problem.fatal);
        problem.message
    }

    #[test]
    fn this_machine_can_run_shards() {
        let problems = Preflight {
            shards: 2,
            descriptors: 256,
        }
        .check();
        assert!(
            problems.iter().all(|problem| !problem.fatal),
            "{problems:?}"
        );
    }

    #[test]
    fn every_refusal_of_io_uring_says_what_to_do() {
        assert!(refused(libc::EPERM, Some("2")).contains("sysctl -w kernel.io_uring_disabled=0"));
        assert!(refused(libc::EPERM, Some("0")).contains("--security-opt seccomp="));
        assert!(refused(libc::EPERM, None).contains("SystemCallFilter="));
        assert!(refused(libc::ENOSYS, None).contains("Linux 5.8 or newer"));
        assert!(refused(libc::ENOMEM, None).contains("RLIMIT_MEMLOCK"));
        assert!(refused(libc::EMFILE, None).contains("io_uring cannot be used"));
    }

    #[test]
    fn too_little_locked_memory_is_fatal() {
        let problem = locked_memory_problem(64 << 10, 512 << 10).unwrap();
        assert!(problem.fatal);
        assert!(problem.message.contains("is 64 KiB"), "{}", problem.message);
        assert!(
            problem.message.contains("--ulimit memlock=524288"),
            "{}",
            problem.message
        );
        assert_eq!(locked_memory_problem(512 << 10, 512 << 10), None);
        assert_eq!(locked_memory_problem(libc::RLIM_INFINITY, 512 << 10), None);
    }

    #[test]
    fn too_few_descriptors_cost_connections_or_the_start() {
        let problem = descriptors_problem(1024, 100, 65_536).unwrap();
        assert!(!problem.fatal);
        assert!(
            problem.message.contains("beyond about 924"),
            "{}",
            problem.message
        );
        assert!(
            problem.message.contains("LimitNOFILE=65536"),
            "{}",
            problem.message
        );
        assert!(descriptors_problem(64, 100, 65_536).unwrap().fatal);
        assert_eq!(descriptors_problem(65_536, 100, 65_536), None);
    }

    #[test]
    fn small_buffers_are_a_warning() {
        let problem = buffers_problem("send", "wmem_max", 212_992, 8 << 20).unwrap();
        assert!(!problem.fatal);
        assert!(
            problem.message.contains("net.core.wmem_max=8388608"),
            "{}",
            problem.message
        );
        assert_eq!(buffers_problem("send", "wmem_max", 8 << 20, 8 << 20), None);
    }

    #[test]
    fn releases_are_parsed() {
        assert_eq!(parse_release("6.18.44-generic\n"), Some((6, 18)));
        assert_eq!(parse_release("5.8\n"), Some((5, 8)));
        assert_eq!(parse_release("5.10-rc1\n"), Some((5, 10)));
        assert_eq!(parse_release("unknown"), None);
    }
}
