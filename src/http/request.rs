//! The head of a request, and what follows from it.

use std::fmt;
use std::mem::MaybeUninit;

use super::authority::{Authority, Scheme};
use super::{Headers, MAX_HEADERS, RequestError};

/// Longest method that is looked at. The longest registered for what a server like this one sees
/// (OPTIONS, PROPFIND) has 8; a longer one is none that it could have.
pub(super) const METHOD_BYTES: usize = 16;

/// A request without its body.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// The path as it was sent: not percent-decoded, dots not resolved. `*` only with OPTIONS.
    pub path: String,
    /// What follows the first `?`, as it was sent.
    pub query: Option<String>,
    /// The version of the client.
    pub version: Version,
    /// All header lines.
    pub headers: Headers,
    /// How the length of the body is told.
    pub body: BodyLength,
    /// Whether the client lets the connection serve a further request (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether the client waits for [`super::CONTINUE`] before it sends the body.
    pub expect_continue: bool,
}

/// A request method. Methods are case-sensitive (RFC 9110 §9.1).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the methods are named by RFC 9110 §9.3 and RFC 5789"
)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Patch,
    Options,
    /// Any other, of at most 16 bytes.
    Other(String),
}

/// The versions of HTTP that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "a version has no more to say")]
pub enum Version {
    Http10,
    Http11,
}

/// How the length of a body is told (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body.
    None,
    /// So many bytes, which may be none.
    Length(u64),
    /// It ends with a chunk of size 0.
    Chunked,
}

impl Method {
    fn new(name: &str) -> Result<Self, RequestError> {
        Ok(match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "PATCH" => Self::Patch,
            "OPTIONS" => Self::Options,
            "CONNECT" => return Err(RequestError::Connect),
            other => Self::Other(other.to_owned()),
        })
    }

    /// The method as it is sent.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Options => "OPTIONS",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Without the query: one of a WebSocket holds a token, and no log may.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("version", &self.version)
            .field("headers", &self.headers)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// Parses a head that passed the scan, from its first byte to its blank line.
    pub(super) fn parse(head: &[u8]) -> Result<Self, RequestError> {
        let mut slots = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut []);
        // The scan refused all that httparse refuses, so these errors name what remains.
        match parsed.parse_with_uninit_headers(head, &mut slots) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) | Err(_) => return Err(RequestError::BadRequestLine),
        }
        let (Some(method), Some(target), Some(version)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(RequestError::BadRequestLine);
        };
        let version = if version == 0 {
            Version::Http10
        } else {
            Version::Http11
        };
        let method = Method::new(method)?;
        let told = Told::read(parsed.headers)?;
        let host = told.host(version)?;
        let (path, query) = split_target(target, &method, host)?;
        let body = told.body(version)?;
        let expect_continue = told.expects_continue(version, body)?;
        let keep_alive = match version {
            Version::Http10 => told.keep_alive && !told.close,
            Version::Http11 => !told.close,
        };
        Ok(Self {
            method,
            path: path.to_owned(),
            query: query.map(str::to_owned),
            version,
            headers: Headers::new(parsed.headers),
            body,
            keep_alive,
            expect_continue,
        })
    }
}

/// What the header lines say about the message itself.
#[derive(Default)]
struct Told<'h> {
    host: Option<&'h [u8]>,
    length: Option<&'h [u8]>,
    coding: Option<&'h [u8]>,
    expect: Option<&'h [u8]>,
    close: bool,
    keep_alive: bool,
}

