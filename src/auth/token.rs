//! Tokens: JSON Web Tokens (RFC 7519) that are verified here, and minted where there is a secret.

use std::fmt;
use std::time::Duration;

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode_header};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use super::key::PublicKey;
use super::{DeviceClaim, Identity, Role};
use crate::config;
use crate::ids::UserId;

/// Bytes of a token. A header line of a usual proxy holds 8 KiB, a token of an identity provider
/// one or two.
pub const TOKEN_BYTES: usize = 4 << 10;
/// Seconds by which an issuer's clock may be ahead of this one. Its `nbf` is forgiven that much; its
/// `exp` is not, for a socket ends with its token and not some time after.
pub const NOT_BEFORE_LEEWAY_SECONDS: u64 = 5;

/// Verifies tokens, and mints them. One for all shards.
pub struct Authenticator {
    /// `auth.jwt_secret`, for both directions.
    secret: Option<(DecodingKey, EncodingKey)>,
    /// `auth.jwt_public_key`.
    public: Option<PublicKey>,
    /// `auth.audience`; `None`: it is not looked at.
    audience: Option<Box<str>>,
}

/// Why a token is worth nothing. The sentences are for the client: they say what is wrong with what
/// it sent, and nothing of what would be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthError {
    /// None came.
    #[error("this needs a token: send Authorization: Bearer, or ?token= for a WebSocket")]
    Missing,
    /// More than [`TOKEN_BYTES`].
    #[error("the token is longer than {TOKEN_BYTES} bytes")]
    TooLong,
    /// Not three parts of base64url, or no JSON in them.
    #[error("the token is not a JSON Web Token")]
    Malformed,
    /// `none`, or another one that this server has no key for.
    #[error("the token is not signed with an algorithm that this server takes")]
    Algorithm,
    /// The header has a `crit` (RFC 7515 §4.1.11); no extension is understood here.
    #[error("the token's header has extensions that this server does not understand")]
    Critical,
    /// Signed with another key, or changed since.
    #[error("the token's signature is not valid")]
    Signature,
    /// No `exp`.
    #[error("the token has no exp: it must say when it expires")]
    NoExpiry,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is to come.
    #[error("the token is not valid yet")]
    NotYet,
    /// No `aud`, where `auth.audience` is set.
    #[error("the token has no aud: it must name the audience that it is meant for")]
    NoAudience,
    /// `aud` is not `auth.audience`.
    #[error("the token is meant for another audience")]
    Audience,
    /// No `sub`, or one that is no user id.
    #[error("the token's sub is not a user id: 1 to 128 characters of A-Z a-z 0-9 . _ : @ -")]
    Subject,
    /// A `role` that does not exist.
    #[error("the token's role is none of viewer, controller, anchor, admin")]
    Role,
}

impl AuthError {
    /// The machine code of a refusal.
    pub fn code(self) -> &'static str {
        match self {
            AuthError::Missing => "no_token",
            AuthError::Expired => "token_expired",
            AuthError::TooLong
            | AuthError::Malformed
            | AuthError::Algorithm
            | AuthError::Critical
            | AuthError::Signature
            | AuthError::NoExpiry
            | AuthError::NotYet
            | AuthError::NoAudience
            | AuthError::Audience
            | AuthError::Subject
            | AuthError::Role => "invalid_token",
        }
    }
}

/// Why no token is minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MintError {
    /// Only `auth.jwt_public_key` is set, or nothing.
    #[error(
        "auth.jwt_secret is not set: tokens are minted with it alone (a public key only verifies \
         those of another issuer)"
    )]
    NoSecret,
    /// Too many devices are named.
    #[error("the token would be longer than {TOKEN_BYTES} bytes: name fewer devices")]
    TooLong,
    /// The library failed.
    #[error("the token cannot be signed")]
    Sign,
}

/// What is read of a token. Every field may be missing: which is needed is said by its own error.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    aud: Option<OneOrMore>,
    role: Option<String>,
    devices: Option<OneOrMore>,
}

/// What is written into a token.
#[derive(Serialize)]
struct Minted<'a> {
    sub: &'a UserId,
    role: Role,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "DeviceClaim::is_any")]
    devices: &'a DeviceClaim,
}

/// Unix seconds, perhaps with a fraction, which is dropped (RFC 7519 §2).
#[derive(Clone, Copy)]
struct NumericDate(u64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Saturates: what lies before 1970 has passed, what lies past 2⁶⁴ never does.
        f64::deserialize(deserializer).map(|seconds| Self(seconds as u64))
    }
}

/// A text or a list of texts (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(Box<str>),
    More(Vec<Box<str>>),
}

