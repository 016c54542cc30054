//! The store's thread: gathers rows, commits them, tells who waits.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use executor::Postbox;
use tracing::{error, warn};

use super::{Entry, Receipts, SWEEP_ROWS, Store, StoreFault, StoreQueue, Windows};
use crate::driver::Mail;
use crate::faults::{Thread, pass_thread};
use crate::limits::MAIL_PATIENCE;
use crate::logging::paced::Paced;
use crate::message::Message;
use crate::metrics::StoreFigures;
use crate::placement::ShardId;
use crate::threads;

/// Rows of a transaction at most.
pub const BATCH_ROWS: usize = 100;
/// How long after its first row a batch that is not full is committed.
pub const BATCH_DELAY: Duration = Duration::from_millis(10);

/// How often old messages are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// The time between two deletions while there are more: commits come in between.
const SWEEP_PAUSE: Duration = Duration::from_millis(10);

/// How soon a full mailbox is tried again when there is nothing else to do.
const DELIVERY_PAUSE: Duration = Duration::from_millis(1);

/// Failures are logged at most so often: a full disk fails a hundred times a second.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// What the thread writes to besides the store.
pub struct StoreView {
    /// Where receipts go.
    pub postbox: Postbox<Mail>,
    /// What the shards may hand over.
    pub windows: Arc<Windows>,
    /// What it counts.
    pub figures: Arc<StoreFigures>,
}

/// The running thread.
#[derive(Debug)]
pub struct StoreThread(JoinHandle<Store>);

impl StoreThread {
    /// Waits until every [`StoreQueue`] is gone and every row is written, and ends the store in
    /// order. Without this call it counts as ended by a crash.
    pub fn join(self) -> Result<(), StoreFault> {
        match self.0.join() {
            Ok(store) => store.finish(),
            Err(_) => Err(StoreFault::Failed("its thread died".into())),
        }
    }
}

/// Starts the thread, which runs until the last [`StoreQueue`] is dropped.
pub fn start(store: Store, view: StoreView) -> io::Result<(StoreQueue, StoreThread)> {
    let (sender, rows) = channel();
    let worker = Worker::new(store, rows, view);
    let handle = threads::start("store", || worker.run())?;
    Ok((StoreQueue(sender), StoreThread(handle)))
}

struct Worker {
    store: Store,
    rows: Receiver<Entry>,
    view: StoreView,
    batch: Batch,
    answers: Vec<Answers>,
    sweep_at: Instant,
    complaints: Paced,
}

impl Worker {
    fn new(store: Store, rows: Receiver<Entry>, view: StoreView) -> Self {
        Self {
            store,
            rows,
            batch: Batch::default(),
            answers: (0..view.postbox.shards())
                .map(|_| Answers::default())
                .collect(),
            view,
            sweep_at: Instant::now(),
            complaints: Paced::once_in(LOG_INTERVAL),
        }
    }

    fn run(mut self) -> Store {
        loop {
            pass_thread(Thread::Store);
            let now = Instant::now();
            let open = self.gather(now);
            match self.batch.next(now, open) {
                Next::Commit => self.commit(now),
                // Asleep, not waiting for the queue: so a push wakes nobody.
                Next::Sleep(pause) => thread::sleep(pause),
                Next::Wait => self.wait(now),
                // Whoever could be told has ended too.
                Next::End => return self.store,
            }
            let now = Instant::now();
            self.deliver(now);
            self.sweep(now);
        }
    }

