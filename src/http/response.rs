//! Answers, and how they are written.

use std::borrow::Cow;

use serde::Serialize;

use super::Version;
use super::scan::is_value_byte;

/// Tells a client that waits with its body to send it (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Room for the lines that every response has, so that `out` grows once for one.
const USUAL_HEAD_BYTES: usize = 256;
/// Room for a body beside its head, for the same reason; a larger one may be sent from where it is.
const SMALL_BODY_BYTES: usize = 64 << 10;

/// Room for the JSON of one thing, so that most answers grow no further.
const USUAL_JSON_BYTES: usize = 512;

/// An answer, independent of the connection that it goes out on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    content_type: Option<&'static str>,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: Cow<'static, [u8]>,
}

/// What the connection and the request make of a response.
#[derive(Debug, Clone, Copy)]
pub struct Framing<'a> {
    /// The client's version.
    pub version: Version,
    /// Whether the request was HEAD: the body's length is told and the body left out.
    pub head: bool,
    /// Whether the connection stays open.
    pub keep_alive: bool,
    /// The time as IMF-fixdate, see [`super::HttpDate`].
    pub date: &'a str,
    /// `X-Request-Id`; left out when empty.
    pub request_id: &'a str,
    /// Header lines in which nothing varies, each with its end, or none.
    pub usual: &'a [&'static str],
    /// Further headers of the connection's policy: CORS, security.
    pub extra: &'a [(&'static str, &'a str)],
}

