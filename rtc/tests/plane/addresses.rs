//! A viewer whose address changes while it watches: another port of its NAT, another network.

use std::net::SocketAddr;
use std::time::Duration;

use rtc::Codec;

use super::support::Sim;
use super::support::media::{FRAME, Stream};

const SECOND: Duration = Duration::from_secs(1);

/// RTP, and not RTCP.
fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, second, ..] if !(64..96).contains(&(second & 0x7f)))
}

/// It is heard from its new address so long after its old one went dead.
fn moves(seed: u64, after: Duration) {
    let mut sim = Sim::new(seed);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let mut stream = Stream::new(Codec::H264, 1_000);
    sim.publish_for(source, &mut stream, 50);
    let old = sim.viewer(viewer).address;
    let new = SocketAddr::from(([203, 0, 113, 9], 5_555));
    let check = sim.check_of(sim.key(viewer)).bytes();
    sim.viewer_mut(viewer).move_to(new);
    sim.publish_for(
        source,
        &mut stream,
        (after.as_millis() / FRAME.as_millis()) as usize,
    );

    sim.inject(new, &check);
    sim.network.record = Some(Vec::new());
    sim.publish_for(source, &mut stream, 50);
    sim.run_for(SECOND);
    let sent = sim.network.record.take().unwrap();
    let to_old = sent
        .iter()
        .filter(|(to, _, bytes)| *to == old && is_media(bytes));
    assert_eq!(to_old.count(), 0, "to where nobody is any more");
    let viewer = sim.viewer(viewer);
    viewer.assert_smooth();
    assert_eq!(viewer.pictures().len(), stream.next as usize);
}

#[test]
fn a_change_of_address_loses_nothing_that_can_be_asked_for_again() {
    for (seed, ms) in [(540, 0), (541, 40), (542, 400), (543, 800)] {
        moves(seed, Duration::from_millis(ms));
    }
}
