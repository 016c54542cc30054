//! What unit tests share.

use std::time::Instant;

/// The start of a test's virtual time. The only clock that is read.
#[allow(clippy::disallowed_methods)]
pub(crate) fn start() -> Instant {
    Instant::now()
}
