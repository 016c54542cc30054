//! What the store acknowledged is there after `kill -9` at any moment, and a restart tells that it was one.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use media_service::config;
use media_service::ids::{RoomId, UserId};
use media_service::placement::ShardId;
use media_service::rooms::{RoomRecord, Status};
use media_service::store::{BATCH_ROWS, Entry, MessageRow, Row, Store};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// The child's instructions: the file, whether each commit is synced, the seed, and after how many batches it ends in
/// order. In a process without it the child's part is no test.
const CHILD: &str = "STORE_CRASH_CHILD";
const CHILD_TEST: &str = "the_process_that_is_killed";

const ROUNDS: u64 = 40;
const SEED: u64 = 20_260_214;
/// Batches of a child that is left alone; one that is to be killed does not come so far.
const BATCHES_TO_THE_END: usize = 20;
const BATCHES_FOR_EVER: usize = usize::MAX;

fn room() -> RoomId {
    RoomId::new(42).expect("a number of a room")
}

fn open(path: &Path, fsync: bool) -> Store {
    let config = config::Store {
        path: path.into(),
        fsync,
        ..config::Store::default()
    };
    Store::open(&config).expect("a store that opens")
}

fn below(random: &mut ChaCha20Rng, end: u64) -> u64 {
    random.next_u64() % end
}

fn entry(row: Row) -> Entry {
    Entry {
        shard: ShardId::new(0),
        row,
        receipt: None,
    }
}

/// A message whose text tells which one it is, some of several pages.
fn message(random: &mut ChaCha20Rng, epoch: u32, seq: u64) -> Entry {
    let filling = match below(random, 20) {
        0 => 8 << 10,
        _ => below(random, 300),
    };
    let filling = "x".repeat(filling as usize);
    entry(Row::Message(MessageRow {
        room: room(),
        epoch,
        seq,
        at: seq,
        text: format!("{{\"seq\":{seq},\"content\":\"{filling}\"}}").into(),
    }))
}

/// Commits batches, and prints `ack <epoch> <seq>` after each.
#[test]
fn the_process_that_is_killed() {
    let Ok(instructions) = env::var(CHILD) else {
        return;
    };
    let mut words = instructions.split(' ');
    let mut word = || words.next().expect("four words");
    let path = word().to_owned();
    let fsync = word() == "true";
    let mut random = ChaCha20Rng::seed_from_u64(word().parse().expect("a seed"));
    let batches: usize = word().parse().expect("a number of batches");

    let mut store = open(Path::new(&path), fsync);
    let rooms = store.load(1).expect("rooms");
    let (epoch, mut seq) = match rooms.first() {
        Some((record, _)) => (record.epoch, record.last_seq),
        None => {
            let record = Row::Room(Box::new(new_room()));
            assert_eq!(store.commit(&[entry(record)]), [Ok(())]);
            (1, 0)
        }
    };
    println!("\nack {epoch} {seq}");
    for _ in 0..batches {
        let size = 1 + below(&mut random, BATCH_ROWS as u64);
        let batch: Vec<_> = (seq + 1..=seq + size)
            .map(|seq| message(&mut random, epoch, seq))
            .collect();
        assert!(store.commit(&batch).iter().all(Result::is_ok));
        seq += size;
        println!("ack {epoch} {seq}");
    }
    store.finish().expect("an end in order");
}

fn new_room() -> RoomRecord {
    RoomRecord {
        id: room(),
        anchor: UserId::try_from("anchor").expect("a user's id"),
        title: "Crash".into(),
        cover: "".into(),
        device: None,
        status: Status::Live,
        viewer_count: 0,
        epoch: 1,
        last_seq: 0,
        heat: 0.0,
        created_at: 0,
        updated_at: 0,
    }
}

struct Writer {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    acknowledged: Option<(u32, u64)>,
}

impl Writer {
    fn start(path: &Path, fsync: bool, seed: u64, batches: usize) -> Self {
        let this = env::current_exe().expect("the test's own path");
        let mut process = Command::new(this)
            .args(["--exact", CHILD_TEST, "--nocapture"])
            .env(
                CHILD,
                format!("{} {fsync} {seed} {batches}", path.display()),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let stdout = process.stdout.take().expect("piped");
        Self {
            process,
            lines: BufReader::new(stdout).lines(),
            acknowledged: None,
        }
    }

    /// The next acknowledgement; `None` at the end.
    fn next(&mut self) -> Option<(u32, u64)> {
        loop {
            let line = self.lines.next()?.expect("text");
            if let Some(rest) = line.strip_prefix("ack ") {
                let (epoch, seq) = rest.split_once(' ').expect("two numbers");
                let place = (
                    epoch.parse().expect("an epoch"),
                    seq.parse().expect("a seq"),
                );
                self.acknowledged = Some(place);
                return self.acknowledged;
            }
        }
    }

    /// The last that was acknowledged, once the process is gone.
    fn last(mut self) -> (u32, u64) {
        while self.next().is_some() {}
        self.process.wait().expect("our child");
        self.acknowledged.expect("it has begun")
    }
}

/// Everything that was acknowledged is there, and in between nothing is missing.
fn check(store: &Store, epoch: u32, acknowledged: u64) {
    let reader = store.reader().expect("a reader");
    let texts = reader
        .messages(room(), (epoch, 0), usize::MAX)
        .expect("messages")
        .texts;
    assert!(
        texts.len() as u64 >= acknowledged,
        "{} of {acknowledged} are left",
        texts.len()
    );
    for (text, seq) in texts.iter().zip(1u64..) {
        let expected = format!("{{\"epoch\":{epoch},\"seq\":{seq},");
        assert!(text.starts_with(&expected), "{text} is not {seq}");
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    println!("seed: {SEED}");
    let mut random = ChaCha20Rng::seed_from_u64(SEED);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("crash.db");
    let mut before: Option<(u32, bool)> = None;
    for round in 0..ROUNDS {
        let fsync = round % 2 == 0;
        let in_order = round % 8 == 5;
        let batches = match in_order {
            true => BATCHES_TO_THE_END,
            false => BATCHES_FOR_EVER,
        };
        let mut writer = Writer::start(&path, fsync, random.next_u64(), batches);
        let (epoch, _) = writer.next().expect("it begins");
        if let Some((before, in_order)) = before {
            let expected = if in_order { before } else { before + 1 };
            assert_eq!(epoch, expected, "round {round}");
        }
        if !in_order {
            for _ in 0..below(&mut random, 20) {
                writer.next();
            }
            // Somewhere within a commit; at times within the one that carries the log over.
            thread::sleep(Duration::from_micros(below(&mut random, 10_000)));
            writer.process.kill().expect("a child that runs");
        }
        let (_, acknowledged) = writer.last();
        // As another process would find it. Opening changes it, so it is a copy.
        let copy = tempfile::tempdir().expect("a directory");
        for file in ["crash.db", "crash.db-wal"] {
            let from = directory.path().join(file);
            if from.exists() {
                std::fs::copy(from, copy.path().join(file)).expect("a copy");
            }
        }
        check(
            &open(&copy.path().join("crash.db"), true),
            epoch,
            acknowledged,
        );
        before = Some((epoch, in_order));
    }
}
