//! Thousands of members on one thread: their connections, what they receive, and the count of it.
//!
//! A turn looks at the probes first, then at a few of the others, so that a probe waits for the generator itself no longer
//! than [`EVENTS_PER_TURN`] reads take. That time is measured too: see [`Crowd::turns`].

use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags};

use super::frames::{self, Frame, Kind};
use super::member::{Member, Order, Part, State};
use super::room::Room;
use crate::SOON;
use crate::report::Latencies;

/// Upgrades that may wait for their answer: far below the backlog of any listener.
const UPGRADES_AT_ONCE: usize = 64;
/// Connections read between two looks at the probes: some 50 µs.
const EVENTS_PER_TURN: usize = 32;
/// Bytes of one read: sixteen messages for every member fit many times.
const READ_BYTES: usize = 256 << 10;
/// After so long without a delivery none is in flight.
const SILENCE: Duration = Duration::from_millis(500);
/// What the nested epoll set of the probes is known as.
const PROBES: u64 = u64::MAX;

/// What is counted over all members.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) deliveries: u64,
    /// Reads that brought messages: as many as the server's sends, while the members keep up.
    pub(super) reads: u64,
    pub(super) acks: u64,
    /// Holes in the sequence numbers.
    pub(super) holes: u64,
    /// Sequence numbers that came again or too late.
    pub(super) repeated: u64,
    pub(super) presence: u64,
    /// Members, the deaf not counted, whose connection ended.
    pub(super) closed: u64,
}

/// All members, and the rooms that they are in.
pub(super) struct Crowd {
    epoll: OwnedFd,
    probes: OwnedFd,
    server: SocketAddrV4,
    begin: Instant,
    buffer: Vec<u8>,
    members: Vec<Member>,
    pub(super) rooms: Vec<Room>,
    upgrading: usize,
    with_unsent: Vec<usize>,
    /// Bytes that fill a message up, see [`Self::calibrate`].
    padding: usize,
    frame_bytes: usize,
    text: String,
    /// When messages with an id were sent, by id.
    sent: Vec<u64>,
    pub(super) tally: Tally,
    /// Latencies in ns, by the room's group.
    pub(super) latencies: Vec<Latencies>,
    /// How long turns took, in ns: so long a probe may have waited for the generator.
    pub(super) turns: Latencies,
    /// Rooms, one entry for each message that everyone in the room has.
    pub(super) completed: Vec<usize>,
    /// Rooms, one entry for each message that is acknowledged.
    pub(super) acknowledged: Vec<usize>,
    /// The first error that the server sent.
    pub(super) complaint: Option<String>,
}

impl Crowd {
    pub(super) fn new(server: SocketAddr) -> Self {
        let SocketAddr::V4(server) = server else {
            panic!("{server}: loopback addresses of IPv4 alone are many");
        };
        let set = || epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll descriptor");
        let (epoll, probes) = (set(), set());
        let data = epoll::EventData::new_u64(PROBES);
        epoll::add(&epoll, &probes, data, epoll::EventFlags::IN).expect("sets can be nested");
        Self {
            epoll,
            probes,
            server,
            begin: Instant::now(),
            buffer: vec![0; READ_BYTES],
            members: Vec::new(),
            rooms: Vec::new(),
            upgrading: 0,
            with_unsent: Vec::new(),
            padding: 0,
            frame_bytes: 0,
            text: String::new(),
            sent: Vec::new(),
            tally: Tally::default(),
            latencies: vec![Latencies::default()],
            turns: Latencies::default(),
            completed: Vec::new(),
            acknowledged: Vec::new(),
            complaint: None,
        }
    }

    /// Nanoseconds since the crowd was made.
    pub(super) fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    /// A room without members yet; its index. Latencies of rooms of one group are kept together.
    pub(super) fn add_room(&mut self, id: u64, group: usize) -> usize {
        while self.latencies.len() <= group {
            self.latencies.push(Latencies::default());
        }
        self.rooms.push(Room::new(id, group));
        self.rooms.len() - 1
    }

    /// Connects one more member. The upgrade's answer is awaited by [`Self::opened`], or while others join.
    pub(super) fn join(&mut self, room: usize, part: Part) -> usize {
        self.run_until("upgrades are answered", |crowd| {
            crowd.upgrading < UPGRADES_AT_ONCE
        });
        let index = self.members.len();
        let member = Member::connect(self.server, index, room, self.rooms[room].id, part);
        let set = if part == Part::Probe {
            &self.probes
        } else {
            &self.epoll
        };
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(set, &member.socket, data, epoll::EventFlags::IN)
            .expect("a socket can be polled");
        self.members.push(member);
        self.upgrading += 1;
        if part != Part::Deaf {
            self.rooms[room].add(index);
        }
        index
    }

