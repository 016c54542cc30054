//! Members that say nothing: memory of each, and what their pings and timers cost.

use std::time::Duration;

use super::fill;
use crate::Arguments;
use crate::crowd::Crowd;
use crate::figures::{Figures, Rows};
use crate::target::Target;

const ROOMS: usize = 150;
const MEMBERS_PER_ROOM: usize = 100;
/// The server's pings come each 54 s by default.
const PING_INTERVAL: Duration = Duration::from_secs(54);
/// Joins are told for a second, and what they took is given back.
const SETTLE: Duration = Duration::from_secs(10);

/// 15,000 idle members, compared with the same server before they came.
pub fn idle(arguments: &Arguments) -> Rows {
    let members = ROOMS * MEMBERS_PER_ROOM;
    let title = format!("{members} idle members of {ROOMS} rooms, two ping intervals");
    let mut rows = Rows::new("idle", title);
    let span = arguments
        .idle_span
        .map_or(2 * PING_INTERVAL, Duration::from_secs);
    for _ in 0..arguments.rounds {
        let target = Target::start(arguments, &[]);
        let mut crowd = Crowd::new(target.http);
        // One member first: what a process allocates once is not a member's.
        fill(&mut crowd, &target, 1, 1, 0, 0);
        crowd.run_for(SETTLE);
        let empty = cpu(&mut crowd, &target, span);
        let before = target.meters.memory();

        let joining = target.meters.read();
        fill(&mut crowd, &target, ROOMS, MEMBERS_PER_ROOM, 0, 0);
        let joining = target.meters.read().since(&joining);
        crowd.run_for(SETTLE);
        let idle = cpu(&mut crowd, &target, span);
        let after = target.meters.memory();

        let each = |before: f64, after: f64| (after - before) / members as f64;
        let mut figures = Figures::default();
        figures.add("RSS/member B", each(before.resident, after.resident));
        figures.add(
            "anonymous/member B",
            each(before.anonymous, after.anonymous),
        );
        figures.add("CPU %", idle);
        figures.add("CPU % before", empty);
        figures.add("CPU % more", idle - empty);
        figures.add("join µs", joining.server * 1e6 / members as f64);
        figures.add_worst("closed", crowd.tally.closed as f64);
        rows.push("idle", figures);
    }
    rows
}

/// The server's share of its core while the crowd does no more than answer pings.
fn cpu(crowd: &mut Crowd, target: &Target, span: Duration) -> f64 {
    let before = target.meters.read();
    crowd.run_for(span);
    let cost = target.meters.read().since(&before);
    100.0 * cost.server / span.as_secs_f64()
}
