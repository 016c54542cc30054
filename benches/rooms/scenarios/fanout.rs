//! One large room and many small ones, in closed loops and at a pace.

use super::{SETTLE, fill};
use crate::Arguments;
use crate::crowd::Crowd;
use crate::figures::{Figures, Rows};
use crate::load::{self, Pace, Stream};
use crate::target::Target;

const MEMBERS: usize = 1_000;
/// Members of the large room whose latencies are taken.
const PROBES: usize = 20;
/// Messages in flight in the large room.
const WINDOWS: [usize; 3] = [1, 4, 16];
const MESSAGES_PER_SECOND: f64 = 1_000.0;

const SMALL_ROOMS: usize = 1_000;
const SMALL_MEMBERS: usize = 10;
const SMALL_ROOMS_MESSAGES_PER_SECOND: f64 = 2_000.0;

/// 1,000 members of one room, closed loop.
pub fn one_room(arguments: &Arguments) -> Rows {
    let title = format!("One room of {MEMBERS} members, closed loop");
    let mut rows = Rows::new("one-room", title);
    for _ in 0..arguments.rounds {
        let (target, mut crowd) = large_room(arguments);
        for window in WINDOWS {
            let pace = Pace::InFlight(window);
            let variant = format!("{window} in flight");
            measure(arguments, &target, &mut crowd, pace, &variant, &mut rows);
        }
    }
    rows
}

/// The same room, open loop.
pub fn paced(arguments: &Arguments) -> Rows {
    let title = format!("One room of {MEMBERS} members, {MESSAGES_PER_SECOND} messages/s");
    let mut rows = Rows::new("paced", title);
    for _ in 0..arguments.rounds {
        let (target, mut crowd) = large_room(arguments);
        let pace = Pace::PerSecond(MESSAGES_PER_SECOND);
        measure(arguments, &target, &mut crowd, pace, "paced", &mut rows);
    }
    rows
}

/// 1,000 rooms of 10 members, closed loop and open loop.
pub fn many_rooms(arguments: &Arguments) -> Rows {
    let title = format!("{SMALL_ROOMS} rooms of {SMALL_MEMBERS} members");
    let mut rows = Rows::new("many-rooms", title);
    for _ in 0..arguments.rounds {
        let target = Target::start(arguments, &[]);
        let mut crowd = Crowd::new(target.http);
        // One probe a room: what the sender's echo takes is what any member's copy takes.
        fill(&mut crowd, &target, SMALL_ROOMS, SMALL_MEMBERS, 1, 0);
        crowd.run_for(SETTLE);
        crowd.calibrate(arguments.frame_bytes);
        let loops = [
            (Pace::InFlight(1), "1 in flight a room".to_owned()),
            (
                Pace::PerSecond(SMALL_ROOMS_MESSAGES_PER_SECOND),
                format!("{SMALL_ROOMS_MESSAGES_PER_SECOND} messages/s in all"),
            ),
        ];
        for (pace, variant) in loops {
            measure(arguments, &target, &mut crowd, pace, &variant, &mut rows);
        }
    }
    rows
}

fn large_room(arguments: &Arguments) -> (Target, Crowd) {
    let target = Target::start(arguments, &[]);
    let mut crowd = Crowd::new(target.http);
    fill(&mut crowd, &target, 1, MEMBERS, PROBES, 0);
    crowd.run_for(SETTLE);
    crowd.calibrate(arguments.frame_bytes);
    (target, crowd)
}

fn measure(
    arguments: &Arguments,
    target: &Target,
    crowd: &mut Crowd,
    pace: Pace,
    variant: &str,
    rows: &mut Rows,
) {
    let rooms = 0..crowd.rooms.len();
    let streams = [Stream { rooms, pace }];
    let outcome = load::run(crowd, &target.meters, &streams, arguments.plan());
    let mut figures = Figures::default();
    outcome.add_cost(&mut figures);
    outcome.add_rate(&mut figures);
    outcome.add_latency(&mut figures, 0);
    outcome.add_doubts(&mut figures);
    rows.push(variant, figures);
}
