//! A request, understood: route, parameters and body checked, nothing done yet.

mod devices;
mod needs;
mod rooms;
mod sessions;

use serde::de::DeserializeOwned;

pub use self::devices::Publication;
pub use self::needs::Subject;
pub use self::rooms::{History, MemberQuery, NewRoom, Part};
pub use self::sessions::{SessionFilter, Watch};
use crate::accounts::Credentials;
use crate::error::ApiError;
use crate::http::query::param;
use crate::http::routes::{Route, resolve};
use crate::http::{Method, Request, Version};
use crate::ids::{DeviceId, RoomId, SessionId, UserId};
use crate::json::JsonFault;
use crate::limits::{HOT_DEFAULT, HOT_MAX};
use crate::media::Track;
use crate::rooms::RoomFilter;
use crate::web;

/// What a client wants done. It is `Send`: where another shard owns what it names, it moves there
/// with its connection.
#[derive(Debug)]
pub enum Operation {
    /// `GET /health`
    Health,
    /// `GET /health/live`
    Live,
    /// `GET /health/ready`
    Ready,
    /// `GET /metrics`
    Metrics,
    /// `GET /openapi.json`
    OpenApi,
    /// A file of the page.
    File(web::File),
    /// `OPTIONS`
    Options(Route),
    /// `POST /api/media/sessions`
    CreateSession {
        /// What is watched.
        device: DeviceId,
        /// Who watches.
        user: UserId,
    },
    /// `GET /api/media/sessions`
    ListSessions(SessionFilter),
    /// `GET /api/media/sessions/{id}`
    GetSession(SessionId),
    /// `DELETE /api/media/sessions/{id}`
    DeleteSession(SessionId),
    /// `POST /api/media/sessions/{id}/answer`
    Answer {
        /// The session.
        session: SessionId,
        /// Its answer.
        sdp: String,
    },
    /// `POST /api/media/sessions/{id}/ice-candidate`
    Candidate {
        /// The session.
        session: SessionId,
        /// RFC 8839 §5.1; empty: end of candidates.
        candidate: String,
    },
    /// `POST /api/media/sessions/{id}/offer`
    Offer {
        /// The session.
        session: SessionId,
        /// New ICE credentials.
        ice_restart: bool,
    },
    /// `GET /api/media/sessions/{id}/stats`
    Stats(SessionId),
    /// `GET /api/media/devices`
    ListDevices,
    /// `GET /api/media/devices/{id}`
    GetDevice(DeviceId),
    /// `PUT /api/media/devices/{id}/video` and `/audio`
    Publish(Publication),
    /// `GET /api/media/ws`
    ViewerSocket {
        /// What to watch, or which session to come back to.
        watch: Watch,
        /// Who watches, where the query says so.
        user: Option<UserId>,
        /// `Sec-WebSocket-Key`.
        key: String,
    },
    /// `POST /api/v1/users`
    SignUp(Credentials),
    /// `POST /api/v1/users/login`
    LogIn(Credentials),
    /// `GET /api/v1/users/me`
    Me,
    /// `GET /api/media/devices/{id}/ws`
    AgentSocket {
        /// The device.
        device: DeviceId,
        /// `Sec-WebSocket-Key`.
        key: String,
    },
    /// `POST /api/v1/rooms`
    CreateRoom(NewRoom),
    /// `GET /api/v1/rooms`
    ListRooms(RoomFilter),
    /// `GET /api/v1/rooms/{id}`
    GetRoom(RoomId),
    /// `POST /api/v1/rooms/{id}/start`
    StartRoom(RoomId),
    /// `POST /api/v1/rooms/{id}/stop`
    StopRoom(RoomId),
    /// `POST /api/v1/rooms/{id}/join`
    JoinRoom(RoomId),
    /// `POST /api/v1/rooms/{id}/leave`
    LeaveRoom(RoomId),
    /// `GET /api/v1/rooms/{id}/messages`
    RoomMessages(History),
    /// `GET /api/v1/rooms/{id}/viewers`
    RoomViewers {
        /// The room.
        room: RoomId,
        /// After this one, in the order of ids.
        after: Option<UserId>,
        /// At most so many.
        limit: usize,
    },
    /// `GET /api/v1/stats/hot`
    HotRooms {
        /// At most so many.
        limit: usize,
    },
    /// `GET /api/v1/stats/online`
    OnlineStats,
    /// `GET /api/v1/stats/shards`
    ShardStats,
    /// `GET /ws`
    RoomSocket {
        /// The room, and what is replayed of it first.
        member: MemberQuery,
        /// `Sec-WebSocket-Key`.
        key: String,
    },
}

