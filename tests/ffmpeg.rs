//! The commands of the README: live encoders behind a pipe, seen by a viewer over WebRTC.

mod support;

use std::time::Duration;

use serde_json::Value;

use support::SOON;
use support::media::Kind;
use support::pipeline::Pipeline;
use support::server::Server;
use support::viewer::ViewerOptions;
use support::viewers::Viewers;

/// Publishes what a live encoder makes and watches two seconds of it.
fn is_seen(kind: Kind, encoder: &[&str]) {
    let server = Server::start(&[]);
    let source: &[&str] = match kind {
        Kind::Opus => &[
            "-re",
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=48000",
        ],
        _ => &["-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"],
    };
    let publisher = Pipeline::start(server.http(), "cam-1", kind, &[source, encoder].concat());
    let mut viewers = Viewers::default();
    let viewer = viewers.join(server.http(), "cam-1", ViewerOptions::default());
    viewers.run_until(SOON, "two seconds are seen or heard", |viewers| {
        let viewer = &viewers[viewer];
        if kind == Kind::Opus {
            viewer.sounds.len() >= 100
        } else {
            viewer.pictures.len() >= 60
        }
    });
    let seen = if kind == Kind::Opus {
        &viewers[viewer].sounds
    } else {
        &viewers[viewer].pictures
    };
    assert!(
        seen.iter().all(|frame| frame.contiguous),
        "nothing is missing"
    );
    let (first, last) = (&seen[0], &seen[seen.len() - 1]);
    let (played, passed) = (last.time - first.time, (last.at - first.at).as_secs_f64());
    assert!(
        (played - passed).abs() < 1.0,
        "{played:.2} s of the stream within {passed:.2} s"
    );

    let answer = publisher.finish();
    let answer: Value =
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert!(answer["accessUnits"].as_u64() >= Some(60), "{answer}");
    viewers.run_for(Duration::from_millis(100));
    assert!(
        viewers[viewer].is_connected(),
        "a viewer stays when the publisher goes"
    );
}

#[test]
#[ignore = "needs ffmpeg and curl"]
fn h264_of_a_live_encoder_is_seen() {
    is_seen(
        Kind::H264,
        &[
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-pix_fmt",
            "yuv420p",
            "-bf",
            "0",
            "-g",
            "60",
        ],
    );
}

#[test]
#[ignore = "needs ffmpeg and curl"]
fn h264_in_several_slices_a_picture_is_seen() {
    let slices = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-tune",
        "zerolatency",
        "-x264-params",
        "slices=4",
    ];
    is_seen(
        Kind::H264,
        &[&slices[..], &["-pix_fmt", "yuv420p", "-g", "60"]].concat(),
    );
}

#[test]
#[ignore = "needs ffmpeg and curl"]
fn vp8_of_a_live_encoder_is_seen() {
    is_seen(
        Kind::Vp8,
        &[
            "-c:v",
            "libvpx",
            "-deadline",
            "realtime",
            "-cpu-used",
            "8",
            "-g",
            "60",
        ],
    );
}

#[test]
#[ignore = "needs ffmpeg and curl"]
fn opus_of_a_live_encoder_is_heard() {
    is_seen(Kind::Opus, &["-c:a", "libopus", "-application", "lowdelay"]);
}
