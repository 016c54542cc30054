//! Authentication over the wire: tokens asked for, taken and refused, users who sign up and log in, sockets that end
//! with their token, and `media-service token`.

mod support;

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::SOON;
use support::http::{self, Response};
use support::server::{Server, run_to_end};
use support::viewer::{Viewer, ViewerOptions};
use support::viewers::Viewers;
use support::ws::{Refused, Socket};
use tempfile::NamedTempFile;
use tungstenite::Message;

/// A look at a socket between two turns of the viewers.
const LOOK: Duration = Duration::from_millis(2);

const SECRET: &str = "a secret of thirty-two characters";

/// A configuration file, which must outlive the server that reads it.
fn config(auth: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    write!(file, "[auth]\n{auth}\n").expect("room on the disk");
    file
}

fn with_secret() -> NamedTempFile {
    config(&format!("jwt_secret = '{SECRET}'"))
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().expect("a temporary path is UTF-8")
}

fn start(file: &NamedTempFile) -> Server {
    Server::start(&["--shards", "2", "--config", path(file)])
}

/// What `media-service token` prints.
fn token(file: &NamedTempFile, flags: &[&str]) -> String {
    let arguments = [&["token", "--config", path(file)], flags].concat();
    let (status, stdout, stderr) = run_to_end(&arguments);
    assert!(status.success() && stderr.is_empty(), "{stderr}");
    stdout.trim_end().to_owned()
}

fn ask(server: &Server, method: &str, target: &str, token: &str, body: Option<Value>) -> Response {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    http::request(server.http(), method, target, &headers, body.as_bytes())
}

fn get(server: &Server, target: &str, token: &str) -> Response {
    ask(server, "GET", target, token, None)
}

#[track_caller]
fn refused(result: Result<Socket, Refused>, status: u16, code: &str) {
    match result {
        Ok(_) => panic!("upgraded"),
        Err(refused) => {
            assert_eq!(refused.status, status, "{refused:?}");
            assert_eq!(refused.body["code"], code, "{refused:?}");
        }
    }
}

