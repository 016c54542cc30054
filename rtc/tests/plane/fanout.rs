//! How packets leave: in slices, in runs, in order, and fairly.

use std::time::Duration;

use rtc::{Codec, RUN_MAX_SEGMENTS};

use super::support::media::{self, Stream};
use super::support::{Sim, ViewerId};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_picture_goes_out_as_one_run_per_viewer() {
    let mut sim = Sim::new(80);
    let source = sim.plane.add_source();
    let viewers: Vec<ViewerId> = (0..5).map(|_| sim.watch(source)).collect();
    let mut stream = Stream::new(Codec::H264, 1_000);
    sim.publish_for(source, &mut stream, 5);
    sim.media_runs.clear();
    sim.publish_for(source, &mut stream, 1);
    let runs: Vec<usize> = sim
        .media_runs
        .iter()
        .map(|(_, datagrams)| *datagrams)
        .collect();
    assert_eq!(runs, [7; 5], "one send of seven datagrams for each viewer");
    for viewer in viewers {
        let key = sim.key(viewer);
        assert!(sim.media_runs.iter().any(|(session, _)| *session == key));
    }
}

#[test]
fn a_keyframe_is_spread_over_a_few_milliseconds_and_nothing_overtakes_it() {
    let mut sim = Sim::new(81);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let mut stream = Stream::new(Codec::H264, 10);
    sim.publish_for(source, &mut stream, 10);
    sim.media_runs.clear();
    // Two pictures at once: the second is small and must wait for the keyframe.
    let (keyframe, next) = (stream.next(), stream.next());
    sim.publish(source, &keyframe);
    sim.publish(source, &next);
    let mut rounds = Vec::new();
    for _ in 0..12 {
        let before: usize = sim.media_runs.iter().map(|(_, datagrams)| datagrams).sum();
        sim.step();
        rounds.push(
            sim.media_runs
                .iter()
                .map(|(_, datagrams)| datagrams)
                .sum::<usize>()
                - before,
        );
    }
    assert!(
        rounds.iter().all(|datagrams| *datagrams <= 16),
        "{rounds:?}"
    );
    assert_eq!(rounds.iter().sum::<usize>(), 42 + 7, "{rounds:?}");
    sim.run_for(SECOND / 10);
    sim.viewer(viewer).assert_smooth();
    assert_eq!(sim.viewer(viewer).pictures().len(), 12);
}

#[test]
fn a_viewer_that_leaves_in_the_middle_of_a_keyframe_takes_nothing_from_the_others() {
    let mut sim = Sim::new(88);
    let source = sim.plane.add_source();
    let viewers: Vec<ViewerId> = (0..4).map(|_| sim.watch(source)).collect();
    let mut stream = Stream::new(Codec::H264, 10);
    sim.publish_for(source, &mut stream, 10);
    let keyframe = stream.next();
    sim.publish(source, &keyframe);
    sim.step();
    // All wait for the rest of it. The last one takes the place of the first.
    let key = sim.key(viewers[0]);
    sim.plane.close_session(sim.now, key, &mut sim.out);
    sim.flush();
    sim.run_for(SECOND / 10);
    for viewer in &viewers[1..] {
        sim.viewer(*viewer).assert_smooth();
        assert_eq!(sim.viewer(*viewer).pictures().len(), 11);
    }
}

#[test]
fn a_slice_bounds_the_work_of_a_turn() {
    let mut sim = Sim::new(82);
    let source = sim.plane.add_source();
    for _ in 0..20 {
        sim.watch(source);
    }
    let mut stream = Stream::new(Codec::H264, 1_000);
    sim.publish_for(source, &mut stream, 5);
    let au = stream.next();
    sim.plane.write(sim.now, source, sim.now, &au, &mut sim.out);
    let mut turns = 0;
    loop {
        let more = sim.plane.fan_out(sim.now, 32, &mut sim.out);
        let packets: usize = sim
            .out
            .runs()
            .filter(|run| run.media)
            .map(|run| run.datagrams())
            .sum();
        assert!(packets <= 32 + 16, "{packets} packets in a slice of 32");
        sim.flush();
        turns += 1;
        if !more {
            break;
        }
    }
    assert!(
        (4..=6).contains(&turns),
        "20 × 7 packets took {turns} slices of 32"
    );
}

