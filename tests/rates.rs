//! Rates over real sockets, on a server with several shards.

mod support;

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use support::http::{self, Response};
use support::server::Server;
use support::{SOON, wait_until};
use tempfile::NamedTempFile;

const SESSIONS: &str = "/api/media/sessions";

/// So many clients ask for a session, each over a connection of its own, and of a device of its own.
fn ask_for_sessions(server: &Server, clients: usize) -> Vec<Response> {
    let mut connections: Vec<_> = (0..clients).map(|_| server.connect()).collect();
    for (n, connection) in connections.iter_mut().enumerate() {
        let body = json!({"deviceId": format!("cam-{n}"), "userId": "ada"}).to_string();
        connection
            .send_request("POST", SESSIONS, &[], body.as_bytes())
            .expect("the server reads");
    }
    connections.iter_mut().map(|it| it.response()).collect()
}

#[test]
fn sessions_of_an_address_are_twenty_at_once_and_ten_a_second() {
    let server = Server::start(&["--shards", "3", "--set", "limits.session_rate=10"]);
    let began = Instant::now();
    let answers = ask_for_sessions(&server, 60);
    let given = answers.iter().filter(|it| it.status == 201).count();
    let most = 20 + (began.elapsed().as_millis() / 100) as usize;
    assert!((20..=most).contains(&given), "{given} of {most}");

    let refused = answers.into_iter().find(|it| it.status != 201);
    let refused = refused.expect("not all are given one");
    let wait = refused.header("Retry-After").map(str::parse::<u64>);
    assert_eq!(wait, Some(Ok(1)));
    assert_eq!(
        refused.expect_error(429, "rate_limited"),
        "rate limit exceeded"
    );
    let kind = [("kind", "session_address")];
    let counted = server.metrics().sum("media_rate_limited_total", &kind);
    assert_eq!(counted, (60 - given) as f64);
    // What it promises it holds.
    thread::sleep(Duration::from_secs(1));
    server.create_session("cam-1", "ada");
}

#[test]
fn a_password_is_not_guessed_from_many_addresses() {
    let mut file = NamedTempFile::new().expect("a temporary file");
    let config = "[auth]\njwt_secret = 'a secret of thirty-two characters'\n\
                  [limits]\nlogin_rate = 1\nlogin_burst = 5\n\
                  [server]\ntrusted_proxies = ['127.0.0.0/8']\n";
    file.write_all(config.as_bytes()).expect("room on the disk");
    let path = file.path().to_str().expect("a temporary path is UTF-8");
    // The variables of the support win over the file.
    let server = Server::start(&[
        "--shards",
        "3",
        "--config",
        path,
        "--set",
        "limits.login_rate=1",
    ]);
    let log_in = |address: &str, username: &str, password: &str| {
        let body = json!({"username": username, "password": password}).to_string();
        let headers = [("X-Forwarded-For", address)];
        let target = "/api/v1/users/login";
        http::request(server.http(), "POST", target, &headers, body.as_bytes())
    };
    let ada = json!({"username": "ada", "password": "correct horse"});
    server.post("/api/v1/users", &ada).expect(201);

    // Who knows the password may log in as often as its address may.
    for n in 0..8 {
        log_in(&format!("192.0.2.{n}"), "Ada", "correct horse").expect(200);
    }
    let began = Instant::now();
    let mut answers = Vec::new();
    for n in 0..12 {
        let address = format!("198.51.100.{n}");
        answers.push(log_in(&address, ["ada", "ADA"][n % 2], "wrong horse"));
    }
    let tried = answers.iter().filter(|it| it.status == 401).count();
    let most = 5 + began.elapsed().as_secs() as usize;
    assert!((5..=most).contains(&tried), "{tried} of {most}");
    let limited = answers.into_iter().find(|it| it.status != 401);
    let limited = limited.expect("not all are tried");
    assert_eq!(limited.header("Retry-After"), Some("1"));
    limited.expect_error(429, "rate_limited");
    // Other names are as they were, and one address has its own bound.
    let statuses: Vec<_> = (0..12)
        .map(|n| log_in("203.0.113.1", &format!("user-{n}"), "wrong horse").status)
        .collect();
    assert_eq!(statuses[..5], [401; 5]);
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn a_proxy_that_is_not_trusted_is_told_of_once() {
    let server = Server::start(&["--shards", "2"]);
    for n in 0..20 {
        let name = ["X-Forwarded-For", "Forwarded"][n % 2];
        let headers = [(name, "for=192.0.2.1")];
        http::request(server.http(), "GET", "/health", &headers, b"").expect(200);
    }
    let told = || {
        let lines = server.log().entries();
        let texts = lines.iter().map(ToString::to_string);
        texts
            .filter(|line| line.contains("server.trusted_proxies"))
            .count()
    };
    wait_until(SOON, "the warning", || told() > 0);
    server.get("/health").expect(200);
    assert_eq!(told(), 1);
}

#[test]
fn the_log_names_the_client_behind_the_proxy() {
    let server = Server::start(&["--set", "server.trusted_proxies=127.0.0.1"]);
    let body = json!({"deviceId": "cam-1", "userId": "ada"}).to_string();
    let headers = [("Forwarded", "for=\"[2001:db8::7]:4711\";proto=https")];
    http::request(server.http(), "POST", SESSIONS, &headers, body.as_bytes()).expect(201);
    wait_until(SOON, "the line", || {
        let created = server.log().with_message("session created");
        created.iter().any(|line| line["client"] == "2001:db8::7")
    });
}
