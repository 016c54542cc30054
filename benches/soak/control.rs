//! Clients that behave, on loopback beside the churn: a viewer, two members, and whoever asks whether the server lives.
//! They must notice nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::Message;

use crate::ledger::Ledger;
use crate::support::http::Connection;
use crate::support::media::Clip;
use crate::support::publish::Publisher;
use crate::support::viewer::ViewerOptions;
use crate::support::viewers::Viewers;
use crate::support::ws::Socket;

/// A window in which pictures are counted.
pub const WINDOW: Duration = Duration::from_secs(10);
/// Pictures of the control device's clip in such a window, at 30 a second.
pub const PICTURES: usize = 300;

/// Time between two messages of the control member, within `rooms.member_rate`.
const TALK: Duration = Duration::from_millis(200);
/// Time between two looks at the probes.
const PROBE: Duration = Duration::from_millis(100);
/// Longer than that is a fault, whatever else goes on.
const PATIENCE: Duration = Duration::from_secs(5);

const DEVICE: &str = "control";

/// Times, kept whole: a run has some ten thousand.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// In ms; NaN when there is none.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() as f64 * quantile) as usize;
        let rank = rank.min(sorted.len().wrapping_sub(1));
        sorted
            .get(rank)
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }
}

/// What the control clients saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Pictures in each whole window.
    pub windows: Vec<usize>,
    /// Pictures with something missing before them.
    pub gaps: usize,
    /// From one member to the other.
    pub messages: Times,
    /// To the sender, from what it said.
    pub acknowledgements: Times,
    pub live: Times,
    pub ready: Times,
}

impl Seen {
    /// Takes what was seen of a further server.
    pub fn add(&mut self, other: Self) {
        self.windows.extend(other.windows);
        self.gaps += other.gaps;
        for (mine, more) in [
            (&mut self.messages, other.messages),
            (&mut self.acknowledgements, other.acknowledgements),
            (&mut self.live, other.live),
            (&mut self.ready, other.ready),
        ] {
            mine.0.extend(more.0);
        }
    }
}

/// The clients at work.
pub struct Control {
    ending: Arc<AtomicBool>,
    viewer: JoinHandle<(Vec<usize>, usize)>,
    member: JoinHandle<(Times, Times)>,
    probe: JoinHandle<(Times, Times)>,
}

impl Control {
    /// Starts them, each on a thread of its own; `room` is live and theirs alone.
    pub fn start(http: SocketAddr, room: u64, ledger: &Arc<Ledger>) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let viewer = {
            let (ending, ledger) = (Arc::clone(&ending), Arc::clone(ledger));
            thread::spawn(move || watch(http, &ending, &ledger))
        };
        let member = {
            let (ending, ledger) = (Arc::clone(&ending), Arc::clone(ledger));
            thread::spawn(move || {
                let mut times = (Times::default(), Times::default());
                if let Err(fault) = talk(http, room, &ending, &ledger, &mut times) {
                    ledger.fault(format!("control member: {fault}"));
                }
                times
            })
        };
        let probe = {
            let (ending, ledger) = (Arc::clone(&ending), Arc::clone(ledger));
            thread::spawn(move || {
                let mut times = (Times::default(), Times::default());
                if let Err(fault) = probe(http, &ending, &mut times) {
                    ledger.fault(format!("probe: {fault}"));
                }
                times
            })
        };
        Self {
            ending,
            viewer,
            member,
            probe,
        }
    }

    pub fn end(self) -> Seen {
        self.ending.store(true, Ordering::Relaxed);
        let (windows, gaps) = self.viewer.join().expect("the control viewer");
        let (messages, acknowledgements) = self.member.join().expect("the control member");
        let (live, ready) = self.probe.join().expect("the probe");
        Seen {
            windows,
            gaps,
            messages,
            acknowledgements,
            live,
            ready,
        }
    }
}

