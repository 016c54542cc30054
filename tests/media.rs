//! A device's media from its publisher to its viewers, over real sockets.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use str0m::format::Codec;

use support::annexb;
use support::http::{chunk, head};
use support::media::{Clip, read};
use support::publish::Publisher;
use support::server::Server;
use support::viewer::{Viewer, ViewerOptions};
use support::viewers::Viewers;
use support::{SOON, wait_until};

/// Two seconds at 30 fps.
const PICTURES: usize = 60;

/// Codecs that a viewer without H.264 has.
const NO_H264: &[Codec] = &[Codec::Vp8, Codec::Opus];

fn seen(viewer: usize, pictures: usize) -> impl FnMut(&mut Viewers) -> bool {
    move |viewers| viewers[viewer].pictures.len() >= pictures
}

#[test]
fn h264_reaches_a_viewer_bit_for_bit_and_in_time() {
    let server = Server::start(&[]);
    let clip = Clip::tiny_h264();
    let _publisher = Publisher::start(server.http(), "cam-1", clip.clone());
    let mut viewers = Viewers::default();
    let viewer = viewers.join(server.http(), "cam-1", ViewerOptions::default());
    viewers.run_until(SOON, "two seconds are seen", seen(viewer, PICTURES));

    let pictures = &viewers[viewer].pictures;
    clip.assert_played(pictures);
    assert!(
        pictures[0].keyframe,
        "a decoder can begin with the first picture"
    );
    for keyframe in pictures.iter().filter(|picture| picture.keyframe) {
        let types: Vec<u8> = annexb::nal_units(&keyframe.data)
            .iter()
            .map(|nal| annexb::nal_type(nal))
            .collect();
        assert!(
            types.contains(&annexb::NAL_SPS) && types.contains(&annexb::NAL_PPS),
            "{types:?}"
        );
    }
    let (first, last) = (&pictures[0], &pictures[pictures.len() - 1]);
    let (played, passed) = (last.time - first.time, (last.at - first.at).as_secs_f64());
    assert!(
        (played - (pictures.len() - 1) as f64 / 30.0).abs() < 0.25,
        "{played} s of RTP time"
    );
    assert!(
        (played - passed).abs() < 0.5,
        "{played} s of RTP time within {passed} s"
    );
    assert_eq!(viewers[viewer].wire.lost(), 0);
}

#[test]
fn vp8_reaches_a_viewer_bit_for_bit() {
    let server = Server::start(&[]);
    let clip = Clip::tiny_vp8();
    let _publisher = Publisher::start(server.http(), "cam-1", clip.clone());
    let mut viewers = Viewers::default();
    let viewer = viewers.join(server.http(), "cam-1", ViewerOptions::default());
    viewers.run_until(SOON, "two seconds are seen", seen(viewer, PICTURES));
    let pictures = &viewers[viewer].pictures;
    clip.assert_played(pictures);
    assert!(pictures[0].keyframe && pictures[0].codec == Codec::Vp8);
}

#[test]
fn opus_reaches_a_viewer_bit_for_bit() {
    let server = Server::start(&[]);
    let clip = Clip::tiny_opus();
    let _publisher = Publisher::start(server.http(), "cam-1", clip.clone());
    let mut viewers = Viewers::default();
    let viewer = viewers.join(server.http(), "cam-1", ViewerOptions::default());
    viewers.run_until(SOON, "a second is heard", |viewers| {
        viewers[viewer].sounds.len() >= 50
    });
    let sounds = &viewers[viewer].sounds;
    clip.assert_played(sounds);
    let steps = sounds.windows(2).map(|pair| pair[1].time - pair[0].time);
    assert!(
        steps.clone().all(|step| (step - 0.02).abs() < 1e-6),
        "{:?}",
        steps.collect::<Vec<_>>()
    );
}

