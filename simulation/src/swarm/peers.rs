//! Clients of HTTP: what they send in pieces, and the answers in their order.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use media_service::http::routes::resolve;

use super::asks::{Ask, Then};
use super::rates::Key;
use super::world::World;
use crate::support::http::Response;
use crate::{Client, request};

/// An answer takes no longer, where nothing is wrong.
const ANSWER_TIME: Duration = Duration::from_secs(7);
/// A head may take so long at least, in every plan.
const LEAST_HEAD_TIMEOUT: Duration = Duration::from_secs(3);
/// Requests that a client has on their way.
const PIPELINE: usize = 40;
/// Clients that are kept; older ones leave.
const PEERS: usize = 24;
/// A proxy whose word is taken; the plan trusts its network.
const PROXY: [u8; 4] = [203, 0, 113, 9];
/// An address that nobody has.
const NOBODY: &str = "192.0.2.99";

/// A client's connection.
pub(super) struct Peer {
    pub(super) client: Client,
    unsent: VecDeque<u8>,
    pending: VecDeque<Pending>,
    /// Since when the first pending one is it, and nothing else keeps it.
    waits_since: Instant,
    /// It does not read until then.
    slow_until: Option<Instant>,
    /// It does not send any more.
    half_closed: bool,
    /// The server has said that it closes.
    told_to_close: bool,
    /// It did something for which the server may close.
    careless: bool,
    /// The server may end it unasked from then on, until it has answered something: the clock of a first
    /// head runs since the connection.
    ends_from: Option<Instant>,
    /// Where it is; the proxy speaks for others.
    address: IpAddr,
}

/// A request on its way.
struct Pending {
    id: String,
    number: u64,
    ask: Ask,
    asked: Instant,
    /// The tokens that it needs.
    keys: Vec<Key>,
}

impl World {
    pub(super) fn connect(&mut self) -> Option<usize> {
        let address = match self.plan.draw(4) {
            0 => PROXY.into(),
            _ => self.address(),
        };
        let client = self.dial(address)?;
        if self.peers.len() >= PEERS {
            let old = self.peers.remove(0);
            self.cut(old.client);
        }
        self.note(&format!("{client:?} connects"));
        self.peers.push(Peer {
            client,
            unsent: VecDeque::new(),
            pending: VecDeque::new(),
            waits_since: self.sim.now,
            slow_until: None,
            half_closed: false,
            told_to_close: false,
            careless: false,
            ends_from: Some(self.sim.now + LEAST_HEAD_TIMEOUT),
            address,
        });
        Some(self.peers.len() - 1)
    }

    /// A client that can be asked with, or a new one.
    pub(super) fn some_peer(&mut self) -> Option<usize> {
        if let Some(peer) = self.pick(self.peers.len()) {
            let it = &self.peers[peer];
            if it.free() && !self.sim.wire(it.client).server_done {
                return Some(peer);
            }
        }
        self.connect()
    }

