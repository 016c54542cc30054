//! Whatever members do and however their sockets behave, each of them sees its room's messages in
//! order, none missing, none twice.

use proptest::prelude::*;

use super::super::members::BLOCKED_HOLD;
use super::super::*;
use super::world::{World, config, room};

const ROOMS: u64 = 2;

#[derive(Debug, Clone)]
enum Step {
    Connect(u64, Replay),
    /// The epoch is right, the number counts back from the room's last.
    Since(u64, u64),
    Reconnect(usize),
    Disconnect(usize),
    Say(usize, usize),
    /// The socket takes so many bytes from now on.
    Space(usize, usize),
    Turn(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..64usize;
    let room = 1..=ROOMS;
    prop_oneof![
        2 => room.clone().prop_map(|room| Step::Connect(room, Replay::None)),
        1 => (room.clone(), 0..12usize).prop_map(|(room, n)| Step::Connect(room, Replay::Recent(n))),
        1 => (room, 0..12u64).prop_map(|(room, back)| Step::Since(room, back)),
        2 => client.clone().prop_map(Step::Reconnect),
        1 => client.clone().prop_map(Step::Disconnect),
        8 => (client.clone(), 0..300usize).prop_map(|(client, length)| Step::Say(client, length)),
        2 => (client.clone(), 0..400usize).prop_map(|(client, space)| Step::Space(client, space)),
        2 => client.prop_map(|client| Step::Space(client, usize::MAX)),
        8 => prop_oneof![Just(0), 0..60u64].prop_map(Step::Turn),
        1 => (0..5000u64).prop_map(Step::Wait),
    ]
}

/// What a room has said, and where each client must begin.
#[derive(Default)]
struct Model {
    said: [Vec<String>; ROOMS as usize],
    /// The first message that each client may see, and from which on it must see all.
    first: Vec<u64>,
    owed: Vec<u64>,
    /// Whether it lagged for so long that it may be given up.
    stalls: Vec<bool>,
}

fn said(model: &Model, id: RoomId) -> &Vec<String> {
    &model.said[id.get() as usize - 1]
}

fn connect(world: &mut World, model: &mut Model, id: RoomId, replay: Replay) {
    let name = format!("u{}", world.clients.len() % 7);
    let index = world.connect(id, &name, replay);
    let client = &world.clients[index];
    let last = said(model, id).len() as u64;
    assert_eq!(client.hello["seq"], last);
    let first = match (replay, &client.truncated) {
        (Replay::None, None) => last + 1,
        (Replay::Since { seq, .. }, None) => seq + 1,
        (Replay::Since { seq, .. }, Some(frame)) => {
            let from = frame["from"].as_u64().unwrap();
            assert!(from > seq + 1, "truncated, but nothing is missing");
            from
        }
        (Replay::Recent(n), None) => {
            // Those that are held, which may be fewer.
            (last + 1).saturating_sub(n as u64).max(1)
        }
        (Replay::None | Replay::Recent(_), Some(_)) => panic!("truncated"),
    };
    model.first.push(first);
    let owed = match replay {
        Replay::Recent(_) => last + 1,
        Replay::None | Replay::Since { .. } => first,
    };
    model.owed.push(owed);
    model.stalls.push(false);
}

/// Everything that a client has seen is what it must have seen.
fn check(world: &World, model: &Model) {
    for (index, client) in world.clients.iter().enumerate() {
        let messages = client.messages();
        let seqs = client.seqs();
        let said = said(model, client.room);
        if let Some(&first) = seqs.first() {
            match first == model.first[index] {
                true => {}
                // Less than the recent ones is held.
                false => assert!(first > model.first[index] && client.truncated.is_none()),
            }
            assert!(
                seqs.iter().copied().eq(first..first + seqs.len() as u64),
                "{seqs:?}"
            );
        }
        for (message, seq) in messages.iter().zip(seqs) {
            assert_eq!(message["content"], said[seq as usize - 1]);
        }
        if !client.gone && model.owed[index] <= said.len() as u64 {
            assert_eq!(client.seqs().last(), Some(&(said.len() as u64)), "{index}");
        }
    }
}

fn apply(world: &mut World, model: &mut Model, step: Step) {
    let count = world.clients.len().max(1);
    let there = |world: &World, client: usize| {
        let client = client % count;
        (client < world.clients.len() && !world.clients[client].gone).then_some(client)
    };
    match step {
        Step::Connect(id, replay) => connect(world, model, room(id), replay),
        Step::Since(id, back) => {
            let last = said(model, room(id)).len() as u64;
            let seq = last.saturating_sub(back);
            connect(world, model, room(id), Replay::Since { seq, epoch: 1 });
        }
        Step::Reconnect(client) => {
            if let Some(client) = there(world, client) {
                let id = world.clients[client].room;
                let seen = world.clients[client].seqs().last().copied();
                // Nothing seen: it goes on where it began.
                let seq = seen.unwrap_or(model.first[client].saturating_sub(1));
                world.disconnect(client);
                connect(world, model, id, Replay::Since { seq, epoch: 1 });
            }
        }
        Step::Disconnect(client) => {
            if let Some(client) = there(world, client) {
                world.disconnect(client);
            }
        }
        Step::Say(client, length) => {
            if let Some(client) = there(world, client) {
                let id = world.clients[client].room;
                let text = format!("{} {}", said(model, id).len(), "x".repeat(length));
                let seq = world.say(client, &text).unwrap();
                model.said[id.get() as usize - 1].push(text);
                assert_eq!(seq, said(model, id).len() as u64);
            }
        }
        Step::Space(client, space) => {
            if let Some(client) = there(world, client) {
                world.make_space(client, space);
            }
        }
        Step::Turn(ms) => {
            world.now += Duration::from_millis(ms);
            world.tick();
            world.turn();
        }
        Step::Wait(ms) => world.run_for(Duration::from_millis(ms)),
    }
    for (client, stalled) in world.clients.iter().zip(&mut model.stalls) {
        let lags = client.lags_since;
        *stalled |= lags.is_some_and(|at| world.now - at >= BLOCKED_HOLD);
        assert!(!client.cut || *stalled, "cut, but not blocked for long");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_member_sees_every_message_once_and_in_order(
        steps in proptest::collection::vec(step(), 1..150),
        slice in 1..5usize,
        recent in prop_oneof![Just(0usize), 1..10usize, Just(1024)],
        turn_takes in prop_oneof![Just(0u64), Just(3u64)],
    ) {
        let config = config::Rooms { recent, ..config() };
        let mut world = World::new(&config, ROOMS);
        world.slice = slice;
        world.turn_takes = Duration::from_millis(turn_takes);
        let mut model = Model::default();
        for step in steps {
            apply(&mut world, &mut model, step);
        }
        for client in 0..world.clients.len() {
            if !world.clients[client].gone {
                world.make_space(client, usize::MAX);
            }
        }
        world.turn_takes = Duration::ZERO;
        world.run_for(Duration::from_secs(3));
        check(&world, &model);

        for client in 0..world.clients.len() {
            world.disconnect(client);
        }
        world.run_for(Duration::from_secs(3));
        prop_assert_eq!((world.rooms.members(), world.rooms.user_count()), (0, 0));
        prop_assert_eq!(world.rooms.deadline(), None);
    }
}

/// One broadcast of three messages to six members, in slices of one member each: at every point of
/// it a member comes, another leaves, and one comes back.
#[test]
fn a_broadcast_can_be_interrupted_at_every_point() {
    for point in 0..12 {
        for change in 0..4 {
            let mut world = World::new(&config(), 1);
            let mut model = Model::default();
            world.slice = 1;
            world.turn_takes = Duration::from_millis(1);
            for _ in 0..6 {
                connect(&mut world, &mut model, room(1), Replay::None);
            }
            world.run_for(Duration::from_secs(2));
            apply(&mut world, &mut model, Step::Say(5, 10));
            for at in 0..12 {
                if at == point {
                    let steps = match change {
                        0 => vec![Step::Connect(1, Replay::None)],
                        1 => vec![Step::Disconnect(2), Step::Disconnect(4)],
                        2 => vec![Step::Reconnect(0), Step::Reconnect(3)],
                        _ => vec![
                            Step::Disconnect(1),
                            Step::Connect(1, Replay::Recent(9)),
                            Step::Say(5, 10),
                            Step::Since(1, 1),
                        ],
                    };
                    for step in steps {
                        apply(&mut world, &mut model, step);
                    }
                }
                if at == 3 {
                    apply(&mut world, &mut model, Step::Say(5, 20));
                }
                apply(&mut world, &mut model, Step::Turn(0));
            }
            world.run_for(Duration::from_secs(1));
            check(&world, &model);
        }
    }
}
