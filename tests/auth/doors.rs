//! Where the server listens, and by which name it is asked.

use tempfile::NamedTempFile;

use super::support::http;
use super::support::server::run_to_end;
use super::support::tokens::{SECRET, config, path, start, token, with_secret};

#[test]
fn metrics_have_a_listener_of_their_own_that_has_nothing_else() {
    let file = config(&format!(
        "jwt_secret = '{SECRET}'\n[metrics]\nlisten = ['127.0.0.1:0']"
    ));
    let server = start(&file);
    let [address] = *server.scraped_at() else {
        panic!("one address is bound: {:?}", server.scraped_at());
    };
    let ask = |method: &str, target: &str| http::request(address, method, target, &[], b"");
    let text = ask("GET", "/metrics").expect(200).text();
    for shard in ["0", "1"] {
        let up = format!("media_shard_up{{shard=\"{shard}\"}} 1");
        assert!(text.contains(&up), "{up}");
    }
    for probe in ["/health", "/health/live", "/health/ready"] {
        ask("GET", probe).expect(200);
    }
    let admin = format!(
        "Bearer {}",
        token(&file, &["--sub", "a", "--role", "admin"])
    );
    let admin = [("Authorization", admin.as_str())];
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/openapi.json"),
        ("GET", "/api/media/devices"),
        ("POST", "/api/v1/users/login"),
        ("PUT", "/api/media/devices/cam-1/video"),
        ("GET", "/ws?room_id=1"),
    ] {
        let refused = http::request(address, method, target, &admin, b"");
        refused.expect_error(404, "not_found");
    }
    // Elsewhere they want a token still; and a name that was pointed here is nobody's.
    server.get("/metrics").expect_error(401, "no_token");
    let mut rebound = http::Connection::open(address);
    rebound
        .send("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        .expect("the server reads");
    rebound.response().expect_error(403, "foreign_origin");
}

/// Where a token is asked for, a name that is not the server's own is no way in, and a page of another origin reads
/// nothing unless it is listed.
#[test]
fn with_authentication_any_host_may_ask_and_cors_stays() {
    let file = with_secret();
    let server = start(&file);
    let token = token(&file, &["--sub", "ada"]);
    let bearer = format!("Bearer {token}");
    let headers = [
        ("Host", "media.example.com"),
        ("Origin", "https://web.example"),
        ("Authorization", bearer.as_str()),
    ];
    let mut connection = server.connect();
    let mut head = http::head(server.http(), "GET", "/api/v1/users/me", &headers);
    head.extend(b"\r\n");
    connection.send(head).expect("a server that reads");
    let response = connection.response().expect(200);
    assert_eq!(response.header("Access-Control-Allow-Origin"), None);
}

/// With authentication an address that others reach needs no `--insecure`.
#[test]
fn a_secret_makes_a_public_address_safe() {
    let check = |file: &NamedTempFile| {
        let listen = ["--check-config", "--listen", "192.0.2.7:80"];
        run_to_end(&[&listen[..], &["--config", path(file)]].concat())
    };
    let (status, stdout, stderr) = check(&with_secret());
    assert!(status.success(), "{stderr}");
    assert_eq!(stdout, "ok\n");
    let (status, _, stderr) = check(&config(""));
    assert_eq!(status.code(), Some(2));
    assert!(stderr.contains("nobody is authenticated"), "{stderr}");
}