    /// Waits until every upgrade is answered. From then on the deaf read nothing.
    pub(super) fn opened(&mut self) {
        self.run_until("all upgrades are answered", |crowd| crowd.upgrading == 0);
    }

    /// Sends one message as the next member of the room in turn.
    ///
    /// `intended` is when it should have been sent: its latency counts from there, so that a generator or a server that
    /// is late does not hide it.
    pub(super) fn publish(&mut self, room: usize, intended: u64, acknowledged: bool) {
        let id = acknowledged.then(|| {
            self.sent.push(intended);
            self.sent.len() as u64 - 1
        });
        frames::message(&mut self.text, intended, self.padding, id);
        let sender = self.rooms[room].next_sender();
        let member = &mut self.members[sender];
        let waiting = !member.unsent.is_empty();
        frames::append(&mut member.unsent, frames::TEXT, self.text.as_bytes());
        if !waiting && !member.flush() {
            self.with_unsent.push(sender);
        }
    }

    /// Finds the padding with which the server's frames have `bytes`, or as near as its own fields allow.
    pub(super) fn calibrate(&mut self, bytes: usize) {
        for _ in 0..2 {
            let deliveries = self.tally.deliveries;
            let now = self.now();
            self.publish(0, now, false);
            let audience = self.rooms[0].audience() as u64;
            self.run_until("the first message reaches its room", |crowd| {
                crowd.tally.deliveries == deliveries + audience
            });
            self.padding = (self.padding + bytes).saturating_sub(self.frame_bytes);
        }
        self.completed.clear();
        eprintln!("frames of {} bytes", self.frame_bytes);
    }

    /// Forgets what was measured, not what was counted.
    pub(super) fn forget(&mut self) {
        self.latencies.iter_mut().for_each(Latencies::clear);
        self.turns.clear();
    }

    /// Deliveries that are still to come.
    fn outstanding(&self) -> i64 {
        let due: i64 = self.rooms.iter().map(Room::due).sum();
        due - self.tally.deliveries as i64
    }

    /// What must not be: deliveries that did not come or came twice, members that were closed. Holes and repetitions are
    /// counted by themselves, for one may hide the other in the sum.
    pub(super) fn wrong(&self) -> i64 {
        let Tally {
            holes,
            repeated,
            closed,
            ..
        } = self.tally;
        self.outstanding().abs() + (holes + repeated + closed) as i64
    }

    /// Waits for what is in flight, until there is nothing more or nothing comes any more.
    pub(super) fn settle(&mut self) {
        while self.outstanding() > 0 {
            let tally = self.tally;
            self.run_for(SILENCE);
            if self.tally.deliveries == tally.deliveries {
                break;
            }
        }
        self.completed.clear();
        self.acknowledged.clear();
    }

