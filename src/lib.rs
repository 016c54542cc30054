//! media-service.

pub mod http;
