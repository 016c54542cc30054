//! Aggregates: every shard is asked, the answers are merged, the client gets one.

use std::time::{Duration, Instant};

use super::jobs::{Job, Scrape};
use super::passes::next_keys;
use super::snapshot::Survey;
use super::{Blame, Shard, Timer};
use crate::api::{
    DeviceList, DeviceView, HotRooms, Loads, Online, OnlineStats, RoomList, SessionList,
};
use crate::connection::{ConnectionId, Exchange, Phase, Role};
use crate::error::ApiError;
use crate::faults::Place;
use crate::http::Response;
use crate::ids::{DeviceId, UserId};
use crate::message::{Answer, GatherId, Message, Query};
use crate::metrics;
use crate::placement::ShardId;
use crate::rooms::RoomFilter;

/// A shard that has not answered by then is left out of what is told of each: `media_shard_up` is 0.
const SCRAPE_PATIENCE: Duration = Duration::from_millis(100);
/// A list that misses a shard's part is an error: it is worth waiting for one that is busy.
const LIST_PATIENCE: Duration = Duration::from_secs(1);
/// An aggregate that has no answer by then, the side thread's part included, is given up: there is
/// one scrape in 15 s usually, which takes milliseconds to write.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
const _: () = assert!(LIST_PATIENCE.as_millis() < ANSWER_PATIENCE.as_millis());

/// An aggregate on its way.
#[derive(Debug)]
pub(crate) struct Gather {
    pub(super) connection: ConnectionId,
    query: Query,
    answers: Vec<Option<Answer>>,
    deadline: Instant,
}

/// This shard's part of an aggregate, on its way.
#[derive(Debug)]
pub(super) struct Part {
    /// Who asks.
    to: ShardId,
    gather: GatherId,
    /// Nobody waits for it then.
    until: Instant,
    collected: Collected,
}

/// How far it is.
#[derive(Debug)]
enum Collected {
    /// It is complete.
    All(Answer),
    /// The devices up to this one.
    Devices(Option<DeviceId>, Vec<DeviceView>),
    /// What is counted, so far.
    Metrics(Box<Survey>),
}

/// What it costs to write down a device for a list, in tenths of a microsecond.
const VIEW_WORK: usize = 10;

/// How long the parts of an aggregate are waited for.
fn patience(query: &Query) -> Duration {
    match query {
        Query::Metrics | Query::Load => SCRAPE_PATIENCE,
        Query::Sessions(_)
        | Query::Devices
        | Query::Rooms(_)
        | Query::Hot(_)
        | Query::Online
        | Query::UserOnline(_) => LIST_PATIENCE,
    }
}

impl Part {
    /// Whether it is only to be handed over.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.collected, Collected::All(_))
    }
}

impl Shard {
    /// Asks every shard, this one included.
    pub(super) fn gather(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        query: Query,
    ) -> GatherId {
        let id = self.next_gather();
        let deadline = now + patience(&query);
        let answers = self.shards.all().map(|_| None).collect();
        self.begin_part(now, self.id, id, &query);
        for shard in self.shards.all().filter(|&shard| shard != self.id) {
            let query = query.clone();
            let message = Message::Query {
                from: self.id,
                gather: id,
                query,
            };
            self.outbox.messages.push((shard, message));
        }
        self.gathers.insert(
            id,
            Gather {
                connection,
                query,
                answers,
                deadline,
            },
        );
        self.schedule(deadline, Timer::Gather(id));
        id
    }

    /// A name for something that a request waits for.
    pub(crate) fn next_gather(&mut self) -> GatherId {
        self.last_gather += 1;
        GatherId(self.last_gather)
    }

    /// A message came from another shard, or from the process.
    pub fn message(&mut self, now: Instant, message: Message) {
        self.guarded(now, Blame::Question, |shard| {
            // An order to end has its deadline, whatever fails over it.
            if !matches!(message, Message::Drain { .. }) {
                shard.faults.pass(Place::Mailbox);
            }
            shard.message_guarded(now, message);
        });
    }

