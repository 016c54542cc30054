//! Who may ask: `Host` and `Origin`.
//!
//! Without authentication a browser is the way into a server on someone's own machine: any page
//! may send requests there, and a name that its owner points at 127.0.0.1 (DNS rebinding) makes
//! them look like the server's own. `Host` must therefore be ours, which no rebound name is, and
//! `Origin` our own or a listed one. IP literals cannot be rebound.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use super::Response;
use super::authority::{Authority, Host, Scheme};

/// Entry of a list that matches everything.
const ANY: &str = "*";
/// Seconds that a browser may remember a preflight: Chromium's own maximum.
const PREFLIGHT_MAX_AGE_SECONDS: &str = "7200";
/// Headers that the routes read and that a page may not send to another origin unasked.
const ALLOWED_HEADERS: &str =
    "Authorization, Content-Type, X-Request-Id, X-User-Id, traceparent, tracestate";
/// Headers that a page of another origin may read, past those that it always may.
const EXPOSED_HEADERS: &str = "Location, Retry-After, X-Request-Id";

/// Which values of `Host` and `Origin` are the server's own or configured.
#[derive(Debug, Clone)]
pub struct OriginPolicy {
    own: Vec<SocketAddr>,
    /// Those addresses as nearly every `Host` has them: equal is known sooner than read.
    usual: Vec<String>,
    hosts: Vec<String>,
    any_host: bool,
    /// As a browser writes them: small letters, no port where it is the scheme's own.
    origins: Vec<String>,
    any_origin: bool,
    tls: bool,
}

/// What the `Origin` of a request means for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginVerdict<'a> {
    /// The server's own page, or no page at all: no CORS headers are needed.
    SameOrigin,
    /// Another origin that is configured: the response carries [`OriginVerdict::headers`].
    Listed(&'a str),
    /// A page of somebody else.
    Refused,
}

impl OriginPolicy {
    /// `own` are the addresses that the server listens on, with their real ports. `allowed_hosts`
    /// are further names of it, as `name`, which means any port, or `name:port`. `cors_origins` are
    /// pages of others that may use it, as `https://app.example`. `*` in a list means all. Entries
    /// that [`OriginPolicy::is_host`] and [`OriginPolicy::is_origin`] do not take match nothing.
    pub fn new(own: &[SocketAddr], allowed_hosts: &[String], cors_origins: &[String]) -> Self {
        Self {
            own: own.to_vec(),
            usual: own.iter().map(SocketAddr::to_string).collect(),
            hosts: allowed_hosts.to_vec(),
            any_host: allowed_hosts.iter().any(|host| host == ANY),
            origins: cors_origins
                .iter()
                .filter_map(|origin| Some(Origin::parse(origin)?.to_string()))
                .collect(),
            any_origin: cors_origins.iter().any(|origin| origin == ANY),
            tls: false,
        }
    }

    /// Whether the server speaks TLS itself. Then its own pages come over `https` alone: one that came
    /// without is whoever's who sits on the way. (Without TLS a proxy may speak it for the server.)
    pub fn over_tls(self, tls: bool) -> Self {
        Self { tls, ..self }
    }

    /// Whether `entry` can stand in `allowed_hosts`.
    pub fn is_host(entry: &str) -> bool {
        entry == ANY || Authority::parse(entry).is_some()
    }

    /// Whether `entry` can stand in `cors_origins`.
    pub fn is_origin(entry: &str) -> bool {
        entry == ANY || Origin::parse(entry).is_some()
    }

    /// Whether a `Host` header names this server: an address and port that it listens on, any IP
    /// literal where it listens on all addresses (which they are is not known, and a port may have
    /// been mapped), `localhost` where 127.0.0.1 or ::1 would do, or a configured name.
    pub fn host_ok(&self, host: &str) -> bool {
        if self.usual.iter().any(|own| own == host) {
            return true;
        }
        let Some(host) = Authority::parse(host) else {
            return false;
        };
        self.any_host || self.is_own(&host) || self.hosts().any(|own| covers(&own, &host))
    }

