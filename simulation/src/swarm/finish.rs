//! The end of a schedule: whatever went wrong is over, the server works as on its first day, and when
//! everybody has gone nothing is left.

use std::time::Duration;

use media_service::faults::Fault;
use media_service::totals::Total;

use super::world::World;
use crate::ViewerId;
use crate::support::media;

const SECOND: Duration = Duration::from_secs(1);
/// What a machine's turn takes at the end, where nobody looks at single moments.
const LONG_TICK: Duration = Duration::from_millis(100);
/// Whatever a seed draws has timed out by then, one after the other: an idle session, its device, a
/// join, a socket.
const EVERY_TIMEOUT: Duration = Duration::from_secs(240);
/// Where the last client is.
const CANARY: [u8; 4] = [198, 51, 100, 9];
/// A picture is on the screen of a viewer that is there by then.
const FIRST_PICTURE: Duration = Duration::from_secs(5);

impl World {
    pub(super) fn finish(&mut self) {
        self.heal_all();
        self.calm_since = self.sim.now;
        self.run_for(12 * SECOND);
        assert_eq!(self.unanswered(), 0, "requests without an answer");
        self.check();
        // Nobody moves now: every connection is counted where it is, once.
        let open = self.sim.totals.sum(Total::Connections);
        assert_eq!(self.sim.totals.counted_by_address(), [open; 2]);
        self.everybody_goes();
        // A panic may still wait for its place.
        for shard in &mut self.sim.shards {
            shard.inject(Fault::None);
        }
        self.check_acknowledged();
        self.canary();
        self.everybody_goes();
        let timers: Vec<usize> = self
            .sim
            .shards
            .iter()
            .map(|it| it.holdings().timers)
            .collect();
        assert_eq!(
            timers.iter().sum::<usize>(),
            0,
            "timers of shards: {timers:?}"
        );
        self.sim.assert_nothing_left();
    }

    /// A new viewer sees a new device's pictures, and a new room takes a message.
    fn canary(&mut self) {
        let device = "canary";
        // How long its handshake takes is not the seed's to say.
        self.note(device);
        let published = self.publish_as(device, media::Kind::H264, "");
        let client = self.dial(CANARY.into()).expect("there is room for it");
        let (viewer, session) = self.sim.watch(client, device);
        self.answered += 2;
        let until = self.sim.now + FIRST_PICTURE;
        while self.sim.viewers[viewer.0].pictures().len() < 10 {
            assert!(self.sim.now < until, "the last viewer sees nothing");
            self.step();
        }
        assert!(published.is_some());
        self.sim.viewers[viewer.0].assert_smooth();
        let target = format!("/api/media/sessions/{session}");
        let deleted = self.sim.request(client, "DELETE", &target, &[], b"");
        assert_eq!(deleted.status, 204);
        self.answered += 1;
        self.leave_quietly(client);
        let _ = session;
    }

    fn everybody_goes(&mut self) {
        self.lose_viewers();
        for viewer in 0..self.sim.viewers.len() {
            self.sim.switch_off(ViewerId(viewer));
        }
        for client in self.sim.everybody() {
            self.cut(client);
        }
        self.lose_peers();
        self.lose_publishers();
        self.lose_members();
        self.step();
        self.check();
        self.sim.tick = LONG_TICK;
        self.run_for(EVERY_TIMEOUT);
        self.sim.tick = executor::TICK;
    }
}
