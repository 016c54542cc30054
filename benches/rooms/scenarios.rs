//! What is measured: one function for each scenario.

mod fanout;
mod idle;
mod neighbours;
mod stalled;
mod store;

pub use fanout::{many_rooms, one_room, paced};
pub use idle::idle;
pub use neighbours::neighbours;
pub use stalled::stalled;
pub use store::store;

use std::time::Duration;

use crate::crowd::Crowd;
use crate::member::Part;
use crate::target::Target;

/// After the last member has joined, presence is told for a second, and connections find their pace.
const SETTLE: Duration = Duration::from_secs(3);

/// Rooms of one size, all members connected.
fn fill(
    crowd: &mut Crowd,
    target: &Target,
    rooms: usize,
    members: usize,
    probes: usize,
    group: usize,
) {
    for id in target.open_rooms(rooms) {
        let room = crowd.add_room(id, group);
        for number in 0..members {
            // Spread over the order of joining, in which a server may send.
            let probe = probes > 0 && number % members.div_ceil(probes) == 0;
            crowd.join(room, if probe { Part::Probe } else { Part::Listener });
        }
    }
    crowd.opened();
}
