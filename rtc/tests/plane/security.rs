//! What strangers can do: nothing.

// The lock is the log's, not the plane's.
#![allow(clippy::disallowed_types)]

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use proptest::prelude::*;
use rtc::{Codec, SocketIndex};

use crate::support::media::Stream;
use crate::support::{Sim, Viewer, plane_address};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn stranger() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 66], 6_666))
}

/// The first DTLS datagram of a client.
pub(crate) fn client_hello() -> Vec<u8> {
    let mut other = Sim::new(60);
    let source = other.plane.add_source();
    let id = other.join(source);
    for _ in 0..1_000 {
        other.now += Duration::from_millis(1);
        while let Some((to, from, bytes)) = other.network.arrived(other.now) {
            if bytes[0] == 22 && to == plane_address() {
                return bytes;
            }
            if to == plane_address() {
                other
                    .plane
                    .datagram(other.now, SocketIndex(0), from, &bytes, &mut other.out);
            } else {
                let now = other.now;
                other.viewer_mut(id).receive(now, from, &bytes);
            }
            other.flush();
        }
        let now = other.now;
        other.viewer_mut(id).tick(now);
        other.flush();
    }
    panic!("no ClientHello")
}

#[test]
fn a_stranger_who_races_the_client_hello_gets_no_answer() {
    let mut sim = Sim::new(61);
    let hello = client_hello();
    let source = sim.plane.add_source();
    let viewer = sim.join(source);
    for _ in 0..200 {
        sim.plane
            .datagram(sim.now, SocketIndex(0), stranger(), &hello, &mut sim.out);
        assert!(
            sim.out.runs().all(|run| run.to != stranger()),
            "an answer to a stranger"
        );
        sim.step();
    }
    assert_eq!(sim.plane.counters().unknown_source, 200);
    sim.connect(viewer);
    sim.publish_for(source, &mut Stream::small(Codec::H264, 25), 10);
    sim.run_for(SECOND / 10);
    sim.viewer(viewer).assert_smooth();
    assert_eq!(sim.viewer(viewer).pictures().len(), 10);
}

#[test]
fn a_check_with_the_wrong_password_admits_nobody() {
    let mut sim = Sim::new(62);
    let source = sim.plane.add_source();
    let (key, offer) = sim
        .plane
        .create_session(sim.now, source, &mut sim.out)
        .unwrap();
    let real = offer
        .lines()
        .find_map(|line| line.strip_prefix("a=ice-pwd:"))
        .unwrap()
        .to_owned();
    let entries = sim.plane.demux_entries();
    let mut viewer = Viewer::new(sim.now, 0);
    let answer = viewer.answer(sim.now, &offer.replace(&real, &"x".repeat(24)));
    sim.plane
        .accept_answer(sim.now, key, &answer, &mut sim.out)
        .unwrap();
    viewer.key = Some(key);
    sim.viewers.push(viewer);
    let active = sim.plane.session(key).unwrap().last_activity();
    sim.run_for(SECOND);
    assert!(sim.plane.counters().stun_bad_integrity > 0);
    assert_eq!(
        sim.plane.demux_entries(),
        entries,
        "no address was admitted"
    );
    assert_eq!(sim.plane.session(key).unwrap().last_activity(), active);
    assert_eq!(sim.network.sent_to(sim.viewers[0].address), 0);
}

#[test]
fn forged_datagrams_from_the_viewers_own_address_close_nothing() {
    let mut sim = Sim::new(63);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let from = sim.viewer(viewer).address;
    let mut stream = Stream::small(Codec::H264, 25);
    for round in 0..50u8 {
        for first in [20, 21, 22, 23, 25, 63, 128, 129, 160, 191] {
            for len in [1usize, 2, 12, 13, 14, 40, 200, 1_400] {
                let mut junk = vec![round.wrapping_mul(31); len];
                junk[0] = first;
                if len > 13 {
                    // A DTLS 1.2 record header, epoch 0 and 1, with a length that fits.
                    junk[1..3].copy_from_slice(&[0xfe, 0xfd]);
                    junk[3..5].copy_from_slice(&[0, round & 1]);
                    junk[11..13].copy_from_slice(&((len - 13) as u16).to_be_bytes());
                }
                sim.plane
                    .datagram(sim.now, SocketIndex(0), from, &junk, &mut sim.out);
            }
        }
        sim.publish_for(source, &mut stream, 1);
    }
    sim.run_for(SECOND);
    assert_eq!(sim.plane.sessions(), 1);
    sim.viewer(viewer).assert_smooth();
    assert_eq!(sim.viewer(viewer).pictures().len(), 50);
    assert_eq!(sim.plane.counters().panics, 0);
}

