//! What the simulation shares with the tests over real sockets.

use std::time::Duration;

#[path = "../../tests/support/annexb.rs"]
pub mod annexb;
#[path = "../../tests/support/http.rs"]
pub mod http;
#[path = "../../tests/support/media.rs"]
pub mod media;
#[path = "../../tests/support/metrics.rs"]
pub mod metrics;

pub use crate::viewer;

/// The workspace.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// How long a client over a real socket waits; none of those is here.
pub const SOON: Duration = Duration::from_secs(20);
