//! Publishers over `PUT`: pacing, who may hold a device, how they end, and what is no live bitstream.

mod support;

use std::time::Instant;

use support::http::{LAST_CHUNK, chunk, head};
use support::media::{Clip, read};
use support::publish::Publisher;
use support::server::Server;
use support::viewer::ViewerOptions;
use support::viewers::Viewers;
use support::{SOON, wait_until};

/// Two seconds at 30 fps.
const PICTURES: usize = 60;

fn seen(viewer: usize, pictures: usize) -> impl FnMut(&mut Viewers) -> bool {
    move |viewers| viewers[viewer].pictures.len() >= pictures
}

#[test]
fn a_file_is_paced_by_fps() {
    let server = Server::start(&[]);
    let clip = Clip::tiny_h264();
    let begin = Instant::now();
    let mut connection = server.connect();
    let target = "/api/media/devices/cam-1/video?fps=60";
    let answer = connection.request(
        "PUT",
        target,
        &[("Content-Type", "video/h264")],
        &clip.bytes(),
    );
    let took = begin.elapsed();
    let answer = answer.expect(200).json();
    assert_eq!(answer["accessUnits"], 60, "{answer}");
    assert_eq!(answer["bytes"].as_u64(), Some(clip.bytes().len() as u64));
    assert!(
        (0.8..3.0).contains(&took.as_secs_f64()),
        "60 pictures at 60 fps took {took:?}"
    );

    for wrong in ["0", "241", "-1", "x", "30.5.1"] {
        let target = format!("/api/media/devices/cam-1/video?fps={wrong}");
        let answer = connection.request(
            "PUT",
            &target,
            &[("Content-Type", "video/h264")],
            &clip.units[0],
        );
        let sentence = answer.expect_error(400, "bad_parameter");
        assert!(sentence.contains("fps"), "{sentence}");
        connection = server.connect(); // the body was not read: the server may have closed
    }
}

#[test]
fn a_second_publisher_is_refused_and_disturbs_nobody() {
    let server = Server::start(&[]);
    let clip = Clip::tiny_h264();
    let _publisher = Publisher::start(server.http(), "cam-1", clip.clone());
    let mut viewers = Viewers::default();
    let viewer = viewers.join(server.http(), "cam-1", ViewerOptions::default());
    viewers.run_until(SOON, "pictures come", seen(viewer, 10));
    let sentence = Publisher::start(server.http(), "cam-1", Clip::tiny_vp8())
        .refused()
        .expect_error(409, "device_busy");
    assert!(
        sentence.contains("takeover"),
        "{sentence:?} tells what to do"
    );
    viewers.run_until(SOON, "further pictures come", seen(viewer, PICTURES));
    clip.assert_played(&viewers[viewer].pictures);
}

#[test]
fn a_second_publisher_may_take_over() {
    let server = Server::start(&[]);
    let first = Publisher::start(server.http(), "cam-1", Clip::tiny_h264());
    let mut viewers = Viewers::default();
    let viewer = viewers.join(server.http(), "cam-1", ViewerOptions::default());
    viewers.run_until(SOON, "pictures come", seen(viewer, 10));
    let _second =
        Publisher::start_with(server.http(), "cam-1", Clip::tiny_h264(), "?takeover=true");
    assert_eq!(first.refused().status, 409, "the first ends");
    let before = viewers[viewer].pictures.len();
    viewers.run_until(SOON, "the second's come", seen(viewer, before + PICTURES));
    assert_eq!(viewers[viewer].wire.lost(), 0);
    assert_eq!(server.device("cam-1")["live"], true);
}

#[test]
fn a_broken_publisher_frees_its_device_at_once() {
    let server = Server::start(&[]);
    let publisher = Publisher::start(server.http(), "cam-1", Clip::tiny_h264());
    wait_until(SOON, "the device is live", || {
        server.device("cam-1")["live"] == true
    });
    publisher.abort();
    wait_until(SOON, "the device is free", || {
        server.device("cam-1")["live"] == false
    });
    let publisher = Publisher::start(server.http(), "cam-1", Clip::tiny_h264());
    wait_until(SOON, "the device is live again", || {
        server.device("cam-1")["live"] == true
    });
    publisher.finish().expect(200);
}

#[test]
fn an_end_that_comes_with_the_last_bytes_is_noticed() {
    // Nobody's patience may hide an end that was overlooked.
    let server = Server::start(&["--set", "media.publisher_timeout=10m"]);
    let before = server.footprint();
    let clip = Clip::tiny_h264();
    for i in 0..50 {
        let mut publisher = server.connect();
        let target = format!("/api/media/devices/cam-{i}/video");
        let headers = [
            ("Content-Type", "video/h264"),
            ("Transfer-Encoding", "chunked"),
        ];
        let mut request = head(server.http(), "PUT", &target, &headers);
        request.extend(b"\r\n");
        request.extend(chunk(&clip.units[0]));
        publisher.send(request).expect("the server listens");
        drop(publisher);
    }
    server.wait_nothing_left(&before);
    let devices = server.get("/api/media/devices").json();
    let live = devices["devices"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|device| device["live"] == true)
        .count();
    assert_eq!(live, 0, "{devices}");
}

