//! WebSocket frames (RFC 6455), decoded and encoded by tungstenite over memory.

use std::io::{self, Read, Write};

use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

/// tungstenite's default of 128 KiB per connection would be the largest part of an idle one.
const READ_BUFFER_BYTES: usize = 512;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A text message.
    Text(String),
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
#[derive(Debug)]
pub struct Codec {
    context: Box<WebSocketContext>,
}

impl Codec {
    /// A server's end that takes messages of at most `message_bytes`.
    pub fn new(message_bytes: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(message_bytes))
            .max_frame_size(Some(message_bytes));
        Self {
            context: Box::new(WebSocketContext::new(Role::Server, Some(config))),
        }
    }

    /// Takes the next message out of `input`, which is advanced. `None`: more bytes are needed.
    /// Pings are answered into `output`.
    pub fn receive(
        &mut self,
        input: &mut &[u8],
        output: &mut Vec<u8>,
    ) -> Result<Option<Received>, Violation> {
        loop {
            match self.context.read(&mut Wire { input, output }) {
                Ok(Message::Text(text)) => {
                    return Ok(Some(Received::Text(text.as_str().to_owned())));
                }
                Ok(Message::Binary(bytes)) => return Ok(Some(Received::Binary(bytes.into()))),
                Ok(Message::Pong(_)) => return Ok(Some(Received::Pong)),
                Ok(Message::Ping(_) | Message::Frame(_)) => {}
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    // Flushing sends the answer to the client's close frame.
                    let _ = self.context.flush(&mut Wire { input, output });
                    return Ok(Some(Received::Closed));
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(None);
                }
                Err(error) => return Err(violation(&error)),
            }
        }
    }

    /// Appends a text message.
    pub fn send_text(&mut self, text: &str, output: &mut Vec<u8>) {
        self.send(Message::text(text), output);
    }

    /// Appends a ping.
    pub fn ping(&mut self, output: &mut Vec<u8>) {
        self.send(Message::Ping(Default::default()), output);
    }

    /// Appends a close frame. Further messages are dropped.
    pub fn close(&mut self, code: u16, reason: &str, output: &mut Vec<u8>) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        let mut nothing: &[u8] = &[];
        // Memory takes every byte; a connection that is closed already has nothing to say.
        let _ = self.context.close(
            &mut Wire {
                input: &mut nothing,
                output,
            },
            Some(frame),
        );
    }

    fn send(&mut self, message: Message, output: &mut Vec<u8>) {
        let mut nothing: &[u8] = &[];
        let mut wire = Wire {
            input: &mut nothing,
            output,
        };
        // Memory takes every byte; what is sent after a close is dropped by design.
        let _ = self.context.write(&mut wire, message);
        let _ = self.context.flush(&mut wire);
    }
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

    fn all(codec: &mut Codec, bytes: &[u8]) -> (Vec<Received>, Option<Violation>, Vec<u8>) {
        let (mut got, mut output, mut input) = (Vec::new(), Vec::new(), bytes);
        loop {
            match codec.receive(&mut input, &mut output) {
                Ok(Some(Received::Closed)) => {
                    got.push(Received::Closed);
                    return (got, None, output);
                }
                Ok(Some(message)) => got.push(message),
                Ok(None) => return (got, None, output),
                Err(violation) => return (got, Some(violation), output),
            }
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
            let mut codec = Codec::new(1 << 10);
            let (mut got, fault, mut output) = all(&mut codec, &bytes[..cut]);
            assert_eq!(fault, None);
            let (rest, fault, more) = all(&mut codec, &bytes[cut..]);
            assert_eq!(fault, None);
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
        let code = |bytes: &[u8]| all(&mut Codec::new(64), bytes).1.map(|v| v.code);
        assert_eq!(code(&frame(0x82, &[0; 65])), Some(1009));
        assert_eq!(code(&frame(0x81, &[0xff])), Some(1007));
        assert_eq!(code(&frame(0xc1, b"reserved bit")), Some(1002));
        assert_eq!(code(&[0x81, 1, b'x']), Some(1002), "unmasked");
    }

    #[test]
    fn a_close_is_answered_and_ends_the_stream() {
        let (got, fault, output) = all(&mut Codec::new(64), &frame(0x88, &1000u16.to_be_bytes()));
        assert_eq!((got, fault), (vec![Received::Closed], None));
        assert_eq!(output[..4], [0x88, 2, 0x03, 0xe8]);
    }
}
