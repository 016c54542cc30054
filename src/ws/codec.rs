//! WebSocket frames (RFC 6455), decoded and encoded by tungstenite over memory.

use std::io::{self, Cursor, Read, Write};

use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, Utf8Bytes};

/// tungstenite's default of 128 KiB costs each new context 0.7 µs; it grows by itself.
const READ_BUFFER_BYTES: usize = 512;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Vec<u8>),
    /// A pong: the client is alive.
    Pong,
    /// The client closes; the answering close frame is in the output already.
    Closed,
}

/// A violation after which the connection closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// RFC 6455 §7.4.1.
    pub code: u16,
    /// For the close frame and the log.
    pub reason: &'static str,
}

/// One connection's framing state. Bytes come in by parameter and go out to a buffer.
///
/// It decodes whole frames alone, so that between messages there is no state: the decoder, which
/// would be most of what an idle connection costs, exists while messages are taken in, and beyond
/// that within a fragmented message (RFC 6455 §5.4).
#[derive(Debug)]
pub struct Codec {
    context: Option<Box<WebSocketContext>>,
    message_bytes: u32,
    /// A message has begun whose last fragment has not come.
    fragmented: bool,
    /// The close frame is sent: nothing may follow.
    closed: bool,
}

impl Codec {
    /// A server's end that takes messages of at most `message_bytes`.
    pub fn new(message_bytes: usize) -> Self {
        Self {
            context: None,
            message_bytes: u32::try_from(message_bytes).unwrap_or(u32::MAX),
            fragmented: false,
            closed: false,
        }
    }

    /// Another bound on messages holds, for one that has begun too.
    pub fn limit_messages(&mut self, message_bytes: usize) {
        self.message_bytes = u32::try_from(message_bytes).unwrap_or(u32::MAX);
        if let Some(context) = &mut self.context {
            context.set_config(|config| {
                config.max_message_size = Some(message_bytes);
                config.max_frame_size = Some(message_bytes);
            });
        }
    }

    /// Takes the next message out of `input`, which is advanced past whole frames. `None`: more
    /// bytes are needed, and those left in `input` come again with them. Pings are answered into
    /// `output`.
    pub fn receive(
        &mut self,
        input: &mut &[u8],
        output: &mut Vec<u8>,
    ) -> Result<Option<Received>, Violation> {
        while let Some(mut frame) = self.next_frame(input) {
            let context = self
                .context
                .get_or_insert_with(|| new_context(self.message_bytes as usize));
            let mut wire = Wire {
                input: &mut frame,
                output,
            };
            match context.read(&mut wire) {
                Ok(Message::Text(text)) => return Ok(Some(Received::Text(text))),
                Ok(Message::Binary(bytes)) => return Ok(Some(Received::Binary(bytes.into()))),
                Ok(Message::Pong(_)) => return Ok(Some(Received::Pong)),
                Ok(Message::Ping(_) | Message::Frame(_)) => {
                    // Flushing sends the pong.
                    let _ = context.flush(&mut wire);
                }
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    // Flushing sends the answer to the client's close frame.
                    let _ = context.flush(&mut wire);
                    self.closed = true;
                    return Ok(Some(Received::Closed));
                }
                // A fragment.
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(violation(&error)),
            }
        }
        if !self.fragmented {
            self.context = None;
        }
        Ok(None)
    }

    /// Cuts the first frame off the input, if all of it is there. What is none, or is too large,
    /// comes as it is: the decoder refuses it by what it has.
    fn next_frame<'a>(&mut self, input: &mut &'a [u8]) -> Option<&'a [u8]> {
        let mut cursor = Cursor::new(*input);
        let Ok(header) = FrameHeader::parse(&mut cursor) else {
            return Some(std::mem::take(input));
        };
        let (header, payload) = header?;
        let length = payload.checked_add(cursor.position());
        let (Some(length), true) = (length, payload <= u64::from(self.message_bytes)) else {
            return Some(std::mem::take(input));
        };
        let (frame, rest) = input.split_at_checked(usize::try_from(length).ok()?)?;
        *input = rest;
        if matches!(header.opcode, OpCode::Data(_)) {
            self.fragmented = !header.is_final;
        }
        Some(frame)
    }

    /// Appends a text message.
    pub fn send_text(&mut self, text: &str, output: &mut Vec<u8>) {
        self.send(OpCode::Data(Data::Text), text.as_bytes(), output);
    }

    /// Appends a ping.
    pub fn ping(&mut self, output: &mut Vec<u8>) {
        self.send(OpCode::Control(Control::Ping), &[], output);
    }

    /// Appends a close frame. Further messages are dropped.
    pub fn close(&mut self, code: u16, reason: &str, output: &mut Vec<u8>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        // Memory takes every byte.
        let _ = Frame::close(Some(frame)).format(output);
    }

    /// Sends nothing any more, not even a close frame.
    pub fn mute(&mut self) {
        self.closed = true;
    }

    fn send(&mut self, opcode: OpCode, payload: &[u8], output: &mut Vec<u8>) {
        if self.closed {
            return;
        }
        let header = FrameHeader {
            opcode,
            ..FrameHeader::default()
        };
        // Memory takes every byte.
        let _ = header.format(payload.len() as u64, output);
        output.extend_from_slice(payload);
    }
}