    /// What `Origin` means on a request with that `Host`. Whether `Host` itself is ours is for
    /// [`OriginPolicy::host_ok`] to say: a rebound name agrees with its own `Origin`.
    pub fn origin(&self, origin: Option<&str>, host: &str) -> OriginVerdict<'_> {
        let Some(origin) = origin else {
            return OriginVerdict::SameOrigin;
        };
        // `null` (a sandboxed frame, a file) has no parse and is nobody's.
        let parsed = Origin::parse(origin);
        if parsed.is_some_and(|origin| self.is_same(&origin, host)) {
            return OriginVerdict::SameOrigin;
        }
        if self.any_origin {
            return OriginVerdict::Listed(ANY);
        }
        let listed = parsed.and_then(|origin| {
            let text = origin.to_string();
            self.origins.iter().find(|listed| **listed == text)
        });
        listed.map_or(OriginVerdict::Refused, |listed| {
            OriginVerdict::Listed(listed)
        })
    }

    /// Its authority is that of `Host`, or a configured name of this server (a proxy that rewrites
    /// `Host` leaves `Origin` as it is).
    fn is_same(&self, origin: &Origin<'_>, host: &str) -> bool {
        if self.tls && origin.scheme != Scheme::Https {
            return false;
        }
        let default_port = origin.scheme.default_port();
        Authority::parse(host).is_some_and(|host| host.same(&origin.authority, default_port))
            || self
                .hosts()
                .any(|own| own.same(&origin.authority, default_port))
    }

    fn hosts(&self) -> impl Iterator<Item = Authority<'_>> {
        self.hosts.iter().filter_map(|host| Authority::parse(host))
    }

    fn is_own(&self, host: &Authority<'_>) -> bool {
        let ip = match host.host {
            Host::Ip(ip) => Some(ip.to_canonical()),
            // Browsers never ask the DNS for it (RFC 6761 §6.3).
            Host::Name(name) if name.eq_ignore_ascii_case("localhost") => None,
            Host::Name(_) => return false,
        };
        self.own.iter().any(|own| {
            let own_ip: IpAddr = own.ip().to_canonical();
            let same_ip = ip.map_or(own_ip.is_loopback(), |ip| ip == own_ip);
            let same_port = match host.port {
                Some(port) => port == own.port(),
                None => matches!(own.port(), 80 | 443),
            };
            own_ip.is_unspecified() || (same_ip && same_port)
        })
    }
}

/// A configured name without a port stands for every port.
fn covers(own: &Authority<'_>, host: &Authority<'_>) -> bool {
    own.host == host.host && (own.port.is_none() || own.port == host.port)
}

impl<'a> OriginVerdict<'a> {
    /// The CORS headers of a response to this origin, for [`super::Framing::extra`]; none unless it
    /// is listed. `Vary` keeps a cache from giving one origin's answer to another.
    pub fn headers(&self) -> Option<[(&'static str, &'a str); 3]> {
        match self {
            Self::Listed(origin) => Some([
                ("Access-Control-Allow-Origin", origin),
                ("Access-Control-Expose-Headers", EXPOSED_HEADERS),
                ("Vary", "Origin"),
            ]),
            Self::SameOrigin | Self::Refused => None,
        }
    }
}

/// The answer to a preflight (Fetch Standard §3.2.2) from a listed `origin`: 204 with what it may
/// send to this route. `methods` is the route's own list, the one that `Allow` carries. All CORS
/// headers are in it, so [`OriginVerdict::headers`] must not be added.
pub fn preflight(origin: &str, methods: impl Into<Cow<'static, str>>) -> Response {
    Response::empty(204)
        .header("Access-Control-Allow-Origin", origin.to_owned())
        .header("Access-Control-Allow-Methods", methods)
        .header("Access-Control-Allow-Headers", ALLOWED_HEADERS)
        .header("Access-Control-Max-Age", PREFLIGHT_MAX_AGE_SECONDS)
        .header("Vary", "Origin")
}

/// Scheme, host and port of a page (RFC 6454 §4).
#[derive(Debug, Clone, Copy)]
struct Origin<'a> {
    scheme: Scheme,
    authority: Authority<'a>,
}

impl<'a> Origin<'a> {
    /// A slash at the end is taken, as people write one in configurations.
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = Scheme::split(text)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        Some(Self {
            scheme,
            authority: Authority::parse(authority)?,
        })
    }
}

impl std::fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.scheme {
            Scheme::Http => "http://",
            Scheme::Https => "https://",
        })?;
        match self.authority.host {
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}")?,
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
            Host::Name(name) => f.write_str(&name.to_ascii_lowercase())?,
        }
        match self.authority.port {
            Some(port) if port != self.scheme.default_port() => write!(f, ":{port}"),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
