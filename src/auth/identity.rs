//! Who a request comes from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

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
}
