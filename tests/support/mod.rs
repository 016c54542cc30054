//! What the end-to-end tests and the measurements share: the real server as a child process, an HTTP client that
//! can misbehave, publishers, WebRTC viewers on str0m over real sockets, and WebSocket clients.
//!
//! Everything waits for a condition with a deadline; nothing sleeps and hopes. A helper panics with a sentence when
//! its deadline passes: that is the test's failure.

#![allow(dead_code, unreachable_pub)] // each test binary uses its part of the kit

pub mod annexb;
pub mod browser;
pub mod media;
pub mod pipeline;
pub mod publish;
pub mod python;
pub mod relay;
pub mod rooms;
pub mod server;
pub mod tls;
pub mod tokens;
pub mod viewer;
pub mod viewers;
pub mod ws;

use std::time::{Duration, Instant};

pub use load::{SOON, http, json_lines, metrics, process, rtp};

/// The workspace.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Polled conditions are looked at this often. They are reads of `/proc` or one small request.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
///
/// # Panics
/// With `what` when it does not hold within `limit`.
pub fn wait_until(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Waits until `read` gives a value.
///
/// # Panics
/// With `what` when it gives none within `limit`.
pub fn wait_for<T>(limit: Duration, what: &str, mut read: impl FnMut() -> Option<T>) -> T {
    let mut value = None;
    wait_until(limit, what, || {
        value = read();
        value.is_some()
    });
    value.expect("wait_until returns when the condition holds")
}
