//! What was opened with a token ends when the token does.

use std::time::Duration;

use media_service::auth::{Authenticator, DeviceClaim, Role};
use media_service::config::Config;
use serde_json::{Value, json};

use simulation::support::http::chunk;
use simulation::support::media::Clip;
use simulation::{Sim, UNIX, head};

const SECOND: Duration = Duration::from_secs(1);
const EXPIRED: &str = "the token has expired";

fn with_secret(shards: usize, seed: u64) -> Sim {
    Sim::with(shards, seed, |config| {
        config.auth = secret().auth;
        config.media.setup_timeout = 3_600 * SECOND;
    })
}

fn secret() -> Config {
    let mut config = Config::default();
    config.auth.jwt_secret = Some("a secret of thirty-two characters".into());
    config
}

/// A token of ann's, an anchor, that is good for so long.
fn token(sim: &Sim, ttl: Duration) -> String {
    let auth = Authenticator::new(&secret().auth).expect("there is a secret");
    let ann = "ann".parse().expect("an id");
    let now = (UNIX + (sim.now - sim.start)).as_secs();
    auth.mint(&ann, Role::Anchor, &DeviceClaim::ANY, ttl, now)
        .expect("a token")
}

/// Asks with a token, over a connection of its own.
#[track_caller]
fn ask(sim: &mut Sim, token: &str, method: &str, target: &str, body: &Value) -> (u16, Value) {
    let client = sim.connect(0);
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str()), ("Connection", "close")];
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let response = sim.request(client, method, target, &headers, body.as_bytes());
    let json = match response.body.is_empty() {
        true => Value::Null,
        false => response.json(),
    };
    (response.status, json)
}

#[test]
fn a_session_ends_with_its_token_and_tells_its_viewer() {
    let mut sim = with_secret(2, 90);
    let (short, long) = (token(&sim, 60 * SECOND), token(&sim, 600 * SECOND));
    let body = json!({"deviceId": sim.device_on(1), "userId": "ann"});
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let (_, created) = ask(&mut sim, &short, "POST", "/api/media/sessions", &body);
        let path = format!(
            "/api/media/sessions/{}",
            created["sessionId"].as_str().expect("an id")
        );
        let (viewer, answer) = sim.answer_offer(created["offer"]["sdp"].as_str().expect("SDP"));
        let answered = ask(&mut sim, &short, "POST", &format!("{path}/answer"), &answer);
        assert_eq!(answered.0, 204);
        sim.expect_connected(viewer);
        sessions.push((viewer, path));
    }
    sim.run_for(30 * SECOND);
    // The second viewer has a newer token, and asks for something with it.
    let (kept, kept_path) = sessions.pop().expect("two");
    let (ended, ended_path) = sessions.pop().expect("two");
    let offer = format!("{kept_path}/offer");
    assert_eq!(ask(&mut sim, &long, "POST", &offer, &json!({})).0, 200);

    sim.run_for(25 * SECOND);
    assert_eq!(
        ask(&mut sim, &long, "GET", &ended_path, &Value::Null).0,
        200
    );
    sim.run_for(10 * SECOND);
    assert_eq!(
        ask(&mut sim, &long, "GET", &ended_path, &Value::Null).0,
        404
    );
    let told = sim.viewers[ended.0].messages.last().expect("it was told");
    let told: Value = serde_json::from_str(told).expect("an object");
    assert_eq!(told, json!({"type": "closing", "reason": EXPIRED}));
    assert!(sim.viewers[ended.0].closed, "DTLS says goodbye");

    assert!(!sim.viewers[kept.0].closed);
    assert_eq!(ask(&mut sim, &long, "GET", &kept_path, &Value::Null).0, 200);
    sim.run_for(540 * SECOND);
    assert!(sim.viewers[kept.0].closed);
}

#[test]
fn a_viewer_that_came_back_with_a_newer_token_keeps_its_session() {
    let mut sim = with_secret(1, 91);
    let (short, long) = (token(&sim, 60 * SECOND), token(&sim, 240 * SECOND));
    let mut first = sim.open(0, &format!("/api/media/ws?deviceId=cam-1&token={short}"));
    let offer = first.expect(&mut sim, "offer");
    let session = offer["sessionId"].as_str().expect("an id");
    let target = format!("/api/media/ws?sessionId={session}&token={long}");
    let mut second = sim.open(0, &target);
    assert_eq!(first.closed(&mut sim), Some(1001), "replaced");
    let seen = second.listen(&mut sim, 120 * SECOND);
    assert!(
        seen.iter().all(|message| message["type"] == "stats"),
        "{seen:?}"
    );

    // Nobody renews it any more: the socket and the session end at the same time.
    let seen = second.listen(&mut sim, 121 * SECOND);
    let last = seen.last().expect("it is told");
    assert_eq!(
        (&last["type"], &last["reason"]),
        (&json!("closing"), &json!(EXPIRED))
    );
    assert_eq!(second.closed(&mut sim), Some(1008));
    let path = format!("/api/media/sessions/{session}");
    let fresh = token(&sim, 60 * SECOND);
    assert_eq!(ask(&mut sim, &fresh, "GET", &path, &Value::Null).0, 404);
}

#[test]
fn a_publisher_ends_with_its_token() {
    let mut sim = with_secret(2, 92);
    let (device, clip) = (sim.device_on(1), Clip::tiny_h264());
    let short = token(&sim, 60 * SECOND);
    let bearer = format!("Bearer {short}");
    let headers = [
        ("Content-Type", "video/h264"),
        ("Transfer-Encoding", "chunked"),
        ("Authorization", bearer.as_str()),
    ];
    let client = sim.connect(0);
    let target = format!("/api/media/devices/{device}/video");
    sim.send(client, head("PUT", &target, &headers));
    let device = format!("/api/media/devices/{device}");
    let long = token(&sim, 600 * SECOND);
    for second in 0..59 {
        sim.send(client, chunk(&clip.unit(second % 10)));
        sim.run_for(SECOND);
    }
    assert_eq!(
        ask(&mut sim, &long, "GET", &device, &Value::Null).1["live"],
        true
    );
    sim.run_for(2 * SECOND);
    let sentence = sim.response(client).expect_error(401, "token_expired");
    assert_eq!(sentence, EXPIRED);
    assert_eq!(
        ask(&mut sim, &long, "GET", &device, &Value::Null).1["live"],
        false
    );
}
