//! What the group `auth` holds.

use std::time::Duration;

use crate::auth::{PublicKey, Role};

use super::Secret;

/// `[auth]`. With a secret or a public key set, requests need a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Auth {
    /// Tokens are signed with it (HS256), by this server and by whoever else knows it; at least 32
    /// bytes. Default: none.
    pub jwt_secret: Option<Secret>,
    /// Tokens of another issuer are verified with it (EdDSA or RS256). Default: none.
    pub jwt_public_key: Option<PublicKey>,
    /// What a token's `aud` must name; empty: it is not looked at. Default: empty.
    pub audience: String,
    /// How long a token of a login is good. Default: 12 h.
    pub token_ttl: Duration,
    /// Whether anybody may sign up. Default: true.
    pub signup: bool,
    /// What the tokens of those who sign up allow. Default: viewer.
    pub signup_role: Role,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            jwt_secret: None,
            jwt_public_key: None,
            audience: String::new(),
            token_ttl: Duration::from_secs(12 * 3600),
            signup: true,
            signup_role: Role::Viewer,
        }
    }
}

impl Auth {
    /// Whether requests need a token.
    pub fn is_on(&self) -> bool {
        self.jwt_secret.is_some() || self.jwt_public_key.is_some()
    }
}
