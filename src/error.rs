//! What goes wrong for a client, and the only place that knows HTTP status codes of the API.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use rtc::{BitstreamError, SessionError};
use serde::Serialize;

use crate::auth::{AuthError, Role};
use crate::http::routes::Route;
use crate::http::{RequestError, Response};
use crate::ids::{DeviceId, RoomId, SessionId};
use crate::rooms::RoomError;

/// Why a request was refused. The sentence (`Display`) is for the person who reads it, the code
/// for the program.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The bytes are not a request.
    #[error("{0}")]
    Request(#[from] RequestError),
    /// No route has this path.
    #[error("there is nothing at {path}; the routes are listed at /openapi.json")]
    NotFound {
        /// The path that was asked for.
        path: String,
    },
    /// The route exists, the method does not.
    #[error("{method} is not offered here; allowed are {}", .route.methods().join(", "))]
    MethodNotAllowed {
        /// The method that was asked for.
        method: String,
        /// The route that was hit.
        route: Route,
    },
    /// The body is not the JSON that the route wants.
    #[error("{0}")]
    BadBody(String),
    /// A query parameter or header is missing or wrong.
    #[error("{name}: {fault}")]
    BadParameter {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        fault: Cow<'static, str>,
    },
    /// The JSON body is larger than `http.json_body_bytes`.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The bound in bytes.
        limit: usize,
    },
    /// No session has this id.
    #[error("there is no session {id}; it was closed or expired")]
    UnknownSession {
        /// As it stood in the path.
        id: String,
    },
    /// No device has this id.
    #[error("there is no device {id}; nobody publishes or watches it")]
    UnknownDevice {
        /// As it stood in the path.
        id: String,
    },
    /// No room has this id.
    #[error("there is no room {id}")]
    UnknownRoom {
        /// As it stood in the path.
        id: String,
    },
    /// The anchor has too many rooms (`limits.rooms_per_anchor`).
    #[error("{limit} of your rooms have not ended: start and stop one of them first")]
    TooManyRooms {
        /// The bound.
        limit: usize,
    },
    /// The room is in no state for that.
    #[error("{0}")]
    Room(RoomError),
    /// An answer came although no offer waits for one.
    #[error("session {id} has no open offer; ask for a new one with POST …/offer")]
    NoOpenOffer {
        /// The session.
        id: SessionId,
    },
    /// The SDP cannot be used.
    #[error("the SDP cannot be used: {0}")]
    BadSdp(String),
    /// The candidate cannot be read.
    #[error("the candidate cannot be read: {0}")]
    BadCandidate(String),
    /// One candidate too many (`media.candidates`).
    #[error("session {id} has its {limit} candidates already")]
    TooManyCandidates {
        /// The session.
        id: SessionId,
        /// The bound.
        limit: usize,
    },
    /// A token bucket is empty (`limits.…_rate`).
    #[error("rate limit exceeded")]
    RateLimited {
        /// Until there is a token.
        wait: Duration,
    },
    /// Another publisher or agent holds the device.
    #[error(
        "{what} of device {device} is held by another publisher; add ?takeover=true to replace it"
    )]
    DeviceBusy {
        /// The device.
        device: DeviceId,
        /// `the video`, `the audio`.
        what: &'static str,
    },
    /// A second agent's socket.
    #[error("device {device} already has an agent")]
    AgentBusy {
        /// The device.
        device: DeviceId,
    },
    /// Another publisher has taken this one's place.
    #[error("another publisher took over device {device}")]
    TakenOver {
        /// The device.
        device: DeviceId,
    },
    /// The body is not what its type says.
    #[error("{0}")]
    BadBitstream(#[from] BitstreamError),
    /// Not a type that the route takes.
    #[error("Content-Type {found:?} is not taken here; send {wanted}")]
    UnsupportedMediaType {
        /// What came.
        found: String,
        /// What would be taken.
        wanted: &'static str,
    },
    /// A body that would have to be unpacked first: a small one can hold a very large one.
    #[error("Content-Encoding {0:?} is not taken: send the body as it is")]
    ContentEncoding(String),
    /// A WebSocket route was asked for without an upgrade.
    #[error("this is a WebSocket: {0}")]
    UpgradeRequired(&'static str),
    /// Plain HTTP on an address that speaks TLS.
    #[error("this port speaks TLS, and plain HTTP came: use https:// or wss://")]
    TlsRequired,
    /// No token, or one that is worth nothing.
    #[error("{0}")]
    Unauthorized(AuthError),
    /// The token is good for other things than this.
    #[error("{0}")]
    Forbidden(Forbidden),
    /// A page of another site, or a name that is not this server's (DNS rebinding).
    #[error("{0}")]
    ForeignOrigin(String),
    /// A request stood still for too long.
    #[error("the request did not come to its end within {seconds} s")]
    RequestTimeout {
        /// The bound.
        seconds: u64,
    },
    /// A publisher's connection is open, and nothing comes.
    #[error("nothing came for {seconds} s: the device is free for others")]
    PublisherSilent {
        /// The bound (`media.publisher_timeout`).
        seconds: u64,
    },
    /// Another user has this name.
    #[error("the username {username} is taken")]
    UsernameTaken {
        /// The name.
        username: Box<str>,
    },
    /// Nobody has this name and this password.
    #[error("username or password is wrong")]
    BadCredentials,
    /// There is nothing to sign a token with.
    #[error("nobody can sign up or log in: the server has no auth.jwt_secret to sign tokens with")]
    NoJwtSecret,
    /// Something could not be stored or read.
    #[error("the server's store failed; try again later")]
    StoreFailed,
    /// A cap of the process is met.
    #[error("the server has its {limit} {what} already; try again later")]
    Full {
        /// `sessions`, `devices`, …
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// The process has as much memory as it may (`limits.memory`).
    #[error("the server is short of memory and takes no new work for a moment; try again later")]
    MemoryShort,
    /// A shard's mailbox is full, or it did not answer in time.
    #[error("a part of the server is overloaded; try again")]
    ShardBusy,
    /// As many rows wait for the store as may.
    #[error("the store does not keep up; try again")]
    StoreBusy,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Draining,
    /// Our own fault: a handler panicked or a library refused what it must take.
    #[error("the server made a mistake with this request; its log has more under the request id")]
    Internal,
}

impl ApiError {
    /// The HTTP status. No catch-all arm: a new error must choose.
    pub fn status(&self) -> u16 {
        match self {
            ApiError::Request(error) => error.status(),
            ApiError::BadBody(_)
            | ApiError::BadParameter { .. }
            | ApiError::BadSdp(_)
            | ApiError::BadCandidate(_)
            | ApiError::BadBitstream(_)
            | ApiError::TlsRequired => 400,
            ApiError::Unauthorized(_) | ApiError::BadCredentials => 401,
            ApiError::Forbidden(_) | ApiError::ForeignOrigin(_) => 403,
            ApiError::NotFound { .. }
            | ApiError::UnknownSession { .. }
            | ApiError::UnknownDevice { .. }
            | ApiError::UnknownRoom { .. } => 404,
            ApiError::MethodNotAllowed { .. } => 405,
            ApiError::RequestTimeout { .. } | ApiError::PublisherSilent { .. } => 408,
            ApiError::NoOpenOffer { .. }
            | ApiError::DeviceBusy { .. }
            | ApiError::AgentBusy { .. }
            | ApiError::TakenOver { .. }
            | ApiError::UsernameTaken { .. }
            | ApiError::NoJwtSecret => 409,
            ApiError::BodyTooLarge { .. } => 413,
            ApiError::UnsupportedMediaType { .. } | ApiError::ContentEncoding(_) => 415,
            ApiError::UpgradeRequired(_) => 426,
            ApiError::TooManyCandidates { .. }
            | ApiError::TooManyRooms { .. }
            | ApiError::RateLimited { .. } => 429,
            ApiError::Internal => 500,
            ApiError::Room(error) => match error {
                RoomError::BadMessage(_)
                | RoomError::ContentTooLong
                | RoomError::DataTooLong
                | RoomError::IdTooLong => 400,
                RoomError::Forbidden => 403,
                RoomError::Unknown => 404,
                RoomError::NotIdle
                | RoomError::NotLive
                | RoomError::Ended
                | RoomError::IdReused => 409,
                RoomError::RateLimited | RoomError::RoomBusy => 429,
                RoomError::RoomFull | RoomError::Draining => 503,
            },
            ApiError::StoreFailed
            | ApiError::Full { .. }
            | ApiError::MemoryShort
            | ApiError::ShardBusy
            | ApiError::StoreBusy
            | ApiError::Draining => 503,
        }
    }

    /// The machine code of the answer's `code` field.
    pub fn code(&self) -> &'static str {
        match self {
            ApiError::Request(error) => error.code(),
            ApiError::NotFound { .. } => "not_found",
            ApiError::MethodNotAllowed { .. } => "method_not_allowed",
            ApiError::BadBody(_) => "bad_body",
            ApiError::BadParameter { .. } => "bad_parameter",
            ApiError::BodyTooLarge { .. } => "body_too_large",
            ApiError::UnknownSession { .. } => "unknown_session",
            ApiError::UnknownDevice { .. } => "unknown_device",
            ApiError::UnknownRoom { .. } => "unknown_room",
            ApiError::Room(error) => error.code(),
            ApiError::TooManyRooms { .. } => "too_many_rooms",
            ApiError::StoreBusy | ApiError::MemoryShort => "overloaded",
            ApiError::NoOpenOffer { .. } => "no_open_offer",
            ApiError::BadSdp(_) => "bad_sdp",
            ApiError::BadCandidate(_) => "bad_candidate",
            ApiError::TooManyCandidates { .. } => "too_many_candidates",
            ApiError::RateLimited { .. } => "rate_limited",
            ApiError::DeviceBusy { .. } => "device_busy",
            ApiError::AgentBusy { .. } => "agent_busy",
            ApiError::TakenOver { .. } => "taken_over",
            ApiError::BadBitstream(_) => "bad_bitstream",
            ApiError::UnsupportedMediaType { .. } => "unsupported_media_type",
            ApiError::ContentEncoding(_) => "content_encoding",
            ApiError::UpgradeRequired(_) => "upgrade_required",
            ApiError::TlsRequired => "tls_required",
            ApiError::Unauthorized(error) => error.code(),
            ApiError::Forbidden(_) => "forbidden",
            ApiError::ForeignOrigin(_) => "foreign_origin",
            ApiError::RequestTimeout { .. } | ApiError::PublisherSilent { .. } => "request_timeout",
            ApiError::UsernameTaken { .. } => "username_taken",
            ApiError::BadCredentials => "bad_credentials",
            ApiError::NoJwtSecret => "no_jwt_secret",
            ApiError::StoreFailed => "store_failed",
            ApiError::Full { .. } => "full",
            ApiError::ShardBusy => "shard_busy",
            ApiError::Draining => "draining",
            ApiError::Internal => "internal",
        }
    }

    /// Maps a fault of a room onto the API.
    pub fn from_room(error: RoomError, id: RoomId) -> Self {
        match error {
            RoomError::Unknown => ApiError::UnknownRoom { id: id.to_string() },
            RoomError::Draining => ApiError::Draining,
            error => ApiError::Room(error),
        }
    }

    /// Maps a fault of a session onto the API.
    pub fn from_session(error: SessionError, id: SessionId) -> Self {
        match error {
            SessionError::UnknownSession => ApiError::UnknownSession { id: id.to_string() },
            SessionError::NoOpenOffer => ApiError::NoOpenOffer { id },
            SessionError::BadSdp(fault) => ApiError::BadSdp(fault),
            SessionError::BadCandidate(fault) => ApiError::BadCandidate(fault),
            SessionError::TooManyCandidates { limit } => ApiError::TooManyCandidates { id, limit },
            SessionError::UnknownSource | SessionError::Internal => {
                tracing::error!(session = %id, "a session failed: {error}");
                ApiError::Internal
            }
        }
    }

    /// The answer: status, `{"error","code","requestId"}`, and the headers that belong to it.
    pub fn response(&self, request_id: &str) -> Response {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            error: &'a dyn_display::Shown<'a>,
            code: &'static str,
            request_id: &'a str,
        }
        let shown = dyn_display::Shown(self);
        let body = Body {
            error: &shown,
            code: self.code(),
            request_id,
        };
        let response = Response::json(self.status(), &body);
        match self {
            ApiError::MethodNotAllowed { route, .. } => {
                response.header("Allow", route.methods().join(", "))
            }
            ApiError::StoreFailed
            | ApiError::Full { .. }
            | ApiError::Room(RoomError::RoomFull)
            | ApiError::MemoryShort
            | ApiError::ShardBusy
            | ApiError::StoreBusy
            | ApiError::Draining => response.header("Retry-After", RETRY_AFTER_SECONDS),
            // RFC 9110 §15.5.16.
            ApiError::ContentEncoding(_) => response.header("Accept-Encoding", "identity"),
            ApiError::RateLimited { wait } => {
                response.header("Retry-After", whole_seconds(*wait).to_string())
            }
            // The version that there is (RFC 6455 §4.2.2).
            ApiError::UpgradeRequired(_) => response
                .header("Upgrade", "websocket")
                .header("Sec-WebSocket-Version", "13"),
            ApiError::Unauthorized(error) => response.header("WWW-Authenticate", challenge(*error)),
            // Every 401 names a scheme (RFC 9110 §15.5.2).
            ApiError::BadCredentials => {
                response.header("WWW-Authenticate", challenge(AuthError::Missing))
            }
            _ => response,
        }
    }
}

