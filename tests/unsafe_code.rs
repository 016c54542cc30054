//! Where there is `unsafe`: in the files that docs/reliability.md lists with its reason, and nowhere
//! else. (The compiler refuses it outside of what is allowed; the list is for people.)

use std::fs;
use std::path::{Path, PathBuf};

/// The section of the list.
const SECTION: &str = "## Unsafe code";
/// Folders with the code of this project.
const FOLDERS: [&str; 6] = ["src", "executor", "rtc", "benches", "tests", "fuzz"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                rust_files(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Whether a line of code, and not of a comment or a lint's name, has the keyword.
fn has_unsafe(text: &str) -> bool {
    let code = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    let mut words =
        code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && !"_-\"".contains(c)));
    words.any(|word| word == concat!("un", "safe"))
}

#[test]
fn it_stands_where_the_list_says() {
    let mut files = Vec::new();
    for folder in FOLDERS {
        rust_files(&root().join(folder), &mut files);
    }
    let mut found: Vec<String> = files
        .into_iter()
        .filter(|path| has_unsafe(&fs::read_to_string(path).expect("text")))
        .map(|path| {
            path.strip_prefix(root())
                .expect("below")
                .display()
                .to_string()
        })
        .collect();
    found.sort();

    let page = fs::read_to_string(root().join("docs/reliability.md")).expect("the page");
    let (_, section) = page.split_once(SECTION).expect("its section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut listed: Vec<String> = section
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once("` |")?.0.to_owned()))
        .collect();
    listed.sort();
    assert_eq!(found, listed, "what is found is not what {SECTION} lists");
}