    /// Waits at most `wait` for something to come, and reads it. True: there was a turn's worth, and may be more.
    pub(super) fn turn(&mut self, wait: Duration) -> bool {
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: wait.as_nanos().min(999_999_999) as _,
        };
        let ready = ready(&self.epoll, &wait);
        let begin = self.now();
        self.read_probes();
        for &index in &ready {
            if index != PROBES {
                self.read(index as usize);
            }
        }
        if !self.with_unsent.is_empty() {
            let members = &mut self.members;
            self.with_unsent.retain(|&index| !members[index].flush());
        }
        self.turns.record(self.now() - begin);
        ready.len() == EVENTS_PER_TURN
    }

    /// Drives the crowd until the condition holds.
    ///
    /// # Panics
    /// With `what` when it does not hold soon.
    pub(super) fn run_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !condition(self) {
            assert!(
                Instant::now() < deadline,
                "not within {SOON:?}: {what} ({} members, {} upgrading, {:?}, {:?})",
                self.members.len(),
                self.upgrading,
                self.tally,
                self.complaint
            );
            self.turn(Duration::from_millis(10));
        }
    }

    /// Drives the crowd for a time.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn(Duration::from_millis(10));
        }
    }

    /// Reads at last what a deaf member was sent, until the server's end or `limit`. Whether there was an end, the close
    /// code if it gave one, and the messages that came before.
    pub(super) fn hear(&mut self, member: usize, limit: Duration) -> (bool, Option<u16>, u64) {
        let deadline = Instant::now() + limit;
        while self.members[member].state != State::Closed && Instant::now() < deadline {
            self.read(member);
            self.turn(Duration::from_micros(100));
        }
        let member = &mut self.members[member];
        let closed = member.state == State::Closed;
        member.state = State::Closed;
        let _ = net::shutdown(&member.socket, net::Shutdown::Both);
        (closed, member.close_code, member.received)
    }

    fn read_probes(&mut self) {
        loop {
            let probes = ready(&self.probes, &Timespec::default());
            for &index in &probes {
                self.read(index as usize);
            }
            if probes.len() < EVENTS_PER_TURN {
                return;
            }
        }
    }

    /// One read of one member, and the frames that it completes.
    fn read(&mut self, index: usize) {
        let member = &mut self.members[index];
        let kept = member.partial.len();
        self.buffer[..kept].copy_from_slice(&member.partial);
        member.partial.clear();
        let mut end = kept;
        match net::recv(&member.socket, &mut self.buffer[kept..], RecvFlags::empty()) {
            Ok((0, _)) => self.ended(index),
            Ok((count, _)) => end += count,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.ended(index),
        }
        let buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        if self.members[index].state == State::Upgrading {
            at = self.upgraded(index, &buffer[..end]);
        }
        if self.members[index].state != State::Upgrading {
            let (now, before) = (self.now(), self.tally.deliveries);
            while let Some(frame) = Frame::parse(&buffer[at..end]) {
                at += frame.length;
                self.received(index, &frame, now);
            }
            self.tally.reads += u64::from(self.tally.deliveries > before);
        }
        self.members[index].partial.extend(&buffer[at..end]);
        self.buffer = buffer;
    }

    /// Bytes of the answer to the upgrade, 0 while it is not complete.
    fn upgraded(&mut self, index: usize, bytes: &[u8]) -> usize {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return 0;
        };
        assert!(
            bytes.starts_with(b"HTTP/1.1 101 "),
            "the upgrade of member {index} is refused: {}",
            String::from_utf8_lossy(bytes)
        );
        let member = &mut self.members[index];
        member.state = State::Open;
        self.upgrading -= 1;
        if member.part == Part::Deaf {
            epoll::delete(&self.epoll, &member.socket).expect("it was added");
        }
        end + 4
    }

    fn received(&mut self, index: usize, frame: &Frame<'_>, now: u64) {
        let member = &mut self.members[index];
        match frame.opcode {
            frames::TEXT => self.text(index, frame, now),
            frames::PING => {
                frames::append(&mut member.unsent, frames::PONG, frame.payload);
                if !member.flush() {
                    self.with_unsent.push(index);
                }
            }
            frames::CLOSE => {
                let code = frame.payload.first_chunk().copied();
                member.close_code = code.map(u16::from_be_bytes);
            }
            _ => {}
        }
    }

    fn text(&mut self, index: usize, frame: &Frame<'_>, now: u64) {
        let member = &mut self.members[index];
        match Kind::of(frame.payload) {
            Kind::Message => {
                match member.count(frames::seq(frame.payload)) {
                    Order::Next => {}
                    Order::Hole(missing) => self.tally.holes += missing,
                    Order::Repeated => self.tally.repeated += 1,
                }
                if member.part == Part::Deaf {
                    return;
                }
                self.tally.deliveries += 1;
                self.frame_bytes = frame.length;
                let room = &mut self.rooms[member.room];
                if member.part == Part::Probe
                    && let Some(stamp) = frames::stamp(frame.payload)
                {
                    self.latencies[room.group].record(now.saturating_sub(stamp));
                }
                if room.reached_by(member.received) {
                    self.completed.push(member.room);
                }
            }
            Kind::Hello => member.seq = frames::seq(frame.payload),
            Kind::Ack => {
                self.tally.acks += 1;
                let sent = frames::id(frame.payload).and_then(|id| self.sent.get(id as usize));
                if let Some(&sent) = sent {
                    let group = self.rooms[member.room].group;
                    self.latencies[group].record(now.saturating_sub(sent));
                }
                self.acknowledged.push(member.room);
            }
            Kind::Presence => self.tally.presence += 1,
            Kind::Error => {
                let text = || String::from_utf8_lossy(frame.payload).into_owned();
                self.complaint.get_or_insert_with(text);
            }
            Kind::Other => {}
        }
    }

    fn ended(&mut self, index: usize) {
        let member = &mut self.members[index];
        if member.state == State::Closed {
            return;
        }
        if member.state == State::Upgrading {
            self.upgrading -= 1;
        }
        let set = match member.part {
            Part::Probe => Some(&self.probes),
            Part::Listener => Some(&self.epoll),
            Part::Deaf => None,
        };
        if let Some(set) = set {
            epoll::delete(set, &member.socket).expect("it was added");
            self.tally.closed += 1;
        }
        member.state = State::Closed;
    }
}

/// What is ready in a set, at most [`EVENTS_PER_TURN`].
fn ready(set: &OwnedFd, wait: &Timespec) -> Vec<u64> {
    let mut events = Vec::with_capacity(EVENTS_PER_TURN);
    // Interrupted by a signal is as good as nothing ready.
    let _ = epoll::wait(set, rustix::buffer::spare_capacity(&mut events), Some(wait));
    events
        .into_iter()
        .map(|event| {
            let epoll::Event { data, .. } = event;
            data.u64()
        })
        .collect()
}
