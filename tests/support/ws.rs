//! WebSocket clients with deadlines: a viewer's, and a device's agent.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::HandshakeError;
use tungstenite::{Error, Message, WebSocket};

use super::SOON;

/// A WebSocket connection to the server.
pub struct Socket {
    inner: WebSocket<TcpStream>,
}

/// How an upgrade was refused.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub body: Value,
}

impl Socket {
    /// Connects and upgrades.
    ///
    /// # Panics
    /// When the upgrade is refused.
    #[track_caller]
    pub fn open(http: SocketAddr, target: &str) -> Self {
        Self::try_open(http, target, &[]).unwrap_or_else(|refused| panic!("{target}: {refused:?}"))
    }

    /// Connects and upgrades with further headers.
    ///
    /// # Errors
    /// The server's answer, when it is not 101.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn try_open(
        http: SocketAddr,
        target: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Refused> {
        let stream = TcpStream::connect_timeout(&http, SOON).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream
            .set_read_timeout(Some(SOON))
            .expect("a timeout that is not zero");
        stream
            .set_write_timeout(Some(SOON))
            .expect("a timeout that is not zero");
        let mut request = format!("ws://{http}{target}")
            .into_client_request()
            .expect("a valid URL");
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(*name, value.parse().expect("a header's value"));
        }
        match tungstenite::client(request, stream) {
            Ok((inner, _)) => Ok(Self { inner }),
            Err(HandshakeError::Failure(Error::Http(response))) => {
                let body = response.body().as_deref().unwrap_or_default();
                let body = serde_json::from_slice(body).unwrap_or(Value::Null);
                Err(Refused {
                    status: response.status().as_u16(),
                    body,
                })
            }
            Err(error) => panic!("{target}: {error}"),
        }
    }

    pub fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    pub fn send_text(&mut self, text: &str) {
        self.inner
            .send(Message::text(text))
            .expect("the server reads");
    }

    /// Sends what the server may refuse by closing.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn try_send(&mut self, message: Message) -> Result<(), Error> {
        self.inner.send(message)
    }

    /// One access unit of an agent: track (0 video, 1 audio), time in µs, data.
    pub fn send_access_unit(&mut self, track: u8, pts_us: u64, data: &[u8]) {
        let mut message = vec![track];
        message.extend(pts_us.to_be_bytes());
        message.extend(data);
        self.inner
            .send(Message::binary(message))
            .expect("the server reads");
    }

    /// The next message of this `type`; others are skipped.
    ///
    /// # Panics
    /// When none comes soon, or the connection ends.
    #[track_caller]
    pub fn expect(&mut self, kind: &str) -> Value {
        self.expect_within(SOON, kind)
    }

    /// The same with a limit of its own.
    #[track_caller]
    pub fn expect_within(&mut self, limit: Duration, kind: &str) -> Value {
        let deadline = Instant::now() + limit;
        let mut others = Vec::new();
        loop {
            match self.next(deadline) {
                Ok(Some(Message::Text(text))) => {
                    let message: Value =
                        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
                    if message["type"] == kind {
                        return message;
                    }
                    others.push(message["type"].clone());
                }
                Ok(Some(_)) => {}
                Ok(None) => panic!("no `{kind}` within {limit:?}, but {others:?}"),
                Err(error) => panic!("no `{kind}` but {others:?}, then {error}"),
            }
        }
    }

    /// Reads on until the server closes; its close code, if it gave one.
    ///
    /// # Panics
    /// When it does not close soon.
    #[track_caller]
    pub fn closed(&mut self) -> Option<u16> {
        let deadline = Instant::now() + SOON;
        let mut code = None;
        loop {
            match self.next(deadline) {
                Ok(Some(Message::Close(frame))) => code = frame.map(|f| f.code.into()),
                Ok(Some(_)) => {}
                Ok(None) => panic!("not closed within {SOON:?}"),
                Err(_) => return code,
            }
        }
    }

    /// The next message; `None` at the deadline.
    ///
    /// # Errors
    /// Those of the connection, its end too.
    pub fn next(&mut self, deadline: Instant) -> Result<Option<Message>, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        self.inner.get_ref().set_read_timeout(Some(left))?;
        match self.inner.read() {
            Ok(message) => Ok(Some(message)),
            Err(Error::Io(e))
                if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The connection below, to break it with or to stop reading from.
    pub fn stream(&self) -> &TcpStream {
        self.inner.get_ref()
    }

    /// Closes as a browser does, and waits for the server's part.
    pub fn close(mut self) {
        let _ = self.inner.close(None);
        self.closed();
    }
}
