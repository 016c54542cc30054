//! A room's life: idle, live, ended, forgotten.

use serde_json::json;

use super::super::lifecycle::CLOSE_TIMEOUT;
use super::super::*;
use super::record;
use super::world::{Frame, START_MS, World, config, frames, room, user};

const SECOND: Duration = Duration::from_secs(1);

fn changed(world: &mut World) -> Vec<RoomRecord> {
    let events = std::mem::take(&mut world.events).into_iter();
    let records = events.filter_map(|event| match event {
        RoomEvent::Changed(record) => Some(*record),
        RoomEvent::Cut(_) | RoomEvent::Removed(_) => None,
    });
    records.collect()
}

#[test]
fn a_room_is_live_once() {
    let mut world = World::new(&config(), 0);
    let (time, id, a) = (world.time(), room(5), user("a"));
    let rooms = &mut world.rooms;
    assert_eq!(rooms.start(time, id), Err(RoomError::Unknown));
    rooms.insert(time, record(5));
    assert_eq!(rooms.join(time, id, &a), Err(RoomError::NotLive));
    assert_eq!(rooms.stop(time, id), Err(RoomError::NotLive));
    assert_eq!(rooms.admits(id), Err(RoomError::NotLive));
    rooms.start(time, id).unwrap();
    assert_eq!(rooms.start(time, id), Err(RoomError::NotIdle));
    assert_eq!((rooms.len(), rooms.live()), (1, 1));
    rooms.join(time, id, &a).unwrap();
    rooms.stop(time, id).unwrap();
    assert_eq!(rooms.stop(time, id), Err(RoomError::Ended));
    assert_eq!(rooms.start(time, id), Err(RoomError::NotIdle));
    assert_eq!(rooms.join(time, id, &a), Err(RoomError::Ended));
    assert_eq!(rooms.leave(time, id, &a), Ok(()));
    assert_eq!(rooms.admits(id), Err(RoomError::Ended));
    assert_eq!(rooms.admits(room(6)), Err(RoomError::Unknown));
    assert_eq!((rooms.len(), rooms.live(), rooms.user_count()), (1, 0, 0));
    world.events.extend(world.rooms.events());
    let statuses = changed(&mut world).into_iter().map(|record| record.status);
    assert!(statuses.eq([Status::Live, Status::Ended]));
}

#[test]
fn an_end_is_told_and_fixes_the_count() {
    let mut world = World::new(&config(), 1);
    let a = world.connect(room(1), "a", Replay::None);
    let b = world.connect(room(1), "b", Replay::None);
    world.say(a, "x").unwrap();
    world.now += SECOND;
    world.events.clear();
    world.rooms.stop(world.time(), room(1)).unwrap();
    assert_eq!(world.say(a, "late"), Err(RoomError::Ended));
    world.turn();
    for client in [a, b] {
        assert!(world.clients[client].finished);
        let frames = frames(&world.clients[client].bytes);
        let reason = "the room has ended";
        assert_eq!(
            frames[frames.len() - 2..],
            [
                Frame::Text(json!({"type": "closing", "reason": reason})),
                Frame::Close(1000, reason.into()),
            ]
        );
        assert_eq!(world.clients[client].seqs(), [1]);
    }
    let record = changed(&mut world).pop().unwrap();
    assert_eq!((record.viewer_count, record.last_seq), (2, 1));
    assert_eq!(record.updated_at, START_MS + 1000);
    let view = serde_json::to_value(world.rooms.view(room(1)).unwrap()).unwrap();
    assert_eq!(
        view,
        json!({
            "id": 1, "anchor_id": "anchor", "title": "A room", "cover": "", "status": 2,
            "viewer_count": 2, "created_at": "2023-11-14T22:13:20.000Z",
            "updated_at": "2023-11-14T22:13:21.000Z",
        })
    );
    assert_eq!((world.rooms.members(), world.rooms.user_count()), (0, 0));
}

#[test]
fn members_that_do_not_take_the_end_are_cut_some_in_each_tick() {
    let mut world = World::new(&config(), 1);
    for n in 0..600 {
        let client = world.connect(room(1), &format!("u{n}"), Replay::None);
        world.clients[client].space = 0;
    }
    world.rooms.stop(world.time(), room(1)).unwrap();
    world.run_for(CLOSE_TIMEOUT - SECOND / 10);
    assert_eq!(world.rooms.members(), 600);
    world.run_for(SECOND / 5);
    assert_eq!(world.rooms.members(), 0);
    assert_eq!(world.cuts(), 600);
}

