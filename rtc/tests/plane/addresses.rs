//! A viewer whose address changes while it watches: another port of its NAT, another network.

use std::net::SocketAddr;
use std::time::Duration;

use rtc::Codec;

use super::support::Sim;
use super::support::media::{FRAME, Stream};

const SECOND: Duration = Duration::from_secs(1);
/// Within this a viewer checks (2.5 s at most in Chromium) and reports.
const LIMIT: Duration = Duration::from_secs(4);
/// Pictures of so long ago come again: those of the last second, less what asking takes.
const RETRANSMITTED: Duration = Duration::from_millis(900);

#[test]
fn a_viewer_that_moves_is_served_there_once_it_is_heard_and_gets_what_it_missed() {
    for (seed, frames) in [(540, 50), (541, 82), (542, 507)] {
        let mut sim = Sim::new(seed);
        let source = sim.plane.add_source();
        let viewer = sim.watch(source);
        let mut stream = Stream::small(Codec::H264, 1_000);
        sim.publish_for(source, &mut stream, frames);
        let old = sim.viewer(viewer).address;
        let new = SocketAddr::from(([203, 0, 113, 9], 5_555));
        sim.viewer_mut(viewer).move_to(new);
        let moved = sim.now;
        // It checks, and reports, on its own; behind a NAT it knows of nothing.
        while sim.network.media_to(new) == 0 {
            sim.publish_for(source, &mut stream, 1);
            assert!(sim.now < moved + LIMIT, "nothing comes to the new address");
        }
        let took = sim.now - moved;
        let before = sim.network.media_to(old);
        sim.publish_for(source, &mut stream, 50);
        sim.run_for(SECOND);
        assert_eq!(sim.network.media_to(old), before, "nobody is there");

        let pictures = sim.viewer(viewer).pictures();
        let missing = (0..stream.next).filter(|number| !pictures.contains(number));
        let missing = FRAME * missing.count() as u32;
        println!("served after {took:?}; {missing:?} of it are missing");
        let late = took.saturating_sub(RETRANSMITTED);
        assert!(missing <= late, "{missing:?} of {took:?} are missing");
    }
}
