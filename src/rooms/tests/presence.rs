//! Who is there, and how the others learn of it.

use serde_json::json;

use super::super::people::{JOINS_MOST, PRESENCE_NAMES};
use super::super::*;
use super::world::{World, config, room, user};

const SECOND: Duration = Duration::from_secs(1);

fn names(world: &World, after: Option<&str>, limit: usize) -> (Vec<String>, Option<String>) {
    let after = after.map(user);
    let page = world.rooms.viewers(room(1), after.as_ref(), limit).unwrap();
    let names = page.viewers.iter().map(|viewer| viewer.user_id.to_string());
    (names.collect(), page.next_cursor.map(|id| id.to_string()))
}

#[test]
fn comings_and_goings_are_told_together_once_a_second() {
    let mut world = World::new(&config(), 1);
    let a = world.connect(room(1), "a", Replay::None);
    world.run_for(2 * SECOND);
    assert_eq!(
        world.clients[a].presence(),
        [json!({"type": "presence", "joined": ["a"], "left": [], "viewer_count": 1})]
    );
    let b = world.connect(room(1), "b", Replay::None);
    world.run_for(SECOND / 2);
    world.connect(room(1), "c", Replay::None);
    let passing = world.connect(room(1), "d", Replay::None);
    world.disconnect(passing);
    world.run_for(SECOND / 4);
    assert_eq!(world.clients[a].presence().len(), 1, "not yet");
    world.run_for(SECOND / 2);
    assert_eq!(
        world.clients[a].presence()[1..],
        [json!({"type": "presence", "joined": ["b", "c"], "left": [], "viewer_count": 3})]
    );
    // Away and back within the second: nobody need know.
    world.disconnect(b);
    let back = world.connect(room(1), "b", Replay::None);
    let second = world.connect(room(1), "c", Replay::None);
    world.run_for(2 * SECOND);
    assert_eq!(world.clients[a].presence().len(), 2);
    for quiet in [back, second] {
        let client = &world.clients[quiet];
        assert!(client.presence().is_empty(), "nothing has changed");
        assert_eq!(client.hello["viewer_count"], 3);
    }
    assert_eq!(world.rooms.counters().presence, 2);
    assert!(world.clients[a].seqs().is_empty(), "presence has no seq");
}

#[test]
fn five_thousand_joins_are_one_frame_with_some_of_the_names() {
    let mut world = World::new(&config(), 1);
    let a = world.connect(room(1), "a", Replay::None);
    world.run_for(2 * SECOND);
    for n in 0..5000 {
        world
            .rooms
            .join(world.time(), room(1), &user(&format!("u{n}")))
            .unwrap();
    }
    world.run_for(2 * SECOND);
    let frame = world.clients[a].presence().pop().unwrap();
    assert_eq!(frame["joined"].as_array().unwrap().len(), PRESENCE_NAMES);
    assert_eq!(
        (&frame["joined_count"], &frame["viewer_count"]),
        (&json!(5000), &json!(5001))
    );
    assert_eq!(frame.get("left_count"), None);
    assert_eq!(world.clients[a].presence().len(), 2);
}

#[test]
fn a_user_counts_once_however_it_is_there() {
    let mut world = World::new(&config(), 2);
    let first = world.connect(room(1), "a", Replay::None);
    let second = world.connect(room(1), "a", Replay::None);
    let time = world.time();
    for _ in 0..2 {
        world.rooms.join(time, room(1), &user("a")).unwrap();
    }
    world.connect(room(2), "a", Replay::None);
    assert_eq!(world.rooms.view(room(1)).unwrap().viewer_count, 1);
    assert_eq!((world.rooms.user_count(), world.rooms.members()), (1, 3));
    world.disconnect(first);
    world.rooms.leave(time, room(1), &user("a")).unwrap();
    assert_eq!(
        world.rooms.view(room(1)).unwrap().viewer_count,
        1,
        "a socket is left"
    );
    world.disconnect(second);
    assert_eq!(world.rooms.view(room(1)).unwrap().viewer_count, 0);
    assert!(world.rooms.online(&user("a")), "in the other room");
    assert!(world.rooms.users().eq([&user("a")]));
}

