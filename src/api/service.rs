//! Health, the OpenAPI document, the page's files, OPTIONS.

use serde::Serialize;

use crate::error::ApiError;
use crate::http::routes::Route;
use crate::http::{OriginVerdict, Request, Response, preflight};
use crate::shard::Shard;
use crate::{openapi, web};

#[derive(Serialize)]
struct Health {
    service: &'static str,
    status: &'static str,
}

const OK: Health = Health {
    service: "media-service",
    status: "ok",
};

pub(super) fn health() -> Response {
    Response::json(200, &OK)
}

/// Depends on nothing outside the process: a shard that answers is alive.
pub(super) fn live() -> Response {
    Response::json(200, &OK)
}

pub(super) fn ready(ending: bool) -> Result<Response, ApiError> {
    if ending {
        Err(ApiError::Draining)
    } else {
        Ok(Response::json(200, &OK))
    }
}

pub(super) fn openapi() -> Response {
    Response::text(200, "application/json", openapi::DOCUMENT.as_bytes())
        .header("Cache-Control", "no-cache")
}

/// A file of the page. `no-cache` makes browsers ask each time whether it has changed.
pub(super) fn file(request: &Request, file: web::File) -> Response {
    let known = request.headers.get("if-none-match").unwrap_or_default();
    let response = if known.split(',').any(|tag| tag.trim() == file.etag) {
        Response::empty(304)
    } else {
        Response::text(200, file.content_type, file.body)
    };
    response
        .header("ETag", file.etag)
        .header("Cache-Control", "no-cache")
        .header("Content-Security-Policy", web::CONTENT_SECURITY_POLICY)
        // For browsers that do not know `frame-ancestors`.
        .header("X-Frame-Options", "SAMEORIGIN")
        // Whoever opens it in a window has no hold on it.
        .header("Cross-Origin-Opener-Policy", "same-origin")
        .header("Referrer-Policy", "no-referrer")
}

impl Shard {
    /// `OPTIONS`: a preflight of a listed origin, or just what is allowed.
    pub(super) fn options(&self, request: &Request, route: Route) -> Response {
        let methods = match route {
            // `OPTIONS *` asks for what the server as a whole can do (RFC 9110 §9.3.7).
            Route::Unmatched => "GET, HEAD, POST, PUT, DELETE, OPTIONS".to_owned(),
            route => route.methods().join(", "),
        };
        let host = request.headers.get("host").unwrap_or_default();
        let origin = request.headers.get("origin");
        match self.origins.origin(origin, host) {
            OriginVerdict::Listed(origin) => preflight(origin, methods),
            OriginVerdict::SameOrigin | OriginVerdict::Refused => {
                Response::empty(204).header("Allow", methods)
            }
        }
    }
}
