//! What a row costs the store: wall time and CPU by the size of the batch, synced at each commit or not; what reading
//! and deleting one costs, and what handing one over costs a shard.
//!
//! ```text
//! cargo bench --bench store -- --seconds 2 --dir /var/tmp
//! ```
//!
//! The file lies in a new directory below `--dir`: the disk is part of what is measured. A row is a message of
//! `--bytes` in one of `--rooms` rooms, which have `--history` messages each when it begins. CPU is that of the measuring thread (`/proc/thread-self/schedstat`), the
//! kernel's work on its behalf included, the disk's not.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use executor::mailboxes;
use media_service::config;
use media_service::ids::RoomId;
use media_service::placement::ShardId;
use media_service::store::{
    self, BATCH_DELAY, BATCH_ROWS, Entry, MessageRow, Row, STORE_ROWS_PER_SHARD, SWEEP_ROWS, Store,
    StoreView, Windows,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use tempfile::TempDir;

const FILE: &str = "bench.db";
const SEED: u64 = 3;
/// When the first message came: past any retention.
const FIRST_AT: u64 = (i64::MAX / 2) as u64;
/// Messages that a request for history takes.
const READ_ROWS: usize = 100;
/// Messages that are deleted at most: enough for the log to be carried over.
const SWEPT_ROWS: usize = 100_000;

#[derive(Parser)]
#[command(about = "Measures what a row costs the store")]
struct Arguments {
    /// Seconds measured for each line
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Where the file is made
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Bytes of a message's JSON text
    #[arg(long, default_value_t = 175)]
    bytes: usize,
    /// Rooms that talk in turn
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    rooms: u64,
    /// Messages that each of them has stored before
    #[arg(long, default_value_t = 100)]
    history: u64,
    /// Cargo passes it to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    println!(
        "{} B a message, {} rooms with {} before, {} s a line, in {}\n",
        arguments.bytes,
        arguments.rooms,
        arguments.history,
        arguments.seconds,
        arguments.dir.display()
    );
    let before = Before::new(&arguments);
    println!(
        "| fsync | rows a batch | rows/s | wall µs/row | CPU µs/row | P50 ms | P99 ms | max ms |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for fsync in [true, false] {
        for batch in [1, 10, BATCH_ROWS] {
            commits(&before, fsync, batch);
        }
    }
    reads_and_sweeps(&before);
    println!("\n| fsync | rows/s handed over | P50 ns/push | rows a batch | longest commit ms |");
    println!("|---|---|---|---|---|");
    for fsync in [true, false] {
        for rate in [1_000, 10_000, 50_000] {
            pushes(&before, fsync, rate);
        }
    }
}

/// A store with each room's history, of which each line has a copy.
struct Before<'a> {
    arguments: &'a Arguments,
    directory: TempDir,
    rooms: Arc<[RoomId]>,
}

impl<'a> Before<'a> {
    fn new(arguments: &'a Arguments) -> Self {
        let mut random = ChaCha20Rng::seed_from_u64(SEED);
        let mut room = || {
            let mut bytes = [0; 16];
            random.fill_bytes(&mut bytes);
            RoomId::from_random(bytes)
        };
        let before = Self {
            arguments,
            directory: tempfile::tempdir_in(&arguments.dir).expect("a directory"),
            rooms: (0..arguments.rooms).map(|_| room()).collect(),
        };
        let mut store = open(before.directory.path(), false);
        let mut messages = before.messages(0);
        for _ in 0..arguments.history {
            let round: Vec<_> = messages.by_ref().take(before.rooms.len()).collect();
            assert!(store.commit(&round).iter().all(Result::is_ok));
        }
        store.finish().expect("an end in order");
        before
    }

    /// A store of its own, and the messages that come next.
    fn copy(&self, fsync: bool) -> (TempDir, Store, Messages) {
        let directory = tempfile::tempdir_in(&self.arguments.dir).expect("a directory");
        let path = directory.path().join(FILE);
        fs::copy(self.directory.path().join(FILE), &path).expect("a copy");
        File::open(path)
            .and_then(|file| file.sync_all())
            .expect("a copy on disk");
        let store = open(directory.path(), fsync);
        (directory, store, self.messages(self.arguments.history))
    }

    /// Messages of all rooms in turn, after the first so many of each.
    fn messages(&self, before: u64) -> Messages {
        let filling = "x".repeat(self.arguments.bytes.saturating_sub(14));
        Messages {
            rooms: self.rooms.clone(),
            text: format!("{{\"content\":\"{filling}\"}}").into(),
            next: before * self.arguments.rooms,
        }
    }
}

fn open(directory: &Path, fsync: bool) -> Store {
    let config = config::Store {
        path: directory.join(FILE),
        fsync,
        ..config::Store::default()
    };
    let mut store = Store::open(&config).expect("a store that opens");
    store.load(0).expect("no rooms");
    store
}

/// The thread's CPU time.
fn cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("a kernel with schedstat");
    let nanos = text.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(nanos.expect("schedstat begins with the time on a CPU"))
}

