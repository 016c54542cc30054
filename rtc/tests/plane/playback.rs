//! What a viewer sees and hears.

use std::time::Duration;

use rtc::{Codec, Container, Event, Ingest, SessionState};

use super::support::media::{self, Stream, picture};
use super::support::{Sim, ViewerId};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn h264_vp8_and_opus_play() {
    for codec in [Codec::H264, Codec::Vp8] {
        let mut sim = Sim::new(1);
        let source = sim.plane.add_source();
        let viewer = sim.watch(source);
        let mut stream = Stream::new(codec, 25);
        for number in 0..75 {
            sim.publish(source, &picture(Codec::Opus, number, true, 160));
            sim.publish_for(source, &mut stream, 1);
        }
        sim.run_for(SECOND / 5);
        let viewer = sim.viewer(viewer);
        viewer.assert_smooth();
        assert_eq!(viewer.pictures().len(), 75);
        assert!(viewer.video().all(|frame| frame.codec == codec));
        assert_eq!(viewer.audio().count(), 75);
        assert!(viewer.longest_gap(sim.start) <= 2 * media::FRAME);
        let paced = viewer.video().last().unwrap().time - viewer.video().next().unwrap().time;
        assert!(
            (paced - 74.0 * 0.04).abs() < 0.002,
            "RTP time runs with the pictures: {paced}"
        );
    }
}

#[test]
fn a_viewer_who_joins_in_the_middle_sees_a_picture_at_once_and_is_soon_live() {
    let mut sim = Sim::new(2);
    let source = sim.plane.add_source();
    let mut stream = Stream::new(Codec::H264, 250);
    sim.publish_for(source, &mut stream, 100);
    let late = sim.watch(source);
    let joined = sim.now;
    sim.run_until(SECOND / 10, "a first picture", |sim| {
        !sim.viewer(late).frames.is_empty()
    });
    sim.publish_for(source, &mut stream, 25);
    sim.run_for(SECOND / 2);
    let viewer = sim.viewer(late);
    viewer.assert_smooth();
    assert_eq!(
        viewer.pictures().first(),
        Some(&0),
        "the keyframe comes first"
    );
    assert_eq!(viewer.pictures().len(), 125);
    // 99 pictures of four seconds are squeezed into a tenth of one, so that they are not played at
    // their old pace.
    let times: Vec<f64> = viewer.video().map(|frame| frame.time).collect();
    assert!(times[99] - times[0] < 0.11, "{}", times[99] - times[0]);
    assert!((times[124] - times[100] - 24.0 * 0.04).abs() < 0.002);
    let caught_up = viewer
        .video()
        .find(|frame| frame.number == Some(99))
        .unwrap()
        .at;
    assert!(caught_up - joined < SECOND / 2, "{:?}", caught_up - joined);
}

#[test]
fn loss_is_repaired_by_retransmission() {
    let mut sim = Sim::new(3);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    sim.network.loss = 0.03;
    let mut stream = Stream::new(Codec::H264, 25);
    sim.publish_for(source, &mut stream, 250);
    sim.network.loss = 0.0;
    sim.run_for(SECOND);
    assert!(
        sim.network.lost > 30,
        "the network must have lost something"
    );
    sim.viewer(viewer).assert_smooth();
    assert_eq!(sim.viewer(viewer).pictures().len(), 250);
    let key = sim.key(viewer);
    let stats = sim.plane.session(key).unwrap().stats();
    assert!(stats.video.nacks > 0);
    assert_eq!(sim.plane.counters().nacks, stats.video.nacks);
}

#[test]
fn the_picture_runs_on_with_the_next_publisher() {
    for second in [Codec::H264, Codec::Vp8] {
        let mut sim = Sim::new(4);
        let source = sim.plane.add_source();
        let viewer = sim.watch(source);
        let mut stream = Stream::new(Codec::H264, 25);
        sim.publish_for(source, &mut stream, 30);
        sim.plane.publisher_gone(source);
        sim.run_for(3 * SECOND);
        assert!(!sim.plane.source_stats(source).unwrap().live);
        let mut next = Stream::new(second, 25);
        next.next = 25 * 4;
        // It begins in the middle of a group: nobody can show that.
        next.next += 20;
        sim.publish_for(source, &mut next, 5 + 30);
        sim.run_for(SECOND / 2);
        let pictures = sim.viewer(viewer).pictures();
        let expected: Vec<u32> = (0..30).chain(125..155).collect();
        assert_eq!(pictures, expected);
        let video: Vec<_> = sim.viewer(viewer).video().collect();
        assert!(video.windows(2).all(|pair| pair[1].time > pair[0].time));
        let pause = video[30].time - video[29].time;
        assert!(
            (pause - (3.0 + 6.0 * 0.04)).abs() < 0.01,
            "the pause is as long as it was: {pause}"
        );
        assert!(video[30..].iter().all(|frame| frame.codec == second));
        assert_eq!(
            sim.viewer(viewer)
                .connected
                .map(|at| at < sim.start + SECOND),
            Some(true)
        );
    }
}

