//! Answers to HTTP requests, and what becomes of their connections.

use std::time::Instant;

use tracing::debug;

use super::{Answered, Shard};
use crate::auth::Identity;
use crate::client::Client;
use crate::connection::{Connection, Exchange, Fate, Phase};
use crate::error::ApiError;
use crate::http::routes::Route;
use crate::http::{BodyLength, Framing, Method, Request, Response, SecurityHeaders, Version};
use crate::ids::RequestId;
use crate::limits::LINGER;
use crate::rates::Admission;

impl Shard {
    /// Answers with an error.
    pub(crate) fn refuse(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        exchange: Box<Exchange>,
        error: ApiError,
    ) {
        self.metrics.rejected(error.code());
        debug!(
            request = %exchange.id, client = %exchange.client, code = error.code(),
            method = exchange.request.method.as_str(), route = exchange.route.template(),
            "refused: {error}",
        );
        let response = error.response(exchange.id.as_str());
        self.respond(now, connection, &exchange, response);
    }

    /// Writes the answer; the connection is ready for its next request, or closes.
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        exchange: &Exchange,
        response: Response,
    ) {
        let request = &exchange.request;
        let most = self.config.http.requests_per_connection;
        let keep_alive = request.keep_alive
            && exchange.complete
            && self.draining.is_none()
            && most.allows(connection.requests as usize + 1);
        let host = request.headers.get("host").unwrap_or_default();
        let verdict = self.origins.origin(request.headers.get("origin"), host);
        // A preflight's answer has its own.
        let origin = Some(&verdict).filter(|_| request.method != Method::Options);
        // Over a plain connection it must not be sent (RFC 6797 §7.2).
        let hsts = self.hsts.as_deref().filter(|_| connection.tls);
        let security = SecurityHeaders::new(&response, origin, hsts);
        let framing = Framing {
            version: request.version,
            head: request.method == Method::Head,
            keep_alive,
            date: self.date.at(self.clock.unix(now).as_secs()),
            request_id: exchange.id.as_str(),
            usual: security.usual(),
            extra: security.lines(),
        };
        let status = response.status();
        response.encode_head(&framing, &mut connection.output.bytes);
        connection.output.body(response.into_body(&framing));
        self.count_answer(exchange, status);
        if keep_alive {
            self.set_phase(connection, Phase::Head);
            self.set_alarm(connection, now + self.config.http.idle_timeout);
        } else {
            self.set_phase(connection, Phase::Done);
            // Whoever may still be sending must not be reset before it has read the answer.
            connection.fate = match exchange.complete && !request.keep_alive {
                true => Fate::Close,
                false => Fate::Linger,
            };
            self.set_alarm(connection, now + LINGER);
        }
    }

    pub(super) fn count_answer(&mut self, exchange: &Exchange, status: u16) {
        self.answered.push(Answered {
            method: exchange.request.method.clone(),
            route: exchange.route,
            status,
            started: exchange.started,
        });
    }

    /// Stands for a request whose head could not be read.
    pub(super) fn nameless_exchange(
        &mut self,
        now: Instant,
        connection: &Connection,
    ) -> Box<Exchange> {
        let request = Request {
            method: Method::Other(String::new()),
            path: String::new(),
            query: None,
            version: Version::Http11,
            headers: Default::default(),
            body: BodyLength::None,
            keep_alive: false,
            expect_continue: false,
        };
        let id = RequestId::from_random(self.random_bytes());
        Box::new(Exchange {
            request,
            route: Route::Unmatched,
            identity: Identity::nobody(),
            client: Client::direct(connection.peer.ip()).address,
            admission: Admission::default(),
            id,
            started: now,
            prepared: None,
            complete: false,
        })
    }
}
