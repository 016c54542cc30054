//! What only the inside of a session can show.

use std::time::Duration;

use str0m::rtp::RawPacket;
use str0m::rtp::rtcp::{Nack, NackEntry, Rtcp};

use super::reports::MAX_LOST;
use crate::testing::{plane, start};
use crate::{CloseReason, Event, Outbox, SessionState};

#[test]
fn a_panic_closes_its_session_alone() {
    let now = start();
    let (mut plane, mut out) = (plane(now), Outbox::new());
    let source = plane.add_source();
    let (bad, _) = plane.create_session(now, source, &mut out).unwrap();
    let (good, _) = plane.create_session(now, source, &mut out).unwrap();
    let session = plane.sessions.get_mut(bad).unwrap();
    let turned = session.turn(now, &mut out, |_| panic!("as a fault in str0m would"));
    assert!(turned.is_err());
    let again = session.turn(now, &mut out, |_| unreachable!("nobody touches it again"));
    assert!(again.is_err());
    plane.settle(now, bad, &mut out);
    assert!(plane.session(bad).is_none());
    assert_eq!(plane.counters().panics, 1);
    let events: Vec<Event> = out.events().collect();
    let state = Event::SessionState {
        session: bad,
        state: SessionState::Closed,
    };
    let closed = Event::SessionClosed {
        session: bad,
        reason: CloseReason::Fault,
    };
    assert!(
        events.contains(&state) && events.contains(&closed),
        "{events:?}"
    );
    // The other one goes on, and nothing of the first is left.
    plane.timeout(now + Duration::from_secs(1), good, &mut out);
    assert_eq!(plane.session(good).unwrap().state(), SessionState::New);
    assert_eq!((plane.sessions(), plane.demux_entries()), (1, 1));
    plane.timeout(now, bad, &mut out);
    plane.send_blocked(bad, 1);
    assert!(!plane.send_text(now, bad, "x", &mut out));
}

#[test]
fn an_idle_session_wakes_at_most_once_a_second() {
    let start = start();
    let (mut plane, mut out) = (plane(start), Outbox::new());
    let source = plane.add_source();
    let (key, _) = plane.create_session(start, source, &mut out).unwrap();
    let mut now = start;
    let mut wakes = 0;
    let mut next: Vec<_> = out.timers().collect();
    while now < start + Duration::from_secs(10) {
        assert_eq!(next.len(), 1, "one timer for one session: {next:?}");
        now = next[0].1.max(now + Duration::from_millis(1));
        plane.timeout(now, key, &mut out);
        next = out.timers().collect();
        wakes += 1;
    }
    assert!((3..=10).contains(&wakes), "{wakes} wakes in 10 s");
}

#[test]
fn a_nack_for_everything_asks_for_a_bounded_lot() {
    let now = start();
    let (mut plane, mut out) = (plane(now), Outbox::new());
    let source = plane.add_source();
    let (key, _) = plane.create_session(now, source, &mut out).unwrap();
    let session = plane.sessions.get_mut(key).unwrap();
    let ssrc = 77.into();
    session.video.ssrc = Some(ssrc);
    // A compound of 1,400 bytes has room for 87 of these.
    for pid in 0..87 {
        let all = NackEntry {
            pid: pid * 17,
            blp: u16::MAX,
        };
        let nack = Nack {
            sender_ssrc: 1.into(),
            ssrc,
            reports: all.into(),
        };
        session.on_packet(now, RawPacket::RtcpRx(Rtcp::Nack(nack)));
    }
    assert_eq!(session.signals.lost.len(), MAX_LOST);
    assert_eq!(session.signals.nacks, 87);
}

/// A wheel that cannot cancel would hold what a session asks for as it ends: str0m's "never" is years away.
#[test]
fn a_session_that_ends_asks_for_no_timer_in_a_century() {
    let start = start();
    let (mut plane, mut out) = (plane(start), Outbox::new());
    let source = plane.add_source();
    for late in [0, 100, 10_000].map(Duration::from_millis) {
        let (key, _) = plane.create_session(start, source, &mut out).unwrap();
        let due = out
            .timers()
            .map(|(_, at)| at)
            .max()
            .expect("a session has a timer");
        // On a busy machine the tick may come after other work.
        plane.close_session(due + late, key, &mut out);
        let latest = due + late + Duration::from_secs(60);
        let far: Vec<_> = out.timers().filter(|(_, at)| *at > latest).collect();
        assert_eq!(far, [], "late by {late:?}");
    }
}
