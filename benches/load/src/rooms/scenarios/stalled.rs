//! A member that reads nothing, and what the others notice of it.

use std::time::Duration;

use serde_json::json;

use super::{Rooms, ready, setting};
use crate::Error;
use crate::report::Report;
use crate::rooms::Arguments;
use crate::rooms::crowd::Crowd;
use crate::rooms::load::{self, Pace, Plan, Stream};
use crate::rooms::member::Part;
use crate::target::Target;

const ROOM: Rooms = Rooms {
    rooms: 1,
    members: 100,
    probes: 20,
    group: 0,
};
const MESSAGES_PER_SECOND: f64 = 5_000.0;
/// With and without in turn, so often a round.
const PHASES: usize = 5;
/// A phase is short: most of it is before the server closes the member that stalls.
const PHASE: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(300);
/// The server's time for a member that stays behind (1 s), and some.
const CLOSED_WITHIN: Duration = Duration::from_secs(3);

/// The same room with and without such a member, alternating on one server.
pub(in crate::rooms) fn stalled(
    name: &str,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Error> {
    let (target, mut crowd) = ready(arguments, &[ROOM])?;
    for _ in 0..PHASES {
        for with in [false, true] {
            phase(name, arguments, (&target, &mut crowd), with, report)?;
        }
    }
    Ok(())
}

fn phase(
    name: &str,
    arguments: &Arguments,
    (target, crowd): (&Target, &mut Crowd),
    with: bool,
    report: &mut Report,
) -> Result<(), Error> {
    let deaf = with.then(|| {
        let deaf = crowd.join(0, Part::Deaf);
        crowd.opened();
        deaf
    });
    let streams = [Stream {
        rooms: 0..1,
        pace: Pace::PerSecond(MESSAGES_PER_SECOND),
    }];
    let plan = Plan {
        warm_up: WARM_UP,
        span: PHASE,
        ..arguments.plan()
    };
    let measured = load::run(crowd, target, &streams, plan);
    let of = json!({
        "members": ROOM.members, "messages_per_second": MESSAGES_PER_SECOND, "one_stalls": with,
    });
    let mut outcome = measured.outcome(name, setting(arguments, of));
    if let Some(deaf) = deaf {
        let (closed, code, messages) = crowd.hear(deaf, CLOSED_WITHIN);
        outcome.count("stalled_closed", u64::from(closed));
        if let Some(code) = code {
            outcome.count("stalled_close_code", code.into());
        }
        outcome.count("stalled_had", messages);
    }
    report.push(outcome)
}
