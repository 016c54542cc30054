//! The process: how it starts, what it says, how it ends.

mod support;

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use support::http;
use support::media::Clip;
use support::publish::Publisher;
use support::server::{Server, run_to_end};
use support::viewer::ViewerOptions;
use support::viewers::Viewers;
use support::ws::Socket;
use support::{SOON, wait_until};

/// The status of a faulty configuration.
const EXIT_CONFIG: i32 = 2;

/// The only line of the log with this message.
#[track_caller]
fn logged(server: &Server, message: &str) -> Value {
    wait_until(SOON, message, || {
        !server.log().with_message(message).is_empty()
    });
    let mut lines = server.log().with_message(message);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

#[test]
fn the_log_tells_of_the_store_of_users_and_of_rooms() {
    let directory = tempfile::tempdir().expect("a directory");
    let (config, store) = (
        directory.path().join("config.toml"),
        directory.path().join("rooms.db"),
    );
    let text = "[auth]\njwt_secret = 'a secret of thirty-two characters'\nsignup_role = 'anchor'\n";
    std::fs::write(&config, text).expect("room on the disk");
    let path = format!("store.path={}", store.display());
    let config = ["--config", config.to_str().expect("UTF-8"), "--set", &path];
    let start = |more: &[&str]| Server::start(&[&config[..], more].concat());

    let mut server = start(&[]);
    let opened = logged(&server, "store opened");
    assert_eq!(opened["path"], store.display().to_string());
    assert!(server.log().with_message("rooms recovered").is_empty());

    let ada = json!({"username": "ada", "password": "correct horse"});
    server.post("/api/v1/users", &ada).expect(201);
    assert_eq!(logged(&server, "user signed up")["user"], "@ada");
    let wrong = json!({"username": "ada", "password": "wrong horse"});
    server
        .post("/api/v1/users/login", &wrong)
        .expect_error(401, "bad_credentials");
    let failed = logged(&server, "log-in failed");
    assert_eq!(
        (&failed["level"], &failed["user"], &failed["count"]),
        (&json!("WARN"), &json!("@ada"), &json!(1))
    );
    assert_eq!(failed["client"], "127.0.0.1");

    let token = server.post("/api/v1/users/login", &ada).expect(200).json()["token"].take();
    let token = token.as_str().expect("a token");
    let bearer = format!("Bearer {token}");
    let post = |target: &str, body: &str| {
        let headers = [("Authorization", bearer.as_str())];
        http::request(server.http(), "POST", target, &headers, body.as_bytes())
    };
    let [ended, live] = ["one", "two"].map(|title| {
        let body = json!({"title": title}).to_string();
        post("/api/v1/rooms", &body).expect(201).json()["id"].take()
    });
    post(&format!("/api/v1/rooms/{ended}/start"), "").expect(200);
    let line = logged(&server, "room started");
    assert_eq!(
        (&line["room"], &line["anchor"], &line["why"]),
        (
            &json!(ended.to_string()),
            &json!("@ada"),
            &json!("its anchor")
        )
    );
    post(&format!("/api/v1/rooms/{ended}/join"), "").expect(200);
    post(&format!("/api/v1/rooms/{ended}/stop"), "").expect(200);
    let line = logged(&server, "room ended");
    assert_eq!(
        (&line["room"], &line["why"], &line["viewers"]),
        (&json!(ended.to_string()), &json!("its anchor"), &json!(1))
    );

    post(&format!("/api/v1/rooms/{live}/start"), "").expect(200);
    let mut member = Socket::open(server.http(), &format!("/ws?room_id={live}&token={token}"));
    member.expect("hello");
    server.signal(Signal::TERM);
    assert_eq!(member.closed(), Some(1001));
    server.wait(SOON);
    let members = |line: &Value| line["members"].as_u64();
    let draining = server.log().with_message("draining");
    assert_eq!(draining.iter().filter_map(members).sum::<u64>(), 1);
    assert_eq!(logged(&server, "shutdown complete")["members"], 1);
    let log = server.log().text();
    assert!(!log.contains("horse") && !log.contains(token), "{log}");

    let recovered = |server: &Server| {
        let line = logged(server, "rooms recovered");
        ["rooms", "live", "clean"].map(|field| line[field].clone())
    };
    let mut server = start(&[]);
    assert_eq!(recovered(&server), [json!(2), json!(1), json!(true)]);
    server.signal(Signal::KILL);
    server.wait(SOON);
    let server = start(&["--set", "rooms.anchor_timeout=10ms"]);
    assert_eq!(recovered(&server), [json!(2), json!(1), json!(false)]);
    assert_eq!(
        logged(&server, "room ended")["why"],
        "its anchor stayed away"
    );
}

fn drains_on(signal: Signal) {
    let mut server = Server::start(&["--shards", "2"]);
    let publisher = Publisher::start(server.http(), "cam-1", Clip::tiny_h264());
    let mut viewers = Viewers::default();
    for device in ["cam-1", "cam-2", "cam-3"] {
        viewers.join(server.http(), device, ViewerOptions::default());
    }
    viewers.run_until(SOON, "everybody has a data channel", |viewers| {
        viewers.iter().all(|viewer| viewer.channel_label.is_some())
    });
    let mut socket = Socket::open(server.http(), "/api/media/ws?deviceId=cam-1&userId=ada");
    socket.expect("offer");
    let mut idle = server.connect();
    idle.request("GET", "/health", &[], b"").expect(200);

    server.signal(signal);
    let closing = socket.expect("closing");
    assert!(
        closing["reason"]
            .as_str()
            .is_some_and(|reason| !reason.is_empty()),
        "{closing}"
    );
    assert_eq!(socket.closed(), Some(1001));
    viewers.run_until(SOON, "every viewer is told", |viewers| {
        viewers.iter().all(|viewer| viewer.closed.is_some())
    });
    assert!(idle.closed_by_server());
    publisher.refused().expect_error(503, "draining");
    let status = server.wait(SOON);
    assert_eq!(status.code(), Some(0), "{status}");

    let ended = server.log().with_message("shutdown complete");
    assert_eq!(ended.len(), 1, "{}", server.log().text());
    assert_eq!(ended[0]["sessions"], 4, "{}", ended[0]);
}

#[test]
fn sigterm_drains_and_ends_with_0() {
    drains_on(Signal::TERM);
}

#[test]
fn sigint_drains_and_ends_with_0() {
    drains_on(Signal::INT);
}

#[test]
fn an_idle_server_ends_at_once() {
    let mut server = Server::start(&[]);
    server.signal(Signal::TERM);
    let status = server.wait(Duration::from_secs(5));
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(
        server.log().with_message("shutdown complete")[0]["sessions"],
        0
    );
}

#[test]
fn a_client_that_does_not_listen_cannot_hold_the_server_up() {
    let mut server = Server::start(&["--set", "server.shutdown_timeout=2s"]);
    // Half a request, and a reader that does not read.
    let mut half = server.connect();
    half.send("POST /api/media/sessions HTTP/1.1\r\nHost: ")
        .expect("sent");
    let mut deaf = server.connect();
    for _ in 0..2000 {
        if deaf.send_request("GET", "/openapi.json", &[], b"").is_err() {
            break;
        }
        if deaf.stream().peek(&mut [0; 1]).is_ok()
            && server.metrics().sum("media_outbound_buffer_bytes", &[]) > 0.0
        {
            break;
        }
    }
    server.signal(Signal::TERM);
    let status = server.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn a_body_that_never_comes_does_not_use_up_the_time_of_a_shutdown() {
    let mut server = Server::start(&[]);
    let mut half = server.connect();
    half.send(format!(
        "POST /api/media/sessions HTTP/1.1\r\nHost: {}\r\nContent-Length: 100\r\n\r\n{{",
        server.http()
    ))
    .expect("sent");
    server.wait_metric("media_connections_accepted_total", &[], |count| {
        count >= 1.0
    });
    server.signal(Signal::TERM);
    let status = server.wait(Duration::from_secs(15));
    assert_eq!(status.code(), Some(0), "{status}");
    half.response().expect_error(408, "request_timeout");
}

#[test]
fn a_second_server_on_the_same_port_refuses_to_start() {
    let server = Server::start(&[]);
    let address = server.http().to_string();
    let (status, _, errors) = run_to_end(&["--listen", &address, "--media-port", "0"]);
    assert!(!status.success(), "{status}");
    assert!(
        errors.contains(&address) && errors.to_lowercase().contains("already"),
        "{errors}"
    );
    server.get("/health").expect(200);
}

#[test]
fn the_ready_line_tells_every_address_and_the_log_is_json_lines() {
    let server = Server::start(&["--shards", "2"]);
    let ready = &server.log().with_message("ready")[0];
    assert_eq!(ready["shards"], 2);
    assert_eq!(server.media().len(), 2);
    assert_ne!(server.media()[0].port(), server.media()[1].port());
    server.create_session("cam-1", "ada");
    wait_until(SOON, "the creation is logged", || {
        !server.log().with_message("session created").is_empty()
    });
    let entries = server.log().entries();
    assert_eq!(
        entries.len(),
        server.log().text().lines().count(),
        "every line is JSON:\n{}",
        server.log().text()
    );
    for entry in entries {
        for field in ["timestamp", "level", "message", "target"] {
            assert!(entry[field].is_string(), "no {field}: {entry}");
        }
    }
}

#[test]
fn every_fault_of_the_configuration_is_named_at_once() {
    let faulty = [
        "--set",
        "media.port=70000",
        "--set",
        "http.head_timeout=soon",
        "--set",
        "media.idel_timeout=5m",
        "--listen",
        "nowhere",
    ];
    let (status, _, errors) = run_to_end(&faulty);
    assert_eq!(status.code(), Some(EXIT_CONFIG), "{errors}");
    for fault in [
        "media.port",
        "70000",
        "http.head_timeout",
        "media.idel_timeout",
        "media.idle_timeout",
        "nowhere",
    ] {
        assert!(errors.contains(fault), "{fault} is not named:\n{errors}");
    }
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn a_public_address_without_authentication_is_refused() {
    let (status, _, errors) = run_to_end(&[
        "--listen",
        "0.0.0.0:0",
        "--media-port",
        "0",
        "--media-listen",
        "127.0.0.1",
    ]);
    assert_eq!(status.code(), Some(EXIT_CONFIG), "{errors}");
    assert!(errors.contains("--insecure"), "{errors}");
    let server = Server::start(&[
        "--listen",
        "0.0.0.0:0",
        "--media-listen",
        "127.0.0.1",
        "--insecure",
    ]);
    server.get("/health").expect(200);
}

#[test]
fn the_configuration_can_be_checked_and_printed() {
    let (status, output, errors) = run_to_end(&["--check-config"]);
    assert!(status.success(), "{errors}");
    assert_eq!(output.trim(), "ok");

    let (status, printed, errors) = run_to_end(&["--print-config", "--set", "media.candidates=7"]);
    assert!(status.success(), "{errors}");
    assert!(printed.contains("candidates = 7"), "{printed}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("media.toml");
    std::fs::write(&file, &printed).expect("written");
    let file = file.to_str().expect("a path in UTF-8");
    let (status, again, errors) = run_to_end(&["--config", file, "--print-config"]);
    assert!(status.success(), "what is printed can be read: {errors}");
    assert!(again.contains("candidates = 7"), "{again}");
}

#[test]
fn a_file_configures_the_server() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("media.toml");
    std::fs::write(&file, "[media]\ncandidates = 3\n").expect("written");
    let server = Server::start(&["--config", file.to_str().expect("a path in UTF-8")]);
    let created = server.create_session("cam-1", "ada");
    let path = format!(
        "/api/media/sessions/{}/ice-candidate",
        created["sessionId"].as_str().expect("an id")
    );
    let candidate = |port: u16| {
        let line = format!("candidate:1 1 udp 2130706431 192.0.2.1 {port} typ host");
        json!({"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0})
    };
    for port in 5000..5003 {
        server.post(&path, &candidate(port)).expect(204);
    }
    server
        .post(&path, &candidate(5003))
        .expect_error(429, "too_many_candidates");
}

#[test]
fn help_and_version_tell_what_it_is() {
    let (status, output, _) = run_to_end(&["--help"]);
    assert!(
        status.success() && output.contains("--demo") && output.contains("--config"),
        "{output}"
    );
    let (status, output, _) = run_to_end(&["--version"]);
    assert!(
        status.success() && output.contains(env!("CARGO_PKG_VERSION")),
        "{output}"
    );
}

#[test]
fn work_that_is_over_leaves_nothing_behind() {
    let server = Server::start(&["--shards", "2"]);
    let round = |number: usize| {
        let publisher = Publisher::start(server.http(), "cam-1", Clip::tiny_h264());
        let mut viewers = Viewers::default();
        for _ in 0..5 {
            viewers.join(
                server.http(),
                "cam-1",
                ViewerOptions {
                    frames: false,
                    ..ViewerOptions::default()
                },
            );
        }
        viewers.run_until(SOON, "everybody gets packets", |viewers| {
            viewers.iter().all(|viewer| viewer.packets > 0)
        });
        let mut sockets: Vec<Socket> = (0..3)
            .map(|i| {
                Socket::open(
                    server.http(),
                    &format!("/api/media/ws?deviceId=cam-{i}&userId=ada"),
                )
            })
            .collect();
        let sessions: Vec<Value> = sockets
            .iter_mut()
            .map(|socket| socket.expect("offer")["sessionId"].clone())
            .collect();
        for index in 0..viewers.len() {
            viewers[index].leave();
        }
        drop(sockets);
        for session in sessions {
            let path = format!("/api/media/sessions/{}", session.as_str().expect("an id"));
            server.delete(&path); // gone already, where the socket's end was its end
        }
        if number.is_multiple_of(2) {
            publisher.abort()
        } else {
            drop(publisher.finish())
        }
    };
    let before = server.footprint();
    for number in 0..4 {
        round(number);
        server.wait_nothing_left(&before);
    }
    assert_eq!(server.metrics().sum("media_panics_caught_total", &[]), 0.0);
}

#[test]
fn a_server_under_load_does_not_seem_to_leak_and_what_it_held_is_known() {
    /// More than three times the least baseline.
    const CLIENTS: usize = 310;
    let server = Server::start(&["--shards", "2", "--set", "metrics.leak_interval=10ms"]);
    let held = |kind, name| server.metrics().sum(name, &[("kind", kind)]) as usize;
    let leaks = || server.metrics().sum("media_potential_task_leak", &[]) > 0.0;
    // Thirty samples, whether anybody scrapes or not.
    std::thread::sleep(Duration::from_millis(500));
    let quiet = held("descriptors", "media_resources");

    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.request("GET", "/health", &[], b"").expect(200);
    }
    let mut socket = Socket::open(server.http(), "/api/media/ws?deviceId=cam-1&userId=ada");
    socket.expect("offer");
    wait_until(SOON, "they are counted", || {
        held("connections", "media_resources") > CLIENTS
    });
    assert!(held("descriptors", "media_resources") >= quiet + CLIENTS);
    for kind in ["sessions", "devices"] {
        assert_eq!(held(kind, "media_resources"), 1, "{kind}");
    }
    assert!(held("timers", "media_resources") >= CLIENTS);
    assert!(!leaks());

    drop((clients, socket));
    wait_until(SOON, "they are gone", || {
        held("connections", "media_resources") < 5
    });
    assert!(held("connections", "media_resources_max") > CLIENTS);
    assert!(!leaks());
    let most = server.metrics().sum("media_task_count_max", &[]);
    assert!(most < 50.0, "{most} things seemed to belong to nobody");
}
