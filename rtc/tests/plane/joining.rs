//! How long it takes until media can flow, whatever befalls a datagram on the way.

use std::time::Duration;

use rtc::SessionState;

use super::support::{Mishap, Network, Sim};

const MS: Duration = Duration::from_millis(1);

/// Time from the answer until both sides are connected, and the datagrams that it took.
fn join(seed: u64, mishap: Option<(u64, Mishap)>) -> (Duration, u64) {
    join_over(seed, |network| network.mishap = mishap)
}

fn join_over(seed: u64, edit: impl FnOnce(&mut Network)) -> (Duration, u64) {
    let mut sim = Sim::new(seed);
    edit(&mut sim.network);
    let source = sim.plane.add_source();
    let viewer = sim.join(source);
    let start = sim.now;
    sim.run_until(Duration::from_secs(40), "connecting", |sim| {
        let session = sim.plane.session(sim.key(viewer)).expect("the session");
        session.state() == SessionState::Connected && sim.viewer(viewer).connected.is_some()
    });
    (sim.now - start, sim.network.sent())
}

#[test]
fn one_mishap_costs_a_join_little() {
    let (plain, datagrams) = join(300, None);
    assert!(plain < 100 * MS, "{plain:?}");
    for number in 0..datagrams {
        let befall = |mishap| join(301 + number, Some((number, mishap))).0;
        for mishap in [Mishap::Twice, Mishap::Late(15 * MS), Mishap::Late(100 * MS)] {
            let took = befall(mishap);
            assert!(
                took <= plain + 110 * MS,
                "datagram {number}, {mishap:?}: {took:?}"
            );
        }
        // The viewer here waits up to 1.25 s before it sends its ClientHello again.
        let took = befall(Mishap::Lost);
        assert!(
            took <= plain + 1_260 * MS,
            "datagram {number} lost: {took:?}"
        );
    }
}

/// What is sent again before the answer to it can be here is sent in vain, and does no harm: the time doubles.
#[test]
fn a_satellite_costs_a_join_its_round_trips() {
    for one_way in [150, 300, 600, 1_000] {
        let (took, datagrams) = join_over(390 + one_way, |network| {
            network.delay = one_way as u32 * MS;
            network.jitter = 20 * MS;
        });
        let round_trip = 2 * one_way as u32 * MS;
        assert!(
            took <= 3 * round_trip + 100 * MS,
            "{round_trip:?}: {took:?}"
        );
        assert!(datagrams <= 32, "{round_trip:?}: {datagrams} datagrams");
    }
}