#[test]
fn a_keyframe_is_asked_for_once_however_many_viewers_want_one() {
    let mut sim = Sim::new(5);
    let source = sim.plane.add_source();
    let viewers: Vec<ViewerId> = (0..20).map(|_| sim.join(source)).collect();
    for viewer in &viewers {
        sim.connect(*viewer);
    }
    let mut stream = Stream::small(Codec::Vp8, 1_000);
    sim.publish_for(source, &mut stream, 10);
    sim.take_events();
    for round in 0..4 {
        for viewer in &viewers {
            let now = sim.now;
            sim.viewer_mut(*viewer).request_keyframe(now);
        }
        sim.publish_for(source, &mut stream, 5);
        let wanted = sim.count(|event| matches!(event, Event::KeyframeWanted { .. }));
        assert!(
            wanted <= round / 2 + 1,
            "{wanted} requests in {} ms",
            (round + 1) * 200
        );
    }
    assert!(sim.count(|event| matches!(event, Event::KeyframeWanted { .. })) > 0);
    assert!(sim.plane.counters().plis >= 20);
}

#[test]
fn a_viewer_of_a_file_recovers_from_the_cached_pictures() {
    let mut sim = Sim::new(6);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let mut stream = Stream::small(Codec::H264, 1_000);
    sim.publish_for(source, &mut stream, 25);
    // The viewer's decoder lost its picture; the publisher makes no keyframe when asked.
    for _ in 0..4 {
        let now = sim.now;
        sim.viewer_mut(viewer).request_keyframe(now);
        sim.publish_for(source, &mut stream, 5);
    }
    sim.run_for(SECOND / 5);
    let pictures = sim.viewer(viewer).pictures();
    assert_eq!(
        pictures.iter().filter(|number| **number == 0).count(),
        2,
        "{pictures:?}"
    );
    assert_eq!(pictures.last(), Some(&44), "and is live again");
    let video: Vec<_> = sim.viewer(viewer).video().collect();
    assert!(video.windows(2).all(|pair| pair[1].time > pair[0].time));
    assert!(video.iter().skip(1).all(|frame| frame.contiguous));
}

#[test]
fn a_viewer_waits_for_a_keyframe_when_the_group_has_outgrown_the_cache() {
    let mut sim = Sim::with_limits(
        7,
        rtc::PlaneLimits {
            gop_bytes: 100_000,
            ..Default::default()
        },
    );
    let source = sim.plane.add_source();
    let mut stream = Stream::new(Codec::H264, 50);
    sim.publish_for(source, &mut stream, 20);
    assert_eq!(
        sim.plane
            .source_stats(source)
            .unwrap()
            .video
            .unwrap()
            .gop_bytes,
        0
    );
    let viewer = sim.watch(source);
    assert!(sim.count(|event| *event == Event::KeyframeWanted { source }) > 0);
    sim.publish_for(source, &mut stream, 50);
    sim.viewer(viewer).assert_smooth();
    assert_eq!(sim.viewer(viewer).pictures().first(), Some(&50));
}

#[test]
fn a_viewer_without_the_codec_is_told_once_and_hears_the_sound() {
    let mut sim = Sim::new(8);
    let source = sim.plane.add_source();
    let only_vp8 = sim.new_viewer(|config| {
        config
            .clear_codecs()
            .enable_vp8(true)
            .enable_opus(true, false)
    });
    let viewer = sim.join_as(source, only_vp8);
    sim.connect(viewer);
    let session = sim.key(viewer);
    let mut stream = Stream::small(Codec::H264, 25);
    for number in 0..10 {
        sim.publish(source, &picture(Codec::Opus, number, true, 100));
        sim.publish_for(source, &mut stream, 1);
    }
    let told = Event::CodecNotNegotiated {
        session,
        codec: Codec::H264,
    };
    assert_eq!(sim.count(|event| *event == told), 1);
    assert_eq!(sim.viewer(viewer).video().count(), 0);
    assert_eq!(sim.viewer(viewer).audio().count(), 10);
    sim.plane.publisher_gone(source);
    sim.publish_for(source, &mut Stream::small(Codec::Vp8, 25), 10);
    sim.run_for(SECOND / 10);
    assert_eq!(sim.viewer(viewer).video().count(), 10);
}

