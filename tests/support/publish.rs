//! Publishers: a device's media over a live `PUT`, or over the agent's WebSocket.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::http::{Connection, LAST_CHUNK, Response, chunk, head};
use super::media::Clip;
use super::{SOON, wait_until};

/// Publishes a clip, again and again, as a live encoder would: each unit when it is due, in a chunk of its own.
pub struct Publisher {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    /// To break the connection with.
    socket: TcpStream,
    thread: Option<JoinHandle<io::Result<Connection>>>,
}

impl Publisher {
    /// Starts to publish on a thread of its own.
    pub fn start(http: SocketAddr, device: &str, clip: Clip) -> Self {
        Self::start_with(http, device, clip, "")
    }

    /// The same with a query (`?takeover=true`) and from the clip's beginning.
    pub fn start_with(http: SocketAddr, device: &str, clip: Clip, query: &str) -> Self {
        let mut connection = Connection::open(http);
        let target = format!("/api/media/devices/{device}/{}{query}", clip.kind.track());
        let headers = [
            ("Content-Type", clip.kind.content_type()),
            ("Transfer-Encoding", "chunked"),
        ];
        let mut request = head(http, "PUT", &target, &headers);
        request.extend(b"\r\n");
        connection
            .send(request)
            .expect("a fresh connection takes a request");

        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let socket = connection
            .stream()
            .try_clone()
            .expect("a socket can be cloned");
        let flags = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = thread::spawn(move || run(connection, &clip, &flags.0, &flags.1));
        Self {
            stop,
            sent,
            socket,
            thread: Some(thread),
        }
    }

    /// Units sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends the body as a client should, and gives the server's answer.
    ///
    /// # Panics
    /// When there is none.
    pub fn finish(mut self) -> Response {
        self.stop.store(true, Ordering::Relaxed);
        self.response()
    }

    /// Waits for the answer to a body that the server itself puts an end to.
    ///
    /// # Panics
    /// When it puts no end to it.
    pub fn refused(mut self) -> Response {
        let thread = self.thread.as_ref().expect("joined once");
        wait_until(SOON, "the server ends the publisher's request", || {
            thread.is_finished()
        });
        self.response()
    }

    /// Breaks the connection in the middle of the body.
    pub fn abort(self) {
        drop(self);
    }

    fn response(&mut self) -> Response {
        let thread = self.thread.take().expect("joined once");
        let mut connection = thread
            .join()
            .expect("publisher")
            .unwrap_or_else(|error| panic!("publisher: {error}"));
        connection.response()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = self.socket.shutdown(Shutdown::Both);
            let _ = thread.join();
        }
    }
}

/// Sends until told to stop or until the server answers. The answer is still to be read from the connection.
fn run(
    mut connection: Connection,
    clip: &Clip,
    stop: &AtomicBool,
    sent: &AtomicU64,
) -> io::Result<Connection> {
    if !clip.header.is_empty() {
        connection.send(chunk(&clip.header))?;
    }
    let begin = Instant::now();
    for number in 0.. {
        let due = begin + clip.interval.mul_f64(number as f64);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if !connection.poll()?.is_empty() {
            return Ok(connection);
        }
        if stop.load(Ordering::Relaxed) {
            connection.send(LAST_CHUNK)?;
            return Ok(connection);
        }
        match connection.send(chunk(&clip.unit(number))) {
            Ok(()) => sent.fetch_add(1, Ordering::Relaxed),
            // The server has answered and closed: the answer is in the socket.
            Err(e) if matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                return Ok(connection);
            }
            Err(error) => return Err(error),
        };
    }
    unreachable!("the numbers do not end")
}
