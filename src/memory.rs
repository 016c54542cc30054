//! How the process' memory is backed, and when there is too little of it.

use std::io;

use executor::memory_limit;
use libmimalloc_sys::{mi_collect, mi_option_set, mi_option_t};
use tracing::{info, warn};

use crate::config::MemoryLimit;
use crate::metrics::resident_bytes;
use crate::totals::Totals;

/// Percent of what there is that the process may have, where nobody says how much.
const AUTO_PERCENT: u64 = 90;
/// Percent of the limit below which new work is taken again after it was refused: a limit that is just
/// met must not refuse and take in turns.
const ENOUGH_PERCENT: u64 = 95;

/// Turns transparent huge pages off for the process (PR_SET_THP_DISABLE, prctl(2)). The allocator
/// asks for them, and then every size of object takes 2 MiB at a time: ten thousand idle members of
/// a room cost 1.8 kB of resident memory each instead of 0.65 kB, an empty server 29 MB instead of
/// 14 MB.
///
/// # Errors
/// What the kernel says; the process is only larger then.
pub fn keep_pages_small() -> io::Result<()> {
    let (on, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: this call takes numbers alone, and touches no memory of the process.
    let result = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, on, unused, unused, unused) };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `mi_option_purge_delay` of mimalloc 3, which its crate has no name for: milliseconds until memory that
/// became free goes back to the kernel.
const PURGE_DELAY: mi_option_t = 15;
/// A year: by itself the allocator gives nothing back. (-1 would have it forget what there is to be given.)
const NEVER_MS: libc::c_long = 365 * 24 * 3_600 * 1_000;

/// Leaves it to [`give_back`] to return free memory to the kernel. The allocator would do it on the thread
/// that frees next, all that became free within a second at once: a shard stood still for 5 ms after ten
/// thousand of its sessions had ended.
///
/// To be called before there is another thread.
pub fn hold_free_memory() {
    // SAFETY: the call stores a number. It is not to race with threads that read it, and there are none.
    unsafe { mi_option_set(PURGE_DELAY, NEVER_MS) };
}

/// Returns to the kernel what the threads of the process have freed, apart from what their next
/// allocations may take. Takes a while after much was freed, some 0.1 s for each GB: nothing for a shard.
pub fn give_back() {
    // SAFETY: any thread may call this at any time; it touches free memory alone.
    unsafe { mi_collect(true) };
}

/// Whether there is memory for new work. Resident memory counts, which is what the kernel ends a process
/// for: not what is mapped, nor the page cache, which it gives back.
#[derive(Debug)]
pub struct MemoryWatch {
    /// In bytes.
    limit: Option<u64>,
    short: bool,
}

impl MemoryWatch {
    /// Below this limit.
    pub fn new(limit: MemoryLimit) -> Self {
        Self {
            limit: bytes(limit),
            short: false,
        }
    }

    /// Another limit holds from now on.
    pub fn set_limit(&mut self, limit: MemoryLimit) {
        self.limit = bytes(limit);
    }

    /// Looks at the memory of the process, and tells the shards what it means for them.
    pub fn look(&mut self, totals: &Totals) {
        let resident = resident_bytes().unwrap_or_default();
        let before = self.short;
        self.judge(resident);
        totals.set_memory(self.limit, self.short);
        let limit = self.limit.unwrap_or_default();
        match (before, self.short) {
            (false, true) => warn!(resident, limit, "memory is short: new work is refused"),
            (true, false) => info!(resident, limit, "there is memory for new work again"),
            (false, false) | (true, true) => {}
        }
    }

    fn judge(&mut self, resident: u64) {
        self.short = self.limit.is_some_and(|limit| match self.short {
            true => resident >= percent(limit, ENOUGH_PERCENT),
            false => resident > limit,
        });
    }
}

fn bytes(limit: MemoryLimit) -> Option<u64> {
    match limit {
        MemoryLimit::Auto => memory_limit().map(|all| percent(all, AUTO_PERCENT)),
        MemoryLimit::Off => None,
        MemoryLimit::Bytes(bytes) => Some(bytes as u64),
    }
}

fn percent(bytes: u64, percent: u64) -> u64 {
    (u128::from(bytes) * u128::from(percent) / 100) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_refused_above_the_limit_until_memory_is_well_below_it() {
        let mut watch = MemoryWatch::new(MemoryLimit::Bytes(1_000));
        let short = [999, 1_000, 1_001, 999, 950, 949, 1_000, 1_001].map(|resident| {
            watch.judge(resident);
            watch.short
        });
        assert_eq!(short, [false, false, true, true, true, false, false, true]);
    }

    #[test]
    fn without_a_limit_nothing_is_refused() {
        let mut watch = MemoryWatch::new(MemoryLimit::Bytes(1));
        watch.judge(u64::MAX);
        assert!(watch.short);
        watch.set_limit(MemoryLimit::Off);
        watch.judge(u64::MAX);
        assert!(!watch.short);
    }

    #[test]
    fn what_there_is_is_less_than_the_machine_has() {
        let limit = MemoryWatch::new(MemoryLimit::Auto).limit.unwrap();
        assert!(limit < memory_limit().unwrap());
        assert!(resident_bytes().unwrap() < limit);
    }
}