fn new_context(message_bytes: usize) -> Box<WebSocketContext> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes));
    Box::new(WebSocketContext::new(Role::Server, Some(config)))
}

fn violation(error: &Error) -> Violation {
    match error {
        Error::Capacity(_) => Violation {
            code: 1009,
            reason: "message too big",
        },
        Error::Utf8(_) => Violation {
            code: 1007,
            reason: "text is not UTF-8",
        },
        _ => Violation {
            code: 1002,
            reason: "protocol error",
        },
    }
}

/// The memory that stands for a socket.
struct Wire<'a, 'b> {
    input: &'a mut &'b [u8],
    output: &'a mut Vec<u8>,
}

impl Read for Wire<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.read(buffer)
    }
}

impl Write for Wire<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame: masked, as RFC 6455 §5.3 wants.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut bytes = vec![first];
        match payload.len() {
            n @ 0..126 => bytes.push(0x80 | n as u8),
            n => {
                bytes.push(0x80 | 126);
                bytes.extend((n as u16).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]));
        bytes
    }

    /// A connection's end of it: what was not used comes again.
    struct Peer {
        codec: Codec,
        waiting: Vec<u8>,
    }

    impl Peer {
        fn new(message_bytes: usize) -> Self {
            Self {
                codec: Codec::new(message_bytes),
                waiting: Vec::new(),
            }
        }

        fn take(&mut self, bytes: &[u8]) -> (Vec<Received>, Option<Violation>, Vec<u8>) {
            self.waiting.extend_from_slice(bytes);
            let (mut got, mut output) = (Vec::new(), Vec::new());
            let mut input = &self.waiting[..];
            let violation = loop {
                match self.codec.receive(&mut input, &mut output) {
                    Ok(Some(Received::Closed)) => {
                        got.push(Received::Closed);
                        break None;
                    }
                    Ok(Some(message)) => got.push(message),
                    Ok(None) => break None,
                    Err(violation) => break Some(violation),
                }
            };
            self.waiting = input.to_vec();
            (got, violation, output)
        }
    }

    #[test]
    fn any_split_gives_the_same_messages() {
        let bytes = [
            frame(0x81, b"one"),
            frame(0x01, b"tw"),
            frame(0x89, b"ping in between"),
            frame(0x80, b"o"),
            frame(0x82, &[7; 300]),
        ]
        .concat();
        let expected = [
            Received::Text("one".into()),
            Received::Text("two".into()),
            Received::Binary(vec![7; 300]),
        ];
        for cut in 0..bytes.len() {
            let mut peer = Peer::new(1 << 10);
            let (mut got, fault, mut output) = peer.take(&bytes[..cut]);
            assert_eq!(fault, None);
            let (rest, fault, more) = peer.take(&bytes[cut..]);
            assert_eq!(fault, None);
            assert!(peer.codec.context.is_none(), "nothing is held at rest");
            got.extend(rest);
            output.extend(more);
            assert_eq!(got, expected, "cut at {cut}");
            assert_eq!(
                output,
                [&[0x8a, 15], b"ping in between".as_slice()].concat()
            );
        }
    }

    #[test]
    fn violations_carry_their_close_code() {
        let code = |bytes: &[u8]| Peer::new(64).take(bytes).1.map(|v| v.code);
        assert_eq!(code(&frame(0x82, &[0; 65])), Some(1009));
        assert_eq!(code(&frame(0x81, &[0xff])), Some(1007));
        assert_eq!(code(&frame(0xc1, b"reserved bit")), Some(1002));
        assert_eq!(code(&frame(0x83, b"reserved opcode")), Some(1002));
        assert_eq!(code(&[0x81, 1, b'x']), Some(1002), "unmasked");
        assert_eq!(
            code(&frame(0x82, &[0; 300])[..8]),
            Some(1009),
            "by its head"
        );
        let fragments = [frame(0x01, &[b'x'; 60]), frame(0x80, &[b'x'; 60])].concat();
        assert_eq!(code(&fragments), Some(1009), "in fragments");
    }

    #[test]
    fn a_close_is_answered_and_ends_the_stream() {
        let (got, fault, output) = Peer::new(64).take(&frame(0x88, &1000u16.to_be_bytes()));
        assert_eq!((got, fault), (vec![Received::Closed], None));
        assert_eq!(output, [0x88, 2, 0x03, 0xe8]);
    }

    #[test]
    fn nothing_follows_a_close() {
        let (mut codec, mut output) = (Codec::new(64), Vec::new());
        codec.send_text("last", &mut output);
        codec.ping(&mut output);
        codec.close(1001, "bye", &mut output);
        codec.close(1002, "again", &mut output);
        codec.send_text("too late", &mut output);
        assert_eq!(output, b"\x81\x04last\x89\x00\x88\x05\x03\xe9bye");
    }
}
