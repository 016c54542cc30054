//! What HTTP clients do.

use std::net::IpAddr;
use std::time::Duration;

use media_service::connection::Scope;
use serde_json::{Value, json};

use super::{Client, Sim, Wire};
use crate::support::http::{Response, parse_head};
use crate::support::metrics::Metrics;

/// What the server listens on, and is asked for.
pub const HOST: &str = "127.0.0.1:30006";
/// Where clients are that do not say so.
const CLIENT: [u8; 4] = [198, 51, 100, 1];
/// An answer takes no longer, whatever the mailboxes do.
const SOON: Duration = Duration::from_secs(5);

/// The head of a request as a client writes it.
pub fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head += &format!("Host: {HOST}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    head.into_bytes()
}

/// A request with its body.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let mut headers = headers.to_vec();
    if !body.is_empty() || method == "POST" {
        headers.push(("Content-Length", &length));
    }
    let mut request = head(method, target, &headers);
    request.extend(body);
    request
}

impl Sim {
    /// A connection that the shard accepts.
    #[track_caller]
    pub fn connect(&mut self, shard: usize) -> Client {
        self.try_connect(shard).expect("the connection is taken")
    }

    /// A connection, if the shard takes it.
    pub fn try_connect(&mut self, shard: usize) -> Option<Client> {
        self.try_connect_to(shard, Scope::Everything)
    }

    /// A connection to a listener of that scope, if the shard takes it.
    pub fn try_connect_to(&mut self, shard: usize, scope: Scope) -> Option<Client> {
        self.try_connect_from(CLIENT.into(), shard, scope)
    }

    /// A connection from an address, if the shard takes it.
    pub fn try_connect_from(
        &mut self,
        address: IpAddr,
        shard: usize,
        scope: Scope,
    ) -> Option<Client> {
        let client = Client(self.wires.len());
        let peer = (address, 1_024 + (client.0 % 60_000) as u16).into();
        let id = self.shards[shard].accepted(self.now, peer, scope).ok()?;
        self.accepted += 1;
        self.wires.push(Wire::new());
        self.own(client, shard, id);
        Some(client)
    }

    pub fn wire(&mut self, client: Client) -> &mut Wire {
        &mut self.wires[client.0]
    }

    pub fn send(&mut self, client: Client, bytes: impl AsRef<[u8]>) {
        self.wires[client.0]
            .to_server
            .extend_from_slice(bytes.as_ref());
    }

    /// One request and its answer.
    #[track_caller]
    pub fn request(
        &mut self,
        client: Client,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let token = bearer.iter().map(|it| ("Authorization", it.as_str()));
        let mut headers = headers.to_vec();
        if !headers.iter().any(|(name, _)| *name == "Authorization") {
            headers.extend(token);
        }
        self.send(client, request(method, target, &headers, body));
        self.answer(client, method == "HEAD")
    }

    #[track_caller]
    pub fn get(&mut self, client: Client, target: &str) -> Response {
        self.request(client, "GET", target, &[], b"")
    }

    #[track_caller]
    pub fn post(&mut self, client: Client, target: &str, body: &Value) -> Response {
        self.request(client, "POST", target, &[], body.to_string().as_bytes())
    }

    /// A new session of the device: what the server says of it.
    #[track_caller]
    pub fn create(&mut self, client: Client, device: &str) -> Value {
        let body = json!({"deviceId": device, "userId": "ada"});
        self.post(client, "/api/media/sessions", &body)
            .expect(201)
            .json()
    }

    /// A scrape, over a connection of its own.
    #[track_caller]
    pub fn metrics(&mut self) -> Metrics {
        let client = self.connect(0);
        let response = self.request(client, "GET", "/metrics", &[("Connection", "close")], b"");
        Metrics::parse(&response.expect(200).text())
    }

    /// The next answer on a connection.
    #[track_caller]
    pub fn response(&mut self, client: Client) -> Response {
        self.answer(client, false)
    }

    /// The next answer on a connection; that to a HEAD has no body.
    #[track_caller]
    pub fn answer(&mut self, client: Client, to_head: bool) -> Response {
        self.answer_within(SOON, client, to_head)
    }

    /// The same, for one that takes longer by design.
    #[track_caller]
    pub fn answer_within(&mut self, limit: Duration, client: Client, to_head: bool) -> Response {
        let mut response = None;
        self.run_until(limit, "an answer", |sim| {
            response = sim.poll_response(client, to_head);
            assert!(
                response.is_some() || !sim.wire(client).server_done,
                "the connection closed without an answer: {:?}",
                String::from_utf8_lossy(&sim.wire(client).to_client)
            );
            response.is_some()
        });
        response.expect("there is one")
    }

    /// An answer that is there.
    pub fn poll_response(&mut self, client: Client, to_head: bool) -> Option<Response> {
        let bytes = &mut self.wires[client.0].to_client;
        let (mut response, head) = parse_head(bytes).expect("HTTP")?;
        let bodyless = to_head || response.status < 200 || matches!(response.status, 204 | 304);
        let length = match response.header("content-length") {
            Some(length) if !bodyless => length.parse().expect("a length"),
            _ => 0,
        };
        let body = bytes.get(head..head + length)?;
        response.body = body.to_vec();
        bytes.drain(..head + length);
        Some(response)
    }

    /// Runs until the server has closed the connection.
    #[track_caller]
    pub fn expect_closed(&mut self, limit: Duration, client: Client) {
        self.run_until(limit, "the server closes the connection", |sim| {
            sim.wire(client).closed
        });
    }
}