#[test]
fn video_and_audio_play_together() {
    let server = Server::start(&[]);
    let _video = Publisher::start(server.http(), "cam-1", Clip::tiny_h264());
    let _audio = Publisher::start(server.http(), "cam-1", Clip::tiny_opus());
    let mut viewers = Viewers::default();
    let viewer = viewers.join(server.http(), "cam-1", ViewerOptions::default());
    viewers.run_until(SOON, "both are there", |viewers| {
        viewers[viewer].pictures.len() >= PICTURES && viewers[viewer].sounds.len() >= 100
    });
    let device = server.device("cam-1");
    assert_eq!(device["live"], true);
    assert_eq!(
        (&device["video"]["codec"], &device["audio"]["codec"]),
        (&json!("h264"), &json!("opus"))
    );
    assert_eq!(
        (&device["video"]["width"], &device["video"]["height"]),
        (&json!(160), &json!(120))
    );
    assert_eq!(device["viewers"], 1);
    let fps = device["video"]["fps"].as_f64().expect("a number");
    assert!((25.0..35.0).contains(&fps), "{device}");
    assert_eq!(viewers[viewer].wire.lost(), 0);
}

#[test]
fn a_viewer_may_come_before_the_publisher() {
    let server = Server::start(&[]);
    let mut viewers = Viewers::default();
    let viewer = viewers.join_connected(server.http(), "cam-1", ViewerOptions::default());
    assert_eq!(
        server.device("cam-1")["live"],
        false,
        "known, since it is watched"
    );
    let clip = Clip::tiny_h264();
    let _publisher = Publisher::start(server.http(), "cam-1", clip.clone());
    viewers.run_until(SOON, "pictures come", seen(viewer, 30));
    clip.assert_played(&viewers[viewer].pictures);
}

#[test]
fn a_viewer_gets_the_pictures_since_the_last_keyframe_at_once() {
    let server = Server::start(&[]);
    let clip = Clip::tiny_h264();
    // Fifteen pictures, and then nothing: whoever comes later can only be served from what the server kept.
    let mut publisher = server.connect();
    let headers = [
        ("Content-Type", "video/h264"),
        ("Transfer-Encoding", "chunked"),
    ];
    let mut request = head(
        server.http(),
        "PUT",
        "/api/media/devices/cam-1/video",
        &headers,
    );
    request.extend(b"\r\n");
    publisher.send(request).expect("the server listens");
    for unit in &clip.units[..15] {
        publisher.send(chunk(unit)).expect("the server reads");
    }
    wait_until(SOON, "the device is live", || {
        server.device("cam-1")["live"] == true
    });

    let mut viewers = Viewers::default();
    let viewer = viewers.join(server.http(), "cam-1", ViewerOptions::default());
    viewers.run_until(SOON, "all of them come", seen(viewer, 15));
    let pictures = &viewers[viewer].pictures;
    assert_eq!(pictures.len(), 15);
    assert!(pictures[0].keyframe);
    clip.assert_played(pictures);
    println!(
        "first picture {:?} after the click",
        viewers[viewer].join_time()
    );
}

#[test]
fn the_picture_runs_on_when_the_publisher_comes_back() {
    let server = Server::start(&[]);
    let clip = Clip::tiny_h264();
    let publisher = Publisher::start(server.http(), "cam-1", clip.clone());
    let mut viewers = Viewers::default();
    let viewer = viewers.join(server.http(), "cam-1", ViewerOptions::default());
    viewers.run_until(SOON, "pictures come", seen(viewer, 45));
    let answer = publisher.finish().expect(200).json();
    assert!(
        answer["accessUnits"].as_u64() >= Some(45) && answer["bytes"].as_u64() > Some(1000),
        "{answer}"
    );
    assert_eq!(server.device("cam-1")["live"], false);
    viewers.run_for(Duration::from_millis(500));
    let before = viewers[viewer].pictures.len();

    let _publisher = Publisher::start(server.http(), "cam-1", clip.clone());
    viewers.run_until(
        SOON,
        "further pictures come",
        seen(viewer, before + PICTURES),
    );
    let (old, new) = viewers[viewer].pictures.split_at(before);
    clip.assert_played(new);
    assert!(new[0].keyframe, "the decoder gets a fresh start");
    assert!(new[0].time > old[old.len() - 1].time, "RTP time goes on");
    let video = viewers[viewer]
        .wire
        .by_ssrc
        .values()
        .next()
        .expect("one stream");
    assert_eq!(viewers[viewer].wire.by_ssrc.len(), 1, "on the same stream");
    assert_eq!((video.lost(), video.timestamps_backwards), (0, 0));
}

