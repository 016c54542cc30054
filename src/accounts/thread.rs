//! A thread of its own for accounts: anybody may ask for a password to be hashed, and nobody else waits
//! behind those who do.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use executor::Postbox;
use tracing::error;

use super::{Accounts, Outcome, Task};
use crate::connection::ConnectionId;
use crate::driver::Mail;
use crate::error::ApiError;
use crate::limits::ACCOUNT_TASKS;
use crate::message::{GatherId, Message};
use crate::placement::ShardId;
use crate::side::deliver;

/// A task, and whose request it is for.
#[derive(Debug)]
pub struct AccountJob {
    /// The shard that asks.
    pub from: ShardId,
    /// For which connection.
    pub connection: ConnectionId,
    /// For which of its requests.
    pub gather: GatherId,
    /// What is asked.
    pub task: Task,
}

/// The thread's queue. Pushing never waits.
#[derive(Debug, Clone)]
pub struct AccountQueue(SyncSender<AccountJob>);

impl AccountQueue {
    /// The queue, and the thread's end of it.
    pub(crate) fn new() -> (Self, Receiver<AccountJob>) {
        let (sender, receiver) = sync_channel(ACCOUNT_TASKS);
        (Self(sender), receiver)
    }

    /// Gives the thread a job; it comes back when the queue is full.
    pub fn push(&self, job: AccountJob) -> Result<(), AccountJob> {
        self.0.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
        })
    }
}

/// Starts the thread, which ends with its queue.
pub fn start(accounts: Accounts, postbox: Postbox<Mail>) -> io::Result<AccountQueue> {
    let (queue, receiver) = AccountQueue::new();
    thread::Builder::new()
        .name("accounts".into())
        .spawn(move || run(accounts, &postbox, &receiver))?;
    Ok(queue)
}

fn run(mut accounts: Accounts, postbox: &Postbox<Mail>, receiver: &Receiver<AccountJob>) {
    for AccountJob {
        from,
        connection,
        gather,
        task,
    } in receiver
    {
        let message = match guarded(|| accounts.run(task)) {
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
