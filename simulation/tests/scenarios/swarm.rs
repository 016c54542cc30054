//! Many clients that do anything at any time, over shards that do not always keep up. Whatever they
//! did, the server stands, and when they have gone nothing is left of them.

use std::time::Duration;

use serde_json::json;
use tungstenite::Message;

use simulation::support::http::{LAST_CHUNK, chunk};
use simulation::support::media::{Clip, read};
use simulation::{Client, Side, Sim, Socket, head, request};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const SHARDS: usize = 3;
const DEVICES: usize = 12;
const ACTIONS: usize = 400;
const MAILBOX: usize = 4096;

#[derive(Default)]
struct Swarm {
    clients: Vec<Client>,
    /// With the number of the next picture.
    publishers: Vec<(Client, u64)>,
    sockets: Vec<Socket>,
    sessions: Vec<String>,
}

fn pick<'a, T>(sim: &mut Sim, from: &'a [T]) -> Option<&'a T> {
    match from.len() {
        0 => None,
        n => from.get(sim.draw(n)),
    }
}

impl Swarm {
    fn act(&mut self, sim: &mut Sim, clip: &Clip, mp4: &[u8]) {
        let device = format!("cam-{}", sim.draw(DEVICES));
        match sim.draw(24) {
            0..4 => {
                let shard = sim.draw(SHARDS);
                self.clients.extend(sim.try_connect(shard));
            }
            4..8 => self.ask(sim, &device),
            8 => self.publish(sim, &device),
            9..13 => self.send_piece(sim, clip, mp4),
            13 => self.open(sim, &device),
            14 => self.speak(sim, clip),
            15 => self.collect(sim),
            // A shard or a mailbox is in trouble for a while, and what happens meanwhile waits.
            16 => {
                let shard = sim.draw(SHARDS);
                sim.stuck[shard] = true;
                self.ask(sim, &device);
                self.send_piece(sim, clip, mp4);
                let time = sim.draw(200) as u32 * MS;
                sim.run_for(time);
                sim.stuck[shard] = false;
            }
            17 => {
                let shard = sim.draw(SHARDS);
                sim.mailboxes[shard].capacity = sim.draw(2);
                sim.mailboxes[shard].delay = sim.draw(100) as u32 * MS;
                self.ask(sim, &device);
                self.publish(sim, &device);
                sim.run_for(50 * MS);
                sim.mailboxes[shard].capacity = MAILBOX;
            }
            18 => sim.side = [Side::Works, Side::Works, Side::Full, Side::Silent][sim.draw(4)],
            19 => self.go(sim),
            20 => {
                if let Some(&client) = pick(sim, &self.clients) {
                    sim.wire(client).window = [0, 100, usize::MAX][sim.draw(3)];
                }
            }
            21 => {
                if sim.draw(40) == 0 {
                    sim.run_for(100 * SECOND);
                }
            }
            _ => {
                let time = sim.draw(300) as u32 * MS;
                sim.run_for(time);
            }
        }
    }

    fn ask(&mut self, sim: &mut Sim, device: &str) {
        let Some(&client) = pick(sim, &self.clients) else {
            return;
        };
        let session = pick(sim, &self.sessions).cloned().unwrap_or_default();
        let session = format!("/api/media/sessions/{session}");
        let body = json!({"deviceId": device, "userId": "ada"}).to_string();
        let get = |target: &str| request("GET", target, &[], b"");
        let bytes = match sim.draw(9) {
            0..3 => request("POST", "/api/media/sessions", &[], body.as_bytes()),
            3 => get(&session),
            4 => get("/api/media/sessions"),
            5 => get("/metrics"),
            6 => request("DELETE", &session, &[], b""),
            7 => request("POST", &format!("{session}/offer"), &[], b""),
            _ => get(&format!("/api/media/devices/{device}")),
        };
        sim.send(client, bytes);
    }

    fn publish(&mut self, sim: &mut Sim, device: &str) {
        let shard = sim.draw(SHARDS);
        let Some(client) = sim.try_connect(shard) else {
            return;
        };
        let query = ["", "?takeover=true", "?fps=30", "?fps=30&takeover=true"][sim.draw(4)];
        let target = format!("/api/media/devices/{device}/video{query}");
        let headers = [
            ("Content-Type", "video/h264"),
            ("Transfer-Encoding", "chunked"),
        ];
        sim.send(client, head("PUT", &target, &headers));
        self.publishers.push((client, 0));
    }

