//! HTTP/1.1 on the wire: what well-behaved clients may do, and what nobody may.

mod support;

use std::collections::BTreeSet;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::http::{Connection, LAST_CHUNK, chunk, head};
use support::server::Server;
use support::ws::Socket;
use support::{SOON, wait_until};

const CREATE: &str = r#"{"deviceId":"cam-1","userId":"ada"}"#;

#[test]
fn health_and_probes_answer() {
    let server = Server::start(&[]);
    let health = server.get("/health").expect(200);
    assert_eq!(
        health.json(),
        json!({"service": "media-service", "status": "ok"})
    );
    assert_eq!(health.header("Content-Type"), Some("application/json"));
    for probe in ["/health/live", "/health/ready"] {
        server.get(probe).expect(200);
    }
}

#[test]
fn the_page_and_its_files_are_served() {
    let server = Server::start(&[]);
    let page = server.get("/").expect(200);
    assert!(
        page.header("Content-Type")
            .is_some_and(|kind| kind.starts_with("text/html"))
    );
    let policy = page
        .header("Content-Security-Policy")
        .expect("a policy against foreign scripts");
    assert!(policy.contains("script-src 'self'"), "{policy}");
    let text = page.text();
    let files: BTreeSet<&str> = text
        .split(['"', '\''])
        .filter(|part| part.ends_with(".js") || part.ends_with(".css"))
        .collect();
    assert!(!files.is_empty(), "{text}");
    for file in files {
        let file = format!("/{}", file.trim_start_matches(['.', '/']));
        let response = server.get(&file).expect(200);
        let tag = response
            .header("ETag")
            .expect("a tag to ask again with")
            .to_owned();
        let mut connection = server.connect();
        let again = connection.request("GET", &file, &[("If-None-Match", &tag)], b"");
        assert_eq!((again.status, again.body.len()), (304, 0), "{file}");
    }
}

#[test]
fn the_openapi_document_names_every_route_that_answers() {
    let server = Server::start(&[]);
    let document = server.get("/openapi.json").expect(200).json();
    let paths = document["paths"].as_object().expect("paths");
    for (path, operations) in paths {
        let target = path.replace("{id}", "00000000-0000-4000-8000-000000000000");
        let response = server.connect().request("PATCH", &target, &[], b"");
        let sentence = response.clone().expect_error(405, "method_not_allowed");
        assert!(sentence.contains("PATCH"), "{sentence}");
        let allow: BTreeSet<String> = response
            .header("Allow")
            .expect("405 carries Allow")
            .split(", ")
            .map(str::to_lowercase)
            .collect();
        let methods = ["get", "put", "post", "delete"]
            .into_iter()
            .filter(|method| !operations[method].is_null());
        for method in methods {
            assert!(
                allow.contains(method),
                "{path}: {method} is documented, but {allow:?} allowed"
            );
        }
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let server = Server::start(&[]);
    for path in [
        "/nothing",
        "/api",
        "/api/media/sessions/",
        "/health/",
        "/api/media/sessions/a/b/c",
        "//",
        "/%2e%2e/etc/passwd",
        "/js/../app.css",
    ] {
        let response = server.get(path);
        assert_eq!(response.status, 404, "{path}: {}", response.text());
        response.expect_error(404, "not_found");
    }
}

#[test]
fn head_answers_like_get_without_the_body() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    for path in ["/health", "/", "/openapi.json", "/api/media/devices"] {
        let get = connection.request("GET", path, &[], b"");
        let head = connection.request("HEAD", path, &[], b"");
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        assert_eq!(
            head.header("Content-Length"),
            get.header("Content-Length"),
            "{path}"
        );
        assert_eq!(
            head.header("Content-Type"),
            get.header("Content-Type"),
            "{path}"
        );
    }
}

#[test]
fn request_ids_are_echoed_or_made() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let echoed = connection.request(
        "GET",
        "/health",
        &[("X-Request-Id", "from-the-proxy/42")],
        b"",
    );
    assert_eq!(echoed.header("X-Request-Id"), Some("from-the-proxy/42"));
    let mut made = BTreeSet::new();
    for sent in [
        None,
        Some("x".repeat(129)),
        Some("with blank".into()),
        Some("\u{e9}".into()),
    ] {
        let headers: Vec<(&str, &str)> = sent
            .iter()
            .map(|id| ("X-Request-Id", id.as_str()))
            .collect();
        let response = connection.request("GET", "/nothing", &headers, b"");
        let id = response
            .header("X-Request-Id")
            .expect("always there")
            .to_owned();
        assert_ne!(Some(&id), sent.as_ref());
        assert_eq!(
            response.json()["requestId"],
            id.as_str(),
            "the body names it too"
        );
        made.insert(id);
    }
    assert_eq!(made.len(), 4, "each request has its own");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(&["--shards", "1"]);
    let mut connection = server.connect();
    let mut bytes = Vec::new();
    for i in 0..50 {
        let id = format!("request-{i}");
        bytes.extend(head(
            server.http(),
            "GET",
            "/health",
            &[("X-Request-Id", &id)],
        ));
        bytes.extend(b"\r\n");
    }
    connection.send(bytes).expect("the server reads");
    for i in 0..50 {
        let response = connection.response().expect(200);
        assert_eq!(
            response.header("X-Request-Id"),
            Some(format!("request-{i}").as_str())
        );
    }
}

