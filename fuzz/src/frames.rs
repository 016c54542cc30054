//! WebSocket frames.

use media_service::ws::{Codec, Received, Violation};

use super::pieces::pieces;
use super::world::World;

/// Bytes of the largest frame head (RFC 6455 §5.2), without the mask.
const HEAD_BYTES: usize = 10;
/// Bytes of a control frame's payload at most (RFC 6455 §5.5).
const CONTROL_BYTES: usize = 125;

/// A client's frames. First byte: how large messages may be, and whether they go to a room's member
/// instead of the codec alone; second byte: how the rest is cut.
pub fn ws_frames(data: &[u8]) {
    let Some((&[mode, seed], bytes)) = data.split_first_chunk() else {
        return;
    };
    if mode & 0x80 != 0 {
        return to_a_member(bytes, seed);
    }
    let limit = [64, 1 << 10, 512 << 10][usize::from(mode) % 3];
    let whole = decode(limit, [bytes]);
    assert_eq!(decode(limit, pieces(bytes, seed)), whole);
    for message in &whole.messages {
        match message {
            Received::Text(text) => assert!(text.len() <= limit),
            Received::Binary(bytes) => assert!(bytes.len() <= limit),
            Received::Pong | Received::Closed => {}
        }
    }
    // Each byte of a pong was one of a ping; a bad close frame is answered once with what is bad.
    assert!(whole.output.len() <= bytes.len() + 2 + CONTROL_BYTES);
    let frames = server_frames(&whole.output, true);
    assert!(frames.iter().all(|frame| matches!(frame.opcode, 0x8 | 0xa)));
    assert!(
        frames
            .iter()
            .all(|frame| frame.payload.len() <= CONTROL_BYTES)
    );
}

/// What came of a client's bytes.
#[derive(Debug, PartialEq)]
struct Decoded {
    messages: Vec<Received>,
    violation: Option<Violation>,
    /// Pongs, and the answer to a close frame.
    output: Vec<u8>,
}

fn decode<'a>(limit: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut codec = Codec::new(limit);
    let mut waiting = Vec::new();
    let mut decoded = Decoded {
        messages: Vec::new(),
        violation: None,
        output: Vec::new(),
    };
    for piece in pieces {
        waiting.extend_from_slice(piece);
        let mut input = &waiting[..];
        loop {
            match codec.receive(&mut input, &mut decoded.output) {
                Ok(None) => break,
                Ok(Some(message)) => {
                    let closed = message == Received::Closed;
                    decoded.messages.push(message);
                    if closed {
                        return decoded;
                    }
                }
                Err(violation) => {
                    assert!(matches!(violation.code, 1002 | 1007 | 1009));
                    decoded.violation = Some(violation);
                    return decoded;
                }
            }
        }
        waiting = input.to_vec();
        assert!(
            waiting.len() < limit + HEAD_BYTES + 4,
            "{} B wait",
            waiting.len()
        );
    }
    decoded
}

/// The same bytes to a member's socket: whatever comes, the server answers with whole frames, and
/// nobody else in the room hears anything but numbered messages.
fn to_a_member(bytes: &[u8], seed: u8) {
    let mut world = World::new();
    let (ann, bob) = (world.member("ann"), world.member("bob"));
    for piece in pieces(bytes, seed) {
        world.send(ann, piece);
        world.turn();
    }
    world.settle();
    for client in [ann, bob] {
        let frames = server_frames(world.output(client), true);
        for frame in frames.iter().filter(|frame| frame.opcode == 1) {
            let text = std::str::from_utf8(frame.payload).expect("text is UTF-8");
            serde_json::from_str::<serde_json::Value>(text).expect("objects are JSON");
        }
    }
    world.finish();
}

/// A frame of the server.
#[derive(Debug)]
pub struct Frame<'a> {
    /// RFC 6455 §5.2.
    pub opcode: u8,
    /// As it was sent: servers do not mask.
    pub payload: &'a [u8],
}

/// Takes a server's output apart, which must be frames as RFC 6455 has them: final, unmasked, with
/// the shortest head. `whole`: the last one is complete.
pub fn server_frames(mut bytes: &[u8], whole: bool) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert_eq!(first & 0xf0, 0x80, "a final frame without extensions");
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (length, rest) = match second {
            127 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => break,
            },
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => break,
            },
            length => (u64::from(*length), rest),
        };
        let shortest = match second {
            127 => length > 0xffff,
            126 => length > 125,
            _ => true,
        };
        assert!(shortest, "{length} in a longer head than it needs");
        let Some((payload, rest)) = rest.split_at_checked(length as usize) else {
            break;
        };
        let opcode = first & 0x0f;
        assert!(matches!(opcode, 1 | 2 | 8 | 9 | 10), "opcode {opcode}");
        frames.push(Frame { opcode, payload });
        bytes = rest;
    }
    assert!(!whole || bytes.is_empty(), "half a frame: {bytes:?}");
    frames
}
