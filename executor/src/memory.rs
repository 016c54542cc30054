//! How much memory there is.

use std::fs;
use std::path::Path;

use crate::cgroup::{Cgroups, read};

/// Bytes of memory that this process may have: of its cgroup and those above it (`memory.max` of version
/// 2, `memory.limit_in_bytes` of version 1) and the machine the least. `None` if nothing is known.
pub fn memory_limit() -> Option<u64> {
    let cgroup = Cgroups::of_this_process().memory();
    let machine = machine(Path::new("/proc/meminfo"));
    cgroup.into_iter().chain(machine).min()
}

impl Cgroups {
    fn memory(&self) -> Option<u64> {
        // `max`, which is no number, is no limit; version 1 writes a huge one.
        let limit = |text: String| text.parse().ok();
        let v2 = self
            .unified()
            .filter_map(|dir| limit(read(&dir, "memory.max")?));
        let v1 = self
            .version_1("memory")
            .filter_map(|dir| limit(read(&dir, "memory.limit_in_bytes")?));
        v2.chain(v1).min()
    }
}

/// Physical memory: proc_meminfo(5).
fn machine(meminfo: &Path) -> Option<u64> {
    let text = fs::read_to_string(meminfo).ok()?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = total.split_ascii_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Tree;

    #[test]
    fn the_least_limit_above_the_process_holds() {
        let tree = Tree::new(&[
            ("pods/pod/memory.max", "536870912\n"),
            ("pods/memory.max", "268435456\n"),
            ("memory.max", "max\n"),
        ]);
        assert_eq!(tree.cgroups("0::/pods/pod\n").memory(), Some(256 << 20));
        assert_eq!(tree.cgroups("0::/\n").memory(), None);
    }

    #[test]
    fn version_1_is_read_too() {
        let tree = Tree::new(&[
            ("memory/docker/x/memory.limit_in_bytes", "1073741824\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        let cgroups = tree.cgroups("9:memory:/docker/x\n1:cpu,cpuacct:/docker/x\n");
        assert_eq!(cgroups.memory(), Some(1 << 30));
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(memory_limit().unwrap() > 16 << 20);
        assert_eq!(machine(Path::new("/dev/null")), None);
    }
}