impl Operation {
    /// Understands a request. `body` is complete, but for [`Operation::Publish`], whose body
    /// follows.
    pub fn parse(request: &Request, body: &[u8]) -> Result<Self, ApiError> {
        let target = resolve(&request.path);
        let route = target.route;
        let id = target.id.unwrap_or_default();
        Self::check_method(request, route)?;
        if request.method == Method::Options {
            return Ok(Operation::Options(route));
        }
        Ok(match (route, request.method.as_str()) {
            (Route::Health, _) => Operation::Health,
            (Route::HealthLive, _) => Operation::Live,
            (Route::HealthReady, _) => Operation::Ready,
            (Route::Metrics, _) => Operation::Metrics,
            (Route::OpenApi, _) => Operation::OpenApi,
            (Route::Page | Route::Unmatched, _) => {
                Operation::File(web::file(&request.path).ok_or_else(|| ApiError::NotFound {
                    path: shown(&request.path),
                })?)
            }
            (Route::Sessions, "POST") => sessions::create(body)?,
            (Route::Sessions, _) => Operation::ListSessions(sessions::filter(request)?),
            (Route::Session, "DELETE") => Operation::DeleteSession(sessions::id(id)?),
            (Route::Session, _) => Operation::GetSession(sessions::id(id)?),
            (Route::SessionAnswer, _) => sessions::answer(id, body)?,
            (Route::SessionCandidate, _) => sessions::candidate(id, body)?,
            (Route::SessionOffer, _) => sessions::offer(id, body)?,
            (Route::SessionStats, _) => Operation::Stats(sessions::id(id)?),
            (Route::Devices, _) => Operation::ListDevices,
            (Route::Device, _) => Operation::GetDevice(devices::id(id)?),
            (Route::DeviceVideo, _) => devices::publish(request, id, Track::Video)?,
            (Route::DeviceAudio, _) => devices::publish(request, id, Track::Audio)?,
            (Route::DeviceSocket, _) => Operation::AgentSocket {
                device: devices::id(id)?,
                key: upgrade_key(request)?,
            },
            (Route::ViewerSocket, _) => sessions::socket(request)?,
            (Route::Rooms, "POST") => Operation::CreateRoom(rooms::create(body)?),
            (Route::Rooms, _) => Operation::ListRooms(rooms::filter(request)?),
            (Route::Room, _) => Operation::GetRoom(rooms::id(id)?),
            (Route::RoomStart, _) => Operation::StartRoom(rooms::id(id)?),
            (Route::RoomStop, _) => Operation::StopRoom(rooms::id(id)?),
            (Route::RoomJoin, _) => Operation::JoinRoom(rooms::id(id)?),
            (Route::RoomLeave, _) => Operation::LeaveRoom(rooms::id(id)?),
            (Route::RoomMessages, _) => Operation::RoomMessages(rooms::history(request, id)?),
            (Route::RoomViewers, _) => rooms::viewers(request, id)?,
            (Route::HotRooms, _) => Operation::HotRooms {
                limit: limit(request, HOT_DEFAULT, HOT_MAX)?,
            },
            (Route::OnlineStats, _) => Operation::OnlineStats,
            (Route::ShardStats, _) => Operation::ShardStats,
            (Route::RoomSocket, _) => Operation::RoomSocket {
                member: rooms::member(request)?,
                key: upgrade_key(request)?,
            },
            (Route::Users, _) => Operation::SignUp(json(body)?),
            (Route::UserLogin, _) => Operation::LogIn(json(body)?),
            (Route::UserMe, _) => Operation::Me,
        })
    }

    /// Whether the route is there and takes the method: known before the body is.
    pub fn check_method(request: &Request, route: Route) -> Result<(), ApiError> {
        let method = request.method.as_str();
        if route == Route::Unmatched && request.path != "*" {
            return Err(ApiError::NotFound {
                path: shown(&request.path),
            });
        }
        if request.method == Method::Options || route.allows(method) {
            return Ok(());
        }
        Err(ApiError::MethodNotAllowed {
            method: method.to_owned(),
            route,
        })
    }
}

/// A JSON body.
trait Body: DeserializeOwned {
    /// What it must be, for the sentence of a refusal.
    const SHAPE: &str;
}

impl Body for Credentials {
    const SHAPE: &str = r#"{"username":string,"password":string}"#;
}

/// Reads a body, which must be an object: serde would take an array of the fields as well.
fn json<T: Body>(body: &[u8]) -> Result<T, ApiError> {
    let bad = |fault: &str| {
        ApiError::BadBody(format!("the body must be JSON like {}: {fault}", T::SHAPE))
    };
    match body.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(body).map_err(|fault| match fault.into() {
            JsonFault::Shape(fault) => bad(&fault),
            JsonFault::Value(fault) => ApiError::BadBody(fault),
        }),
        Some(_) => Err(bad("it is not an object")),
        None => Err(bad("it is empty")),
    }
}

/// What a client sent, short enough to be sent back.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

fn optional<'a, T: TryFrom<&'a str>>(
    value: Option<&'a str>,
    name: &'static str,
) -> Result<Option<T>, ApiError>
where
    T::Error: std::fmt::Display,
{
    value
        .map(|text| {
            T::try_from(text).map_err(|fault| ApiError::BadParameter {
                name,
                fault: fault.to_string().into(),
            })
        })
        .transpose()
}

/// How many items a page may have.
fn limit(request: &Request, default: usize, most: usize) -> Result<usize, ApiError> {
    count(request, "limit", default, most)
}

/// A parameter that is a number of items.
fn count(
    request: &Request,
    name: &'static str,
    default: usize,
    most: usize,
) -> Result<usize, ApiError> {
    match param(request.query.as_deref(), name) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=most).contains(limit))
            .ok_or_else(|| ApiError::BadParameter {
                name,
                fault: format!("must be a number from 1 to {most}").into(),
            }),
    }
}

/// RFC 6455 §4.2.1.
fn upgrade_key(request: &Request) -> Result<String, ApiError> {
    if request.version == Version::Http10 {
        return Err(ApiError::UpgradeRequired("use HTTP/1.1"));
    }
    let headers = &request.headers;
    if !headers.has_token("upgrade", "websocket") || !headers.has_token("connection", "upgrade") {
        return Err(ApiError::UpgradeRequired(
            "send Upgrade: websocket and Connection: Upgrade",
        ));
    }
    if headers.get("sec-websocket-version") != Some("13") {
        return Err(ApiError::UpgradeRequired("send Sec-WebSocket-Version: 13"));
    }
    match headers.get("sec-websocket-key") {
        Some(key) if key.len() == 24 => Ok(key.to_owned()),
        _ => Err(ApiError::BadParameter {
            name: "Sec-WebSocket-Key",
            fault: "must be 16 bytes in base64".into(),
        }),
    }
}
