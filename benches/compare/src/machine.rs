//! What of this machine explains its figures.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What a packet's or a connection's cost depends on.
const SYSCTLS: [&str; 8] = [
    "net/core/rmem_max",
    "net/core/wmem_max",
    "net/core/netdev_max_backlog",
    "net/core/busy_poll",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_wmem",
    "net/ipv4/udp_mem",
    "kernel/sched_autogroup_enabled",
];
/// Words of a processor's name that tell nothing.
const EMPTY_WORDS: [&str; 7] = [
    "amd",
    "intel(r)",
    "core(tm)",
    "xeon(r)",
    "cpu",
    "processor",
    "@",
];

/// Facts, in the order in which they are written.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// For the directory: processor and number of CPUs.
    pub(crate) slug: String,
    pub(crate) facts: Vec<(String, String)>,
}

impl Machine {
    /// Reads them. What cannot be read is left out.
    pub(crate) fn read(root: &Path) -> Self {
        let info = read("/proc/cpuinfo");
        let field = |name: &str| {
            let line = info.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let model = field("model name").unwrap_or_else(|| "unknown CPU".to_owned());
        let cpus = info
            .lines()
            .filter(|line| line.starts_with("processor"))
            .count();
        let flags = field("flags").unwrap_or_default();
        let is_virtual = flags
            .split_ascii_whitespace()
            .any(|flag| flag == "hypervisor");
        let kind = if is_virtual { "virtual CPUs" } else { "CPUs" };
        let memory = read("/proc/meminfo");
        let memory = memory
            .split_ascii_whitespace()
            .nth(1)
            .and_then(|kb| kb.parse::<f64>().ok());
        let mut facts = vec![
            ("CPU".to_owned(), format!("{model}, {cpus} {kind}")),
            ("kernel".to_owned(), read("/proc/sys/kernel/osrelease")),
        ];
        if let Some(kib) = memory {
            facts.push((
                "memory".to_owned(),
                format!("{:.0} GiB", kib / f64::from(1 << 20)),
            ));
        }
        let governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
        let pages = read("/sys/kernel/mm/transparent_hugepage/enabled");
        for (name, value) in [
            ("governor", governor),
            ("huge pages", pages),
            ("commit", commit(root)),
        ] {
            if !value.is_empty() {
                facts.push((name.to_owned(), value));
            }
        }
        for name in SYSCTLS {
            let value = read(&format!("/proc/sys/{name}"));
            if !value.is_empty() {
                let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
                facts.push((name.replace('/', "."), value));
            }
        }
        let slug = slug(&model, cpus, is_virtual);
        Self { slug, facts }
    }
}

/// Other work on this machine: the kernel's averages of 1, 5 and 15 minutes.
pub(crate) fn load_average() -> String {
    read("/proc/loadavg")
        .split(' ')
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The commit that was compared, and whether something else was changed.
fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(root)
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else {
        return String::new();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit}, with changes"),
    }
}

/// `AMD EPYC 7B13` with two virtual CPUs: `epyc-7b13-2vcpu`.
fn slug(model: &str, cpus: usize, is_virtual: bool) -> String {
    let model = model.to_ascii_lowercase();
    let words = model
        .split_ascii_whitespace()
        .filter(|word| !EMPTY_WORDS.contains(word));
    let mut slug: String = words
        .flat_map(|word| [word, "-"])
        .collect::<String>()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    slug += &format!("{cpus}{}cpu", if is_virtual { "v" } else { "" });
    slug
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn a_machine_has_a_name_for_a_directory() {
        assert_eq!(slug("AMD EPYC", 2, true), "epyc-2vcpu");
        let intel = slug("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", 28, false);
        assert_eq!(intel, "e5-2680-v4-240ghz-28cpu");
    }
}
