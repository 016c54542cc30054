//! How a viewer asks a server for a session: in this server's terms, or in another's.

mod janus;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::Error;
use crate::http::{Connection, Response};

pub use janus::Janus;

/// A session that a server has made, with its offer.
#[derive(Clone, Debug)]
pub struct Created {
    /// What the server calls it.
    pub session: String,
    /// Its SDP.
    pub offer: String,
}

/// A server's way to set up sessions. Calls wait for the server's answer.
pub trait Signalling {
    /// A session that watches what is measured.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached, as with all of these.
    fn create(&mut self) -> Result<Created, Error>;
    /// The viewer's answer to the session's offer.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    fn answer(&mut self, session: &str, sdp: &str) -> Result<(), Error>;
    /// The session's end.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    fn close(&mut self, session: &str) -> Result<(), Error>;
    /// To be called now and then, for servers that forget who says nothing.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    fn keep_alive(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Which one, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// `POST /api/media/sessions` and its answer, as this server and the Go peer have them
    MediaService,
    /// The streaming plugin of Janus over its HTTP API; --device is the number of the mount point
    Janus,
}

impl Kind {
    /// A client of it.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn connect(self, server: SocketAddr, device: &str) -> Result<Box<dyn Signalling>, Error> {
        Ok(match self {
            Self::MediaService => Box::new(MediaService::connect(server, device)?),
            Self::Janus => Box::new(Janus::connect(server, device)?),
        })
    }
}

/// One connection for requests with a JSON body, kept alive.
struct Requests {
    server: SocketAddr,
    connection: Connection,
}

impl Requests {
    fn connect(server: SocketAddr) -> Result<Self, Error> {
        let connection =
            Connection::try_open(server).map_err(|error| Error::Connection { server, error })?;
        Ok(Self { server, connection })
    }

    /// The answer, which must be one of success.
    fn request(&mut self, method: &str, target: &str, body: &Value) -> Result<Response, Error> {
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let headers = [("Content-Type", "application/json")];
        let server = self.server;
        let response = self
            .connection
            .send_request(method, target, &headers, &body)
            .and_then(|()| self.connection.try_response(false))
            .map_err(|error| Error::Connection { server, error })?;
        if (200..300).contains(&response.status) {
            return Ok(response);
        }
        Err(refused(method, target, &response))
    }
}

fn refused(method: &str, target: &str, response: &Response) -> Error {
    Error::Refused {
        request: format!("{method} {target}"),
        status: response.status,
        body: response.text(),
    }
}

/// This server, and every one with the same routes.
pub struct MediaService {
    requests: Requests,
    device: String,
}

/// Where sessions are made.
pub const SESSIONS: &str = "/api/media/sessions";

impl MediaService {
    /// A client that makes sessions of this device.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn connect(server: SocketAddr, device: &str) -> Result<Self, Error> {
        Ok(Self {
            requests: Requests::connect(server)?,
            device: device.to_owned(),
        })
    }

    /// The body that makes a session.
    pub fn wish(device: &str) -> Value {
        json!({"deviceId": device, "userId": "viewer"})
    }
}

impl Signalling for MediaService {
    fn create(&mut self) -> Result<Created, Error> {
        let wish = Self::wish(&self.device);
        let response = self.requests.request("POST", SESSIONS, &wish)?;
        let created: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        text(&created["sessionId"])
            .zip(text(&created["offer"]["sdp"]))
            .map(|(session, offer)| Created { session, offer })
            .ok_or_else(|| refused("POST", SESSIONS, &response))
    }

    fn answer(&mut self, session: &str, sdp: &str) -> Result<(), Error> {
        let target = format!("{SESSIONS}/{session}/answer");
        let body = json!({"type": "answer", "sdp": sdp});
        self.requests.request("POST", &target, &body)?;
        Ok(())
    }

    fn close(&mut self, session: &str) -> Result<(), Error> {
        let target = format!("{SESSIONS}/{session}");
        self.requests.request("DELETE", &target, &Value::Null)?;
        Ok(())
    }
}
