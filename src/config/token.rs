//! The flags of `media-service token`.

use crate::auth::DeviceClaim;
use crate::ids::{DeviceId, UserId};

use super::fault::{Fault, shown};
use super::flags::TokenFlags;
use super::keys::{AUDIENCE, ROLES, TOKEN_TTL};
use super::kinds::Kind;
use super::{Config, TokenRequest};

/// What the flags ask for; `None`: what is wrong with them was added to `faults`.
pub(super) fn request(
    flags: &TokenFlags,
    config: &Config,
    faults: &mut Vec<Fault>,
) -> Option<TokenRequest> {
    let user = UserId::try_from(&*flags.sub).map_err(|fault| fault.to_string());
    let user = named(faults, "--sub", user);
    let role = flags
        .role
        .as_deref()
        .map_or(Ok(Default::default()), |text| ROLES.parse(text));
    let role = named(faults, "--role", role);
    let ttl = flags
        .ttl
        .as_deref()
        .map_or(Ok(config.auth.token_ttl), |text| TOKEN_TTL.parse(text));
    let ttl = named(faults, "--ttl", ttl);
    let devices = flags
        .devices
        .as_deref()
        .map_or(Ok(DeviceClaim::ANY), devices);
    let devices = named(faults, "--devices", devices);
    let mut auth = config.auth.clone();
    if let Some(audience) = &flags.aud {
        auth.audience = named(faults, "--aud", AUDIENCE.parse(audience))?;
    }
    Some(TokenRequest {
        auth,
        user: user?,
        role: role?,
        devices: devices?,
        ttl: ttl?,
    })
}

fn named<T>(faults: &mut Vec<Fault>, flag: &str, value: Result<T, String>) -> Option<T> {
    value
        .map_err(|problem| faults.push(Fault::new(flag, problem)))
        .ok()
}

/// Names of devices, or beginnings of names with a `*`.
fn devices(list: &str) -> Result<DeviceClaim, String> {
    let mut patterns = Vec::new();
    for pattern in list.split(',').map(str::trim) {
        let name = pattern.strip_suffix('*').unwrap_or(pattern);
        // A lone star is every device.
        if pattern != "*" {
            DeviceId::try_from(name).map_err(|fault| format!("{} {fault}", shown(pattern)))?;
        }
        patterns.push(pattern.into());
    }
    Ok(DeviceClaim::new(patterns))
}
