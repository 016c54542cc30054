//! Parameters of `/api/media/devices`.

use rtc::Container;

use super::{Operation, shown};
use crate::error::ApiError;
use crate::http::Request;
use crate::http::query::{decode_segment, param};
use crate::ids::DeviceId;
use crate::media::Track;

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

pub(super) fn id(text: &str) -> Result<DeviceId, ApiError> {
    decode_segment(text)
        .ok_or_else(|| "not a valid path segment".to_owned())
        .and_then(|text| DeviceId::try_from(&*text).map_err(|fault| fault.to_string()))
        .map_err(|fault| ApiError::BadParameter {
            name: "deviceId",
            fault: fault.into(),
        })
}

pub(super) fn publish(request: &Request, id: &str, track: Track) -> Result<Operation, ApiError> {
    let device = self::id(id)?;
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
    Ok(Operation::Publish(Publication {
        device,
        track,
        container,
        fps,
        takeover,
    }))
}