#[test]
fn an_empty_body_ends_at_once_and_holds_nothing() {
    let server = Server::start(&[]);
    let before = server.footprint();
    let mut connection = server.connect();
    // Of any shard: some of the requests move to another one.
    for i in 0..8 {
        let target = format!("/api/media/devices/cam-{i}/video");
        let content_type = [("Content-Type", "video/h264")];
        let answer = connection.request("PUT", &target, &content_type, b"");
        let answer = answer.expect(200).json();
        assert_eq!(answer["accessUnits"], 0, "{answer}");
        assert_eq!(server.device(&format!("cam-{i}"))["live"], false);
    }
    drop(connection);
    server.wait_nothing_left(&before);
}

#[test]
fn a_paced_body_that_breaks_off_frees_its_device_at_once() {
    let server = Server::start(&[]);
    let before = server.footprint();
    let clip = Clip::tiny_h264();
    let headers = [
        ("Content-Type", "video/h264"),
        ("Transfer-Encoding", "chunked"),
    ];
    // At a picture a second the body is held back, and its end lies behind what was not read; or
    // all of it was read, and none of its pictures is due.
    let target = "/api/media/devices/cam-1/video?fps=1";
    for end in [&b""[..], LAST_CHUNK] {
        let mut connection = server.connect();
        let mut request = head(server.http(), "PUT", target, &headers);
        request.extend(b"\r\n");
        for _ in 0..8 {
            request.extend(chunk(&clip.bytes()));
        }
        request.extend(end);
        connection.send(request).expect("the sockets hold it");
        wait_until(SOON, "the device is live", || {
            server.device("cam-1")["live"] == true
        });
        drop(connection);
        let gone = Instant::now();
        wait_until(SOON, "the device is free", || {
            server.device("cam-1")["live"] == false
        });
        let took = gone.elapsed();
        assert!(took.as_secs() < 5, "the device was held for {took:?}");
        server.wait_nothing_left(&before);
    }
}

#[test]
fn a_silent_publisher_loses_its_device() {
    let server = Server::start(&["--set", "media.publisher_timeout=1s"]);
    let clip = Clip::tiny_h264();
    let mut silent = server.connect();
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
    request.extend(chunk(&clip.units[0]));
    silent.send(request).expect("the server listens");
    wait_until(SOON, "the device is live", || {
        server.device("cam-1")["live"] == true
    });
    wait_until(SOON, "the device is free", || {
        server.device("cam-1")["live"] == false
    });
    assert!(silent.closed_by_server());
}

#[test]
fn what_is_no_live_bitstream_is_refused_with_a_sentence() {
    let server = Server::start(&[]);
    let before = server.footprint();
    for (file, track, content_type, says) in [
        ("tests/data/not_annexb.mp4", "video", "video/h264", "MP4"),
        (
            "tests/data/b_frames.h264",
            "video",
            "video/h264",
            "B-frames",
        ),
        ("tests/data/vp9.ivf", "video", "video/x-ivf", "VP9"),
        ("tests/data/vorbis.ogg", "audio", "audio/ogg", "Vorbis"),
        ("tests/data/tiny.ogg", "video", "video/x-ivf", "IVF"),
        ("tests/data/tiny_vp8.ivf", "audio", "audio/ogg", "Ogg"),
    ] {
        let target = format!("/api/media/devices/cam-1/{track}");
        let answer = server.connect().request(
            "PUT",
            &target,
            &[("Content-Type", content_type)],
            &read(file),
        );
        let sentence = answer.expect_error(400, "bad_bitstream");
        assert!(
            sentence.contains(says),
            "{file}: {sentence:?} does not name {says}"
        );
    }
    let noise: Vec<u8> = (0..200_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 | 1)
        .collect();
    let answer = server.connect().request(
        "PUT",
        "/api/media/devices/cam-1/video",
        &[("Content-Type", "video/h264")],
        &noise,
    );
    answer.expect_error(400, "bad_bitstream");
    for (track, content_type) in [
        ("video", "video/mp4"),
        ("audio", "video/h264"),
        ("video", "audio/ogg"),
    ] {
        let target = format!("/api/media/devices/cam-1/{track}");
        let answer = server.connect().request(
            "PUT",
            &target,
            &[("Content-Type", content_type)],
            b"\0\0\0\x01",
        );
        answer.expect_error(415, "unsupported_media_type");
    }
    assert_ne!(server.device("cam-1")["live"], true);
    server.wait_nothing_left(&before);
}

#[test]
fn the_first_bad_byte_ends_a_live_body() {
    let server = Server::start(&[]);
    let mut clip = Clip::tiny_h264().first(10);
    let b_frames = Clip::h264(&read("tests/data/b_frames.h264"), 30);
    clip.units.extend(b_frames.units);
    let answer = Publisher::start(server.http(), "cam-1", clip).refused();
    answer.expect_error(400, "bad_bitstream");
    wait_until(SOON, "the device is free", || {
        server.device("cam-1")["live"] == false
    });
}
