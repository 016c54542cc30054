//! Members that say nothing: memory of each, and what their pings and timers cost.

use std::time::Duration;

use serde_json::json;

use super::{Rooms, setting};
use crate::Error;
use crate::report::{Report, Unit};
use crate::rooms::Arguments;
use crate::rooms::crowd::Crowd;
use crate::target::Target;

const ROOMS: Rooms = Rooms {
    rooms: 150,
    members: 100,
    probes: 0,
    group: 0,
};
/// What a process allocates once is not a member's.
const FIRST: Rooms = Rooms {
    rooms: 1,
    members: 1,
    probes: 0,
    group: 0,
};
/// The server's pings come each 54 s by default.
const PING_INTERVAL: Duration = Duration::from_secs(54);
/// Joins are told for a second, and what they took is given back.
const SETTLE: Duration = Duration::from_secs(10);

/// 15,000 idle members, compared with the same server before they came.
pub(in crate::rooms) fn idle(
    name: &str,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Error> {
    let span = arguments
        .idle_span
        .map_or(2 * PING_INTERVAL, Duration::from_secs);
    let target = Target::start(&arguments.target, &[])?;
    let mut crowd = Crowd::new(target.http);
    FIRST.fill(arguments, &target, &mut crowd)?;
    crowd.run_for(SETTLE);
    let meter = target.meter();
    crowd.run_for(span);
    let empty = meter.stop();
    let (resident, anonymous) = (target.process.rss(), target.process.anonymous());

    let meter = target.meter();
    ROOMS.fill(arguments, &target, &mut crowd)?;
    let joining = meter.stop();
    crowd.run_for(SETTLE);
    let meter = target.meter();
    crowd.run_for(span);
    let idle = meter.stop();

    let members = (ROOMS.rooms * ROOMS.members) as u64;
    let of = json!({"rooms": ROOMS.rooms, "members": ROOMS.members, "span_s": span.as_secs()});
    let mut outcome = idle.outcome(name, setting(arguments, of), Unit::Member, members);
    outcome.server.rss_before = resident;
    let grown = target.process.anonymous().saturating_sub(anonymous);
    outcome.count("anonymous_bytes", grown);
    outcome.count("before_cpu_us", empty.server.cpu_us() as u64);
    outcome.count("join_cpu_us", joining.server.cpu_us() as u64);
    outcome.count("lost_or_repeated", crowd.tally.closed);
    report.push(outcome)
}