    fn message_guarded(&mut self, now: Instant, message: Message) {
        match message {
            Message::Query {
                from,
                gather,
                query,
            } => self.begin_part(now, from, gather, &query),
            Message::Answer {
                from,
                gather,
                answer,
            } => self.take_part(now, from, gather, answer),
            Message::Encoded {
                connection,
                gather,
                text,
            } => {
                let response = Response::text(200, metrics::CONTENT_TYPE, text.into_bytes());
                self.give(now, connection, gather, Ok(response));
            }
            Message::Replied {
                connection,
                gather,
                reply,
            } => self.give(now, connection, gather, reply),
            Message::Hashed {
                connection,
                gather,
                user,
                response,
            } => self.store_user(now, connection, gather, user, response),
            Message::Stored(receipts) => self.stored(now, receipts),
            Message::Drain { deadline } => self.drain(now, deadline),
        }
    }

    /// The mailbox of another shard was full: the message is lost, whoever waits for it has a deadline.
    pub fn undelivered(&mut self) {
        self.metrics.mailbox_full += 1;
    }

    pub(super) fn gather_time(&mut self, now: Instant, id: GatherId) {
        let Some(gather) = self.gathers.get(&id) else {
            return;
        };
        if now >= gather.deadline || gather.answers.iter().all(Option::is_some) {
            self.finish_gather(now, id);
        }
    }

    /// Begins this shard's part of an aggregate of that shard's. What takes no longer where there is more
    /// (a page, a count, what is known already) is answered as a whole.
    fn begin_part(&mut self, now: Instant, to: ShardId, gather: GatherId, query: &Query) {
        let until = now + patience(query);
        let part = |shard: &mut Self, collected| {
            shard.passes.collect(Part {
                to,
                gather,
                until,
                collected,
            });
        };
        let answer = match query {
            Query::Sessions(filter) => Answer::Sessions(self.session_views(filter)),
            Query::UserOnline(user) => Answer::UserOnline(self.is_online(user)),
            Query::Rooms(filter) => {
                // One more than the limit, where there are more, as with sessions.
                let limit = filter.limit + 1;
                Answer::Rooms(self.rooms.list(&RoomFilter { limit, ..*filter }))
            }
            Query::Hot(limit) => {
                let time = self.time(now);
                Answer::Hot(self.rooms.hot(time, *limit))
            }
            Query::Online => Answer::Online(Online {
                users: self.last_users.users(now, &self.rooms),
                connections: self.rooms.members(),
                rooms_live: self.rooms.live(),
            }),
            Query::Load => Answer::Load(Box::new(self.load(now))),
            Query::Devices => return part(self, Collected::Devices(None, Vec::new())),
            Query::Metrics => {
                let survey = self.begin_snapshot();
                return part(self, Collected::Metrics(survey));
            }
        };
        part(self, Collected::All(answer));
    }

    /// Goes on with a part. `Some`: it is not complete.
    pub(super) fn collect(&mut self, now: Instant, mut part: Part) -> Option<Part> {
        let given_up = part.to == self.id && !self.gathers.contains_key(&part.gather);
        if given_up || now >= part.until {
            // Whoever has asked is gone, or has done without.
            return None;
        }
        let answer = match part.collected {
            Collected::All(answer) => answer,
            Collected::Devices(after, mut views) => {
                let mut ids = next_keys(&self.devices, after);
                self.work.did(ids.len() * VIEW_WORK);
                let devices = ids.iter().filter_map(|id| self.devices.get(id));
                views.extend(devices.map(|device| self.device_view(device)));
                if let Some(last) = ids.pop() {
                    part.collected = Collected::Devices(Some(last), views);
                    return Some(part);
                }
                Answer::Devices(views)
            }
            Collected::Metrics(mut survey) => {
                if self.survey(&mut survey) {
                    part.collected = Collected::Metrics(survey);
                    return Some(part);
                }
                Answer::Metrics(Box::new(survey.snapshot))
            }
        };
        let Part { to, gather, .. } = part;
        if to == self.id {
            self.take_part(now, to, gather, answer);
        } else {
            let from = self.id;
            let answer = Message::Answer {
                from,
                gather,
                answer,
            };
            self.outbox.messages.push((to, answer));
        }
        None
    }

    /// A shard's part is there.
    fn take_part(&mut self, now: Instant, from: ShardId, gather: GatherId, answer: Answer) {
        let Some(waiting) = self.gathers.get_mut(&gather) else {
            return;
        };
        waiting.answers[from.index()] = Some(answer);
        if waiting.answers.iter().all(Option::is_some) {
            self.finish_gather(now, gather);
        }
    }