/// Messages one after the other.
struct Messages {
    rooms: Arc<[RoomId]>,
    text: Box<str>,
    next: u64,
}

impl Iterator for Messages {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let number = self.next;
        self.next += 1;
        let rooms = self.rooms.len() as u64;
        Some(Entry {
            shard: ShardId::new(0),
            row: Row::Message(MessageRow {
                room: self.rooms[(number % rooms) as usize],
                epoch: 1,
                seq: number / rooms + 1,
                // Past any retention.
                at: FIRST_AT + number,
                text: self.text.clone(),
            }),
            receipt: None,
        })
    }
}

/// Commits as fast as the disk takes it.
fn commits(before: &Before<'_>, fsync: bool, rows: usize) {
    let (_directory, mut store, mut messages) = before.copy(fsync);
    let mut times = Vec::new();
    let (began, cpu_before) = (Instant::now(), cpu());
    while began.elapsed() < Duration::from_secs(before.arguments.seconds) {
        let batch: Vec<_> = messages.by_ref().take(rows).collect();
        let commit = Instant::now();
        let results = store.commit(&batch);
        times.push(commit.elapsed());
        assert!(results.iter().all(Result::is_ok));
    }
    let (wall, cpu) = (began.elapsed(), cpu() - cpu_before);
    let all = (times.len() * rows) as f64;
    times.sort_unstable();
    let milliseconds = |share: f64| {
        let index = ((times.len() - 1) as f64 * share) as usize;
        times[index].as_secs_f64() * 1e3
    };
    println!(
        "| {fsync} | {rows} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} |",
        all / wall.as_secs_f64(),
        wall.as_secs_f64() * 1e6 / all,
        cpu.as_secs_f64() * 1e6 / all,
        milliseconds(0.5),
        milliseconds(0.99),
        milliseconds(1.0)
    );
}

/// What is there is read, then deleted.
fn reads_and_sweeps(before: &Before<'_>) {
    let (_directory, mut store, _) = before.copy(true);
    let reader = store.reader().expect("a reader");
    let (began, mut read) = (cpu(), 0);
    for &room in before.rooms.iter() {
        let texts = reader.messages(room, (0, 0), READ_ROWS);
        read += texts.expect("messages").texts.len();
    }
    let reading = cpu() - began;
    drop(reader);
    let (began, mut swept) = (cpu(), 0);
    while swept < SWEPT_ROWS
        && store
            .sweep_old(i64::MAX as u64, SWEEP_ROWS)
            .expect("a sweep")
    {
        swept += SWEEP_ROWS;
    }
    let sweeping = cpu() - began;
    let micros = |time: Duration, rows: usize| time.as_secs_f64() * 1e6 / rows.max(1) as f64;
    println!(
        "\nCPU µs/row read: {:.2} ({READ_ROWS} of a room at once), deleted: {:.2}",
        micros(reading, read),
        micros(sweeping, swept)
    );
}

/// A shard that hands rows over at a rate, a few each millisecond, within its window.
fn pushes(before: &Before<'_>, fsync: bool, rate: u64) {
    let (_directory, store, mut messages) = before.copy(fsync);
    let (postbox, _inboxes) = mailboxes(1, 1).expect("a mailbox");
    let windows = Windows::new(1);
    let view = StoreView {
        postbox,
        windows: windows.clone(),
        figures: Arc::default(),
    };
    let figures = view.figures.clone();
    let (queue, store) = store::start(store, view).expect("a thread");
    let (began, mut sent, mut costs) = (Instant::now(), 0, Vec::new());
    while began.elapsed() < Duration::from_secs(before.arguments.seconds) {
        let wanted = (began.elapsed().as_secs_f64() * rate as f64) as u64;
        let window = windows.done(ShardId::new(0)) + STORE_ROWS_PER_SHARD as u64;
        let rows: Vec<_> = messages
            .by_ref()
            .take(wanted.min(window).saturating_sub(sent) as usize)
            .collect();
        let count = rows.len() as u64;
        let before = Instant::now();
        rows.into_iter().for_each(|row| queue.push(row));
        let took = before.elapsed().as_nanos() as u64;
        costs.extend(took.checked_div(count));
        sent += count;
        thread::sleep(Duration::from_millis(1));
    }
    let wall = began.elapsed();
    costs.sort_unstable();
    drop(queue);
    store.join().expect("an end in order");
    let reading = figures.read();
    assert_eq!((reading.rows, reading.failed_rows), (sent, 0));
    println!(
        "| {fsync} | {:.0} | {} | {:.1} | {:.1} |",
        sent as f64 / wall.as_secs_f64(),
        costs[costs.len() / 2],
        reading.rows as f64 / reading.batches as f64,
        reading.longest_commit.as_secs_f64() * 1e3
    );
    assert!(
        reading.batches
            <= sent.div_ceil(BATCH_ROWS as u64)
                + (wall.as_nanos() / BATCH_DELAY.as_nanos()) as u64
                + 2
    );
}
