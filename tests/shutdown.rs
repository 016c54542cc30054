//! The time between a signal and the end of the process (M11); what becomes of those who are connected is in
//! `lifecycle.rs`.

mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use support::http::{Connection, head};
use support::media::Clip;
use support::publish::Publisher;
use support::server::Server;
use support::ws::Socket;
use support::{SOON, wait_until};

/// Scheduling, on a machine that does other things too.
const SLACK: Duration = Duration::from_secs(3);

/// A server that was told to end, and is in its delay.
fn delayed(arguments: &[&str]) -> Server {
    let server = Server::start(&[&["--shards", "2"], arguments].concat());
    server.signal(Signal::TERM);
    wait_until(SOON, "it is not ready any more", || {
        server.get("/health/ready").status == 503
    });
    server
}

#[test]
fn in_the_delay_it_is_not_ready_and_everything_goes_on() {
    let mut server = delayed(&["--set", "server.drain_delay=5s"]);
    let begun = Instant::now();
    server.get("/health/ready").expect_error(503, "draining");
    server.get("/health/live").expect(200);
    for device in ["cam-1", "cam-2", "cam-3"] {
        server.create_session(device, "ada");
    }
    let publisher = Publisher::start(server.http(), "cam-1", Clip::tiny_h264());
    let mut socket = Socket::open(server.http(), "/api/media/ws?deviceId=cam-2&userId=ada");
    socket.expect("offer");
    wait_until(SOON, "the picture is taken", || {
        server.device("cam-1")["live"] == true
    });
    let draining = server.log().with_message("draining");
    assert!(draining.is_empty(), "still in the delay: {draining:?}");

    socket.expect("closing");
    assert_eq!(socket.closed(), Some(1001));
    publisher.refused().expect_error(503, "draining");
    let status = server.wait(SOON);
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(begun.elapsed() > Duration::from_secs(3), "it waited");
    let ended = server.log().with_message("shutdown complete");
    assert_eq!(ended[0]["sessions"], 4, "{}", ended[0]);
}

#[test]
fn a_second_signal_ends_it_at_once_in_the_delay_too() {
    let mut server = delayed(&["--set", "server.drain_delay=20s"]);
    server.signal(Signal::INT);
    let status = server.wait(SLACK);
    assert_eq!(status.code(), Some(130), "{status}");
}

#[test]
fn the_delay_is_part_of_the_time_that_a_shutdown_may_take() {
    let mut server = Server::start(&[
        "--set",
        "server.drain_delay=1s",
        "--set",
        "server.shutdown_timeout=2s",
    ]);
    // Answers that nobody reads.
    let mut deaf = server.connect();
    while server.metrics().sum("media_outbound_buffer_bytes", &[]) == 0.0 {
        for _ in 0..100 {
            let _ = deaf.send_request("GET", "/openapi.json", &[], b"");
        }
    }
    let begun = Instant::now();
    server.signal(Signal::TERM);
    let status = server.wait(SOON);
    assert_eq!(status.code(), Some(0), "{status}");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2) + SLACK, "{took:?}");
}

#[test]
fn whoever_waits_to_be_accepted_is_answered() {
    let mut server = Server::start(&["--shards", "2"]);
    // The kernel connects them while the process stands still.
    server.signal(Signal::STOP);
    let mut clients: Vec<Connection> = (0..40)
        .map(|_| {
            let mut client = server.connect();
            client
                .send_request("GET", "/health", &[], b"")
                .expect("the socket takes it");
            client
        })
        .collect();
    server.signal(Signal::TERM);
    server.signal(Signal::CONT);
    for client in &mut clients {
        client.response().expect(200);
    }
    drop(clients);
    let status = server.wait(SOON);
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn a_request_in_flight_is_finished() {
    let mut server = Server::start(&["--shards", "2"]);
    let mut client = server.connect();
    let body = json!({"type": "answer", "sdp": "nonsense"}).to_string();
    let session = server.create_session("cam-1", "ada")["sessionId"].clone();
    let target = format!(
        "/api/media/sessions/{}/answer",
        session.as_str().expect("an id")
    );
    let length = body.len().to_string();
    let mut request = head(
        server.http(),
        "POST",
        &target,
        &[("Content-Length", length.as_str())],
    );
    request.extend(b"\r\n");
    client.send(request).expect("sent");
    client.send(&body[..10]).expect("sent");
    server.wait_metric("media_connections_accepted_total", &[], |n| n >= 2.0);
    server.signal(Signal::TERM);
    wait_until(SOON, "it drains", || {
        !server.log().with_message("draining").is_empty()
    });
    client.send(&body[10..]).expect("sent");
    let answer = client.response();
    assert_eq!(
        answer.status,
        404,
        "its session is closed: {}",
        answer.text()
    );
    assert_eq!(answer.header("Connection"), Some("close"));
    let status = server.wait(SOON);
    assert_eq!(status.code(), Some(0), "{status}");
}