#[test]
fn a_publisher_may_change_the_codec() {
    let server = Server::start(&[]);
    let publisher = Publisher::start(server.http(), "cam-1", Clip::tiny_h264());
    let mut viewers = Viewers::default();
    let viewer = viewers.join(server.http(), "cam-1", ViewerOptions::default());
    viewers.run_until(SOON, "H.264 comes", seen(viewer, 10));
    publisher.finish().expect(200);
    let _publisher = Publisher::start(server.http(), "cam-1", Clip::tiny_vp8());
    viewers.run_until(SOON, "VP8 comes", |viewers| {
        viewers[viewer]
            .pictures
            .iter()
            .filter(|picture| picture.codec == Codec::Vp8)
            .count()
            >= 30
    });
    let first = viewers[viewer]
        .pictures
        .iter()
        .find(|picture| picture.codec == Codec::Vp8);
    assert!(first.is_some_and(|picture| picture.keyframe));
    assert_eq!(server.device("cam-1")["video"]["codec"], "vp8");
}

#[test]
fn a_viewer_without_the_codec_is_told_so() {
    let server = Server::start(&[]);
    let _publisher = Publisher::start(server.http(), "cam-1", Clip::tiny_h264());
    let mut viewers = Viewers::default();
    let options = ViewerOptions {
        codecs: NO_H264,
        ..ViewerOptions::default()
    };
    let viewer = viewers.join(server.http(), "cam-1", options);
    viewers.run_until(SOON, "the data channel tells", |viewers| {
        let told = viewers[viewer]
            .texts
            .iter()
            .filter_map(|text| serde_json::from_str::<Value>(text).ok());
        told.into_iter()
            .any(|message| message["type"] == "error" && message["code"] == "codec_not_negotiated")
    });
    assert_eq!(
        viewers[viewer].wire.received(),
        0,
        "nothing is sent that it cannot play"
    );
}

#[test]
fn what_is_lost_on_the_way_is_sent_again() {
    let server = Server::start(&[]);
    let clip = Clip::tiny_vp8();
    let _publisher = Publisher::start(server.http(), "cam-1", clip.clone());
    let mut viewers = Viewers::default();
    let viewer = viewers.join(
        server.http(),
        "cam-1",
        ViewerOptions {
            lose_each: 20,
            ..ViewerOptions::default()
        },
    );
    viewers.run_until(SOON, "three seconds are seen", seen(viewer, 90));
    clip.assert_played(&viewers[viewer].pictures);
    assert_eq!(
        viewers[viewer].wire.by_ssrc.len(),
        2,
        "the picture and its retransmissions"
    );
    let stats = server
        .get(&format!(
            "/api/media/sessions/{}/stats",
            viewers[viewer].session
        ))
        .json();
    assert!(stats["video"]["nacks"].as_u64() >= Some(1), "{stats}");
}