#[test]
fn a_drain_sends_everybody_away_and_keeps_the_rooms_live() {
    let mut world = World::new(&config(), 2);
    let a = world.connect(room(1), "a", Replay::None);
    world
        .rooms
        .drain(world.time(), "the server is shutting down");
    world.turn();
    let frames = frames(&world.clients[a].bytes);
    assert_eq!(
        frames.last(),
        Some(&Frame::Close(1001, "the server is shutting down".into()))
    );
    let (time, id) = (world.time(), room(1));
    assert_eq!(world.rooms.admits(id), Err(RoomError::Draining));
    assert_eq!(
        world.rooms.join(time, id, &user("b")),
        Err(RoomError::Draining)
    );
    assert_eq!(world.say(a, "x"), Err(RoomError::Draining));
    assert_eq!(world.rooms.record(id).unwrap().status, Status::Live);
    assert_eq!(world.rooms.members(), 0);
}

#[test]
fn a_room_that_came_back_ends_without_its_anchor() {
    let live = |id| RoomRecord {
        status: Status::Live,
        ..record(id)
    };
    let minutes = |n: u64| Duration::from_secs(60 * n);
    type Sign = fn(&mut World);
    let signs: [(Sign, bool); 5] = [
        (|_| (), false),
        (
            |world| _ = world.connect(room(1), "fan", Replay::None),
            false,
        ),
        (
            |world| _ = world.connect(room(1), "anchor", Replay::None),
            true,
        ),
        (
            |world| {
                world
                    .rooms
                    .join(world.time(), room(1), &user("anchor"))
                    .unwrap()
            },
            true,
        ),
        (
            |world| world.rooms.heard_of_anchor(room(1), &user("anchor")),
            true,
        ),
    ];
    for (sign, goes_on) in signs {
        let mut world = World::new(&config(), 0);
        world.rooms.restore(world.time(), live(1), Vec::new());
        world.run_for(minutes(9));
        sign(&mut world);
        world.run_for(minutes(2));
        let status = world.rooms.record(room(1)).unwrap().status;
        assert_eq!(status == Status::Live, goes_on);
        assert_eq!(changed(&mut world).len(), usize::from(!goes_on));
    }
}

#[test]
fn an_ended_room_is_forgotten_after_its_retention() {
    let config = config::Rooms {
        retention: 100 * SECOND,
        ..config()
    };
    let mut world = World::new(&config, 1);
    world.run_for(SECOND);
    world.rooms.stop(world.time(), room(1)).unwrap();
    // Ended before the restart.
    let old = RoomRecord {
        status: Status::Ended,
        updated_at: START_MS - 50_000,
        ..record(2)
    };
    world.rooms.restore(world.time(), old, Vec::new());
    let removed = |world: &World, id| {
        let is = |event: &RoomEvent| matches!(event, RoomEvent::Removed(it) if *it == room(id));
        world.events.iter().any(is)
    };
    world.run_for(48 * SECOND);
    assert!(!removed(&world, 2));
    world.run_for(3 * SECOND);
    assert!(removed(&world, 2) && !removed(&world, 1));
    world.run_for(50 * SECOND);
    assert!(removed(&world, 1));
    assert!(world.rooms.is_empty() && world.rooms.wheel.is_empty());

    // Never started.
    let now = world.time();
    let idle = RoomRecord {
        created_at: now.unix_ms,
        updated_at: now.unix_ms,
        ..record(3)
    };
    world.rooms.insert(now, idle.clone());
    world.rooms.insert(
        now,
        RoomRecord {
            id: room(4),
            ..idle
        },
    );
    world.run_for(90 * SECOND);
    world.rooms.start(world.time(), room(4)).unwrap();
    world.run_for(11 * SECOND);
    assert!(removed(&world, 3) && !removed(&world, 4));
    world.rooms.stop(world.time(), room(4)).unwrap();
    world.run_for(99 * SECOND);
    assert!(!removed(&world, 4));
    world.run_for(2 * SECOND);
    assert!(removed(&world, 4));
}

