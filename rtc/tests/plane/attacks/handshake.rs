//! The race of the ClientHello, and what can be forged while DTLS begins.

use std::net::SocketAddr;
use std::time::Duration;

use rtc::{CloseReason, Codec, Event, SessionKey, SessionState, SourceKey};

use crate::security::{client_hello, stranger};
use crate::support::media::Stream;
use crate::support::{Sim, Viewer, ViewerId, plane_address};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
/// DTLS records (RFC 6347 §4.1).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// A record in the clear.
fn record(kind: u8, sequence: u16, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0];
    record.extend(sequence.to_be_bytes());
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

/// A session whose viewer has not answered yet.
fn offered(sim: &mut Sim) -> (SourceKey, SessionKey, String) {
    let source = sim.plane.add_source();
    let (key, offer) = sim
        .plane
        .create_session(sim.now, source, &mut sim.out)
        .expect("a session");
    (source, key, offer)
}

fn watches(sim: &mut Sim, source: SourceKey, viewer: ViewerId) {
    let first = sim.viewer(viewer).pictures().len();
    sim.publish_for(source, &mut Stream::small(Codec::H264, 25), 10);
    sim.run_for(SECOND / 10);
    assert_eq!(sim.viewer(viewer).pictures().len(), first + 10);
}

#[test]
fn a_hello_from_elsewhere_gets_no_answer_at_any_time() {
    let mut sim = Sim::new(200);
    let hello = client_hello();
    let (source, key, offer) = offered(&mut sim);
    let mut viewer = Viewer::new(sim.now, 0);
    viewer.key = Some(key);
    let race = |sim: &mut Sim| {
        for _ in 0..100 {
            assert_eq!(
                sim.inject(stranger(), &hello),
                [],
                "an answer to a stranger"
            );
            sim.step();
        }
    };
    race(&mut sim);
    let answer = viewer.answer(sim.now, &offer);
    sim.plane
        .accept_answer(sim.now, key, &answer, &mut sim.out)
        .unwrap();
    sim.viewers.push(viewer);
    let viewer = ViewerId(0);
    race(&mut sim);
    race(&mut sim);
    assert!(sim.viewer(viewer).connected.is_some());
    assert_eq!(sim.plane.counters().unknown_source, 300);
    watches(&mut sim, source, viewer);
}

#[test]
fn a_hello_from_the_viewers_own_address_is_dropped_before_its_check_and_its_answer() {
    let mut sim = Sim::new(201);
    let hello = client_hello();
    let (source, key, offer) = offered(&mut sim);
    let mut viewer = Viewer::new(sim.now, 0);
    viewer.key = Some(key);
    let from = viewer.address;
    let answer = viewer.answer(sim.now, &offer);
    assert_eq!(sim.inject(from, &hello), []);
    assert_eq!(sim.plane.counters().unknown_source, 1);
    // Its checks come through, its answer does not yet.
    sim.viewers.push(viewer);
    sim.run_for(100 * MS);
    assert_eq!(sim.inject(from, &hello), []);
    assert_eq!(sim.plane.counters().early, 1);
    sim.plane
        .accept_answer(sim.now, key, &answer, &mut sim.out)
        .unwrap();
    sim.flush();
    sim.connect(ViewerId(0));
    watches(&mut sim, source, ViewerId(0));
}

#[test]
fn a_hello_from_an_address_of_another_session_reaches_that_one_alone() {
    let mut sim = Sim::new(202);
    let hello = client_hello();
    let source = sim.plane.add_source();
    let attacker = sim.watch(source);
    let from = sim.viewer(attacker).address;
    let viewer = sim.join(source);
    let to = sim.viewer(viewer).address;
    for _ in 0..100 {
        let sent = sim.inject(from, &hello);
        assert!(sent.iter().all(|(address, _)| *address != to));
        sim.step();
    }
    assert!(sim.viewer(viewer).connected.is_some());
    assert!(sim.elapsed() < SECOND);
    watches(&mut sim, source, viewer);
    assert_eq!(sim.plane.sessions(), 2);
}

/// Whoever can forge the viewer's address in the very round trip in which its handshake begins, and
/// knows its port, can spoil that handshake as he could by forging a ServerHello to the viewer. He
/// learns nothing, and nobody else notices.
#[test]
fn a_hello_forged_within_the_handshake_costs_at_most_that_session() {
    for ms in (0..80).step_by(5) {
        let mut sim = Sim::new(203);
        let hello = client_hello();
        let source = sim.plane.add_source();
        let other = sim.watch(source);
        let viewer = sim.join(source);
        let key = sim.key(viewer);
        let from = sim.viewer(viewer).address;
        sim.run_for(ms * MS);
        let answers = sim.inject(from, &hello);
        assert!(answers.iter().all(|(to, _)| *to == from));
        let bytes: usize = answers.iter().map(|(_, datagram)| datagram.len()).sum();
        assert!(bytes < 2_000, "{bytes} bytes for one ClientHello");
        sim.viewer_mut(viewer).forgiving = true;
        sim.run_for(2 * SECOND);
        watches(&mut sim, source, other);
        let state = sim.plane.session(key).map(rtc::Session::state);
        if state != Some(SessionState::Connected) {
            sim.run_for(45 * SECOND);
            assert!(
                sim.plane.session(key).is_none(),
                "it is over in bounded time"
            );
            let reason = CloseReason::DtlsFailed;
            let closed = Event::SessionClosed {
                session: key,
                reason,
            };
            assert_eq!(sim.count(|event| *event == closed), 1);
        }
        assert_eq!(
            sim.plane.sessions(),
            1 + usize::from(state == Some(SessionState::Connected))
        );
    }
}

