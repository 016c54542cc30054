use std::path::Path;

use executor::{Inbox, mailboxes};
use tempfile::TempDir;

use super::*;
use crate::config;
use crate::connection::ConnectionId;
use crate::ids::{RoomId, UserId};
use crate::message::GatherId;
use crate::store::{Asker, MessageRow, Receipt, Row};

/// Messages in a shard's mailbox: few, so that it can be filled.
const MAILBOX: usize = 4;

/// A time that no retention reaches.
const NEVER_OLD: u64 = i64::MAX as u64;

fn store_at(path: &Path) -> Store {
    let config = config::Store {
        path: path.into(),
        ..config::Store::default()
    };
    Store::open(&config).unwrap()
}

fn view(shards: usize) -> (StoreView, Vec<Inbox<Mail>>) {
    let (postbox, inboxes) = mailboxes(shards, MAILBOX).unwrap();
    let view = StoreView {
        postbox,
        windows: Windows::new(shards),
        figures: Arc::default(),
    };
    (view, inboxes)
}

/// A worker that no thread runs, in virtual time.
struct Bench {
    worker: Worker,
    queue: StoreQueue,
    inboxes: Vec<Inbox<Mail>>,
    now: Instant,
}

impl Bench {
    fn new(shards: usize) -> Self {
        let (view, inboxes) = view(shards);
        let (sender, rows) = channel();
        Self {
            worker: Worker::new(store_at(Path::new(":memory:")), rows, view),
            queue: StoreQueue(sender),
            inboxes,
            now: Instant::now(),
        }
    }

    /// What the thread does until it would sleep or wait. Gives that.
    fn run(&mut self) -> Next {
        loop {
            let open = self.worker.gather(self.now);
            let next = self.worker.batch.next(self.now, open);
            if next != Next::Commit {
                return next;
            }
            self.worker.commit(self.now);
            self.worker.deliver(self.now);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn done(&self, shard: u16) -> u64 {
        self.worker.view.windows.done(ShardId::new(shard))
    }

    /// What has come to the shard: the requests of each message, and whether they were stored.
    fn receipts(&mut self, shard: usize) -> Vec<Vec<(u64, bool)>> {
        let mut mail = Vec::new();
        self.inboxes[shard].receive(usize::MAX, &mut mail);
        let stored = mail.into_iter().map(|mail| match mail {
            Mail::Message(Message::Stored(receipts)) => receipts,
            other => panic!("{other:?}"),
        });
        let of = |(receipt, result): (Receipt, Result<(), StoreFault>)| match receipt {
            Receipt::NewUser(asker, _) => (asker.gather.0, result.is_ok()),
            other => panic!("{other:?}"),
        };
        stored
            .map(|receipts| receipts.into_iter().map(of).collect())
            .collect()
    }
}

fn row(shard: u16, seq: u64) -> Entry {
    Entry {
        shard: ShardId::new(shard),
        row: Row::Message(MessageRow {
            room: RoomId::new(u64::from(shard) + 1).unwrap(),
            epoch: 1,
            seq,
            at: NEVER_OLD,
            text: "{\"type\":\"danmu\"}".into(),
        }),
        receipt: None,
    }
}

/// Somebody waits for it.
fn awaited(shard: u16, seq: u64) -> Entry {
    let asker = Asker {
        connection: ConnectionId::new(0, 0),
        gather: GatherId(seq),
    };
    Entry {
        receipt: Some(Receipt::NewUser(asker, UserId::default())),
        ..row(shard, seq)
    }
}

#[test]
fn a_batch_waits_for_more_rows_but_not_long() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.run(), Next::Wait);
    bench.queue.push(awaited(0, 1));
    assert_eq!(bench.run(), Next::Sleep(BATCH_DELAY));
    bench.pass(BATCH_DELAY - Duration::from_millis(1));
    bench.queue.push(awaited(0, 2));
    assert_eq!(bench.run(), Next::Sleep(Duration::from_millis(1)));
    assert_eq!(bench.receipts(0).len(), 0);

    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.run(), Next::Wait);
    assert_eq!(bench.receipts(0), [[(1, true), (2, true)]]);
    assert_eq!(bench.worker.view.figures.read().batches, 1);
}

