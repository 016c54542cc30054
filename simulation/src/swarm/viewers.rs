//! Viewers over WebRTC, and sockets of viewers and agents.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::Message;

use super::asks::{Ask, Then};
use super::members::Opening;
use super::publishers::{PICTURE_BITS, Publication};
use super::world::World;
use crate::support::{annexb, media};
use crate::{Client, Socket, ViewerId};

/// Viewers that watch at once.
const WATCHERS: usize = 10;
/// Pictures from keyframe to keyframe, of both clips.
const KEYFRAME_INTERVAL: u64 = 30;
/// Sockets of viewers and agents that are open at once.
const SOCKETS: usize = 10;

/// A viewer, and what it saw.
pub(super) struct Watcher {
    pub(super) session: String,
    pub(super) device: String,
    pub(super) id: ViewerId,
    /// It has left, or its session has.
    pub(super) over: bool,
    /// An offer of the server's waits for its answer to be taken.
    negotiates: bool,
    pub(super) connected_at: Option<Instant>,
    /// The last picture of each publication.
    last: HashMap<usize, u64>,
    /// Frames looked at.
    pub(super) frames: u64,
}

/// A socket that is no room member's.
pub(super) struct Attached {
    socket: Socket,
    agent: bool,
    publication: usize,
    next_at: Instant,
    numbers: u64,
    /// When its token does.
    ends: Option<Instant>,
}

impl World {
    pub(super) fn watch(&mut self) {
        let watching = self.watchers.iter().filter(|it| !it.over).count();
        if watching < WATCHERS {
            let ask = self.ask_for_session(true);
            self.send_any(ask);
        }
    }

    /// A session was created: its viewer answers the offer.
    pub(super) fn begin_watching(&mut self, peer: usize, device: &str, created: &Value) {
        let session = created["sessionId"].as_str().expect("an id").to_owned();
        let offer = created["offer"]["sdp"].as_str().expect("an offer");
        let (id, answer) = self.sim.answer_offer(offer);
        self.sim.viewers[id.0].forgiving = true;
        self.note(&format!("session {session} of {device}"));
        self.watchers.push(Watcher {
            session,
            device: device.to_owned(),
            id,
            over: false,
            negotiates: true,
            connected_at: None,
            last: HashMap::new(),
            frames: 0,
        });
        self.send_answer(peer, self.watchers.len() - 1, &answer);
    }

    fn send_answer(&mut self, peer: usize, watcher: usize, answer: &Value) {
        let session = &self.watchers[watcher].session;
        let target = format!("/api/media/sessions/{session}/answer");
        // The session may be gone, or have a newer offer.
        let ask = Ask::new("POST", target, &[204, 404, 409]);
        self.send(peer, ask.body(answer).then(Then::Answered(watcher)));
    }

    pub(super) fn answer_taken(&mut self, watcher: usize, status: u16) {
        self.watchers[watcher].negotiates = false;
        if status == 404 {
            self.forget_watcher(watcher);
        }
    }

    fn some_watcher(&mut self) -> Option<usize> {
        let here: Vec<usize> = (0..self.watchers.len())
            .filter(|&at| !self.watchers[at].over)
            .collect();
        let at = self.pick(here.len())?;
        Some(here[at])
    }

    pub(super) fn restart_ice(&mut self) {
        let Some(watcher) = self.some_watcher() else {
            return;
        };
        let it = &mut self.watchers[watcher];
        if it.negotiates || it.connected_at.is_none() {
            return;
        }
        let Some(peer) = self.some_peer() else {
            return;
        };
        self.watchers[watcher].negotiates = true;
        let session = &self.watchers[watcher].session;
        let target = format!("/api/media/sessions/{session}/offer");
        let ask = Ask::new("POST", target, &[200, 404]).body(&json!({"iceRestart": true}));
        self.send(peer, ask.then(Then::Offered(watcher)));
    }

    pub(super) fn fresh_offer(&mut self, peer: usize, watcher: usize, offer: Option<&Value>) {
        let it = &mut self.watchers[watcher];
        let Some(offer) = offer.filter(|_| !it.over) else {
            it.negotiates = false;
            return;
        };
        let sdp = offer["offer"]["sdp"].as_str().or(offer["sdp"].as_str());
        let sdp = sdp.expect("an offer");
        let viewer = &mut self.sim.viewers[it.id.0];
        if !viewer.rtc.is_alive() {
            it.negotiates = false;
            return;
        }
        let sdp = viewer.answer(self.sim.now, sdp);
        self.send_answer(peer, watcher, &json!({"type": "answer", "sdp": sdp}));
    }

