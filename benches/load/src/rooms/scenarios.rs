//! What is measured: one function for each scenario.

mod fanout;
mod idle;
mod neighbours;
mod stalled;
mod store;

pub(super) use fanout::{many_rooms, one_room, paced};
pub(super) use idle::idle;
pub(super) use neighbours::neighbours;
pub(super) use stalled::stalled;
pub(super) use store::store;

use std::time::Duration;

use serde_json::{Map, Value};

use super::crowd::Crowd;
use super::member::Part;
use super::{Arguments, open_rooms};
use crate::Error;
use crate::target::Target;

/// After the last member has joined, presence is told for a second, and connections find their pace.
const SETTLE: Duration = Duration::from_secs(3);

/// Rooms of one size, all members connected.
struct Rooms {
    rooms: usize,
    members: usize,
    /// Members of each room whose latencies are taken.
    probes: usize,
    /// Whose latencies are kept together.
    group: usize,
}

impl Rooms {
    /// Makes them, and lets their members join.
    fn fill(&self, arguments: &Arguments, target: &Target, crowd: &mut Crowd) -> Result<(), Error> {
        let probe_each = self.members.div_ceil(self.probes.max(1));
        for id in open_rooms(arguments, target.http, self.rooms)? {
            let room = crowd.add_room(id, self.group);
            for number in 0..self.members {
                // Spread over the order of joining, in which a server may send.
                let probe = self.probes > 0 && number % probe_each == 0;
                crowd.join(room, if probe { Part::Probe } else { Part::Listener });
            }
        }
        crowd.opened();
        Ok(())
    }
}

/// A server and the members of its rooms, ready to be measured.
fn ready(arguments: &Arguments, rooms: &[Rooms]) -> Result<(Target, Crowd), Error> {
    let target = Target::start(&arguments.target, &[])?;
    let mut crowd = Crowd::new(target.http);
    for rooms in rooms {
        rooms.fill(arguments, &target, &mut crowd)?;
    }
    crowd.run_for(SETTLE);
    crowd.calibrate(arguments.frame_bytes);
    Ok((target, crowd))
}

/// A scenario's setting, as it is told, with what is set for all.
fn setting(arguments: &Arguments, own: Value) -> Map<String, Value> {
    let Value::Object(mut setting) = own else {
        unreachable!("settings are written as objects");
    };
    if arguments.moderation > 0 {
        setting.insert("moderation_us".to_owned(), arguments.moderation.into());
    }
    setting
}
