//! Not built yet.

use crate::Error;
use crate::report::Report;
use crate::target;

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The server, and how long it is measured.
    #[command(flatten)]
    pub target: target::Arguments,
}

/// Runs the load, round by round.
///
/// # Errors
/// What keeps it from being measured.
pub fn run(_arguments: &Arguments, _report: &mut Report) -> Result<(), Error> {
    Err(Error::Arguments("not built yet".to_owned()))
}
