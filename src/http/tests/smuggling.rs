//! Every shape that hides a request from a proxy in front, or from us behind one.

use super::*;

use RequestError::*;

/// Heads after `POST / HTTP/1.1\r\nHost: a\r\n`, with the blank line to come.
#[rustfmt::skip] // one case a line
const FRAMING: &[(&str, &str, RequestError)] = &[
    ("both lengths", "Content-Length: 4\r\nTransfer-Encoding: chunked", LengthAndChunked),
    ("both, the other way", "Transfer-Encoding: chunked\r\nContent-Length: 4", LengthAndChunked),
    ("both, unknown coding", "Transfer-Encoding: x\r\nContent-Length: 4", LengthAndChunked),
    ("two lengths", "Content-Length: 4\r\nContent-Length: 5", RepeatedContentLength),
    ("two equal lengths", "Content-Length: 4\r\ncontent-length: 4", RepeatedContentLength),
    ("a list of lengths", "Content-Length: 4, 4", BadContentLength),
    ("a list without blank", "Content-Length: 1,1", BadContentLength),
    ("two words", "Content-Length:  1 1", BadContentLength),
    ("plus", "Content-Length: +1", BadContentLength),
    ("minus", "Content-Length: -1", BadContentLength),
    ("hexadecimal", "Content-Length: 0x1", BadContentLength),
    ("fraction", "Content-Length: 1.0", BadContentLength),
    ("exponent", "Content-Length: 1e1", BadContentLength),
    ("underscore", "Content-Length: 1_0", BadContentLength),
    ("quoted", "Content-Length: \"1\"", BadContentLength),
    ("letter", "Content-Length: 1a", BadContentLength),
    ("digit of another script", "Content-Length: \u{661}", BadContentLength),
    ("empty", "Content-Length:", BadContentLength),
    ("2^64", "Content-Length: 18446744073709551616", BadContentLength),
    ("2^64 and more", "Content-Length: 99999999999999999999999", BadContentLength),
    ("identity", "Transfer-Encoding: identity", UnsupportedTransferEncoding),
    ("gzip first", "Transfer-Encoding: gzip, chunked", UnsupportedTransferEncoding),
    ("chunked first", "Transfer-Encoding: chunked, identity", UnsupportedTransferEncoding),
    ("chunked twice", "Transfer-Encoding: chunked, chunked", UnsupportedTransferEncoding),
    ("xchunked", "Transfer-Encoding: xchunked", UnsupportedTransferEncoding),
    ("chunkedx", "Transfer-Encoding: chunkedx", UnsupportedTransferEncoding),
    ("other case", "Transfer-Encoding: Chunked", UnsupportedTransferEncoding),
    ("parameter", "Transfer-Encoding: chunked;q=1", UnsupportedTransferEncoding),
    ("quoted coding", "Transfer-Encoding: \"chunked\"", UnsupportedTransferEncoding),
    ("comma", "Transfer-Encoding: chunked,", UnsupportedTransferEncoding),
    ("empty coding", "Transfer-Encoding:", UnsupportedTransferEncoding),
    ("two codings", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked", RepeatedTransferEncoding),
    ("vertical tab", "Transfer-Encoding: \x0bchunked", ControlCharacter),
    ("NUL in a value", "Transfer-Encoding: chunked\0", ControlCharacter),
    ("NUL in a name", "Transfer\0-Encoding: chunked", BadHeaderName),
    ("DEL in a value", "X: \x7f", ControlCharacter),
    ("escape in a value", "X: \x1b[0m", ControlCharacter),
    ("blank before the colon", "Transfer-Encoding : chunked", BlankBeforeColon),
    ("tab before the colon", "Content-Length\t: 4", BlankBeforeColon),
    ("folded", "Transfer-Encoding:\r\n chunked", FoldedHeader),
    ("folded with a tab", "X: y\r\n\tTransfer-Encoding: chunked", FoldedHeader),
    ("bare LF", "X: y\nTransfer-Encoding: chunked", BareLineEnd),
    ("bare LF after a name", "X\nTransfer-Encoding: chunked", BareLineEnd),
    ("bare CR", "X: y\rTransfer-Encoding: chunked", BareLineEnd),
    ("CR CR LF", "X: y\r\r\nTransfer-Encoding: chunked", BareLineEnd),
    ("blank line of LF", "X: y\r\n\nGET / HTTP/1.1", BareLineEnd),
    ("blank line of CR", "X: y\r\n\rGET / HTTP/1.1", BareLineEnd),
    ("no colon", "Transfer-Encoding", BadHeaderName),
    ("no name", ": chunked", BadHeaderName),
    ("name in another script", "Tr\u{e4}nsfer: x", BadHeaderName),
    ("name with a bracket", "X[]: y", BadHeaderName),
    ("two hosts", "Host: b", RepeatedHost),
    ("two equal hosts", "host: a", RepeatedHost),
    ("unknown expectation", "Expect: 200-ok", UnsupportedExpectation),
];

/// Whole heads.
#[rustfmt::skip] // one case a line
const HEADS: &[(&str, &str, RequestError)] = &[
    ("no host", "GET / HTTP/1.1\r\n\r\n", MissingHost),
    ("empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", BadHost),
    ("host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BadHost),
    ("host with a user", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", BadHost),
    ("list of hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", BadHost),
    ("host with a bad port", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", BadHost),
    ("host with a signed port", "GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n", BadHost),
    ("host with half a bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", BadHost),
    ("bad host on 1.0", "GET / HTTP/1.0\r\nHost: a b\r\n\r\n", BadHost),
    ("another host in the target", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", HostMismatch),
    ("another port in the target", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", HostMismatch),
    ("user in the target", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
    ("unknown scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
    ("no slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
    ("asterisk without OPTIONS", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
    ("more than an asterisk", "OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget),
    ("fragment", "GET /a#b HTTP/1.1", BadTarget),
    ("NUL in the target", "GET /a\0b HTTP/1.1", BadTarget),
    ("tab in the target", "GET /a\tb HTTP/1.1", BadTarget),
    ("raw bytes in the target", "GET /\u{fc} HTTP/1.1", BadTarget),
    ("CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", Connect),
    ("chunked on 1.0", "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncodingInHttp10),
    ("both on 1.0", "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", TransferEncodingInHttp10),
    ("HTTP/0.9", "GET /\r\n", BadRequestLine),
    ("HTTP/0.9 with LF", "GET /\n", BareLineEnd),
    ("HTTP/1.2", "GET / HTTP/1.2\r\n", UnsupportedVersion),
    ("HTTP/2.0", "GET / HTTP/2.0\r\n", UnsupportedVersion),
    ("HTTP/3.0", "GET / HTTP/3.0\r\n", UnsupportedVersion),
    ("small letters", "GET / http/1.1\r\n", BadRequestLine),
    ("two digits", "GET / HTTP/1.10\r\n", BadRequestLine),
    ("no version", "GET / \r\n", BadRequestLine),
    ("another protocol", "GET / ICAP/1.0\r\n", BadRequestLine),
    ("two blanks before the target", "GET  / HTTP/1.1\r\n", BadRequestLine),
    ("two blanks after the target", "GET /  HTTP/1.1\r\n", BadRequestLine),
    ("blank at the end", "GET / HTTP/1.1 \r\n", BadRequestLine),
    ("tab for a blank", "GET\t/ HTTP/1.1\r\n", BadRequestLine),
    ("blank at the start", " GET / HTTP/1.1\r\n", BadRequestLine),
    ("blank before the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", FoldedHeader),
    ("LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", BareLineEnd),
    ("CR after the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", BareLineEnd),
    ("two blank lines in front", "\r\n\r\nGET / HTTP/1.1\r\n", BadRequestLine),
    ("LF in front", "\nGET / HTTP/1.1\r\n", BareLineEnd),
    ("CR in front", "\rGET / HTTP/1.1\r\n", BareLineEnd),
    ("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Http2),
    ("HTTP/2 preface after a blank line", "\r\nPRI * HTTP/2.0\r\n", Http2),
    ("TLS", "\x16\x03\x01\x02\x00\x01", Tls),
    ("RTMP", "\x03\x00\x00", BadRequestLine),
    ("a response", "HTTP/1.1 200 OK\r\n", BadRequestLine),
];

/// Bodies after a head with `Transfer-Encoding: chunked`.
#[rustfmt::skip] // one case a line
const CHUNKS: &[(&str, &str, RequestError)] = &[
    ("0x", "0x5\r\n", BadChunk),
    ("plus", "+5\r\n", BadChunk),
    ("minus", "-5\r\n", BadChunk),
    ("blank in front", " 5\r\n", BadChunk),
    ("blank behind", "5 \r\n", BadChunk),
    ("tab behind", "5\t\r\n", BadChunk),
    ("blank before an extension", "5 ;a\r\n", BadChunk),
    ("no size", "\r\n", BadChunk),
    ("no size but an extension", ";a\r\n", BadChunk),
    ("underscore", "1_0\r\n", BadChunk),
    ("letter past f", "g\r\n", BadChunk),
    ("NUL", "5\0\r\n", BadChunk),
    ("17 digits", "00000000000000005\r\n", BadChunk),
    ("2^64", "10000000000000000\r\n", BadChunk),
    ("size with LF", "5\nhello", BadChunk),
    ("size with CR", "5\rhello", BadChunk),
    ("size with CR CR LF", "5\r\r\nhello", BadChunk),
    ("extension with LF", "5;a\nhello", BadChunk),
    ("extension with CR", "5;a\rb\r\nhello", BadChunk),
    ("extension with NUL", "5;\0\r\nhello", BadChunk),
    ("data with LF", "5\r\nhello\n0\r\n\r\n", BadChunk),
    ("data with CR", "5\r\nhello\r0\r\n\r\n", BadChunk),
    ("data that is longer", "5\r\nhello!\r\n", BadChunk),
    ("data that is shorter", "5\r\nhell\r\n0\r\n\r\n", BadChunk),
    ("last chunk with LF", "0\n\r\n", BadChunk),
    ("end with LF", "0\r\n\n", BareLineEnd),
    ("end with CR", "0\r\n\rG", BareLineEnd),
    ("trailer without a colon", "0\r\nGET / HTTP/1.1\r\n\r\n", BlankBeforeColon),
    ("trailer with LF", "0\r\nA: b\n\r\n", BareLineEnd),
    ("trailer with NUL", "0\r\nA: \0\r\n\r\n", ControlCharacter),
    ("folded trailer", "0\r\nA: b\r\n c\r\n\r\n", FoldedHeader),
];

#[test]
fn lengths_in_doubt_and_malformed_headers_are_refused() {
    for (name, lines, expected) in FRAMING {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
        assert_refused(name, &bytes, 0, *expected);
    }
}

#[test]
fn malformed_heads_are_refused() {
    for (name, bytes, expected) in HEADS {
        assert_refused(name, bytes, 0, *expected);
    }
}

#[test]
fn malformed_chunks_are_refused() {
    for (name, body, expected) in CHUNKS {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_refused(name, &format!("{head}{body}"), 1, *expected);
    }
}

/// No request but the first `heads` is seen before the error, however the bytes arrive.
fn assert_refused(name: &str, bytes: &str, heads: usize, expected: RequestError) {
    for size in [1, 2, 3, bytes.len()] {
        let seen = feed(HttpLimits::default(), bytes.as_bytes().chunks(size));
        assert_eq!(seen.last(), Some(&Seen::Error(expected)), "{name}");
        let accepted = seen
            .iter()
            .filter(|seen| matches!(seen, Seen::Head(_)))
            .count();
        assert_eq!(accepted, heads, "{name}");
        assert!(!seen.contains(&Seen::End), "{name}");
    }
    assert!(matches!(expected.status(), 400 | 417 | 501 | 505), "{name}");
}
