//! The side thread: what would hold up a shard for milliseconds runs here.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use executor::{Health, Postbox};
use tracing::{error, warn};

use crate::accounts::AccountQueue;
use crate::driver::Mail;
use crate::error::ApiError;
use crate::http::Response;
use crate::ids::RoomId;
use crate::limits::{MAIL_PATIENCE, SIDE_JOBS};
use crate::logging::DroppedLines;
use crate::message::Message;
use crate::metrics::{
    ExecutorFigures, LastAnswers, LeakDetector, ProcessFigures, StoreFigures, encode,
};
use crate::placement::ShardId;
use crate::shard::Job;
use crate::store::Reader;
use crate::totals::{Total, Totals};

/// How often what no live thing accounts for is counted (M12).
const LEAK_SAMPLE_INTERVAL: Duration = Duration::from_secs(10);

/// The shards' end of the side thread's queue. Pushing never waits.
#[derive(Debug, Clone)]
pub struct SideQueue(SyncSender<Job>);

impl SideQueue {
    /// Gives the thread a job; it comes back when the queue is full.
    pub fn push(&self, job: Job) -> Result<(), Job> {
        self.0.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
        })
    }
}

/// The side thread's own end, before it runs.
#[derive(Debug)]
pub struct Side(Receiver<Job>);

/// What the side thread reads the process' figures from.
pub struct SideView {
    /// Where answers go.
    pub postbox: Postbox<Mail>,
    /// What the watchdog sees.
    pub health: Health,
    /// The shards' gauges.
    pub totals: Arc<Totals>,
    /// Lost log lines.
    pub log: DroppedLines,
    /// What the store's thread counts.
    pub store: Arc<StoreFigures>,
    /// What is stored.
    pub reader: Reader,
    /// Passwords and log-ins, on a thread of their own.
    pub accounts: AccountQueue,
}

/// Makes the queue.
pub fn side() -> (SideQueue, Side) {
    let (sender, receiver) = sync_channel(SIDE_JOBS);
    (SideQueue(sender), Side(receiver))
}

impl Side {
    /// Starts the thread. It ends with the last [`SideQueue`].
    pub fn start(self, view: SideView) -> std::io::Result<()> {
        thread::Builder::new()
            .name("side".into())
            .spawn(move || self.run(&view))?;
        Ok(())
    }

    fn run(self, view: &SideView) {
        let mut leak = LeakDetector::new();
        let mut last = LastAnswers::new();
        let mut sample_at = Instant::now();
        loop {
            let now = Instant::now();
            if now >= sample_at {
                sample_at = now + LEAK_SAMPLE_INTERVAL;
                leak.sample(now, unaccounted(view, &ProcessFigures::read()));
            }
            match self
                .0
                .recv_timeout(sample_at.saturating_duration_since(now))
            {
                Ok(job) => run_job(view, &leak, &mut last, job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// Descriptors and threads that no open connection accounts for.
fn unaccounted(view: &SideView, process: &ProcessFigures) -> u64 {
    let held = process.open_fds.unwrap_or_default() + process.threads.unwrap_or_default();
    held.saturating_sub(view.totals.sum(Total::Connections) as u64)
}

fn run_job(view: &SideView, leak: &LeakDetector, last: &mut LastAnswers, job: Job) {
    match job {
        Job::EncodeMetrics {
            from,
            connection,
            gather,
            snapshots,
        } => {
            let mut process = ProcessFigures::read();
            process.tasks = leak.count();
            process.tasks_max = leak.max();
            process.potential_leak = leak.potential_leak();
            process.log_lines_dropped = view.log.count() as u64;
            let figures = |shard: executor::ShardHealth| ExecutorFigures {
                kicks: shard.kicks,
                longest_stall: shard.longest_stall,
            };
            process.store = view.store.read();
            process.executors = view.health.shards().map(figures).collect();
            match encode(last.update(snapshots), &process) {
                Ok(text) => {
                    let message = Message::Encoded {
                        connection,
                        gather,
                        text,
                    };
                    deliver(&view.postbox, from, message);
                }
                Err(fault) => error!("the metrics cannot be written: {fault}"),
            }
        }
        Job::History {
            from,
            connection,
            gather,
            room,
            after,
            limit,
        } => {
            let message = Message::Replied {
                connection,
                gather,
                reply: history(&view.reader, room, after, limit),
            };
            deliver(&view.postbox, from, message);
        }
        Job::Account(job) => {
            if let Err(refused) = view.accounts.push(job) {
                let message = Message::Replied {
                    connection: refused.connection,
                    gather: refused.gather,
                    reply: Err(ApiError::ShardBusy),
                };
                deliver(&view.postbox, refused.from, message);
            }
        }
    }
}

/// Stored messages of a room, as the answer to who asks for them. They are objects as they are:
/// nothing is parsed.
pub fn history(
    reader: &Reader,
    room: RoomId,
    after: (u32, u64),
    limit: usize,
) -> Result<Response, ApiError> {
    let messages = reader.messages(room, after, limit).map_err(|fault| {
        error!(%room, "messages cannot be read: {fault}");
        ApiError::StoreFailed
    })?;
    let body = format!("{{\"messages\":[{}]}}", messages.join(","));
    Ok(Response::text(200, "application/json", body.into_bytes()))
}

/// Sends a message to a shard, and waits a while for a place in its mailbox.
pub(crate) fn deliver(postbox: &Postbox<Mail>, to: ShardId, message: Message) {
    let shard = to.index();
    let mut mail = Mail::Message(message);
    let give_up = Instant::now() + MAIL_PATIENCE;
    loop {
        match postbox.send(shard, mail) {
            Ok(()) => return,
            Err(full) if Instant::now() < give_up => {
                mail = full.0;
                thread::sleep(Duration::from_millis(1));
            }
            Err(_) => return warn!(shard, "an answer was lost: the mailbox stayed full"),
        }
    }
}
