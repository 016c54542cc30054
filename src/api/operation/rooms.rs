//! Parameters and bodies of `/api/v1/rooms` and of the members' WebSocket.

use std::str::FromStr;

use serde::Deserialize;

use super::{Body, Operation, count, json, limit, optional, shown};
use crate::error::ApiError;
use crate::http::Request;
use crate::http::query::param;
use crate::ids::{DeviceId, RoomId};
use crate::limits::{
    HISTORY_DEFAULT, HISTORY_MAX, LIST_DEFAULT, LIST_MAX, ROOM_COVER_BYTES, ROOM_TITLE_BYTES,
};
use crate::rooms::{RoomFilter, Status};

/// A room to be created.
#[derive(Debug)]
pub struct NewRoom {
    /// What it is called; never empty.
    pub title: Box<str>,
    /// The URL of its picture (`https`), or a path on this server; empty: none.
    pub cover: Box<str>,
    /// The device whose picture it shows.
    pub device: Option<DeviceId>,
}

/// Stored messages that are wanted.
#[derive(Debug, Clone, Copy)]
pub struct History {
    /// The room.
    pub room: RoomId,
    /// Which of them.
    pub part: Part,
}

/// A part of a room's history.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// What follows a message.
    After {
        /// The epoch that `after` counts in; `None`: the room's own, or with no `after` the oldest held.
        epoch: Option<u32>,
        /// Messages after this one.
        after: Option<u64>,
        /// At most so many.
        limit: usize,
    },
    /// The newest, so many.
    Last(usize),
}

/// What a new member of a room is sent first.
#[derive(Debug, Clone, Copy)]
pub struct MemberQuery {
    /// The room.
    pub room: RoomId,
    /// Everything after this message.
    pub since: Option<u64>,
    /// The epoch that `since` counts in; `None`: the room's own.
    pub epoch: Option<u32>,
    /// The last so many, where there is no `since`.
    pub recent: Option<usize>,
}

#[derive(Deserialize)]
struct CreateRoom {
    title: String,
    #[serde(default)]
    cover: Option<String>,
    #[serde(default)]
    device_id: Option<DeviceId>,
}

impl Body for CreateRoom {
    const SHAPE: &str = r#"{"title":string,"cover":string,"device_id":string}"#;
}

pub(super) fn create(body: &[u8]) -> Result<NewRoom, ApiError> {
    let CreateRoom {
        title,
        cover,
        device_id,
    } = json(body)?;
    let bad = |fault: String| Err(ApiError::BadBody(fault));
    let (title, cover) = (title.trim(), cover.unwrap_or_default());
    if title.is_empty() {
        return bad("title: is empty".to_owned());
    }
    if title.len() > ROOM_TITLE_BYTES {
        return bad(format!("title: is longer than {ROOM_TITLE_BYTES} bytes"));
    }
    if !title.chars().all(is_plain) {
        return bad("title: has a control character, or one that turns text around".to_owned());
    }
    if cover.len() > ROOM_COVER_BYTES {
        return bad(format!("cover: is longer than {ROOM_COVER_BYTES} bytes"));
    }
    if !is_cover(&cover) {
        return bad("cover: is neither an https URL nor a path of this server".to_owned());
    }
    Ok(NewRoom {
        title: title.into(),
        cover: cover.into(),
        device: device_id,
    })
}

