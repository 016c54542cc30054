//! `/api/v1/rooms` and the members' WebSocket.

use std::time::Instant;

use serde::Serialize;

use super::{History, MemberQuery, NewRoom, Part};
use crate::auth::{Identity, Role};
use crate::connection::{Connection, ConnectionId};
use crate::error::{ApiError, Forbidden};
use crate::http::Response;
use crate::ids::{RoomId, UserId};
use crate::rooms::{Replay, RoomError, RoomView, Rooms, Time, Welcome};
use crate::shard::{Read, Reply, Shard};
use crate::ws::MemberSocket;

/// A page of rooms.
#[derive(Debug, Serialize)]
pub(crate) struct RoomList {
    rooms: Vec<RoomView>,
    next_cursor: Option<String>,
}

impl RoomList {
    /// The first `limit` of what the shards gave: each was asked for one more than that.
    pub(crate) fn new(mut rooms: Vec<RoomView>, limit: usize) -> Self {
        rooms.sort_unstable_by_key(|room| room.id);
        let more = rooms.len() > limit;
        rooms.truncate(limit);
        let last = rooms.last().filter(|_| more);
        Self {
            next_cursor: last.map(|room| room.id.to_string()),
            rooms,
        }
    }
}

impl Shard {
    /// The room is on the shard that took the request: its id is drawn so.
    pub(super) fn create_room(
        &mut self,
        now: Instant,
        connection: &Connection,
        identity: &Identity,
        room: NewRoom,
    ) -> Result<Reply, ApiError> {
        self.takes_changes()?;
        let record = self.new_room(now, identity.user.clone(), room)?;
        let id = record.id;
        let response = Response::json(201, &self.room_view(id)?)
            .header("Location", format!("/api/v1/rooms/{id}"));
        let gather = self.store_new_room(connection.id, record);
        Ok(Reply::Wait {
            gather,
            prepared: Some(response),
        })
    }

    pub(super) fn get_room(
        &mut self,
        identity: &Identity,
        id: RoomId,
    ) -> Result<Response, ApiError> {
        self.heard_in(identity, id);
        Ok(Response::json(200, &self.room_view(id)?))
    }

    /// Starts a room or stops it: `change` is [`Rooms::start`] or [`Rooms::stop`].
    pub(super) fn change_room(
        &mut self,
        now: Instant,
        connection: &Connection,
        identity: &Identity,
        id: RoomId,
        change: impl FnOnce(&mut Rooms, Time, RoomId) -> Result<(), RoomError>,
    ) -> Result<Reply, ApiError> {
        let who = self.may_lead(identity, id)?;
        self.takes_changes()?;
        let time = self.time(now);
        change(&mut self.rooms, time, id).map_err(|error| ApiError::from_room(error, id))?;
        let response = Response::json(200, &self.room_view(id)?);
        let gather = self.store_change(now, connection.id, id, who);
        Ok(Reply::Wait {
            gather,
            prepared: Some(response),
        })
    }

    pub(super) fn join_room(
        &mut self,
        now: Instant,
        identity: &Identity,
        id: RoomId,
    ) -> Result<Response, ApiError> {
        if self.is_draining() {
            return Err(ApiError::Draining);
        }
        let time = self.time(now);
        self.rooms
            .join(time, id, &identity.user)
            .map_err(|error| ApiError::from_room(error, id))?;
        Ok(Response::json(200, &self.room_view(id)?))
    }

    pub(super) fn quit_room(
        &mut self,
        now: Instant,
        identity: &Identity,
        id: RoomId,
    ) -> Result<Response, ApiError> {
        self.heard_in(identity, id);
        let time = self.time(now);
        self.rooms
            .leave(time, id, &identity.user)
            .map_err(|error| ApiError::from_room(error, id))?;
        Ok(Response::json(200, &self.room_view(id)?))
    }

    /// Read from the store, on the side thread.
    pub(super) fn room_messages(
        &mut self,
        connection: ConnectionId,
        identity: &Identity,
        history: History,
    ) -> Result<Reply, ApiError> {
        let room = history.room;
        self.heard_in(identity, room);
        let record = self.rooms.record(room).ok_or_else(|| unknown(room))?;
        let read = match history.part {
            Part::Last(limit) => Read::Newest { room, limit },
            Part::After {
                epoch,
                after,
                limit,
            } => {
                let after = match (epoch, after) {
                    (None, None) => (0, 0),
                    (epoch, after) => (epoch.unwrap_or(record.epoch), after.unwrap_or(0)),
                };
                Read::History { room, after, limit }
            }
        };
        let gather = self.next_gather();
        self.ask_store(connection, gather, read);
        Ok(Reply::Wait {
            gather,
            prepared: None,
        })
    }

    pub(super) fn room_viewers(
        &mut self,
        identity: &Identity,
        id: RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Response, ApiError> {
        self.heard_in(identity, id);
        let page = self
            .rooms
            .viewers(id, after, limit)
            .map_err(|error| ApiError::from_room(error, id))?;
        Ok(Response::json(200, &page))
    }

    pub(super) fn open_member(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        identity: &Identity,
        query: MemberQuery,
        key: String,
    ) -> Result<Reply, ApiError> {
        let room = query.room;
        let refused = |error: RoomError| ApiError::from_room(error, room);
        self.rooms.admits(room).map_err(refused)?;
        let record = self.rooms.record(room).ok_or_else(|| unknown(room))?;
        let privileged = leads(identity, &record.anchor);
        let replay = match (query.since, query.recent) {
            (Some(seq), _) => Replay::Since {
                seq,
                epoch: query.epoch.unwrap_or(record.epoch),
            },
            (None, Some(recent)) => Replay::Recent(recent),
            (None, None) => Replay::None,
        };
        let time = self.time(now);
        let Welcome {
            key: member,
            hello,
            truncated,
        } = self
            .rooms
            .connect(time, room, &identity.user, connection, replay)
            .map_err(refused)?;
        let socket = MemberSocket::new(now, &self.config.ws, room, member, privileged, identity);
        Ok(Reply::Member {
            key,
            socket: Box::new(socket),
            greeting: [Some(hello), truncated],
        })
    }

    /// What changes a room waits for the store: when that is behind, there is no point in asking.
    fn takes_changes(&self) -> Result<(), ApiError> {
        if self.is_draining() {
            Err(ApiError::Draining)
        } else if !self.store_takes() {
            Err(ApiError::StoreBusy)
        } else {
            Ok(())
        }
    }

    /// Only the anchor and admins start and stop a room: which of them it is.
    fn may_lead(&self, identity: &Identity, id: RoomId) -> Result<&'static str, ApiError> {
        let record = self.rooms.record(id).ok_or_else(|| unknown(id))?;
        match leads(identity, &record.anchor) {
            true if identity.user == record.anchor => Ok("its anchor"),
            true => Ok("an admin"),
            false => Err(ApiError::Forbidden(Forbidden::Room)),
        }
    }

    /// Whatever a room's anchor asks of it says that it is there.
    fn heard_in(&mut self, identity: &Identity, id: RoomId) {
        self.rooms.heard_of_anchor(id, &identity.user);
    }

    fn room_view(&self, id: RoomId) -> Result<RoomView, ApiError> {
        self.rooms.view(id).ok_or_else(|| unknown(id))
    }
}

fn leads(identity: &Identity, anchor: &UserId) -> bool {
    identity.role == Role::Admin || identity.user == *anchor
}

fn unknown(id: RoomId) -> ApiError {
    ApiError::UnknownRoom { id: id.to_string() }
}
