//! What the fuzz targets assert, over their committed corpora, on the stable toolchain.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
#[allow(missing_docs, unreachable_pub)]
mod fuzz;

/// Bytes of all corpora: they are to be looked at, and every checkout has them.
const CORPUS_BYTES: usize = 200 << 10;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(corpus().join(target)).expect("a corpus");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut inputs: Vec<_> = paths
        .map(|path| (path.clone(), fs::read(path).expect("an input")))
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn every_input_of_the_corpus_passes() {
    for (name, target) in fuzz::TARGETS {
        for (path, input) in inputs(name) {
            let result = catch_unwind(AssertUnwindSafe(|| target(&input)));
            assert!(result.is_ok(), "{}", path.display());
        }
    }
}

#[test]
fn every_target_has_a_small_corpus_and_a_program() {
    let mut folders: Vec<String> = fs::read_dir(corpus())
        .expect("corpora")
        .map(|entry| entry.expect("an entry").file_name().into_string())
        .map(|name| name.expect("a name"))
        .collect();
    folders.sort();
    assert_eq!(folders, fuzz::TARGETS.map(|(name, _)| name));
    let sizes = folders.iter().flat_map(|name| inputs(name));
    let bytes: usize = sizes.map(|(_, input)| input.len()).sum();
    assert!(bytes < CORPUS_BYTES, "{bytes} B");
    let manifest = include_str!("../fuzz/Cargo.toml");
    for name in folders {
        assert!(inputs(&name).len() > 1, "{name}");
        assert!(manifest.contains(&format!("fuzz_targets/{name}.rs")));
    }
}
