//! What answers tell browsers, and what nothing that the server says ever has in it.

mod support;

use serde_json::json;
use support::http::Response;
use support::server::{Server, run_to_end};
use support::tokens::{SECRET, ask, config, path, token};
use support::ws::Socket;
use support::{SOON, wait_until};

const CREATE: &str = r#"{"deviceId":"cam-1","userId":"ada"}"#;

#[track_caller]
fn check_data(what: &str, answer: &Response) {
    check_any(what, answer);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"), "{what}");
    let policy = Some("default-src 'none'; frame-ancestors 'none'");
    assert_eq!(answer.header("Content-Security-Policy"), policy, "{what}");
}

#[track_caller]
fn check_any(what: &str, answer: &Response) {
    for (name, value) in [
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{what}");
    }
    // Which version of which program it is helps nobody who means well, and there are no cookies.
    for name in ["Server", "X-Powered-By", "Via", "Set-Cookie"] {
        assert_eq!(answer.header(name), None, "{what}");
    }
}

#[test]
fn every_answer_tells_browsers_what_it_is_not_for() {
    let servers = "[{urls = 'turn:turn.example.com', username = 'u', credential = 'c'}]";
    let file = config(&format!(
        "jwt_secret = '{SECRET}'\n[media]\nice_servers = {servers}"
    ));
    let server = support::tokens::start(&file);
    let admin = token(&file, &["--sub", "ada", "--role", "admin"]);
    let ask = |method: &str, target: &str, body| ask(&server, method, target, &admin, body);

    let created = ask(
        "POST",
        "/api/media/sessions",
        serde_json::from_str(CREATE).ok(),
    )
    .expect(201);
    assert!(
        created.text().contains("\"credential\":\"c\""),
        "{}",
        created.text()
    );
    check_data("a session", &created);
    for target in [
        "/health",
        "/metrics",
        "/api/media/devices",
        "/api/v1/rooms",
        "/api/v1/users/me",
    ] {
        check_data(target, &ask("GET", target, None).expect(200));
    }
    let ada = json!({"username": "ada", "password": "correct horse"});
    for (method, target, body, status) in [
        ("POST", "/api/v1/users", Some(ada.clone()), 201),
        ("POST", "/api/v1/users/login", Some(ada), 200),
        ("GET", "/nothing", None, 404),
        ("DELETE", "/health", None, 405),
        ("GET", "/ws?room_id=1", None, 426),
        ("POST", "/api/v1/rooms", Some(json!([])), 400),
    ] {
        check_data(target, &ask(method, target, body).expect(status));
    }
    check_data("no token", &server.get("/metrics").expect(401));
    let mut garbage = server.connect();
    garbage.send("garbage\r\n\r\n").expect("the server reads");
    check_data("garbage", &garbage.response().expect(400));

    for target in ["/", "/app.css", "/js/app.js"] {
        let answer = server.get(target).expect(200);
        check_any(target, &answer);
        for (name, value) in [
            ("Cache-Control", "no-cache"),
            ("X-Frame-Options", "SAMEORIGIN"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Referrer-Policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{target}");
        }
        let policy = answer.header("Content-Security-Policy").expect("a policy");
        for part in [
            "frame-ancestors 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "script-src 'self';",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

/// A run in which every secret is set and used, and something fails while it is.
#[test]
fn secrets_show_in_nothing_that_the_server_says() {
    let credential = "the-turn-credential";
    let servers = format!(
        "[{{urls = 'turn:turn.example.com', username = 'u', credential = '{credential}'}}]"
    );
    let file = config(&format!(
        "jwt_secret = '{SECRET}'\n[media]\nice_servers = {servers}"
    ));
    let (status, printed, faults) = run_to_end(&["--config", path(&file), "--print-config"]);
    assert!(status.success());
    let server = Server::start(&[
        "--shards",
        "1",
        "--config",
        path(&file),
        "--log-level",
        "trace",
    ]);
    let admin = token(&file, &["--sub", "root", "--role", "admin"]);
    let password = "incorrect donkey battery";

    let ada = json!({"username": "ada", "password": password});
    let mut said = vec![printed, faults];
    let mut keep = |answer: Response| said.push(answer.text());
    keep(server.post("/api/v1/users", &ada).expect(201));
    let wrong = json!({"username": "ada", "password": format!("{password}!")});
    keep(server.post("/api/v1/users/login", &wrong).expect(401));
    let log_in = server.post("/api/v1/users/login", &ada).expect(200);
    let viewer = log_in.json()["token"].as_str().expect("a token").to_owned();
    let session = json!({"deviceId": "cam-1", "userId": "root"});
    ask(
        &server,
        "POST",
        "/api/media/sessions",
        &admin,
        Some(session),
    )
    .expect(201);
    for target in [
        "/metrics",
        "/openapi.json",
        "/api/media/sessions",
        "/api/media/devices",
    ] {
        keep(ask(&server, "GET", target, &admin, None).expect(200));
        keep(ask(&server, "GET", target, &viewer, None));
    }
    // In the query, as sockets have it, where it is right and where it is not.
    for (target, name) in [
        ("/api/media/ws?deviceId=cam-1", "token"),
        ("/metrics?x=y", "token"),
    ] {
        keep(server.get(&format!("{target}&{name}={viewer}")));
    }
    Socket::open(
        server.http(),
        &format!("/api/media/ws?deviceId=cam-1&token={admin}"),
    );
    for place in ["Request", "ConnectionBytes"] {
        let bearer = format!("Bearer {admin}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("X-Fault", &format!("panic:{place}")),
        ];
        let mut connection = server.connect();
        let body = ada.to_string();
        let _ = connection.send_request("POST", "/api/v1/users/login", &headers, body.as_bytes());
        let _ = connection.try_response(false).map(&mut keep);
        let _ = connection.send_request("POST", "/api/v1/users/login", &headers, body.as_bytes());
        let _ = connection.try_response(false);
    }
    // The log has a thread of its own.
    server.get("/the-last-line");
    wait_until(SOON, "the log", || {
        server.log().text().contains("/the-last-line")
    });
    said.push(server.log().text());
    assert!(
        said.last()
            .is_some_and(|log| log.contains("an injected fault"))
    );

    let signatures =
        [&admin, &viewer].map(|it| it.rsplit('.').next().expect("three parts").to_owned());
    let secrets = [
        SECRET,
        credential,
        password,
        &signatures[0],
        &signatures[1],
        "argon2",
    ];
    for text in said {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