/// Why somebody who is known may not do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// It takes more.
    #[error("this needs the role {}, and the token's is {}", .needed.name(), .role.name())]
    Role {
        /// The least role that may.
        needed: Role,
        /// The token's.
        role: Role,
    },
    /// The claim `devices` leaves it out.
    #[error("the token is not good for this device")]
    Device,
    /// Everything is asked for by a token that is good for some devices.
    #[error("the token is good for certain devices alone: name one with deviceId")]
    AllDevices,
    /// Somebody else's session.
    #[error("the session belongs to another user: only that user or an admin may use it")]
    Session,
    /// Somebody else's room.
    #[error("the room belongs to another user: only its anchor or an admin may start and stop it")]
    Room,
    /// In another user's name.
    #[error("the token's sub is another user: only an admin may act for others")]
    User,
    /// `auth.signup` is off.
    #[error("nobody may sign up here")]
    SignUp,
}

/// RFC 6750 §3: who sent no token is not told that something is wrong with it (§3.1).
fn challenge(error: AuthError) -> &'static str {
    match error {
        AuthError::Missing => r#"Bearer realm="media-service""#,
        _ => r#"Bearer realm="media-service", error="invalid_token""#,
    }
}

/// When a refused client should come back: a drained host is replaced, a full one has closed
/// some sessions.
const RETRY_AFTER_SECONDS: &str = "1";

/// Rounded up: who comes back then finds a token.
fn whole_seconds(wait: Duration) -> u128 {
    wait.as_nanos().div_ceil(1_000_000_000)
}

/// Serialises a `Display` as a string.
mod dyn_display {
    use super::{ApiError, fmt};

    pub(super) struct Shown<'a>(pub(super) &'a ApiError);

    impl fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt(f)
        }
    }

    impl serde::Serialize for Shown<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }
}
