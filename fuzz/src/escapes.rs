//! What an input of the target `connection` says beside plain bytes.
//!
//! The bytes of an input go to the server as they are, but for `0xfe`, which begins an escape of two
//! bytes. So a mutation anywhere leaves the rest what it was.

use std::time::Duration;

/// Begins an escape; twice: itself.
const ESCAPE: u8 = 0xfe;

/// What follows in an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// Bytes to send.
    Bytes(&'a [u8]),
    /// Something else.
    Do(Action),
}

/// What a client or its world does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Time passes, and what was sent is read.
    Wait(Duration),
    /// Another client goes on.
    Client(usize),
    /// The client sends no more.
    End,
    /// The client breaks the connection.
    Reset,
    /// The client takes no more bytes, or does again.
    Block(bool),
    /// The server shuts down.
    Drain,
    /// The bytes up to the next escape are the payload of a frame with this first byte.
    Frame(u8),
    /// Something that an input could not know or would hardly find.
    Insert(Snippet),
}

/// Text that stands for itself in few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snippet {
    /// The headers of a WebSocket's handshake.
    Upgrade,
    /// The `Host` header.
    Host,
    /// The last session's id that the server has told anybody.
    Session,
    /// The live room's id.
    Room,
    /// The `Authorization` header of a viewer.
    Viewer,
    /// The same of an admin.
    Admin,
    /// A viewer's answer to the last offer, as JSON string without its quotes.
    Answer,
    /// H.264 of some pictures.
    Video,
}

const MS: u64 = 1;
const SECOND: u64 = 1_000 * MS;

fn action(code: u8) -> Option<Action> {
    let wait = |ms| Action::Wait(Duration::from_millis(ms));
    Some(match code {
        0 => wait(5 * MS),
        1 => wait(100 * MS),
        2 => wait(SECOND),
        3 => wait(11 * SECOND),
        4 => wait(61 * SECOND),
        5 => wait(301 * SECOND),
        6..=9 => Action::Client(usize::from(code - 6)),
        10 => Action::End,
        11 => Action::Reset,
        12 => Action::Block(true),
        13 => Action::Block(false),
        14 => Action::Drain,
        // RFC 6455 §5.2: text, binary, ping, pong, close, a first and a last fragment.
        15 => Action::Frame(0x81),
        16 => Action::Frame(0x82),
        17 => Action::Frame(0x89),
        18 => Action::Frame(0x8a),
        19 => Action::Frame(0x88),
        20 => Action::Frame(0x01),
        21 => Action::Frame(0x80),
        22 => Action::Insert(Snippet::Upgrade),
        23 => Action::Insert(Snippet::Host),
        24 => Action::Insert(Snippet::Session),
        25 => Action::Insert(Snippet::Room),
        26 => Action::Insert(Snippet::Viewer),
        27 => Action::Insert(Snippet::Admin),
        28 => Action::Insert(Snippet::Answer),
        29 => Action::Insert(Snippet::Video),
        _ => return None,
    })
}

/// Takes an input apart. Escapes that are none are left out.
pub fn items(mut input: &[u8]) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    loop {
        let plain = input.iter().position(|&byte| byte == ESCAPE);
        let (bytes, rest) = input.split_at(plain.unwrap_or(input.len()));
        if !bytes.is_empty() {
            items.push(Item::Bytes(bytes));
        }
        let [_, code, rest @ ..] = rest else {
            return items;
        };
        match *code {
            ESCAPE => items.push(Item::Bytes(&[ESCAPE])),
            code => items.extend(action(code).map(Item::Do)),
        }
        input = rest;
    }
}