    /// Has a client ask.
    pub(super) fn send(&mut self, peer: usize, ask: Ask) {
        let ask = self.sign(ask);
        let number = self.next_id;
        let id = format!("r-{number}");
        self.next_id += 1;
        let (ask, address) = self.forwarded(peer, ask);
        let keys = self.charges(&ask, address);
        self.wants_tokens(number, &keys);
        let mut headers: Vec<(&str, &str)> = vec![("X-Request-Id", &id)];
        headers.extend(ask.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        let bytes = request(ask.method, &ask.target, &headers, &ask.body);
        let client = self.peers[peer].client;
        self.note(&format!(
            "{client:?} {id} {} {}",
            ask.method,
            ask.redacted()
        ));
        let (now, peer) = (self.sim.now, &mut self.peers[peer]);
        peer.careless |= self.draining;
        peer.unsent.extend(bytes);
        if peer.pending.is_empty() {
            peer.waits_since = now;
        }
        peer.pending.push_back(Pending {
            id,
            number,
            ask,
            asked: now,
            keys,
        });
    }

    /// What the proxy says of its client, or a client of itself; and where the client is.
    fn forwarded(&mut self, peer: usize, ask: Ask) -> (Ask, IpAddr) {
        let address = self.peers[peer].address;
        if address == IpAddr::from(PROXY) {
            let client = self.address();
            let said = [
                ("X-Forwarded-For", client.to_string()),
                ("X-Forwarded-For", format!("{NOBODY}, {client}")),
                ("Forwarded", format!("for={client};proto=https")),
            ];
            let (name, value) = &said[self.plan.draw(said.len())];
            return (ask.header(name, value), client);
        }
        match self.plan.draw(8) {
            0 => (ask.header("X-Forwarded-For", NOBODY), address),
            _ => (ask, address),
        }
    }

    /// Asks with some client, if there is one.
    pub(super) fn send_any(&mut self, ask: Ask) {
        if let Some(peer) = self.some_peer() {
            self.send(peer, ask);
        }
    }

    pub(super) fn ask(&mut self) {
        let ask = self.any_ask();
        self.send_any(ask);
    }

    pub(super) fn pipeline(&mut self) {
        let Some(peer) = self.some_peer() else {
            return;
        };
        let more = PIPELINE.saturating_sub(self.peers[peer].pending.len());
        for _ in 0..self.plan.draw(more + 1) {
            let ask = self.any_ask();
            self.send(peer, ask);
        }
    }

    pub(super) fn half_close(&mut self) {
        let Some(peer) = self.pick(self.peers.len()) else {
            return;
        };
        let it = &mut self.peers[peer];
        it.half_closed = true;
        it.careless = true;
    }

    pub(super) fn reset(&mut self) {
        if let Some(peer) = self.pick(self.peers.len()) {
            let it = self.peers.remove(peer);
            self.note(&format!("{:?} is gone", it.client));
            self.cut(it.client);
        }
    }

    pub(super) fn slow_client(&mut self) {
        if let Some(peer) = self.pick(self.peers.len()) {
            let until = self.sim.now + self.plan.time(Duration::from_secs(4));
            let client = self.peers[peer].client;
            self.sim.wire(client).window = [0, 1, 100][self.plan.draw(3)];
            self.peers[peer].slow_until = Some(until);
            self.peers[peer].careless = true;
        }
    }

    /// Moves what clients send into their connections, piece by piece.
    pub(super) fn feed_peers(&mut self) {
        for peer in &mut self.peers {
            let wire = self.sim.wire(peer.client);
            if peer.unsent.is_empty() {
                wire.client_done |= peer.half_closed;
                continue;
            }
            let piece = 1 + self.plan.draw(self.plan.write_bytes);
            let piece = piece.min(peer.unsent.len());
            wire.to_server.extend(peer.unsent.drain(..piece));
            peer.waits_since = self.sim.now;
        }
    }

    pub(super) fn poll_peers(&mut self) {
        let mut at = 0;
        while at < self.peers.len() {
            match self.poll_peer(at) {
                true => at += 1,
                false => _ = self.peers.remove(at),
            }
        }
    }

    /// Reads what came. False: the connection is over.
    fn poll_peer(&mut self, at: usize) -> bool {
        let (now, client) = (self.sim.now, self.peers[at].client);
        if let Some(until) = self.peers[at].slow_until {
            self.peers[at].waits_since = now;
            if now < until {
                return true;
            }
            self.peers[at].slow_until = None;
            self.sim.wire(client).window = usize::MAX;
        }
        loop {
            let to_head = self.peers[at]
                .pending
                .front()
                .is_some_and(|pending| pending.ask.method == "HEAD");
            let Some(response) = self.sim.poll_response(client, to_head) else {
                break;
            };
            if to_head && matches!(response.status, 400 | 408) {
                // Perhaps to a head that was not whole: nobody knew that it would have no body.
                self.sim.wire(client).to_client.clear();
            }
            if !self.answer_of(at, response) {
                return false;
            }
        }
        let unread = self.sim.wire(client).to_client.len();
        let done = self.sim.wire(client).server_done;
        let peer = &self.peers[at];
        if done {
            let left = peer.pending.front().map(|it| it.id.clone());
            let expected = peer.told_to_close
                || peer.careless
                || !peer.unsent.is_empty()
                || self.sim.injected > 0;
            assert!(
                left.is_none() || expected,
                "{client:?} is closed, and {left:?} was not answered"
            );
            // Who does not read is not waited for.
            let whole = unread == 0 || peer.careless || self.sim.injected > 0;
            assert!(whole, "{client:?} is closed within an answer");
            self.note(&format!("{client:?} is closed"));
            self.exact &= left.is_none();
            return false;
        }
        let since = peer.waits_since.max(self.calm_since);
        if let Some(pending) = peer.pending.front()
            && peer.unsent.is_empty()
        {
            let (id, what) = (&pending.id, pending.ask.line());
            let waited = now.saturating_duration_since(since);
            assert!(
                waited < ANSWER_TIME,
                "{client:?} waits {waited:?} for the answer to {id}, {what}"
            );
        }
        true
    }

    /// An answer: to the first of the requests. False: the connection is another thing now.
    fn answer_of(&mut self, at: usize, response: Response) -> bool {
        let (now, client) = (self.sim.now, self.peers[at].client);
        let status = response.status;
        let id = response.header("X-Request-Id").unwrap_or_default();
        let code = self.code_of(&response);
        self.note(&format!("{client:?} {id} {status} {code}"));
        self.answered += 1;
        self.counts.answers += 1;
        assert!(
            status != 500 || self.sim.injected > 0,
            "{}",
            response.text()
        );
        let peer = &mut self.peers[at];
        assert!(!peer.told_to_close, "an answer after the last one");
        let crossed = peer.ends_from.take().is_some_and(|from| now >= from);
        let closes = response
            .header("Connection")
            .is_some_and(|it| it.eq_ignore_ascii_case("close"));
        peer.told_to_close |= closes;
        let pending = peer.pending.pop_front();
        peer.waits_since = now;
        let Some(pending) = pending else {
            // Told unasked when its time is over.
            assert!(
                status == 408 && closes,
                "nobody asked for this: {status} {}",
                response.text()
            );
            return true;
        };
        if pending.id != id {
            // A head that did not come to its end has no id.
            let troubled = pending.asked < self.calm_since + ANSWER_TIME;
            let half = !peer.unsent.is_empty() || peer.careless || troubled || crossed;
            assert!(
                half && closes && matches!(status, 400 | 408),
                "the answer to {id} in the place of that to {}",
                pending.id
            );
            return true;
        }
        self.check_status(&pending.ask, pending.asked, &response, &code);
        let (number, keys) = (pending.number, &pending.keys);
        let times = [pending.asked, now];
        self.judge_rates(times, number, keys, &pending.ask, status, &code);
        let path = pending.ask.target.split('?').next().unwrap_or_default();
        let route = (pending.ask.method, resolve(path).route.template());
        self.counts.asked.insert(route);
        if status < 400 {
            self.counts.done.insert(route);
        }
        self.go_on(at, client, pending.ask.then, &response)
    }

    /// The `code` of an error.
    fn code_of(&self, response: &Response) -> String {
        match response.status {
            400.. if !response.body.is_empty() => {
                response.json()["code"].as_str().unwrap_or("?").to_owned()
            }
            _ => String::new(),
        }
    }

    fn check_status(&self, ask: &Ask, asked: Instant, response: &Response, code: &str) {
        let status = response.status;
        let troubled = asked < self.calm_since + ANSWER_TIME;
        let excused = match code {
            "full" | "too_many_rooms" | "too_many_candidates" => self.plan.tight,
            // By another model: `judge_rates`.
            "rate_limited" => true,
            "internal" => self.sim.injected > 0,
            // Whatever comes through a mailbox may be what fails.
            "shard_busy" if self.sim.injected > 0 => true,
            "shard_busy" | "store_failed" | "overloaded" => troubled,
            // Of a HEAD only the status is known.
            "" => {
                status == 503 && (troubled || self.plan.tight)
                    || status == 500 && self.sim.injected > 0
            }
            "request_timeout" => true,
            // An answer to a restart, where a socket that came meanwhile was sent another offer.
            "bad_sdp" => response.text().contains("no ICE restart was offered"),
            "token_expired" => matches!(ask.then, Then::Socket(_, Some(_))),
            "draining" => self.draining || self.stopping_since.is_some() && ask.asks_readiness(),
            _ => false,
        };
        let before = |since: Option<Instant>| since.is_some_and(|since| asked >= since);
        let refused = status >= 400;
        assert!(
            refused || !before(self.stopping_since) || !ask.asks_readiness(),
            "the server says that it is ready, and ends"
        );
        assert!(
            refused || !before(self.short_since) || !ask.takes_memory(),
            "{} is answered {status} while memory is short",
            ask.line()
        );
        assert!(
            ask.good.contains(&status) || excused,
            "{} is answered {status} {}",
            ask.line(),
            response.text()
        );
    }

    /// The shards are told to end: what they have not read by now may not be answered.
    pub(super) fn asked_too_late(&mut self) {
        for peer in &mut self.peers {
            let wire = self.sim.wire(peer.client);
            peer.careless |= !peer.unsent.is_empty() || !wire.to_server.is_empty();
        }
    }

    /// The process is no more: what it sent is read, what it did not send never comes.
    pub(super) fn lose_peers(&mut self) {
        for peer in &mut self.peers {
            peer.careless = true;
            peer.slow_until = None;
        }
        for at in (0..self.peers.len()).rev() {
            let client = self.peers[at].client;
            // An answer that was cut off is none.
            while let Some(pending) = self.peers[at].pending.front() {
                let to_head = pending.ask.method == "HEAD";
                match self.sim.poll_response(client, to_head) {
                    Some(response) => {
                        if !self.answer_of(at, response) {
                            break;
                        }
                    }
                    None => break,
                }
            }
            self.peers.remove(at);
        }
    }

    /// Requests that still wait for their answers, of clients that read.
    pub(super) fn unanswered(&self) -> usize {
        let pending = |peer: &Peer| peer.pending.len();
        self.peers.iter().map(pending).sum()
    }
}

impl Peer {
    /// Whether it may ask for more.
    fn free(&self) -> bool {
        // Nothing follows a handshake, but what the socket says.
        let upgrades = |it: &Pending| matches!(it.ask.then, Then::Socket(..));
        !self.half_closed
            && !self.told_to_close
            && self.pending.len() < PIPELINE
            && !self.pending.iter().any(upgrades)
    }
}
