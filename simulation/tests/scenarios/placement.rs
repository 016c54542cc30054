//! Where sessions live, and how they are listed over all shards.

use std::collections::BTreeSet;

use serde_json::Value;

use simulation::{Client, Sim, request};

/// A page of the list: ids, and the cursor of the next one.
fn page(sim: &mut Sim, client: Client, query: &str) -> (Vec<String>, Option<String>) {
    let list = sim
        .get(client, &format!("/api/media/sessions?{query}"))
        .expect(200)
        .json();
    let id = |session: &Value| session["sessionId"].as_str().unwrap().to_owned();
    let ids = list["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .map(id)
        .collect();
    (ids, list["nextCursor"].as_str().map(str::to_owned))
}

fn delete(sim: &mut Sim, client: Client, id: &str) {
    let target = format!("/api/media/sessions/{id}");
    sim.request(client, "DELETE", &target, &[], b"").expect(204);
}

#[test]
fn ten_thousand_sessions_are_spread_evenly_and_route_by_their_ids() {
    const SESSIONS: usize = 10_000;
    const SHARDS: usize = 4;
    // Nobody connects to them.
    let mut sim = Sim::with(SHARDS, 1, |config| {
        config.media.setup_timeout = config.media.idle_timeout;
    });
    let client = sim.connect(0);
    let (mut sent, mut got) = (0, Vec::new());
    while got.len() < SESSIONS {
        for device in sent..SESSIONS.min(sent + 100) {
            let body = format!(r#"{{"deviceId":"cam-{device}","userId":"ada"}}"#);
            let bytes = request("POST", "/api/media/sessions", &[], body.as_bytes());
            sim.send(client, bytes);
        }
        sent = SESSIONS.min(sent + 100);
        while got.len() < sent {
            let created = sim.response(client).expect(201).json();
            got.push(created["sessionId"].as_str().unwrap().to_owned());
        }
    }
    let mut per_shard = [0; SHARDS];
    for id in &got {
        per_shard[sim.placement.shard_of(id).index()] += 1;
    }
    let even = SESSIONS / SHARDS;
    assert!(
        per_shard
            .iter()
            .all(|n| n * 100 / even >= 95 && n * 100 / even <= 105),
        "{per_shard:?}"
    );
    let metrics = sim.metrics();
    for (shard, sessions) in per_shard.iter().enumerate() {
        let label = shard.to_string();
        let there = metrics.get("media_shard_sessions", &[("shard", &label)]);
        assert_eq!(
            there,
            Some(*sessions as f64),
            "every session is where its id says"
        );
    }
    for id in got.iter().step_by(97) {
        let view = sim
            .get(client, &format!("/api/media/sessions/{id}"))
            .expect(200)
            .json();
        assert_eq!(view["shard"], sim.placement.shard_of(id).index());
    }
    // The list gives each exactly once.
    let (mut listed, mut query) = (Vec::new(), "limit=1000".to_owned());
    loop {
        let (ids, next) = page(&mut sim, client, &query);
        listed.extend(ids);
        let Some(next) = next else { break };
        query = format!("limit=1000&cursor={next}");
    }
    assert!(listed.is_sorted());
    assert_eq!(listed.len(), SESSIONS);
    assert_eq!(
        listed.into_iter().collect::<BTreeSet<_>>(),
        got.into_iter().collect()
    );
}

#[test]
fn pages_give_each_session_once_while_others_are_deleted() {
    let mut sim = Sim::new(3, 2);
    let client = sim.connect(0);
    let mut all: BTreeSet<String> = BTreeSet::new();
    for number in 0..60 {
        let created = sim.create(client, &format!("cam-{}", number % 12));
        all.insert(created["sessionId"].as_str().unwrap().to_owned());
    }
    let mut gone = BTreeSet::new();
    let mut listed = BTreeSet::new();
    let mut query = "limit=7".to_owned();
    loop {
        let (ids, next) = page(&mut sim, client, &query);
        assert!(ids.len() <= 7);
        for id in ids {
            assert!(!gone.contains(&id), "it was deleted before");
            assert!(listed.insert(id), "listed twice");
        }
        let Some(next) = next else { break };
        // The cursor's own session goes, one that was listed, and one that was not.
        let victims = [
            Some(next.clone()),
            listed.first().filter(|id| !gone.contains(*id)).cloned(),
            all.iter()
                .rfind(|id| !gone.contains(*id) && **id != next)
                .cloned(),
        ];
        for id in victims.into_iter().flatten().collect::<BTreeSet<_>>() {
            delete(&mut sim, client, &id);
            gone.insert(id);
        }
        query = format!("limit=7&cursor={next}");
    }
    let stayed = all.difference(&gone).collect::<BTreeSet<_>>();
    assert!(
        stayed.iter().all(|id| listed.contains(*id)),
        "what stayed was listed"
    );
}

#[test]
fn sessions_of_one_device_are_listed_alone() {
    let mut sim = Sim::new(3, 3);
    let client = sim.connect(0);
    for number in 0..30 {
        sim.create(client, &format!("cam-{}", number % 5));
    }
    let (first, next) = page(&mut sim, client, "deviceId=cam-3&limit=4");
    assert_eq!(first.len(), 4);
    let query = format!("deviceId=cam-3&limit=4&cursor={}", next.expect("two more"));
    let (second, next) = page(&mut sim, client, &query);
    assert_eq!((second.len(), next), (2, None));
    for id in first.iter().chain(&second) {
        let view = sim.get(client, &format!("/api/media/sessions/{id}")).json();
        assert_eq!(view["deviceId"], "cam-3");
    }
    assert_eq!(page(&mut sim, client, "deviceId=nobody"), (vec![], None));
    for (query, name) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("cursor=7", "cursor"),
        ("deviceId=a%20b", "deviceId"),
    ] {
        let response = sim.get(client, &format!("/api/media/sessions?{query}"));
        let sentence = response.expect_error(400, "bad_parameter");
        assert!(sentence.starts_with(name), "{sentence}");
    }
}
