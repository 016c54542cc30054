//! What members are sent, first and after they come back.

use serde_json::json;

use super::super::sweep::APART_LEAST;
use super::super::*;
use super::world::{Frame, START_MS, World, config, frames, room, user};
use super::{record, row};
use crate::limits::Cap;
use crate::store::MessageRow;

#[test]
fn everybody_gets_the_message_as_the_server_completed_it_the_sender_too() {
    let mut world = World::new(&config(), 1);
    let a = world.connect(room(1), "a", Replay::None);
    let b = world.connect(room(1), "b", Replay::None);
    assert_eq!(
        world.clients[b].hello,
        json!({"type": "hello", "room_id": 1, "epoch": 1, "seq": 0, "viewer_count": 2})
    );
    world.say(a, "hi").unwrap();
    world.turn();
    let message = json!({
        "type": "danmu", "room_id": 1, "user_id": "a", "content": "hi",
        "timestamp": START_MS, "trace_id": "07".repeat(16), "seq": 1,
    });
    for client in [a, b] {
        let got = frames(&world.clients[client].bytes);
        assert_eq!(got, [Frame::Text(message.clone())]);
    }
    let c = world.connect(room(1), "c", Replay::None);
    assert_eq!(world.clients[c].hello["seq"], 1);
    world.turn();
    assert!(world.clients[c].bytes.is_empty(), "nothing before it came");
    assert_eq!(world.rooms.counters().deliveries, 2);
}

#[test]
fn who_comes_back_gets_what_it_missed() {
    let config = config::Rooms {
        recent: 10,
        ..config()
    };
    let mut world = World::new(&config, 1);
    let talker = world.connect(room(1), "talker", Replay::None);
    for n in 1..=30 {
        world.say(talker, &format!("{n}")).unwrap();
        world.run_for(Duration::from_millis(2));
    }
    let since = |seq, epoch| Replay::Since { seq, epoch };
    let table = [
        (since(30, 1), None, vec![]),
        (since(27, 1), None, vec![28, 29, 30]),
        (since(20, 1), None, (21..=30).collect()),
        (since(19, 1), Some(21), (21..=30).collect()),
        (since(0, 1), Some(21), (21..=30).collect()),
        (since(31, 1), Some(21), (21..=30).collect()),
        (since(u64::MAX, 1), Some(21), (21..=30).collect()),
        (since(27, 2), Some(21), (21..=30).collect()),
        (Replay::Recent(3), None, vec![28, 29, 30]),
        (Replay::Recent(0), None, vec![]),
        (Replay::Recent(usize::MAX), None, (21..=30).collect()),
    ];
    for (replay, truncated, seqs) in table {
        let client = world.connect(room(1), "back", replay);
        world.turn();
        let client = &world.clients[client];
        let frame = |from| json!({"type": "system", "code": "history_truncated", "from": from});
        assert_eq!(client.truncated, truncated.map(frame), "{replay:?}");
        assert_eq!(client.seqs(), seqs, "{replay:?}");
        assert_eq!(client.hello["seq"], 30);
    }
    assert_eq!(world.rooms.counters().replays, 10);
    assert_eq!(world.rooms.counters().replays_truncated, 5);
}

