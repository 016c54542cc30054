//! One large room and many small ones, in closed loops and at a pace.

use serde_json::{Value, json};

use super::{Rooms, ready, setting};
use crate::Error;
use crate::report::Report;
use crate::rooms::Arguments;
use crate::rooms::crowd::Crowd;
use crate::rooms::load::{self, Pace, Stream};
use crate::target::Target;

/// Messages in flight in the large room.
const WINDOWS: [usize; 3] = [1, 4, 16];
const MESSAGES_PER_SECOND: f64 = 1_000.0;
const SMALL_ROOMS_MESSAGES_PER_SECOND: f64 = 2_000.0;

const LARGE: Rooms = Rooms {
    rooms: 1,
    members: 1_000,
    probes: 20,
    group: 0,
};
/// One probe a room: what the sender's echo takes is what any member's copy takes.
const SMALL: Rooms = Rooms {
    rooms: 1_000,
    members: 10,
    probes: 1,
    group: 0,
};

/// 1,000 members of one room, closed loop.
pub(in crate::rooms) fn one_room(
    name: &str,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Error> {
    let (target, mut crowd) = ready(arguments, &[LARGE])?;
    for window in WINDOWS {
        let of = json!({"members": LARGE.members, "in_flight": window});
        let pace = Pace::InFlight(window);
        measure(name, arguments, (&target, &mut crowd), pace, of, report)?;
    }
    Ok(())
}

/// The same room, open loop.
pub(in crate::rooms) fn paced(
    name: &str,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Error> {
    let (target, mut crowd) = ready(arguments, &[LARGE])?;
    let of = json!({"members": LARGE.members, "messages_per_second": MESSAGES_PER_SECOND});
    let pace = Pace::PerSecond(MESSAGES_PER_SECOND);
    measure(name, arguments, (&target, &mut crowd), pace, of, report)
}

/// 1,000 rooms of 10 members, closed loop and open loop.
pub(in crate::rooms) fn many_rooms(
    name: &str,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Error> {
    let (target, mut crowd) = ready(arguments, &[SMALL])?;
    let rate = SMALL_ROOMS_MESSAGES_PER_SECOND;
    let loops = [
        (Pace::InFlight(1), "in_flight_a_room", json!(1)),
        (Pace::PerSecond(rate), "messages_per_second", json!(rate)),
    ];
    for (pace, what, value) in loops {
        let mut of = json!({"rooms": SMALL.rooms, "members": SMALL.members});
        of[what] = value;
        measure(name, arguments, (&target, &mut crowd), pace, of, report)?;
    }
    Ok(())
}

fn measure(
    name: &str,
    arguments: &Arguments,
    (target, crowd): (&Target, &mut Crowd),
    pace: Pace,
    of: Value,
    report: &mut Report,
) -> Result<(), Error> {
    let rooms = 0..crowd.rooms.len();
    let streams = [Stream { rooms, pace }];
    let measured = load::run(crowd, target, &streams, arguments.plan());
    report.push(measured.outcome(name, setting(arguments, of)))
}
