//! The side thread: what would hold up a shard for milliseconds runs here.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError, Sender, TrySendError, bounded, select_biased};
use executor::{Health, Postbox};
use tracing::{error, warn};

use crate::accounts::{AccountQueue, profile};
use crate::driver::Mail;
use crate::error::ApiError;
use crate::faults::{Thread, pass_thread};
use crate::http::Response;
use crate::ids::RoomId;
use crate::limits::{MAIL_PATIENCE, SIDE_READS, SIDE_SCRAPES};
use crate::logging::DroppedLines;
use crate::message::Message;
use crate::metrics::{
    ExecutorFigures, Held, HeldWatch, LastAnswers, ProcessFigures, ReloadFigures, StoreFigures,
    encode,
};
use crate::placement::ShardId;
use crate::shard::{Job, Read, ReadJob, Scrape};
use crate::store::{Page, Reader, StoreFault};
use crate::threads;
use crate::totals::Totals;

/// The shards' end of the queues beside them. Pushing never waits.
#[derive(Debug, Clone)]
pub struct SideQueue {
    scrapes: Sender<Scrape>,
    reads: Sender<ReadJob>,
    accounts: AccountQueue,
}

impl SideQueue {
    /// Gives a job to the thread that does it; it comes back when that has enough of its kind.
    pub fn push(&self, job: Job) -> Result<(), Job> {
        match job {
            Job::Scrape(job) => refused(self.scrapes.try_send(job)).map_err(Job::Scrape),
            Job::Read(job) => refused(self.reads.try_send(job)).map_err(Job::Read),
            Job::Account(job) => self.accounts.push(job).map_err(Job::Account),
        }
    }
}

/// What comes back of a queue that is full, or whose thread has ended.
fn refused<T>(sent: Result<(), TrySendError<T>>) -> Result<(), T> {
    sent.map_err(TrySendError::into_inner)
}

/// The side thread's own end, before it runs.
#[derive(Debug)]
pub struct Side {
    scrapes: Receiver<Scrape>,
    reads: Receiver<ReadJob>,
}

/// What the side thread reads the process' figures from.
pub struct SideView {
    /// Where answers go.
    pub postbox: Postbox<Mail>,
    /// What the watchdog sees.
    pub health: Health,
    /// The shards' gauges.
    pub totals: Arc<Totals>,
    /// How often what the process holds is counted.
    pub leak_interval: Duration,
    /// Lost log lines.
    pub log: DroppedLines,
    /// What the store's thread counts.
    pub store: Arc<StoreFigures>,
    /// What the control thread counts.
    pub reloads: Arc<ReloadFigures>,
    /// What is stored.
    pub reader: Reader,
}

/// Makes the queues; `accounts` is that of the thread of accounts.
pub fn side(accounts: AccountQueue) -> (SideQueue, Side) {
    let (scrapes, scrapes_out) = bounded(SIDE_SCRAPES);
    let (reads, reads_out) = bounded(SIDE_READS);
    let queue = SideQueue {
        scrapes,
        reads,
        accounts,
    };
    let side = Side {
        scrapes: scrapes_out,
        reads: reads_out,
    };
    (queue, side)
}

impl Side {
    /// Starts the thread. It ends with the last [`SideQueue`].
    pub fn start(self, view: SideView) -> std::io::Result<()> {
        threads::start("side", move || self.run(&view)).map(drop)
    }

    fn run(self, view: &SideView) {
        let mut watch = HeldWatch::new(view.leak_interval, &view.totals);
        let mut last = LastAnswers::new();
        let mut sample_at = Instant::now();
        loop {
            let now = Instant::now();
            if now >= sample_at {
                sample_at = now + view.leak_interval;
                watch.sample(now, &view.totals);
            }
            pass_thread(Thread::Side);
            // A scrape first, where there is one.
            select_biased! {
                recv(self.scrapes) -> scrape => match scrape {
                    Ok(scrape) => write(view, watch.held(), &mut last, scrape),
                    Err(RecvError) => return,
                },
                recv(self.reads) -> job => match job {
                    Ok(job) => answer(view, job),
                    Err(RecvError) => return,
                },
                default(sample_at.saturating_duration_since(now)) => {}
            }
        }
    }
}

fn write(view: &SideView, held: &Held, last: &mut LastAnswers, scrape: Scrape) {
    let mut process = ProcessFigures::read();
    process.held = held.clone();
    process.log_lines_dropped = view.log.count() as u64;
    let figures = |shard: executor::ShardHealth| ExecutorFigures {
        longest_stall: shard.longest_stall,
    };
    process.store = view.store.read();
    process.reloads = view.reloads.read();
    process.memory_limit = view.totals.memory_limit();
    process.memory_short = view.totals.is_memory_short();
    process.executors = view.health.shards().map(figures).collect();
    match encode(last.update(scrape.snapshots), &process) {
        Ok(text) => {
            let message = Message::Encoded {
                connection: scrape.connection,
                gather: scrape.gather,
                text,
            };
            deliver(&view.postbox, scrape.from, message);
        }
        Err(fault) => error!("the metrics cannot be written: {fault}"),
    }
}

fn answer(view: &SideView, job: ReadJob) {
    let message = Message::Replied {
        connection: job.connection,
        gather: job.gather,
        reply: read(&view.reader, &job.read),
    };
    deliver(&view.postbox, job.from, message);
}

/// What is stored, as the answer to who asks for it.
pub fn read(reader: &Reader, read: &Read) -> Result<Response, ApiError> {
    match read {
        Read::History { room, after, limit } => {
            history(*room, reader.messages(*room, *after, *limit))
        }
        Read::Newest { room, limit } => history(*room, reader.newest(*room, *limit)),
        Read::Profile { user, role, online } => profile(reader, user, *role, *online),
    }
}

/// Stored messages of a room. They are objects as they are: nothing is parsed.
fn history(room: RoomId, page: Result<Page, StoreFault>) -> Result<Response, ApiError> {
    let page = page.map_err(|fault| {
        error!(%room, "messages cannot be read: {fault}");
        ApiError::StoreFailed
    })?;
    let next = page.next.map_or("null".to_owned(), |(epoch, seq)| {
        format!("\"{epoch}.{seq}\"")
    });
    let messages = page.texts.join(",");
    let body = format!("{{\"messages\":[{messages}],\"next_cursor\":{next}}}");
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::connection::ConnectionId;
    use crate::message::GatherId;
    use crate::placement::Shards;

    #[test]
    fn reads_that_wait_keep_no_scrape_out() {
        let (accounts, _thread) = AccountQueue::new();
        let (queue, side) = side(accounts);
        let shards = Shards::new(NonZeroUsize::MIN).unwrap();
        let from = shards.all().next().unwrap();
        let (connection, gather) = (ConnectionId::new(0, 0), GatherId(0));
        let history = || {
            let (after, limit) = ((0, 0), 1);
            let room = RoomId::new(1).unwrap();
            Job::Read(ReadJob {
                from,
                connection,
                gather,
                read: Read::History { room, after, limit },
            })
        };
        for _ in 0..SIDE_READS {
            queue.push(history()).unwrap();
        }
        assert!(matches!(queue.push(history()), Err(Job::Read(_))));
        let scrape = Job::Scrape(Scrape {
            from,
            connection,
            gather,
            snapshots: Vec::new(),
        });
        queue.push(scrape).unwrap();
        assert_eq!((side.scrapes.len(), side.reads.len()), (1, SIDE_READS));
    }
}
