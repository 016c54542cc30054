//! The life of a session.

use std::time::Duration;

use rtc::{
    CONTROL_MESSAGE_BYTES, CloseReason, Codec, Event, ICE_GONE, IceState, SessionError,
    SessionState,
};

use super::support::media::Stream;
use super::support::{Sim, ViewerId};

const SECOND: Duration = Duration::from_secs(1);

fn watching(sim: &mut Sim) -> (rtc::SourceKey, ViewerId) {
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    (source, viewer)
}

fn assert_nothing_left(sim: &Sim) {
    assert_eq!(sim.plane.sessions(), 0);
    assert_eq!(sim.plane.demux_entries(), 0);
    for source in sim.plane.source_keys() {
        let stats = sim.plane.source_stats(source).unwrap();
        assert_eq!((stats.sessions, stats.viewers), (0, 0));
    }
    let counters = sim.plane.counters();
    assert_eq!(counters.sessions_created, counters.sessions_closed);
}

#[test]
fn a_session_tells_how_it_comes_about() {
    let mut sim = Sim::new(20);
    let (_, viewer) = watching(&mut sim);
    let session = sim.key(viewer);
    let states: Vec<SessionState> = sim
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::SessionState {
                session: key,
                state,
            } if *key == session => Some(*state),
            _ => None,
        })
        .collect();
    assert_eq!(states, [SessionState::Connecting, SessionState::Connected]);
    assert_eq!(
        sim.plane.session(session).unwrap().ice_state(),
        IceState::Completed
    );
    assert!(sim.elapsed() < SECOND / 2, "it took {:?}", sim.elapsed());
}

