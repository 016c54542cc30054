//! What an operation needs, and what it touches: who owns that, tokens, memory, whom a fault is blamed on.

use super::{History, MemberQuery, Operation, Publication, Watch};
use crate::ids::{RoomId, SessionId};
use crate::placement::{ShardId, Shards};
use crate::rates::Charge;

impl Operation {
    /// Whether something comes of it that is kept in memory for as long as a client likes. What is
    /// there already may be used, read and ended whatever happens.
    pub fn takes_memory(&self) -> bool {
        match self {
            Operation::CreateSession { .. }
            | Operation::Publish(_)
            | Operation::ViewerSocket {
                watch: Watch::Device(_),
                ..
            }
            | Operation::AgentSocket { .. }
            | Operation::CreateRoom(_)
            | Operation::StartRoom(_)
            | Operation::JoinRoom(_)
            | Operation::RoomSocket { .. } => true,
            Operation::Health
            | Operation::Live
            | Operation::Ready
            | Operation::Metrics
            | Operation::OpenApi
            | Operation::File(_)
            | Operation::Options(_)
            | Operation::ListSessions(_)
            | Operation::GetSession(_)
            | Operation::DeleteSession(_)
            | Operation::Answer { .. }
            | Operation::Candidate { .. }
            | Operation::Offer { .. }
            | Operation::Stats(_)
            | Operation::ListDevices
            | Operation::GetDevice(_)
            | Operation::ViewerSocket {
                watch: Watch::Session(_),
                ..
            }
            | Operation::SignUp(_)
            | Operation::LogIn(_)
            | Operation::Me
            | Operation::ListRooms(_)
            | Operation::GetRoom(_)
            | Operation::StopRoom(_)
            | Operation::LeaveRoom(_)
            | Operation::RoomMessages(_)
            | Operation::RoomViewers { .. }
            | Operation::HotRooms { .. }
            | Operation::OnlineStats
            | Operation::ShardStats => false,
        }
    }

    /// What it changes.
    pub fn changes(&self) -> Subject {
        match self {
            Operation::DeleteSession(session)
            | Operation::Answer { session, .. }
            | Operation::Candidate { session, .. }
            | Operation::Offer { session, .. }
            | Operation::ViewerSocket {
                watch: Watch::Session(session),
                ..
            } => Subject::Session(*session),
            Operation::StartRoom(room)
            | Operation::StopRoom(room)
            | Operation::JoinRoom(room)
            | Operation::LeaveRoom(room)
            | Operation::RoomSocket {
                member: MemberQuery { room, .. },
                ..
            } => Subject::Room(*room),
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
            | Operation::ListDevices
            | Operation::GetDevice(_)
            | Operation::AgentSocket { .. }
            | Operation::Publish(_)
            | Operation::CreateSession { .. }
            | Operation::ListSessions(_)
            | Operation::GetSession(_)
            | Operation::Stats(_)
            | Operation::ViewerSocket {
                watch: Watch::Device(_),
                ..
            }
            | Operation::CreateRoom(_)
            | Operation::ListRooms(_)
            | Operation::GetRoom(_)
            | Operation::RoomMessages(_)
            | Operation::RoomViewers { .. }
            | Operation::HotRooms { .. }
            | Operation::OnlineStats
            | Operation::ShardStats => Subject::Nothing,
        }
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
            | Operation::ListDevices
            | Operation::CreateRoom(_)
            | Operation::ListRooms(_)
            | Operation::HotRooms { .. }
            | Operation::OnlineStats
            | Operation::ShardStats => None,
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
            Operation::GetRoom(room)
            | Operation::StartRoom(room)
            | Operation::StopRoom(room)
            | Operation::JoinRoom(room)
            | Operation::LeaveRoom(room)
            | Operation::RoomMessages(History { room, .. })
            | Operation::RoomViewers { room, .. }
            | Operation::RoomSocket {
                member: MemberQuery { room, .. },
                ..
            } => Some(shards.shard_of_room(*room)),
        }
    }

    /// Which tokens it needs.
    pub fn charge(&self) -> Charge<'_> {
        match self {
            Operation::CreateSession { .. }
            | Operation::ViewerSocket {
                watch: Watch::Device(_),
                ..
            } => Charge::Session,
            Operation::SignUp(_) => Charge::SignUp,
            Operation::LogIn(credentials) => Charge::LogIn(&credentials.username),
            Operation::CreateRoom(_) => Charge::Room,
            Operation::Health
            | Operation::Live
            | Operation::Ready
            | Operation::Metrics
            | Operation::OpenApi
            | Operation::File(_)
            | Operation::Options(_)
            | Operation::ListSessions(_)
            | Operation::GetSession(_)
            | Operation::DeleteSession(_)
            | Operation::Answer { .. }
            | Operation::Candidate { .. }
            | Operation::Offer { .. }
            | Operation::Stats(_)
            | Operation::ListDevices
            | Operation::GetDevice(_)
            | Operation::Publish(_)
            | Operation::ViewerSocket {
                watch: Watch::Session(_),
                ..
            }
            | Operation::Me
            | Operation::AgentSocket { .. }
            | Operation::ListRooms(_)
            | Operation::GetRoom(_)
            | Operation::StartRoom(_)
            | Operation::StopRoom(_)
            | Operation::JoinRoom(_)
            | Operation::LeaveRoom(_)
            | Operation::RoomMessages(_)
            | Operation::RoomViewers { .. }
            | Operation::HotRooms { .. }
            | Operation::OnlineStats
            | Operation::ShardStats
            | Operation::RoomSocket { .. } => Charge::Nothing,
        }
    }
}

/// What an operation changes, and what is half changed if it fails in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Nothing that was there before.
    Nothing,
    /// A session.
    Session(SessionId),
    /// A room.
    Room(RoomId),
}
