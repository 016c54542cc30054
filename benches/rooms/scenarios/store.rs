//! Messages that ask for an acknowledgement: how soon it comes, and how many a second there are.

use super::{SETTLE, fill};
use crate::Arguments;
use crate::crowd::Crowd;
use crate::figures::{Figures, Rows};
use crate::load::{self, Pace, Stream};
use crate::target::Target;

const ROOMS: usize = 100;
/// Few, so that it is the store that is measured.
const MEMBERS_PER_ROOM: usize = 2;
const PACED: [f64; 2] = [200.0, 2_000.0];
/// Messages in flight in each room.
const WINDOW: usize = 8;

/// Acknowledged messages, open loop and closed loop.
pub fn store(arguments: &Arguments) -> Rows {
    let title = format!("Acknowledged messages, {ROOMS} rooms of {MEMBERS_PER_ROOM}");
    let mut rows = Rows::new("store", title);
    for _ in 0..arguments.rounds {
        let target = Target::start(arguments, &[]);
        let mut crowd = Crowd::new(target.http);
        // No probes: the latencies are those of the acknowledgements alone.
        fill(&mut crowd, &target, ROOMS, MEMBERS_PER_ROOM, 0, 0);
        crowd.run_for(SETTLE);
        crowd.calibrate(arguments.frame_bytes);
        let paced = PACED.map(|rate| {
            let variant = format!("{rate} messages/s");
            (Pace::AcknowledgedPerSecond(rate), variant)
        });
        let closed = (
            Pace::Unacknowledged(WINDOW),
            format!("{} in flight", WINDOW * ROOMS),
        );
        for (pace, variant) in paced.into_iter().chain([closed]) {
            let rooms = 0..ROOMS;
            let streams = [Stream { rooms, pace }];
            let outcome = load::run(&mut crowd, &target.meters, &streams, arguments.plan());
            let mut figures = Figures::default();
            figures.add("acks/s", outcome.acks as f64 / outcome.seconds);
            let each = |seconds: f64| seconds * 1e6 / outcome.acks as f64;
            figures.add("µs/ack", each(outcome.cost.server));
            figures.add("(shard)", each(outcome.cost.shards));
            outcome.add_rate(&mut figures);
            outcome.add_latency(&mut figures, 0);
            outcome.add_doubts(&mut figures);
            rows.push(variant, figures);
        }
    }
    rows
}
