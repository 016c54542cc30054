//! The faults themselves.

use std::env;
use std::fs::File;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use super::{Faults, Place, Thread};
use crate::http::Headers;

/// The variable that lets requests bring faults, where it is `1`. No key of the configuration: no file that
/// somebody copies has it.
const ALLOWED_BY: &str = "ALLOW_FAULT_INJECTION";

/// What is done to a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It panics when it is there next, once.
    Panic(Place),
    /// No panic waits any more.
    None,
    /// Its thread stands still for so long, now.
    Stall(Duration),
    /// It opens so many descriptors and keeps them.
    LeakDescriptors(usize),
    /// It starts so many threads that do nothing.
    LeakThreads(usize),
    /// A thread beside the shards panics when it has something to do next.
    PanicThread(Thread),
}

/// A name of [`Fault`] that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault {0:?}")]
pub struct UnknownFault(String);

/// What was leaked.
#[derive(Debug, Default)]
pub(super) struct Held {
    files: Vec<File>,
}

/// Bit *n* is set while the thread *n* is to panic.
static THREADS: AtomicU8 = AtomicU8::new(0);

impl Faults {
    /// Does it, or waits for its place.
    pub(crate) fn arm(&mut self, fault: Fault) {
        match fault {
            Fault::Panic(place) => self.armed.push(place),
            Fault::None => self.armed.clear(),
            Fault::Stall(time) => thread::sleep(time),
            Fault::LeakDescriptors(count) => {
                let files = (0..count).filter_map(|_| File::open("/dev/null").ok());
                self.held.files.extend(files);
            }
            Fault::LeakThreads(count) => {
                for _ in 0..count {
                    thread::spawn(|| {
                        loop {
                            thread::park();
                        }
                    });
                }
            }
            Fault::PanicThread(thread) => {
                THREADS.fetch_or(1 << thread as u8, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn strike(&mut self, place: Place) {
        if let Some(index) = self.armed.iter().position(|&armed| armed == place) {
            self.armed.swap_remove(index);
            panic!("an injected fault: {place:?}");
        }
    }
}

/// Whether requests may bring faults into this process.
pub(crate) fn requests_may() -> bool {
    static MAY: OnceLock<bool> = OnceLock::new();
    *MAY.get_or_init(|| env::var_os(ALLOWED_BY).is_some_and(|value| value == "1"))
}

/// The fault that a request of that peer brings.
pub(crate) fn of_request(peer: IpAddr, headers: &Headers) -> Option<Fault> {
    if !requests_may() || !peer.to_canonical().is_loopback() {
        return None;
    }
    headers.get("x-fault")?.parse().ok()
}

/// The thread is at work.
pub(crate) fn pass_thread(thread: Thread) {
    let bit = 1 << thread as u8;
    if THREADS.load(Ordering::Relaxed) & bit != 0 {
        THREADS.fetch_and(!bit, Ordering::Relaxed);
        panic!("an injected fault: {thread:?}");
    }
}

impl Place {
    /// All of them.
    pub const ALL: [Place; 20] = [
        Place::ConnectionBytes,
        Place::ConnectionTimer,
        Place::SocketMessage,
        Place::Request,
        Place::Reply,
        Place::SessionMessage,
        Place::SessionDatagram,
        Place::SessionMedia,
        Place::SessionTimer,
        Place::DeviceFrame,
        Place::DeviceTimer,
        Place::PublisherTimer,
        Place::RoomJoin,
        Place::RoomMessage,
        Place::RoomSweep,
        Place::RoomDelivery,
        Place::RoomFlush,
        Place::RoomTimer,
        Place::Mailbox,
        Place::Turn,
    ];
}

impl Place {
    /// Whether the rooms come there, and nobody else.
    pub(crate) fn is_in_rooms(self) -> bool {
        matches!(
            self,
            Place::RoomJoin
                | Place::RoomMessage
                | Place::RoomSweep
                | Place::RoomDelivery
                | Place::RoomFlush
                | Place::RoomTimer
        )
    }
}

impl Thread {
    const ALL: [Thread; 4] = [
        Thread::Side,
        Thread::Store,
        Thread::Accounts,
        Thread::Signals,
    ];
}

/// `panic:RoomSweep`, `thread:Store`, `stall:20000` (ms), `descriptors:400`, `threads:400`.
impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let unknown = || UnknownFault(text.to_owned());
        let (kind, of) = text.split_once(':').ok_or_else(unknown)?;
        let number = || of.parse::<u32>().map_err(|_| unknown());
        Ok(match kind {
            "panic" => {
                let named = |place: &&Place| format!("{place:?}") == of;
                Fault::Panic(*Place::ALL.iter().find(named).ok_or_else(unknown)?)
            }
            "thread" => {
                let named = |thread: &&Thread| format!("{thread:?}") == of;
                Fault::PanicThread(*Thread::ALL.iter().find(named).ok_or_else(unknown)?)
            }
            "stall" => Fault::Stall(Duration::from_millis(number()?.into())),
            "descriptors" => Fault::LeakDescriptors(number()? as usize),
            "none" => Fault::None,
            "threads" => Fault::LeakThreads(number()? as usize),
            _ => return Err(unknown()),
        })
    }
}
