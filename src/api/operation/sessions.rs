//! Parameters and bodies of `/api/media/sessions` and of the viewers' WebSocket.

use serde::Deserialize;

use super::{Body, Operation, json, limit, optional, shown, upgrade_key};
use crate::error::ApiError;
use crate::http::Request;
use crate::http::query::param;
use crate::ids::{DeviceId, SessionId, UserId};
use crate::limits::{LIST_DEFAULT, LIST_MAX};

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

/// What a viewer's socket is for.
#[derive(Debug, Clone)]
pub enum Watch {
    /// A new session of this device.
    Device(DeviceId),
    /// A session that exists.
    Session(SessionId),
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

pub(super) fn create(body: &[u8]) -> Result<Operation, ApiError> {
    let CreateSession { device_id, user_id } = json(body)?;
    Ok(Operation::CreateSession {
        device: device_id,
        user: user_id,
    })
}

pub(super) fn answer(session: &str, body: &[u8]) -> Result<Operation, ApiError> {
    let session = id(session)?;
    let Description { kind, sdp } = json(body)?;
    if kind != "answer" {
        return Err(ApiError::BadBody(format!(
            "type: {kind:?} is not \"answer\""
        )));
    }
    Ok(Operation::Answer { session, sdp })
}

pub(super) fn candidate(session: &str, body: &[u8]) -> Result<Operation, ApiError> {
    let session = id(session)?;
    let CandidateBody { candidate } = json(body)?;
    Ok(Operation::Candidate { session, candidate })
}

pub(super) fn offer(session: &str, body: &[u8]) -> Result<Operation, ApiError> {
    let session = id(session)?;
    let OfferBody { ice_restart } = match body.is_empty() {
        true => OfferBody::default(),
        false => json(body)?,
    };
    Ok(Operation::Offer {
        session,
        ice_restart,
    })
}

pub(super) fn id(text: &str) -> Result<SessionId, ApiError> {
    text.parse()
        .map_err(|_| ApiError::UnknownSession { id: shown(text) })
}

pub(super) fn filter(request: &Request) -> Result<SessionFilter, ApiError> {
    let query = request.query.as_deref();
    let limit = limit(request, LIST_DEFAULT, LIST_MAX)?;
    let after = match param(query, "cursor") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| ApiError::BadParameter {
            name: "cursor",
            fault: "is not one that this list gave".into(),
        })?),
    };
    let device = optional(param(query, "deviceId").as_deref(), "deviceId")?;
    Ok(SessionFilter {
        device,
        after,
        limit,
    })
}

pub(super) fn socket(request: &Request) -> Result<Operation, ApiError> {
    let query = request.query.as_deref();
    let watch = match (param(query, "sessionId"), param(query, "deviceId")) {
        (Some(session), _) => Watch::Session(id(&session)?),
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
