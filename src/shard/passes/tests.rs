//! A turn does so much and no more, whatever there is; and all of it is done in the end, once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::super::tests::{WALL, shard_of};
use super::*;
use crate::connection::{ConnectionId, Scope};
use crate::limits::Cap;
use crate::message::{GatherId, Message, Query};
use crate::metrics::{ProcessFigures, SessionEnd, encode};
use crate::placement::ShardId;
use crate::reload::Update;
use crate::shard::{Flushed, Job};

/// What the last slice or timer of a turn may come to on top.
const OVER: usize = PASS_ITEMS * CLOSE_WORK;
/// Sessions that a turn closes at most.
const CLOSED_PER_TURN: usize = (TURN_WORK + OVER) / CLOSE_WORK;

struct Crowd {
    shard: Shard,
    now: Instant,
    client: ConnectionId,
    answer: Vec<u8>,
    jobs: Vec<Job>,
}

impl Crowd {
    /// A shard with so many sessions, each of a device of its own, created at once.
    fn of(sessions: usize) -> Self {
        let now = Instant::now();
        let mut shard = shard_of(now, |config| {
            config.limits.session_rate = Cap::OFF;
            config.limits.session_rate_total = Cap::OFF;
            config.metrics.session_series = Cap::OFF;
        });
        let peer = SocketAddr::from(([127, 0, 0, 1], 1_024));
        let client = shard.accepted(now, peer, Scope::Everything).unwrap();
        let mut crowd = Self {
            shard,
            now,
            client,
            answer: Vec::new(),
            jobs: Vec::new(),
        };
        for n in 0..sessions {
            crowd.create(n);
        }
        assert_eq!(crowd.shard.sessions.len(), sessions);
        crowd.settle();
        crowd
    }

    fn create(&mut self, n: usize) {
        let body = format!(r#"{{"deviceId":"cam-{n}","userId":"ann"}}"#);
        self.ask("POST /api/media/sessions", &body);
        self.turn();
    }

    fn ask(&mut self, what: &str, body: &str) {
        self.answer.clear();
        let request = format!(
            "{what} HTTP/1.1\r\nHost: 127.0.0.1:30006\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.shard
            .received(self.now, self.client, request.as_bytes());
    }

    /// The rest of a turn. True: another one is wanted.
    fn turn(&mut self) -> bool {
        let more = self.shard.end_turn(self.now);
        self.shard.datagrams().clear_runs();
        let outbox = std::mem::take(self.shard.outbox());
        self.jobs.extend(outbox.jobs);
        for id in outbox.dirty {
            loop {
                let output = self.shard.output(id);
                let count = output.len();
                if id == self.client {
                    self.answer.extend_from_slice(output);
                }
                if self.shard.wrote(self.now, id, count) != Flushed::More {
                    break;
                }
            }
        }
        more
    }

    fn tick(&mut self, after: Duration) {
        self.now += after;
        self.shard.tick(self.now, SystemTime::UNIX_EPOCH + WALL);
    }

    /// Takes turns until nothing is left to do at once, and says after each how many sessions there are.
    fn settle(&mut self) -> Vec<usize> {
        let mut left = Vec::new();
        loop {
            let more = self.turn();
            left.push(self.shard.sessions.len());
            if !more {
                assert_eq!(self.shard.audit(), Vec::<String>::new());
                return left;
            }
            assert!(left.len() < 100_000, "it comes to an end");
        }
    }

    /// All sessions have gone, a few in a turn.
    fn assert_gone(&self, before: usize, left: &[usize]) {
        let mut last = before;
        for &left in left {
            assert!(
                last - left <= CLOSED_PER_TURN,
                "{last} sessions, then {left}"
            );
            last = left;
        }
        assert_eq!(last, 0, "all have gone");
        assert_eq!(self.shard.metrics.sessions_ended(), before as u64, "once");
    }

    /// What the side thread would write.
    fn scraped(&mut self) -> String {
        let Some(Job::Scrape(scrape)) = self.jobs.pop() else {
            panic!("the side thread is asked");
        };
        encode(&scrape.snapshots, &ProcessFigures::default()).unwrap()
    }
}

#[test]
fn sessions_that_expire_together_are_closed_in_many_turns() {
    let sessions = 400;
    let mut crowd = Crowd::of(sessions);
    let setup = crowd.shard.config.media.setup_timeout;
    crowd.tick(setup - executor::TICK);
    crowd.settle();
    assert_eq!(
        crowd.shard.sessions.len(),
        sessions,
        "not before their time"
    );
    crowd.tick(2 * executor::TICK);
    let mut left = vec![crowd.shard.sessions.len()];
    left.extend(crowd.settle());
    crowd.assert_gone(sessions, &left);
}

#[test]
fn somebody_who_asks_meanwhile_is_answered_in_the_same_turn() {
    let mut crowd = Crowd::of(400);
    let setup = crowd.shard.config.media.setup_timeout;
    crowd.tick(setup + executor::TICK);
    let mut turns = 0;
    loop {
        crowd.ask("GET /api/media/sessions?limit=1", "");
        let more = crowd.turn();
        turns += 1;
        assert!(crowd.answer.starts_with(b"HTTP/1.1 200 "), "turn {turns}");
        if !more {
            break;
        }
    }
    assert!(turns > 5, "{turns} turns");
    assert!(crowd.shard.sessions.is_empty());
}

#[test]
fn a_shard_that_drains_closes_its_sessions_in_many_turns() {
    let sessions = 400;
    let mut crowd = Crowd::of(sessions);
    let deadline = crowd.now + Duration::from_secs(30);
    crowd.shard.message(crowd.now, Message::Drain { deadline });
    let mut left = vec![crowd.shard.sessions.len()];
    left.extend(crowd.settle());
    crowd.assert_gone(sessions, &left);
    assert!(!crowd.shard.is_drained(crowd.now), "its client has time");
    crowd.tick(crate::limits::LINGER + executor::TICK);
    crowd.settle();
    assert!(crowd.shard.is_drained(crowd.now));
}

#[test]
fn a_scrape_meets_everything_once_while_sessions_come_and_go() {
    let sessions = 1_200;
    let mut crowd = Crowd::of(sessions);
    let ids: Vec<SessionId> = crowd.shard.by_age.values().copied().collect();
    crowd.ask("GET /metrics", "");
    let mut turns = 1;
    while crowd.turn() {
        turns += 1;
        // The oldest go, and are behind or before the pass; others come.
        let id = ids[turns];
        crowd.shard.end_session(crowd.now, id, SessionEnd::Deleted);
    }
    assert!(
        turns > sessions * COPY_WORK / (TURN_WORK + OVER),
        "{turns} turns"
    );
    let text = crowd.scraped();
    let series = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("media_session_info{session_id=\"")?;
        Some(rest.split('"').next().unwrap_or_default().to_owned())
    });
    let series: Vec<String> = series.collect();
    let distinct: BTreeSet<&String> = series.iter().collect();
    assert_eq!(distinct.len(), series.len(), "nothing twice");
    for id in crowd.shard.sessions.keys() {
        assert!(
            distinct.contains(&id.to_string()),
            "{id} was there all the time"
        );
    }
    let devices = text
        .matches("media_sessions_created_total{device_id=")
        .count();
    assert_eq!(devices, 1_001, "the cap, and the others");
}

