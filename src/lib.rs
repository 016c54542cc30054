//! media-service.

pub mod http;
pub mod metrics;
pub mod openapi;