/// Publishes and watches; pictures in each window, and gaps.
fn watch(http: SocketAddr, ending: &AtomicBool, ledger: &Ledger) -> (Vec<usize>, usize) {
    let publisher = Publisher::start(http, DEVICE, Clip::tiny_h264());
    let mut viewers = Viewers::default();
    viewers.join_connected(http, DEVICE, ViewerOptions::default());
    viewers.run_until(PATIENCE, "the control viewer sees a picture", |viewers| {
        viewers[0].first_picture.is_some()
    });
    viewers[0].pictures.clear();
    let (mut windows, mut gaps, mut end) = (Vec::new(), 0, Instant::now() + WINDOW);
    while !ending.load(Ordering::Relaxed) {
        viewers.turn();
        if Instant::now() >= end {
            end += WINDOW;
            let viewer = &mut viewers[0];
            windows.push(viewer.pictures.len());
            gaps += viewer
                .pictures
                .iter()
                .filter(|picture| !picture.contiguous)
                .count();
            viewer.pictures.clear();
            viewer.sounds.clear();
        }
        if let Some(why) = &viewers[0].closed {
            ledger.fault(format!("control viewer: closed: {why}"));
            break;
        }
    }
    viewers[0].leave();
    drop(publisher);
    (windows, gaps)
}

/// One speaks, both hear it, and the speaker is told that it is kept.
fn talk(
    http: SocketAddr,
    room: u64,
    ending: &AtomicBool,
    ledger: &Ledger,
    (heard, kept): &mut (Times, Times),
) -> Result<(), String> {
    let mut speaker = Talker::join(http, room, "control-speaker");
    let mut listener = Talker::join(http, room, "control-listener");
    let mut number = 0;
    while !ending.load(Ordering::Relaxed) {
        let begin = Instant::now();
        number += 1;
        let content = format!("control {number}");
        let message = json!({"type": "danmu", "content": content, "id": number}).to_string();
        speaker
            .socket
            .try_send(Message::text(message))
            .map_err(|error| error.to_string())?;
        listener.until(|frame| frame["content"] == *content)?;
        heard.push(begin.elapsed());
        let acknowledged = speaker.until(|frame| frame["type"] == "ack")?;
        kept.push(begin.elapsed());
        let seq = acknowledged["seq"].as_u64().unwrap_or_default();
        ledger.acknowledged((room, speaker.epoch, seq), content);
        while begin.elapsed() < TALK && !ending.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}

struct Talker {
    socket: Socket,
    epoch: u64,
    seq: u64,
}

impl Talker {
    fn join(http: SocketAddr, room: u64, user: &str) -> Self {
        let mut socket = Socket::open(http, &format!("/ws?room_id={room}&user_id={user}"));
        let hello = socket.expect("hello");
        Self {
            socket,
            epoch: hello["epoch"].as_u64().unwrap_or_default(),
            seq: hello["seq"].as_u64().unwrap_or_default(),
        }
    }

    /// Reads to the frame that is waited for. What is said comes in order and without a gap.
    fn until(&mut self, holds: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self
                .socket
                .next(deadline)
                .map_err(|error| error.to_string())?;
            let Message::Text(frame) = message.ok_or("not heard in time")? else {
                continue;
            };
            let frame: Value = serde_json::from_str(&frame).map_err(|error| error.to_string())?;
            match (frame["type"].as_str(), frame["seq"].as_u64()) {
                (Some("error" | "closing"), _) => return Err(frame.to_string()),
                (Some("ack"), _) | (_, None) => {}
                (_, Some(seq)) if seq == self.seq + 1 => self.seq = seq,
                (_, Some(_)) => return Err(format!("{} is followed by {frame}", self.seq)),
            }
            if holds(&frame) {
                return Ok(frame);
            }
        }
    }
}

/// Asks on one connection, as an orchestrator's would come at times.
fn probe(
    http: SocketAddr,
    ending: &AtomicBool,
    (live, ready): &mut (Times, Times),
) -> Result<(), String> {
    let mut connection = Connection::open(http);
    connection.deadline = PATIENCE;
    while !ending.load(Ordering::Relaxed) {
        for (target, times) in [("/health/live", &mut *live), ("/health/ready", &mut *ready)] {
            let begin = Instant::now();
            let asked = connection.send_request("GET", target, &[], b"");
            let response = asked.and_then(|()| connection.try_response(false));
            let response = response.map_err(|error| format!("{target}: {error}"))?;
            if response.status != 200 {
                return Err(format!("{target}: {} {}", response.status, response.text()));
            }
            times.push(begin.elapsed());
        }
        thread::sleep(PROBE);
    }
    Ok(())
}
