//! Requests one behind the other on one connection, whoever owns what they name.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use simulation::support::http::{LAST_CHUNK, chunk};
use simulation::{HOST, Sim, request};

const MS: Duration = Duration::from_millis(1);

/// What a client asks, and how the answer is told from the others.
#[derive(Debug, Clone, Copy)]
enum Ask {
    Session { shard: usize },
    Stats { shard: usize },
    Candidate { shard: usize },
    Create { shard: usize, chunked: bool },
    List,
    ListOf { shard: usize },
    Devices,
    Metrics,
    Health,
    HeadOfList,
    Preflight,
    BadJson,
    UnknownSession,
    WrongMethod,
}

const SHARDS: usize = 2;

fn ask() -> impl Strategy<Value = Ask> {
    let shard = 0..SHARDS;
    prop_oneof![
        4 => shard.clone().prop_map(|shard| Ask::Session { shard }),
        2 => shard.clone().prop_map(|shard| Ask::Stats { shard }),
        2 => shard.clone().prop_map(|shard| Ask::Candidate { shard }),
        2 => (shard.clone(), any::<bool>()).prop_map(|(shard, chunked)| Ask::Create { shard, chunked }),
        1 => Just(Ask::List),
        1 => shard.prop_map(|shard| Ask::ListOf { shard }),
        1 => Just(Ask::Devices),
        1 => Just(Ask::Metrics),
        1 => Just(Ask::Health),
        1 => Just(Ask::HeadOfList),
        1 => Just(Ask::Preflight),
        1 => Just(Ask::BadJson),
        1 => Just(Ask::UnknownSession),
        1 => Just(Ask::WrongMethod),
    ]
}

