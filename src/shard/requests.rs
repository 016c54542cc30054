//! HTTP requests: from bytes to an operation, from its result to bytes.

use std::time::Instant;

use super::gather::ANSWER_PATIENCE;
use super::{Blame, Moving, Shard};
use crate::accounts::Task;
use crate::api::{Operation, Publication, Subject};
use crate::auth::{Identity, access};
use crate::connection::{Connection, Exchange, Fate, Phase, Role};
use crate::error::ApiError;
#[cfg(feature = "fault-injection")]
use crate::faults;
use crate::faults::Place;
use crate::http::routes::{Route, resolve};
use crate::http::{BodyLength, CONTINUE, Event, Method, Request, Response};
use crate::ids::{RequestId, SessionId};
use crate::media::Publisher;
use crate::message::{GatherId, Query};
use crate::rates::Admission;
use crate::ws::{AgentSocket, MemberSocket, ViewerSocket};

/// What an operation comes to.
#[derive(Debug)]
pub(crate) enum Reply {
    /// This answer.
    Now(Response),
    /// The answers of all shards are merged.
    Gather(Query),
    /// The side thread or the store is asked.
    Wait {
        /// What it answers.
        gather: GatherId,
        /// The answer, where the store's word is all that it waits for.
        prepared: Option<Response>,
    },
    /// The thread of accounts does that.
    Account(Task),
    /// The body that follows is taken.
    Publish(Publication),
    /// The connection becomes a viewer's WebSocket.
    Viewer {
        /// `Sec-WebSocket-Key`.
        key: String,
        /// What is watched.
        session: SessionId,
        /// The offer to send first; the session was created for this socket.
        offer: Option<String>,
    },
    /// The connection becomes an agent's WebSocket.
    Agent {
        /// `Sec-WebSocket-Key`.
        key: String,
        /// Its state.
        socket: Box<AgentSocket>,
    },
    /// The connection becomes a WebSocket of a room's member.
    Member {
        /// `Sec-WebSocket-Key`.
        key: String,
        /// Its state.
        socket: Box<MemberSocket>,
        /// What it is sent before anything of the room.
        greeting: [Option<String>; 2],
    },
}

/// How a connection goes on after one of its events.
#[derive(Debug)]
pub(crate) enum Step {
    /// So many bytes were used; there may be more to handle.
    Go(usize),
    /// It waits for bytes, for time or for other shards.
    Stop,
    /// So many bytes were used, and another shard must answer.
    Move(usize, Moving),
}

