//! The streaming plugin of Janus over its HTTP API: <https://janus.conf.meetecho.com/docs/rest.html>,
//! <https://janus.conf.meetecho.com/docs/streaming.html>. All viewers are handles of one session.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Created, Requests, Signalling, refused};
use crate::{Error, SOON};

/// Where its HTTP API is by default.
const ROOT: &str = "/janus";
/// Janus ends a session that says nothing for a minute (`session_timeout`).
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// A session of Janus.
pub struct Janus {
    requests: Requests,
    /// Of the streaming plugin.
    mount_point: u64,
    /// Target of requests that concern the session.
    session: String,
    said_something: Instant,
}

impl Janus {
    /// A session whose handles watch the mount point of this number.
    ///
    /// # Errors
    /// When Janus cannot be reached or refuses, or `mount_point` is no number.
    pub fn connect(server: SocketAddr, mount_point: &str) -> Result<Self, Error> {
        let number = mount_point.parse().map_err(|_| {
            let text = format!("--device {mount_point}: Janus numbers its mount points");
            Error::Arguments(text)
        })?;
        let mut janus = Self {
            requests: Requests::connect(server)?,
            mount_point: number,
            session: ROOT.to_owned(),
            said_something: Instant::now(),
        };
        let id = janus.id_of(&json!({"janus": "create"}))?;
        janus.session = format!("{ROOT}/{id}");
        Ok(janus)
    }

    /// Sends a request to the session or to one of its handles, and gives the answer, which is no error.
    fn ask(&mut self, handle: Option<&str>, mut request: Value) -> Result<Value, Error> {
        request["transaction"] = "load".into();
        let target = match handle {
            Some(handle) => format!("{}/{handle}", self.session),
            None => self.session.clone(),
        };
        self.said_something = Instant::now();
        let response = self.requests.request("POST", &target, &request)?;
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        match answer["janus"].as_str() {
            Some("success" | "ack") => Ok(answer),
            _ => Err(refused("POST", &target, &response)),
        }
    }

    /// The id of what a request makes.
    fn id_of(&mut self, request: &Value) -> Result<u64, Error> {
        let answer = self.ask(None, request.clone())?;
        let id = answer["data"]["id"].as_u64();
        id.ok_or_else(|| Error::Refused {
            request: request.to_string(),
            status: 200,
            body: answer.to_string(),
        })
    }

    /// Waits for the next event of a handle that `wanted` takes. Those of others tell of their progress and are passed over.
    fn event<T>(&mut self, handle: &str, wanted: impl Fn(&Value) -> Option<T>) -> Result<T, Error> {
        let deadline = Instant::now() + SOON;
        let target = self.session.clone();
        loop {
            let response = self.requests.request("GET", &target, &Value::Null)?;
            let event: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            let ours = event["sender"].as_u64().map(|id| id.to_string());
            let ours = ours.as_deref() == Some(handle);
            if let Some(found) = ours.then(|| wanted(&event)).flatten() {
                return Ok(found);
            }
            let failed = !event["plugindata"]["data"]["error"].is_null();
            if ours && failed || Instant::now() > deadline {
                return Err(refused("GET", &target, &response));
            }
        }
    }
}

impl Signalling for Janus {
    fn create(&mut self) -> Result<Created, Error> {
        let attach = json!({"janus": "attach", "plugin": "janus.plugin.streaming"});
        let session = self.id_of(&attach)?.to_string();
        let watch = json!({"request": "watch", "id": self.mount_point});
        self.ask(Some(&session), json!({"janus": "message", "body": watch}))?;
        let sdp = |event: &Value| event["jsep"]["sdp"].as_str().map(str::to_owned);
        let offer = self.event(&session, sdp)?;
        Ok(Created { session, offer })
    }

    fn answer(&mut self, session: &str, sdp: &str) -> Result<(), Error> {
        let message = json!({
            "janus": "message", "body": {"request": "start"}, "jsep": {"type": "answer", "sdp": sdp},
        });
        self.ask(Some(session), message)?;
        Ok(())
    }

    fn close(&mut self, session: &str) -> Result<(), Error> {
        self.ask(Some(session), json!({"janus": "detach"}))?;
        Ok(())
    }

    fn keep_alive(&mut self) -> Result<(), Error> {
        if self.said_something.elapsed() >= KEEP_ALIVE {
            self.ask(None, json!({"janus": "keepalive"}))?;
        }
        Ok(())
    }
}
