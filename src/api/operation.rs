//! A request, understood: route, parameters and body checked, nothing done yet.

use rtc::Container;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::accounts::Credentials;
use crate::error::ApiError;
use crate::http::query::{decode_segment, param};
use crate::http::routes::{Route, resolve};
use crate::http::{Method, Request, Version};
use crate::ids::{DeviceId, SessionId, UserId};
use crate::limits::{LIST_DEFAULT, LIST_MAX};
use crate::media::Track;
use crate::placement::{ShardId, Shards};
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
}

/// Which sessions a list wants.
#[derive(Debug, Clone)]
pub struct SessionFilter {
    /// Of this device alone.
    pub device: Option<DeviceId>,
    /// After this one, in the order of ids.
    pub after: Option<SessionId>,
    /// At most so many.
    pub limit: usize,
}

/// What a publisher brings.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The device.
    pub device: DeviceId,
    /// Video or audio.
    pub track: Track,
    /// How its bytes are framed.
    pub container: Container,
    /// Pictures per second that a file is paced to.
    pub fps: Option<f64>,
    /// Replace the publisher that is there.
    pub takeover: bool,
}

/// What a viewer's socket is for.
#[derive(Debug, Clone)]
pub enum Watch {
    /// A new session of this device.
    Device(DeviceId),
    /// A session that exists.
    Session(SessionId),
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
            (Route::Sessions, "POST") => {
                let CreateSession { device_id, user_id } = json(body)?;
                Operation::CreateSession {
                    device: device_id,
                    user: user_id,
                }
            }
            (Route::Sessions, _) => Operation::ListSessions(session_filter(request)?),
            (Route::Session, "DELETE") => Operation::DeleteSession(session_id(id)?),
            (Route::Session, _) => Operation::GetSession(session_id(id)?),
            (Route::SessionAnswer, _) => {
                let session = session_id(id)?;
                let Description { kind, sdp } = json(body)?;
                if kind != "answer" {
                    return Err(ApiError::BadBody(format!(
                        "type: {kind:?} is not \"answer\""
                    )));
                }
                Operation::Answer { session, sdp }
            }
            (Route::SessionCandidate, _) => {
                let session = session_id(id)?;
                let CandidateBody { candidate } = json(body)?;
                Operation::Candidate { session, candidate }
            }
            (Route::SessionOffer, _) => {
                let session = session_id(id)?;
                let OfferBody { ice_restart } = if body.is_empty() {
                    OfferBody::default()
                } else {
                    json(body)?
                };
                Operation::Offer {
                    session,
                    ice_restart,
                }
            }
            (Route::SessionStats, _) => Operation::Stats(session_id(id)?),
            (Route::Devices, _) => Operation::ListDevices,
            (Route::Device, _) => Operation::GetDevice(device_id(id)?),
            (Route::DeviceVideo, _) => Operation::Publish(publication(request, id, Track::Video)?),
            (Route::DeviceAudio, _) => Operation::Publish(publication(request, id, Track::Audio)?),
            (Route::DeviceSocket, _) => Operation::AgentSocket {
                device: device_id(id)?,
                key: upgrade_key(request)?,
            },
            (Route::ViewerSocket, _) => viewer_socket(request)?,
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

    /// The shard that must do it; `None`: any.
    pub fn owner(&self, shards: Shards) -> Option<ShardId> {
        match self {
            Operation::Health
            | Operation::Live
            | Operation::Ready
            | Operation::Metrics
            | Operation::OpenApi
            | Operation::File(_)
            | Operation::Options(_)
            | Operation::SignUp(_)
            | Operation::LogIn(_)
            | Operation::Me
            | Operation::ListDevices => None,
            Operation::ListSessions(filter) => {
                filter.device.as_ref().map(|device| shards.shard_of(device))
            }
            Operation::CreateSession { device, .. }
            | Operation::GetDevice(device)
            | Operation::AgentSocket { device, .. }
            | Operation::Publish(Publication { device, .. })
            | Operation::ViewerSocket {
                watch: Watch::Device(device),
                ..
            } => Some(shards.shard_of(device)),
            Operation::GetSession(session)
            | Operation::DeleteSession(session)
            | Operation::Answer { session, .. }
            | Operation::Candidate { session, .. }
            | Operation::Offer { session, .. }
            | Operation::Stats(session)
            | Operation::ViewerSocket {
                watch: Watch::Session(session),
                ..
            } => Some(shards.shard_of_session(*session)),
        }
    }
}