#[test]
fn the_control_channel_carries_text_both_ways() {
    let mut sim = Sim::new(21);
    let (_, viewer) = watching(&mut sim);
    let session = sim.key(viewer);
    sim.run_until(SECOND, "the channel", |sim| {
        sim.viewer(viewer).channel.is_some() && sim.plane.session(session).unwrap().channel_open()
    });
    assert_eq!(
        sim.count(|event| *event == Event::ChannelOpen { session }),
        1
    );
    let now = sim.now;
    sim.viewer_mut(viewer)
        .send_text(now, r#"{"type":"control"}"#);
    assert!(
        sim.plane
            .send_text(now, session, r#"{"type":"ack"}"#, &mut sim.out)
    );
    sim.run_for(SECOND / 10);
    assert_eq!(sim.viewer(viewer).messages, [r#"{"type":"ack"}"#]);
    let heard = Event::ChannelMessage {
        session,
        text: r#"{"type":"control"}"#.into(),
    };
    assert_eq!(sim.count(|event| *event == heard), 1);
}

#[test]
fn a_viewer_that_does_not_read_cannot_fill_memory_through_the_channel() {
    let mut sim = Sim::new(22);
    let (_, viewer) = watching(&mut sim);
    let session = sim.key(viewer);
    sim.run_until(SECOND, "the channel", |sim| {
        sim.plane.session(session).unwrap().channel_open()
    });
    let now = sim.now;
    assert!(!sim.plane.send_text(
        now,
        session,
        &"x".repeat(CONTROL_MESSAGE_BYTES + 1),
        &mut sim.out
    ));
    sim.network.cut.push(sim.viewer(viewer).address);
    let text = "x".repeat(10_000);
    let taken = (0..100)
        .filter(|_| sim.plane.send_text(now, session, &text, &mut sim.out))
        .count();
    assert!(
        (1..=13).contains(&taken),
        "{taken} messages of 10 kB were taken"
    );
}

#[test]
fn closing_tells_the_viewer_at_whatever_moment() {
    for (ms, dtls_server) in (0..150).step_by(3).flat_map(|ms| [(ms, false), (ms, true)]) {
        let mut sim = Sim::new(29);
        let source = sim.plane.add_source();
        let mut viewer = sim.new_viewer(|config| config);
        viewer.dtls_server = dtls_server;
        let viewer = sim.join_as(source, viewer);
        sim.run_for(Duration::from_millis(ms));
        let session = sim.key(viewer);
        let connected = sim.plane.session(session).unwrap().state() == SessionState::Connected;
        assert!(connected || ms < 100, "the handshake takes less");
        sim.plane.close_session(sim.now, session, &mut sim.out);
        // A DTLS alert in the epoch that the handshake has made.
        let goodbye = sim
            .out
            .runs()
            .flat_map(|run| run.contents.chunks(run.segment))
            .any(|datagram| matches!(datagram, [21, _, _, 0, 1, ..]));
        assert_eq!(goodbye, connected, "{ms} ms after the answer");
        assert_nothing_left(&sim);
    }
}

#[test]
fn closing_tells_the_viewer_and_leaves_nothing() {
    let mut sim = Sim::new(23);
    let (source, viewer) = watching(&mut sim);
    sim.publish_for(source, &mut Stream::new(Codec::H264, 25), 10);
    let session = sim.key(viewer);
    sim.take_events();
    let now = sim.now;
    sim.plane.close_session(now, session, &mut sim.out);
    sim.flush();
    assert_nothing_left(&sim);
    sim.run_for(SECOND / 10);
    assert!(sim.viewer(viewer).closed, "the viewer got close_notify");
    assert_eq!(
        sim.count(|event| matches!(event, Event::SessionClosed { .. })),
        0
    );
    assert!(sim.plane.session(session).is_none());
    let again = sim.plane.accept_answer(now, session, "v=0", &mut sim.out);
    assert_eq!(again, Err(SessionError::UnknownSession));
    sim.plane.remove_source(source);
    assert_eq!(sim.plane.source_keys().count(), 0);
}

#[test]
fn a_viewer_that_leaves_is_noticed() {
    let mut sim = Sim::new(24);
    let (_, viewer) = watching(&mut sim);
    sim.run_until(SECOND, "the channel", |sim| {
        sim.viewer(viewer).channel.is_some()
    });
    let session = sim.key(viewer);
    let now = sim.now;
    sim.viewer_mut(viewer).close(now);
    sim.flush();
    sim.run_for(SECOND / 10);
    let told = Event::SessionClosed {
        session,
        reason: CloseReason::PeerClosed,
    };
    assert_eq!(sim.count(|event| *event == told), 1, "{:?}", sim.events);
    assert_nothing_left(&sim);
}

#[test]
fn a_viewer_that_vanishes_is_closed_after_a_while_and_one_that_returns_goes_on() {
    let mut sim = Sim::new(25);
    let (source, viewer) = watching(&mut sim);
    let gone = sim.join(source);
    sim.run_for(SECOND);
    let (key, gone_key) = (sim.key(viewer), sim.key(gone));
    let addresses = [sim.viewer(viewer).address, sim.viewer(gone).address];
    sim.network.cut.extend(addresses);
    sim.run_for(18 * SECOND);
    assert_eq!(
        sim.plane.session(key).unwrap().ice_state(),
        IceState::Disconnected
    );
    let sent = sim.plane.counters().rtp_packets_sent;
    let mut stream = Stream::small(Codec::H264, 25);
    sim.publish_for(source, &mut stream, 10);
    assert_eq!(
        sim.plane.counters().rtp_packets_sent,
        sent,
        "nothing is sent into the void"
    );
    sim.network.cut.clear();
    sim.network.cut.push(addresses[1]);
    let offer = sim.plane.offer(sim.now, key, true, &mut sim.out).unwrap();
    let now = sim.now;
    let answer = sim.viewer_mut(viewer).answer(now, &offer);
    sim.plane
        .accept_answer(now, key, &answer, &mut sim.out)
        .unwrap();
    sim.publish_for(source, &mut stream, 50);
    assert!(!sim.viewer(viewer).frames.is_empty(), "the picture is back");
    sim.run_for(ICE_GONE);
    assert_eq!(
        sim.plane.session(key).unwrap().state(),
        SessionState::Connected
    );
    let told = Event::SessionClosed {
        session: gone_key,
        reason: CloseReason::IceTimeout,
    };
    assert_eq!(sim.count(|event| *event == told), 1);
    assert_eq!(sim.plane.sessions(), 1);
}

#[test]
fn watching_is_activity() {
    let mut sim = Sim::new(26);
    let (source, viewer) = watching(&mut sim);
    let key = sim.key(viewer);
    let unanswered = sim
        .plane
        .create_session(sim.now, source, &mut sim.out)
        .unwrap()
        .0;
    let created = sim.now;
    sim.run_for(60 * SECOND);
    let last = sim.plane.session(key).unwrap().last_activity();
    assert!(sim.now - last < 10 * SECOND, "{:?}", sim.now - last);
    assert_eq!(
        sim.plane.session(unanswered).unwrap().last_activity(),
        created
    );
}
