//! Users who sign up here: names, passwords, log-ins.
//!
//! A password costs tens of milliseconds to hash, so all of it runs on a thread of its own: a
//! shard hands a [`Task`] over, and answers its client with what comes back. A new user's row goes through
//! the shard to the store, as every row does.

mod credentials;
mod hash;
mod thread;

use std::sync::Arc;
use std::time::Duration;

use tracing::error;

pub use credentials::{Credentials, Password, Username};
pub use thread::{AccountJob, AccountQueue, start};

use crate::api::{LoggedIn, ProfileView, UserView};
use crate::auth::{Authenticator, DeviceClaim, MintError, Role};
use crate::clock;
use crate::error::ApiError;
use crate::http::Response;
use crate::ids::UserId;
use crate::store::{Reader, StoreFault, UserRecord};

/// What is done for a request about a user.
#[derive(Debug)]
pub enum Task {
    /// `POST /api/v1/users`
    SignUp {
        /// Of the new user.
        credentials: Credentials,
        /// Random.
        salt: [u8; SALT_BYTES],
        /// What the user's tokens will allow.
        role: Role,
        /// Since 1970.
        unix: Duration,
    },
    /// `POST /api/v1/users/login`
    LogIn {
        /// Of somebody.
        credentials: Credentials,
        /// Since 1970.
        unix: Duration,
    },
    /// `GET /api/v1/users/me`
    Profile {
        /// Who asks.
        user: UserId,
        /// What the token allows.
        role: Role,
        /// Whether the user is anywhere on this server.
        online: bool,
    },
}

/// Bytes of a password's salt (RFC 9106 §3.1: 16 are recommended).
pub const SALT_BYTES: usize = 16;

/// What a task comes to.
#[derive(Debug)]
pub enum Outcome {
    /// This answer.
    Reply(Result<Response, ApiError>),
    /// A user to be stored, and then this answer.
    Store(Box<UserRecord>, Response),
}

/// Does the tasks.
pub struct Accounts {
    /// Verifies and mints tokens; `None`: nobody is asked for one.
    pub auth: Option<Arc<Authenticator>>,
    /// How long the token of a log-in is good (`auth.token_ttl`).
    pub token_ttl: Duration,
}

impl Accounts {
    /// Does one. Takes as long as a password's hash does.
    pub fn run(&self, reader: &Reader, task: Task) -> Outcome {
        let done = match task {
            Task::SignUp {
                credentials,
                salt,
                role,
                unix,
            } => {
                return match self.minter() {
                    Ok(_) => sign_up(reader, &credentials, salt, role, unix),
                    Err(refusal) => Outcome::Reply(Err(refusal)),
                };
            }
            Task::LogIn { credentials, unix } => self.log_in(reader, &credentials, unix),
            Task::Profile { user, role, online } => profile(reader, user, role, online),
        };
        Outcome::Reply(done)
    }

    /// What signs tokens: without it nobody could ever log in.
    fn minter(&self) -> Result<&Authenticator, ApiError> {
        let auth = self.auth.as_deref().filter(|auth| auth.mints());
        auth.ok_or(ApiError::NoJwtSecret)
    }

    fn log_in(
        &self,
        reader: &Reader,
        credentials: &Credentials,
        unix: Duration,
    ) -> Result<Response, ApiError> {
        let auth = self.minter()?;
        let found = reader
            .user_by_name(credentials.username.as_str())
            .map_err(unreadable)?;
        // Whether the name exists must not show in the time that the answer takes.
        let hash = found
            .as_ref()
            .map_or(hash::OF_NOBODY, |user| &user.password_hash);
        let right = hash::verify(&credentials.password, hash);
        let user = found.filter(|_| right).ok_or(ApiError::BadCredentials)?;
        let token = auth
            .mint(
                &user.id,
                user.role,
                &DeviceClaim::ANY,
                self.token_ttl,
                unix.as_secs(),
            )
            .map_err(|fault| match fault {
                MintError::NoSecret => ApiError::NoJwtSecret,
                MintError::TooLong | MintError::Sign => {
                    error!(user = %user.id, "no token: {fault}");
                    ApiError::Internal
                }
            })?;
        let expires_at = Duration::from_secs(unix.as_secs()) + self.token_ttl;
        let logged_in = LoggedIn {
            token: &token,
            expires_at: clock::rfc3339(expires_at),
            user: UserView::from(&user),
        };
        Ok(Response::json(200, &logged_in).header("Cache-Control", "no-store"))
    }
}

fn sign_up(
    reader: &Reader,
    credentials: &Credentials,
    salt: [u8; SALT_BYTES],
    role: Role,
    unix: Duration,
) -> Outcome {
    let username = &credentials.username;
    // The store says so too, who has the last word, but a hash later.
    let refusal = match reader.user_by_name(username.as_str()) {
        Ok(None) => None,
        Ok(Some(_)) => Some(ApiError::UsernameTaken {
            username: username.as_str().into(),
        }),
        Err(fault) => Some(unreadable(fault)),
    };
    if let Some(error) = refusal {
        return Outcome::Reply(Err(error));
    }
    let Some(password_hash) = hash::hash(&credentials.password, salt) else {
        error!("a password cannot be hashed");
        return Outcome::Reply(Err(ApiError::Internal));
    };
    let user = UserRecord {
        id: username.user_id(),
        username: username.as_str().into(),
        password_hash,
        role,
        created_at: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
    };
    let response = Response::json(201, &UserView::from(&user));
    Outcome::Store(Box::new(user), response)
}

/// Somebody whose token another issuer signed is stored nowhere here.
fn profile(reader: &Reader, user: UserId, role: Role, online: bool) -> Result<Response, ApiError> {
    let stored = reader.user(&user).map_err(unreadable)?;
    let view = ProfileView {
        username: stored
            .as_ref()
            .map_or(user.as_str(), |stored| &stored.username),
        created_at: stored.as_ref().map(created_at),
        id: &user,
        online,
        role,
    };
    Ok(Response::json(200, &view))
}

impl<'a> From<&'a UserRecord> for UserView<'a> {
    fn from(user: &'a UserRecord) -> Self {
        Self {
            id: &user.id,
            username: &user.username,
            role: user.role,
            created_at: created_at(user),
        }
    }
}

fn created_at(user: &UserRecord) -> String {
    clock::rfc3339(Duration::from_millis(user.created_at))
}

fn unreadable(fault: StoreFault) -> ApiError {
    error!("users cannot be read: {fault}");
    ApiError::StoreFailed
}

#[cfg(test)]
mod tests;
