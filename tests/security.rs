//! Attacks over HTTP that no other test plays: hostile pages and names, paths, log lines, compressed bodies.

mod support;

use serde_json::{Value, json};
use support::server::Server;
use support::tokens::{SECRET, ask, path, token, with_secret};
use support::ws::Socket;
use support::{SOON, http, wait_until};

const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

const CREATE: &str = r#"{"deviceId":"cam-1","userId":"ada"}"#;

fn room(server: &Server) -> Value {
    let room = server.post_as("ann", "/api/v1/rooms", &json!({"title": "Morning"}));
    let id = room.expect(201).json()["id"].clone();
    let start = format!("/api/v1/rooms/{id}/start");
    server.post_as("ann", &start, &json!({})).expect(200);
    id
}

/// The three WebSockets that there are.
fn sockets(room: &Value) -> [String; 3] {
    [
        "/api/media/ws?deviceId=cam-1&userId=ada".to_owned(),
        "/api/media/devices/cam-1/ws".to_owned(),
        format!("/ws?room_id={room}&user_id=ada"),
    ]
}

/// A name that its owner points at this host once the page is loaded agrees with its own Origin: only that the name is
/// not the server's tells it apart.
#[test]
fn a_rebound_name_reaches_neither_http_nor_a_websocket() {
    let server = Server::start(&["--shards", "2"]);
    let room = room(&server);
    let port = server.http().port();
    for name in ["evil.example".to_owned(), format!("evil.example:{port}")] {
        let origin = format!("http://{name}");
        let rebound = [("Host", name.as_str()), ("Origin", origin.as_str())];
        let refused = |method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]| {
            let headers = [&rebound, headers].concat();
            let answer = http::request(server.http(), method, target, &headers, body);
            assert_eq!(answer.header("Access-Control-Allow-Origin"), None);
            answer.expect_error(403, "foreign_origin");
        };
        for target in ["/", "/metrics", "/api/media/devices", "/api/v1/rooms"] {
            refused("GET", target, &[], b"");
        }
        refused("POST", "/api/media/sessions", &[], CREATE.as_bytes());
        let video = [("Content-Type", "video/h264")];
        refused("PUT", "/api/media/devices/cam-1/video", &video, b"x");
        for target in sockets(&room) {
            refused("GET", &target, &UPGRADE, b"");
        }
    }
}

/// Its requests come with its Origin, or without one where they are as plain as a link's: those change nothing.
#[test]
fn a_hostile_page_is_refused_by_its_origin() {
    let server = Server::start(&["--shards", "2"]);
    let room = room(&server);
    for origin in [
        "https://evil.example",
        "null",
        "http://127.0.0.1",
        "http://localhost:1",
    ] {
        let page = [("Origin", origin)];
        let wanted = [
            page[0],
            ("Access-Control-Request-Method", "PUT"),
            ("Access-Control-Request-Headers", "content-type"),
        ];
        for target in [
            "/api/media/sessions",
            "/api/media/devices/cam-1/video",
            "/metrics",
        ] {
            let preflight = http::request(server.http(), "OPTIONS", target, &wanted, b"");
            for name in [
                "Origin",
                "Methods",
                "Headers",
                "Credentials",
                "Private-Network",
            ] {
                let name = format!("Access-Control-Allow-{name}");
                assert_eq!(preflight.header(&name), None, "{origin} {target}");
            }
        }
        // What needs no preflight: a form's POST.
        let form = [page[0], ("Content-Type", "text/plain")];
        let answer = http::request(
            server.http(),
            "POST",
            "/api/media/sessions",
            &form,
            CREATE.as_bytes(),
        );
        answer.expect_error(403, "foreign_origin");
        for target in sockets(&room) {
            let refused = Socket::try_open(server.http(), &target, &page).err();
            let refused = refused.unwrap_or_else(|| panic!("{origin} has opened {target}"));
            assert_eq!(
                (refused.status, &refused.body["code"]),
                (403, &json!("foreign_origin"))
            );
        }
    }
    assert_eq!(
        server.metrics().get("media_active_sessions", &[]),
        Some(0.0)
    );
}

/// With a token nothing is asked of Host and Origin, but no page has one: without it the same requests are refused.
#[test]
fn with_authentication_a_hostile_page_has_no_token() {
    let file = with_secret();
    let server = support::tokens::start(&file);
    for target in sockets(&json!(1)) {
        let refused = Socket::try_open(
            server.http(),
            &target,
            &[("Origin", "https://evil.example")],
        );
        let refused = refused.err().expect("no token, no socket");
        assert_eq!(
            (refused.status, &refused.body["code"]),
            (401, &json!("no_token"))
        );
    }
}

