//! The HTTP surface, one file per resource. Handlers know no bytes and no status codes.

mod devices;
mod load;
mod operation;
mod rooms;
mod service;
mod sessions;
mod stats;
mod users;
mod views;

use std::time::Instant;

pub use load::Load;
pub(crate) use load::Loads;
pub use operation::{
    History, MemberQuery, NewRoom, Operation, Part, Publication, SessionFilter, Subject, Watch,
};
pub(crate) use rooms::RoomList;
pub use stats::{EXACT_USERS, Online, UserSet};
pub(crate) use stats::{HotRooms, LastUsers, OnlineStats};
pub use users::{LoggedIn, ProfileView, UserView};
pub use views::{
    AudioView, ConnectionView, DeviceList, DeviceView, Published, PublisherView, SessionList,
    SessionView, StatsView, TrackView, VideoView,
};

use crate::connection::{Connection, Exchange};
use crate::error::ApiError;
use crate::message::Query;
use crate::rooms::Rooms;
use crate::shard::{Reply, Shard};

impl Shard {
    /// Does what this shard owns, or what any shard may do.
    pub(crate) fn perform(
        &mut self,
        now: Instant,
        connection: &Connection,
        exchange: &Exchange,
        operation: Operation,
    ) -> Result<Reply, ApiError> {
        let identity = &exchange.identity;
        Ok(match operation {
            Operation::Health => Reply::Now(service::health()),
            Operation::Live => Reply::Now(service::live()),
            Operation::Ready => Reply::Now(service::ready(
                self.is_draining() || self.totals.is_stopping(),
            )?),
            Operation::OpenApi => Reply::Now(service::openapi()),
            Operation::File(file) => Reply::Now(service::file(&exchange.request, file)),
            Operation::Options(route) => Reply::Now(self.options(&exchange.request, route)),
            Operation::Metrics => Reply::Gather(Query::Metrics),
            Operation::CreateSession { device, user } => {
                Reply::Now(self.post_session(now, exchange, &device, &user)?)
            }
            Operation::ListSessions(filter) => self.list_sessions(filter),
            Operation::GetSession(id) => Reply::Now(self.get_session(identity, id)?),
            Operation::DeleteSession(id) => Reply::Now(self.delete_session(now, identity, id)?),
            Operation::Answer { session, sdp } => {
                Reply::Now(self.post_answer(now, identity, session, &sdp)?)
            }
            Operation::Candidate { session, candidate } => {
                Reply::Now(self.post_candidate(now, identity, session, &candidate)?)
            }
            Operation::Offer {
                session,
                ice_restart,
            } => Reply::Now(self.post_offer(now, identity, session, ice_restart)?),
            Operation::Stats(session) => Reply::Now(self.get_stats(identity, session)?),
            Operation::ListDevices => Reply::Gather(Query::Devices),
            Operation::GetDevice(device) => Reply::Now(self.get_device(&device)?),
            Operation::Publish(publication) => self.put_media(now, connection, publication)?,
            Operation::ViewerSocket { watch, user, key } => {
                self.open_viewer(now, exchange, watch, user, key)?
            }
            Operation::SignUp(credentials) => self.sign_up(now, credentials)?,
            Operation::LogIn(credentials) => self.log_in(now, credentials),
            Operation::Me => Reply::Gather(Query::UserOnline(identity.user.clone())),
            Operation::AgentSocket { device, key } => {
                self.open_agent(now, connection.id, identity, device, key)?
            }
            Operation::CreateRoom(room) => self.create_room(now, connection, identity, room)?,
            Operation::ListRooms(filter) => Reply::Gather(Query::Rooms(filter)),
            Operation::GetRoom(id) => Reply::Now(self.get_room(identity, id)?),
            Operation::StartRoom(id) => {
                self.change_room(now, connection, identity, id, Rooms::start)?
            }
            Operation::StopRoom(id) => {
                self.change_room(now, connection, identity, id, Rooms::stop)?
            }
            Operation::JoinRoom(id) => Reply::Now(self.join_room(now, identity, id)?),
            Operation::LeaveRoom(id) => Reply::Now(self.quit_room(now, identity, id)?),
            Operation::RoomMessages(history) => {
                self.room_messages(connection.id, identity, history)?
            }
            Operation::RoomViewers { room, after, limit } => {
                Reply::Now(self.room_viewers(identity, room, after.as_ref(), limit)?)
            }
            Operation::HotRooms { limit } => Reply::Gather(Query::Hot(limit)),
            Operation::OnlineStats => Reply::Gather(Query::Online),
            Operation::ShardStats => Reply::Gather(Query::Load),
            Operation::RoomSocket { member, key } => {
                self.open_member(now, connection.id, identity, member, key)?
            }
        })
    }
}
