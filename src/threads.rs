//! Threads beside the shards that the process cannot do without.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::error;

/// Exit code of a process of which a thread beside the shards has died: figures would be missing,
/// nothing would be stored, nobody would log in or no signal be heard, and nobody would know why.
pub const EXIT_THREAD_DIED: i32 = 72;

/// Given to the log's own thread before the process ends.
const LOG_GRACE: Duration = Duration::from_millis(200);

/// Starts a thread with whose panic the process ends.
pub(crate) fn start<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let work = move || {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            error!(name, "a thread has died: the process ends");
            thread::sleep(LOG_GRACE);
            std::process::exit(EXIT_THREAD_DIED)
        })
    };
    thread::Builder::new().name(name.into()).spawn(work)
}
