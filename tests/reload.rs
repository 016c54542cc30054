//! The configuration, read again while the server runs (M15).

mod support;

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::http::{self, Response};
use support::server::{Server, run_to_end};
use support::ws::Socket;
use support::{SOON, wait_until};
use tempfile::TempDir;

const SECRET: &str = "a secret of thirty-two characters";
const NEXT_SECRET: &str = "another one, as long as the first";

/// A server whose configuration is in a file.
struct Setup {
    server: Server,
    file: PathBuf,
    _directory: TempDir,
}

impl Setup {
    fn start(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("media.toml");
        fs::write(&file, text).expect("room on the disk");
        let path = file.to_str().expect("a temporary path is UTF-8");
        let server = Server::start(&["--shards", "4", "--config", path]);
        Self {
            server,
            file,
            _directory: directory,
        }
    }

    /// Puts another file in the place of the old one.
    fn write(&self, text: &str) {
        let next = self.file.with_extension("next");
        fs::write(&next, text).expect("room on the disk");
        fs::rename(&next, &self.file).expect("the same directory");
    }

    /// The lines of the log with this message, once there are so many.
    #[track_caller]
    fn logged(&self, message: &str, lines: usize) -> Vec<Value> {
        let log = self.server.log();
        wait_until(SOON, message, || log.with_message(message).len() >= lines);
        log.with_message(message)
    }

    /// Writes the file, sends SIGHUP, and gives what was applied.
    #[track_caller]
    fn reload(&self, text: &str, reloads: usize) -> String {
        self.write(text);
        self.server.signal(Signal::HUP);
        let line = self.logged("configuration reloaded", reloads).pop();
        let applied = &line.expect("a line")["applied"];
        applied.as_str().expect("a text").to_owned()
    }

    fn create(&self, device: usize) -> Response {
        let body = json!({"deviceId": format!("cam-{device}"), "userId": "ada"});
        self.server.post("/api/media/sessions", &body)
    }

    fn reloads(&self, result: &str) -> f64 {
        let labels = [("result", result)];
        let metrics = self.server.metrics();
        metrics.sum("media_config_reloads_total", &labels)
    }
}

#[test]
fn a_signal_applies_what_can_be_applied_and_names_what_cannot() {
    let setup = Setup::start("[limits]\nsessions = 1\n");
    let mut socket = Socket::open(
        setup.server.http(),
        "/api/media/ws?deviceId=cam-0&userId=ada",
    );
    socket.expect("offer");
    setup.create(1).expect_error(503, "full");

    let text = "demo = true\n[limits]\nsessions = 9\n[log]\nlevel = 'debug'\nformat = 'text'\n";
    let applied = setup.reload(text, 1);
    assert_eq!(applied, "limits.sessions, log.level");
    // `log.format` stands on the command line, which wins over the file as it did at the start.
    setup.logged("needs a restart: demo", 1);
    for device in 1..9 {
        wait_until(SOON, "the shard has it", || {
            setup.create(device).status == 201
        });
    }
    setup.create(9).expect_error(503, "full");
    let is_debug = |line: &Value| line["level"] == "DEBUG";
    wait_until(SOON, "more is logged", || {
        setup.server.log().entries().iter().any(is_debug)
    });

    setup.server.signal(Signal::HUP);
    setup.logged("configuration read again: nothing to apply", 1);
    setup.logged("needs a restart: demo", 2);
    assert_eq!(
        (setup.reloads("applied"), setup.reloads("unchanged")),
        (1.0, 1.0)
    );
    socket.send(&json!({"type": "control", "seq": 1, "action": "back"}));
    assert_eq!(socket.expect("error")["code"], "no_agent");
}

#[test]
fn a_file_that_changes_is_read_without_being_asked() {
    let setup = Setup::start("");
    let hosts = |host| {
        let headers = [("Host", host)];
        http::request(
            setup.server.http(),
            "GET",
            "/api/media/devices",
            &headers,
            b"",
        )
        .status
    };
    assert_eq!(hosts("media.example.com"), 403);
    setup.write("[http]\nallowed_hosts = ['media.example.com']\n");
    let line = setup.logged("configuration reloaded", 1).remove(0);
    assert_eq!(line["applied"], "http.allowed_hosts");
    wait_until(SOON, "it holds", || hosts("media.example.com") == 200);
}

#[test]
fn a_file_at_fault_keeps_the_old_configuration_and_says_why() {
    let setup = Setup::start("[limits]\nsessions = 1\n");
    let start = setup.server.metrics();
    let succeeded = "media_config_last_reload_success_timestamp_seconds";
    assert!(start.sum(succeeded, &[]) > 1e9);
    setup.write("[limits]\nsessions = 9\ndevices = 'many'\n[ws]\nping_interval = '2m'\n");
    setup.server.signal(Signal::HUP);
    let refused = "the configuration is at fault: the old one stays";
    assert_eq!(setup.logged(refused, 1)[0]["faults"], 2);
    let log = setup.server.log().text();
    for fault in [
        "limits.devices: many is not",
        "ws.pong_timeout: 1m must be more",
    ] {
        assert!(log.contains(fault), "{fault} is not in\n{log}");
    }
    setup.create(1).expect(201);
    setup.create(2).expect_error(503, "full");
    assert_eq!(setup.reloads("refused"), 1.0);
    // What is at fault on the command line of a dry run too.
    let path = setup.file.to_str().expect("UTF-8");
    let (status, _, errors) = run_to_end(&["--config", path, "--check-config"]);
    assert_eq!(
        (status.code(), errors.lines().count()),
        (Some(2), 2),
        "{errors}"
    );

    setup.write("[limits]\nsessions = 9\n");
    setup.logged("configuration reloaded", 1);
    wait_until(SOON, "it holds", || setup.create(2).status == 201);
}