/// A JSON body.
trait Body: DeserializeOwned {
    /// What it must be, for the sentence of a refusal.
    const SHAPE: &str;
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateSession {
    device_id: DeviceId,
    user_id: UserId,
}

impl Body for CreateSession {
    const SHAPE: &str = r#"{"deviceId":string,"userId":string}"#;
}

impl Body for Credentials {
    const SHAPE: &str = r#"{"username":string,"password":string}"#;
}

#[derive(Deserialize)]
struct Description {
    #[serde(rename = "type")]
    kind: String,
    sdp: String,
}

impl Body for Description {
    const SHAPE: &str = r#"{"type":"answer","sdp":string}"#;
}

/// `sdpMid` and `sdpMLineIndex` are not looked at: all media share one transport (BUNDLE).
#[derive(Deserialize)]
struct CandidateBody {
    candidate: String,
}

impl Body for CandidateBody {
    const SHAPE: &str = r#"{"candidate":string,"sdpMid":string,"sdpMLineIndex":number}"#;
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct OfferBody {
    ice_restart: bool,
}

impl Body for OfferBody {
    const SHAPE: &str = r#"{"iceRestart":bool}"#;
}

/// Reads a body, which must be an object: serde would take an array of the fields as well.
fn json<T: Body>(body: &[u8]) -> Result<T, ApiError> {
    let bad = |fault: String| {
        ApiError::BadBody(format!("the body must be JSON like {}: {fault}", T::SHAPE))
    };
    match body.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(body).map_err(|fault| bad(fault.to_string())),
        Some(_) => Err(bad("it is not an object".to_owned())),
        None => Err(bad("it is empty".to_owned())),
    }
}

fn session_id(text: &str) -> Result<SessionId, ApiError> {
    text.parse()
        .map_err(|_| ApiError::UnknownSession { id: shown(text) })
}

fn device_id(text: &str) -> Result<DeviceId, ApiError> {
    decode_segment(text)
        .ok_or_else(|| "not a valid path segment".to_owned())
        .and_then(|text| DeviceId::try_from(&*text).map_err(|fault| fault.to_string()))
        .map_err(|fault| ApiError::BadParameter {
            name: "deviceId",
            fault: fault.into(),
        })
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

fn session_filter(request: &Request) -> Result<SessionFilter, ApiError> {
    let query = request.query.as_deref();
    let bad = |name, fault: &'static str| ApiError::BadParameter {
        name,
        fault: fault.into(),
    };
    let limit = match param(query, "limit") {
        None => LIST_DEFAULT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=LIST_MAX).contains(limit))
            .ok_or_else(|| bad("limit", "must be a number from 1 to 1000"))?,
    };
    let after = match param(query, "cursor") {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| bad("cursor", "is not one that this list gave"))?,
        ),
    };
    let device = optional(param(query, "deviceId").as_deref(), "deviceId")?;
    Ok(SessionFilter {
        device,
        after,
        limit,
    })
}

fn publication(request: &Request, id: &str, track: Track) -> Result<Publication, ApiError> {
    let device = device_id(id)?;
    let query = request.query.as_deref();
    let fps = match param(query, "fps") {
        None => None,
        Some(text) => Some(
            text.parse()
                .ok()
                .filter(|fps| (1.0..=240.0).contains(fps))
                .ok_or(ApiError::BadParameter {
                    name: "fps",
                    fault: "must be a number from 1 to 240".into(),
                })?,
        ),
    };
    let takeover = match param(query, "takeover").as_deref() {
        None | Some("false") => false,
        Some("true" | "") => true,
        Some(_) => {
            let fault = "must be true or false".into();
            return Err(ApiError::BadParameter {
                name: "takeover",
                fault,
            });
        }
    };
    let found = request.headers.get("content-type").unwrap_or_default();
    let kind = found
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let (container, wanted) = match (track, kind.as_str()) {
        (Track::Video, "video/h264") => (Some(Container::AnnexB), ""),
        (Track::Video, "video/x-ivf") => (Some(Container::Ivf), ""),
        (Track::Audio, "audio/ogg") => (Some(Container::Ogg), ""),
        (Track::Video, _) => (None, "video/h264 (Annex B) or video/x-ivf (VP8)"),
        (Track::Audio, _) => (None, "audio/ogg (Opus)"),
    };
    let container = container.ok_or_else(|| ApiError::UnsupportedMediaType {
        found: shown(found),
        wanted,
    })?;
    Ok(Publication {
        device,
        track,
        container,
        fps,
        takeover,
    })
}

fn viewer_socket(request: &Request) -> Result<Operation, ApiError> {
    let query = request.query.as_deref();
    let watch = match (param(query, "sessionId"), param(query, "deviceId")) {
        (Some(session), _) => Watch::Session(session_id(&session)?),
        (None, device) => match optional(device.as_deref(), "deviceId")? {
            Some(device) => Watch::Device(device),
            None => {
                let fault = "is required, or else sessionId".into();
                return Err(ApiError::BadParameter {
                    name: "deviceId",
                    fault,
                });
            }
        },
    };
    let user = param(query, "userId").or_else(|| param(query, "user_id"));
    Ok(Operation::ViewerSocket {
        watch,
        user: optional(user.as_deref(), "userId")?,
        key: upgrade_key(request)?,
    })
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