#[test]
fn every_device_is_listed_once() {
    let devices = 1_000;
    let mut crowd = Crowd::of(devices);
    crowd.ask("GET /api/media/devices", "");
    let mut turns = 0;
    while crowd.answer.is_empty() {
        crowd.turn();
        turns += 1;
    }
    assert!(turns > 1, "{turns} turns");
    let answer = String::from_utf8(std::mem::take(&mut crowd.answer)).unwrap();
    assert_eq!(answer.matches("\"deviceId\"").count(), devices);
    for n in 0..devices {
        assert!(answer.contains(&format!("\"cam-{n}\"")));
    }
}

#[test]
fn a_shorter_timeout_reaches_every_session() {
    let sessions = 400;
    let mut crowd = Crowd::of(sessions);
    let mut config = (*crowd.shard.config).clone();
    config.media.idle_timeout = Duration::from_secs(10);
    let update = Update::new(config);
    crowd.tick(Duration::from_secs(11));
    crowd.settle();
    // A second reload comes while the first is being told.
    crowd.shard.reload(crowd.now, &update);
    crowd.shard.reload(crowd.now, &update);
    assert_eq!(crowd.shard.passes.0.len(), 1, "one of each kind");
    crowd.settle();
    crowd.tick(executor::TICK);
    let mut left = vec![crowd.shard.sessions.len()];
    left.extend(crowd.settle());
    crowd.assert_gone(sessions, &left);
}

#[test]
fn what_another_shard_waits_for_no_longer_is_given_up() {
    for (late, answers) in [(Duration::from_millis(50), 2), (Duration::from_secs(1), 0)] {
        let mut crowd = Crowd::of(40);
        for (gather, query) in [(1, Query::Metrics), (2, Query::Devices)] {
            let from = ShardId::new(1);
            let gather = GatherId(gather);
            let query = Message::Query {
                from,
                gather,
                query,
            };
            crowd.shard.message(crowd.now, query);
        }
        crowd.now += late;
        let mut told = 0;
        loop {
            let more = crowd.shard.end_turn(crowd.now);
            told += crowd.shard.outbox.messages.drain(..).count();
            if !more {
                break;
            }
        }
        assert_eq!(told, answers, "{late:?} later");
    }
}
