//! media-service.

pub mod web;
