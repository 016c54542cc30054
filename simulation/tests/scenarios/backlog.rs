//! Live rooms: members whose sockets are full, or who send too much.

use std::collections::HashMap;
use std::time::Duration;

use executor::TICK;
use media_service::limits::{Cap, MEMBER_MESSAGES_PER_TURN, PAUSED_MEMBERS_PER_TURN};
use serde_json::json;
use tungstenite::Message;

use simulation::{Sim, Socket, numbers};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_member_that_does_not_read_and_sends_on_keeps_nobody_busy() {
    let mut sim = Sim::new(1, 83);
    let room = sim.live_room(0);
    let (mut ann, mut bob, mut deaf) = (
        sim.member(room, "ann"),
        sim.member(room, "bob"),
        sim.member(room, "deaf"),
    );
    // It takes a hundred bytes more each time: it is in the middle of the room's frames and of its own.
    for _ in 0..10 {
        let wire = sim.wire(deaf.client);
        wire.window = wire.to_client.len() + 100;
        ann.say(&mut sim, &"x".repeat(150));
        sim.run_for(20 * MS);
        deaf.send(&mut sim, &json!([]));
        deaf.send(&mut sim, &json!({"type": "danmu", "content": "?", "id": 1}));
        deaf.send_message(&mut sim, Message::Ping("?".into()));
        deaf.send_message(&mut sim, Message::binary(vec![0; 10]));
        sim.run_for(80 * MS);
    }
    let all: Vec<u64> = (1..=12).collect();
    bob.say(&mut sim, "all is well");
    assert_eq!(numbers(&bob.listen(&mut sim, 100 * MS)), all);

    // What it was told in between is whole, and in order.
    sim.wire(deaf.client).window = usize::MAX;
    let heard = deaf.listen(&mut sim, 100 * MS);
    assert_eq!(numbers(&heard), all);
    let told = |kind: &str| heard.iter().filter(|frame| frame["type"] == kind).count();
    assert_eq!((told("error"), told("ack")), (20, 10));
}

#[test]
fn a_member_that_blocks_in_a_frame_of_its_own_is_waited_for_like_any_other() {
    let mut sim = Sim::with(1, 84, |config| {
        config.rooms.member_rate = Cap::OFF;
        config.rooms.recent = 5;
    });
    let room = sim.live_room(0);
    let (mut ann, mut slow) = (sim.member(room, "ann"), sim.member(room, "slow"));
    let block = |sim: &mut Sim, slow: &mut Socket| {
        slow.listen(sim, 2 * SECOND);
        sim.wire(slow.client).window = 10;
        slow.send(sim, &json!([]));
        sim.run_for(20 * MS);
    };
    block(&mut sim, &mut slow);
    for n in 0..50 {
        ann.say(&mut sim, &format!("{n}"));
        sim.run_for(30 * MS);
    }
    sim.wire(slow.client).window = usize::MAX;
    let heard = slow.listen(&mut sim, 100 * MS);
    assert_eq!(heard[0]["code"], "bad_message");
    assert_eq!(numbers(&heard), (1..=50).collect::<Vec<_>>());

    block(&mut sim, &mut slow);
    for n in 0..300 {
        ann.say(&mut sim, &format!("{n}"));
        sim.run_for(5 * MS);
    }
    sim.run_for(SECOND);
    sim.wire(slow.client).window = usize::MAX;
    slow.expect(&mut sim, "error");
    assert_eq!(slow.closed(&mut sim), Some(1008));
    assert_eq!(sim.metrics().sum("media_room_members_cut_total", &[]), 1.0);
}

#[test]
fn what_a_member_alone_is_told_waits_for_one_frame_of_its_room() {
    let mut sim = Sim::new(1, 87);
    let room = sim.live_room(0);
    let (mut ann, mut slow) = (sim.member(room, "ann"), sim.member(room, "slow"));
    slow.listen(&mut sim, 2 * SECOND);
    sim.wire(slow.client).window = 50;
    for n in 0..10 {
        ann.say(&mut sim, &format!("{n}"));
    }
    sim.run_for(100 * MS);
    slow.send(&mut sim, &json!([]));
    sim.run_for(100 * MS);
    sim.wire(slow.client).window = usize::MAX;
    let heard = slow.listen(&mut sim, 100 * MS);
    let kinds: Vec<&str> = heard.iter().filter_map(|it| it["type"].as_str()).collect();
    assert_eq!(kinds[..3], ["danmu", "error", "danmu"]);
    assert_eq!(numbers(&heard), (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_flood_of_many_is_shared_out_over_turns() {
    share_out_a_flood(usize::MAX);
}

#[test]
fn a_flood_over_tls_is_shared_out_over_turns() {
    share_out_a_flood(40);
}

fn share_out_a_flood(record_bytes: usize) {
    const MEMBERS: usize = 24;
    const EACH: usize = 5 * MEMBER_MESSAGES_PER_TURN;
    let mut sim = Sim::with(1, 88, |config| {
        config.rooms.member_rate = Cap::OFF;
    });
    let room = sim.live_room(0);
    let mut members: Vec<Socket> = (0..MEMBERS)
        .map(|n| sim.member(room, &format!("user-{n}")))
        .collect();
    sim.record_bytes = record_bytes;
    for member in &mut members {
        for _ in 0..EACH {
            member.say(&mut sim, "x");
        }
    }
    let before = sim.turns;
    let steps = 40;
    let frames = members[0].listen(&mut sim, steps * TICK);
    assert_eq!(numbers(&frames).len(), MEMBERS * EACH);
    // Of five turns' worth each, the first is handled as it is read.
    let shares = 4 * MEMBERS / PAUSED_MEMBERS_PER_TURN;
    let turns = sim.turns - before - steps as usize;
    assert!(turns >= shares * 3 / 4, "{turns} turns for {shares} shares");

    // Nobody is served to the end before the others.
    let mut said: HashMap<&str, usize> = HashMap::new();
    let danmu = frames.iter().filter(|frame| frame["type"] == "danmu");
    for user in danmu.filter_map(|frame| frame["user_id"].as_str()) {
        *said.entry(user).or_default() += 1;
        if said[user] == EACH {
            break;
        }
    }
    let least = said.values().min();
    let fair = said.len() == MEMBERS && least >= Some(&MEMBER_MESSAGES_PER_TURN);
    assert!(fair, "{said:?}");
}
