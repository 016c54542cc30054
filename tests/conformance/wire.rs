//! Frames written and read octet by octet (RFC 6455 §5.2), right ones and wrong ones.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::SOON;
use crate::support::http::Connection;

/// RFC 6455 §1.3: its example.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A server that has taken nothing for so long reads no more.
const FLOOD_PATIENCE: Duration = Duration::from_millis(500);

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A frame as a client sends it.
#[derive(Clone, Debug)]
pub struct Frame {
    pub fin: bool,
    /// The three reserved bits, RSV1 being the 4.
    pub rsv: u8,
    pub opcode: u8,
    /// Without one the frame is unmasked, which a client must not send.
    pub mask: Option<[u8; 4]>,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            fin: true,
            rsv: 0,
            opcode,
            mask: Some([0x37, 0xfa, 0x21, 0x3d]), // RFC 6455 §5.7
            payload: payload.into(),
        }
    }

    /// Not the last of its message.
    pub fn more(self) -> Self {
        Self { fin: false, ..self }
    }

    pub fn rsv(self, rsv: u8) -> Self {
        Self { rsv, ..self }
    }

    pub fn mask(self, mask: Option<[u8; 4]>) -> Self {
        Self { mask, ..self }
    }

    /// A close frame with a code and a reason.
    pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Self {
        let payload = [&code.to_be_bytes(), reason.as_ref()].concat();
        Self::new(CLOSE, payload)
    }

    pub fn encode(&self) -> Vec<u8> {
        let masked = u8::from(self.mask.is_some()) << 7;
        let mut bytes = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        match self.payload.len() {
            n @ 0..126 => bytes.push(masked | n as u8),
            n @ 126..65_536 => {
                bytes.push(masked | 126);
                bytes.extend((n as u16).to_be_bytes());
            }
            n => {
                bytes.push(masked | 127);
                bytes.extend((n as u64).to_be_bytes());
            }
        }
        let mask = self.mask.unwrap_or_default();
        bytes.extend(self.mask.iter().flatten());
        let octets = self.payload.iter().enumerate();
        bytes.extend(octets.map(|(at, octet)| octet ^ mask[at % 4]));
        bytes
    }
}

/// What comes from the server.
#[derive(Debug)]
pub enum Received {
    Text(String),
    Ping,
    Pong(Vec<u8>),
    /// A close frame; its code, where it has one.
    Close(Option<u16>),
    /// The end of the stream.
    End,
}

/// A client that does as it is told.
pub struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
}

/// A connection after the answer 101.
impl From<Connection> for Wire {
    fn from(connection: Connection) -> Self {
        let (stream, received) = connection.into_parts();
        Self { stream, received }
    }
}

impl Wire {
    /// Upgrades a connection. `headers` are further ones.
    ///
    /// # Panics
    /// When the answer is not 101, or takes an extension that this client does not have.
    pub fn open(http: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Self {
        let mut connection = Connection::open(http);
        let mut all = vec![
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ];
        all.extend(headers);
        connection
            .send_request("GET", target, &all, b"")
            .expect("the server reads");
        let response = connection.response().expect(101);
        assert_eq!(
            response.header("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "RFC 6455 §1.3"
        );
        assert_eq!(response.header("sec-websocket-extensions"), None);
        assert_eq!(response.header("sec-websocket-protocol"), None);
        Self::from(connection)
    }

    /// Sends in writes of `chop` octets. The server may have closed already.
    pub fn send(&mut self, bytes: &[u8], chop: usize) {
        for piece in bytes.chunks(chop) {
            if self.stream.write_all(piece).is_err() {
                return;
            }
        }
    }

    /// Sends the same again and again, at most so many octets, until the server takes no more or closes. Gives how many.
    pub fn flood(&mut self, bytes: &[u8], most: usize) -> usize {
        let patience = Some(FLOOD_PATIENCE);
        self.stream.set_write_timeout(patience).expect("not zero");
        let mut sent = 0;
        while sent < most {
            match self.stream.write(bytes) {
                Ok(length) => sent += length,
                Err(_) => break,
            }
        }
        sent
    }

    /// Says that nothing more will come, and still reads.
    pub fn finish(&mut self) {
        // The server may have closed already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next frame.
    ///
    /// # Panics
    /// When none comes soon, or what comes is no frame that a server may send: masked, fragmented, with reserved bits,
    /// or with its length in more octets than needed.
    pub fn receive(&mut self) -> Received {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(received) = self.frame() {
                return received;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing came within {SOON:?}");
            self.stream.set_read_timeout(Some(left)).expect("not zero");
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Received::End,
                Ok(length) => self.received.extend(&chunk[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Received::End,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn frame(&mut self) -> Option<Received> {
        let (&[first, second], rest) = self.received.split_first_chunk()?;
        let (length, octets) = match second {
            0..126 => (u64::from(second), 0),
            126 => (u16::from_be_bytes(*rest.first_chunk()?).into(), 2),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
            128.. => panic!("a server's frame is masked"),
        };
        let shortest = match octets {
            0 => true,
            2 => length >= 126,
            _ => length >= 65_536,
        };
        assert!(shortest, "{length} is written in {octets} octets");
        let length = usize::try_from(length).expect("64 bits");
        let begin = 2 + octets;
        let payload = self.received.get(begin..begin + length)?.to_vec();
        self.received.drain(..begin + length);
        assert_eq!(first & 0xf0, 0x80, "final, without reserved bits");
        Some(match first & 0x0f {
            TEXT => Received::Text(String::from_utf8(payload).expect("text is UTF-8")),
            PING => Received::Ping,
            PONG => Received::Pong(payload),
            CLOSE => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                assert!(payload.len() != 1 && payload.len() <= 125, "{payload:?}");
                std::str::from_utf8(payload.get(2..).unwrap_or_default()).expect("UTF-8");
                Received::Close(code)
            }
            opcode => panic!("a server that sends text alone sent opcode {opcode}"),
        })
    }
}