#[test]
fn a_bad_link_costs_only_its_own_viewer() {
    let server = Server::start(&[]);
    let clip = Clip::tiny_h264();
    let _publisher = Publisher::start(server.http(), "cam-1", clip.clone());
    let mut viewers = Viewers::default();
    let bad = ViewerOptions {
        lose_each: 3,
        nack: false,
        ..ViewerOptions::default()
    };
    let bad = viewers.join(server.http(), "cam-1", bad);
    let good = viewers.join(server.http(), "cam-1", ViewerOptions::default());
    viewers.run_until(SOON, "three seconds are seen", seen(good, 90));
    clip.assert_played(&viewers[good].pictures);
    assert!(viewers[bad].pictures.len() < viewers[good].pictures.len());
    assert!(viewers[bad].is_connected());
}

#[test]
fn forty_viewers_of_one_device_lose_nothing() {
    let server = Server::start(&["--shards", "1"]);
    let _publisher = Publisher::start(server.http(), "cam-1", Clip::tiny_h264());
    let mut viewers = Viewers::default();
    for _ in 0..40 {
        viewers.join(
            server.http(),
            "cam-1",
            ViewerOptions {
                frames: false,
                ..ViewerOptions::default()
            },
        );
        viewers.turn();
    }
    viewers.run_until(SOON, "each has two seconds", |viewers| {
        viewers.iter().all(|viewer| {
            viewer
                .wire
                .by_ssrc
                .values()
                .any(|video| video.markers >= 60)
        })
    });
    let lost: u64 = viewers.iter().map(|viewer| viewer.wire.lost()).sum();
    assert_eq!(lost, 0);
    assert_eq!(server.device("cam-1")["viewers"], 40);
    for index in 0..viewers.len() {
        viewers[index].leave();
    }
    wait_until(SOON, "all have left", || {
        server.device("cam-1")["viewers"] == 0
    });
}

#[test]
fn a_viewer_that_leaves_is_forgotten_with_its_metrics() {
    let server = Server::start(&[]);
    let before = server.footprint();
    let publisher = Publisher::start(server.http(), "cam-1", Clip::tiny_h264());
    let mut viewers = Viewers::default();
    let viewer = viewers.join(server.http(), "cam-1", ViewerOptions::default());
    viewers.run_until(SOON, "two seconds are seen", seen(viewer, PICTURES));
    let session = viewers[viewer].session.clone();
    let labels = [("session_id", session.as_str())];
    let metrics = server.metrics();
    let rate = metrics
        .get("media_video_frame_rate", &labels)
        .expect("a series of the session");
    assert!((20.0..40.0).contains(&rate), "{rate}");
    assert!(metrics.get("media_video_bitrate_bps", &labels) > Some(1000.0));
    assert_eq!(metrics.get("media_packet_loss_ratio", &labels), Some(0.0));
    assert_eq!(metrics.get("media_active_sessions", &[]), Some(1.0));
    assert!(metrics.sum("media_sessions_created_total", &[("device_id", "cam-1")]) >= 1.0);

    viewers[viewer].leave();
    wait_until(SOON, "the session is gone", || {
        server.get(&format!("/api/media/sessions/{session}")).status == 404
    });
    let metrics = server.metrics();
    assert_eq!(
        metrics
            .samples
            .iter()
            .find(|sample| sample.labels.values().any(|value| *value == session)),
        None
    );
    publisher.finish().expect(200);
    server.wait_nothing_left(&before);
}

#[test]
fn the_demo_clip_plays_with_its_tone() {
    let server = Server::start(&["--demo"]);
    let mut viewers = Viewers::default();
    let viewer: usize = viewers.add(Viewer::join(
        server.http(),
        "demo",
        ViewerOptions::default(),
    ));
    viewers.run_until(SOON, "two seconds are seen and heard", |viewers| {
        viewers[viewer].pictures.len() >= PICTURES && viewers[viewer].sounds.len() >= 100
    });
    let device = server.device("demo");
    assert_eq!(
        (&device["video"]["width"], &device["video"]["height"]),
        (&json!(1280), &json!(720))
    );
    let clip = Clip::h264(&read("assets/demo.h264"), 30);
    clip.assert_played(&viewers[viewer].pictures);
}
