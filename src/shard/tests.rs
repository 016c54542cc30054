//! What no client can bring about. Everything else is in the crate `simulation`.

use std::num::NonZeroUsize;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::connection::Scope;
use crate::ids::{RoomId, UserId};
use crate::metrics::PanicPart;
use crate::rooms::Status;
use crate::store::STORE_ROWS_PER_SHARD;

/// The day that the shards live in, long after 1970.
pub(super) const WALL: Duration = Duration::from_secs(400 * 24 * 3_600);

fn shard(now: Instant) -> Shard {
    shard_of(now, |_| {})
}

/// A shard of a configuration that `edit` makes from the default.
pub(super) fn shard_of(now: Instant, edit: impl FnOnce(&mut Config)) -> Shard {
    let mut config = Config::default();
    edit(&mut config);
    shard_with(now, config, Vec::new(), Windows::new(1))
}

fn shard_with(
    now: Instant,
    config: Config,
    rooms: Vec<(RoomRecord, Vec<MessageRow>)>,
    store: Arc<Windows>,
) -> Shard {
    let address = SocketAddr::from(([192, 0, 2, 1], 40_000));
    let shards = NonZeroUsize::new(1).and_then(Shards::new).unwrap();
    let config = Arc::new(config);
    let seed = ShardSeed {
        id: shards.all().next().unwrap(),
        shards,
        listen: config.server.listen.clone().into(),
        config,
        plane: rtc::PlaneConfig {
            identity: rtc::Identity::generate().unwrap(),
            sockets: vec![rtc::MediaSocket {
                bound: address,
                advertised: address,
            }],
            limits: rtc::PlaneLimits::default(),
            seed: [1; 32],
        },
        random: [2; 32],
        totals: Arc::new(Totals::new(1)),
        auth: None,
        rooms,
        store,
    };
    Shard::new(now, UNIX_EPOCH + WALL, seed).unwrap()
}

#[test]
fn a_panic_ends_the_connection_that_it_was_in() {
    let now = Instant::now();
    let mut shard = shard(now);
    let peer = SocketAddr::from(([198, 51, 100, 1], 1_024));
    let [struck, other] = [(); 2].map(|()| shard.accepted(now, peer, Scope::Everything).unwrap());
    let publish = "PUT /api/media/devices/cam-1/video HTTP/1.1\r\nHost: 127.0.0.1:30006\r\n\
                   Content-Type: video/h264\r\nTransfer-Encoding: chunked\r\n\r\n";
    shard.received(now, struck, publish.as_bytes());
    let device = DeviceId::try_from("cam-1").unwrap();
    assert!(shard.devices[&device].is_live());

    shard.with(now, struck, |_, _| panic!("a fault of the server"));
    assert_eq!(std::mem::take(&mut shard.outbox.dirty), [struck]);
    assert_eq!(shard.wrote(now, struck, 0), Flushed::Close);
    assert!(!shard.devices[&device].is_live(), "what it held is free");
    assert_eq!(shard.metrics.panics.get(PanicPart::Connection), 1);

    let health = "GET /health HTTP/1.1\r\nHost: 127.0.0.1:30006\r\n\r\n";
    shard.received(now, other, health.as_bytes());
    assert!(shard.output(other).starts_with(b"HTTP/1.1 200 "));
    assert_eq!(shard.totals.sum(Total::Connections), 1);
}

/// A room that ended in 1970.
fn ended(id: u64) -> (RoomRecord, Vec<MessageRow>) {
    let record = RoomRecord {
        id: RoomId::new(id).unwrap(),
        anchor: UserId::try_from("ann").unwrap(),
        title: "Morning".into(),
        cover: "".into(),
        device: None,
        status: Status::Ended,
        viewer_count: 0,
        epoch: 1,
        last_seq: 0,
        heat: 0.0,
        created_at: 0,
        updated_at: 0,
    };
    (record, Vec::new())
}

#[test]
fn rooms_that_retire_wait_for_the_store() {
    let (rooms, start) = (100, Instant::now());
    let windows = Windows::new(1);
    let rooms_before = (1..=rooms).map(ended).collect();
    let mut shard = shard_with(start, Config::default(), rooms_before, windows.clone());
    let wall = UNIX_EPOCH + WALL;
    // The store is as far behind as it may be.
    shard.rows_sent = STORE_ROWS_PER_SHARD as u64;
    let mut tick = |ticks: u32| {
        let now = start + executor::TICK * ticks;
        shard.tick(now, wall);
        (shard.rooms.len(), shard.outbox.rows.drain(..).count())
    };
    let mut ticks = 1;
    while tick(ticks).0 > 0 {
        ticks += 1;
        assert!(ticks < 1_000, "the rooms retire");
    }
    assert_eq!(tick(ticks + 1), (0, 0), "nothing is handed over");

    windows.advance(shard.id, STORE_ROWS_PER_SHARD as u64);
    let mut removed = 0;
    while removed < rooms {
        ticks += 1;
        shard.tick(start + executor::TICK * ticks, wall);
        let rows = shard.outbox.rows.drain(..).count() as u64;
        assert!((1..=8).contains(&rows), "a few in a tick");
        removed += rows;
    }
}

