//! Floods, reflection, roles, and addresses that change.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rtc::{Codec, Identity, MediaSocket, Plane, PlaneConfig, PlaneLimits, SessionState};
use str0m::ice::StunMessage;

use crate::security::stranger;
use crate::support::check::Check;
use crate::support::media::Stream;
use crate::support::{Sim, Viewer, plane_address};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

#[test]
fn a_flood_of_bad_checks_gets_no_answer_and_evicts_nothing() {
    let mut sim = Sim::new(220);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let from = sim.viewer(viewer).address;
    let entries = sim.plane.demux_entries();
    let check = sim.check_of(sim.key(viewer));
    let mut guessed = check.clone();
    guessed.password.replace_range(0..1, "~");
    let mut unknown = check.clone();
    unknown.username = format!("nobody:{}", "x".repeat(100));
    let mut stream = Stream::small(Codec::H264, 25);
    for round in 0..50_u16 {
        for port in 0..40 {
            let address = SocketAddr::from(([203, 0, 113, 7], 1_024 + 40 * round + port));
            for forged in [address, from] {
                assert_eq!(sim.inject(forged, &guessed.bytes()), []);
                assert_eq!(sim.inject(forged, &unknown.bytes()), []);
            }
        }
        sim.publish_for(source, &mut stream, 1);
    }
    sim.run_for(SECOND / 10);
    let counters = sim.plane.counters();
    assert_eq!(
        (counters.stun_bad_integrity, counters.unknown_ufrag),
        (4_000, 4_000)
    );
    assert_eq!(
        counters.stun_rate, 0,
        "what is not authentic uses up nobody's share"
    );
    assert_eq!(sim.plane.demux_entries(), entries);
    sim.viewer(viewer).assert_smooth();
    assert_eq!(sim.viewer(viewer).pictures().len(), 50);
}

/// The smallest check that is answered, and how much larger the answer is.
fn amplification(from: SocketAddr) -> (usize, usize) {
    let mut sim = Sim::new(221);
    let address = match from {
        SocketAddr::V4(_) => plane_address(),
        SocketAddr::V6(_) => {
            SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 40_000))
        }
    };
    let socket = MediaSocket {
        bound: address,
        advertised: address,
    };
    let config = PlaneConfig {
        identity: Identity::generate().unwrap(),
        sockets: vec![socket],
        limits: PlaneLimits::default(),
        seed: [1; 32],
    };
    sim.plane = Plane::new(sim.now, config).unwrap();
    let source = sim.plane.add_source();
    let (key, offer) = sim
        .plane
        .create_session(sim.now, source, &mut sim.out)
        .unwrap();
    let mut viewer = Viewer::new(sim.now, 0);
    let answer = viewer.answer(sim.now, &offer);
    let theirs = answer.lines().find_map(|l| l.strip_prefix("a=ice-ufrag:"));
    // The shortest ufrag there is (RFC 8839 §5.4).
    let answer = answer.replace(theirs.unwrap(), "abcd");
    sim.plane
        .accept_answer(sim.now, key, &answer, &mut sim.out)
        .unwrap();
    sim.flush();
    let mut check = Check::of(&offer, &answer);
    check.use_candidate = false;
    let request = without_role_and_fingerprint(&check);
    let answers = sim.inject(from, &request);
    assert_eq!(answers.len(), 1);
    (request.len(), answers[0].1.len())
}

/// The attributes that an answer needs: USERNAME, PRIORITY, MESSAGE-INTEGRITY.
fn without_role_and_fingerprint(check: &Check) -> Vec<u8> {
    let mut bytes = check.bytes();
    let username = check.username.len().next_multiple_of(4);
    let role_at = 20 + 4 + username;
    bytes.drain(role_at..role_at + 12);
    bytes.truncate(bytes.len() - 8 - 24);
    let length = (bytes.len() - 20 + 24) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
    let hmac = str0m::crypto::from_feature_flags().sha1_hmac_provider;
    let made = hmac.sha1_hmac(check.password.as_bytes(), &[&bytes]);
    bytes.extend([0, 8, 0, 20]);
    bytes.extend(made);
    bytes
}