#[test]
fn alerts_and_handshakes_in_the_clear_change_nothing() {
    let mut sim = Sim::new(204);
    let hello = client_hello();
    let source = sim.plane.add_source();
    let viewer = sim.join(source);
    let from = sim.viewer(viewer).address;
    // close_notify and handshake_failure, as a warning and fatal: while it connects, and after.
    let forged = |sim: &mut Sim, rounds: u16| {
        for round in 0..rounds {
            for body in [[1, 0], [2, 0], [1, 40], [2, 40]] {
                sim.inject(from, &record(ALERT, round, &body));
            }
            sim.step();
        }
    };
    forged(&mut sim, 150);
    assert!(sim.viewer(viewer).connected.is_some());
    forged(&mut sim, 50);
    // A second ClientHello, a HelloRequest (RFC 5246 §7.4.1.1) and a next message: no
    // renegotiation.
    sim.run_for(SECOND);
    for sequence in 0..20_u8 {
        let mut again = hello.clone();
        again[18] = sequence;
        let sent = sim.inject(from, &again);
        let request = record(HANDSHAKE, 9, &[0, 0, 0, 0, 0, sequence, 0, 0, 0, 0, 0, 0]);
        let sent = sent.len() + sim.inject(from, &request).len();
        assert_eq!(sent, 0, "an answer to handshake message {sequence}");
    }
    assert_eq!(sim.plane.counters().panics, 0);
    watches(&mut sim, source, viewer);
}

#[test]
fn fragments_without_end_are_bounded_and_cost_their_session_alone() {
    let mut sim = Sim::new(205);
    let source = sim.plane.add_source();
    let other = sim.watch(source);
    let viewer = sim.join(source);
    let from = sim.viewer(viewer).address;
    sim.viewer_mut(viewer).forgiving = true;
    sim.run_for(25 * MS);
    let mut sent = 0;
    for number in 0..5_000_u16 {
        // A fragment of 1 byte of a Certificate of 16 MB.
        let [high, low] = number.to_be_bytes();
        let body = [
            11,
            0xff,
            0xff,
            0xff,
            0,
            1 + low % 8,
            0,
            high,
            low,
            0,
            0,
            1,
            7,
        ];
        sent += sim.inject(from, &record(HANDSHAKE, number, &body)).len();
        if number % 50 == 0 {
            sim.step();
        }
    }
    assert!(sent < 20, "{sent} answers to 5000 fragments");
    watches(&mut sim, source, other);
    assert_eq!(sim.plane.counters().panics, 0);
}

#[test]
fn a_viewer_with_another_certificate_than_its_answer_names_is_refused() {
    let mut sim = Sim::new(206);
    let (_, key, offer) = offered(&mut sim);
    let mut viewer = Viewer::new(sim.now, 0);
    viewer.key = Some(key);
    viewer.forgiving = true;
    let answer = viewer.answer(sim.now, &offer);
    let at = answer.find("a=fingerprint:sha-256 ").unwrap() + 22;
    let digit = if &answer[at..=at] == "0" { "1" } else { "0" };
    let forged = format!("{}{digit}{}", &answer[..at], &answer[at + 1..]);
    // Where each section has one of its own, they are the same.
    let forged = forged.replace(&answer[at..at + 95], &forged[at..at + 95]);
    sim.plane
        .accept_answer(sim.now, key, &forged, &mut sim.out)
        .unwrap();
    sim.viewers.push(viewer);
    sim.run_for(SECOND);
    assert!(sim.plane.session(key).is_none());
    let connected = |event: &Event| {
        let state = SessionState::Connected;
        *event
            == Event::SessionState {
                session: key,
                state,
            }
    };
    assert_eq!(sim.count(connected), 0);
}

/// The server sends to nobody who has not sent it a valid check, whatever candidates it is told.
#[test]
fn no_candidate_makes_the_server_send_anywhere() {
    let mut sim = Sim::new(207);
    let (source, key, offer) = offered(&mut sim);
    let mut viewer = Viewer::new(sim.now, 0);
    viewer.key = Some(key);
    let targets: Vec<SocketAddr> = [
        "127.0.0.1:22",
        "10.0.0.1:53",
        "169.254.169.254:80",
        "224.0.0.251:5353",
        "255.255.255.255:9",
        "[::1]:22",
        "[ff02::1]:9",
        "[fd00::1]:53",
    ]
    .map(|text| text.parse().unwrap())
    .to_vec();
    let line = |address: &SocketAddr| {
        let (ip, port) = (address.ip(), address.port());
        format!("candidate:1 1 udp 2130706431 {ip} {port} typ host")
    };
    for target in &targets {
        // Taken and put aside, or refused: in neither case used.
        let _ = sim.plane.add_candidate(sim.now, key, &line(target));
    }
    let answer = viewer.answer(sim.now, &offer);
    let lines: String = targets
        .iter()
        .map(|t| format!("a={}\r\n", line(t)))
        .collect();
    let at = answer.find("m=audio").unwrap();
    let answer = format!("{}{lines}{}", &answer[..at], &answer[at..]);
    sim.plane
        .accept_answer(sim.now, key, &answer, &mut sim.out)
        .unwrap();
    sim.run_for(2 * SECOND);
    assert_eq!(sim.network.sent(), 0, "nothing was heard yet");
    sim.viewers.push(viewer);
    sim.connect(ViewerId(0));
    watches(&mut sim, source, ViewerId(0));
    for target in targets {
        assert_eq!(sim.network.sent_to(target), 0, "{target}");
    }
    assert!(sim.network.sent_to(plane_address()) > 0);
}
