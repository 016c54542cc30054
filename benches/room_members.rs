//! A million members without sockets: what the rooms' state machine alone takes, in bytes and in time.
//!
//! ```text
//! cargo bench --bench room_members
//! ```
//!
//! Two shapes: one room of 1,000,000 members, and 1,000 rooms of 1,000. Memory is the growth of this process' resident
//! set, with the server's allocator, from before the first member to after the last one: member, user (each member is
//! another one), and their indexes, and nothing of a connection. Times are those of calls into `Rooms`, on one thread,
//! with a virtual clock; a sweep takes every byte of every member, as a socket would that never refuses any.

use std::process::Command;
use std::time::{Duration, Instant};

use media_service::config;
use media_service::connection::ConnectionId;
use media_service::ids::{RoomId, UserId};
use media_service::limits::{Cap, SWEEP_MEMBERS};
use media_service::rooms::{Inbound, MemberKey, Replay, RoomRecord, Rooms, Status, Time, Took};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Members of a shape.
const MEMBERS: u32 = 1_000_000;
/// Messages in a batch, of which a publish's time is the mean.
const BATCH: u32 = 1_000;
/// Batches between two sweeps.
const BATCHES: u32 = 10;
/// Ticks of which an idle one's time is the mean.
const TICKS: u32 = 100_000;
/// Users that come within the second before a presence frame.
const COMERS: u32 = 5_000;
/// Frames that a member may be behind, as the server has it.
const QUEUE: usize = 256;
/// The tick of a shard.
const TICK: Duration = Duration::from_millis(5);
/// 170 bytes with what the server adds: a line of danmu.
const MESSAGE: &str = r#"{"type":"danmu","content":"a line of chat"}"#;
/// What stands for the time of day.
const UNIX_MS: u64 = 1_700_000_000_000;

fn main() {
    // Each shape in a process of its own: what one gives back would hide what the next one takes.
    let mut arguments = std::env::args().skip_while(|argument| argument != SHAPE);
    if let Some(rooms) = arguments.nth(1).and_then(|rooms| rooms.parse().ok()) {
        return measure(rooms)
            .iter()
            .for_each(|figure| println!("{figure}"));
    }
    println!("| | 1 room × 1,000,000 | 1,000 rooms × 1,000 |\n|---|---|---|");
    let (one, many) = (child(1), child(1_000));
    for (name, (one, many)) in NAMES.iter().zip(one.lines().zip(many.lines())) {
        println!("| {name} | {one} | {many} |");
    }
}

/// The argument that a number of rooms follows.
const SHAPE: &str = "--rooms";

/// What this program prints for that many rooms.
fn child(rooms: u32) -> String {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    let output = command.args([SHAPE, &rooms.to_string()]).output();
    let output = output.expect("this program can be run");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("figures are text")
}

/// What is measured, in the order of [`measure`].
const NAMES: [&str; 9] = [
    "memory per member",
    "a member joins",
    "a message is published",
    "all members take one message",
    "a member takes it",
    "a member takes all of 10,000 publishes",
    "an idle tick",
    "the tick with the presence of 5,000 users who came",
    "a member leaves",
];

fn measure(rooms: u32) -> [String; NAMES.len()] {
    let mut hall = Hall::new(rooms);
    let before = resident_bytes();
    let join = hall.fill() / MEMBERS;
    hall.settle();
    // The keys are not the rooms'.
    let bytes = (resident_bytes() - before) / MEMBERS as usize - size_of::<MemberKey>();
    // Every room says one thing: a sweep over all members.
    hall.say(1);
    let sweep = timed(|| hall.sweep());
    // The best of some batches: what else runs on the machine has no part in it.
    let batches = (0..BATCHES).map(|_| hall.say(BATCH / rooms));
    let publish = batches.min().unwrap_or_default() / BATCH;
    let many = timed(|| hall.sweep()) / MEMBERS;
    let idle = hall.idle() / TICKS;
    let presence = hall.presence();
    let leave = hall.empty() / MEMBERS;
    [
        format!("{bytes} B"),
        format!("{join:?}"),
        format!("{publish:?}"),
        format!("{sweep:.1?}"),
        format!("{:?}", sweep / MEMBERS),
        format!("{many:?}"),
        format!("{idle:?}"),
        format!("{presence:.1?}"),
        format!("{leave:?}"),
    ]
}

/// The rooms, and what a driver knows of their members.
struct Hall {
    rooms: Rooms,
    ids: Vec<RoomId>,
    members: Vec<MemberKey>,
    now: Instant,
    dirty: Vec<ConnectionId>,
}

