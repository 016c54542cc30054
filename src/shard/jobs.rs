//! What is done beside the shards, since it would hold up media for milliseconds.

use std::net::IpAddr;
use std::time::Instant;

use super::Shard;
use crate::accounts::{AccountJob, Task};
use crate::auth;
use crate::connection::{ConnectionId, Phase, Role};
use crate::error::ApiError;
use crate::ids::{RoomId, UserId};
use crate::message::GatherId;
use crate::metrics::Snapshot;
use crate::placement::ShardId;

/// Work for a thread beside the shards. Each kind has a queue of its own.
#[derive(Debug)]
pub enum Job {
    /// Write the snapshots as Prometheus text and send it back as
    /// [`Message::Encoded`](crate::message::Message::Encoded).
    Scrape(Scrape),
    /// Read something from the store and send it back as
    /// [`Message::Replied`](crate::message::Message::Replied).
    Read(ReadJob),
    /// Do something about a user that takes a password's hash, and send back
    /// [`Message::Replied`](crate::message::Message::Replied) or
    /// [`Message::Hashed`](crate::message::Message::Hashed).
    Account(AccountJob),
}

/// Everything that is counted, to be written.
#[derive(Debug)]
pub struct Scrape {
    /// The shard that asks.
    pub from: ShardId,
    /// For which connection.
    pub connection: ConnectionId,
    /// For which of its requests.
    pub gather: GatherId,
    /// One a shard; `None`: it did not answer.
    pub snapshots: Vec<Option<Snapshot>>,
}

/// What is to be read, and whose request it is for.
#[derive(Debug)]
pub struct ReadJob {
    /// The shard that asks.
    pub from: ShardId,
    /// For which connection.
    pub connection: ConnectionId,
    /// For which of its requests.
    pub gather: GatherId,
    /// What.
    pub read: Read,
}

/// Something that is stored.
#[derive(Debug)]
pub enum Read {
    /// `GET /api/v1/rooms/{id}/messages`, in its order.
    History {
        /// The room.
        room: RoomId,
        /// After this epoch and `seq`.
        after: (u32, u64),
        /// At most so many.
        limit: usize,
    },
    /// The same, its end.
    Newest {
        /// The room.
        room: RoomId,
        /// At most so many.
        limit: usize,
    },
    /// `GET /api/v1/users/me`
    Profile {
        /// Who asks.
        user: UserId,
        /// What the token allows.
        role: auth::Role,
        /// Whether the user is anywhere on this server.
        online: bool,
    },
}

impl Shard {
    /// Has something read for a connection's request.
    pub(crate) fn ask_store(&mut self, connection: ConnectionId, gather: GatherId, read: Read) {
        self.outbox.jobs.push(Job::Read(ReadJob {
            from: self.id,
            connection,
            gather,
            read,
        }));
    }

    /// Asks the thread of accounts for the answer to a connection's request.
    pub(super) fn ask_accounts(
        &mut self,
        connection: ConnectionId,
        client: IpAddr,
        task: Task,
    ) -> GatherId {
        let (from, gather) = (self.id, self.next_gather());
        self.outbox.jobs.push(Job::Account(AccountJob {
            from,
            connection,
            gather,
            client,
            task,
        }));
        gather
    }

    /// The rest of `GET /api/v1/users/me`, which is stored.
    pub(super) fn ask_profile(
        &mut self,
        connection: ConnectionId,
        gather: GatherId,
        user: UserId,
        online: bool,
    ) {
        let Some(Role::Http(http)) = self.connections.get(connection).map(|it| &it.role) else {
            return;
        };
        let Phase::Wait(exchange, _) = &http.phase else {
            return;
        };
        let role = exchange.identity.role;
        let read = Read::Profile { user, role, online };
        self.ask_store(connection, gather, read);
    }

    /// The thread that it is for has as many as it may have.
    pub fn job_refused(&mut self, now: Instant, job: Job) {
        let (connection, gather) = match job {
            Job::Scrape(job) => (job.connection, job.gather),
            Job::Read(job) => (job.connection, job.gather),
            Job::Account(job) => (job.connection, job.gather),
        };
        self.give(now, connection, gather, Err(ApiError::ShardBusy));
    }
}