impl OneOrMore {
    fn into_list(self) -> Vec<Box<str>> {
        match self {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(list) => list,
        }
    }
}

/// Nothing of its keys.
impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").finish_non_exhaustive()
    }
}

impl Authenticator {
    /// `None`: nobody is asked for a token.
    pub fn new(config: &config::Auth) -> Option<Self> {
        if !config.is_on() {
            return None;
        }
        let secret = config.jwt_secret.as_ref().map(|secret| {
            let bytes = secret.expose().as_bytes();
            (
                DecodingKey::from_secret(bytes),
                EncodingKey::from_secret(bytes),
            )
        });
        let audience = Some(config.audience.as_str()).filter(|audience| !audience.is_empty());
        Some(Self {
            secret,
            public: config.jwt_public_key.clone(),
            audience: audience.map(Into::into),
        })
    }

    /// Who the token says it is, at this time (Unix seconds).
    pub fn verify(&self, token: &str, unix: u64) -> Result<Identity, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Missing);
        }
        if token.len() > TOKEN_BYTES {
            return Err(AuthError::TooLong);
        }
        let header = decode_header(token).map_err(|fault| fault_of_header(&fault))?;
        if header.crit.is_some() {
            return Err(AuthError::Critical);
        }
        // The algorithm picks its own key: no key is ever used with another one's algorithm.
        let key = self.key(header.alg).ok_or(AuthError::Algorithm)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &signature_alone(header.alg))
            .map_err(|fault| fault_of_body(&fault))?
            .claims;
        self.accept(claims, unix)
    }

    fn key(&self, algorithm: Algorithm) -> Option<&DecodingKey> {
        match algorithm {
            Algorithm::HS256 => self.secret.as_ref().map(|(verifies, _)| verifies),
            other => self
                .public
                .as_ref()
                .filter(|public| public.algorithm() == other)
                .map(PublicKey::key),
        }
    }

    fn accept(&self, claims: Claims, unix: u64) -> Result<Identity, AuthError> {
        let NumericDate(expires_at) = claims.exp.ok_or(AuthError::NoExpiry)?;
        if expires_at <= unix {
            return Err(AuthError::Expired);
        }
        if claims
            .nbf
            .is_some_and(|nbf| nbf.0 > unix.saturating_add(NOT_BEFORE_LEEWAY_SECONDS))
        {
            return Err(AuthError::NotYet);
        }
        if let Some(wanted) = &self.audience {
            let named = claims.aud.ok_or(AuthError::NoAudience)?;
            if !named.into_list().contains(wanted) {
                return Err(AuthError::Audience);
            }
        }
        let user = UserId::try_from(claims.sub.as_deref().unwrap_or_default())
            .map_err(|_| AuthError::Subject)?;
        let role = match claims.role {
            None => Role::default(),
            Some(name) => name.parse().map_err(|_| AuthError::Role)?,
        };
        let devices = claims
            .devices
            .map_or(DeviceClaim::ANY, |list| DeviceClaim::new(list.into_list()));
        Ok(Identity {
            user,
            role,
            devices,
            expires_at: Some(expires_at),
        })
    }

    /// Whether there is a secret to mint with.
    pub fn mints(&self) -> bool {
        self.secret.is_some()
    }

    /// A token (HS256) for `user` that expires `ttl` after `unix` (Unix seconds), with the audience
    /// that is configured.
    pub fn mint(
        &self,
        user: &UserId,
        role: Role,
        devices: &DeviceClaim,
        ttl: Duration,
        unix: u64,
    ) -> Result<String, MintError> {
        let (_, signs) = self.secret.as_ref().ok_or(MintError::NoSecret)?;
        let claims = Minted {
            sub: user,
            role,
            iat: unix,
            exp: unix.saturating_add(ttl.as_secs()),
            aud: self.audience.as_deref(),
            devices,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, signs)
            .map_err(|_| MintError::Sign)?;
        match token.len() {
            0..=TOKEN_BYTES => Ok(token),
            _ => Err(MintError::TooLong),
        }
    }
}

/// The library looks at the signature alone: its clock is not ours, and its errors for the claims
/// say less.
fn signature_alone(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// A header of another shape than the library's has no algorithm that it knows: `none` is not one.
fn fault_of_header(fault: &Error) -> AuthError {
    match fault.kind() {
        ErrorKind::Json(json) if json.is_data() => AuthError::Algorithm,
        _ => AuthError::Malformed,
    }
}

fn fault_of_body(fault: &Error) -> AuthError {
    match fault.kind() {
        ErrorKind::InvalidSignature => AuthError::Signature,
        _ => AuthError::Malformed,
    }
}

#[cfg(test)]
mod tests;
