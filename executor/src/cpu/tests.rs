use proptest::prelude::*;

use super::*;
use crate::cgroup::Tree;

fn list(text: &str) -> CpuList {
    text.parse().unwrap()
}

#[test]
fn a_list_is_read_as_linux_writes_it() {
    assert_eq!(list("0-3,8"), CpuList::new([0, 1, 2, 3, 8]));
    assert_eq!(list(" 5 , 1-1,5 "), CpuList::new([1, 5]));
    assert_eq!(list("0-3,8,10-11").to_string(), "0-3,8,10-11");
    assert_eq!(list("2").to_string(), "2");
}

#[test]
fn a_wrong_list_is_refused_with_what_to_write() {
    let error = |text: &str| text.parse::<CpuList>().unwrap_err().to_string();
    assert_eq!(
        error(" "),
        "no CPU is listed: write numbers and ranges, for example 0-3,8"
    );
    assert_eq!(error("3-1"), "the range 3-1 runs backwards: write 1-3");
    for wrong in ["x", "1,,2", "1-", "-1", "+1", "1-2-3", "0x1", "1;2"] {
        assert!(
            error(wrong).contains("write for example 0-3,8"),
            "{wrong}: {}",
            error(wrong)
        );
    }
    for high in ["8192", "0-4000000000", "99999999999999999999999"] {
        assert!(
            error(high).contains("Linux numbers them up to 8191"),
            "{high}"
        );
    }
}

proptest! {
    #[test]
    fn any_list_survives_being_written(cpus in prop::collection::vec(0..600_usize, 1..60)) {
        let cpus = CpuList::new(cpus);
        prop_assert_eq!(&list(&cpus.to_string()), &cpus);
        prop_assert_eq!(cpus.iter().count(), cpus.len());
    }

    #[test]
    fn no_text_panics(text in "[-0-9, x]{0,24}") {
        let _ = text.parse::<CpuList>();
    }
}

#[test]
fn this_process_has_cpus() {
    let available = available().unwrap();
    assert!(!available.is_empty());
    assert!(available.iter().all(|cpu| available.contains(cpu)));
}

#[test]
fn one_shard_per_cpu_that_the_quota_can_keep_busy() {
    let eight = list("0-7");
    assert_eq!(default_shards(&eight, None), 8);
    assert_eq!(default_shards(&eight, Some(2.0)), 2);
    assert_eq!(default_shards(&eight, Some(2.5)), 3);
    assert_eq!(default_shards(&eight, Some(0.1)), 1);
    assert_eq!(default_shards(&eight, Some(64.0)), 8);
}

#[test]
fn version_2_counts_every_level() {
    let tree = Tree::new(&[
        ("cpu.max", "max 100000\n"),
        ("kubepods/cpu.max", "600000 100000\n"),
        ("kubepods/pod/cpu.max", "150000 100000\n"),
        ("kubepods/pod/app/cpu.max", "max 100000\n"),
        ("kubepods/pod/app/cpuset.cpus.effective", "2-3\n"),
    ]);
    let cgroups = tree.cgroups("0::/kubepods/pod/app\n");
    assert_eq!(cgroups.quota(), Some(1.5));
    assert_eq!(cgroups.cpuset(), Some(list("2-3")));
}

#[test]
fn version_1_is_understood() {
    let tree = Tree::new(&[
        ("cpu/docker/abc/cpu.cfs_quota_us", "250000\n"),
        ("cpu/docker/abc/cpu.cfs_period_us", "100000\n"),
        ("cpu/cpu.cfs_quota_us", "-1\n"),
        ("cpu/cpu.cfs_period_us", "100000\n"),
        ("cpuset/docker/abc/cpuset.cpus", "0,4\n"),
    ]);
    let cgroups = tree.cgroups("4:cpuset:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n");
    assert_eq!(cgroups.quota(), Some(2.5));
    assert_eq!(cgroups.cpuset(), Some(list("0,4")));
}

#[test]
fn in_a_container_the_root_is_its_own() {
    let tree = Tree::new(&[
        ("cpu.max", "50000 100000\n"),
        ("cpuset.cpus.effective", "1\n"),
    ]);
    let cgroups = tree.cgroups("0::/system.slice/docker-abc.scope\n");
    assert_eq!(cgroups.quota(), Some(0.5));
    assert_eq!(cgroups.cpuset(), Some(list("1")));
}

#[test]
fn without_cgroups_there_is_no_limit() {
    let tree = Tree::new(&[]);
    assert_eq!(tree.cgroups("").quota(), None);
    assert_eq!(tree.cgroups("0::/\n").cpuset(), None);
    assert_eq!(tree.cgroups("nonsense\n::\n").quota(), None);
}