#[test]
fn a_replay_and_messages_of_its_turn_do_not_tread_on_each_other() {
    let config = config::Rooms {
        recent: 3,
        ..config()
    };
    let mut world = World::new(&config, 1);
    let talker = world.connect(room(1), "talker", Replay::None);
    for _ in 0..3 {
        world.say(talker, "x").unwrap();
    }
    world.run_for(Duration::from_secs(2));
    let back = world.connect(room(1), "back", Replay::Since { seq: 0, epoch: 1 });
    for _ in 0..5 {
        world.say(talker, "x").unwrap();
    }
    world.turn();
    assert_eq!(world.clients[back].seqs(), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn frames_of_ones_own_fit_between_two_of_the_room_alone() {
    let mut world = World::new(&config(), 1);
    let slow = world.connect(room(1), "slow", Replay::None);
    assert!(world.rooms.at_boundary(world.clients[slow].key));
    world.say(slow, "one").unwrap();
    world.say(slow, "two").unwrap();
    world.clients[slow].space = 50;
    world.turn();
    assert!(!world.rooms.at_boundary(world.clients[slow].key));
    let frame = world.clients[slow].bytes[1] as usize;
    assert_eq!(frame, 126);
    let length = 4 + u16::from_be_bytes(world.clients[slow].bytes[2..4].try_into().unwrap());
    world.make_space(slow, usize::from(length) - 50);
    assert!(world.rooms.at_boundary(world.clients[slow].key));
    world.make_space(slow, 1);
    assert!(!world.rooms.at_boundary(world.clients[slow].key));
    world.make_space(slow, usize::MAX);
    assert_eq!(world.clients[slow].seqs(), [1, 2]);
}

#[test]
fn a_message_sent_again_is_not_said_again() {
    let mut world = World::new(&config(), 1);
    let text = r#"{"type":"danmu","content":"hi","id":"m-1"}"#;
    let a = world.connect(room(1), "a", Replay::None);
    let b = world.connect(room(1), "b", Replay::None);
    assert_eq!(world.send(a, text, false), Ok(1));
    world.disconnect(a);
    let a = world.connect(room(1), "a", Replay::None);
    for _ in 0..5 {
        assert_eq!(world.send(a, text, false), Ok(1));
    }
    let other = r#"{"type":"danmu","content":"bye","id":"m-1"}"#;
    assert_eq!(world.send(a, other, false), Err(RoomError::IdReused));
    assert_eq!(world.send(b, text, false), Ok(2), "another user's id");
    world.turn();
    assert_eq!(world.clients[b].seqs(), [1, 2]);
    assert_eq!(world.rooms.counters().repeated, 5);
}

#[test]
fn members_and_rooms_have_their_rates() {
    let config = config::Rooms {
        member_rate: Cap::new(10),
        member_burst: 20,
        message_rate: Cap::new(50),
        ..config()
    };
    let mut world = World::new(&config, 2);
    let members: Vec<usize> = (0..4)
        .map(|n| world.connect(room(1), &format!("u{n}"), Replay::None))
        .collect();
    let elsewhere = world.connect(room(2), "u0", Replay::None);
    for _ in 0..20 {
        world.say(members[0], "x").unwrap();
    }
    assert_eq!(world.say(members[0], "x"), Err(RoomError::RateLimited));
    for _ in 0..20 {
        world.say(members[1], "x").unwrap();
    }
    for _ in 0..10 {
        world.say(members[2], "x").unwrap();
    }
    assert_eq!(world.say(members[3], "x"), Err(RoomError::RoomBusy));
    world.say(elsewhere, "x").unwrap();
    world.run_for(Duration::from_millis(500));
    for _ in 0..5 {
        world.say(members[0], "x").unwrap();
    }
    assert_eq!(world.say(members[0], "x"), Err(RoomError::RateLimited));
    assert_eq!(world.rooms.counters().danmu, 56);
}

#[test]
fn a_user_has_one_rate_whatever_it_does() {
    let config = config::Rooms {
        member_rate: Cap::new(10),
        member_burst: 20,
        ..config()
    };
    let mut world = World::new(&config, 1);
    let text = r#"{"type":"danmu","content":"hi","id":"m-1"}"#;
    let refused = Err(RoomError::RateLimited);

    // Sent again is sent.
    let a = world.connect(room(1), "a", Replay::None);
    for _ in 0..20 {
        assert_eq!(world.send(a, text, false), Ok(1));
    }
    assert_eq!(world.send(a, text, false), refused);

    // Another socket has no more to say.
    let second = world.connect(room(1), "a", Replay::None);
    assert_eq!(world.say(second, "x"), refused);

    // Nor has whoever comes back, until as much time has passed.
    world.disconnect(a);
    world.disconnect(second);
    let back = world.connect(room(1), "a", Replay::None);
    assert_eq!(world.say(back, "x"), refused);
    world.disconnect(back);
    world.run_for(Duration::from_millis(1500));
    let back = world.connect(room(1), "a", Replay::None);
    for _ in 0..15 {
        world.say(back, "x").unwrap();
    }
    assert_eq!(world.say(back, "x"), refused);

    // Nothing is kept of one who is away for longer.
    world.disconnect(back);
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.timers(), 0);
    let back = world.connect(room(1), "a", Replay::None);
    for _ in 0..20 {
        world.say(back, "x").unwrap();
    }
    assert_eq!(world.say(back, "x"), refused);
}

#[test]
fn announcements_are_the_privilege_of_some() {
    let mut world = World::new(&config(), 1);
    let a = world.connect(room(1), "a", Replay::None);
    let text = r#"{"type":"system","content":"Welcome"}"#;
    assert_eq!(world.send(a, text, false), Err(RoomError::Forbidden));
    assert_eq!(world.send(a, text, true), Ok(1));
}

#[test]
fn a_room_that_comes_back_goes_on_where_it_was() {
    let mut world = World::new(&config(), 0);
    let stored = RoomRecord {
        status: Status::Live,
        epoch: 3,
        last_seq: 7,
        ..record(9)
    };
    // 4 was not stored.
    let rows = [2, 3, 5, 6, 7].map(|seq| row(9, 3, seq)).to_vec();
    world.rooms.restore(world.time(), stored.clone(), rows);
    let back = world.connect(room(9), "a", Replay::Since { seq: 5, epoch: 3 });
    let far = world.connect(room(9), "b", Replay::Since { seq: 2, epoch: 3 });
    assert_eq!(world.say(back, "x"), Ok(8));
    world.turn();
    assert_eq!(world.clients[back].seqs(), [6, 7, 8]);
    assert_eq!(world.clients[far].truncated.as_ref().unwrap()["from"], 5);
    assert_eq!(world.clients[far].seqs(), [5, 6, 7, 8]);

    // The newest was not stored: nothing that is held leads up to what comes next.
    let stored = RoomRecord {
        last_seq: 8,
        ..stored
    };
    let mut world = World::new(&config(), 0);
    let rows = [6, 7].map(|seq| row(9, 3, seq)).to_vec();
    world.rooms.restore(world.time(), stored, rows);
    let back = world.connect(room(9), "a", Replay::Since { seq: 6, epoch: 3 });
    assert_eq!(world.clients[back].truncated.as_ref().unwrap()["from"], 9);
    assert_eq!(world.say(back, "x"), Ok(9));
}

#[test]
fn many_rooms_share_the_memory_for_what_they_have_said() {
    const KEPT: u64 = 1 << 20;
    let mut world = World::new(&config(), 0);
    world.rooms.kept.most = KEPT;
    let text = "x".repeat(1000);
    let held = |world: &World| {
        let logs = (1..=100).filter_map(|n| world.rooms.room(room(n)).ok()?.live.as_ref());
        let held: u64 = logs.map(|live| live.log.held()).sum();
        assert_eq!(held, world.rooms.kept.bytes);
        held
    };
    let mut first = Vec::new();
    // Each says 200 kB, one after the other.
    for n in 1..=100 {
        world.rooms.insert(world.time(), record(n));
        world.rooms.start(world.time(), room(n)).unwrap();
        let talker = world.connect(room(n), "talker", Replay::None);
        for _ in 0..200 {
            world.say(talker, &text).unwrap();
            world.turn();
            world.now += APART_LEAST;
        }
        first.push(world.clients[talker].seqs().len());
        assert!(held(&world) < KEPT + KEPT / 8, "{n}: {}", held(&world));
    }
    assert!(first.iter().all(|&count| count == 200));
    // The quiet ones have what is theirs, and have given back what was not.
    let back = world.connect(room(1), "back", Replay::Recent(usize::MAX));
    world.turn();
    let count = world.clients[back].seqs().len() as u64;
    assert!((5..=KEPT / 1000 / 5).contains(&count), "{count}");
    for n in 1..=100 {
        world.rooms.stop(world.time(), room(n)).unwrap();
    }
    world.run_for(Duration::from_secs(6));
    assert_eq!(world.rooms.kept.bytes, 0);

    // Rooms that come back have no more.
    let mut world = World::new(&config(), 0);
    world.rooms.kept.most = KEPT;
    for n in 1..=100 {
        let mut rows: Vec<MessageRow> = (1..=200).map(|seq| row(n, 1, seq)).collect();
        for row in &mut rows {
            row.text = format!("{{\"content\":\"{text}\",\"seq\":{}}}", row.seq).into();
        }
        let stored = RoomRecord {
            status: Status::Live,
            last_seq: 200,
            ..record(n)
        };
        world.rooms.restore(world.time(), stored, rows);
    }
    assert!(held(&world) < 2 * KEPT, "{}", held(&world));
}

#[test]
fn nothing_but_its_records_leaves_a_room_at_a_clean_shutdown() {
    let mut world = World::new(&config(), 3);
    let a = world.connect(room(2), "a", Replay::None);
    world.say(a, "x").unwrap();
    world.run_for(Duration::from_secs(1));
    let records = world.rooms.records_to_save(world.time());
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].id, records[0].last_seq), (room(2), 1));
    assert!(records[0].heat > 5.9 && records[0].status == Status::Live);
    assert!(world.rooms.records_to_save(world.time()).is_empty());
    assert!(world.rooms.online(&user("a")));
}
