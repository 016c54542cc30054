//! Messages that ask for an acknowledgement: how soon it comes, and how many a second there are.

use serde_json::json;

use super::{Rooms, ready, setting};
use crate::Error;
use crate::report::Report;
use crate::rooms::Arguments;
use crate::rooms::load::{self, Pace, Stream};

/// Few members, so that it is the store that is measured. No probes: the latencies are those of the acknowledgements
/// alone.
const ROOMS: Rooms = Rooms {
    rooms: 100,
    members: 2,
    probes: 0,
    group: 0,
};
const PACED: [f64; 2] = [200.0, 2_000.0];
/// Messages in flight in each room.
const WINDOW: usize = 8;

/// Acknowledged messages, open loop and closed loop.
pub(in crate::rooms) fn store(
    name: &str,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Error> {
    let (target, mut crowd) = ready(arguments, &[ROOMS])?;
    let paced = PACED.map(|rate| {
        let pace = Pace::AcknowledgedPerSecond(rate);
        (pace, "messages_per_second", json!(rate))
    });
    let pace = Pace::Unacknowledged(WINDOW);
    let closed = (pace, "in_flight", json!(WINDOW * ROOMS.rooms));
    for (pace, what, value) in paced.into_iter().chain([closed]) {
        let rooms = 0..ROOMS.rooms;
        let streams = [Stream { rooms, pace }];
        let measured = load::run(&mut crowd, &target, &streams, arguments.plan());
        let mut of = json!({"rooms": ROOMS.rooms, "members": ROOMS.members});
        of[what] = value;
        report.push(measured.outcome(name, setting(arguments, of)))?;
    }
    Ok(())
}