#[test]
fn without_a_token_only_probes_the_page_and_sign_up_answer() {
    let file = with_secret();
    let server = start(&file);
    for target in [
        "/health",
        "/health/live",
        "/health/ready",
        "/",
        "/openapi.json",
    ] {
        server.get(target).expect(200);
    }
    for target in [
        "/metrics",
        "/api/media/devices",
        "/api/media/sessions",
        "/api/v1/users/me",
    ] {
        let response = server.get(target);
        assert_eq!(
            response.header("WWW-Authenticate"),
            Some(r#"Bearer realm="media-service""#)
        );
        response.expect_error(401, "no_token");
        // A token in the query of anything but a WebSocket is none.
        let admin = token(&file, &["--sub", "root", "--role", "admin"]);
        let in_query = server.get(&format!("{target}?token={admin}"));
        in_query.expect_error(401, "no_token");
    }
    let body = json!({"deviceId": "cam-1", "userId": "ada"});
    server
        .post("/api/media/sessions", &body)
        .expect_error(401, "no_token");
    let basic = [("Authorization", "Basic YTpi")];
    http::request(server.http(), "GET", "/metrics", &basic, b"").expect_error(401, "no_token");
    // What does not exist is not a secret.
    server.get("/nothing").expect_error(404, "not_found");
    refused(
        Socket::try_open(server.http(), "/api/media/ws?deviceId=cam-1", &[]),
        401,
        "no_token",
    );
    let preflight = [
        ("Origin", "https://web.example"),
        ("Access-Control-Request-Method", "GET"),
    ];
    http::request(server.http(), "OPTIONS", "/metrics", &preflight, b"").expect(204);
}

#[test]
fn a_token_that_is_worth_nothing_is_told_why() {
    let file = with_secret();
    let server = start(&file);
    let good = token(&file, &["--sub", "root", "--role", "admin"]);
    let other = config("jwt_secret = 'another secret of 32 characters.'");
    let forged = token(&other, &["--sub", "root", "--role", "admin"]);
    let [_, claims, _] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts: {good}")
    };
    // {"alg":"none"}
    let unsigned = format!("eyJhbGciOiJub25lIn0.{claims}.");
    let long = format!("{good}{}", "x".repeat(5_000));
    for (token, sentence) in [
        (forged.as_str(), "the token's signature is not valid"),
        (
            unsigned.as_str(),
            "the token is not signed with an algorithm that this server takes",
        ),
        ("x.y.z", "the token is not a JSON Web Token"),
        (&long, "the token is longer than 4096 bytes"),
    ] {
        let response = get(&server, "/metrics", token);
        assert_eq!(
            response.header("WWW-Authenticate"),
            Some(r#"Bearer realm="media-service", error="invalid_token""#)
        );
        assert_eq!(response.expect_error(401, "invalid_token"), sentence);
    }
    get(&server, "/metrics", &good).expect(200);

    // No log line has a token or the secret.
    let log = server.log().text();
    assert!(!log.contains(SECRET) && !log.contains(claims), "{log}");
}

#[test]
fn a_token_expires() {
    let file = with_secret();
    let server = start(&file);
    let token = token(&file, &["--sub", "ada", "--ttl", "1s"]);
    let deadline = Instant::now() + SOON;
    let mut status = 200;
    while status == 200 && Instant::now() < deadline {
        status = get(&server, "/api/v1/users/me", &token).status;
    }
    let sentence = get(&server, "/api/v1/users/me", &token).expect_error(401, "token_expired");
    assert_eq!(sentence, "the token has expired");
}

#[test]
fn a_socket_ends_with_its_token() {
    let file = with_secret();
    let server = start(&file);
    let anchor = token(
        &file,
        &["--sub", "phone", "--role", "anchor", "--ttl", "2s"],
    );
    let viewer = format!("/api/media/ws?deviceId=cam-1&token={anchor}");
    let agent = format!("/api/media/devices/cam-1/ws?token={anchor}");
    let sockets = [viewer, agent].map(|target| Socket::open(server.http(), &target));
    for mut socket in sockets {
        let closing = socket.expect("closing");
        assert_eq!(closing["reason"], "the token has expired", "{closing}");
        assert_eq!(socket.closed(), Some(1008));
    }
}

#[test]
fn a_public_key_verifies_the_tokens_of_its_owner() {
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys");
    let algorithms = [
        (
            "ed25519",
            jsonwebtoken::Algorithm::EdDSA,
            jsonwebtoken::EncodingKey::from_ed_pem as fn(&[u8]) -> _,
        ),
        (
            "rsa2048",
            jsonwebtoken::Algorithm::RS256,
            jsonwebtoken::EncodingKey::from_rsa_pem,
        ),
    ];
    for (name, algorithm, read) in algorithms {
        let file = config(&format!("jwt_public_key = '{keys}/{name}.pub.pem'"));
        let server = start(&file);
        let pem = std::fs::read(format!("{keys}/{name}.pem")).expect("a key of the tests");
        let header = jsonwebtoken::Header::new(algorithm);
        let claims = json!({"sub": "auth0:7", "exp": 4_000_000_000_u64, "role": "controller"});
        let signed = jsonwebtoken::encode(&header, &claims, &read(&pem).expect("a private key"));
        let me = get(&server, "/api/v1/users/me", &signed.expect("a token"))
            .expect(200)
            .json();
        let expected = json!({
            "id": "auth0:7", "username": "auth0:7", "online": false, "created_at": null, "role": "controller",
        });
        assert_eq!(me, expected);

        // The public key's text is no secret.
        let text = std::fs::read(format!("{keys}/{name}.pub.pem")).expect("a key of the tests");
        let forged = jsonwebtoken::encode(
            &jsonwebtoken::Header::default(),
            &claims,
            &jsonwebtoken::EncodingKey::from_secret(&text),
        );
        get(&server, "/metrics", &forged.expect("a token")).expect_error(401, "invalid_token");

        // Nobody can log in where nothing can be signed, and so nobody signs up.
        let ada = json!({"username": "ada", "password": "correct horse"});
        for target in ["/api/v1/users", "/api/v1/users/login"] {
            let answer = server.post(target, &ada);
            answer.expect_error(409, "no_jwt_secret");
        }
        let (status, stdout, stderr) =
            run_to_end(&["token", "--config", path(&file), "--sub", "ada"]);
        assert_eq!((status.code(), stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains("auth.jwt_secret is not set"), "{stderr}");
    }
}

#[test]
fn users_sign_up_log_in_and_use_their_token() {
    let file = with_secret();
    let server = start(&file);
    let ada = json!({"username": "Ada", "password": "correct horse"});
    let user = server.post("/api/v1/users", &ada).expect(201).json();
    assert_eq!(user["id"], "@Ada");
    assert_eq!(user["role"], "viewer");
    let taken = json!({"username": "ada", "password": "another horse"});
    server
        .post("/api/v1/users", &taken)
        .expect_error(409, "username_taken");

    let answer = server.post("/api/v1/users/login", &ada).expect(200);
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let answer = answer.json();
    assert_eq!(answer["user"], user);
    let token = answer["token"].as_str().expect("a token");
    let me = get(&server, "/api/v1/users/me", token).expect(200).json();
    assert_eq!(me["id"], "@Ada");
    assert_eq!(me["created_at"], user["created_at"]);
    assert_eq!(me["online"], false);

    let body = json!({"deviceId": "cam-1", "userId": "@Ada"});
    let created = ask(&server, "POST", "/api/media/sessions", token, Some(body)).expect(201);
    let session = created.json()["sessionId"].as_str().map(str::to_owned);
    let session = format!("/api/media/sessions/{}", session.expect("an id"));
    get(&server, &session, token).expect(200);
    let me = get(&server, "/api/v1/users/me", token).expect(200).json();
    assert_eq!(me["online"], true);

    let wrong = json!({"username": "ada", "password": "wrong horse"});
    let unknown = json!({"username": "eve", "password": "wrong horse"});
    let sentences = [wrong, unknown].map(|body| {
        let answer = server.post("/api/v1/users/login", &body);
        assert!(answer.header("WWW-Authenticate").is_some());
        answer.expect_error(401, "bad_credentials")
    });
    assert_eq!(sentences[0], sentences[1]);

    let log = server.log().text();
    assert!(!log.contains("horse") && !log.contains("argon2"), "{log}");
}

/// Passwords take tens of milliseconds each, and anybody may have one verified.
#[test]
fn a_flood_of_log_ins_keeps_nobody_else_waiting() {
    let file = with_secret();
    let server = start(&file);
    let (ann, admin) = (
        token(&file, &["--sub", "ann", "--role", "anchor"]),
        token(&file, &["--sub", "ops", "--role", "admin"]),
    );
    let title = Some(json!({"title": "Morning"}));
    let room = ask(&server, "POST", "/api/v1/rooms", &ann, title).expect(201);
    let history = format!("/api/v1/rooms/{}/messages", room.json()["id"]);
    let body = json!({"username": "eve", "password": "wrong horse"}).to_string();
    let mut flood: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for connection in &mut flood {
        let sent = connection.send_request("POST", "/api/v1/users/login", &[], body.as_bytes());
        sent.expect("the server reads");
    }
    let targets = [
        ("/api/v1/users/me", &ann),
        (&history, &ann),
        ("/metrics", &admin),
    ];
    for (target, token) in targets {
        get(&server, target, token).expect(200);
    }
    let statuses: Vec<u16> = flood.iter_mut().map(|it| it.response().status).collect();
    assert!(statuses.contains(&503), "more than may wait: {statuses:?}");
    assert!(statuses.contains(&401), "some had their turn: {statuses:?}");
}

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

#[test]
fn what_is_no_sign_up_is_named_without_the_password() {
    let file = config(&format!("jwt_secret = '{SECRET}'\nsignup = false"));
    let server = start(&file);
    let good = json!({"username": "ada", "password": "correct horse"});
    server
        .post("/api/v1/users", &good)
        .expect_error(403, "forbidden");
    for (body, says) in [
        (json!({"username": "ada"}), "password is missing"),
        (
            json!({"username": "ada", "password": "hunter2"}),
            "password has 7 bytes",
        ),
        (
            json!({"username": "ada", "password": 81_818_181}),
            "a password as a string",
        ),
        (
            json!({"username": "a b c", "password": "hunter22"}),
            "username must have 3 to 64 characters",
        ),
    ] {
        let sentence = server
            .post("/api/v1/users", &body)
            .expect_error(400, "bad_body");
        assert!(sentence.contains(says), "{sentence}");
        assert!(
            !sentence.contains("hunter") && !sentence.contains("8181"),
            "{sentence}"
        );
    }
}

#[test]
fn roles_and_devices_bound_what_a_token_may() {
    let file = with_secret();
    let server = start(&file);
    let of = |user: &str, role: &str| token(&file, &["--sub", user, "--role", role]);
    let (ada, eve) = (of("ada", "viewer"), of("eve", "anchor"));
    let root = of("root", "admin");

    let body = json!({"deviceId": "cam-1", "userId": "ada"});
    let create = |token: &str| {
        ask(
            &server,
            "POST",
            "/api/media/sessions",
            token,
            Some(body.clone()),
        )
    };
    create(&eve).expect_error(403, "forbidden");
    let created = create(&ada).expect(201).json();
    let session = created["sessionId"].as_str().expect("an id").to_owned();
    let target = format!("/api/media/sessions/{session}");
    for (method, leaf) in [
        ("GET", ""),
        ("GET", "/stats"),
        ("POST", "/offer"),
        ("DELETE", ""),
    ] {
        let foreign = ask(&server, method, &format!("{target}{leaf}"), &eve, None);
        let sentence = foreign.expect_error(403, "forbidden");
        assert!(sentence.contains("belongs to another user"), "{sentence}");
    }
    refused(
        Socket::try_open(
            server.http(),
            &format!("/api/media/ws?sessionId={session}&token={eve}"),
            &[],
        ),
        403,
        "forbidden",
    );
    get(&server, &target, &root).expect(200);
    let sentence = get(&server, "/api/media/sessions", &ada).expect_error(403, "forbidden");
    assert_eq!(
        sentence,
        "this needs the role admin, and the token's is viewer"
    );
    get(&server, "/api/media/sessions", &root).expect(200);
    ask(&server, "DELETE", &target, &ada, None).expect(204);

    // Publishing takes an anchor, and is refused before the body.
    let video = |token: &str, device: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "video/h264"),
        ];
        let target = format!("/api/media/devices/{device}/video");
        http::request(server.http(), "PUT", &target, &headers, b"")
    };
    video(&ada, "cam-1").expect_error(403, "forbidden");
    assert_ne!(video(&eve, "cam-1").status, 403);
    let shop = token(
        &file,
        &[
            "--sub",
            "shop",
            "--role",
            "anchor",
            "--devices",
            "shop-*,till",
        ],
    );
    let sentence = video(&shop, "cam-1").expect_error(403, "forbidden");
    assert_eq!(sentence, "the token is not good for this device");
    assert_ne!(video(&shop, "shop-1").status, 403);
    assert_ne!(video(&shop, "till").status, 403);
}

