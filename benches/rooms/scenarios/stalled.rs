//! A member that reads nothing, and what the others notice of it.

use std::time::Duration;

use super::{SETTLE, fill};
use crate::Arguments;
use crate::crowd::Crowd;
use crate::figures::{Figures, Rows};
use crate::load::{self, Pace, Plan, Stream};
use crate::member::Part;
use crate::target::Target;

const MEMBERS: usize = 100;
const PROBES: usize = 20;
const MESSAGES_PER_SECOND: f64 = 5_000.0;
/// With and without in turn, so often a round.
const PHASES: usize = 5;
/// A phase is short: most of it is before the server closes the member that stalls.
const PHASE: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(300);
/// The server's time for a member that stays behind (1 s), and some.
const CLOSED_WITHIN: Duration = Duration::from_secs(3);

/// The same room with and without such a member, alternating on one server.
pub fn stalled(arguments: &Arguments) -> Rows {
    let title =
        format!("A room of {MEMBERS} members, {MESSAGES_PER_SECOND} messages/s, one reads nothing");
    let mut rows = Rows::new("stalled", title);
    for _ in 0..arguments.rounds {
        let target = Target::start(arguments, &[]);
        let mut crowd = Crowd::new(target.http);
        fill(&mut crowd, &target, 1, MEMBERS, PROBES, 0);
        crowd.run_for(SETTLE);
        crowd.calibrate(arguments.frame_bytes);
        for _ in 0..PHASES {
            phase(arguments, &target, &mut crowd, false, &mut rows);
            phase(arguments, &target, &mut crowd, true, &mut rows);
        }
    }
    rows
}

fn phase(arguments: &Arguments, target: &Target, crowd: &mut Crowd, with: bool, rows: &mut Rows) {
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
    let outcome = load::run(crowd, &target.meters, &streams, plan);
    let mut figures = Figures::default();
    outcome.add_cost(&mut figures);
    outcome.add_rate(&mut figures);
    outcome.add_latency(&mut figures, 0);
    outcome.add_doubts(&mut figures);
    if let Some(deaf) = deaf {
        let (closed, code, messages) = crowd.hear(deaf, CLOSED_WITHIN);
        figures.add("closed by the server", f64::from(u8::from(closed)));
        figures.add("close code", code.map_or(f64::NAN, f64::from));
        figures.add("messages it had", messages as f64);
    }
    let variant = if with { "with the stalled" } else { "without" };
    rows.push(variant, figures);
}
