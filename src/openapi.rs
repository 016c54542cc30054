//! The OpenAPI document of the Media routes.
