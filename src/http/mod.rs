//! HTTP/1.1 as a state machine without input or output.
//!
//! [`Decoder`] turns the bytes of one connection into [`Event`]s, [`Response`] turns an answer into
//! bytes, and neither knows sockets or clocks. Both directions are strict: whatever leaves the
//! length of a message open to doubt is refused before a byte of its body is read (request
//! smuggling, RFC 9112 §11.2), and no value can end a header line early (response splitting,
//! RFC 9112 §11.1).
//!
//! ```text
//! bytes ─ Decoder ─ head scan (grammar, bounds) ─ httparse ─ Request
//!            └───── length or chunks ──────────── Data … End
//! ```

mod authority;
mod chunked;
mod date;
mod decoder;
mod error;
mod headers;
mod origin;
pub mod query;
mod request;
mod response;
pub mod routes;
mod scan;
mod security;
#[cfg(test)]
mod tests;

pub use date::HttpDate;
pub use decoder::{Decoder, Event};
pub use error::RequestError;
pub use headers::Headers;
pub use origin::{OriginPolicy, OriginVerdict, preflight};
pub use request::{BodyLength, Method, Request, Version};
pub use response::{CONTINUE, Framing, Response};
pub use security::SecurityHeaders;

/// Header lines that a head can have whatever the configuration says: their slots are on the stack
/// while a head is parsed, 32 B each.
pub const MAX_HEADERS: usize = 128;

/// What a request head may measure. The defaults are those of nginx and Apache, so that a request
/// which came through a usual proxy also passes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes from the first of the request line to the last of the blank line (default 16 KiB).
    pub head_bytes: usize,
    /// Header lines, and as many trailer lines (default 100, at most [`MAX_HEADERS`]).
    pub headers: usize,
    /// Bytes of the request target as it was sent (default 8 KiB).
    pub target_bytes: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head_bytes: 16 * 1024,
            headers: 100,
            target_bytes: 8 * 1024,
        }
    }
}
