//! The page in headless Chromium, fed by ffmpeg and curl. What is asserted is what a person in front of it would see.

mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::browser::Browser;
use support::media::{Clip, Kind};
use support::pipeline::{Pipeline, camera_clip};
use support::publish::Publisher;
use support::server::Server;
use support::ws::Socket;
use support::{SOON, wait_for, wait_until};

/// How long a picture is watched that shall run evenly.
const WATCHED: Duration = Duration::from_secs(20);
/// Spans that are watched until one runs evenly: encoder, server, browser and decoder share the
/// machine, and a stall of 150 ms of any of them is a freeze.
const SPANS: usize = 3;

/// Two pictures decoded at once would disturb each other on a small machine: these tests take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn device_page(server: &Server, device: &str) -> String {
    format!("http://{}/#/devices/{device}", server.http())
}

/// 720p30 at 2 Mbit/s with sound: every picture is decoded, and none of them late enough for a freeze.
fn runs_evenly(kind: Kind) {
    let _turn = turn();
    let server = Server::start(&[]);
    let _video = Pipeline::replay(server.http(), "cam-1", kind, &camera_clip(kind));
    let _audio = Pipeline::replay(server.http(), "cam-1", Kind::Opus, &camera_clip(Kind::Opus));
    wait_until(SOON, "video and audio are live", || {
        let device = server.device("cam-1");
        device["video"]["codec"].is_string() && device["audio"]["codec"].is_string()
    });

    let mut browser = Browser::start();
    browser.open("viewer", &device_page(&server, "cam-1"));
    browser.wait_state("viewer", "playing");
    browser.click("viewer", "[data-ref='sound']"); // pages begin muted
    let mut begin = wait_for(SOON, "a second of the stream", || {
        let inbound = browser.inbound("viewer");
        (inbound["video"]["framesDecoded"].as_u64() >= Some(30)).then_some(inbound)
    });
    let mut faults = Vec::new();
    for _ in 0..SPANS {
        std::thread::sleep(WATCHED);
        let end = browser.inbound("viewer");
        faults = unevenness(kind, &begin, &end);
        if faults.is_empty() {
            break;
        }
        println!("not even: {faults:#?}");
        begin = end;
    }
    assert!(faults.is_empty(), "{faults:#?}");

    let freezes = browser.inbound("viewer")["video"]["freezeCount"].to_string();
    assert_eq!(
        browser.player("viewer")["freezes"],
        freezes.as_str(),
        "the page tells the same"
    );
    browser.screenshot("viewer", &format!("playing-{kind:?}").to_lowercase());
    assert_eq!(browser.errors(), json!([]));
}

/// What a person would have noticed between two readings of the browser's statistics.
fn unevenness(kind: Kind, begin: &Value, end: &Value) -> Vec<String> {
    let grown = |kind: &str, name: &str| {
        end[kind][name].as_f64().unwrap_or(0.0) - begin[kind][name].as_f64().unwrap_or(0.0)
    };
    let seconds = grown("video", "timestamp") / 1e3;
    let fps = grown("video", "framesDecoded") / seconds;
    println!("{kind:?}: {fps:.2} frames/s decoded over {seconds:.1} s");
    let samples = grown("audio", "totalSamplesReceived");
    let size = (&end["video"]["frameWidth"], &end["video"]["frameHeight"]);
    // The sine is heard: nearly every sample is there, and they are not silence.
    [
        (fps < 29.0, "fewer than 29 frames/s"),
        (grown("video", "freezeCount") > 0.0, "a freeze"),
        (grown("video", "packetsLost") > 0.0, "packets lost"),
        (size != (&json!(1280), &json!(720)), "not 720p"),
        (samples < 0.98 * 48_000.0 * seconds, "samples missing"),
        (
            grown("audio", "concealedSamples") > 0.02 * samples,
            "samples made up",
        ),
        (grown("audio", "totalAudioEnergy") <= 0.0, "silence"),
    ]
    .into_iter()
    .filter(|&(fault, _)| fault)
    .map(|(_, what)| format!("{what}: {:#} {:#}", end["video"], end["audio"]))
    .collect()
}

#[test]
#[ignore = "needs Chromium, Python with Playwright, ffmpeg and curl"]
fn h264_with_opus_runs_evenly() {
    runs_evenly(Kind::H264);
}

#[test]
#[ignore = "needs Chromium, Python with Playwright, ffmpeg and curl"]
fn vp8_with_opus_runs_evenly() {
    runs_evenly(Kind::Vp8);
}