#[test]
fn a_batch_that_is_full_does_not_wait() {
    let mut bench = Bench::new(1);
    let rows = BATCH_ROWS as u64;
    (1..=2 * rows + 1).for_each(|seq| bench.queue.push(row(0, seq)));
    assert_eq!(bench.run(), Next::Sleep(BATCH_DELAY));
    let figures = bench.worker.view.figures.read();
    assert_eq!((figures.rows, figures.batches), (2 * rows, 2));
    assert_eq!(bench.done(0), 2 * rows);
}

#[test]
fn the_last_rows_are_written_at_once_when_the_queues_are_gone() {
    let mut bench = Bench::new(1);
    bench.queue.push(row(0, 1));
    bench.queue = StoreQueue(channel().0);
    assert_eq!(bench.run(), Next::End);
    assert_eq!(bench.worker.view.figures.read().rows, 1);
}

#[test]
fn each_shard_is_told_once_a_batch_and_in_its_order() {
    let mut bench = Bench::new(3);
    for seq in 1..=3 {
        bench.queue.push(awaited(0, seq));
        bench.queue.push(row(1, seq));
        bench.queue.push(awaited(2, seq));
    }
    // The same message a second time is not stored.
    bench.queue.push(awaited(2, 2));
    bench.run();
    bench.pass(BATCH_DELAY);
    bench.run();
    assert_eq!(bench.receipts(0), [[(1, true), (2, true), (3, true)]]);
    assert_eq!(bench.receipts(1).len(), 0, "nobody waits there");
    assert_eq!(
        bench.receipts(2),
        [[(1, true), (2, true), (3, true), (2, false)]]
    );
    assert_eq!([0, 1, 2].map(|shard| bench.done(shard)), [3, 3, 4]);
    let figures = bench.worker.view.figures.read();
    assert_eq!((figures.rows, figures.failed_rows), (10, 1));
}

#[test]
fn a_full_mailbox_closes_its_own_shards_window_alone() {
    let mut bench = Bench::new(2);
    let write = |bench: &mut Bench, seq| {
        bench.queue.push(awaited(0, seq));
        bench.queue.push(awaited(1, seq));
        bench.run();
        bench.pass(BATCH_DELAY);
        bench.run();
    };
    let room = MAILBOX as u64;
    for seq in 1..=room + 2 {
        write(&mut bench, seq);
        assert_eq!(bench.receipts(1), [[(seq, true)]]);
    }
    assert_eq!((bench.done(0), bench.done(1)), (room, room + 2));

    assert_eq!(bench.receipts(0).len(), MAILBOX);
    bench.worker.deliver(bench.now);
    let late = [[(room + 1, true), (room + 2, true)]];
    assert_eq!(bench.receipts(0), late, "two batches in one message");
    assert_eq!(bench.done(0), room + 2);
}

#[test]
fn receipts_are_given_up_after_a_second_and_the_window_opens() {
    let mut bench = Bench::new(1);
    let rows = MAILBOX as u64 + 1;
    for seq in 1..=rows {
        bench.queue.push(awaited(0, seq));
        bench.run();
        bench.pass(BATCH_DELAY);
        bench.run();
    }
    bench.pass(MAIL_PATIENCE - Duration::from_millis(1));
    bench.worker.deliver(bench.now);
    assert_eq!(bench.done(0), rows - 1);
    bench.pass(Duration::from_millis(1));
    bench.worker.deliver(bench.now);
    assert_eq!(bench.done(0), rows);
    assert_eq!(bench.receipts(0).len(), MAILBOX);
}

#[test]
fn a_thread_that_is_joined_has_written_everything_and_ends_in_order() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("rooms.db");
    let (view, mut inboxes) = view(2);
    let (queue, thread) = start(store_at(&path), view).unwrap();
    let rows = 3 * BATCH_ROWS as u64 + 7;
    thread::scope(|scope| {
        for shard in 0..2 {
            let queue = queue.clone();
            scope.spawn(move || (1..=rows).for_each(|seq| queue.push(row(shard, seq))));
        }
    });
    drop(queue);
    thread.join().unwrap();
    for inbox in &mut inboxes {
        let mut mail = Vec::new();
        inbox.receive(usize::MAX, &mut mail);
        assert_eq!(mail.len(), 0, "nobody waited");
    }
    let reader = store_at(&path).reader().unwrap();
    for room in [1, 2] {
        let page = reader.messages(RoomId::new(room).unwrap(), (0, 0), usize::MAX);
        assert_eq!(page.unwrap().texts.len(), rows as usize);
    }
}
