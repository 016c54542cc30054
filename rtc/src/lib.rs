//! Sans-IO media plane.

mod access_unit;

pub use access_unit::{AccessUnit, Codec};
