//! Live bodies into devices.

use std::time::Duration;

use simulation::support::http::{LAST_CHUNK, chunk};
use simulation::support::media::{Clip, read};
use simulation::{Client, Sim, head, request};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// A frame's time at 30 pictures a second.
const FRAME: Duration = Duration::from_millis(33);

const VIDEO: [(&str, &str); 2] = [
    ("Content-Type", "video/h264"),
    ("Transfer-Encoding", "chunked"),
];

/// Begins to publish a device's video, with nothing sent yet.
fn publish(sim: &mut Sim, shard: usize, device: &str, query: &str) -> Client {
    let client = sim.connect(shard);
    let target = format!("/api/media/devices/{device}/video{query}");
    sim.send(client, head("PUT", &target, &VIDEO));
    client
}

/// Sends pictures as they are taken.
fn send_pictures(sim: &mut Sim, client: Client, clip: &Clip, count: u64) {
    for number in 0..count {
        sim.send(client, chunk(&clip.unit(number)));
        sim.run_for(FRAME);
    }
}

fn device(sim: &mut Sim, id: &str) -> serde_json::Value {
    let client = sim.connect(0);
    let response = sim.get(client, &format!("/api/media/devices/{id}"));
    sim.wire(client).reset = true;
    response.expect(200).json()
}

#[test]
fn any_chunking_gives_the_same_pictures() {
    let clip = Clip::tiny_h264();
    let bytes = clip.bytes();
    for (seed, read_bytes) in [(1, 1), (2, 7), (3, 500), (4, 64 << 10)] {
        let mut sim = Sim::new(2, seed);
        sim.read_bytes = read_bytes;
        let device = sim.device_on(1);
        let client = publish(&mut sim, 0, &device, "");
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(1 + sim.draw(rest.len().min(3_000)));
            sim.send(client, chunk(piece));
            rest = more;
        }
        sim.send(client, LAST_CHUNK);
        // A byte a read makes it a slow link, at 800 B/s.
        let response = sim
            .answer_within(60 * SECOND, client, false)
            .expect(200)
            .json();
        assert_eq!(response["bytes"], bytes.len());
        assert_eq!(
            response["accessUnits"],
            clip.units.len(),
            "{read_bytes} B a read"
        );
        assert_eq!(
            sim.get(client, "/health").status,
            200,
            "the connection lives on"
        );
    }
}

#[test]
fn a_second_publisher_is_refused_or_takes_over() {
    let mut sim = Sim::new(2, 5);
    let (id, clip) = (sim.device_on(1), Clip::tiny_h264());
    let first = publish(&mut sim, 0, &id, "");
    send_pictures(&mut sim, first, &clip, 3);

    let second = publish(&mut sim, 1, &id, "");
    sim.response(second).expect_error(409, "device_busy");
    send_pictures(&mut sim, first, &clip, 3);
    assert_eq!(device(&mut sim, &id)["live"], true, "the first one goes on");

    let third = publish(&mut sim, 1, &id, "?takeover=true");
    send_pictures(&mut sim, third, &clip, 3);
    sim.response(first).expect_error(409, "taken_over");
    sim.run_for(SECOND);
    assert_eq!(device(&mut sim, &id)["live"], true);
    sim.send(third, LAST_CHUNK);
    assert_eq!(sim.response(third).expect(200).json()["accessUnits"], 3);
    assert_eq!(device(&mut sim, &id)["live"], false);
}

#[test]
fn a_publisher_that_goes_frees_the_device_at_once() {
    let mut sim = Sim::new(2, 6);
    let (id, clip) = (sim.device_on(1), Clip::tiny_h264());
    for reset in [false, true] {
        let client = publish(&mut sim, 0, &id, "");
        send_pictures(&mut sim, client, &clip, 3);
        assert_eq!(device(&mut sim, &id)["live"], true);
        sim.wire(client).reset = reset;
        sim.wire(client).client_done = !reset;
        sim.run_for(20 * MS);
        assert_eq!(device(&mut sim, &id)["live"], false);
    }
}