#[test]
#[ignore = "needs Chromium, Python with Playwright, ffmpeg and curl"]
fn a_second_viewer_sees_a_picture_within_300_ms_of_the_click() {
    let _turn = turn();
    let server = Server::start(&[]);
    let _video = Pipeline::replay(server.http(), "cam-1", Kind::H264, &camera_clip(Kind::H264));
    let mut browser = Browser::start();
    browser.open("first", &device_page(&server, "cam-1"));
    browser.wait_state("first", "playing");

    browser.open("second", &format!("http://{}/", server.http()));
    let mut joins = Vec::new();
    for _ in 0..10 {
        browser.click("second", "[data-device-id='cam-1']");
        browser.wait_state("second", "playing");
        joins.push(browser.figure("second", "joinMs"));
        browser.evaluate("second", "() => { location.hash = '' }");
        browser.wait_state("second", "idle");
    }
    joins.sort_by(f64::total_cmp);
    let median = (joins[4] + joins[5]) / 2.0;
    println!("first picture after {joins:?} ms, median {median:.0} ms");
    assert!(median <= 300.0, "{joins:?}");
}

#[test]
#[ignore = "needs Chromium, Python with Playwright, ffmpeg and curl"]
fn the_picture_runs_on_after_the_publisher_was_away() {
    let _turn = turn();
    let server = Server::start(&[]);
    let clip = camera_clip(Kind::H264);
    let video = Pipeline::replay(server.http(), "cam-1", Kind::H264, &clip);
    let mut browser = Browser::start();
    browser.open("viewer", &device_page(&server, "cam-1"));
    browser.wait_state("viewer", "playing");
    let session = browser.player("viewer")["sessionId"].clone();

    drop(video);
    wait_until(SOON, "the device is not live any more", || {
        server.device("cam-1")["live"] == false
    });
    std::thread::sleep(Duration::from_secs(3));
    let stood = browser.inbound("viewer")["video"]["framesDecoded"].as_u64();
    let back = Instant::now();
    let _video = Pipeline::replay(server.http(), "cam-1", Kind::H264, &clip);
    wait_until(SOON, "further pictures are decoded", || {
        browser.inbound("viewer")["video"]["framesDecoded"].as_u64() >= stood.map(|n| n + 60)
    });
    println!(
        "60 pictures {:?} after the publisher came back",
        back.elapsed()
    );
    browser.wait_state("viewer", "playing");
    let player = browser.player("viewer");
    assert_eq!(player["sessionId"], session, "the same session");
    assert_eq!(player["sessions"], "1", "{player:#}");
}

/// A device's agent that publishes a clip and acknowledges what it is told, until the test ends.
struct Agent {
    socket: Socket,
    clip: Clip,
    sent: u64,
    begin: Instant,
    controls: Vec<Value>,
}

impl Agent {
    fn start(server: &Server, device: &str) -> Self {
        let mut socket = Socket::open(server.http(), &format!("/api/media/devices/{device}/ws"));
        socket.send(&json!({"type": "hello", "video": {"codec": "h264"}}));
        Self {
            socket,
            clip: Clip::tiny_h264(),
            sent: 0,
            begin: Instant::now(),
            controls: Vec::new(),
        }
    }

    /// Sends what is due, and answers what came.
    fn turn(&mut self) {
        let due = (self.begin.elapsed().as_secs_f64() * 30.0) as u64;
        while self.sent <= due {
            let pts = self.sent * 1_000_000 / 30;
            self.socket
                .send_access_unit(0, pts, &self.clip.unit(self.sent));
            self.sent += 1;
        }
        let patience = Instant::now() + Duration::from_millis(5);
        while let Ok(Some(message)) = self.socket.next(patience) {
            let Ok(text) = message.to_text() else {
                continue;
            };
            let Ok(message) = serde_json::from_str::<Value>(text) else {
                continue;
            };
            if message["type"] == "control" {
                self.socket
                    .send(&json!({"type": "ack", "seq": message["seq"]}));
                self.controls.push(message);
            }
        }
    }

    fn wait(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !condition(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.controls);
            self.turn();
        }
    }
}

#[test]
#[ignore = "needs Chromium and Python with Playwright"]
fn touches_and_keys_on_the_picture_reach_the_agent_and_are_acknowledged() {
    let _turn = turn();
    let server = Server::start(&[]);
    let mut agent = Agent::start(&server, "phone-1");
    let mut browser = Browser::start();
    browser.open("viewer", &device_page(&server, "phone-1"));
    agent.wait("the agent's picture plays", |_| {
        browser.player("viewer")["state"] == "playing"
    });

    browser.click_at("viewer", "[data-ref='surface']", 0.5, 0.25);
    agent.wait("a touch goes down and up", |agent| {
        agent.controls.len() >= 2
    });
    let touch = &agent.controls[0];
    assert_eq!(
        (&touch["action"], &touch["phase"]),
        (&json!("touch"), &json!("down"))
    );
    assert!(
        (touch["x"].as_f64().unwrap_or(9.0) - 0.5).abs() < 0.02,
        "{touch}"
    );
    assert!(
        (0.0..=0.5).contains(&touch["y"].as_f64().unwrap_or(9.0)),
        "{touch}"
    );
    assert!(
        touch["userId"]
            .as_str()
            .is_some_and(|user| user.starts_with("web-")),
        "{touch}"
    );
    assert_eq!(
        agent
            .controls
            .iter()
            .find(|c| c["phase"] == "up")
            .map(|c| &c["action"]),
        Some(&json!("touch"))
    );

    browser.press("viewer", "KeyA");
    agent.wait("a key arrives", |agent| {
        agent
            .controls
            .iter()
            .any(|c| c["action"] == "key" && c["code"] == "KeyA")
    });
    browser.click("viewer", "[data-action='home']");
    agent.wait("home arrives", |agent| {
        agent.controls.iter().any(|c| c["action"] == "home")
    });
    agent.wait("the page shows the round trip", |_| {
        browser.figure("viewer", "controlAcks") >= 4.0
    });
    let player = browser.player("viewer");
    assert_eq!(player["controlVia"], "data channel", "{player:#}");
    println!(
        "control round trip: median {} ms",
        player["controlMedianMs"]
    );
    browser.screenshot("viewer", "control");
}

