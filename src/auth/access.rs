//! What each role may do.

use super::{Identity, Role};
use crate::api::{NewRoom, Operation, Publication, SessionFilter, Watch};
use crate::error::{ApiError, Forbidden};
use crate::ids::{DeviceId, UserId};

/// What an operation takes.
struct Need<'a> {
    /// The least role; `None`: anybody may, without a token too.
    role: Option<Role>,
    /// Which devices it is about.
    devices: Devices<'a>,
    /// In whose name it is done, where the client says so.
    user: Option<&'a UserId>,
}

/// Devices that an operation is about.
enum Devices<'a> {
    /// None, or that of a session or room: its owner knows which one.
    None,
    One(&'a DeviceId),
    All,
}

/// Whether this identity may do that, by what the request itself says. Whose session it names is
/// for the session's owner to see: [`may_use`].
///
/// # Errors
/// [`ApiError::Forbidden`]
pub(crate) fn check(identity: &Identity, operation: &Operation) -> Result<(), ApiError> {
    let need = need(operation);
    let Some(role) = need.role else {
        return Ok(());
    };
    at_least(identity, role)?;
    let forbidden = match need.devices {
        Devices::One(device) if !identity.devices.allows(device) => Some(Forbidden::Device),
        Devices::All if !identity.devices.is_any() => Some(Forbidden::AllDevices),
        Devices::None | Devices::One(_) | Devices::All => need
            .user
            .filter(|user| identity.role < Role::Admin && **user != identity.user)
            .map(|_| Forbidden::User),
    };
    forbidden.map_or(Ok(()), |why| Err(ApiError::Forbidden(why)))
}

/// Whether this identity may use a session of that user and device.
pub(crate) fn may_use(
    identity: &Identity,
    user: &UserId,
    device: &DeviceId,
) -> Result<(), ApiError> {
    if identity.role < Role::Admin && identity.user != *user {
        Err(ApiError::Forbidden(Forbidden::Session))
    } else if !identity.devices.allows(device) {
        Err(ApiError::Forbidden(Forbidden::Device))
    } else {
        Ok(())
    }
}

/// Whether the role is that one or one above it.
fn at_least(identity: &Identity, needed: Role) -> Result<(), ApiError> {
    let role = identity.role;
    if role >= needed {
        Ok(())
    } else {
        Err(ApiError::Forbidden(Forbidden::Role { needed, role }))
    }
}

/// No catch-all arm: a new operation must choose.
fn need(operation: &Operation) -> Need<'_> {
    match operation {
        Operation::Health
        | Operation::Live
        | Operation::Ready
        | Operation::OpenApi
        | Operation::File(_)
        | Operation::Options(_)
        | Operation::SignUp(_)
        | Operation::LogIn(_) => Need {
            role: None,
            devices: Devices::None,
            user: None,
        },
        Operation::Metrics | Operation::ShardStats => of(Role::Admin, Devices::None),
        Operation::CreateSession { device, user } => Need {
            user: Some(user),
            ..of(Role::Viewer, Devices::One(device))
        },
        Operation::ViewerSocket { watch, user, .. } => Need {
            user: user.as_ref(),
            ..match watch {
                Watch::Device(device) => of(Role::Viewer, Devices::One(device)),
                Watch::Session(_) => of(Role::Viewer, Devices::None),
            }
        },
        Operation::GetSession(_)
        | Operation::DeleteSession(_)
        | Operation::Answer { .. }
        | Operation::Candidate { .. }
        | Operation::Offer { .. }
        | Operation::Stats(_)
        | Operation::Me => of(Role::Viewer, Devices::None),
        Operation::ListSessions(SessionFilter { device, .. }) => {
            let devices = device.as_ref().map_or(Devices::All, Devices::One);
            of(Role::Admin, devices)
        }
        Operation::ListDevices => of(Role::Admin, Devices::All),
        Operation::GetDevice(device) => of(Role::Viewer, Devices::One(device)),
        Operation::Publish(Publication {
            device, takeover, ..
        }) => {
            let role = if *takeover { Role::Admin } else { Role::Anchor };
            of(role, Devices::One(device))
        }
        Operation::AgentSocket { device, .. } => of(Role::Anchor, Devices::One(device)),
        Operation::CreateRoom(NewRoom { device, .. }) => {
            let devices = device.as_ref().map_or(Devices::None, Devices::One);
            of(Role::Anchor, devices)
        }
        // Of rooms of one's own: whose it is, the room's owner knows.
        Operation::StartRoom(_) | Operation::StopRoom(_) => of(Role::Anchor, Devices::None),
        Operation::ListRooms(_)
        | Operation::GetRoom(_)
        | Operation::JoinRoom(_)
        | Operation::LeaveRoom(_)
        | Operation::RoomMessages(_)
        | Operation::RoomViewers { .. }
        | Operation::RoomSocket { .. }
        | Operation::HotRooms { .. }
        | Operation::OnlineStats => of(Role::Viewer, Devices::None),
    }
}

fn of(role: Role, devices: Devices<'_>) -> Need<'_> {
    Need {
        role: Some(role),
        devices,
        user: None,
    }
}

#[cfg(test)]
mod tests;
