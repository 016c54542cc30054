//! What a row costs the store: wall time and CPU by the size of the batch, synced at each commit or not, and what
//! handing one over costs a shard.
//!
//! ```text
//! cargo bench --bench store -- --seconds 2 --dir /var/tmp
//! ```
//!
//! The file lies in a new directory below `--dir`: the disk is part of what is measured. A row is a message of
//! `--bytes` in one of `--rooms` rooms. CPU is that of the measuring thread (`/proc/thread-self/schedstat`), the
//! kernel's work on its behalf included, the disk's not.

use std::fs;
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
    self, BATCH_DELAY, BATCH_ROWS, Entry, MessageRow, Row, STORE_ROWS_PER_SHARD, Store, StoreView,
    Windows,
};

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
    #[arg(long, default_value_t = 250)]
    bytes: usize,
    /// Rooms that talk in turn
    #[arg(long, default_value_t = 100)]
    rooms: u64,
    /// Cargo passes it to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    println!(
        "{} B a message, {} rooms, {} s a line, in {}\n",
        arguments.bytes,
        arguments.rooms,
        arguments.seconds,
        arguments.dir.display()
    );
    println!(
        "| fsync | rows a batch | rows/s | wall µs/row | CPU µs/row | P50 ms | P99 ms | max ms |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for fsync in [true, false] {
        for batch in [1, 10, BATCH_ROWS] {
            commits(&arguments, fsync, batch);
        }
    }
    println!("\n| fsync | rows/s handed over | P50 ns/push | rows a batch | longest commit ms |");
    println!("|---|---|---|---|---|");
    for fsync in [true, false] {
        for rate in [1_000, 10_000, 50_000] {
            pushes(&arguments, fsync, rate);
        }
    }
}

fn open(directory: &Path, fsync: bool) -> Store {
    let config = config::Store {
        path: directory.join("bench.db"),
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
    rooms: u64,
    text: Box<str>,
    next: u64,
}

impl Messages {
    fn new(arguments: &Arguments) -> Self {
        let filling = "x".repeat(arguments.bytes.saturating_sub(14));
        Self {
            rooms: arguments.rooms.max(1),
            text: format!("{{\"content\":\"{filling}\"}}").into(),
            next: 0,
        }
    }
}

impl Iterator for Messages {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let number = self.next;
        self.next += 1;
        Some(Entry {
            shard: ShardId::new(0),
            row: Row::Message(MessageRow {
                room: RoomId::new(number % self.rooms + 1)?,
                epoch: 1,
                seq: number / self.rooms + 1,
                // Past any retention.
                at: (i64::MAX / 2) as u64 + number,
                text: self.text.clone(),
            }),
            receipt: None,
        })
    }
}

/// Commits as fast as the disk takes it.
fn commits(arguments: &Arguments, fsync: bool, rows: usize) {
    let directory = tempfile::tempdir_in(&arguments.dir).expect("a directory");
    let mut store = open(directory.path(), fsync);
    let mut messages = Messages::new(arguments);
    let mut times = Vec::new();
    let (began, cpu_before) = (Instant::now(), cpu());
    while began.elapsed() < Duration::from_secs(arguments.seconds) {
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

/// A shard that hands rows over at a rate, a few each millisecond, within its window.
fn pushes(arguments: &Arguments, fsync: bool, rate: u64) {
    let directory = tempfile::tempdir_in(&arguments.dir).expect("a directory");
    let (postbox, _inboxes) = mailboxes(1, 1).expect("a mailbox");
    let windows = Windows::new(1);
    let view = StoreView {
        postbox,
        windows: windows.clone(),
        figures: Arc::default(),
    };
    let figures = view.figures.clone();
    let (queue, store) = store::start(open(directory.path(), fsync), view).expect("a thread");
    let mut messages = Messages::new(arguments);
    let (began, mut sent, mut costs) = (Instant::now(), 0, Vec::new());
    while began.elapsed() < Duration::from_secs(arguments.seconds) {
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
