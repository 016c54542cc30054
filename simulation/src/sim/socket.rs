//! WebSocket clients.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::Value;
use tungstenite::protocol::{Role, WebSocketContext};
use tungstenite::{Error, Message};

use super::{Client, Sim};
use crate::support::http::Response;

/// A message takes no longer, whatever the mailboxes do.
const SOON: Duration = Duration::from_secs(5);
/// A handshake's headers.
pub const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// A client's end of a WebSocket. It answers pings whenever it reads.
pub struct Socket {
    pub client: Client,
    context: WebSocketContext,
    /// The server's close code.
    code: Option<u16>,
}

impl Sim {
    /// A WebSocket that the server accepts.
    #[track_caller]
    pub fn open(&mut self, shard: usize, target: &str) -> Socket {
        match self.try_open(shard, target, &[]) {
            Ok(socket) => socket,
            Err(response) => panic!("{target}: {} {}", response.status, response.text()),
        }
    }

    /// A WebSocket, or the server's answer where it is not 101.
    #[track_caller]
    pub fn try_open(
        &mut self,
        shard: usize,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Socket, Response> {
        let client = self.connect(shard);
        self.upgrade(client, target, headers)
    }

    /// The same over a connection that there is.
    #[track_caller]
    pub fn upgrade(
        &mut self,
        client: Client,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Socket, Response> {
        let headers = [&UPGRADE, headers].concat();
        let response = self.request(client, "GET", target, &headers, b"");
        if response.status != 101 {
            return Err(response);
        }
        assert_eq!(
            response.header("Sec-WebSocket-Accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "RFC 6455 §1.3"
        );
        Ok(Socket::new(client))
    }
}

impl Socket {
    /// Over a connection that the server has upgraded.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            context: WebSocketContext::new(Role::Client, None),
            code: None,
        }
    }

    /// The server's close code, once it came.
    pub fn code(&self) -> Option<u16> {
        self.code
    }

    /// Sends, unless the server has closed: whether it could.
    pub fn try_send(&mut self, sim: &mut Sim, message: Message) -> bool {
        let mut wire = sim.wire(self.client);
        self.context
            .write(&mut wire, message)
            .and_then(|()| self.context.flush(&mut wire))
            .is_ok()
    }

    pub fn send(&mut self, sim: &mut Sim, message: &Value) {
        self.send_message(sim, Message::text(message.to_string()));
    }

    pub fn send_message(&mut self, sim: &mut Sim, message: Message) {
        let mut wire = sim.wire(self.client);
        self.context
            .write(&mut wire, message)
            .and_then(|()| self.context.flush(&mut wire))
            .expect("the server reads");
    }

    /// One access unit of an agent: track (0 video, 1 audio), time in µs, data.
    pub fn send_media(&mut self, sim: &mut Sim, track: u8, pts: u64, data: &[u8]) {
        let message = [&[track][..], &pts.to_be_bytes(), data].concat();
        self.send_message(sim, Message::binary(message));
    }

    /// The next message that is there.
    pub fn poll(&mut self, sim: &mut Sim) -> Option<Value> {
        let mut wire = sim.wire(self.client);
        loop {
            match self.context.read(&mut wire) {
                Ok(Message::Text(text)) => {
                    return Some(serde_json::from_str(&text).expect("an object"));
                }
                Ok(Message::Close(frame)) => self.code = frame.map(|frame| frame.code.into()),
                Ok(_) => {}
                Err(Error::Io(fault)) => {
                    // The latter: its answer to a close frame finds the connection closed.
                    let expected = [ErrorKind::WouldBlock, ErrorKind::BrokenPipe];
                    assert!(expected.contains(&fault.kind()), "{fault}");
                    return None;
                }
                Err(_) => return None,
            }
        }
    }

    /// The next message of this `type`; others are skipped.
    #[track_caller]
    pub fn expect(&mut self, sim: &mut Sim, kind: &str) -> Value {
        self.expect_within(sim, SOON, kind)
    }

    /// The same, for one that takes longer by design.
    #[track_caller]
    pub fn expect_within(&mut self, sim: &mut Sim, limit: Duration, kind: &str) -> Value {
        let mut found = None;
        sim.run_until(limit, kind, |sim| {
            while let Some(message) = self.poll(sim) {
                if message["type"] == kind {
                    found = Some(message);
                    return true;
                }
            }
            false
        });
        found.expect("there is one")
    }

    /// Runs on, reading; the messages that came.
    pub fn listen(&mut self, sim: &mut Sim, duration: Duration) -> Vec<Value> {
        let end = sim.now + duration;
        let mut messages = Vec::new();
        while sim.now < end {
            sim.step();
            messages.extend(std::iter::from_fn(|| self.poll(sim)));
        }
        messages
    }

    /// Reads on until the server has closed: its close code, if it gave one.
    #[track_caller]
    pub fn closed(&mut self, sim: &mut Sim) -> Option<u16> {
        self.closed_within(sim, SOON)
    }

    /// The same, for one that takes longer by design.
    #[track_caller]
    pub fn closed_within(&mut self, sim: &mut Sim, limit: Duration) -> Option<u16> {
        sim.run_until(limit, "the server closes the socket", |sim| {
            while self.poll(sim).is_some() {}
            sim.wire(self.client).server_done
        });
        while self.poll(sim).is_some() {}
        self.code
    }

    /// Ends without a word, as a phone does that loses its network.
    pub fn vanish(self, sim: &mut Sim) {
        sim.wire(self.client).reset = true;
    }
}
