//! `tuning/check` and `tuning/interrupts`: a machine that is right, each fault by itself, and this machine.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Files of `/proc` and `/sys` of a machine with nothing to change: shards on CPUs 2 and 3 of four, which are isolated, and the
/// card `eth0` on the others.
const RIGHT: &[(&str, &str)] = &[
    ("proc/sys/kernel/osrelease", "6.8.0-45-generic"),
    ("proc/sys/kernel/io_uring_disabled", "0"),
    ("proc/sys/kernel/numa_balancing", "0"),
    ("proc/sys/kernel/timer_migration", "0"),
    ("proc/sys/kernel/nmi_watchdog", "0"),
    ("proc/sys/fs/nr_open", "1048576"),
    ("proc/sys/fs/file-max", "9223372036854775807"),
    ("proc/sys/net/core/rmem_max", "4194304"),
    ("proc/sys/net/core/wmem_max", "8388608"),
    ("proc/sys/net/core/somaxconn", "4096"),
    ("proc/sys/net/core/netdev_max_backlog", "16384"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "8192"),
    ("proc/sys/net/ipv4/udp_mem", "381066\t508089\t762132"),
    ("proc/sys/vm/swappiness", "60"),
    (
        "proc/swaps",
        "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority",
    ),
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units\n\
         Max open files            1024                 1048576              files\n\
         Max locked memory         8388608              8388608              bytes",
    ),
    ("proc/self/cgroup", "0::/media.slice/media-service.service"),
    (
        "sys/fs/cgroup/media.slice/media-service.service/cpu.max",
        "max 100000",
    ),
    ("proc/irq/40/smp_affinity_list", "0-1"),
    ("proc/71/comm", "sshd"),
    (
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
        "tsc",
    ),
    ("sys/devices/system/cpu/online", "0-3"),
    ("sys/devices/system/cpu/isolated", "2-3"),
    (
        "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
        "performance",
    ),
    (
        "sys/devices/system/cpu/cpu2/topology/thread_siblings_list",
        "2",
    ),
    (
        "sys/devices/system/cpu/cpu0/topology/thread_siblings_list",
        "0",
    ),
    (
        "sys/devices/system/cpu/cpu1/topology/thread_siblings_list",
        "1",
    ),
    ("sys/devices/system/cpu/cpu2/cpuidle/state1/name", "C1"),
    ("sys/devices/system/cpu/cpu2/cpuidle/state1/latency", "2"),
    ("sys/devices/system/cpu/cpu2/cpuidle/state1/disable", "0"),
    (
        "sys/devices/system/cpu/cpu3/topology/thread_siblings_list",
        "3",
    ),
    ("sys/devices/system/node/node0/cpulist", "0-3"),
    ("sys/devices/virtual/workqueue/cpumask", "3"),
    (
        "sys/kernel/mm/transparent_hugepage/enabled",
        "always [madvise] never",
    ),
    ("sys/class/net/eth0/device/msi_irqs/40", "msix"),
    ("sys/class/net/eth0/device/numa_node", "0"),
    ("sys/class/net/eth0/queues/rx-0/rps_cpus", "00"),
    ("sys/class/net/eth0/queues/rx-1/rps_cpus", "00"),
];

fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, contents) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        fs::write(path, format!("{contents}\n")).expect("it can be written");
    }
}

fn run(tool: &str, arguments: &[&str]) -> Output {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(tool))
        .args(arguments)
        .output()
        .expect("bash runs it")
}

/// What `check` says of the right machine with these files in place of its own.
fn check(changed: &[(&str, &str)], arguments: &[&str]) -> (String, Option<i32>) {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path(), RIGHT);
    write(root.path(), changed);
    let root = root.path().to_str().expect("UTF-8");
    let output = run("tuning/check", &[&["--root", root], arguments].concat());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (
        String::from_utf8(output.stdout).expect("UTF-8"),
        output.status.code(),
    )
}

const SHARDS: &[&str] = &["--cores", "2-3"];

#[test]
fn a_machine_that_is_right_has_nothing_to_change() {
    assert_eq!(
        check(&[], SHARDS),
        ("nothing must be changed\n".into(), Some(0))
    );
    let (all, _) = check(&[], &["--cores", "2,3", "--verbose"]);
    assert!(
        all.contains("ok        net.core.wmem_max: 8388608"),
        "{all}"
    );
}