#[test]
fn a_silent_publisher_loses_the_device() {
    let mut sim = Sim::new(2, 7);
    let (id, clip) = (sim.device_on(1), Clip::tiny_h264());
    let client = publish(&mut sim, 0, &id, "");
    sim.run_for(9 * SECOND);
    send_pictures(&mut sim, client, &clip, 3);
    sim.run_for(9 * SECOND);
    assert_eq!(device(&mut sim, &id)["live"], true);
    let silent = sim.now;
    sim.response(client).expect_error(408, "request_timeout");
    assert!(sim.now - silent < SECOND + 2 * FRAME);
    assert_eq!(device(&mut sim, &id)["live"], false);
    sim.expect_closed(3 * SECOND, client);
}

#[test]
fn a_device_is_remembered_for_a_minute() {
    let mut sim = Sim::new(2, 8);
    let (id, clip) = (sim.device_on(1), Clip::tiny_h264());
    let client = publish(&mut sim, 0, &id, "");
    send_pictures(&mut sim, client, &clip, 3);
    sim.send(client, LAST_CHUNK);
    sim.response(client).expect(200);
    sim.run_for(59 * SECOND);
    assert_eq!(device(&mut sim, &id)["live"], false);
    sim.run_for(SECOND);
    let reader = sim.connect(0);
    let target = format!("/api/media/devices/{id}");
    sim.get(reader, &target).expect_error(404, "unknown_device");
}

#[test]
fn a_file_is_held_back_to_its_rate() {
    let mut sim = Sim::new(2, 9);
    let (id, clip) = (sim.device_on(1), Clip::tiny_h264());
    sim.read_bytes = 500;
    let client = publish(&mut sim, 0, &id, "?fps=30");
    // 5 s of pictures at once.
    for number in 0..150 {
        sim.send(client, chunk(&clip.unit(number)));
    }
    sim.send(client, LAST_CHUNK);
    // The next request waits for its turn.
    sim.send(client, request("GET", "/health", &[], b""));
    let sent = sim.now;
    sim.run_for(SECOND);
    assert!(
        !sim.wire(client).to_server.is_empty(),
        "TCP holds the file back"
    );
    let response = sim.response(client).expect(200).json();
    assert_eq!(response["accessUnits"], 150);
    let took = sim.now - sent;
    assert!(took.abs_diff(149 * SECOND / 30) < 2 * FRAME, "{took:?}");
    assert_eq!(sim.response(client).expect(200).json()["status"], "ok");
    assert_eq!(device(&mut sim, &id)["live"], false);
}

#[test]
fn what_is_no_video_is_refused_and_leaves_the_device_free() {
    let mut sim = Sim::new(2, 10);
    let id = sim.device_on(1);
    let bodies = [
        ("video/h264", read("tests/data/not_annexb.mp4")),
        ("video/h264", read("tests/data/b_frames.h264")),
        ("video/h264", vec![b'x'; 100_000]),
        ("video/x-ivf", read("tests/data/vp9.ivf")),
        ("video/x-ivf", b"short".to_vec()),
    ];
    for (kind, body) in bodies {
        let client = sim.connect(0);
        let target = format!("/api/media/devices/{id}/video");
        let response = sim.request(client, "PUT", &target, &[("Content-Type", kind)], &body);
        response.expect_error(400, "bad_bitstream");
        assert_eq!(device(&mut sim, &id)["live"], false);
    }
    for kind in ["video/mp4", "text/plain", ""] {
        let client = sim.connect(0);
        let target = format!("/api/media/devices/{id}/video");
        let response = sim.request(client, "PUT", &target, &[("Content-Type", kind)], b"x");
        response.expect_error(415, "unsupported_media_type");
    }
}

#[test]
fn a_client_that_expects_to_be_told_is_told_to_go_on() {
    let mut sim = Sim::new(2, 11);
    let (id, clip) = (sim.device_on(1), Clip::tiny_h264());
    let client = sim.connect(0);
    let target = format!("/api/media/devices/{id}/video");
    let headers = [&VIDEO[..], &[("Expect", "100-continue")]].concat();
    sim.send(client, head("PUT", &target, &headers));
    assert_eq!(sim.response(client).status, 100);
    sim.send(client, chunk(&clip.bytes()));
    sim.send(client, LAST_CHUNK);
    sim.response(client).expect(200);

    // Whoever is refused is told so in the place of it.
    let headers = [
        ("Content-Type", "video/mp4"),
        VIDEO[1],
        ("Expect", "100-continue"),
    ];
    sim.send(client, head("PUT", &target, &headers));
    sim.response(client)
        .expect_error(415, "unsupported_media_type");
}
