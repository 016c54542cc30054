//! Users who sign up and log in.

use serde_json::json;

use super::support::tokens::{SECRET, ask, config, get, start, token, with_secret};

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
