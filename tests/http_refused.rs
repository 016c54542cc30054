//! Requests that must be refused: ambiguous, too large, too slow, or of a foreign page.

mod support;

use std::time::{Duration, Instant};

use support::http::{chunk, head};
use support::server::Server;
use support::ws::Socket;
use support::{SOON, wait_until};

const CREATE: &str = r#"{"deviceId":"cam-1","userId":"ada"}"#;

/// Whatever leaves a message's length or its target open to doubt is refused, and the connection closed: the bytes
/// behind must not be taken for a request.
#[test]
fn every_smuggling_shape_is_refused_and_closes() {
    let server = Server::start(&[]);
    let host = server.http();
    let hidden = format!("GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let post = format!("POST /api/media/sessions HTTP/1.1\r\nHost: {host}\r\n");
    let get = format!("GET /health HTTP/1.1\r\nHost: {host}\r\n");
    let shapes: &[(&str, String)] = &[
        (
            "both lengths",
            format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "repeated length",
            format!("{post}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd"),
        ),
        (
            "list of lengths",
            format!("{post}Content-Length: 4, 4\r\n\r\nabcd"),
        ),
        (
            "signed length",
            format!("{post}Content-Length: +4\r\n\r\nabcd"),
        ),
        (
            "negative length",
            format!("{post}Content-Length: -1\r\n\r\n"),
        ),
        (
            "hexadecimal length",
            format!("{post}Content-Length: 0x4\r\n\r\nabcd"),
        ),
        ("empty length", format!("{post}Content-Length: \r\n\r\n")),
        (
            "huge length",
            format!("{post}Content-Length: 99999999999999999999\r\n\r\n"),
        ),
        (
            "gzip, chunked",
            format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "identity",
            format!("{post}Transfer-Encoding: identity\r\n\r\n"),
        ),
        (
            "chunked twice",
            format!(
                "{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            "odd chunked",
            format!("{post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "xchunked",
            format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunk size 0x",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n0x4\r\nabcd\r\n0\r\n\r\n"),
        ),
        (
            "chunk size +",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n+4\r\nabcd\r\n0\r\n\r\n"),
        ),
        (
            "chunk size overflow",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n11111111111111114\r\nabcd\r\n"),
        ),
        (
            "chunk with LF",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n4\nabcd\n0\n\n"),
        ),
        (
            "chunk too long",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n4\r\nabcdefgh\r\n0\r\n\r\n"),
        ),
        (
            "bare LF in head",
            format!("GET /health HTTP/1.1\nHost: {host}\n\n"),
        ),
        ("bare CR in head", format!("{get}X: a\rb\r\n\r\n")),
        ("NUL in head", format!("{get}X: a\0b\r\n\r\n")),
        ("folding", format!("{get}X: a\r\n b\r\n\r\n")),
        (
            "blank before colon",
            format!("{post}Content-Length : 4\r\n\r\nabcd"),
        ),
        ("two hosts", format!("{get}Host: other\r\n\r\n")),
        ("no host", "GET /health HTTP/1.1\r\n\r\n".to_owned()),
        (
            "two blanks",
            format!("GET  /health HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ),
        (
            "HTTP/2 preface",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        ),
        (
            "HTTP/1.2",
            format!("GET /health HTTP/1.2\r\nHost: {host}\r\n\r\n"),
        ),
        (
            "a TLS hello",
            "\x16\x03\x01\x02\0\x01\0\x01\u{3}\r\n\r\n".to_owned(),
        ),
        (
            "CONNECT",
            format!("CONNECT example.org:443 HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        ),
    ];
    for (name, bytes) in shapes {
        let mut connection = server.connect();
        connection.send(format!("{bytes}{hidden}")).expect("sent");
        let response = connection
            .try_response(false)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            matches!(response.status, 400 | 501 | 505),
            "{name}: {} {}",
            response.status,
            response.text()
        );
        assert!(
            response.json()["error"].is_string(),
            "{name}: {}",
            response.text()
        );
        assert!(
            connection.try_response(false).is_err(),
            "{name}: what was hidden behind it is answered"
        );
    }
}

#[test]
fn what_is_too_large_is_refused_as_soon_as_that_is_certain() {
    let server = Server::start(&[]);
    let host = server.http();
    let many = (0..101)
        .map(|i| format!("X-{i}: a\r\n"))
        .collect::<String>();
    for (bytes, status, code) in [
        (
            format!("GET /{} HTTP/1.1\r\n", "a".repeat(8 * 1024)),
            414,
            "target_too_long",
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nX: {}",
                "a".repeat(16 * 1024)
            ),
            431,
            "head_too_large",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n{many}"),
            431,
            "too_many_headers",
        ),
    ] {
        let mut connection = server.connect();
        connection.send(bytes).expect("sent");
        connection.response().expect_error(status, code);
        assert!(connection.closed_by_server());
    }
    // A body of which nobody says how long it is.
    let mut connection = server.connect();
    let mut request = head(
        host,
        "POST",
        "/api/media/sessions",
        &[("Transfer-Encoding", "chunked")],
    );
    request.extend(b"\r\n");
    connection.send(request).expect("sent");
    for _ in 0..40 {
        if connection.send(chunk(&[b' '; 8 * 1024])).is_err() {
            break;
        }
    }
    connection.response().expect_error(413, "body_too_large");
}

#[test]
fn slow_requests_are_given_up() {
    let timeouts = [
        "--set",
        "http.head_timeout=500ms",
        "--set",
        "http.body_timeout=500ms",
        "--set",
        "http.idle_timeout=1s",
    ];
    let server = Server::start(&timeouts);
    let before = server.footprint();

    let mut never = server.connect();
    let mut head_stops = server.connect();
    head_stops
        .send("GET /health HTTP/1.1\r\nHost: ")
        .expect("sent");
    let mut body_stops = server.connect();
    let request = format!(
        "POST /api/media/sessions HTTP/1.1\r\nHost: {}\r\nContent-Length: 50\r\n\r\n{{",
        server.http()
    );
    body_stops.send(request).expect("sent");
    let mut idle = server.connect();
    idle.request("GET", "/health", &[], b"").expect(200);

    head_stops.response().expect(408);
    assert!(head_stops.closed_by_server());
    body_stops.response().expect_error(408, "request_timeout");
    assert!(body_stops.closed_by_server());
    assert!(idle.closed_by_server());
    assert!(never.closed_by_server());
    server.wait_nothing_left(&before);
}

#[test]
fn one_byte_a_second_does_not_hold_a_head_open() {
    let server = Server::start(&["--set", "http.head_timeout=1s"]);
    let mut connection = server.connect();
    let begin = Instant::now();
    wait_until(SOON, "the server gives up", || {
        std::thread::sleep(Duration::from_millis(100));
        connection.send("G").is_err() || !connection.poll().is_ok_and(|bytes| bytes.is_empty())
    });
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn a_foreign_page_cannot_use_the_viewers_loopback() {
    let server = Server::start(&[]);
    let own = format!("http://{}", server.http());
    let mut connection = server.connect();
    connection
        .request(
            "POST",
            "/api/media/sessions",
            &[("Origin", &own)],
            CREATE.as_bytes(),
        )
        .expect(201);
    for (name, value) in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Host", "evil.example"),
        ("Host", "evil.example:30006"),
    ] {
        let mut connection = server.connect();
        let response = connection.request(
            "POST",
            "/api/media/sessions",
            &[(name, value)],
            CREATE.as_bytes(),
        );
        response.expect_error(403, "foreign_origin");
        let mut connection = server.connect();
        connection
            .request("GET", "/api/media/devices", &[(name, value)], b"")
            .expect_error(403, "foreign_origin");
    }
    let target = "/api/media/ws?deviceId=cam-1&userId=ada";
    let refused = Socket::try_open(server.http(), target, &[("Origin", "https://evil.example")]);
    assert_eq!(refused.err().map(|refused| refused.status), Some(403));
    assert!(Socket::try_open(server.http(), target, &[("Origin", &own)]).is_ok());
}
