//! RTP and RTCP: garbage, and what came before.

use std::time::Duration;

use rtc::{Codec, Event};

use crate::security::stranger;
use crate::support::media::Stream;
use crate::support::{Sim, plane_address};

const SECOND: Duration = Duration::from_secs(1);

/// xorshift64.
fn draw(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 32) as u8
}

#[test]
fn garbage_from_the_viewers_address_ends_nothing_and_is_not_kept() {
    let mut sim = Sim::new(280);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let from = sim.viewer(viewer).address;
    let mut stream = Stream::small(Codec::H264, 25);
    let mut state = 0x1234_5678_9abc_def1;
    for round in 0..50_u32 {
        for number in 0..100_u32 {
            // RTP of our payload types with the MID extension and a new SSRC each, and SRTCP.
            let ssrc = (round * 100 + number).to_be_bytes();
            let mut rtp = vec![0x90, 102, 0, number as u8, 0, 0, 0, 0];
            rtp.extend(ssrc);
            rtp.extend([0xbe, 0xde, 0, 1, 0x10, b'0', 0, 0]);
            rtp.extend((0..200).map(|_| draw(&mut state)));
            assert_eq!(sim.inject(from, &rtp), []);
            let mut rtcp = vec![0x81, 200 + (number % 8) as u8, 0, 20];
            rtcp.extend(ssrc);
            rtcp.extend((0..80).map(|_| draw(&mut state)));
            assert_eq!(sim.inject(from, &rtcp), []);
        }
        sim.publish_for(source, &mut stream, 1);
    }
    sim.run_for(SECOND / 10);
    let counters = sim.plane.counters();
    assert_eq!(counters.unexpected_media, 5_000);
    assert_eq!((counters.nacks, counters.plis, counters.panics), (0, 0, 0));
    sim.viewer(viewer).assert_smooth();
    assert_eq!(sim.viewer(viewer).pictures().len(), 50);
}

#[test]
fn a_report_that_was_heard_counts_once_however_often_it_comes() {
    let mut sim = Sim::new(281);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let from = sim.viewer(viewer).address;
    sim.network.record = Some(Vec::new());
    let mut stream = Stream::small(Codec::H264, 25);
    sim.publish_for(source, &mut stream, 50);
    let now = sim.now;
    sim.viewer_mut(viewer).request_keyframe(now);
    sim.publish_for(source, &mut stream, 25);
    sim.run_for(SECOND);
    let recorded = sim.network.record.take().unwrap();
    let reports: Vec<Vec<u8>> = recorded
        .into_iter()
        .filter(|(to, _, bytes)| *to == plane_address() && matches!(bytes[..], [128..=191, ..]))
        .map(|(_, _, bytes)| bytes)
        .collect();
    assert!(reports.len() > 3, "{} reports", reports.len());
    let before = sim.plane.counters().clone();
    assert!(before.plis > 0 && before.replayed == 0);
    let active = sim.plane.session(sim.key(viewer)).unwrap().last_activity();
    for _ in 0..100 {
        for report in &reports {
            assert_eq!(sim.inject(from, report), []);
        }
    }
    let after = sim.plane.counters();
    assert_eq!(after.replayed, 100 * reports.len() as u64);
    assert_eq!((after.plis, after.nacks), (before.plis, before.nacks));
    let session = sim.plane.session(sim.key(viewer)).unwrap();
    assert_eq!(session.last_activity(), active, "nobody was there");
}

/// What moves the media of a viewer is a report of its own from elsewhere: not one that was heard before, nor an
/// older one that got lost and that somebody has kept.
#[test]
fn a_report_that_is_sent_again_from_elsewhere_draws_no_media_there() {
    let mut sim = Sim::new(283);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let check = sim.network.last_stun_to(plane_address()).expect("a check");
    let mut stream = Stream::small(Codec::H264, 25);
    let of_viewer = |sim: &mut Sim| -> Vec<Vec<u8>> {
        let recorded = sim.network.record.take().unwrap_or_default().into_iter();
        let reports = recorded.filter(|(to, _, bytes)| {
            *to == plane_address() && matches!(bytes[..], [128..=191, ..])
        });
        reports.map(|(_, _, bytes)| bytes).collect()
    };
    sim.network.record = Some(Vec::new());
    sim.publish_for(source, &mut stream, 50);
    let mut reports = of_viewer(&mut sim);
    sim.network.record = Some(Vec::new());
    sim.network.reports_lost = true;
    sim.publish_for(source, &mut stream, 50);
    sim.network.reports_lost = false;
    let kept = of_viewer(&mut sim);
    assert!(!reports.is_empty() && !kept.is_empty());
    reports.extend(kept);
    sim.publish_for(source, &mut stream, 75);
    sim.inject(stranger(), &check);
    for report in &reports {
        sim.inject(stranger(), report);
        sim.publish_for(source, &mut stream, 1);
    }
    sim.publish_for(source, &mut stream, 75);
    sim.run_for(SECOND / 10);
    assert_eq!(sim.network.media_to(stranger()), 0);
    assert_eq!(sim.viewer(viewer).pictures().len(), stream.next as usize);
}

#[test]
fn a_flood_of_keyframe_requests_asks_the_publisher_twice_a_second() {
    let mut sim = Sim::new(282);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let mut stream = Stream::small(Codec::H264, 10_000);
    sim.publish_for(source, &mut stream, 25);
    sim.take_events();
    for _ in 0..5_000 {
        let now = sim.now;
        sim.viewer_mut(viewer).request_keyframe(now);
        sim.step();
    }
    assert!(
        sim.plane.counters().plis > 50,
        "{}",
        sim.plane.counters().plis
    );
    let wanted = sim.count(|event| matches!(event, Event::KeyframeWanted { .. }));
    assert!((5..=11).contains(&wanted), "{wanted} requests in 5 s");
}