#[test]
fn no_spelling_of_a_path_is_a_way_around() {
    let file = with_secret();
    let server = support::tokens::start(&file);
    let host = server.http();
    let targets = [
        "//metrics".to_owned(),
        "/./metrics".to_owned(),
        "/health/../metrics".to_owned(),
        "/health/%2e%2e/metrics".to_owned(),
        "/health%2f..%2fmetrics".to_owned(),
        "/health/..%2fmetrics".to_owned(),
        "/health/..;/metrics".to_owned(),
        "/health;/metrics".to_owned(),
        "/metrics/".to_owned(),
        "/metrics%00".to_owned(),
        "/metrics%20".to_owned(),
        "/METRICS".to_owned(),
        "/%6detrics".to_owned(),
        "/%25%36detrics".to_owned(),
        "/metrics%3f".to_owned(),
        "/%c0%ae%c0%ae/metrics".to_owned(),
        "/js/../../etc/passwd".to_owned(),
        "/js/%2e%2e/%2e%2e/etc/passwd".to_owned(),
        "/js/..%5c..%5cetc/passwd".to_owned(),
        "/js\\..\\app.css".to_owned(),
        "/etc/passwd".to_owned(),
        "/JS/APP.JS".to_owned(),
        "/%2e/app.css".to_owned(),
        "/app.css/".to_owned(),
        "//app.css".to_owned(),
        "/api/media/devices/cam-1%2fvideo".to_owned(),
        "/api/media/devices/..%2f..%2fmetrics".to_owned(),
        "/api/media/sessions/%2e%2e/%2e%2e/metrics".to_owned(),
        format!("/{}", "../".repeat(1_000)),
        format!("/{}", "%2e".repeat(2_000)),
        format!("http://{host}/metrics"),
        "http://evil.example/metrics".to_owned(),
        "http://evil.example@127.0.0.1/metrics".to_owned(),
        "metrics".to_owned(),
        "\\metrics".to_owned(),
        "/metrics#/health".to_owned(),
        "/health#/metrics".to_owned(),
    ];
    for target in targets {
        for method in ["GET", "HEAD"] {
            let mut connection = server.connect();
            let answer = connection.request(method, &target, &[], b"");
            let refused = matches!(answer.status, 400 | 401 | 404 | 414);
            assert!(
                refused,
                "{method} {target}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
    let raw = b"GET /metrics\0/health HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut connection = server.connect();
    connection.send(raw).expect("the server reads");
    connection.response().expect(400);
}

/// Whoever names something writes into the log. Every line stays one object of the server's own.
#[test]
fn nothing_from_outside_writes_a_log_line_of_its_own() {
    let file = with_secret();
    let server = Server::start(&[
        "--shards",
        "1",
        "--config",
        path(&file),
        "--log-level",
        "trace",
    ]);
    let forged = "x\",\"forged\":\"yes\u{85}\u{2028}";
    let lines = format!("{forged}\n{{\"forged\":\"yes\"}}\r\u{1b}[2J");
    let admin = token(&file, &["--sub", "root", "--role", "admin"]);
    let encoded: String = lines.bytes().map(|byte| format!("%{byte:02x}")).collect();

    for target in [
        format!("/{encoded}"),
        format!("/api/media/devices/{encoded}"),
        format!("/api/media/sessions/{encoded}"),
        format!("/api/v1/rooms/{encoded}"),
        format!("/api/media/sessions?deviceId={encoded}"),
        format!("/api/v1/rooms?cursor={encoded}"),
        format!("/api/media/ws?deviceId={encoded}&userId={encoded}"),
        format!("/ws?room_id={encoded}&user_id={encoded}"),
    ] {
        let answer = ask(&server, "GET", &target, &admin, None);
        assert!(answer.status >= 400, "{target}: {}", answer.status);
    }
    let bearer = format!("Bearer {admin}");
    for (name, value) in [
        ("User-Agent", forged),
        ("X-Request-Id", forged),
        ("X-User-Id", forged),
        ("traceparent", forged),
        ("X-Forwarded-For", forged),
        ("Forwarded", forged),
        ("Content-Type", forged),
        ("Content-Encoding", forged),
        ("Origin", forged),
        ("Referer", forged),
        ("Authorization", forged),
    ] {
        let headers = [(name, value), ("Authorization", bearer.as_str())];
        let body = br#"{"title":"Morning"}"#;
        http::request(server.http(), "POST", "/api/v1/rooms", &headers, body);
    }
    let post = |target: &str, body: Value| ask(&server, "POST", target, &admin, Some(body));
    post("/api/v1/rooms", json!({"title": lines})).expect_error(400, "bad_body");
    post("/api/v1/rooms", json!({"title": "x\",\"forged\":\"yes"})).expect(201);
    post(
        "/api/media/sessions",
        json!({"deviceId": lines, "userId": lines}),
    )
    .expect(400);
    post(
        "/api/v1/users",
        json!({"username": lines, "password": "correct horse"}),
    )
    .expect(400);
    post(
        "/api/v1/users/login",
        json!({"username": lines, "password": lines}),
    )
    .expect(400);
    // A sub that is no id, with a good signature.
    let claims = json!({"sub": lines, "exp": 4_000_000_000_u64, "role": "admin"});
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let signed = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key);
    ask(&server, "GET", "/metrics", &signed.expect("a token"), None)
        .expect_error(401, "invalid_token");
    // What a client says over a socket.
    let mut socket = Socket::open(
        server.http(),
        &format!("/api/media/ws?deviceId=cam-1&token={admin}"),
    );
    socket.send(&json!({"type": "answer", "sdp": lines}));
    socket.send(&json!({"type": "ice-candidate", "candidate": lines}));
    socket.send(&json!({"type": lines}));
    for _ in 0..3 {
        socket.expect("error");
    }

    // The log has a thread of its own.
    server.get("/the-last-line");
    wait_until(SOON, "the log", || {
        server.log().text().contains("/the-last-line")
    });
    let text = server.log().text();
    let (entries, written) = (server.log().entries(), text.lines().count());
    assert_eq!(entries.len(), written, "each line is an object: {text}");
    assert!(entries.len() > 20, "there is something to look at");
    for entry in entries {
        assert!(
            entry["timestamp"].is_string() && entry["level"].is_string(),
            "{entry}"
        );
        assert!(entry["forged"].is_null(), "{entry}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
}

/// Nothing is unpacked, so nothing small becomes large; and nothing is packed, so no length tells what is in it.
#[test]
fn compression_is_neither_taken_nor_offered() {
    let server = Server::start(&["--shards", "1"]);
    for coding in ["gzip", "deflate", "br", "zstd", "identity, gzip", "x"] {
        let headers = [
            ("Content-Encoding", coding),
            ("Content-Type", "application/json"),
        ];
        let answer = http::request(
            server.http(),
            "POST",
            "/api/media/sessions",
            &headers,
            CREATE.as_bytes(),
        );
        assert_eq!(answer.header("Accept-Encoding"), Some("identity"));
        answer.expect_error(415, "content_encoding");
        let headers = [("Content-Encoding", coding), ("Content-Type", "video/h264")];
        let target = "/api/media/devices/cam-1/video";
        let answer = http::request(server.http(), "PUT", target, &headers, b"\x1f\x8b");
        answer.expect_error(415, "content_encoding");
    }
    let headers = [("Content-Encoding", "identity")];
    http::request(
        server.http(),
        "POST",
        "/api/media/sessions",
        &headers,
        CREATE.as_bytes(),
    )
    .expect(201);

    for target in [
        "/",
        "/js/app.js",
        "/openapi.json",
        "/metrics",
        "/api/media/devices",
    ] {
        let plain = server.get(target).expect(200);
        let wish = [("Accept-Encoding", "gzip, deflate, br, zstd, *")];
        let answer = http::request(server.http(), "GET", target, &wish, b"").expect(200);
        assert_eq!(answer.header("Content-Encoding"), None, "{target}");
        if target != "/metrics" {
            assert_eq!(answer.body, plain.body, "{target}");
        }
    }
}

/// A row of docs/security.md is worth what its test is.
#[test]
fn the_tests_that_the_documentation_names_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/security.md")).expect("the page");
    let mut named = 0;
    for reference in page.split('`').skip(1).step_by(2) {
        let (file, test) = reference.split_once("::").unwrap_or((reference, ""));
        if !file.ends_with(".rs") {
            continue;
        }
        let source = std::fs::read_to_string(root.join(file));
        let source = source.unwrap_or_else(|fault| panic!("{file}: {fault}"));
        let is_there = test.is_empty() || source.contains(&format!("fn {test}("));
        assert!(is_there, "{file} has no {test}");
        named += 1;
    }
    assert!(named > 40, "{named}");
}
