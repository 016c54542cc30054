//! The client's side of RFC 6455 and of the rooms' JSON, as little as a load generator needs: frames are counted by their
//! headers, and two numbers are picked out of a message without parsing it.

use memchr::memmem;

pub(super) const TEXT: u8 = 0x1;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;

/// FIN, for whatever we send is one frame.
const FIN: u8 = 0x80;
/// MASK, as a client must.
const MASK: u8 = 0x80;
/// The masking key guards proxies from scripts (RFC 6455 §10.3); here are neither.
const MASKING_KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Hexadecimal digits of a message's time of sending.
pub(super) const STAMP_DIGITS: usize = 16;

/// A frame of the server, which does not mask.
pub(super) struct Frame<'a> {
    pub(super) opcode: u8,
    pub(super) payload: &'a [u8],
    /// Bytes of the frame, its header included.
    pub(super) length: usize,
}

impl<'a> Frame<'a> {
    /// The frame at the front of `bytes`; `None` while it is not complete.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (header, length) = match second & 0x7f {
            126 => (
                4,
                usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
            ),
            127 => (
                10,
                u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize,
            ),
            length => (2, usize::from(length)),
        };
        let end = length.checked_add(header).expect("no frame is that long");
        Some(Self {
            opcode: first & 0x0f,
            payload: bytes.get(header..end)?,
            length: end,
        })
    }
}

/// Appends a frame of the client.
pub(super) fn append(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(FIN | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(MASK | length as u8),
        length => {
            out.push(MASK | 126);
            let length = u16::try_from(length).expect("our messages are short");
            out.extend(length.to_be_bytes());
        }
    }
    out.extend(MASKING_KEY);
    out.extend(
        payload
            .iter()
            .zip(MASKING_KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
}

/// What a text of the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of our messages: a delivery.
    Message,
    /// The first text on a connection, with the room's last `seq`.
    Hello,
    Ack,
    Presence,
    Error,
    Other,
}

impl Kind {
    pub(super) fn of(text: &[u8]) -> Self {
        let Some(rest) = text.strip_prefix(b"{\"type\":\"") else {
            return Self::Other;
        };
        match rest {
            _ if rest.starts_with(b"danmu\"") => Self::Message,
            _ if rest.starts_with(b"ack\"") => Self::Ack,
            _ if rest.starts_with(b"presence\"") => Self::Presence,
            _ if rest.starts_with(b"hello\"") => Self::Hello,
            _ if rest.starts_with(b"error\"") => Self::Error,
            _ => Self::Other,
        }
    }
}

/// Writes one message: its time of sending, filled up by `padding` bytes, and an `id` where it is to be acknowledged.
pub(super) fn message(out: &mut String, stamp: u64, padding: usize, id: Option<u64>) {
    use std::fmt::Write;
    out.clear();
    let written = write!(
        out,
        "{{\"type\":\"danmu\",\"content\":\"{stamp:016x}{:.<padding$}\"",
        ""
    );
    written.expect("a String takes everything");
    if let Some(id) = id {
        write!(out, ",\"id\":{id}").expect("a String takes everything");
    }
    out.push('}');
}

/// The time of sending that [`message`] wrote, from whatever the server made of it.
pub(super) fn stamp(text: &[u8]) -> Option<u64> {
    const BEFORE: &[u8] = b"\"content\":\"";
    let from = memmem::find(text, BEFORE)? + BEFORE.len();
    let digits = text.get(from..from + STAMP_DIGITS)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The `seq` that ends a text of the server.
pub(super) fn seq(text: &[u8]) -> Option<u64> {
    let text = text.strip_suffix(b"}")?;
    let digits = text
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (before, digits) = text.split_at(text.len() - digits);
    before.strip_suffix(b"\"seq\":")?;
    number(digits)
}

/// The `id` of an acknowledgement.
pub(super) fn id(text: &[u8]) -> Option<u64> {
    const BEFORE: &[u8] = b"\"id\":";
    let rest = &text[memmem::find(text, BEFORE)? + BEFORE.len()..];
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    number(&rest[..end])
}

fn number(digits: &[u8]) -> Option<u64> {
    let step = |value: u64, digit: &u8| value.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, step))?
}