#[test]
fn a_join_without_a_socket_lapses_unless_it_is_repeated() {
    let mut world = World::new(&config(), 1);
    let viewers = |world: &World| world.rooms.view(room(1)).unwrap().viewer_count;
    let join = |world: &mut World, name: &str| {
        let time = world.time();
        world.rooms.join(time, room(1), &user(name)).unwrap();
    };
    join(&mut world, "a");
    join(&mut world, "b");
    world.run_for(50 * SECOND);
    join(&mut world, "a");
    world.run_for(15 * SECOND);
    assert_eq!(names(&world, None, 10).0, ["a"]);
    world.run_for(50 * SECOND);
    assert_eq!(viewers(&world), 0);
    // Another user in the same place is not taken for the one before.
    join(&mut world, "c");
    world.run_for(30 * SECOND);
    world
        .rooms
        .leave(world.time(), room(1), &user("c"))
        .unwrap();
    world
        .rooms
        .leave(world.time(), room(1), &user("c"))
        .unwrap();
    join(&mut world, "d");
    world.run_for(35 * SECOND);
    assert_eq!(viewers(&world), 1);
    world.run_for(30 * SECOND);
    assert_eq!(viewers(&world), 0);
}

#[test]
fn whoever_comes_and_goes_all_the_time_leaves_nothing_behind_and_adds_little() {
    let mut world = World::new(&config(), 2);
    let a = world.connect(room(2), "a", Replay::None);
    world.run_for(2 * SECOND);
    for _ in 0..1000 {
        let time = world.time();
        world.rooms.join(time, room(1), &user("b")).unwrap();
        world.rooms.leave(time, room(1), &user("b")).unwrap();
    }
    assert!(world.timers() <= 2, "{}", world.timers());
    world.run_for(2 * SECOND);
    let time = world.time();
    world.say(a, "x").unwrap();
    let hottest = &world.rooms.hot(time, 2)[0];
    assert_eq!(hottest.room_id, room(2));
    assert_eq!(world.rooms.view(room(1)).unwrap().viewer_count, 0);
    world.run_for(62 * SECOND);
    assert_eq!(world.timers(), 0);
}

#[test]
fn joins_without_a_socket_are_bounded_and_lapse_some_in_each_tick() {
    let mut world = World::new(&config(), 1);
    let a = world.connect(room(1), "a", Replay::None);
    let join = |world: &mut World, name: &str| {
        let time = world.time();
        world.rooms.join(time, room(1), &user(name))
    };
    for n in 0..JOINS_MOST {
        join(&mut world, &format!("u{n}")).unwrap();
    }
    assert_eq!(join(&mut world, "late"), Err(RoomError::RoomFull));
    assert_eq!(join(&mut world, "u7"), Ok(()), "it has joined before");
    world.connect(room(1), "late", Replay::None);
    world
        .rooms
        .leave(world.time(), room(1), &user("u0"))
        .unwrap();
    assert_eq!(join(&mut world, "later"), Ok(()));
    let viewers = |world: &World| world.rooms.view(room(1)).unwrap().viewer_count as usize;
    assert_eq!(viewers(&world), JOINS_MOST + 2);
    world.run_for(60 * SECOND);
    let left = viewers(&world);
    assert!(left > JOINS_MOST / 2, "{left}: not all at once");
    world.run_for(SECOND);
    assert_eq!(viewers(&world), 2);
    world.disconnect(a);
    assert_eq!(viewers(&world), 1);
}

#[test]
fn viewers_come_in_pages() {
    let mut world = World::new(&config(), 1);
    for name in ["c", "a", "b", "a"] {
        world.connect(room(1), name, Replay::None);
    }
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(
        names(&world, None, 2),
        (vec!["a".into(), "b".into()], some("b"))
    );
    assert_eq!(names(&world, Some("b"), 2), (vec!["c".into()], None));
    assert_eq!(names(&world, None, 3).1, None);
    let page = world.rooms.viewers(room(1), None, 1).unwrap();
    assert_eq!(
        serde_json::to_value(page).unwrap(),
        json!({
            "viewers": [{"user_id": "a", "joined_at": "2023-11-14T22:13:20.000Z"}],
            "next_cursor": "a",
        })
    );
    assert_eq!(
        world.rooms.viewers(room(9), None, 1),
        Err(RoomError::Unknown)
    );
}