impl Response {
    /// No body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            content_type: None,
            headers: Vec::new(),
            body: Cow::Borrowed(&[]),
        }
    }

    /// A body of JSON. A value that has no JSON form (a map whose keys are no strings) is our own
    /// fault and becomes a 500.
    pub fn json<T: Serialize>(status: u16, value: &T) -> Self {
        let mut body = Vec::with_capacity(USUAL_JSON_BYTES);
        match serde_json::to_writer(&mut body, value) {
            Ok(()) => Self::text(status, "application/json", body),
            Err(error) => {
                debug_assert!(false, "a response has no JSON form: {error}");
                Self::empty(500)
            }
        }
    }

    /// A body of any type.
    pub fn text(
        status: u16,
        content_type: &'static str,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        Self {
            body: body.into(),
            content_type: Some(content_type),
            ..Self::empty(status)
        }
    }

    /// Adds a header line. The lines that frame the message (`Content-Length`, `Connection` except
    /// on 101, `Date`, `Content-Type`) are not for here.
    ///
    /// # Panics
    /// Debug builds panic when the value has a control character; release builds write a blank in
    /// its place, so that no value can end its line.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let value = value.into();
        debug_assert!(
            value.bytes().all(is_value_byte),
            "a control character in {name}: {value:?}"
        );
        self.headers.push((name, value));
        self
    }

    /// Whether it has a header line of its own of that name, as it is written.
    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(own, _)| *own == name)
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body; HEAD and some statuses do not send it.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Bytes of the body.
    pub fn body_len(&self) -> usize {
        self.body.len()
    }

    /// Appends the response to `out`: its [head](Self::encode_head), and the body unless the request was
    /// HEAD.
    pub fn encode(&self, how: &Framing<'_>, out: &mut Vec<u8>) {
        self.encode_head(how, out);
        if !self.is_bodyless() && !how.head {
            out.extend_from_slice(&self.body);
        }
    }

    /// What is sent after the head.
    pub fn into_body(self, how: &Framing<'_>) -> Cow<'static, [u8]> {
        match self.is_bodyless() || how.head {
            true => Cow::Borrowed(&[]),
            false => self.body,
        }
    }

    fn is_bodyless(&self) -> bool {
        matches!(self.status, ..200 | 204 | 304)
    }

    /// Appends the status line, the lines of [`Framing`] and its own headers to `out`. 1xx, 204 and 304
    /// have neither body nor length (RFC 9112 §6.3); a 1xx says nothing of the connection's end.
    pub fn encode_head(&self, how: &Framing<'_>, out: &mut Vec<u8>) {
        let informational = self.status < 200;
        let bodyless = self.is_bodyless();
        let small_body = self.body.len().min(SMALL_BODY_BYTES);
        out.reserve(USUAL_HEAD_BYTES + self.headers_len(how) + small_body);
        push_status_line(out, self.status);
        push_header(out, "Date", how.date);
        if !bodyless {
            if let Some(content_type) = self.content_type {
                push_header(out, "Content-Type", content_type);
            }
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(out, self.body.len());
            out.extend_from_slice(b"\r\n");
        }
        match (how.keep_alive, how.version) {
            _ if informational => {}
            (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
            (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            // What HTTP/1.1 assumes (RFC 9112 §9.3).
            (true, Version::Http11) => {}
        }
        if !how.request_id.is_empty() {
            push_header(out, "X-Request-Id", how.request_id);
        }
        for lines in how.usual {
            out.extend_from_slice(lines.as_bytes());
        }
        for (name, value) in how.extra {
            push_header(out, name, value);
        }
        for (name, value) in &self.headers {
            push_header(out, name, value);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Bytes of the header lines whose length is not the usual.
    fn headers_len(&self, how: &Framing<'_>) -> usize {
        let line = |name: &str, value: &str| name.len() + value.len() + ": \r\n".len();
        let own: usize = self
            .headers
            .iter()
            .map(|(name, value)| line(name, value))
            .sum();
        let extra: usize = how
            .extra
            .iter()
            .map(|(name, value)| line(name, value))
            .sum();
        let usual: usize = how.usual.iter().map(|lines| lines.len()).sum();
        own + extra + usual
    }
}

fn push_header(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let start = out.len();
    out.extend_from_slice(value.as_bytes());
    for byte in &mut out[start..] {
        // Without a branch, so that many are looked at in one step.
        *byte = if is_value_byte(*byte) { *byte } else { b' ' };
    }
    out.extend_from_slice(b"\r\n");
}

fn push_decimal(out: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; 20]; // u64::MAX has so many
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// The status lines as they are sent; the reason may be empty (RFC 9112 §4), as for a code that is
/// not listed here.
fn push_status_line(out: &mut Vec<u8>, status: u16) {
    macro_rules! lines {
        ($($code:literal $reason:literal,)*) => {
            match status {
                $($code => Some(concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n")),)*
                _ => None,
            }
        };
    }
    let line = lines! {
        101 "Switching Protocols",
        200 "OK",
        201 "Created",
        202 "Accepted",
        204 "No Content",
        206 "Partial Content",
        301 "Moved Permanently",
        302 "Found",
        304 "Not Modified",
        307 "Temporary Redirect",
        308 "Permanent Redirect",
        400 "Bad Request",
        401 "Unauthorized",
        403 "Forbidden",
        404 "Not Found",
        405 "Method Not Allowed",
        406 "Not Acceptable",
        408 "Request Timeout",
        409 "Conflict",
        410 "Gone",
        411 "Length Required",
        412 "Precondition Failed",
        413 "Content Too Large",
        414 "URI Too Long",
        415 "Unsupported Media Type",
        416 "Range Not Satisfiable",
        417 "Expectation Failed",
        421 "Misdirected Request",
        422 "Unprocessable Content",
        426 "Upgrade Required",
        428 "Precondition Required",
        429 "Too Many Requests",
        431 "Request Header Fields Too Large",
        500 "Internal Server Error",
        501 "Not Implemented",
        502 "Bad Gateway",
        503 "Service Unavailable",
        504 "Gateway Timeout",
        505 "HTTP Version Not Supported",
    };
    match line {
        Some(line) => out.extend_from_slice(line.as_bytes()),
        None => {
            out.extend_from_slice(b"HTTP/1.1 ");
            push_decimal(out, usize::from(status));
            out.extend_from_slice(b" \r\n");
        }
    }
}
