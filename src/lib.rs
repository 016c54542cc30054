//! media-service.

pub mod config;
pub mod ids;
pub mod limits;
pub mod logging;
pub mod placement;
