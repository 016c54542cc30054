//! A thread of its own for accounts: anybody may ask for a password to be hashed, and nobody else waits
//! behind those who do.

use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use executor::Postbox;
use tracing::{error, warn};

use super::{Accounts, Outcome, Task};
use crate::connection::ConnectionId;
use crate::driver::Mail;
use crate::error::ApiError;
use crate::faults::{Thread, pass_thread};
use crate::limits::ACCOUNT_TASKS;
use crate::logging::paced::Paced;
use crate::message::{GatherId, Message};
use crate::placement::ShardId;
use crate::reload::Update;
use crate::side::deliver;
use crate::threads;

/// Log-ins that fail are logged at most so often: who guesses passwords shall not fill the log.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// A task, and whose request it is for.
#[derive(Debug)]
pub struct AccountJob {
    /// The shard that asks.
    pub from: ShardId,
    /// For which connection.
    pub connection: ConnectionId,
    /// For which of its requests.
    pub gather: GatherId,
    /// Whose it is.
    pub client: IpAddr,
    /// What is asked.
    pub task: Task,
}

/// What comes through the thread's queue.
#[derive(Debug)]
pub(crate) enum Letter {
    Job(AccountJob),
    Reload(Arc<Update>),
}

/// The thread's queue. Pushing never waits.
#[derive(Debug, Clone)]
pub struct AccountQueue(SyncSender<Letter>);

impl AccountQueue {
    /// The queue, and the thread's end of it.
    pub(crate) fn new() -> (Self, Receiver<Letter>) {
        let (sender, receiver) = sync_channel(ACCOUNT_TASKS);
        (Self(sender), receiver)
    }

    /// Gives the thread a job; it comes back when the queue is full.
    pub fn push(&self, job: AccountJob) -> Result<(), AccountJob> {
        self.0
            .try_send(Letter::Job(job))
            .map_err(|refused| match refused {
                TrySendError::Full(Letter::Job(job))
                | TrySendError::Disconnected(Letter::Job(job)) => job,
                TrySendError::Full(Letter::Reload(_))
                | TrySendError::Disconnected(Letter::Reload(_)) => {
                    unreachable!("the letter itself comes back")
                }
            })
    }

    /// Gives the thread another configuration, which holds for the jobs behind it. False: the queue is
    /// full, try again.
    pub fn reload(&self, update: Arc<Update>) -> bool {
        let sent = self.0.try_send(Letter::Reload(update));
        !matches!(sent, Err(TrySendError::Full(_)))
    }
}

/// Starts the thread, which ends with its queue.
pub fn start(accounts: Accounts, postbox: Postbox<Mail>) -> io::Result<AccountQueue> {
    let (queue, receiver) = AccountQueue::new();
    threads::start("accounts", move || run(accounts, &postbox, &receiver))?;
    Ok(queue)
}

fn run(mut accounts: Accounts, postbox: &Postbox<Mail>, receiver: &Receiver<Letter>) {
    let mut failed = Paced::once_in(LOG_INTERVAL);
    for letter in receiver {
        let AccountJob {
            from,
            connection,
            gather,
            client,
            task,
        } = match letter {
            Letter::Job(job) => job,
            Letter::Reload(update) => {
                accounts.reload(&update);
                continue;
            }
        };
        pass_thread(Thread::Accounts);
        let name = match &task {
            Task::LogIn { credentials, .. } => Some(credentials.username.user_id()),
            Task::SignUp { .. } => None,
        };
        let outcome = guarded(|| accounts.run(task));
        if let (Some(user), Outcome::Reply(Err(ApiError::BadCredentials))) = (name, &outcome)
            && let Some(count) = failed.count(Instant::now(), 1)
        {
            warn!(%user, %client, count, "log-in failed");
        }
        let message = match outcome {
            Outcome::Reply(reply) => Message::Replied {
                connection,
                gather,
                reply,
            },
            Outcome::Store(user, response) => Message::Hashed {
                connection,
                gather,
                user,
                response,
            },
        };
        deliver(postbox, from, message);
    }
}

/// A panic is the answer to one request: who comes after it still logs in.
fn guarded(work: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        error!("a task of the accounts thread failed");
        Outcome::Reply(Err(ApiError::Internal))
    })
}

#[cfg(test)]
#[test]
fn a_panic_is_one_requests_answer() {
    let Outcome::Reply(Err(error)) = guarded(|| panic!("a fault of the server")) else {
        panic!("it has an answer");
    };
    assert_eq!((error.status(), error.code()), (500, "internal"));
}
