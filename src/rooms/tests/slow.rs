//! Members that do not read, and the pace of those that do.

use super::super::log::LOG_BYTES;
use super::super::sweep::{APART_LEAST, PAUSE_MOST};
use super::super::*;
use super::world::{World, config, room};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_member_that_reads_nothing_is_behind_after_the_queue_is_full_and_nobody_else_notices() {
    let mut world = World::new(&config(), 1);
    let well = world.connect(room(1), "well", Replay::None);
    let deaf = world.connect(room(1), "deaf", Replay::None);
    world.run_for(2000 * MS);
    world.clients[deaf].space = 0;
    let key = world.clients[deaf].key;
    let blocked_at = world.now;
    for n in 0..257 {
        assert_eq!(world.rooms.backlog(key).behind_since, None, "{n}");
        world.say(well, "x").unwrap();
        world.turn();
        world.now += MS;
    }
    let since = world.now - MS;
    let near = |at: Option<Instant>, expected: Instant| {
        let at = at.expect("since some time");
        at <= expected && expected - at <= MS
    };
    let backlog = world.rooms.backlog(key);
    assert!(near(backlog.behind_since, since), "{backlog:?} {since:?}");
    assert!(near(backlog.blocked_since, blocked_at), "{backlog:?}");
    assert_eq!(world.clients[well].seqs().len(), 257);

    // It takes a little, and stays behind: that is since then.
    world.now += 100 * MS;
    for _ in 0..10 {
        world.say(well, "x").unwrap();
    }
    world.make_space(deaf, 300);
    let backlog = world.rooms.backlog(key);
    assert!(near(backlog.behind_since, since), "{backlog:?}");
    assert!(near(backlog.blocked_since, world.now), "progress");

    world.make_space(deaf, 30_000);
    assert_eq!(world.rooms.backlog(key).behind_since, None);
    world.make_space(deaf, usize::MAX);
    assert_eq!(world.rooms.backlog(key).blocked_since, None);
    world.turn();
    assert_eq!(world.clients[deaf].seqs(), world.clients[well].seqs());
}

#[test]
fn what_was_before_a_member_does_not_make_it_slow() {
    let mut world = World::new(&config(), 1);
    let talker = world.connect(room(1), "talker", Replay::None);
    for _ in 0..1000 {
        world.say(talker, "x").unwrap();
        world.turn();
    }
    let back = world.connect(room(1), "back", Replay::Since { seq: 0, epoch: 1 });
    world.clients[back].space = 1000;
    world.turn();
    world.now += 1500 * MS;
    world.make_space(back, 1000);
    let backlog = world.rooms.backlog(world.clients[back].key);
    assert_eq!(backlog.behind_since, None);
    assert!(backlog.blocked_since.is_some());
    world.make_space(back, usize::MAX);
    assert_eq!(world.clients[back].seqs().len(), 1000);
}

#[test]
fn what_a_blocked_member_has_not_taken_is_held_for_two_seconds_and_not_for_ever() {
    let config = config::Rooms {
        recent: 10,
        ..config()
    };
    let mut world = World::new(&config, 1);
    let well = world.connect(room(1), "well", Replay::None);
    let [patient, deaf] = ["patient", "deaf"].map(|name| {
        let client = world.connect(room(1), name, Replay::None);
        world.clients[client].space = 0;
        client
    });
    for _ in 0..195 {
        world.say(well, "x").unwrap();
        world.run_for(10 * MS);
    }
    world.make_space(patient, usize::MAX);
    assert_eq!(world.clients[patient].seqs().len(), 195);
    assert!(!world.clients[deaf].cut);
    for _ in 0..250 {
        world.say(well, "x").unwrap();
        world.run_for(10 * MS);
    }
    assert!(world.clients[deaf].cut);
    assert_eq!(world.cuts(), 1);
    assert_eq!(world.clients[patient].seqs().len(), 445);

    // Nobody is blocked any more: the log is the recent messages again.
    world.run_for(5000 * MS);
    let late = world.connect(room(1), "late", Replay::Since { seq: 0, epoch: 1 });
    assert_eq!(world.clients[late].truncated.as_ref().unwrap()["from"], 436);
}

#[test]
fn members_that_come_for_old_messages_and_do_not_read_them_cannot_fill_the_log() {
    let mut world = World::new(&config(), 1);
    let talker = world.connect(room(1), "talker", Replay::None);
    let text = "x".repeat(1500);
    let mut last: Option<usize> = None;
    // 30 MB, in which somebody is blocked all the time.
    for n in 0..40 {
        let deaf = world.connect(room(1), &format!("deaf{n}"), Replay::Recent(usize::MAX));
        world.clients[deaf].space = 0;
        for _ in 0..500 {
            world.say(talker, &text).unwrap();
        }
        world.run_for(1000 * MS);
        if let Some(last) = last.replace(deaf) {
            world.disconnect(last);
        }
        assert!(!world.clients[deaf].cut, "it is given its two seconds");
    }
}

#[test]
fn a_member_that_is_left_behind_in_the_middle_of_a_sweep_is_cut_all_the_same() {
    let config = config::Rooms {
        recent: 1,
        ..config()
    };
    for turns in 0..8 {
        let mut world = World::new(&config, 1);
        world.slice = 1;
        let members: Vec<usize> = (0..6)
            .map(|n| world.connect(room(1), &format!("u{n}"), Replay::None))
            .collect();
        world.clients[members[0]].space = 0;
        world.say(members[1], "x").unwrap();
        world.run_for(3995 * MS);
        world.say(members[1], "x").unwrap();
        for _ in 0..turns {
            world.turn();
        }
        world.run_for(3000 * MS);
        assert!(world.clients[members[0]].cut, "{turns}");
    }
}