#[test]
fn only_a_controller_controls() {
    let file = with_secret();
    let server = start(&file);
    let anchor = token(&file, &["--sub", "phone", "--role", "anchor"]);
    let agent = format!("/api/media/devices/phone-1/ws?token={anchor}");
    let mut agent = Socket::open(server.http(), &agent);
    agent.send(&json!({"type": "hello"}));
    let control = json!({"type": "control", "seq": 7, "action": "back"});
    let mut viewers = Viewers::default();
    let mut watch = |role: &str| {
        let token = token(&file, &["--sub", "ada", "--role", role]);
        let target = format!("/api/media/ws?deviceId=phone-1&token={token}");
        let mut socket = Socket::open(server.http(), &target);
        let offer = socket.expect("offer");
        let sdp = offer["sdp"].as_str().expect("an offer");
        let (viewer, answer) = Viewer::answer(sdp, ViewerOptions::default());
        let candidate = viewer.candidate();
        let index = viewers.add(viewer);
        socket.send(&json!({"type": "answer", "sdp": answer}));
        socket.send(&json!({"type": "ice-candidate", "candidate": candidate}));
        viewers.run_until(SOON, "the data channel is open", |viewers| {
            viewers[index].channel_label.is_some()
        });
        socket.send(&control);
        assert!(viewers[index].send_text(&control.to_string()));
        (socket, index)
    };
    let (mut viewer, of_viewer) = watch("viewer");
    let (mut controller, of_controller) = watch("controller");

    let refused = |error: &Value| {
        assert_eq!(error["code"], "forbidden", "{error}");
        assert_eq!(error["seq"], 7, "{error}");
    };
    refused(&viewer.expect("error"));
    viewers.run_until(SOON, "both data channels are answered", |viewers| {
        // Of the controller's two messages either may come first; both get their answer.
        if let Ok(Some(Message::Text(text))) = agent.next(Instant::now() + LOOK) {
            let asked: Value = serde_json::from_str(&text).expect("JSON");
            if asked["type"] == "control" {
                assert_eq!(asked["userId"], "ada");
                agent.send(&json!({"type": "ack", "seq": asked["seq"]}));
            }
        }
        [of_viewer, of_controller]
            .iter()
            .all(|&index| !viewers[index].texts.is_empty())
    });
    assert_eq!(controller.expect("ack")["seq"], 7);
    let text = |index: usize| serde_json::from_str::<Value>(&viewers[index].texts[0]);
    refused(&text(of_viewer).expect("JSON"));
    assert_eq!(text(of_controller).expect("JSON")["type"], "ack");
}

