//! A load generator for this server and for any other with the same public interfaces: what a unit of work costs the
//! server, and how long its clients wait for it. `benches/load/README.md` says what each scenario does.
//!
//! The server is pinned to one CPU, everything else to another. A load is a [`report::Outcome`]: units of work, the
//! server's CPU time and memory, latencies.

pub mod error;
pub mod feed;
pub mod http;
pub mod json_lines;
pub mod metrics;
pub mod process;
pub mod report;
pub mod requests;
pub mod rooms;
pub mod rtp;
pub mod sessions;
pub mod target;
pub mod viewers;

use std::time::Duration;

pub use error::Error;

/// For what takes milliseconds on an idle machine: long enough that a busy two-core machine in a debug build does not
/// fail what is right.
pub const SOON: Duration = Duration::from_secs(20);