    fn send_piece(&mut self, sim: &mut Sim, clip: &Clip, mp4: &[u8]) {
        if self.publishers.is_empty() {
            return;
        }
        let index = sim.draw(self.publishers.len());
        let (client, next) = &mut self.publishers[index];
        let client = *client;
        match sim.draw(24) {
            0 => {
                // With a request behind the body.
                sim.send(client, LAST_CHUNK);
                sim.send(client, request("GET", "/api/media/devices", &[], b""));
            }
            1 => sim.send(client, chunk(mp4)),
            2 => sim.send(client, "GET /hea"),
            _ => {
                for _ in 0..10 {
                    sim.send(client, chunk(&clip.unit(*next)));
                    *next += 1;
                }
            }
        }
    }

    fn open(&mut self, sim: &mut Sim, device: &str) {
        let session = pick(sim, &self.sessions).cloned().unwrap_or_default();
        let target = match sim.draw(3) {
            0 => format!("/api/media/devices/{device}/ws"),
            1 => format!("/api/media/ws?deviceId={device}"),
            _ => format!("/api/media/ws?sessionId={session}"),
        };
        let shard = sim.draw(SHARDS);
        if let Ok(mut socket) = sim.try_open(shard, &target, &[]) {
            socket.send(sim, &json!({"type": "hello", "video": {"codec": "h264"}}));
            self.sockets.push(socket);
        }
    }

    fn speak(&mut self, sim: &mut Sim, clip: &Clip) {
        if self.sockets.is_empty() {
            return;
        }
        let index = sim.draw(self.sockets.len());
        let socket = &mut self.sockets[index];
        if sim.wire(socket.client).server_done {
            return;
        }
        match sim.draw(6) {
            0 => socket.send(sim, &json!({"type": "control", "seq": 1, "action": "back"})),
            1 => socket.send(sim, &json!({"type": "ack", "seq": 1})),
            2 => socket.send_media(sim, 0, 33_333, &clip.unit(0)),
            3 => socket.send_message(sim, Message::text("nonsense")),
            4 => sim.send(socket.client, [0xff; 10]),
            _ => while socket.poll(sim).is_some() {},
        }
    }

    /// Reads answers; the ids of new sessions are remembered.
    fn collect(&mut self, sim: &mut Sim) {
        for &client in &self.clients {
            while let Some(response) = sim.poll_response(client, false) {
                let known = self.sessions.len() < 50;
                if response.status == 201 && known {
                    let id = response.json()["sessionId"].as_str().unwrap().to_owned();
                    self.sessions.push(id);
                }
            }
        }
    }

    fn go(&mut self, sim: &mut Sim) {
        if sim.draw(2) == 0 && !self.sockets.is_empty() {
            let index = sim.draw(self.sockets.len());
            self.sockets.swap_remove(index).vanish(sim);
            return;
        }
        let client = match sim.draw(2) {
            0 if !self.clients.is_empty() => {
                let index = sim.draw(self.clients.len());
                self.clients.swap_remove(index)
            }
            _ if !self.publishers.is_empty() => {
                let index = sim.draw(self.publishers.len());
                self.publishers.swap_remove(index).0
            }
            _ => return,
        };
        match sim.draw(3) {
            0 => sim.wire(client).reset = true,
            1 => sim.wire(client).client_done = true,
            _ => {} // It stays and says nothing.
        }
    }
}

#[test]
fn nothing_is_left_of_a_swarm() {
    let (clip, mp4) = (Clip::tiny_h264(), read("tests/data/not_annexb.mp4"));
    for seed in 0..6 {
        let mut sim = Sim::new(SHARDS, seed);
        sim.read_bytes = 1 + sim.draw(5_000);
        let mut swarm = Swarm::default();
        for _ in 0..ACTIONS {
            swarm.act(&mut sim, &clip, &mp4);
        }
        sim.side = Side::Works;
        for mailbox in &mut sim.mailboxes {
            mailbox.delay = Duration::ZERO;
        }
        // Whoever is still there falls silent, and is waited for no longer than it may be.
        sim.run_for(900 * SECOND);
        sim.assert_nothing_left();
    }
}