    /// Another address, as a NAT gives it that has forgotten the old one.
    pub(super) fn move_viewer(&mut self) {
        let Some(watcher) = self.some_watcher() else {
            return;
        };
        let id = self.watchers[watcher].id;
        let port = 2_000 + self.next_id as u16 % 8_000;
        self.next_id += 1;
        let address = SocketAddr::from(([198, 51, 100, 2], port));
        self.note(&format!("viewer {} moves to {address}", id.0));
        self.sim.viewers[id.0].move_to(address);
        self.clear_since = self.sim.now;
    }

    pub(super) fn control(&mut self) {
        let Some(watcher) = self.some_watcher() else {
            return;
        };
        let now = self.sim.now;
        let text = [
            r#"{"type":"control","seq":1,"action":"back"}"#,
            r#"{"type":"control","seq":2,"action":"touch","phase":"down","x":0.5,"y":0.5}"#,
            r#"{"type":"control","seq":3,"action":"touch","phase":"down","x":7,"y":0.5}"#,
            "nonsense",
        ][self.plan.draw(4)];
        let viewer = &mut self.sim.viewers[self.watchers[watcher].id.0];
        if viewer.channel.is_some() && viewer.rtc.is_alive() {
            viewer.send_text(now, text);
        }
    }

    pub(super) fn leave(&mut self) {
        let Some(watcher) = self.some_watcher() else {
            return;
        };
        let id = self.watchers[watcher].id;
        self.note(&format!("viewer {} leaves", id.0));
        let viewer = &mut self.sim.viewers[id.0];
        if viewer.channel.is_some() && viewer.rtc.is_alive() {
            viewer.close(self.sim.now);
        }
        self.watchers[watcher].over = true;
    }

    pub(super) fn delete(&mut self) {
        let Some(watcher) = self.some_watcher() else {
            return;
        };
        let target = format!("/api/media/sessions/{}", self.watchers[watcher].session);
        self.send_any(Ask::new("DELETE", target, &[204, 404]));
        self.watchers[watcher].over = true;
    }

    pub(super) fn vanish(&mut self) {
        if let Some(watcher) = self.some_watcher() {
            self.forget_watcher(watcher);
        }
    }

    /// It is not heard of any more.
    pub(super) fn forget_watcher(&mut self, watcher: usize) {
        let id = self.watchers[watcher].id;
        self.note(&format!("viewer {} is gone", id.0));
        self.watchers[watcher].over = true;
        self.sim.switch_off(id);
    }

    /// Looks at every frame that came.
    pub(super) fn poll_viewers(&mut self) {
        for watcher in &mut self.watchers {
            let viewer = &mut self.sim.viewers[watcher.id.0];
            if watcher.connected_at.is_none() && viewer.channel.is_some() {
                watcher.connected_at = Some(self.sim.now);
            }
            watcher.over |= viewer.closed;
            viewer.reports.clear();
            viewer.messages.clear();
            for frame in viewer.frames.drain(..) {
                watcher.frames += 1;
                self.counts.frames += 1;
                let device = &watcher.device;
                if !frame.codec.is_video() {
                    let sounds =
                        |it: &Publication| it.kind == media::Kind::Opus && it.device == *device;
                    let published = self.publications.iter().any(sounds);
                    assert!(published, "a sound of a device that has none");
                    assert!(self.clips.has_sound(&frame.data), "a sound is corrupt");
                    continue;
                }
                let Some(number) = frame.number else {
                    // A file that somebody sent whole.
                    continue;
                };
                let (publication, unit) = (
                    (number >> PICTURE_BITS) as usize,
                    u64::from(number & ((1 << PICTURE_BITS) - 1)),
                );
                let published = self.publications.get(publication);
                let published = published.expect("a picture that was published");
                assert_eq!(published.device, *device, "another device's picture");
                assert!(unit < published.sent, "a picture before it was sent");
                let sent = self.clips.marked(published.kind, publication, unit);
                let same = match published.kind {
                    media::Kind::H264 => annexb::slices(&sent) == annexb::slices(&frame.data),
                    media::Kind::Vp8 | media::Kind::Opus => sent == frame.data,
                };
                assert!(
                    same,
                    "picture {unit} of publication {publication} is corrupt"
                );
                // A viewer that lost its picture gets the group of pictures again, where the publisher
                // makes no new one.
                let follows = watcher
                    .last
                    .insert(publication, unit)
                    .is_none_or(|last| unit > last || unit.is_multiple_of(KEYFRAME_INTERVAL));
                assert!(follows, "picture {publication}/{unit} comes too late");
            }
        }
    }

