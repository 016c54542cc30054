//! Who asks, and what they may do.

mod identity;

pub use identity::{DeviceClaim, Identity, Role};