#[test]
fn a_room_is_its_anchors_and_members_leave_with_their_token() {
    let file = with_secret();
    let server = start(&file);
    let of = |user: &str, role: &str, ttl: &str| {
        token(&file, &["--sub", user, "--role", role, "--ttl", ttl])
    };
    let (ada, eve) = (of("ada", "anchor", "1h"), of("eve", "anchor", "1h"));
    let bob = of("bob", "viewer", "2s");
    let post = |target: &str, token: &str, body| ask(&server, "POST", target, token, body);

    let room = json!({"title": "Chess"});
    post("/api/v1/rooms", &bob, Some(room.clone())).expect_error(403, "forbidden");
    let room = post("/api/v1/rooms", &ada, Some(room)).expect(201).json();
    assert_eq!(room["anchor_id"], "ada");
    let target = format!("/api/v1/rooms/{}", room["id"]);
    let start = format!("{target}/start");
    post(&start, &eve, None).expect_error(403, "forbidden");
    post(&start, &ada, None).expect(200);
    get(&server, &target, &bob).expect(200);

    let socket = format!("/ws?room_id={}", room["id"]);
    refused(
        Socket::try_open(server.http(), &socket, &[]),
        401,
        "no_token",
    );
    let mut socket = Socket::open(server.http(), &format!("{socket}&token={bob}"));
    socket.expect("hello");
    socket.send(&json!({"type": "danmu", "content": "hello"}));
    assert_eq!(socket.expect("danmu")["user_id"], "bob");
    let closing = socket.expect("closing");
    assert_eq!(closing["reason"], "the token has expired", "{closing}");
    assert_eq!(socket.closed(), Some(1008));
    let stop = format!("{target}/stop");
    post(&stop, &eve, None).expect_error(403, "forbidden");
    post(&stop, &of("root", "admin", "1h"), None).expect(200);
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