#[test]
fn another_viewer_is_first_each_time() {
    let mut sim = Sim::new(83);
    let source = sim.plane.add_source();
    for _ in 0..4 {
        sim.watch(source);
    }
    let mut stream = Stream::small(Codec::H264, 1_000);
    sim.publish_for(source, &mut stream, 5);
    let mut first = Vec::new();
    for _ in 0..4 {
        sim.media_runs.clear();
        sim.publish_for(source, &mut stream, 1);
        first.push(sim.media_runs[0].0);
    }
    first.sort();
    first.dedup();
    assert_eq!(first.len(), 4);
}

#[test]
fn a_source_with_many_viewers_does_not_hold_up_another() {
    let mut sim = Sim::new(84);
    let (crowd, pair) = (sim.plane.add_source(), sim.plane.add_source());
    for _ in 0..60 {
        sim.watch(crowd);
    }
    let lone = sim.watch(pair);
    let mut streams = (
        Stream::new(Codec::H264, 1_000),
        Stream::small(Codec::H264, 1_000),
    );
    for _ in 0..5 {
        sim.publish(crowd, &streams.0.next());
        sim.publish_for(pair, &mut streams.1, 1);
    }
    sim.publish(crowd, &streams.0.next());
    sim.publish(pair, &streams.1.next());
    sim.media_runs.clear();
    sim.plane.fan_out(sim.now, 1_000, &mut sim.out);
    sim.flush();
    let lone = sim.key(lone);
    let place = sim
        .media_runs
        .iter()
        .position(|(session, _)| *session == lone);
    assert!(
        place.is_some_and(|place| place <= 16),
        "served in place {place:?} of 61"
    );
}

#[test]
fn three_hundred_viewers_of_one_source_see_every_picture() {
    let mut sim = Sim::new(85);
    let source = sim.plane.add_source();
    let viewers: Vec<ViewerId> = (0..300).map(|_| sim.join(source)).collect();
    sim.run_for(SECOND / 2);
    assert_eq!(sim.plane.source_stats(source).unwrap().viewers, 300);
    let mut stream = Stream::small(Codec::H264, 10);
    sim.publish_for(source, &mut stream, 25);
    sim.run_for(SECOND / 4);
    for viewer in &viewers {
        let viewer = sim.viewer(*viewer);
        viewer.assert_smooth();
        assert_eq!(viewer.pictures().len(), 25);
        assert!(
            viewer.longest_gap(sim.start) <= 2 * media::FRAME,
            "{:?}",
            viewer.longest_gap(sim.start)
        );
    }
    assert!(
        sim.media_runs
            .iter()
            .all(|(_, datagrams)| *datagrams <= RUN_MAX_SEGMENTS)
    );
    for viewer in viewers {
        let key = sim.key(viewer);
        sim.plane.close_session(sim.now, key, &mut sim.out);
    }
    sim.flush();
    assert_eq!((sim.plane.sessions(), sim.plane.demux_entries()), (0, 0));
    assert!(!sim.plane.fan_out(sim.now + SECOND, 1_000, &mut sim.out));
    assert_eq!(sim.plane.next_pacing(), None);
}

#[test]
fn a_blocked_send_costs_its_viewer_alone() {
    let mut sim = Sim::new(86);
    let source = sim.plane.add_source();
    let (unlucky, lucky) = (sim.watch(source), sim.watch(source));
    let mut stream = Stream::new(Codec::H264, 1_000);
    sim.publish_for(source, &mut stream, 10);
    // The driver could not send this run, and says so.
    let au = stream.next();
    let key = sim.key(unlucky);
    sim.plane.write(sim.now, source, sim.now, &au, &mut sim.out);
    sim.plane.fan_out(sim.now, 100, &mut sim.out);
    let address = sim.viewer(unlucky).address;
    sim.network.cut.push(address);
    sim.flush();
    sim.network.cut.clear();
    sim.plane.send_blocked(key, 7);
    sim.publish_for(source, &mut stream, 20);
    sim.run_for(SECOND / 2);
    assert_eq!(sim.plane.counters().blocked, 7);
    assert_eq!(
        sim.plane
            .session(key)
            .unwrap()
            .stats()
            .connection
            .datagrams_blocked,
        7
    );
    sim.viewer(lucky).assert_smooth();
    assert_eq!(sim.viewer(lucky).pictures().len(), 31);
    assert_eq!(
        sim.viewer(unlucky).pictures().len(),
        31,
        "retransmission brought it back"
    );
}