impl Ask {
    fn bytes(self, number: usize, devices: &[String], sessions: &[String]) -> Vec<u8> {
        let id = number.to_string();
        let headers = [("X-Request-Id", id.as_str())];
        let session = |shard: usize, rest| format!("/api/media/sessions/{}{rest}", sessions[shard]);
        let get = |target: &str| request("GET", target, &headers, b"");
        let post = |target: &str, body: &str| request("POST", target, &headers, body.as_bytes());
        match self {
            Ask::Session { shard } => get(&session(shard, "")),
            Ask::Stats { shard } => get(&session(shard, "/stats")),
            Ask::Candidate { shard } => {
                post(&session(shard, "/ice-candidate"), r#"{"candidate":""}"#)
            }
            Ask::Create { shard, chunked } => {
                let body = json!({"deviceId": devices[shard], "userId": "ada"}).to_string();
                if !chunked {
                    return post("/api/media/sessions", &body);
                }
                let (front, back) = body.as_bytes().split_at(body.len() / 3);
                let head = format!(
                    "POST /api/media/sessions HTTP/1.1\r\nHost: {HOST}\r\nX-Request-Id: {id}\r\n\
                     Transfer-Encoding: chunked\r\n\r\n"
                );
                [head.as_bytes(), &chunk(front), &chunk(back), LAST_CHUNK].concat()
            }
            Ask::List => get("/api/media/sessions?limit=1000"),
            Ask::ListOf { shard } => {
                get(&format!("/api/media/sessions?deviceId={}", devices[shard]))
            }
            Ask::Devices => get("/api/media/devices"),
            Ask::Metrics => get("/metrics"),
            Ask::Health => get("/health"),
            Ask::HeadOfList => request("HEAD", "/api/media/sessions", &headers, b""),
            Ask::Preflight => request("OPTIONS", "/api/media/devices", &headers, b""),
            Ask::BadJson => post("/api/media/sessions", "{"),
            Ask::UnknownSession => get("/api/media/sessions/00000000-0000-4000-8000-000000000000"),
            Ask::WrongMethod => request("DELETE", "/health", &headers, b""),
        }
    }

    fn status(self) -> u16 {
        match self {
            Ask::Session { .. } | Ask::Stats { .. } | Ask::List | Ask::ListOf { .. } => 200,
            Ask::Devices | Ask::Metrics | Ask::Health | Ask::HeadOfList => 200,
            Ask::Candidate { .. } | Ask::Preflight => 204,
            Ask::Create { .. } => 201,
            Ask::BadJson => 400,
            Ask::UnknownSession => 404,
            Ask::WrongMethod => 405,
        }
    }
}

/// Sends everything at once and checks the answers: all of them, in order, each the right one.
fn answers_in_order(seed: u64, asks: &[Ask], read_bytes: usize, delay: Duration, half_close: bool) {
    let mut sim = Sim::new(SHARDS, seed);
    let devices: Vec<String> = (0..SHARDS).map(|shard| sim.device_on(shard)).collect();
    let client = sim.connect(0);
    let sessions: Vec<String> = devices
        .iter()
        .map(|device| {
            sim.create(client, device)["sessionId"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    sim.read_bytes = read_bytes;
    for mailbox in &mut sim.mailboxes {
        mailbox.delay = delay;
    }
    for (number, ask) in asks.iter().enumerate() {
        sim.send(client, ask.bytes(number, &devices, &sessions));
    }
    sim.wire(client).client_done = half_close;
    for (number, ask) in asks.iter().enumerate() {
        let head = matches!(ask, Ask::HeadOfList);
        let response = sim.answer_within(60_000 * MS, client, head);
        assert_eq!(
            response.header("X-Request-Id"),
            Some(number.to_string().as_str()),
            "{ask:?}"
        );
        assert_eq!(
            response.status,
            ask.status(),
            "{ask:?}: {}",
            response.text()
        );
        match ask {
            Ask::Session { shard } => {
                assert_eq!(response.json()["sessionId"], sessions[*shard].as_str());
                assert_eq!(response.json()["shard"], *shard);
            }
            Ask::Create { shard, .. } => {
                let id = response.json()["sessionId"].as_str().unwrap().to_owned();
                assert_eq!(sim.placement.shard_of(id).index(), *shard);
            }
            Ask::ListOf { shard } => {
                let list = response.json()["sessions"].as_array().unwrap().clone();
                assert!(!list.is_empty());
                assert!(
                    list.iter()
                        .all(|one| one["deviceId"] == devices[*shard].as_str())
                );
            }
            _ => {}
        }
    }
    if half_close {
        sim.expect_closed(100 * MS, client);
    }
    assert!(
        sim.wire(client).to_client.is_empty(),
        "nothing more is said"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_request_is_answered_in_order(
        seed: u64,
        asks in proptest::collection::vec(ask(), 1..24),
        read_bytes in prop_oneof![Just(1usize), 2usize..200, Just(64 << 10)],
        delay in 0u32..200,
        half_close: bool,
    ) {
        answers_in_order(seed, &asks, read_bytes, delay * MS / 10, half_close);
    }
}

/// The answers to a reader that takes its time pile up to a bound; past it requests wait.
#[test]
fn a_slow_reader_gets_every_answer() {
    let mut sim = Sim::new(SHARDS, 1);
    let client = sim.connect(0);
    sim.wire(client).window = 0;
    let pages = 60;
    for number in 0..pages {
        let id = number.to_string();
        sim.send(
            client,
            request("GET", "/openapi.json", &[("X-Request-Id", &id)], b""),
        );
    }
    sim.run_for(100 * MS);
    // The socket takes some bytes now and then, never all that wait.
    for number in 0..pages {
        let mut response = None;
        sim.run_until(60_000 * MS, "an answer", |sim| {
            sim.wire(client).window = sim.wire(client).to_client.len() + 7_000;
            response = sim.poll_response(client, false);
            response.is_some()
        });
        let response = response.unwrap().expect(200);
        assert_eq!(
            response.header("X-Request-Id"),
            Some(number.to_string().as_str())
        );
    }
}

#[test]
fn a_client_that_reads_nothing_is_not_kept_for_ever() {
    let mut sim = Sim::new(1, 2);
    let client = sim.connect(0);
    sim.wire(client).window = 1_000;
    for _ in 0..100 {
        sim.send(client, request("GET", "/openapi.json", &[], b""));
    }
    sim.expect_closed(Duration::from_secs(160), client);
}

/// A large answer over a slow link takes longer than a closing connection is given, but it moves.
#[test]
fn the_last_answer_is_delivered_however_slowly_it_is_read() {
    let mut sim = Sim::new(1, 3);
    let client = sim.connect(0);
    let mut window = 0;
    sim.wire(client).window = window;
    sim.send(
        client,
        request("GET", "/openapi.json", &[("Connection", "close")], b""),
    );
    for _ in 0..100 {
        sim.run_for(100 * MS);
        window += 1000;
        sim.wire(client).window = window;
    }
    sim.response(client).expect(200);
    sim.expect_closed(100 * MS, client);
}