#[test]
fn a_request_may_come_in_any_pieces() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let mut request = head(
        server.http(),
        "POST",
        "/api/media/sessions",
        &[("Transfer-Encoding", "chunked")],
    );
    request.extend(b"\r\n");
    for byte in CREATE.bytes() {
        request.extend(chunk(&[byte]));
    }
    request.extend(LAST_CHUNK);
    for byte in request {
        connection.send([byte]).expect("the server reads");
    }
    connection.response().expect(201);
    // And the connection goes on.
    connection.request("GET", "/health", &[], b"").expect(200);
}

#[test]
fn the_body_is_asked_for_when_the_client_waits() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    let length = CREATE.len().to_string();
    let headers = [
        ("Expect", "100-continue"),
        ("Content-Length", length.as_str()),
    ];
    let mut request = head(server.http(), "POST", "/api/media/sessions", &headers);
    request.extend(b"\r\n");
    connection.send(&request).expect("the server reads");
    assert_eq!(connection.response().status, 100);
    connection.send(CREATE).expect("the server reads");
    connection.response().expect(201);

    // What will be refused anyway is refused without its body.
    let headers = [("Expect", "100-continue"), ("Content-Length", "1000000")];
    let mut request = head(server.http(), "POST", "/api/media/sessions", &headers);
    request.extend(b"\r\n");
    connection.send(request).expect("the server reads");
    connection.response().expect_error(413, "body_too_large");
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let server = Server::start(&[]);
    let mut connection = server.connect();
    connection
        .send("GET /health HTTP/1.0\r\n\r\n")
        .expect("the server reads");
    let response = connection.response().expect(200);
    assert_eq!(response.header("Connection"), Some("close"));
    assert!(connection.closed_by_server());

    let mut connection = server.connect();
    connection
        .request("GET", "/health", &[("Connection", "close")], b"")
        .expect(200);
    assert!(connection.closed_by_server());
}

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

#[test]
fn a_listed_origin_may_ask() {
    let server = Server::start(&["--set", "http.cors_origins=https://console.example"]);
    let origin = ("Origin", "https://console.example");
    let mut connection = server.connect();
    let asked = [
        origin,
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type"),
    ];
    let preflight = connection
        .request("OPTIONS", "/api/media/sessions", &asked, b"")
        .expect(204);
    assert_eq!(
        preflight.header("Access-Control-Allow-Origin"),
        Some(origin.1)
    );
    assert!(
        preflight
            .header("Access-Control-Allow-Methods")
            .is_some_and(|methods| methods.contains("POST"))
    );
    assert!(
        preflight
            .header("Access-Control-Allow-Headers")
            .is_some_and(|names| names.to_lowercase().contains("content-type"))
    );
    let response = connection
        .request("POST", "/api/media/sessions", &[origin], CREATE.as_bytes())
        .expect(201);
    assert_eq!(
        response.header("Access-Control-Allow-Origin"),
        Some(origin.1)
    );
    assert!(
        response
            .header("Vary")
            .is_some_and(|vary| vary.contains("Origin"))
    );
}

#[test]
fn requests_are_counted_by_their_routes_template() {
    let server = Server::start(&[]);
    let created = server.create_session("cam-1", "ada");
    let path = format!(
        "/api/media/sessions/{}",
        created["sessionId"].as_str().expect("an id")
    );
    for _ in 0..3 {
        server.get(&path).expect(200);
    }
    server.get("/no/such/path/4711").expect(404);
    let metrics = server.metrics();
    let labels = [
        ("method", "GET"),
        ("path", "/api/media/sessions/{id}"),
        ("status", "200"),
    ];
    assert_eq!(metrics.get("media_http_requests_total", &labels), Some(3.0));
    assert_eq!(
        metrics.get("media_http_duration_seconds_count", &labels[..2]),
        Some(3.0)
    );
    let values: BTreeSet<&String> = metrics
        .samples
        .iter()
        .filter_map(|sample| sample.labels.get("path"))
        .collect();
    assert!(
        !values.iter().any(|path| path.contains("4711")),
        "{values:?}"
    );
    let buckets = metrics.matching("media_http_duration_seconds_bucket", &labels[..2]);
    let smallest = buckets
        .filter_map(|bucket| bucket.labels["le"].parse::<f64>().ok())
        .fold(f64::MAX, f64::min);
    assert!(smallest < 0.001, "the first bucket ends at {smallest} s");
}

#[test]
fn many_connections_come_and_go_without_a_trace() {
    let server = Server::start(&[]);
    let before = server.footprint();
    for round in 0..5 {
        let mut connections: Vec<Connection> = (0..40).map(|_| server.connect()).collect();
        for connection in &mut connections {
            let device: Value = connection
                .request("GET", "/api/media/devices", &[], b"")
                .expect(200)
                .json();
            assert_eq!(device, json!({"devices": []}), "round {round}");
        }
    }
    server.wait_nothing_left(&before);
}

/// The kernel reports the last bytes and the end behind them at once, and only once.
#[test]
fn the_end_of_a_stream_is_seen_right_behind_its_last_bytes() {
    let server = Server::start(&[]);
    for _ in 0..50 {
        let mut connection = server.connect();
        connection.deadline = Duration::from_secs(5); // the head would have 10 s
        connection
            .send("GET /health HTTP/1.1\r\nHost:")
            .expect("sent");
        connection
            .stream()
            .shutdown(Shutdown::Write)
            .expect("a socket");
        assert!(connection.closed_by_server());
    }
}
