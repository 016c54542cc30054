//! What happens at the door: more connections than may be, and no descriptors left.

mod support;

use std::io::Read;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use support::http::{self, Connection};
use support::process::Process;
use support::server::Server;
use support::{SOON, wait_until};

#[test]
fn who_finds_no_place_is_told_so() {
    let server = Server::start(&["--shards", "2", "--set", "limits.connections=4"]);
    let mut inside: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for connection in &mut inside {
        connection.request("GET", "/health", &[], b"").expect(200);
    }
    for _ in 0..20 {
        let mut outside = server.connect();
        // It may be closed before it has sent all of that.
        let _ = outside.send_request("GET", "/health", &[], b"");
        let (mut stream, _) = outside.into_parts();
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer:?}");
        assert!(answer.contains("\r\nRetry-After: 1\r\n"), "{answer:?}");
        assert!(answer.contains(r#""code":"full""#), "{answer:?}");
    }
    let lines = server
        .log()
        .text()
        .matches("as many as limits.connections allows")
        .count();
    assert!((1..=2).contains(&lines), "{lines} lines, one a shard");
    inside[0].request("GET", "/health", &[], b"").expect(200);
    drop(inside);
    wait_until(SOON, "there is a place again", || {
        let mut connection = server.connect();
        let sent = connection.send_request("GET", "/health", &[], b"");
        sent.is_ok()
            && connection
                .try_response(false)
                .is_ok_and(|it| it.status == 200)
    });
}

#[test]
fn a_server_that_is_full_can_still_be_looked_at() {
    let server = Server::start(&[
        "--shards=2",
        "--set=limits.connections=4",
        "--set=metrics.listen=127.0.0.1:0",
    ]);
    let mut inside: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for connection in &mut inside {
        connection.request("GET", "/health", &[], b"").expect(200);
    }
    let mut outside = server.connect();
    assert!(outside.try_response(false).is_ok_and(|it| it.status == 503));
    for target in ["/health/live", "/health/ready", "/metrics"] {
        let address = server.scraped_at()[0];
        http::request(address, "GET", target, &[], b"").expect(200);
    }
}

/// Descriptors that a process may have open.
fn set_descriptors(process: Process, most: u64) {
    let pid = Pid::from_raw(process.0 as i32);
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    prlimit(pid, Resource::Nofile, limit).expect("our own child");
}

#[test]
fn a_server_without_descriptors_recovers_and_does_not_spin() {
    let server = Server::start(&["--shards", "2"]);
    let mut inside = server.connect();
    inside.request("GET", "/health", &[], b"").expect(200);
    let process = server.process();
    set_descriptors(process, process.fds() as u64 + 8);

    let crowd: Vec<_> = (0..60).map(|_| server.connect()).collect();
    wait_until(SOON, "descriptors run out", || {
        server.log().text().contains("out of descriptors")
    });
    let (began, before) = (Instant::now(), process.cpu());
    while began.elapsed() < Duration::from_secs(1) {
        inside.request("GET", "/health", &[], b"").expect(200);
        std::thread::sleep(Duration::from_millis(20));
    }
    let used = process.cpu().since(before).total();
    assert!(
        used < Duration::from_millis(400),
        "{used:?} of CPU in a second"
    );

    drop(crowd);
    wait_until(SOON, "it serves others again", || serves(&server));
    let refused = server.metrics().sum("media_connections_refused_total", &[]);
    assert!(refused > 0.0);
    // Each shard fails twenty times a second, and says so once.
    let lines = server.log().text().matches("out of descriptors").count();
    assert!((1..=2).contains(&lines), "{lines} lines");
}

fn serves(server: &Server) -> bool {
    let Ok(mut connection) = Connection::try_open(server.http()) else {
        return false;
    };
    connection.deadline = Duration::from_millis(500);
    let sent = connection.send_request("GET", "/health", &[], b"");
    sent.is_ok()
        && connection
            .try_response(false)
            .is_ok_and(|it| it.status == 200)
}
