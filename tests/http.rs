//! HTTP/1.1 on the wire: what well-behaved clients may do, and what nobody may.

mod support;

use std::collections::BTreeSet;
use std::net::Shutdown;
use std::time::Duration;

use serde_json::{Value, json};

use support::http::{Connection, LAST_CHUNK, chunk, head};
use support::server::Server;

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
