//! Tokens: asked for, taken, refused, expired.

use std::time::Instant;

use serde_json::json;

use super::refused;
use super::support::SOON;
use super::support::http;
use super::support::server::run_to_end;
use super::support::tokens::{SECRET, config, get, path, start, token, with_secret};
use super::support::ws::Socket;

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
