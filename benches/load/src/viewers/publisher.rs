//! Publishes the clip as a live encoder would: each frame in a chunk of its own when it is due.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crate::Error;
use crate::http::{Connection, LAST_CHUNK, chunk, head};
use crate::viewers::clip::Clip;
use crate::viewers::frames::Sent;

/// The access unit delimiter that begins a picture of any kind (H.264 §7.3.2.4), which tells that the one before has ended.
const DELIMITER: [u8; 6] = [0, 0, 0, 1, 9, 0xf0];

/// A publisher that has waited so long for the server does not make up for it.
const CATCHES_UP: Duration = Duration::from_millis(100);

/// What is published.
#[derive(Clone)]
pub struct Stream {
    /// Its pictures.
    pub clip: Arc<Clip>,
    /// At first.
    pub frames_per_second: f64,
    /// Whether each picture comes with the delimiter of the next one, so that nobody needs to wait for its end.
    pub delimited: bool,
}

/// A clip that is published until this is dropped.
pub struct Publisher {
    shared: Arc<Shared>,
    /// To break the connection with.
    socket: TcpStream,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    stop: AtomicBool,
    /// From one frame to the next, ns.
    interval: AtomicU64,
    sent: Mutex<Vec<Sent>>,
    /// What the server said, if it ended the request.
    ended: Mutex<Option<String>>,
}

impl Publisher {
    /// Starts, on a thread of its own.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn start(server: SocketAddr, device: &str, stream: Stream) -> Result<Self, Error> {
        let lost = |error| Error::Connection { server, error };
        let mut connection = Connection::try_open(server).map_err(lost)?;
        let target = format!("/api/media/devices/{device}/video");
        let headers = [
            ("Content-Type", "video/h264"),
            ("Transfer-Encoding", "chunked"),
        ];
        let mut request = head(server, "PUT", &target, &headers);
        request.extend(b"\r\n");
        connection.send(request).map_err(lost)?;
        let socket = connection.stream().try_clone().map_err(lost)?;
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            interval: AtomicU64::new(nanoseconds(stream.frames_per_second)),
            sent: Mutex::default(),
            ended: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || of_thread.run(connection, &stream));
        Ok(Self {
            shared,
            socket,
            thread: Some(thread),
        })
    }

    /// From the next frame on.
    pub fn set_frames_per_second(&self, frames_per_second: f64) {
        let interval = nanoseconds(frames_per_second);
        self.shared.interval.store(interval, Ordering::Relaxed);
    }

    /// The frames sent so far.
    pub fn sent(&self) -> Vec<Sent> {
        locked(&self.shared.sent).clone()
    }

    /// How many those are.
    pub fn frames(&self) -> u64 {
        locked(&self.shared.sent).len() as u64
    }

    /// # Errors
    /// When the server has ended it.
    pub fn check(&self) -> Result<(), Error> {
        match locked(&self.shared.ended).as_ref() {
            Some(body) => Err(Error::Publisher { why: body.clone() }),
            None => Ok(()),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, mut connection: Connection, stream: &Stream) {
        let mut due = Instant::now();
        for number in 0.. {
            let wait = due.saturating_duration_since(Instant::now());
            thread::sleep(wait);
            if self.stop.load(Ordering::Relaxed) {
                let _ = connection.send(LAST_CHUNK);
                return;
            }
            if connection.poll().is_ok_and(<[u8]>::is_empty) {
                let unit = stream.clip.unit(number);
                let end: &[u8] = if stream.delimited { &DELIMITER } else { &[] };
                let body = chunk(&[&unit.bytes, end].concat());
                let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                locked(&self.sent).push(Sent {
                    at: at.unwrap_or_default(),
                    keyframe: unit.keyframe,
                });
                if connection.send(body).is_ok() {
                    due += Duration::from_nanos(self.interval.load(Ordering::Relaxed));
                    let late = Instant::now().saturating_duration_since(due);
                    if late > CATCHES_UP {
                        due += late;
                    }
                    continue;
                }
            }
            if !self.stop.load(Ordering::Relaxed) {
                let said = connection.try_response(false);
                let why =
                    said.map_or_else(|e| e.to_string(), |r| format!("{} {}", r.status, r.text()));
                *locked(&self.ended) = Some(why);
            }
            return;
        }
    }
}

fn nanoseconds(frames_per_second: f64) -> u64 {
    (1e9 / frames_per_second) as u64
}

/// No thread panics while it holds one of these locks; what is in them would be right all the same.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