    fn finish_gather(&mut self, now: Instant, id: GatherId) {
        let Some(gather) = self.gathers.remove(&id) else {
            return;
        };
        let Gather {
            connection,
            query,
            answers,
            ..
        } = gather;
        macro_rules! parts {
            ($kind:ident) => {
                answers
                    .into_iter()
                    .flatten()
                    .filter_map(|answer| match answer {
                        Answer::$kind(part) => Some(part),
                        // Each shard answers what it is asked.
                        _ => None,
                    })
            };
        }
        let missing = answers.iter().any(Option::is_none);
        let result = match query {
            Query::Metrics => {
                let snapshots = answers.into_iter().map(|answer| match answer? {
                    Answer::Metrics(snapshot) => Some(*snapshot),
                    _ => None,
                });
                let (from, snapshots) = (self.id, snapshots.collect());
                self.outbox.jobs.push(Job::Scrape(Scrape {
                    from,
                    connection,
                    gather: id,
                    snapshots,
                }));
                return;
            }
            Query::UserOnline(user) => {
                // Who is seen somewhere is online, whatever the others would say.
                let online = parts!(UserOnline).any(|online| online);
                if online || !missing {
                    return self.ask_profile(connection, id, user, online);
                }
                Err(ApiError::ShardBusy)
            }
            Query::Load => {
                let loads = answers.into_iter().map(|answer| match answer? {
                    Answer::Load(load) => Some(*load),
                    _ => None,
                });
                Ok(Response::json(200, &Loads::new(loads)))
            }
            _ if missing => Err(ApiError::ShardBusy),
            Query::Sessions(filter) => {
                let sessions = parts!(Sessions).flatten().collect();
                let list = SessionList::new(sessions, filter.limit);
                Ok(Response::json(200, &list))
            }
            Query::Devices => {
                let devices = parts!(Devices).flatten().collect();
                Ok(Response::json(200, &DeviceList::new(devices)))
            }
            Query::Rooms(filter) => {
                let rooms = parts!(Rooms).flatten().collect();
                Ok(Response::json(200, &RoomList::new(rooms, filter.limit)))
            }
            Query::Hot(limit) => {
                let rooms = parts!(Hot).flatten().collect();
                Ok(Response::json(200, &HotRooms::new(rooms, limit)))
            }
            Query::Online => Ok(Response::json(200, &OnlineStats::new(parts!(Online)))),
        };
        self.give(now, connection, id, result);
    }

    /// Whether something of the user's is on this shard.
    fn is_online(&self, user: &UserId) -> bool {
        self.rooms.online(user) || self.watching.contains(user)
    }

    /// Answers a connection, if it still waits for that.
    pub(super) fn give(
        &mut self,
        now: Instant,
        id: ConnectionId,
        gather: GatherId,
        result: Result<Response, ApiError>,
    ) {
        self.finish_wait(now, id, gather, |_| result);
    }

    /// Answers a connection with what was prepared, if it still waits for that.
    pub(super) fn give_prepared(
        &mut self,
        now: Instant,
        id: ConnectionId,
        gather: GatherId,
        result: Result<(), ApiError>,
    ) {
        self.finish_wait(now, id, gather, |exchange| {
            result?;
            exchange.prepared.take().ok_or(ApiError::Internal)
        });
    }

    fn finish_wait(
        &mut self,
        now: Instant,
        id: ConnectionId,
        gather: GatherId,
        result: impl FnOnce(&mut Exchange) -> Result<Response, ApiError>,
    ) {
        self.with(now, id, |shard, connection| {
            let Role::Http(http) = &mut connection.role else {
                return None;
            };
            match std::mem::replace(&mut http.phase, Phase::Done) {
                Phase::Wait(mut exchange, waits_for) if waits_for == gather => {
                    match result(&mut exchange) {
                        Ok(response) => {
                            shard.refund(&exchange);
                            shard.respond(now, connection, &exchange, response);
                        }
                        Err(error) => shard.refuse(now, connection, exchange, error),
                    }
                }
                other => http.phase = other,
            }
            None
        });
    }
}