#[test]
fn an_answer_is_hardly_larger_than_the_smallest_check() {
    let v4 = amplification(SocketAddr::from((Ipv4Addr::new(203, 0, 113, 9), 9)));
    let v6 = amplification(SocketAddr::from((
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9),
        9,
    )));
    // Header, XOR-MAPPED-ADDRESS, MESSAGE-INTEGRITY, FINGERPRINT: what RFC 8445 §7.3 asks for.
    assert_eq!(v4, (72, 20 + 12 + 24 + 8), "bytes of check and answer");
    assert_eq!(v6, (72, 20 + 24 + 24 + 8), "bytes of check and answer");
}

#[test]
fn answers_to_one_address_are_paced_and_its_neighbours_do_not_suffer() {
    let mut sim = Sim::new(222);
    let source = sim.plane.add_source();
    // A hundred viewers behind one address, as their ports tell them apart.
    let viewers: Vec<_> = (0..100).map(|_| sim.join(source)).collect();
    for viewer in &viewers {
        sim.connect(*viewer);
    }
    let noisy = sim.viewer(viewers[0]).address;
    let check = sim.check_of(sim.key(viewers[0]));
    let mut stream = Stream::small(Codec::H264, 25);
    let mut answers = 0;
    for _ in 0..5 * 25 {
        for _ in 0..40 {
            answers += sim.inject(noisy, &check.bytes()).len();
            sim.step();
        }
        let picture = stream.next();
        sim.publish(source, &picture);
    }
    sim.run_for(SECOND);
    // Five seconds of 40 a second, and a burst of 40.
    assert!(
        (200..=240).contains(&answers),
        "{answers} answers to 5000 checks"
    );
    assert!(sim.plane.counters().stun_rate >= 4_700);
    for viewer in &viewers {
        assert_eq!(sim.viewer(*viewer).pictures().len(), 125);
        let state = sim.plane.session(sim.key(*viewer)).unwrap().state();
        assert_eq!(state, SessionState::Connected);
    }
}

#[test]
fn a_session_cannot_be_used_to_flood_a_stranger() {
    let mut sim = Sim::new(223);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let check = sim.check_of(sim.key(viewer));
    let victim = stranger().ip();
    let (mut asked, mut answered) = (0, 0);
    for round in 0..10_000_u32 {
        let from = SocketAddr::new(victim, 1_000 + (round % 500) as u16);
        let request = check.bytes();
        asked += request.len();
        for (to, answer) in sim.inject(from, &request) {
            if to.ip() == victim {
                answered += answer.len();
            }
        }
        if round % 2 == 0 {
            sim.step();
        }
    }
    assert!(
        answered < asked / 10,
        "{answered} B to a stranger for {asked} B"
    );
}

#[test]
fn one_who_claims_to_be_controlled_is_told_and_takes_no_role_away() {
    let mut sim = Sim::new(224);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let from = sim.viewer(viewer).address;
    let mut check = sim.check_of(sim.key(viewer));
    check.controlling = false;
    let request = check.bytes();
    let answers = sim.inject(from, &request);
    assert_eq!(answers.len(), 1);
    let answer = StunMessage::parse(&answers[0].1).unwrap();
    assert_eq!(answer.error_code().map(|(code, _)| code), Some(487));
    assert!(answers[0].1.len() <= request.len());
    assert_eq!(sim.plane.counters().stun_role_conflicts, 1);
    // Roles swapped, the viewer's own checks would not be answered any more.
    sim.run_for(20 * SECOND);
    sim.publish_for(source, &mut Stream::small(Codec::H264, 25), 10);
    sim.run_for(SECOND / 10);
    assert_eq!(sim.viewer(viewer).pictures().len(), 10);
}

#[test]
fn a_viewer_that_moved_is_followed() {
    let mut sim = Sim::new(225);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let check = sim.check_of(sim.key(viewer));
    let moved = SocketAddr::from(([198, 51, 100, 78], 78));
    sim.viewer_mut(viewer).move_to(moved);
    let mut stream = Stream::small(Codec::H264, 25);
    // A browser nominates with each of its checks.
    for _ in 0..18 * 2 {
        sim.inject(moved, &check.bytes());
        sim.publish_for(source, &mut stream, 12);
    }
    sim.run_for(SECOND / 10);
    let last = 18 * 2 * 12 - 1;
    assert_eq!(sim.viewer(viewer).pictures().last(), Some(&last));
}