impl Hall {
    fn new(count: u32) -> Self {
        let now = Instant::now();
        let config = config::Rooms {
            member_rate: Cap::OFF,
            message_rate: Cap::OFF,
            ..config::Rooms::default()
        };
        let mut hall = Self {
            rooms: Rooms::new(now, &config, QUEUE),
            ids: (1..=u64::from(count)).filter_map(RoomId::new).collect(),
            members: Vec::with_capacity(MEMBERS as usize),
            now,
            dirty: Vec::new(),
        };
        for &id in &hall.ids {
            let time = hall.time();
            hall.rooms.insert(time, record(id));
            hall.rooms.start(time, id).expect("it is idle");
        }
        hall.rooms.events();
        hall
    }

    fn time(&self) -> Time {
        Time {
            now: self.now,
            unix_ms: UNIX_MS,
        }
    }

    /// A million users come, room by room.
    fn fill(&mut self) -> Duration {
        let time = self.time();
        let per_room = MEMBERS as usize / self.ids.len();
        let mut took = Duration::ZERO;
        for member in 0..MEMBERS {
            let user = user("user", member);
            let id = self.ids[member as usize / per_room];
            let connection = ConnectionId::new(member, 0);
            let start = Instant::now();
            let welcome = self
                .rooms
                .connect(time, id, &user, connection, Replay::None);
            took += start.elapsed();
            self.members.push(welcome.expect("the room is live").key);
        }
        took
    }

    /// Until nothing is to be told or sent any more.
    fn settle(&mut self) {
        for _ in 0..500 {
            self.now += TICK;
            self.rooms.tick(self.time());
            self.sweep();
        }
    }

    /// In every room, by its first member. Returns the time of them all.
    fn say(&mut self, times: u32) -> Duration {
        let (time, per_room) = (self.time(), self.members.len() / self.ids.len());
        let message = Inbound::parse(MESSAGE).expect("a message");
        timed(|| {
            for n in 0..times {
                for &key in self.members.iter().step_by(per_room) {
                    let trace = [n as u8; 16];
                    self.rooms
                        .publish(time, key, &message, false, trace)
                        .expect("the log has room");
                }
            }
        })
    }

    /// Slices until nobody is behind.
    fn sweep(&mut self) {
        while let Some(at) = self.rooms.deadline() {
            self.now = self.now.max(at);
            self.rooms.sweep(self.now, SWEEP_MEMBERS, &mut self.dirty);
            for connection in self.dirty.drain(..) {
                let key = self.members[connection.slot()];
                let bytes = self.rooms.pending(key).len();
                let took = self.rooms.took(self.now, key, bytes);
                assert_eq!(took, Took::All);
            }
            self.rooms.flushed(self.now);
        }
    }

    fn idle(&mut self) -> Duration {
        timed(|| {
            for _ in 0..TICKS {
                self.now += TICK;
                self.rooms.tick(self.time());
            }
        })
    }

    /// Users join the first room; the tick that tells so.
    fn presence(&mut self) -> Duration {
        for n in 0..COMERS {
            let (time, id) = (self.time(), self.ids[0]);
            let user = user("comer", n);
            self.rooms.join(time, id, &user).expect("the room is live");
        }
        let mut longest = Duration::ZERO;
        while self.rooms.deadline().is_none() {
            self.now += TICK;
            let time = self.time();
            let took = timed(|| self.rooms.tick(time));
            longest = longest.max(took);
        }
        self.sweep();
        longest
    }

    fn empty(&mut self) -> Duration {
        let time = self.time();
        let took = timed(|| {
            for &key in &self.members {
                self.rooms.disconnect(time, key);
            }
        });
        assert_eq!(self.rooms.members(), 0);
        took
    }
}

fn record(id: RoomId) -> RoomRecord {
    RoomRecord {
        id,
        anchor: user("anchor", 0),
        title: "A room".into(),
        cover: "".into(),
        device: None,
        status: Status::Idle,
        viewer_count: 0,
        epoch: 1,
        last_seq: 0,
        heat: 0.0,
        created_at: UNIX_MS,
        updated_at: UNIX_MS,
    }
}

fn user(name: &str, number: u32) -> UserId {
    format!("{name}-{number}").parse().expect("a user id")
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Bytes of this process in memory.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: usize = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("proc_pid_statm(5)");
    pages * rustix::param::page_size()
}