#[test]
fn each_fault_is_named_with_its_reason_and_its_cure() {
    let cpu = |name: &str| format!("sys/devices/system/cpu/cpu2/{name}");
    let group = "sys/fs/cgroup/media.slice/cpu.max";
    let state = cpu("cpuidle/state1/latency");
    let governor = cpu("cpufreq/scaling_governor");
    let siblings = cpu("topology/thread_siblings_list");
    let clock = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    let limits = "Max open files 1024 4096 files\nMax locked memory 65536 65536 bytes";
    let swaps = "Filename Type Size Used Priority\n/swap file 2097148 0 -2";
    #[rustfmt::skip]
    let faults: &[(&str, &str, &str, &str)] = &[
        ("proc/sys/kernel/osrelease", "5.4.0-1", "change    kernel: 5.4.0-1", "newer kernel"),
        ("proc/sys/kernel/io_uring_disabled", "2", "change    kernel.io_uring_disabled: 2", "sysctl -w kernel.io_uring_disabled=0"),
        (clock, "hpet", "change    clocksource: hpet", "echo tsc"),
        ("proc/self/limits", limits, "change    RLIMIT_NOFILE: 4096, want 100064", "LimitNOFILE=100064"),
        ("proc/self/limits", limits, "change    RLIMIT_MEMLOCK: 64 KiB", "LimitMEMLOCK"),
        ("proc/sys/fs/nr_open", "4096", "change    fs.nr_open", "sysctl -w fs.nr_open=100064"),
        ("proc/sys/net/core/wmem_max", "212992", "change    net.core.wmem_max: 212992", "sysctl -w net.core.wmem_max=8388608"),
        ("proc/sys/net/core/somaxconn", "128", "change    net.core.somaxconn: 128", "sysctl -w net.core.somaxconn=4096"),
        ("proc/sys/net/ipv4/udp_mem", "1 2 3000", "consider  net.ipv4.udp_mem: 3000 pages at most, want 6144", "sysctl -w net.ipv4.udp_mem"),
        ("proc/sys/net/netfilter/nf_conntrack_count", "7", "consider  conntrack: 7 flows tracked", "notrack"),
        ("proc/irq/40/smp_affinity_list", "0-2", "consider  eth0 interrupts: CPUs 0,1,2", "tuning/interrupts eth0 0,1"),
        ("sys/class/net/eth0/queues/rx-0/rps_cpus", "03", "consider  eth0 RPS: on, with 2 queues", "rps_cpus"),
        ("sys/class/net/eth0/device/numa_node", "1", "consider  eth0 NUMA node: 1, shards are on 0", "server.cores"),
        ("proc/71/comm", "irqbalance", "consider  irqbalance: running", "BANNED_CPULIST=2,3"),
        (&governor, "powersave", "consider  frequency governor: powersave", "cpupower"),
        (&state, "400", "consider  idle states: as deep as C1 (400 µs)", "cpupower idle-set"),
        (&siblings, "2-3", "consider  hyper-threads: CPUs 2,3", "server.cores"),
        ("sys/devices/system/cpu/isolated", "", "consider  CPU isolation: none", "isolcpus=managed_irq,domain,2,3"),
        ("sys/devices/virtual/workqueue/cpumask", "0000000f", "consider  kernel work queues: on CPUs 0,1,2,3", "tuning/interrupts"),
        ("proc/swaps", swaps, "consider  vm.swappiness: 60, with swap on", "swapoff"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never", "consider  transparent huge pages: always", "madvise"),
        (group, "150000 100000", "change    CPU quota: 150000 100000 in /media.slice", "CPUQuota="),
    ];
    for (file, contents, finding, cure) in faults {
        let (said, status) = check(&[(file, contents)], SHARDS);
        let at = said
            .find(finding)
            .unwrap_or_else(|| panic!("{file} = {contents}: {finding:?} is not in\n{said}"));
        let paragraph: Vec<&str> = said[at..].lines().take(3).collect();
        assert!(
            paragraph[1].trim_start().starts_with("why: "),
            "{paragraph:?}"
        );
        assert!(paragraph[2].contains(cure), "{paragraph:?}");
        let must = finding.starts_with("change") || contents.contains("65536");
        assert_eq!(status, Some(i32::from(must)), "{said}");
    }
}

#[test]
fn shards_everywhere_ask_for_no_isolation() {
    let crowded = [("sys/devices/system/cpu/isolated", "")];
    let (said, status) = check(&crowded, &[]);
    assert_eq!(
        (said.as_str(), status),
        ("nothing must be changed\n", Some(0))
    );
}

#[test]
fn a_cpu_or_a_card_that_is_not_there_is_named() {
    let (said, status) = check(&[], &["--cores", "3-4", "--interface", "eth7"]);
    assert!(
        said.contains("change    CPU 4: not on this machine"),
        "{said}"
    );
    assert!(
        said.contains("change    eth7: no such network card"),
        "{said}"
    );
    assert_eq!(status, Some(1));
}

#[test]
fn a_wrong_command_line_is_refused_in_a_sentence() {
    for (arguments, sentence) in [
        (&["--core", "1"][..], "unknown argument --core"),
        (&["--cores"], "--cores needs a value"),
        (&["--cores", "a-b"], "--cores takes a list"),
        (&["--connections", "many"], "--connections takes a number"),
    ] {
        let output = run("tuning/check", arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(sentence), "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(2));
    }
    assert_eq!(
        run("tuning/interrupts", &["eth0", "zero"]).status.code(),
        Some(2)
    );
}

#[test]
fn this_machine_is_read_and_nothing_is_written() {
    let output = run("tuning/check", &["--verbose"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux");
    assert!(
        said.contains(&format!("kernel: {}", kernel.trim())),
        "{said}"
    );

    let planned = run("tuning/interrupts", &["lo", "0", "--dry-run"]);
    assert!(planned.status.success(), "{planned:?}");
    let planned = String::from_utf8_lossy(&planned.stdout);
    assert!(
        planned.contains("00000001 > /sys/class/net/lo/queues/rx-0/rps_cpus"),
        "{planned}"
    );
}
