//! Aggregates: every shard is asked, the answers are merged, the client gets one.

use std::time::{Duration, Instant};

use super::{Shard, Timer};
use crate::api::{DeviceList, SessionList, SessionView};
use crate::connection::{ConnectionId, Phase, Role};
use crate::error::ApiError;
use crate::http::Response;
use crate::message::{Answer, GatherId, Message, Query};
use crate::metrics::{self, Snapshot};
use crate::placement::ShardId;

/// A shard that has not answered a scrape by then is left out of it: `media_shard_up` is 0.
const SCRAPE_PATIENCE: Duration = Duration::from_millis(100);
/// A list that misses a shard's part is an error: it is worth waiting for one that is busy.
const LIST_PATIENCE: Duration = Duration::from_secs(1);
/// An aggregate that has no answer by then, the side thread's part included, is given up: there is
/// one scrape in 15 s usually, which takes milliseconds to write.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
const _: () = assert!(LIST_PATIENCE.as_millis() < ANSWER_PATIENCE.as_millis());

/// Work for the side thread: what would hold up media for milliseconds.
#[derive(Debug)]
pub enum Job {
    /// Write the snapshots as Prometheus text and send it back as [`Message::Encoded`].
    EncodeMetrics {
        /// Who asks.
        from: ShardId,
        /// For which connection.
        connection: ConnectionId,
        /// For which of its requests.
        gather: GatherId,
        /// One a shard; `None`: it did not answer.
        snapshots: Vec<Option<Snapshot>>,
    },
}

/// An aggregate on its way.
#[derive(Debug)]
pub(crate) struct Gather {
    connection: ConnectionId,
    query: Query,
    answers: Vec<Option<Answer>>,
    deadline: Instant,
}

impl Shard {
    /// Asks every shard, this one included.
    pub(super) fn gather(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        query: Query,
    ) -> GatherId {
        self.last_gather += 1;
        let id = GatherId(self.last_gather);
        let patience = match query {
            Query::Metrics => SCRAPE_PATIENCE,
            Query::Sessions(_) | Query::Devices => LIST_PATIENCE,
        };
        let deadline = now + patience;
        let mut answers: Vec<_> = self.shards.all().map(|_| None).collect();
        answers[self.id.index()] = Some(self.part(&query));
        for shard in self.shards.all().filter(|&shard| shard != self.id) {
            let query = query.clone();
            let message = Message::Query {
                from: self.id,
                gather: id,
                query,
            };
            self.outbox.messages.push((shard, message));
        }
        // Alone, it is complete at once: the next tick finds it.
        let at = if self.shards.count() == 1 {
            now
        } else {
            deadline
        };
        self.gathers.insert(
            id,
            Gather {
                connection,
                query,
                answers,
                deadline,
            },
        );
        self.schedule(at, Timer::Gather(id));
        id
    }

    /// A message came from another shard, or from the process.
    pub fn message(&mut self, now: Instant, message: Message) {
        match message {
            Message::Query {
                from,
                gather,
                query,
            } => {
                let answer = self.part(&query);
                let answer = Message::Answer {
                    from: self.id,
                    gather,
                    answer,
                };
                self.outbox.messages.push((from, answer));
            }
            Message::Answer {
                from,
                gather,
                answer,
            } => {
                let Some(waiting) = self.gathers.get_mut(&gather) else {
                    return;
                };
                waiting.answers[from.index()] = Some(answer);
                if waiting.answers.iter().all(Option::is_some) {
                    self.finish_gather(now, gather);
                }
            }
            Message::Encoded {
                connection,
                gather,
                text,
            } => {
                let response = Response::text(200, metrics::CONTENT_TYPE, text.into_bytes());
                self.give(now, connection, gather, Ok(response));
            }
            // Nobody waits for a row yet.
            Message::Stored(_) => {}
            Message::Drain { deadline } => self.drain(now, deadline),
        }
    }

    /// The mailbox of that shard was full: the message is lost, whoever waits for it has a deadline.
    pub fn undelivered(&mut self, to: ShardId) {
        self.metrics.mailbox_full += 1;
        tracing::warn!(shard = to.index(), "a mailbox is full: a message is lost");
    }

    pub(super) fn gather_time(&mut self, now: Instant, id: GatherId) {
        let Some(gather) = self.gathers.get(&id) else {
            return;
        };
        if now >= gather.deadline || gather.answers.iter().all(Option::is_some) {
            self.finish_gather(now, id);
        }
    }

    /// This shard's part of an aggregate.
    fn part(&mut self, query: &Query) -> Answer {
        match query {
            Query::Sessions(filter) => Answer::Sessions(self.session_views(filter)),
            Query::Devices => Answer::Devices(self.device_views()),
            Query::Metrics => Answer::Metrics(Box::new(self.snapshot())),
        }
    }

    fn finish_gather(&mut self, now: Instant, id: GatherId) {
        let Some(gather) = self.gathers.remove(&id) else {
            return;
        };
        let missing = gather.answers.iter().any(Option::is_none);
        let result = match gather.query {
            Query::Metrics => {
                let snapshots = gather.answers.into_iter().map(|answer| match answer {
                    Some(Answer::Metrics(snapshot)) => Some(*snapshot),
                    Some(Answer::Sessions(_) | Answer::Devices(_)) | None => None,
                });
                let (from, connection) = (self.id, gather.connection);
                let snapshots = snapshots.collect();
                self.outbox.jobs.push(Job::EncodeMetrics {
                    from,
                    connection,
                    gather: id,
                    snapshots,
                });
                return;
            }
            Query::Sessions(_) | Query::Devices if missing => Err(ApiError::ShardBusy),
            Query::Sessions(filter) => {
                let mut sessions: Vec<SessionView> = Vec::new();
                for answer in gather.answers.into_iter().flatten() {
                    if let Answer::Sessions(part) = answer {
                        sessions.extend(part);
                    }
                }
                Ok(Response::json(
                    200,
                    &SessionList::new(sessions, filter.limit),
                ))
            }
            Query::Devices => {
                let mut devices = Vec::new();
                for answer in gather.answers.into_iter().flatten() {
                    if let Answer::Devices(part) = answer {
                        devices.extend(part);
                    }
                }
                Ok(Response::json(200, &DeviceList::new(devices)))
            }
        };
        self.give(now, gather.connection, id, result);
    }

    /// The side thread cannot take a job.
    pub fn job_refused(&mut self, now: Instant, job: Job) {
        match job {
            Job::EncodeMetrics {
                connection, gather, ..
            } => self.give(now, connection, gather, Err(ApiError::ShardBusy)),
        }
    }

    /// Answers a connection, if it still waits for that.
    fn give(
        &mut self,
        now: Instant,
        id: ConnectionId,
        gather: GatherId,
        result: Result<Response, ApiError>,
    ) {
        self.with(now, id, |shard, connection| {
            let Role::Http(http) = &mut connection.role else {
                return None;
            };
            match std::mem::replace(&mut http.phase, Phase::Done) {
                Phase::Wait(exchange, waits_for) if waits_for == gather => match result {
                    Ok(response) => shard.respond(now, connection, &exchange, &response),
                    Err(error) => shard.refuse(now, connection, exchange, error),
                },
                other => http.phase = other,
            }
            None
        });
    }
}
