//! `host[:port]`, as in Host, in an address, and in the configuration.

use std::net::{IpAddr, Ipv6Addr};

/// Longest name in the DNS (RFC 1035 §2.3.4), in its text form.
const NAME_BYTES: usize = 253;

/// Who a request is addressed to (RFC 3986 §3.2, without user information).
#[derive(Debug, Clone, Copy)]
pub(super) struct Authority<'a> {
    pub(super) host: Host<'a>,
    /// `None` where the scheme's own port is meant.
    pub(super) port: Option<u16>,
}

/// Names are compared without case.
#[derive(Debug, Clone, Copy)]
pub(super) enum Host<'a> {
    Ip(IpAddr),
    Name(&'a str),
}

impl<'a> Authority<'a> {
    /// `None` when it is not one. Of names only the bytes are checked that browsers and the DNS
    /// have: letters, digits, `-`, `.` and `_`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            let port = match rest.strip_prefix(':') {
                Some(port) => parse_port(port)?,
                None if rest.is_empty() => None,
                None => return None,
            };
            return Some(Self {
                host: Host::Ip(IpAddr::V6(address)),
                port,
            });
        }
        // A byte at a time: searches are made for texts longer than these.
        let (host, port) = match text.bytes().position(|b| b == b':') {
            Some(colon) => (&text[..colon], parse_port(&text[colon + 1..])?),
            None => (text, None),
        };
        let is_name = (1..=NAME_BYTES).contains(&host.len())
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        if !is_name {
            return None;
        }
        let host = host
            .parse()
            .map_or(Host::Name(host), |ip| Host::Ip(IpAddr::V4(ip)));
        Some(Self { host, port })
    }

    /// Whether both mean the same host and port, where `default_port` is the one not written.
    pub(super) fn same(&self, other: &Authority<'_>, default_port: u16) -> bool {
        self.host == other.host
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

impl PartialEq<Host<'_>> for Host<'_> {
    fn eq(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Host::Ip(one), Host::Ip(two)) => one.to_canonical() == two.to_canonical(),
            (Host::Name(one), Host::Name(two)) => one.eq_ignore_ascii_case(two),
            (Host::Ip(_), Host::Name(_)) | (Host::Name(_), Host::Ip(_)) => false,
        }
    }
}

/// The outer `None` is a fault; the inner one is an empty port, which RFC 3986 §3.2.3 allows.
#[expect(
    clippy::option_option,
    reason = "a fault and an absent port are two things"
)]
fn parse_port(text: &str) -> Option<Option<u16>> {
    if text.is_empty() {
        return Some(None);
    }
    // `u16::from_str` takes a plus sign.
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok().map(Some))?
}

/// The two schemes that this server is reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// Splits `http://` or `https://` off, whatever the case of its letters.
    pub(super) fn split(url: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = url.split_once("://")?;
        if scheme.eq_ignore_ascii_case("http") {
            Some((Self::Http, rest))
        } else if scheme.eq_ignore_ascii_case("https") {
            Some((Self::Https, rest))
        } else {
            None
        }
    }

    /// The port that an address of this scheme means when it names none.
    pub(super) fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}