#[test]
fn statistics_say_what_was_sent() {
    let mut sim = Sim::new(9);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let mut stream = Stream::new(Codec::H264, 25);
    for number in 0..125 {
        sim.publish(source, &picture(Codec::Opus, number, true, 160));
        sim.publish_for(source, &mut stream, 1);
    }
    let session = sim.plane.session(sim.key(viewer)).unwrap();
    assert_eq!(session.state(), SessionState::Connected);
    let stats = session.stats();
    assert!((stats.video.fps - 25.0).abs() <= 1.0, "{stats:?}");
    assert!((stats.audio.fps - 25.0).abs() <= 1.0, "{stats:?}");
    assert!(
        (1_400_000..2_200_000).contains(&stats.video.bitrate_bps),
        "{stats:?}"
    );
    assert_eq!(stats.video.codec, Some(Codec::H264));
    assert_eq!(stats.audio.codec, Some(Codec::Opus));
    assert_eq!(stats.video.packets_lost, 0);
    let rtt = stats.video.rtt_ms.expect("a round trip");
    assert!(
        (18.0..30.0).contains(&rtt),
        "{rtt} ms over a network of 2 × 10 ms"
    );
    assert_eq!(stats.connection.remote, Some(sim.viewer(viewer).address));
    let source = sim.plane.source_stats(source).unwrap();
    let video = source.video.unwrap();
    assert!(
        (video.fps - 25.0).abs() < 0.5 && video.keyframes == 5,
        "{video:?}"
    );
    assert_eq!((source.viewers, source.sessions, source.live), (1, 1, true));
}

#[test]
fn sender_reports_come_often_enough_and_wake_no_session_by_themselves() {
    const SECONDS: u32 = 60;
    let mut sim = Sim::new(9);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let mut stream = Stream::small(Codec::H264, 25);
    sim.publish_for(source, &mut stream, 5 * 25);
    let (begin, fired) = (sim.now, sim.fired);
    sim.publish_for(source, &mut stream, SECONDS as usize * 25);
    let seen = sim.viewer(viewer);
    let reports = seen.reports.iter();
    let times: Vec<_> = reports
        .filter(|(at, mid, _)| *at >= begin && Some(*mid) == seen.video)
        .map(|(at, ..)| *at)
        .collect();
    let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(gap.is_some_and(|gap| gap <= 3 * SECOND), "{gap:?}");
    assert!(times.len() >= SECONDS as usize / 3, "{}", times.len());
    let fired = sim.fired - fired;
    assert!(fired <= u64::from(SECONDS), "{fired} timers in {SECONDS} s");
    let stats = sim.plane.session(sim.key(viewer)).unwrap().stats();
    assert!((24.0..=26.0).contains(&stats.video.fps), "{stats:?}");
    assert!(
        stats
            .video
            .rtt_ms
            .is_some_and(|ms| (19.0..25.0).contains(&ms))
    );
}

#[test]
fn real_streams_play_from_their_containers() {
    let files: [(Container, &[u8]); 3] = [
        (
            Container::AnnexB,
            include_bytes!("../data/tiny_160x120_15_3s.h264"),
        ),
        (
            Container::Ivf,
            include_bytes!("../data/tiny_160x120_15_3s_vp8.ivf"),
        ),
        (Container::Ogg, include_bytes!("../data/tiny_3s.ogg")),
    ];
    for (container, bytes) in files {
        let mut sim = Sim::new(10);
        let source = sim.plane.add_source();
        let viewer = sim.watch(source);
        let mut ingest = Ingest::new(container);
        let mut units = Vec::new();
        ingest.push(sim.now, bytes, &mut units).unwrap();
        ingest.finish(&mut units).unwrap();
        for au in &units {
            sim.publish(source, au);
            sim.run_for(au.duration.unwrap_or(Duration::from_millis(66)));
        }
        sim.run_for(SECOND / 5);
        let frames = &sim.viewer(viewer).frames;
        assert_eq!(frames.len(), units.len());
        assert!(frames.iter().skip(1).all(|frame| frame.contiguous));
        for (frame, au) in frames.iter().zip(&units) {
            assert_eq!(frame.codec, au.codec);
            // H.264 comes without its SEI and delimiters; the others come as they are.
            assert!(au.codec == Codec::H264 || frame.data == au.data);
        }
    }
}