#[test]
fn addresses_of_a_session_are_bounded() {
    let mut sim = Sim::new(64);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let check = sim.network.last_stun_to(plane_address()).expect("a check");
    let before = sim.plane.demux_entries();
    for port in 1..500 {
        let from = SocketAddr::from(([198, 51, 100, 200], port));
        sim.plane
            .datagram(sim.now, SocketIndex(0), from, &check, &mut sim.out);
    }
    sim.flush();
    assert!(
        sim.plane.demux_entries() <= before + 16,
        "{}",
        sim.plane.demux_entries()
    );
    assert!(sim.plane.counters().stun_address_limit > 400);
    // The viewer's own checks bring its address back in.
    let mut stream = Stream::small(Codec::H264, 25);
    sim.publish_for(source, &mut stream, 200);
    sim.run_for(SECOND);
    assert_eq!(sim.viewer(viewer).pictures().last(), Some(&199));
}

#[test]
fn what_is_dropped_is_counted_by_its_reason() {
    let mut sim = Sim::new(65);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let from = sim.viewer(viewer).address;
    let check = sim.check_of(sim.key(viewer));
    let mut send = |from, bytes: &[u8]| {
        sim.plane
            .datagram(sim.now, SocketIndex(0), from, bytes, &mut sim.out);
    };
    send(stranger(), &[]);
    send(stranger(), &[64, 0, 0, 0]);
    send(stranger(), &[0, 1, 0, 0]);
    send(stranger(), &[128, 200, 0, 0]);
    send(stranger(), &[22, 0xfe, 0xfd]);
    let mut other = check.clone();
    other.username.insert(0, 'x');
    send(stranger(), &other.bytes());
    let mut other = check.clone();
    other.password.push('x');
    send(stranger(), &other.bytes());
    let mut indication = check.bytes();
    indication[1] = 0x11;
    send(stranger(), &indication);
    let mut broken = check.bytes();
    broken[30] ^= 1;
    send(stranger(), &broken);
    send(from, &[128, 102, 0, 0]);
    sim.plane.datagram(
        sim.now,
        SocketIndex(9),
        stranger(),
        &indication,
        &mut sim.out,
    );
    let counters = sim.plane.counters();
    assert_eq!(counters.malformed, 4);
    assert_eq!(counters.unknown_source, 2);
    assert_eq!(counters.unknown_ufrag, 1);
    assert_eq!(counters.stun_bad_integrity, 1);
    assert_eq!(counters.stun_ignored, 1);
    assert_eq!(counters.unexpected_media, 1);
    assert_eq!(counters.unknown_socket, 1);
    assert_eq!(sim.plane.sessions(), 1);
    assert!(sim.out.runs().next().is_none(), "no answer to any of them");
    assert!(sim.viewer(viewer).connected.is_some());
}

/// A log that holds everything.
#[derive(Clone, Default)]
struct Log(Arc<RwLock<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn debugging_shows_no_password() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        // What the ICE agent traces is kept from the log of the server.
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let (offer, answer) = tracing::subscriber::with_default(subscriber, || {
        let mut sim = Sim::new(67);
        let source = sim.plane.add_source();
        let viewer = sim.watch(source);
        sim.publish_for(source, &mut Stream::small(Codec::H264, 25), 5);
        let viewer = sim.viewer(viewer);
        (viewer.offer.clone(), viewer.answer.clone())
    });
    let log = log.0.read().unwrap();
    assert!(log.len() > 2_000, "it was logged");
    for sdp in [offer, answer] {
        let password = sdp.lines().find_map(|line| line.strip_prefix("a=ice-pwd:"));
        let password = password.expect("a password");
        let log = String::from_utf8_lossy(&log);
        let told: Vec<&str> = log.lines().filter(|line| line.contains(password)).collect();
        assert!(told.is_empty(), "{}", told[0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_datagram_and_no_text_from_outside_harms_a_session(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 0..30),
        sdp in "(v=0\r\n)?([a-z]=[ -~]{0,40}\r\n){0,20}",
        candidate in "(candidate:)?[ -~]{0,80}",
    ) {
        let mut sim = Sim::new(66);
        let source = sim.plane.add_source();
        let (key, _) = sim.plane.create_session(sim.now, source, &mut sim.out).unwrap();
        for bytes in &datagrams {
            sim.plane.datagram(sim.now, SocketIndex(0), stranger(), bytes, &mut sim.out);
        }
        let _ = sim.plane.add_candidate(sim.now, key, &candidate);
        prop_assert!(sim.plane.accept_answer(sim.now, key, &sdp, &mut sim.out).is_err());
        prop_assert_eq!(sim.plane.sessions(), 1);
        prop_assert_eq!(sim.plane.counters().panics, 0);
    }
}
