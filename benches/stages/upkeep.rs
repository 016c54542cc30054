//! What a shard does without being asked: timers, and rooms.

use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput};
use executor::{TICK, Wheel};
use media_service::config;
use media_service::connection::ConnectionId;
use media_service::ids::{RoomId, UserId};
use media_service::limits::{Cap, SWEEP_MEMBERS};
use media_service::rooms::{Inbound, MemberKey, Replay, RoomRecord, Rooms, Status, Time, Took};

use crate::CpuTime;

const TIMERS: u32 = 100_000;
/// Timers that an expiry looks at, as the shard has it.
const AT_ONCE: usize = 64;

/// A tick of a wheel with 100,000 timers: with nothing due per tick, else per timer that is.
pub(crate) fn timers(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("tick_100000_timers");
    group.sample_size(10);
    let start = Instant::now();
    for (name, due) in [("none_due", 0), ("1000_due", 1_000), ("all_due", TIMERS)] {
        group.throughput(Throughput::Elements(u64::from(due).max(1)));
        let filled = || {
            let mut wheel = Wheel::new(start);
            for n in 0..TIMERS {
                let later = Duration::from_secs(60) + TICK * (n % 1_000);
                let at = if n < due { 3 * TICK } else { later };
                wheel.schedule(start + at, n);
            }
            (wheel, Vec::with_capacity(TIMERS as usize))
        };
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                filled,
                |(mut wheel, mut fired)| {
                    while wheel.expire(start + 4 * TICK, AT_ONCE, &mut fired) {}
                    assert_eq!(fired.len(), due as usize);
                    (wheel, fired)
                },
                BatchSize::PerIteration,
            );
        });
    }
}

const MEMBERS: u32 = 1_000;
/// The sockets' queue, as the server has it.
const QUEUE: usize = 256;
/// 170 bytes with what the server adds: a line of danmu.
const MESSAGE: &str = r#"{"type":"danmu","content":"a line of chat"}"#;
/// What stands for the time of day.
const UNIX_MS: u64 = 1_700_000_000_000;

/// A message to a room of 1,000 members, whose sockets take it; per delivery.
pub(crate) fn room(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("room_fan_out");
    group.throughput(Throughput::Elements(u64::from(MEMBERS)));
    let mut now = Instant::now();
    let (mut rooms, members) = full_room(now);
    let message = Inbound::parse(MESSAGE).expect("a message");
    let mut dirty = Vec::new();
    group.bench_function("1000_members", |bencher| {
        bencher.iter(|| {
            now += TICK;
            let time = Time {
                now,
                unix_ms: UNIX_MS,
            };
            rooms
                .publish(time, members[0], &message, false, [0; 16])
                .expect("the log has room");
            while let Some(at) = rooms.deadline() {
                now = now.max(at);
                rooms.sweep(now, SWEEP_MEMBERS, &mut dirty);
                for connection in dirty.drain(..) {
                    let key = members[connection.slot()];
                    let bytes = rooms.pending(key).len();
                    assert_eq!(rooms.took(now, key, bytes), Took::All);
                }
                rooms.flushed(now);
            }
        });
    });
}

/// A live room and its members.
fn full_room(now: Instant) -> (Rooms, Vec<MemberKey>) {
    let time = Time {
        now,
        unix_ms: UNIX_MS,
    };
    let config = config::Rooms {
        member_rate: Cap::OFF,
        message_rate: Cap::OFF,
        ..config::Rooms::default()
    };
    let id = RoomId::new(1).expect("a room's number");
    let user = |number: u32| -> UserId { format!("user-{number}").parse().expect("a user's id") };
    let mut rooms = Rooms::new(now, &config, QUEUE);
    let record = RoomRecord {
        id,
        anchor: user(0),
        title: "A room".into(),
        cover: "".into(),
        device: None,
        status: Status::Idle,
        viewer_count: 0,
        epoch: 1,
        last_seq: 0,
        heat: 0.0,
        created_at: UNIX_MS,
        updated_at: UNIX_MS,
    };
    rooms.insert(time, record);
    rooms.start(time, id).expect("it is idle");
    let member = |number| {
        let connection = ConnectionId::new(number, 0);
        let welcome = rooms.connect(time, id, &user(number), connection, Replay::None);
        welcome.expect("the room is live").key
    };
    let members = (0..MEMBERS).map(member).collect();
    (rooms, members)
}