    /// Takes rows into the batch. False: no more will come.
    fn gather(&mut self, now: Instant) -> bool {
        while !self.batch.is_full() {
            match self.rows.try_recv() {
                Ok(entry) => self.batch.push(now, entry),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    /// Waits for a row, or for something else to do.
    fn wait(&mut self, now: Instant) {
        let pause = match self.answers.iter().all(Answers::is_empty) {
            true => self.sweep_at.saturating_duration_since(now),
            false => DELIVERY_PAUSE,
        };
        match self.rows.recv_timeout(pause) {
            Ok(entry) => self.batch.push(Instant::now(), entry),
            // The latter shows in the next turn.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    fn commit(&mut self, began: Instant) {
        let entries = self.batch.take();
        let results = self.store.commit(&entries);
        let now = Instant::now();
        let failed =
            |result: &&Result<(), StoreFault>| matches!(result, Err(StoreFault::Failed(_)));
        let faults = results.iter().filter(failed).count();
        self.view
            .figures
            .batch(entries.len(), faults, now.duration_since(began));
        if let Some(Err(fault)) = results.iter().find(failed) {
            self.complain(now, faults, fault);
        }
        for (entry, result) in entries.into_iter().zip(results) {
            let answers = &mut self.answers[entry.shard.index()];
            answers.rows += 1;
            if let Some(receipt) = entry.receipt {
                answers.receipts.push((receipt, result));
            }
        }
    }

    /// Rows that were not stored, and why not.
    fn complain(&mut self, now: Instant, rows: usize, fault: &StoreFault) {
        if let Some(rows) = self.complaints.count(now, rows as u64) {
            error!(rows, "{fault}");
        }
    }

    /// Tells the shards what they wait for, and opens their windows: one message a shard. A mailbox
    /// that is full keeps nobody else waiting.
    fn deliver(&mut self, now: Instant) {
        let (postbox, windows) = (&self.view.postbox, &self.view.windows);
        for (index, answers) in self.answers.iter_mut().enumerate() {
            if answers.is_empty() {
                continue;
            }
            let receipts = std::mem::take(&mut answers.receipts);
            if !receipts.is_empty() {
                let mail = Mail::Message(Message::Stored(receipts));
                if let Err(full) = postbox.send(index, mail) {
                    let give_up = *answers.give_up.get_or_insert(now + MAIL_PATIENCE);
                    if now < give_up {
                        if let Mail::Message(Message::Stored(receipts)) = full.0 {
                            answers.receipts = receipts;
                        }
                        continue;
                    }
                    warn!(shard = index, "receipts were lost: the mailbox stayed full");
                }
            }
            // A `ShardId` is a u16, and the postbox has a mailbox for each.
            windows.advance(ShardId::new(index as u16), answers.rows);
            *answers = Answers::default();
        }
    }

    /// Deletes some of what is old, when it is time.
    fn sweep(&mut self, now: Instant) {
        if now < self.sweep_at {
            return;
        }
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64);
        let more = self.store.sweep_old(unix, SWEEP_ROWS);
        self.sweep_at = match more {
            Ok(true) => Instant::now() + SWEEP_PAUSE,
            Ok(false) => now + SWEEP_INTERVAL,
            Err(fault) => {
                self.complain(now, 0, &fault);
                now + SWEEP_INTERVAL
            }
        };
    }
}

/// Rows that are committed together.
#[derive(Debug, Default)]
struct Batch {
    entries: Vec<Entry>,
    /// When it is committed as it is.
    due: Option<Instant>,
}

/// What the thread does next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The batch is due.
    Commit,
    /// It is not.
    Sleep(Duration),
    /// There is no row.
    Wait,
    /// There is none and none will come.
    End,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.entries.len() >= BATCH_ROWS
    }

    fn push(&mut self, now: Instant, entry: Entry) {
        self.due.get_or_insert(now + BATCH_DELAY);
        self.entries.push(entry);
    }

    /// What there is to do; `open`: further rows may come.
    fn next(&self, now: Instant, open: bool) -> Next {
        match self.due {
            Some(due) if open && now < due && !self.is_full() => Next::Sleep(due - now),
            Some(_) => Next::Commit,
            None if open => Next::Wait,
            None => Next::End,
        }
    }

    fn take(&mut self) -> Vec<Entry> {
        self.due = None;
        std::mem::replace(&mut self.entries, Vec::with_capacity(BATCH_ROWS))
    }
}

/// What a shard is still to be told.
#[derive(Debug, Default)]
struct Answers {
    /// Rows that are done with.
    rows: u64,
    receipts: Receipts,
    /// Its mailbox is full: when that is put up with no longer.
    give_up: Option<Instant>,
}

impl Answers {
    fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

#[cfg(test)]
mod tests;
