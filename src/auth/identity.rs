//! Who a request comes from.

use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::ids::{DeviceId, UserId};

/// What a token allows; each role may also do what the ones before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Watches and chats.
    #[default]
    Viewer,
    /// Also controls devices.
    Controller,
    /// Also publishes, and has rooms of its own.
    Anchor,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role, each with what the ones before it may.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Controller, Self::Anchor, Self::Admin];

    /// As a token has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Controller => "controller",
            Self::Anchor => "anchor",
            Self::Admin => "admin",
        }
    }
}

/// Not the name of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is none of viewer, controller, anchor, admin")]
pub struct NoRole;

impl FromStr for Role {
    type Err = NoRole;

    fn from_str(text: &str) -> Result<Self, NoRole> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or(NoRole)
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The token's subject, or who the client says it is where nobody is asked for a token.
    pub user: UserId,
    /// What it may do.
    pub role: Role,
    /// Which devices, where the token says so.
    pub devices: DeviceClaim,
    /// Unix seconds after which the token is worth nothing; `None`: there is no token.
    pub expires_at: Option<u64>,
}

/// The devices that a token is good for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceClaim(Option<Arc<[Box<str>]>>);

impl DeviceClaim {
    /// Any device.
    pub const ANY: Self = Self(None);

    /// Devices of these names; a `*` at the end stands for any rest.
    pub fn new(patterns: impl IntoIterator<Item = Box<str>>) -> Self {
        Self(Some(patterns.into_iter().collect()))
    }

    /// Whether nothing narrows it.
    pub fn is_any(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the device is among them.
    pub fn allows(&self, device: &DeviceId) -> bool {
        let device = device.as_str();
        self.0.as_ref().is_none_or(|patterns| {
            patterns
                .iter()
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(start) => device.starts_with(start),
                    None => device == &**pattern,
                })
        })
    }
}

/// As the list that a token has.
impl Serialize for DeviceClaim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_deref().serialize(serializer)
    }
}

impl Identity {
    /// Somebody on a server that asks nobody for a token: everything is allowed.
    pub fn unchecked(user: UserId) -> Self {
        Self {
            user,
            role: Role::Admin,
            devices: DeviceClaim::ANY,
            expires_at: None,
        }
    }

    /// Whoever asks for what anybody may have, on a server that asks for tokens.
    pub fn nobody() -> Self {
        Self {
            user: UserId::default(),
            role: Role::Viewer,
            devices: DeviceClaim::ANY,
            expires_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_names_devices_or_how_they_begin() {
        let claim = DeviceClaim::new(["cam-1".into(), "shop-*".into()]);
        let allows = |text: &str| claim.allows(&text.parse().unwrap());
        assert!(allows("cam-1") && allows("shop-") && allows("shop-7"));
        assert!(!allows("cam-12") && !allows("cam") && !allows("a-shop-7"));
        assert!(!DeviceClaim::new([]).allows(&"cam-1".parse().unwrap()));
        assert!(DeviceClaim::new(["*".into()]).allows(&"cam-1".parse().unwrap()));
        assert!(DeviceClaim::ANY.allows(&"cam-1".parse().unwrap()));
    }

    #[test]
    fn a_role_has_one_name() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
            let json = serde_json::to_string(&role).unwrap();
            assert_eq!(json, format!("{:?}", role.name()));
        }
        assert_eq!("Admin".parse::<Role>(), Err(NoRole));
    }
}