#[test]
fn rooms_are_forgotten_some_in_each_tick() {
    let mut world = World::new(&config(), 0);
    for n in 1..=100 {
        let old = RoomRecord {
            status: Status::Ended,
            updated_at: 0,
            ..record(n)
        };
        world.rooms.restore(world.time(), old, Vec::new());
    }
    world.tick();
    let left = world.rooms.len();
    assert!((50..100).contains(&left), "{left}");
    for _ in 0..20 {
        world.tick();
    }
    assert!(world.rooms.is_empty());
}

#[test]
fn rooms_that_have_not_ended_are_counted_by_their_anchor() {
    let config = config::Rooms {
        retention: 100 * SECOND,
        ..config()
    };
    let mut world = World::new(&config, 2);
    let time = world.time();
    let idle = RoomRecord {
        updated_at: time.unix_ms,
        ..record(3)
    };
    world.rooms.insert(time, idle.clone());
    world.rooms.insert(
        time,
        RoomRecord {
            id: room(4),
            ..idle
        },
    );
    let other = RoomRecord {
        anchor: user("other"),
        ..record(5)
    };
    let ended = RoomRecord {
        status: Status::Ended,
        id: room(6),
        ..other.clone()
    };
    world.rooms.restore(time, other, Vec::new());
    world.rooms.restore(time, ended, Vec::new());
    let counts = |world: &World| {
        ["anchor", "other", "nobody"].map(|name| world.rooms.open_rooms(&user(name)))
    };
    assert_eq!(counts(&world), [4, 1, 0]);
    world.rooms.remove(room(3));
    world.rooms.stop(time, room(1)).unwrap();
    assert_eq!(counts(&world), [2, 1, 0]);
    world.run_for(101 * SECOND);
    assert_eq!(counts(&world), [1, 0, 0], "the idle ones went");
    assert_eq!(world.rooms.len(), 1);
}

#[test]
fn rooms_are_listed_in_pages_by_status() {
    let mut world = World::new(&config(), 4);
    let time = world.time();
    world.rooms.insert(time, record(7));
    world.rooms.stop(time, room(2)).unwrap();
    let list = |status, after: Option<u64>, limit| -> Vec<u64> {
        let filter = RoomFilter {
            status,
            after: after.map(room),
            limit,
        };
        let views = world.rooms.list(&filter).into_iter();
        views.map(|view| view.id.get()).collect()
    };
    assert_eq!(list(None, None, 10), [1, 2, 3, 4, 7]);
    assert_eq!(list(None, Some(2), 2), [3, 4]);
    assert_eq!(list(Some(Status::Live), Some(1), 10), [3, 4]);
    assert_eq!(list(Some(Status::Ended), None, 10), [2]);
    assert_eq!(list(Some(Status::Idle), None, 10), [7]);
}

#[test]
fn a_room_that_could_not_be_stored_is_taken_back() {
    let mut world = World::new(&config(), 1);
    world.rooms.insert(world.time(), record(7));
    world.rooms.remove(room(7));
    world.rooms.remove(room(1));
    assert_eq!(
        (world.rooms.len(), world.rooms.contains(room(7))),
        (1, false)
    );
}

#[test]
fn the_ranking_moves_with_what_goes_on() {
    let mut world = World::new(&config(), 3);
    let a = world.connect(room(1), "a", Replay::None);
    let b = world.connect(room(2), "b", Replay::None);
    let hot = |world: &mut World| -> Vec<(u64, f64)> {
        let time = world.time();
        let rooms = world.rooms.hot(time, 2).into_iter();
        rooms.map(|room| (room.room_id.get(), room.heat)).collect()
    };
    world.say(a, "x").unwrap();
    world.run_for(SECOND);
    let ranking = hot(&mut world);
    assert_eq!((ranking[0].0, ranking[1]), (1, (2, 5.0)));
    assert!(ranking[0].1 > 5.99 && ranking[0].1 < 6.0, "{ranking:?}");
    let gift = r#"{"type":"gift","content":"rose","data":{"value":5,"count":2}}"#;
    world.send(b, gift, false).unwrap();
    assert_eq!(hot(&mut world)[0].0, 1, "not more often than once a second");
    world.now += SECOND;
    let ranking = hot(&mut world);
    assert_eq!((ranking[0].0, ranking[1].0), (2, 1));
    assert!(ranking[0].1 > 15.9 && ranking[0].1 < 16.0, "it decays");
    world.rooms.stop(world.time(), room(2)).unwrap();
    assert_eq!(hot(&mut world)[0].0, 1, "an ended room is not hot");
}