#[test]
fn a_member_that_reads_nothing_does_not_fill_the_log() {
    let mut world = World::new(&config(), 1);
    let talker = world.connect(room(1), "talker", Replay::None);
    let [deaf, hesitant] = ["deaf", "hesitant"].map(|name| {
        let client = world.connect(room(1), name, Replay::None);
        world.clients[client].space = 0;
        client
    });
    let text = "x".repeat(2000);
    // 24 MB within a second.
    for n in 1..=12_000 {
        world.say(talker, &text).unwrap();
        world.turn();
        world.now += MS / 12;
        if n == 3_000 {
            assert_eq!(world.cuts(), 0, "6 MB behind");
            world.make_space(hesitant, usize::MAX);
        }
    }
    world.turn();
    assert!(world.clients[deaf].cut);
    for reader in [talker, hesitant] {
        assert_eq!(world.clients[reader].seqs().len(), 12_000);
    }
}

#[test]
fn a_full_log_refuses_messages_rather_than_leave_a_reader_behind() {
    let mut world = World::new(&config(), 1);
    let talker = world.connect(room(1), "talker", Replay::None);
    let reader = world.connect(room(1), "reader", Replay::None);
    let text = "x".repeat(2000);
    let mut said = 0;
    while world.say(talker, &text).is_ok() {
        said += 1;
    }
    assert_eq!(world.say(talker, &text), Err(RoomError::RoomBusy));
    assert!(said as u64 > LOG_BYTES / 2300, "{said}");
    world.run_for(10 * MS);
    assert_eq!(world.clients[reader].seqs().len(), said);
    world.say(talker, &text).unwrap();
}

#[test]
fn the_first_message_goes_at_once_and_the_next_after_the_time_of_its_sweep_and_a_quarter() {
    let mut world = World::new(&config(), 1);
    let members: Vec<usize> = (0..10)
        .map(|n| world.connect(room(1), &format!("u{n}"), Replay::None))
        .collect();
    world.run_for(2000 * MS);
    world.slice = 5;
    world.turn_takes = 2 * MS;
    world.say(members[0], "one").unwrap();
    assert!(world.rooms.deadline().is_some_and(|at| at <= world.now));
    assert!(world.turn(), "half of them");
    world.say(members[0], "two").unwrap();
    assert!(!world.turn());
    // Two turns of 2 ms.
    assert_eq!(world.rooms.deadline(), Some(world.now + 5 * MS));
    let all = Swept {
        took: 4 * MS,
        members: 10,
    };
    assert_eq!(world.rooms.swept(), [all]);
    world.now += 4 * MS;
    assert!(!world.turn());
    assert_eq!(world.clients[0].seqs(), [1], "not yet");
    assert_eq!(world.clients[9].seqs(), [1, 2], "it was swept later");
    world.now += MS;
    world.turn();
    assert_eq!(world.clients[0].seqs(), [1, 2]);
    assert_eq!(world.clients[9].seqs(), [1, 2]);

    // A sweep of a second does not make a pause of a second.
    world.run_for(2000 * MS);
    world.slice = 10;
    world.turn_takes = 1000 * MS;
    world.say(members[0], "three").unwrap();
    world.turn();
    world.say(members[0], "four").unwrap();
    assert_eq!(world.rooms.deadline(), Some(world.now + PAUSE_MOST));
}

#[test]
fn short_sweeps_begin_a_millisecond_apart() {
    let mut world = World::new(&config(), 1);
    let a = world.connect(room(1), "a", Replay::None);
    world.run_for(2000 * MS);
    world.turn_takes = Duration::from_micros(50);
    let began = world.now;
    world.say(a, "x").unwrap();
    world.turn();
    world.say(a, "x").unwrap();
    world.say(a, "x").unwrap();
    world.turn();
    assert_eq!(world.clients[a].seqs(), [1], "the others are gathered");
    assert_eq!(world.rooms.deadline(), Some(began + APART_LEAST));
    world.now = began + APART_LEAST;
    world.turn();
    assert_eq!(world.clients[a].seqs(), [1, 2, 3]);

    world.run_for(2 * MS);
    world.say(a, "x").unwrap();
    world.turn();
    assert_eq!(
        world.clients[a].seqs(),
        [1, 2, 3, 4],
        "after a pause, at once"
    );
}

#[test]
fn small_rooms_wait_for_one_slice_of_a_large_one() {
    let mut world = World::new(&config(), 2);
    for n in 0..1000 {
        world.connect(room(1), &format!("u{n}"), Replay::None);
    }
    let a = world.connect(room(2), "a", Replay::None);
    world.run_for(3000 * MS);
    world.say(0, "x").unwrap();
    assert!(world.turn());
    world.say(a, "y").unwrap();
    assert!(world.turn());
    assert!(world.turn());
    assert_eq!(world.clients[a].seqs(), [1]);
    let swept = |world: &World| {
        world
            .clients
            .iter()
            .filter(|c| !c.seqs().is_empty())
            .count()
    };
    assert!(swept(&world) <= 3 * world.slice);
    while world.turn() {}
    assert_eq!(swept(&world), 1001);
}

#[test]
fn an_idle_room_has_nothing_to_do() {
    let mut world = World::new(&config(), 1);
    let a = world.connect(room(1), "a", Replay::None);
    world.say(a, "x").unwrap();
    world.clients[a].space = 0;
    world.run_for(3000 * MS);
    world.make_space(a, usize::MAX);
    world.run_for(10_000 * MS);
    assert_eq!(world.rooms.deadline(), None);
    assert_eq!(world.timers(), 0);
}