#[test]
fn a_shard_rests_until_something_is_due() {
    let windows = Windows::new(1);
    let now = Instant::now();
    let mut shard = shard_with(now, Config::default(), Vec::new(), windows.clone());
    assert_eq!(shard.rests_until(now), now + executor::LONGEST_REST);

    let peer = SocketAddr::from(([198, 51, 100, 1], 1_024));
    shard.accepted(now, peer, Scope::Everything).unwrap();
    let patience = shard.config.http.head_timeout;
    let mut rests = now;
    while shard.connections.len() > 0 {
        let next = shard.rests_until(rests);
        assert!(
            next <= now + patience,
            "the connection's time is not missed"
        );
        rests = next.max(rests + executor::TICK);
        shard.tick(rests, UNIX_EPOCH + WALL);
        shard.end_turn(rests);
        for id in std::mem::take(&mut shard.outbox.dirty) {
            shard.wrote(rests, id, shard.output(id).len());
        }
        assert!(rests < now + patience * 2, "its time has come");
    }

    // A row is on its way, and the store wakes nobody when it is written.
    shard.rows_sent += 1;
    assert_eq!(shard.rests_until(rests), rests);
    windows.advance(shard.id, 1);
    assert!(shard.rests_until(rests) > rests);
}

#[test]
fn rooms_that_are_due_let_nobody_rest() {
    let now = Instant::now();
    let mut shard = shard_with(now, Config::default(), vec![ended(1)], Windows::new(1));
    let due = shard.rests_until(now);
    assert!(
        due <= now + executor::TICK,
        "its retention has passed long ago"
    );
    let (wall, mut ticks) = (UNIX_EPOCH + WALL, 0);
    while !shard.rooms.is_empty() || shard.outbox.rows.is_empty() {
        ticks += 1;
        assert!(ticks < 100, "the room goes");
        shard.tick(now + executor::TICK * ticks, wall);
    }
    let now = now + executor::TICK * ticks;
    assert_eq!(shard.rests_until(now), now, "its row is on its way");
}

#[test]
fn what_a_turn_leaves_behind_has_another_turn_at_once() {
    // The demo's first frame, written when no turn sends it any more.
    let now = Instant::now();
    let mut shard = shard_of(now, |config| config.demo = true);
    let due = |shard: &Shard| shard.deadline().is_some_and(|at| at <= now);
    assert!(due(&shard), "a frame waits for its viewers");
    while shard.end_turn(now) {}
    assert!(!due(&shard));

    // A request that was waiting behind an answer is read in the flush, after the turn's passes.
    let peer = SocketAddr::from(([127, 0, 0, 1], 1_024));
    let client = shard.accepted(now, peer, Scope::Everything).unwrap();
    let scrape = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:30006\r\n\r\n";
    shard.received(now, client, scrape.as_bytes());
    assert!(due(&shard), "somebody waits for the figures");
    while shard.end_turn(now) {}
    assert!(!shard.outbox.jobs.is_empty(), "the figures are there");
    assert!(!due(&shard));

    let create = "POST /api/media/sessions HTTP/1.1\r\nHost: 127.0.0.1:30006\r\n\
                  Content-Type: application/json\r\nContent-Length: 37\r\n\r\n\
                  {\"deviceId\":\"cam-1\",\"userId\":\"ann\"}  ";
    let client = shard.accepted(now, peer, Scope::Everything).unwrap();
    shard.received(now, client, create.as_bytes());
    assert_eq!(shard.sessions.len(), 1);
    assert!(due(&shard), "its timer is not in the wheel yet");
    while shard.end_turn(now) {}
    assert!(!due(&shard));
}

#[test]
fn a_picture_that_silence_ends_does_not_wait_for_a_tick() {
    let now = Instant::now();
    let mut shard = shard(now);
    let peer = SocketAddr::from(([198, 51, 100, 1], 1_024));
    let publisher = shard.accepted(now, peer, Scope::Everything).unwrap();
    let clip = include_bytes!("../../assets/demo.h264");
    let codes: Vec<usize> = memchr::memmem::find_iter(clip, &[0, 0, 1]).collect();
    let is_slice = |&code: &usize| matches!(clip[code + 3] & 0x1f, 1 | 5);
    let slice = codes.iter().position(is_slice).expect("a picture");
    let picture = &clip[..codes[slice + 1] - 1];
    let publish = format!(
        "PUT /api/media/devices/cam-1/video HTTP/1.1\r\nHost: 127.0.0.1:30006\r\n\
         Content-Type: video/h264\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        picture.len()
    );
    shard.received(now, publisher, publish.as_bytes());
    shard.received(now, publisher, picture);
    shard.end_turn(now);
    assert_eq!(shard.metrics.access_units, 0, "it may go on");

    // A byte more begins the silence anew.
    let (before, mut now) = (now, now + Duration::from_millis(3));
    shard.received(now, publisher, b"\r\n6\r\n\0\0\0\x01\x0c\xff\r\n");
    let mut turns = 0;
    while shard.metrics.access_units == 0 {
        now = shard.deadline().expect("the silence's end");
        shard.end_turn(now);
        turns += 1;
        assert!(turns < 10, "it ends");
    }
    assert_eq!(now - before, Duration::from_millis(8));
    assert_eq!(shard.deadline(), None, "nothing is waited for");
}
