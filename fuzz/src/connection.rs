//! The whole surface of HTTP and WebSockets: connections of one shard.

use std::time::Duration;

use super::escapes::{Action, Item, Snippet, items};
use super::media::answer_to;
use super::responses;
use super::tokens::bearer;
use super::world::{Client, HOST, ROOM, UPGRADE, World};
use media_service::auth::Role;

/// Waits of one input that take time; a timeout of everything takes six.
const WAITS: usize = 60;
/// Bytes that snippets may add to an input: enough to meet every cap on bodies and messages.
const INSERTED_BYTES: usize = 4 << 20;
/// Pictures to publish.
static VIDEO: &[u8] = include_bytes!("../../rtc/tests/data/tiny_flat.h264");

/// What several clients do, one after the other, see [`items`]. First byte: whether the server asks
/// for tokens.
pub fn connection(data: &[u8]) {
    let Some((&guarded, script)) = data.split_first() else {
        return;
    };
    let world = if guarded % 2 == 0 {
        World::new()
    } else {
        World::guarded()
    };
    let mut play = Play {
        world,
        clients: Vec::new(),
        current: 0,
        blocked: false,
        frame: None,
        inserted: 0,
        waits: 0,
    };
    play.switch(0);
    for item in items(script) {
        match item {
            Item::Bytes(bytes) => play.bytes(bytes),
            Item::Do(Action::Insert(snippet)) => play.insert(snippet),
            Item::Do(action) => {
                play.end_frame();
                play.act(action);
            }
        }
    }
    play.end();
}

struct Play {
    world: World,
    clients: Vec<Client>,
    current: usize,
    /// Some client did not take all that it was sent.
    blocked: bool,
    /// The first byte and the payload of the frame that is being written.
    frame: Option<(u8, Vec<u8>)>,
    inserted: usize,
    waits: usize,
}

impl Play {
    fn client(&self) -> Client {
        self.clients[self.current]
    }

    fn switch(&mut self, index: usize) {
        while self.clients.len() <= index {
            self.clients.push(self.world.connect());
        }
        self.current = index;
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let client = self.client();
        match &mut self.frame {
            Some((_, payload)) => payload.extend_from_slice(bytes),
            None => self.world.send(client, bytes),
        }
    }

    /// Sends the frame that is complete now, masked (RFC 6455 §5.3), by a mask that changes nothing.
    fn end_frame(&mut self) {
        let Some((first, payload)) = self.frame.take() else {
            return;
        };
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..0x1_0000 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.world.send(self.client(), &frame);
    }

    fn act(&mut self, action: Action) {
        let client = self.client();
        match action {
            Action::Wait(time) => {
                self.waits += 1;
                // A turn first, so that what was sent is read before the time passes.
                self.world.turn();
                if self.waits <= WAITS {
                    self.world.after(time);
                }
            }
            Action::Client(index) => self.switch(index),
            Action::End => self.world.end(client),
            Action::Reset => self.world.reset(client),
            Action::Block(blocked) => {
                self.blocked = true;
                self.world.block(client, blocked);
            }
            Action::Drain => self.world.drain(),
            Action::Frame(first) => self.frame = Some((first, Vec::new())),
            Action::Insert(snippet) => self.insert(snippet),
        }
    }

    fn insert(&mut self, snippet: Snippet) {
        let bytes = match snippet {
            Snippet::Upgrade => UPGRADE.as_bytes().to_vec(),
            Snippet::Host => format!("Host: {HOST}\r\n").into_bytes(),
            Snippet::Session => self.last_after("\"sessionId\":\"", "\"").into_bytes(),
            Snippet::Room => ROOM.to_string().into_bytes(),
            Snippet::Viewer => bearer(Role::Viewer).into_bytes(),
            Snippet::Admin => bearer(Role::Admin).into_bytes(),
            Snippet::Answer => {
                let offer = self
                    .last_after("\"sdp\":\"", "\"")
                    .replace("\\r\\n", "\r\n");
                answer_to(&offer).replace("\r\n", "\\r\\n").into_bytes()
            }
            Snippet::Video => VIDEO.to_vec(),
        };
        self.inserted += bytes.len();
        if self.inserted <= INSERTED_BYTES {
            self.bytes(&bytes);
        }
    }

    /// What the server said last between these two, to anybody.
    fn last_after(&mut self, before: &str, behind: &str) -> String {
        self.world.turn();
        let said = |client: &Client| {
            let output = String::from_utf8_lossy(self.world.output(*client));
            let (_, rest) = output.rsplit_once(before)?;
            Some(rest.split_once(behind)?.0.to_owned())
        };
        self.clients.iter().rev().find_map(said).unwrap_or_default()
    }

    fn end(mut self) {
        self.end_frame();
        self.world.settle();
        // Patience of heads and bodies, of lingering, of WebSockets that are pinged.
        for seconds in [1, 11, 31, 61] {
            self.world.after(Duration::from_secs(seconds));
        }
        for &client in &self.clients {
            let (read, output) = (self.world.read(client), self.world.output(client));
            responses::check(read, output, !self.blocked);
        }
        self.world.finish();
    }
}
