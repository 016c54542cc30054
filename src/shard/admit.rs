//! What is decided about a request by its head alone.

use std::net::IpAddr;
use std::time::Instant;

use tracing::warn;

use super::Shard;
use crate::api::Operation;
use crate::auth::{Identity, identify};
use crate::client::Client;
use crate::connection::{Connection, Scope};
use crate::error::ApiError;
use crate::http::routes::Route;
use crate::http::{BodyLength, Method, OriginVerdict, Request};

/// Characters of a content coding that are told back.
const CODING_CHARS: usize = 64;

impl Shard {
    /// What can be refused before the body: strangers, unknown paths, methods, lengths. Who asks.
    pub(super) fn admit(
        &self,
        now: Instant,
        scope: Scope,
        request: &Request,
        route: Route,
    ) -> Result<Identity, ApiError> {
        if self.auth.is_none() || scope == Scope::Metrics {
            self.check_origin(request)?;
        }
        let (auth, route) = match scope {
            Scope::Everything => (self.auth.as_deref(), route),
            // Nobody is asked who it is, and there is nothing else.
            Scope::Metrics if is_monitoring(route) => (None, route),
            Scope::Metrics => (None, Route::Unmatched),
        };
        Operation::check_method(request, route)?;
        let unix = self.clock.unix(now).as_secs();
        let identity = identify(auth, request, route, unix)?;
        if let Some(coding) = request.headers.get("content-encoding")
            && !coding.eq_ignore_ascii_case("identity")
        {
            let coding = coding.chars().take(CODING_CHARS).collect();
            return Err(ApiError::ContentEncoding(coding));
        }
        let limit = self.config.http.json_body_bytes;
        match request.body {
            BodyLength::Length(length)
                if length > limit as u64 && request.method != Method::Put =>
            {
                Err(ApiError::BodyTooLarge { limit })
            }
            BodyLength::None | BodyLength::Length(_) | BodyLength::Chunked => Ok(identity),
        }
    }

    /// Where memory is short, what runs goes on and nothing is added to it.
    pub(super) fn has_memory_for(&self, operation: &Operation) -> Result<(), ApiError> {
        match operation.takes_memory() && self.totals.is_memory_short() {
            true => Err(ApiError::MemoryShort),
            false => Ok(()),
        }
    }

    /// Where the client is. A proxy that is not trusted is warned about once.
    pub(super) fn client(&self, connection: &Connection, request: &Request) -> IpAddr {
        let trusted = &self.config.server.trusted_proxies;
        let client = Client::of(connection.peer.ip(), &request.headers, trusted);
        if client.ignored && self.totals.first_ignored_header() {
            warn!(
                peer = %connection.peer,
                "a Forwarded or X-Forwarded-For header is ignored: if that is a proxy of yours, add its \
                 network to server.trusted_proxies"
            );
        }
        client.address
    }

    /// Where nobody is asked for a token, a browser could be sent here by any page: see
    /// [`OriginPolicy`](crate::http::OriginPolicy). A page that has a token was given it.
    fn check_origin(&self, request: &Request) -> Result<(), ApiError> {
        let host = request.headers.get("host").unwrap_or_default();
        let origin = request.headers.get("origin");
        if !host.is_empty() && !self.origins.host_ok(host) {
            return Err(ApiError::ForeignOrigin(format!(
                "this server is not {host:?}; if it should be, add the name to http.allowed_hosts"
            )));
        }
        if self.origins.origin(origin, host) == OriginVerdict::Refused {
            return Err(ApiError::ForeignOrigin(format!(
                "pages of {:?} may not use this server; http.cors_origins lists those that may",
                origin.unwrap_or_default()
            )));
        }
        Ok(())
    }
}

/// What a listener of `metrics.listen` has.
fn is_monitoring(route: Route) -> bool {
    matches!(
        route,
        Route::Metrics | Route::Health | Route::HealthLive | Route::HealthReady
    )
}
