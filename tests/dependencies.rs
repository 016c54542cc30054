//! What the lock file may hold: licences, sources, who may know whom. `deny.toml` says the same, and
//! more, to cargo-deny; this needs nothing but cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Licences that ask for no more than their text being passed on.
const LICENCES: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
/// Others, which bind changes to the crate itself: none is made.
const EXCEPTIONS: [(&str, &str); 1] = [("bitmaps", "MPL-2.0+")];
/// What a flaw would be serious in: of two versions one would be forgotten.
const ONE_VERSION: [&str; 14] = [
    "argon2",
    "aws-lc-rs",
    "aws-lc-sys",
    "dimpl",
    "httparse",
    "jsonwebtoken",
    "libsqlite3-sys",
    "quinn-udp",
    "rusqlite",
    "rustls",
    "rustls-webpki",
    "sctp-proto",
    "str0m",
    "tungstenite",
];
/// Other libraries for what aws-lc-rs does.
const SECOND_CRYPTO: [&str; 5] = ["boring", "native-tls", "openssl", "openssl-sys", "ring"];
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

struct Package {
    name: String,
    version: String,
    licence: String,
    /// `None`: of this workspace.
    source: Option<String>,
    needs: BTreeSet<String>,
}

/// What is built here, build and test dependencies included.
fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version=1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let crates = list(&node["deps"]).into_iter();
        let names = crates.filter_map(|it| Some(it["name"].as_str()?.replace('_', "-")));
        needs.insert(text(&node["id"]).expect("an id"), names.collect());
    }
    let packages = list(&metadata["packages"]).into_iter();
    packages
        .filter_map(|package| {
            Some(Package {
                needs: needs.remove(package["id"].as_str()?)?,
                name: text(&package["name"])?,
                version: text(&package["version"])?,
                licence: text(&package["license"]).unwrap_or_default(),
                source: text(&package["source"]),
            })
        })
        .collect()
}

/// Whether an SPDX expression leaves a choice that is allowed. Older crates write `/` for `OR`.
fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ");
    let spaced = spaced.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(words: &mut &[&str]) -> bool {
    let mut result = all_of(words);
    while let ["OR", rest @ ..] = words {
        *words = rest;
        result |= all_of(words);
    }
    result
}

fn all_of(words: &mut &[&str]) -> bool {
    let mut result = one(words);
    while let ["AND", rest @ ..] = words {
        *words = rest;
        result &= one(words);
    }
    result
}

fn one(words: &mut &[&str]) -> bool {
    match words {
        ["(", rest @ ..] => {
            *words = rest;
            let result = any_of(words);
            *words = words.strip_prefix(&[")"]).unwrap_or_default();
            result
        }
        [licence, "WITH", exception, rest @ ..] => {
            let licence = format!("{licence} WITH {exception}");
            *words = rest;
            LICENCES.contains(&licence.as_str())
        }
        [licence, rest @ ..] => {
            let licence = *licence;
            *words = rest;
            LICENCES.contains(&licence)
        }
        [] => false,
    }
}

#[test]
fn every_licence_is_on_the_list_and_every_crate_from_crates_io() {
    for Package {
        name,
        licence,
        source,
        ..
    } in packages()
    {
        let excepted = EXCEPTIONS.contains(&(&name, &licence));
        assert!(allowed(&licence) || excepted, "{name}: {licence:?}");
        assert!(
            source.as_deref().is_none_or(|from| from == REGISTRY),
            "{name}: {source:?}"
        );
    }
}

/// What is compiled. (The metadata also have what an optional feature of a library only names.)
fn compiled() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--workspace"])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .args(["--prefix=none", "--format={p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let tree = String::from_utf8(output.stdout).expect("text");
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn one_library_does_the_cryptography() {
    let compiled = compiled();
    assert!(compiled.contains("aws-lc-rs"));
    for name in SECOND_CRYPTO {
        assert!(!compiled.contains(name), "{name}");
    }
}

#[test]
fn what_is_security_relevant_is_there_once() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        versions
            .entry(package.name)
            .or_default()
            .push(package.version);
    }
    for name in ONE_VERSION {
        let of_it = versions.get(name).map_or(&[][..], Vec::as_slice);
        assert!(of_it.len() <= 1, "{name}: {of_it:?}");
    }
}

#[test]
fn only_the_executor_knows_glommio_and_rtc_knows_no_sockets() {
    let packages = packages();
    let knows = |who: &str, whom: &str| {
        let mut ours = packages.iter().filter(|package| package.source.is_none());
        ours.any(|package| package.name == who && package.needs.contains(whom))
    };
    for package in packages.iter().filter(|package| package.source.is_none()) {
        let executor = package.name == "executor";
        assert_eq!(
            package.needs.contains("glommio"),
            executor,
            "{}",
            package.name
        );
    }
    for socket in [
        "executor",
        "glommio",
        "quinn-udp",
        "socket2",
        "libc",
        "media-service",
    ] {
        assert!(!knows("rtc", socket), "rtc knows {socket}");
    }
    for above in ["rtc", "str0m", "httparse", "tungstenite", "media-service"] {
        assert!(!knows("executor", above), "the executor knows {above}");
    }
}

#[test]
fn expressions_are_read_as_spdx_has_them() {
    assert!(allowed("MIT/Apache-2.0") && allowed("GPL-3.0 OR MIT"));
    assert!(allowed("ISC AND (Apache-2.0 OR GPL-2.0)"));
    assert!(allowed("Apache-2.0 WITH LLVM-exception"));
    assert!(!allowed("MIT AND GPL-2.0") && !allowed(""));
    assert!(!allowed("GPL-3.0 WITH GCC-exception"));
}
