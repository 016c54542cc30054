//! Python programs that some ignored tests drive: Chromium through Playwright, aiortc.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::media::file;

/// Where `.ci/run` keeps its virtual environment.
const CI_PYTHON: &str = "target/ci-venv/bin/python";

/// The interpreter with the packages of `tests/requirements.txt`: `$MEDIA_TEST_PYTHON`, else that of `.ci/run`, else the
/// system's.
fn interpreter() -> PathBuf {
    if let Some(path) = std::env::var_os("MEDIA_TEST_PYTHON") {
        return path.into();
    }
    let of_ci = file(CI_PYTHON);
    if of_ci.exists() {
        of_ci
    } else {
        Path::new("python3").to_owned()
    }
}

/// A command that runs a script of the project.
pub fn script(path: &str) -> Command {
    let mut command = Command::new(interpreter());
    command.arg("-u").arg(file(path));
    command
}
