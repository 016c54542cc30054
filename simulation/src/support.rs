//! What the simulation shares with the tests over real sockets.

#[path = "../../tests/support/annexb.rs"]
pub mod annexb;
#[path = "../../tests/support/media.rs"]
pub mod media;

pub use load::{http, metrics};

pub use crate::viewer;

/// The workspace.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