/// Nothing that breaks a list of titles or a line of a log: no control character, no end of a line or
/// paragraph, and none of the embeddings, overrides and isolates of UAX #9 §2, with which a title
/// would change how the text beside it reads.
fn is_plain(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Nothing that a page could take for a script (`javascript:`), or for another site's path
/// (`//host`, which browsers also write with backslashes), and nothing that crosses the network in the
/// clear: who looks at which room is not for everybody on the way to read.
fn is_cover(text: &str) -> bool {
    let path = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\');
    let url = text
        .strip_prefix("https://")
        .is_some_and(|rest| !rest.is_empty());
    let plain = !text.contains(|c: char| c.is_control() || c.is_whitespace());
    text.is_empty() || (plain && (path || url))
}

pub(super) fn id(text: &str) -> Result<RoomId, ApiError> {
    text.parse()
        .map_err(|_| ApiError::UnknownRoom { id: shown(text) })
}

pub(super) fn filter(request: &Request) -> Result<RoomFilter, ApiError> {
    let status = match number(request, "status", "must be 0 (idle), 1 (live) or 2 (ended)")? {
        None => None,
        Some(status) => Some(Status::from_number(status).ok_or(ApiError::BadParameter {
            name: "status",
            fault: "must be 0 (idle), 1 (live) or 2 (ended)".into(),
        })?),
    };
    Ok(RoomFilter {
        status,
        after: number(request, "cursor", "is not one that this list gave")?,
        limit: limit(request, LIST_DEFAULT, LIST_MAX)?,
    })
}

pub(super) fn history(request: &Request, room: &str) -> Result<History, ApiError> {
    let room = id(room)?;
    let query = request.query.as_deref();
    let part = if param(query, "last").is_some() {
        alone(query, "last", &["after", "epoch", "limit", "cursor"])?;
        Part::Last(count(request, "last", HISTORY_DEFAULT, HISTORY_MAX)?)
    } else if let Some(cursor) = param(query, "cursor") {
        alone(query, "cursor", &["after", "epoch"])?;
        let place = cursor
            .split_once('.')
            .and_then(|(epoch, seq)| Some((epoch.parse().ok()?, seq.parse().ok()?)));
        let (epoch, after) = place.ok_or(ApiError::BadParameter {
            name: "cursor",
            fault: "is not one that this list gave".into(),
        })?;
        Part::After {
            epoch: Some(epoch),
            after: Some(after),
            limit: limit(request, HISTORY_DEFAULT, HISTORY_MAX)?,
        }
    } else {
        Part::After {
            epoch: number(request, "epoch", "must be a number")?,
            after: number(request, "after", "must be a message's seq")?,
            limit: limit(request, HISTORY_DEFAULT, HISTORY_MAX)?,
        }
    };
    Ok(History { room, part })
}

/// A parameter says by itself what others would say.
fn alone(query: Option<&str>, name: &str, others: &[&'static str]) -> Result<(), ApiError> {
    match others.iter().find(|other| param(query, other).is_some()) {
        None => Ok(()),
        Some(other) => Err(ApiError::BadParameter {
            name: other,
            fault: format!("cannot be used together with {name}").into(),
        }),
    }
}

pub(super) fn viewers(request: &Request, room: &str) -> Result<Operation, ApiError> {
    let after = param(request.query.as_deref(), "cursor");
    Ok(Operation::RoomViewers {
        room: id(room)?,
        after: optional(after.as_deref(), "cursor")?,
        limit: limit(request, LIST_DEFAULT, LIST_MAX)?,
    })
}

pub(super) fn member(request: &Request) -> Result<MemberQuery, ApiError> {
    let room = param(request.query.as_deref(), "room_id").ok_or(ApiError::BadParameter {
        name: "room_id",
        fault: "is required".into(),
    })?;
    Ok(MemberQuery {
        room: room.parse().map_err(|fault| ApiError::BadParameter {
            name: "room_id",
            fault: format!("{fault}").into(),
        })?,
        since: number(request, "since", "must be a message's seq")?,
        epoch: number(request, "epoch", "must be a number")?,
        recent: number(request, "recent", "must be a number of messages")?,
    })
}

/// A parameter that is a number, or an id that is one.
fn number<T: FromStr>(
    request: &Request,
    name: &'static str,
    fault: &'static str,
) -> Result<Option<T>, ApiError> {
    param(request.query.as_deref(), name)
        .map(|text| {
            text.parse().map_err(|_| ApiError::BadParameter {
                name,
                fault: fault.into(),
            })
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_are_pictures_of_the_web_or_of_this_server() {
        for good in ["", "/cover.png", "https://cdn.example/x?y=1"] {
            assert!(is_cover(good), "{good}");
        }
        for bad in [
            "javascript:alert(1)",
            "data:image/png;base64,AA==",
            "//evil.example/x",
            "/\\evil.example/x",
            "https://",
            "http://a/b.png",
            "cover.png",
            "/a b",
            "/a\nb",
        ] {
            assert!(!is_cover(bad), "{bad}");
        }
    }

    #[test]
    fn a_room_has_a_title() {
        let room = create(br#"{"title":" Morning ","cover":null,"device_id":"cam-1","x":1}"#);
        let room = room.unwrap();
        assert_eq!((&*room.title, &*room.cover), ("Morning", ""));
        assert_eq!(room.device.unwrap().as_str(), "cam-1");
        let long = format!(r#"{{"title":"{}"}}"#, "x".repeat(ROOM_TITLE_BYTES + 1));
        for bad in [
            r#"{}"#,
            r#"{"title":"  "}"#,
            r#"{"title":"a","cover":"javascript:1"}"#,
            r#"{"title":"a","device_id":"a/b"}"#,
            &long,
            r#"{"title":"a\u0000b"}"#,
            r#"{"title":"a\nb"}"#,
            r#"{"title":"a\u001b[31m"}"#,
            r#"{"title":"a\u2028b"}"#,
            r#"{"title":"tea \u202egnp.exe"}"#,
            r#"{"title":"a\u2066b"}"#,
        ] {
            assert!(create(bad.as_bytes()).is_err(), "{bad}");
        }
        let sentence = |body: &str| create(body.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            sentence(r#"{"title":7}"#),
            format!(
                "the body must be JSON like {}: integer `7` stands where a string belongs",
                CreateRoom::SHAPE
            )
        );
        assert_eq!(
            sentence(r#"{"title":"a","device_id":"a/b"}"#),
            "a device id has the character '/': only A–Z a–z 0–9 . _ : @ - are allowed"
        );
        // Hebrew, a family of three joined by U+200D, a mark of direction that ends by itself.
        for good in ["שלום", "👩‍👩‍👦 at home", "1\u{200e}2", "早茶"] {
            let room = create(format!(r#"{{"title":"{good}"}}"#).as_bytes());
            assert_eq!(&*room.unwrap().title, good);
        }
    }
}
