//! What can be wrong with the bytes of a request.

use thiserror::Error;

/// A request that cannot be served because of how it was written. The sentence is meant for whoever
/// wrote the client. Nothing more is read from the connection: after most of these nobody can say
/// where the next request would begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// More bytes than the head may have, and no end of it.
    #[error("the request head is longer than {limit} bytes; send fewer or shorter headers")]
    HeadTooLarge {
        /// The bound in bytes.
        limit: usize,
    },
    /// One header or trailer line too many.
    #[error("the request has more than {limit} header lines")]
    TooManyHeaders {
        /// The bound in lines.
        limit: usize,
    },
    /// The target does not end within its bound.
    #[error("the request target is longer than {limit} bytes; send long values in the body")]
    TargetTooLong {
        /// The bound in bytes.
        limit: usize,
    },
    /// No method is that long (RFC 9110 §15.6.2).
    #[error("the request method is longer than {limit} bytes, so it is none that this server has")]
    MethodTooLong {
        /// The bound in bytes.
        limit: usize,
    },
    /// CONNECT: this server is no proxy.
    #[error("CONNECT is not supported: this server is not a proxy")]
    Connect,
    /// A version other than 1.0 and 1.1.
    #[error("only HTTP/1.1 and HTTP/1.0 are spoken here")]
    UnsupportedVersion,
    /// The preface of HTTP/2 with prior knowledge (RFC 9113 §3.4).
    #[error("this port speaks HTTP/1.1, not HTTP/2; tell the client or the proxy to use HTTP/1.1")]
    Http2,
    /// A TLS handshake.
    #[error(
        "this port speaks plain HTTP, but a TLS handshake arrived; use http:// and not https://"
    )]
    Tls,
    /// Not `METHOD SP target SP version CRLF` (RFC 9112 §3).
    #[error("the request line is not of the form \"METHOD target HTTP/1.1\" with single blanks")]
    BadRequestLine,
    /// A target in none of the forms of RFC 9112 §3.2, or with a byte that must be encoded.
    #[error(
        "the request target must be a path that begins with \"/\" or an http:// address, with \
         everything but visible ASCII percent-encoded and without a fragment"
    )]
    BadTarget,
    /// CR without LF or LF without CR.
    #[error("a line ends with CR or LF alone; every line of a request must end with CRLF")]
    BareLineEnd,
    /// NUL or another control character in a header.
    #[error("a header contains a control character")]
    ControlCharacter,
    /// A line that begins with a blank (obsolete folding, RFC 9112 §5.2).
    #[error("a header line begins with a blank; folded headers are obsolete and refused")]
    FoldedHeader,
    /// A blank between a header's name and its colon (RFC 9112 §5.1).
    #[error("a blank stands between a header's name and its colon")]
    BlankBeforeColon,
    /// A header line without a colon, without a name, or with a byte that no name may have.
    #[error("a header line is not of the form \"Name: value\"")]
    BadHeaderName,
    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    #[error("the Host header is missing; HTTP/1.1 requires it")]
    MissingHost,
    /// Two Host headers.
    #[error("the Host header was sent more than once")]
    RepeatedHost,
    /// A Host that is not `host[:port]`.
    #[error("the Host header is not of the form \"host\" or \"host:port\"")]
    BadHost,
    /// A target in absolute form that names another host than Host does.
    #[error("the request target names another host than the Host header")]
    HostMismatch,
    /// A Content-Length that is not one run of digits below 2⁶⁴.
    #[error("Content-Length is not a plain decimal number")]
    BadContentLength,
    /// Two of them, equal or not.
    #[error("Content-Length was sent more than once")]
    RepeatedContentLength,
    /// Both ways to say where the body ends (RFC 9112 §6.1).
    #[error("Content-Length and Transfer-Encoding were both sent; send one of them")]
    LengthAndChunked,
    /// Any coding but the plain word `chunked`.
    #[error("the only Transfer-Encoding that this server has is \"chunked\", in these letters")]
    UnsupportedTransferEncoding,
    /// Two Transfer-Encoding lines.
    #[error("Transfer-Encoding was sent more than once")]
    RepeatedTransferEncoding,
    /// HTTP/1.0 has no chunked bodies (RFC 9112 §6.1).
    #[error("Transfer-Encoding was sent with HTTP/1.0, which does not have it")]
    TransferEncodingInHttp10,
    /// An `Expect` other than `100-continue` (RFC 9110 §10.1.1).
    #[error("the only expectation that this server can meet is \"100-continue\"")]
    UnsupportedExpectation,
    /// A chunk size that is not 1 to 16 hexadecimal digits, or a chunk that does not end with CRLF.
    #[error("the chunked body is malformed: a chunk is its size in hexadecimal, CRLF, data, CRLF")]
    BadChunk,
    /// Chunk extensions past their bound over the whole body (RFC 9112 §7.1.1).
    #[error("the chunk extensions of the body are longer than {limit} bytes")]
    ChunkExtensionsTooLong {
        /// The bound in bytes.
        limit: usize,
    },
    /// Trailers past their bound.
    #[error("the trailers of the body are longer than {limit} bytes")]
    TrailersTooLong {
        /// The bound in bytes.
        limit: usize,
    },
}

impl RequestError {
    /// The HTTP status to answer with before the connection is closed.
    pub fn status(&self) -> u16 {
        self.answer().0
    }

    /// The machine's word for the error, stable over versions.
    pub fn code(&self) -> &'static str {
        self.answer().1
    }

    fn answer(&self) -> (u16, &'static str) {
        match self {
            Self::HeadTooLarge { .. } => (431, "head_too_large"),
            Self::TooManyHeaders { .. } => (431, "too_many_headers"),
            Self::TargetTooLong { .. } => (414, "target_too_long"),
            Self::MethodTooLong { .. } => (501, "method_too_long"),
            Self::Connect => (501, "connect_not_supported"),
            Self::UnsupportedVersion => (505, "unsupported_version"),
            Self::Http2 => (400, "http2_not_supported"),
            Self::Tls => (400, "tls_on_plain_port"),
            Self::BadRequestLine => (400, "bad_request_line"),
            Self::BadTarget => (400, "bad_target"),
            Self::BareLineEnd => (400, "bare_line_end"),
            Self::ControlCharacter => (400, "control_character"),
            Self::FoldedHeader => (400, "folded_header"),
            Self::BlankBeforeColon => (400, "blank_before_colon"),
            Self::BadHeaderName => (400, "bad_header"),
            Self::MissingHost => (400, "missing_host"),
            Self::RepeatedHost => (400, "repeated_host"),
            Self::BadHost => (400, "bad_host"),
            Self::HostMismatch => (400, "host_mismatch"),
            Self::BadContentLength => (400, "bad_content_length"),
            Self::RepeatedContentLength => (400, "repeated_content_length"),
            Self::LengthAndChunked => (400, "length_and_chunked"),
            Self::UnsupportedTransferEncoding => (501, "unsupported_transfer_encoding"),
            Self::RepeatedTransferEncoding => (400, "repeated_transfer_encoding"),
            Self::TransferEncodingInHttp10 => (400, "transfer_encoding_in_http10"),
            Self::UnsupportedExpectation => (417, "unsupported_expectation"),
            Self::BadChunk => (400, "bad_chunk"),
            Self::ChunkExtensionsTooLong { .. } => (400, "chunk_extensions_too_long"),
            Self::TrailersTooLong { .. } => (431, "trailers_too_long"),
        }
    }
}