impl Shard {
    /// Handles as much of `input` as can be handled now: the bytes used.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        input: &[u8],
    ) -> (usize, Option<Moving>) {
        let mut used = 0;
        while connection.fate == Fate::Stay && connection.reads() {
            let rest = &input[used..];
            let step = match &connection.role {
                Role::Http(_) => self.advance_http(now, connection, rest),
                Role::Viewer(_) | Role::Agent(_) | Role::Member(_) => {
                    used += self.socket_bytes(now, connection, rest);
                    Step::Stop
                }
            };
            match step {
                Step::Go(count) => used += count,
                Step::Stop => break,
                Step::Move(count, moving) => return (used + count, Some(moving)),
            }
        }
        if connection.fate != Fate::Stay {
            used = input.len();
        }
        (used, None)
    }

    fn advance_http(&mut self, now: Instant, connection: &mut Connection, input: &[u8]) -> Step {
        let Role::Http(http) = &mut connection.role else {
            return Step::Stop;
        };
        if matches!(http.phase, Phase::Done) {
            return if input.is_empty() {
                Step::Stop
            } else {
                Step::Go(input.len())
            };
        }
        let (used, event) = match http.decoder.decode(input) {
            Ok(decoded) => decoded,
            Err(fault) => {
                let exchange = match std::mem::replace(&mut http.phase, Phase::Done) {
                    Phase::Body(exchange, _) => exchange,
                    Phase::Publish(exchange, publisher) => {
                        self.stop_publishing(now, connection.id, &publisher);
                        exchange
                    }
                    Phase::Head | Phase::Wait(..) | Phase::Done => {
                        self.nameless_exchange(now, connection)
                    }
                };
                self.refuse(now, connection, exchange, fault.into());
                return Step::Stop;
            }
        };
        match event {
            Event::Incomplete => {
                if matches!(http.phase, Phase::Head) && !http.decoder.between_requests() {
                    // The first byte of a head starts its clock, later ones do not restart it. That of a
                    // connection's first head runs since the accept.
                    let begins = !std::mem::replace(&mut http.head_begun, true);
                    let at = now + self.config.http.head_timeout;
                    match begins && connection.requests > 0 && self.draining.is_none() {
                        // However little was left of the time between two requests.
                        true => self.set_alarm(connection, at),
                        false => self.set_alarm_by(connection, at),
                    }
                }
                match used {
                    0 => Step::Stop,
                    _ => Step::Go(used),
                }
            }
            Event::Head(request) => {
                http.head_begun = false;
                self.head(now, connection, request).after(used)
            }
            Event::Data(data) => self.data(now, connection, data).after(used),
            Event::End => self.end(now, connection).after(used),
        }
    }

    /// A head is complete.
    fn head(&mut self, now: Instant, connection: &mut Connection, request: Request) -> Step {
        let route = resolve(&request.path).route;
        let complete = matches!(request.body, BodyLength::None | BodyLength::Length(0));
        let id = match request.headers.get("x-request-id").map(RequestId::try_from) {
            Some(Ok(id)) => id,
            Some(Err(_)) | None => RequestId::from_random(self.random_bytes()),
        };
        connection.requests = connection.requests.saturating_add(1);
        let client = self.client(connection, &request);
        let admitted = self.admit(now, connection.scope, &request, route);
        let (identity, refused) = match admitted {
            Ok(identity) => (identity, None),
            Err(error) => (Identity::nobody(), Some(error)),
        };
        let exchange = Box::new(Exchange {
            request,
            route,
            identity,
            client,
            admission: Admission::default(),
            id,
            started: now,
            prepared: None,
            complete,
        });
        if let Some(error) = refused {
            self.refuse(now, connection, exchange, error);
            return Step::Go(0);
        }
        let request = &exchange.request;
        #[cfg(feature = "fault-injection")]
        if let Some(fault) = faults::of_request(connection.peer.ip(), &request.headers) {
            self.inject(fault);
        }
        let at = self.body_deadline(now, &exchange);
        self.set_alarm(connection, at);
        if matches!(route, Route::DeviceVideo | Route::DeviceAudio) && request.method == Method::Put
        {
            return match Operation::parse(request, &[]) {
                Ok(operation) => self.dispatch(now, connection, exchange, operation),
                Err(error) => {
                    self.refuse(now, connection, exchange, error);
                    Step::Go(0)
                }
            };
        }
        if request.expect_continue && !complete {
            connection.output.bytes.extend_from_slice(CONTINUE);
        }
        if let Role::Http(http) = &mut connection.role {
            http.phase = Phase::Body(exchange, Vec::new());
        }
        Step::Go(0)
    }

    /// A piece of a body.
    fn data(&mut self, now: Instant, connection: &mut Connection, data: &[u8]) -> Step {
        if let Role::Http(http) = &connection.role
            && let Phase::Body(exchange, _) = &http.phase
        {
            let at = self.body_deadline(now, exchange);
            self.set_alarm(connection, at);
        }
        let Role::Http(http) = &mut connection.role else {
            return Step::Stop;
        };
        match &mut http.phase {
            Phase::Body(_, body) => {
                let limit = self.config.http.json_body_bytes;
                if body.len() + data.len() <= limit {
                    body.extend_from_slice(data);
                } else if let Phase::Body(exchange, _) =
                    std::mem::replace(&mut http.phase, Phase::Done)
                {
                    self.refuse(now, connection, exchange, ApiError::BodyTooLarge { limit });
                }
            }
            Phase::Publish(_, publisher) => {
                let result = publisher.push(now, data);
                self.publish(now, connection, result);
            }
            Phase::Head | Phase::Wait(..) | Phase::Done => {}
        }
        Step::Go(0)
    }

    /// A request is complete.
    fn end(&mut self, now: Instant, connection: &mut Connection) -> Step {
        let Role::Http(http) = &mut connection.role else {
            return Step::Stop;
        };
        match &mut http.phase {
            Phase::Body(..) => {
                let Phase::Body(mut exchange, body) =
                    std::mem::replace(&mut http.phase, Phase::Head)
                else {
                    return Step::Stop;
                };
                exchange.complete = true;
                match Operation::parse(&exchange.request, &body) {
                    Ok(operation) => {
                        exchange.admission = self.admission(&exchange, &operation);
                        self.dispatch(now, connection, exchange, operation)
                    }
                    Err(error) => {
                        self.refuse(now, connection, exchange, error);
                        Step::Go(0)
                    }
                }
            }
            Phase::Publish(exchange, publisher) => {
                exchange.complete = true;
                let result = publisher.finish();
                self.publish(now, connection, result);
                Step::Go(0)
            }
            Phase::Head | Phase::Wait(..) | Phase::Done => Step::Go(0),
        }
    }

    /// When a body is given up that does not move, or does not end.
    fn body_deadline(&self, now: Instant, exchange: &Exchange) -> Instant {
        let http = &self.config.http;
        (now + http.body_timeout).min(exchange.started + http.body_deadline)
    }

    /// Does an operation here, or says where it must be done, or must get its next token.
    pub(super) fn dispatch(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        mut exchange: Box<Exchange>,
        operation: Operation,
    ) -> Step {
        let admitted = access::check(&exchange.identity, &operation)
            .and_then(|()| self.has_memory_for(&operation))
            .and_then(|()| self.pay(now, &mut exchange));
        let owner = match admitted {
            Ok(Some(bucket)) => Some(bucket),
            Ok(None) => operation.owner(self.shards),
            Err(error) => {
                self.refuse(now, connection, exchange, error);
                return Step::Go(0);
            }
        };
        if let Some(to) = owner.filter(|&owner| owner != self.id) {
            return Step::Move(
                0,
                Moving {
                    to,
                    exchange,
                    operation,
                },
            );
        }
        match self.perform_guarded(now, connection, &exchange, operation) {
            Ok(reply) => self.reply(now, connection, exchange, reply),
            Err(error) => self.refuse(now, connection, exchange, error),
        }
        Step::Go(0)
    }

    /// A panic is the request's answer, and ends what the request has named.
    fn perform_guarded(
        &mut self,
        now: Instant,
        connection: &Connection,
        exchange: &Exchange,
        operation: Operation,
    ) -> Result<Reply, ApiError> {
        let blame = match operation.changes() {
            Subject::Nothing => Blame::Question,
            Subject::Session(id) => Blame::Session(id),
            Subject::Room(id) => Blame::Room(id),
        };
        let done = self.guarded(now, blame, |shard| {
            shard.faults.pass(Place::Request);
            shard.perform(now, connection, exchange, operation)
        });
        done.unwrap_or(Err(ApiError::Internal))
    }

    fn reply(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        mut exchange: Box<Exchange>,
        reply: Reply,
    ) {
        self.faults.pass(Place::Reply);
        match reply {
            Reply::Now(response) => self.respond(now, connection, &exchange, response),
            Reply::Gather(query) => {
                let id = self.gather(now, connection.id, query);
                self.set_alarm(connection, now + ANSWER_PATIENCE);
                self.set_phase(connection, Phase::Wait(exchange, id));
            }
            Reply::Account(task) => {
                let id = self.ask_accounts(connection.id, exchange.client, task);
                self.set_alarm(connection, now + ANSWER_PATIENCE);
                self.set_phase(connection, Phase::Wait(exchange, id));
            }
            Reply::Wait { gather, prepared } => {
                exchange.prepared = prepared;
                self.set_alarm(connection, now + ANSWER_PATIENCE);
                self.set_phase(connection, Phase::Wait(exchange, gather));
            }
            Reply::Publish(publication) => {
                if exchange.request.expect_continue {
                    connection.output.bytes.extend_from_slice(CONTINUE);
                }
                // An empty body ends like any other: by its end, which is still to be read.
                exchange.complete = false;
                let publisher = Box::new(Publisher::new(now, &publication));
                let at = self.publisher_deadline(now, &exchange);
                self.set_alarm(connection, at);
                self.set_phase(connection, Phase::Publish(exchange, publisher));
            }
            Reply::Viewer {
                key,
                session,
                offer,
            } => {
                self.upgrade(connection, &exchange, &key);
                let socket = ViewerSocket::new(now, &self.config.ws, session, &exchange.identity);
                connection.role = Role::Viewer(Box::new(socket));
                self.greet_viewer(now, connection, session, offer);
            }
            Reply::Agent { key, socket } => {
                self.upgrade(connection, &exchange, &key);
                connection.role = Role::Agent(socket);
                self.set_socket_alarm(now, connection);
            }
            Reply::Member {
                key,
                socket,
                greeting,
            } => {
                self.upgrade(connection, &exchange, &key);
                connection.role = Role::Member(socket);
                self.greet_member(now, connection, greeting);
            }
        }
    }

    pub(super) fn set_phase(&mut self, connection: &mut Connection, phase: Phase) {
        if let Role::Http(http) = &mut connection.role {
            http.phase = phase;
        }
    }
}

impl Step {
    /// Adds the bytes of the event that led here.
    fn after(self, used: usize) -> Self {
        match self {
            Step::Go(more) => Step::Go(used + more),
            // What stops has used its event all the same.
            Step::Stop => Step::Go(used),
            Step::Move(more, moving) => Step::Move(used + more, moving),
        }
    }
}