#[test]
fn a_rotated_key_ends_nothing_that_was_opened_with_the_old_one() {
    let auth = |secret| format!("[auth]\njwt_secret = \"{secret}\"\n");
    let setup = Setup::start(&auth(SECRET));
    let path = setup.file.to_str().expect("UTF-8");
    let token = || {
        let arguments = ["token", "--config", path, "--sub", "ada", "--role", "admin"];
        let (status, stdout, stderr) = run_to_end(&arguments);
        assert!(status.success(), "{stderr}");
        stdout.trim_end().to_owned()
    };
    let ask = |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str())];
        http::request(
            setup.server.http(),
            "GET",
            "/api/media/devices",
            &headers,
            b"",
        )
        .status
    };
    let old = token();
    let target = format!("/api/media/ws?deviceId=cam-1&token={old}");
    let mut socket = Socket::open(setup.server.http(), &target);
    socket.expect("offer");

    assert_eq!(setup.reload(&auth(NEXT_SECRET), 1), "auth.jwt_secret");
    let new = token();
    wait_until(SOON, "the new key is taken", || ask(&new) == 200);
    wait_until(SOON, "the old one is not", || ask(&old) == 401);
    socket.send(&json!({"type": "control", "seq": 1, "action": "back"}));
    assert_eq!(socket.expect("error")["code"], "no_agent");

    // Log-ins are signed with the new one.
    let ada = json!({"username": "ada", "password": "correct horse"});
    setup.server.post("/api/v1/users", &ada).expect(201);
    let login = setup.server.post("/api/v1/users/login", &ada).expect(200);
    let headers = format!(
        "Bearer {}",
        login.json()["token"].as_str().expect("a token")
    );
    let headers = [("Authorization", headers.as_str())];
    http::request(
        setup.server.http(),
        "GET",
        "/api/v1/users/me",
        &headers,
        b"",
    )
    .expect(200);

    // Without a key nobody is let in by that: it waits for a restart.
    setup.write("");
    setup.server.signal(Signal::HUP);
    setup.logged("needs a restart: auth.jwt_secret", 1);
    assert_eq!(ask(&old), 401);
    let log = setup.server.log().text();
    assert!(!log.contains(SECRET) && !log.contains(NEXT_SECRET), "{log}");
}

#[test]
fn short_of_memory_new_work_is_refused_and_what_runs_goes_on() {
    let setup = Setup::start("[rooms]\nmember_rate = 10\n");
    let limit = || setup.server.metrics().get("media_memory_limit_bytes", &[]);
    let resident =
        |metrics: &support::metrics::Metrics| metrics.sum("media_memory_usage_bytes", &[]);
    let start = setup.server.metrics();
    assert!(limit().expect("there is one by itself") > resident(&start));
    assert_eq!(start.get("media_memory_pressure", &[]), Some(0.0));
    let mut socket = Socket::open(
        setup.server.http(),
        "/api/media/ws?deviceId=cam-0&userId=ada",
    );
    let session = socket.expect("offer")["sessionId"].clone();

    assert_eq!(
        setup.reload("[limits]\nmemory = '1MiB'\n", 1),
        "limits.memory"
    );
    setup.logged("memory is short: new work is refused", 1);
    let refused = setup.create(1);
    assert_eq!(refused.header("Retry-After"), Some("1"));
    refused.expect_error(503, "overloaded");
    let room = json!({"title": "Clock watching"});
    setup
        .server
        .post_as("ada", "/api/v1/rooms", &room)
        .expect_error(503, "overloaded");
    let agent = "/api/media/devices/cam-0/ws";
    let refused = Socket::try_open(setup.server.http(), agent, &[]).err();
    assert_eq!(refused.expect("no agent is taken").status, 503);
    let metrics = setup.server.metrics();
    assert_eq!(metrics.get("media_memory_pressure", &[]), Some(1.0));
    assert_eq!(limit(), Some(f64::from(1 << 20)));
    // What is there is read, used and ended.
    socket.send(&json!({"type": "offer", "iceRestart": true}));
    assert_eq!(socket.expect("offer")["sessionId"], session);
    let target = format!("/api/media/sessions/{}", session.as_str().expect("an id"));
    setup.server.get(&target).expect(200);
    setup.server.delete(&target).expect(204);

    assert_eq!(setup.reload("[limits]\nmemory = 0\n", 2), "limits.memory");
    setup.logged("there is memory for new work again", 1);
    setup.create(1).expect(201);
    assert_eq!(limit(), None);
}

#[test]
fn room_for_more_connections_is_made_or_it_is_said_that_there_is_none() {
    let setup = Setup::start("[limits]\nconnections = 100\n");
    let open = || setup.server.metrics().sum("process_max_fds", &[]);
    let before = open();
    let text = "[limits]\nconnections = 4000000\n";
    assert_eq!(setup.reload(text, 1), "limits.connections");
    // As far as the hard limit goes.
    let told = || setup.server.log().text().contains("RLIMIT_NOFILE");
    wait_until(SOON, "the limit is raised or named", || {
        open() > before || told()
    });
}
