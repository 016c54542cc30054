//! Headless Chromium, driven through `tests/browser/driver.py`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{media, python, wait_until};

/// A command of the driver's takes Playwright's own limit of 30 s at most.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// A browser with any number of pages, which are told apart by name.
pub struct Browser {
    child: Child,
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Browser {
    /// Starts Chromium.
    ///
    /// # Panics
    /// When Python, Playwright or Chromium is missing.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further flags of Chromium's.
    pub fn start_with(flags: &[&str]) -> Self {
        let mut child = python::script("tests/browser/driver.py")
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs; see .ci/run for what these tests need");
        let commands = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, answers) = channel();
        thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let browser = Self {
            child,
            commands,
            answers,
        };
        browser.answer("start");
        browser
    }

    /// Opens a URL in the page of this name.
    pub fn open(&mut self, page: &str, url: &str) {
        self.run(json!({"do": "open", "page": page, "url": url}));
    }

    /// The same for a new page whose media goes to another port of the server's host.
    pub fn open_through(&mut self, page: &str, url: &str, port: u16) {
        self.run(json!({"do": "open", "page": page, "url": url, "through": port}));
    }

    /// The same for a new page of a size and a colour scheme.
    pub fn open_sized(&mut self, page: &str, url: &str, (width, height): (u32, u32), dark: bool) {
        self.run(json!({"do": "open", "page": page, "url": url, "width": width, "height": height, "dark": dark}));
    }

    pub fn reload(&mut self, page: &str) {
        self.run(json!({"do": "reload", "page": page}));
    }

    pub fn close(&mut self, page: &str) {
        self.run(json!({"do": "close", "page": page}));
    }

    /// The player's data attributes: what the page shows.
    pub fn player(&mut self, page: &str) -> Value {
        self.run(json!({"do": "player", "page": page}))
    }

    /// One of the player's data attributes as a number; NaN while it is not there.
    pub fn figure(&mut self, page: &str, name: &str) -> f64 {
        self.player(page)[name]
            .as_str()
            .and_then(|text| text.parse().ok())
            .unwrap_or(f64::NAN)
    }

    /// The room's data attributes: what its page shows.
    pub fn room(&mut self, page: &str) -> Value {
        self.evaluate(
            page,
            "() => ({ ...document.querySelector('#room')?.dataset })",
        )
    }

    /// The browser's own statistics of what comes in, by kind (W3C `RTCInboundRtpStreamStats`).
    pub fn inbound(&mut self, page: &str) -> Value {
        self.run(json!({"do": "inbound", "page": page}))
    }

    /// What a script gives that is evaluated in the page.
    pub fn evaluate(&mut self, page: &str, script: &str) -> Value {
        self.run(json!({"do": "evaluate", "page": page, "script": script}))
    }

    /// Texts of all elements that match.
    pub fn texts(&mut self, page: &str, selector: &str) -> Value {
        self.run(json!({"do": "texts", "page": page, "selector": selector}))
    }

    pub fn click(&mut self, page: &str, selector: &str) {
        self.run(json!({"do": "click", "page": page, "selector": selector}));
    }

    /// Clicks a point of an element, in parts of its width and height.
    pub fn click_at(&mut self, page: &str, selector: &str, x: f64, y: f64) {
        self.run(json!({"do": "click", "page": page, "selector": selector, "x": x, "y": y}));
    }

    pub fn press(&mut self, page: &str, key: &str) {
        self.run(json!({"do": "press", "page": page, "key": key}));
    }

    pub fn fill(&mut self, page: &str, selector: &str, text: &str) {
        self.run(json!({"do": "fill", "page": page, "selector": selector, "text": text}));
    }

    /// Keeps a picture of the page under `target/screenshots/`.
    pub fn screenshot(&mut self, page: &str, name: &str) {
        let path = media::file("target/screenshots").join(format!("{name}.png"));
        self.run(json!({"do": "screenshot", "page": page, "path": path}));
    }

    /// Uncaught errors and error messages of all pages so far.
    pub fn errors(&mut self) -> Value {
        self.run(json!({"do": "errors"}))
    }

    /// Waits until the page's player is in a state.
    ///
    /// # Panics
    /// With what the page shows instead.
    #[track_caller]
    pub fn wait_state(&mut self, page: &str, state: &str) {
        self.wait_player(page, &format!("the player is {state}"), |player| {
            player["state"] == state
        });
    }

    /// Waits until what the page's player shows fulfils a condition.
    ///
    /// # Panics
    /// With what the page shows instead.
    #[track_caller]
    pub fn wait_player(&mut self, page: &str, what: &str, condition: impl Fn(&Value) -> bool) {
        let mut last = Value::Null;
        let holds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(super::SOON, what, || {
                last = self.player(page);
                condition(&last)
            });
        }));
        assert!(holds.is_ok(), "{what}: {last:#}");
    }

    /// Waits until what the room's page shows fulfils a condition.
    ///
    /// # Panics
    /// With what the page shows instead.
    #[track_caller]
    pub fn wait_room(&mut self, page: &str, what: &str, condition: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + super::SOON;
        loop {
            let room = self.room(page);
            if condition(&room) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {room:#}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn run(&mut self, command: Value) -> Value {
        let commands = self.commands.as_mut().expect("open until dropped");
        writeln!(commands, "{command}").expect("the driver reads");
        self.answer(&command.to_string())
    }

    fn answer(&self, command: &str) -> Value {
        let line = self.answers.recv_timeout(COMMAND_LIMIT);
        let line =
            line.unwrap_or_else(|_| panic!("{command}: the browser's driver is silent or gone"));
        let answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(answer["error"].is_null(), "{command}: {}", answer["error"]);
        answer["ok"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.commands.take()); // the end of its input ends the driver, and that the browser
        let _ = self.child.wait();
    }
}