#[test]
#[ignore = "needs Chromium and Python with Playwright"]
fn the_page_reconnects_by_itself_when_its_session_is_deleted() {
    let _turn = turn();
    let server = Server::start(&[]);
    let _video = Publisher::start(server.http(), "cam-1", Clip::tiny_h264());
    let mut browser = Browser::start();
    browser.open("viewer", &device_page(&server, "cam-1"));
    browser.wait_state("viewer", "playing");
    let session = browser.player("viewer")["sessionId"]
        .as_str()
        .expect("shown while playing")
        .to_owned();

    server
        .delete(&format!("/api/media/sessions/{session}"))
        .expect(204);
    browser.wait_player("viewer", "another session plays", |player| {
        player["state"] == "playing" && player["sessionId"] != session.as_str()
    });
    assert_eq!(browser.player("viewer")["sessions"], "2");
    browser.close("viewer");
    server.wait_metric("media_active_sessions", &[], |sessions| sessions == 0.0);
}

#[test]
#[ignore = "needs Chromium and Python with Playwright"]
fn the_demo_is_on_the_page() {
    let _turn = turn();
    let server = Server::start(&["--demo"]);
    let home = format!("http://{}/", server.http());
    let mut browser = Browser::start();
    browser.open("list", &home);
    wait_until(SOON, "the demo is listed as live", || {
        let rows = browser.texts("list", "[data-device-id]").to_string();
        rows.contains("demo") && rows.contains("1280")
    });
    browser.screenshot("list", "list");
    for (name, size, dark) in [
        ("demo", (1280, 800), false),
        ("demo-dark", (1280, 800), true),
        ("demo-phone", (390, 844), false),
        ("demo-phone-dark", (390, 844), true),
    ] {
        browser.open_sized(name, &device_page(&server, "demo"), size, dark);
        browser.wait_player(name, "the demo plays evenly", |player| {
            let fps = player["fps"]
                .as_str()
                .and_then(|fps| fps.parse::<f64>().ok());
            player["state"] == "playing" && player["width"] == "1280" && fps >= Some(25.0)
        });
        browser.screenshot(name, name);
        browser.close(name);
    }
    assert_eq!(browser.errors(), json!([]));
}

#[test]
#[ignore = "needs Chromium and Python with Playwright"]
fn the_page_shows_where_the_time_of_each_shard_goes() {
    let _turn = turn();
    let server = Server::start(&["--demo", "--shards", "2"]);
    let mut browser = Browser::start();
    browser.open("viewer", &device_page(&server, "demo"));
    browser.wait_state("viewer", "playing");
    browser.open("server", &format!("http://{}/#/server", server.http()));
    // A figure of the table whose body has this name, one for each shard, by the title of its column.
    let mut column = |body: &str, title: &str| -> Vec<String> {
        let script = format!(
            "() => {{
               const table = document.querySelector(\"[data-ref='{body}']\").closest('table');
               const titles = [...table.querySelectorAll('th[scope=col]')];
               const at = titles.sort((a, b) => a.getBoundingClientRect().left - b.getBoundingClientRect().left)
                 .findIndex((title) => title.textContent === '{title}');
               return [...table.tBodies[0].rows].map((row) => row.cells[at].textContent);
             }}"
        );
        let texts = browser.evaluate("server", &script);
        serde_json::from_value(texts).expect("a list of texts")
    };
    wait_until(SOON, "figures of both shards", || {
        let busy = column("shardRows", "Busy");
        busy.len() == 2 && busy.iter().all(|share| share.ends_with('%'))
    });
    assert_eq!(column("shardRows", "Shard"), ["0", "1"]);
    wait_until(SOON, "the demo's datagrams are on its shard", || {
        let sent = column("shardRows", "Out/s");
        let number = |text: &String| text.replace('\u{2009}', "").parse::<u64>();
        sent.iter()
            .filter(|sent| number(sent).is_ok_and(|sent| sent > 30))
            .count()
            == 1
    });
    wait_until(SOON, "sending them is a part of its turns", || {
        let parts = column("stageRows", "Send");
        parts
            .iter()
            .any(|part| part.ends_with('%') && part != "0 %")
    });
    let sessions = column("shardRows", "Sessions");
    assert!(sessions.contains(&"1".to_owned()), "{sessions:?}");
    browser.screenshot("server", "server");
    assert_eq!(browser.errors(), json!([]));
}
