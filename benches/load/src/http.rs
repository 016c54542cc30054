//! A blocking HTTP/1.1 client with raw control: half-written requests, pipelining, bodies in any shape.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::SOON;

/// Heads of responses that the tests meet are far smaller; more is a fault of the server.
const MAX_HEADERS: usize = 64;

/// A response with its whole body.
#[derive(Clone, Debug)]
pub struct Response {
    /// As the server has it.
    pub status: u16,
    /// Names as they came.
    pub headers: Vec<(String, String)>,
    /// Whole, without the framing of chunks.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body, which should be UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// # Panics
    /// When the body is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!(
                "status {} with a body that is not JSON: {error}: {}",
                self.status,
                self.text()
            )
        })
    }

    /// The same response, or a panic that shows it when its status is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Asserts an error of the API: its status, its code, a sentence and a request id. Returns the sentence.
    #[track_caller]
    pub fn expect_error(self, status: u16, code: &str) -> String {
        let body = self.expect(status).json();
        assert_eq!(body["code"], code, "{body}");
        assert!(
            body["requestId"].as_str().is_some_and(|id| !id.is_empty()),
            "no requestId: {body}"
        );
        let sentence = body["error"]
            .as_str()
            .unwrap_or_else(|| panic!("no sentence: {body}"));
        assert!(sentence.len() >= 10, "{sentence:?} helps nobody");
        sentence.to_owned()
    }
}

/// One connection, kept alive as long as both ends like.
pub struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    received: Vec<u8>,
    /// How long [`Self::response`] waits for a whole response.
    pub deadline: Duration,
}

impl Connection {
    /// # Panics
    /// When nobody listens.
    pub fn open(address: SocketAddr) -> Self {
        Self::try_open(address)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    /// # Errors
    /// Those of `connect(2)`.
    pub fn try_open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, SOON)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(SOON))?;
        Ok(Self {
            address,
            stream,
            received: Vec::new(),
            deadline: SOON,
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Those of `send(2)`; a server that closed the connection is one.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends one request with a `Host`, a length where there is a body, and the given headers.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut bytes = head(self.address, method, target, headers);
        if !body.is_empty() || method == "POST" || method == "PUT" {
            bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        self.send(bytes)
    }

    /// One request and its response; interim responses (1xx) are skipped.
    ///
    /// # Panics
    /// When the connection breaks or the deadline passes.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.send_request(method, target, headers, body)
            .unwrap_or_else(|error| panic!("{method} {target}: {error}"));
        loop {
            let response = self.try_response(method == "HEAD");
            let response = response.unwrap_or_else(|error| panic!("{method} {target}: {error}"));
            if response.status >= 200 {
                return response;
            }
        }
    }

    /// The next response; an interim response (1xx) is one.
    ///
    /// # Panics
    /// When the connection breaks or the deadline passes.
    pub fn response(&mut self) -> Response {
        self.try_response(false)
            .unwrap_or_else(|error| panic!("no response: {error}"))
    }

    /// The next response. That to a HEAD request has no body whatever its headers say.
    ///
    /// # Errors
    /// `UnexpectedEof` when the server closed, `TimedOut` after the deadline, `InvalidData` for what is not HTTP.
    pub fn try_response(&mut self, to_head: bool) -> io::Result<Response> {
        let until = Instant::now() + self.deadline;
        let mut response = loop {
            if let Some((response, length)) = parse_head(&self.received)? {
                self.received.drain(..length);
                break response;
            }
            self.receive(until)?;
        };
        if to_head || response.status < 200 || matches!(response.status, 204 | 304) {
            return Ok(response);
        }
        response.body = if response.header("transfer-encoding") == Some("chunked") {
            self.chunked_body(until)?
        } else if let Some(length) = response.header("content-length") {
            let length = length
                .parse()
                .map_err(|_| invalid("a Content-Length that is not a number"))?;
            self.take(length, until)?
        } else {
            self.rest(until)?
        };
        Ok(response)
    }

    /// Whether the server has closed the connection; waits for it up to the deadline. Unread responses are skipped.
    pub fn closed_by_server(&mut self) -> bool {
        self.rest(Instant::now() + self.deadline).is_ok()
    }

    /// Bytes that came, without waiting.
    ///
    /// # Errors
    /// Those of `recv(2)`; the server's end of the stream is `UnexpectedEof`.
    pub fn poll(&mut self) -> io::Result<&[u8]> {
        self.stream.set_nonblocking(true)?;
        let result = self.fill();
        self.stream.set_nonblocking(false)?;
        match result {
            Ok(()) => Ok(&self.received),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(&self.received),
            Err(error) => Err(error),
        }
    }

    /// The socket, for what this type does not do.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The socket, and the bytes that came and were not asked for: for a protocol upgrade.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.received)
    }

    fn chunked_body(&mut self, until: Instant) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line(until)?;
            let length = usize::from_str_radix(&line, 16)
                .map_err(|_| invalid("a chunk size that is no number"))?;
            body.extend(self.take(length, until)?);
            if !self.line(until)?.is_empty() {
                return Err(invalid("a chunk that does not end where it said"));
            }
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn line(&mut self, until: Instant) -> io::Result<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.received[..end]).into_owned();
                self.received.drain(..end + 2);
                return Ok(line);
            }
            self.receive(until)?;
        }
    }

    fn take(&mut self, length: usize, until: Instant) -> io::Result<Vec<u8>> {
        while self.received.len() < length {
            self.receive(until)?;
        }
        Ok(self.received.drain(..length).collect())
    }

    fn rest(&mut self, until: Instant) -> io::Result<Vec<u8>> {
        loop {
            match self.receive(until) {
                Ok(()) => {}
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
                    ) =>
                {
                    return Ok(std::mem::take(&mut self.received));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn receive(&mut self, until: Instant) -> io::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(
                ErrorKind::TimedOut,
                format!("only {} bytes came", self.received.len()),
            ));
        }
        self.stream.set_read_timeout(Some(left))?;
        match self.fill() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()), // the read timeout: seen above
            result => result,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            n => {
                self.received.extend(&chunk[..n]);
                Ok(())
            }
        }
    }
}

/// One request on a connection of its own.
///
/// # Panics
/// When there is no response.
pub fn request(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    Connection::open(address).request(method, target, headers, body)
}

/// Request line, `Host` and headers, without the empty line.
pub fn head(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        head += &format!("Host: {address}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head.into_bytes()
}

/// One chunk of a chunked body. An empty one would end the body: see [`LAST_CHUNK`].
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    assert!(!bytes.is_empty(), "an empty chunk ends the body");
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend(bytes);
    chunk.extend(b"\r\n");
    chunk
}

/// Ends a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The head of a response at the front of `bytes`, and its length; `None` while it is not complete.
///
/// # Errors
/// `InvalidData` for what is not HTTP.
pub fn parse_head(bytes: &[u8]) -> io::Result<Option<(Response, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) =
        head.parse(bytes).map_err(|e| invalid(&e.to_string()))?
    else {
        return Ok(None);
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = head
        .headers
        .iter()
        .map(|h| (h.name.to_owned(), text(h.value)))
        .collect();
    let status = head.code.expect("a complete head has a status");
    Ok(Some((
        Response {
            status,
            headers,
            body: Vec::new(),
        },
        length,
    )))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