/// A check that was heard on the way can be sent again by anybody, from anywhere.
#[test]
fn a_check_that_is_sent_again_from_elsewhere_draws_no_media_there() {
    let mut sim = Sim::new(227);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let heard = sim.network.last_stun_to(plane_address()).expect("a check");
    let mut stream = Stream::small(Codec::H264, 25);
    let mut bytes = 0;
    for _ in 0..5 * 25 {
        let answers = sim.inject(stranger(), &heard);
        assert!(
            answers.iter().all(|(_, answer)| answer[0] < 4),
            "STUN alone"
        );
        bytes += answers.len();
        sim.publish_for(source, &mut stream, 1);
    }
    sim.run_for(SECOND / 10);
    assert_eq!(
        sim.network.sent_to(stranger()),
        bytes as u64,
        "nothing but answers"
    );
    sim.viewer(viewer).assert_smooth();
    assert_eq!(sim.viewer(viewer).pictures().len(), 125);
}

/// Nobody needs an answer to send it again from many addresses: those of a session are few, and the viewer's own must
/// not have to make room for them, before it is connected or later.
#[test]
fn a_check_that_is_sent_again_from_everywhere_does_not_shut_its_viewer_out() {
    for connected in [false, true] {
        let mut sim = Sim::new(228);
        let source = sim.plane.add_source();
        let viewer = sim.join(source);
        if connected {
            sim.run_for(SECOND);
        } else {
            let heard = |sim: &Sim| sim.network.last_stun_to(plane_address()).is_some();
            sim.run_until(SECOND, "a check", heard);
            sim.run_for(15 * MS);
        }
        let heard = sim.network.last_stun_to(plane_address()).expect("a check");
        for port in 1..200 {
            sim.inject(SocketAddr::from(([203, 0, 113, 7], port)), &heard);
        }
        assert!(sim.plane.counters().stun_address_limit > 0);
        let before = sim.plane.counters().unknown_source;
        let mut stream = Stream::small(Codec::H264, 25);
        sim.publish_for(source, &mut stream, 60 * 25);
        sim.run_for(SECOND / 10);
        let session = sim.plane.session(sim.key(viewer)).expect("the session");
        assert_eq!(session.state(), SessionState::Connected);
        sim.viewer(viewer).assert_smooth();
        assert!(sim.viewer(viewer).pictures().len() > 59 * 25);
        assert_eq!(sim.plane.counters().unknown_source, before);
    }
}

/// Nor from the viewer's own address, faster than any are answered.
#[test]
fn a_check_that_is_sent_again_without_end_uses_up_nothing_of_its_viewer() {
    let mut sim = Sim::new(229);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let from = sim.viewer(viewer).address;
    let check = sim.check_of(sim.key(viewer));
    for ms in 0..60_000 {
        let heard = sim.network.last_stun_to(plane_address()).expect("a check");
        sim.inject(from, &heard);
        if ms % 1_000 == 0 {
            assert_eq!(sim.inject(from, &check.bytes()).len(), 1, "its next one");
        }
        sim.run_for(MS);
    }
    let repeats = sim.plane.counters().stun_rate;
    assert!(repeats > 59_000, "{repeats}");
    let mut stream = Stream::small(Codec::H264, 25);
    sim.publish_for(source, &mut stream, 25);
    sim.run_for(SECOND / 10);
    sim.viewer(viewer).assert_smooth();
    assert_eq!(sim.viewer(viewer).pictures().len(), 25);
}

#[test]
fn a_viewer_checks_from_many_addresses_for_long() {
    let mut sim = Sim::new(226);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let mut check = sim.check_of(sim.key(viewer));
    check.use_candidate = false;
    let mut stream = Stream::small(Codec::H264, 25);
    // Fifteen more pairs, one check each 48 ms, for a minute.
    for round in 0..60 * 1_000 / 48 {
        let from = SocketAddr::from(([198, 51, 100, 90], 1 + round % 15));
        assert_eq!(sim.inject(from, &check.bytes()).len(), 1, "round {round}");
        sim.run_for(48 * MS);
    }
    assert_eq!(sim.plane.counters().stun_address_limit, 0);
    sim.publish_for(source, &mut stream, 10);
    sim.run_for(SECOND / 10);
    assert_eq!(sim.viewer(viewer).pictures().len(), 10);
}