    pub(super) fn open_agent(&mut self) {
        let device = self.device();
        let target = format!("/api/media/devices/{device}/ws");
        self.attach(target, Opening::Agent(device));
    }

    pub(super) fn open_viewer_socket(&mut self) {
        let target = match self.some_watcher() {
            Some(watcher) if self.plan.draw(2) == 0 => {
                let session = &self.watchers[watcher].session;
                format!("/api/media/ws?sessionId={session}")
            }
            _ => format!("/api/media/ws?deviceId={}", self.device()),
        };
        self.attach(target, Opening::Viewer);
    }

    fn attach(&mut self, target: String, opening: Opening) {
        if self.attached.len() < SOCKETS
            && let Some(peer) = self.connect()
        {
            let ask = Ask::upgrade(target, &[101, 404, 409], opening);
            self.send(peer, ask);
        }
    }

    /// The socket is open.
    pub(super) fn attached(&mut self, client: Client, agent: Option<&str>, ends: Option<Instant>) {
        let mut socket = Socket::new(client);
        let mut publication = 0;
        if let Some(device) = agent {
            let hello = json!({"type": "hello", "video": {"codec": "h264"}});
            socket.try_send(&mut self.sim, Message::text(hello.to_string()));
            publication = self.new_publication(device, media::Kind::H264);
        }
        self.attached.push(Attached {
            socket,
            agent: agent.is_some(),
            publication,
            next_at: self.sim.now,
            numbers: 0,
            ends,
        });
    }

    pub(super) fn speak(&mut self) {
        let Some(at) = self.pick(self.attached.len()) else {
            return;
        };
        let it = &mut self.attached[at];
        it.numbers += 1;
        let n = it.numbers;
        if self.plan.draw(16) == 0 {
            // No frame at all.
            return self.sim.send(it.socket.client, [0xff; 10]);
        }
        let message = match (it.agent, self.plan.draw(4)) {
            (true, 0) => json!({"type": "ack", "seq": n}).to_string(),
            (false, 0) => json!({"type": "offer"}).to_string(),
            (false, 1 | 2) => json!({"type": "control", "seq": n, "action": "home"}).to_string(),
            (true, _) => {
                // An agent that speaks sends a second of pictures.
                it.next_at = self.sim.now + Duration::from_secs(1);
                return;
            }
            (false, _) => "nonsense".to_owned(),
        };
        it.socket.try_send(&mut self.sim, Message::text(message));
    }

    pub(super) fn drop_socket(&mut self) {
        if let Some(at) = self.pick(self.attached.len()) {
            let it = self.attached.swap_remove(at);
            self.note(&format!("socket {:?} is gone", it.socket.client));
            self.cut(it.socket.client);
        }
    }

    pub(super) fn poll_attached(&mut self) {
        let mut at = 0;
        while at < self.attached.len() {
            let it = &mut self.attached[at];
            while it.socket.poll(&mut self.sim).is_some() {}
            if it.agent && self.sim.now < it.next_at {
                let publication = &mut self.publications[it.publication];
                let (number, unit) = (it.publication, publication.sent);
                let due = unit * 33 < (self.sim.now - self.sim.start).as_millis() as u64;
                if due && unit >> PICTURE_BITS == 0 {
                    let data = self.clips.marked(media::Kind::H264, number, unit);
                    let pts = (self.sim.now - self.sim.start).as_micros() as u64;
                    let message = [&[0][..], &pts.to_be_bytes(), &data].concat();
                    publication.sent += 1;
                    it.socket.try_send(&mut self.sim, Message::binary(message));
                }
            }
            let (client, ends) = (it.socket.client, it.ends);
            if self.sim.wire(client).server_done {
                let it = self.attached.swap_remove(at);
                let code = it.socket.code();
                self.note(&format!(
                    "socket {:?} is closed: {code:?}",
                    it.socket.client
                ));
                self.leave_quietly(it.socket.client);
            } else {
                let late = self.outlives_its_token(ends);
                assert!(!late, "socket {client:?} is there without a token");
                at += 1;
            }
        }
    }

    pub(super) fn lose_viewers(&mut self) {
        for watcher in 0..self.watchers.len() {
            if !self.watchers[watcher].over {
                self.forget_watcher(watcher);
            }
        }
        self.attached.clear();
    }
}
