//! A thread of its own for accounts: anybody may ask for a password to be hashed, and neither a scrape
//! nor a room's history waits behind those who do.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use executor::Postbox;

use super::{Accounts, Outcome, Task};
use crate::connection::ConnectionId;
use crate::driver::Mail;
use crate::limits::ACCOUNT_TASKS;
use crate::message::{GatherId, Message};
use crate::placement::ShardId;
use crate::side::deliver;
use crate::store::Reader;

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
#[derive(Debug)]
pub struct AccountQueue(SyncSender<AccountJob>);

impl AccountQueue {
    /// Gives the thread a job; it comes back when the queue is full.
    pub fn push(&self, job: AccountJob) -> Result<(), AccountJob> {
        self.0.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
        })
    }
}

/// Starts the thread, which ends with its queue.
pub fn start(
    accounts: Accounts,
    reader: Reader,
    postbox: Postbox<Mail>,
) -> io::Result<AccountQueue> {
    let (sender, receiver) = sync_channel(ACCOUNT_TASKS);
    thread::Builder::new()
        .name("accounts".into())
        .spawn(move || run(&accounts, &reader, &postbox, &receiver))?;
    Ok(AccountQueue(sender))
}

fn run(
    accounts: &Accounts,
    reader: &Reader,
    postbox: &Postbox<Mail>,
    receiver: &Receiver<AccountJob>,
) {
    for AccountJob {
        from,
        connection,
        gather,
        task,
    } in receiver
    {
        let message = match accounts.run(reader, task) {
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