impl<'h> Told<'h> {
    fn read(lines: &[httparse::Header<'h>]) -> Result<Self, RequestError> {
        let mut told = Self::default();
        for line in lines {
            let (name, value) = (line.name, line.value.trim_ascii());
            if name.eq_ignore_ascii_case("host") {
                once(&mut told.host, value, RequestError::RepeatedHost)?;
            } else if name.eq_ignore_ascii_case("content-length") {
                once(&mut told.length, value, RequestError::RepeatedContentLength)?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                once(
                    &mut told.coding,
                    value,
                    RequestError::RepeatedTransferEncoding,
                )?;
            } else if name.eq_ignore_ascii_case("expect") {
                once(
                    &mut told.expect,
                    value,
                    RequestError::UnsupportedExpectation,
                )?;
            } else if name.eq_ignore_ascii_case("connection") {
                for option in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                    told.close |= option.eq_ignore_ascii_case(b"close");
                    told.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        Ok(told)
    }

    /// RFC 9112 §3.2. HTTP/1.0 may leave it out.
    fn host(&self, version: Version) -> Result<Option<Authority<'h>>, RequestError> {
        match (self.host, version) {
            (Some(host), _) => std::str::from_utf8(host)
                .ok()
                .and_then(Authority::parse)
                .map(Some)
                .ok_or(RequestError::BadHost),
            (None, Version::Http11) => Err(RequestError::MissingHost),
            (None, Version::Http10) => Ok(None),
        }
    }

    /// RFC 9112 §6.3, without any of its leniencies.
    fn body(&self, version: Version) -> Result<BodyLength, RequestError> {
        match (self.coding, self.length) {
            (Some(_), _) if version == Version::Http10 => {
                Err(RequestError::TransferEncodingInHttp10)
            }
            (Some(_), Some(_)) => Err(RequestError::LengthAndChunked),
            // RFC 9112 §7 lets the letters be of any case; every client writes small ones, and
            // other spellings are how a request is hidden from the proxy in front of this server.
            (Some(b"chunked"), None) => Ok(BodyLength::Chunked),
            (Some(_), None) => Err(RequestError::UnsupportedTransferEncoding),
            (None, Some(digits)) => parse_length(digits).map(BodyLength::Length),
            (None, None) => Ok(BodyLength::None),
        }
    }

    /// RFC 9110 §10.1.1: HTTP/1.0 cannot expect anything, and no one waits to send nothing.
    fn expects_continue(&self, version: Version, body: BodyLength) -> Result<bool, RequestError> {
        match (self.expect, version) {
            (None, _) | (_, Version::Http10) => Ok(false),
            (Some(expect), Version::Http11) if expect.eq_ignore_ascii_case(b"100-continue") => {
                Ok(!matches!(body, BodyLength::None | BodyLength::Length(0)))
            }
            (Some(_), Version::Http11) => Err(RequestError::UnsupportedExpectation),
        }
    }
}

fn once<'h>(
    slot: &mut Option<&'h [u8]>,
    value: &'h [u8],
    repeated: RequestError,
) -> Result<(), RequestError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(repeated),
    }
}

/// One or more digits and nothing else (RFC 9110 §8.6), below 2⁶⁴.
fn parse_length(digits: &[u8]) -> Result<u64, RequestError> {
    if digits.is_empty() {
        return Err(RequestError::BadContentLength);
    }
    digits
        .iter()
        .try_fold(0_u64, |length, &digit| {
            let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            length.checked_mul(10)?.checked_add(value)
        })
        .ok_or(RequestError::BadContentLength)
}

/// Path and query of a target in origin, absolute or asterisk form (RFC 9112 §3.2).
fn split_target<'t>(
    target: &'t str,
    method: &Method,
    host: Option<Authority<'_>>,
) -> Result<(&'t str, Option<&'t str>), RequestError> {
    let target = if target.starts_with('/') || (target == "*" && *method == Method::Options) {
        target
    } else {
        let (scheme, rest) = Scheme::split(target).ok_or(RequestError::BadTarget)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let authority = Authority::parse(authority).ok_or(RequestError::BadTarget)?;
        if host.is_some_and(|host| !host.same(&authority, scheme.default_port())) {
            return Err(RequestError::HostMismatch);
        }
        path
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    Ok((if path.is_empty() { "/" } else { path }, query))
}
