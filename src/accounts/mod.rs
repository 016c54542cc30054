//! Users who sign up here: names, passwords, log-ins.
//!
//! A password costs tens of milliseconds to hash, so whatever needs one runs on a thread of its own: a
//! shard hands a [`Task`] over, and answers its client with what comes back. A new user's row goes through
//! the shard to the store, as every row does. What is only read ([`profile`]) waits for no hash.

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
use crate::clock::Rfc3339;
use crate::config::Config;
use crate::error::ApiError;
use crate::http::Response;
use crate::ids::UserId;
use crate::limits::Cap;
use crate::reload::Update;
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
    auth: Option<Arc<Authenticator>>,
    /// How long the token of a log-in is good.
    token_ttl: Duration,
    /// How many users there may be.
    limit: Cap,
    /// How many there are: counted in the store, and one more for each that was handed to it since.
    users: usize,
    reader: Reader,
}

impl Accounts {
    /// Over the users that are stored.
    ///
    /// # Errors
    /// When they cannot be counted.
    pub fn new(
        config: &Config,
        auth: Option<Arc<Authenticator>>,
        reader: Reader,
    ) -> Result<Self, StoreFault> {
        Ok(Self {
            auth,
            token_ttl: config.auth.token_ttl,
            limit: config.limits.users,
            users: reader.user_count()?,
            reader,
        })
    }

    /// Another configuration holds from now on.
    pub fn reload(&mut self, update: &Update) {
        self.auth = update.auth.clone();
        self.token_ttl = update.config.auth.token_ttl;
        self.limit = update.config.limits.users;
    }

    /// Does one. Takes as long as a password's hash does.
    pub fn run(&mut self, task: Task) -> Outcome {
        match task {
            Task::SignUp {
                credentials,
                salt,
                role,
                unix,
            } => match self.minter() {
                Ok(_) => self.sign_up(&credentials, salt, role, unix),
                Err(refusal) => Outcome::Reply(Err(refusal)),
            },
            Task::LogIn { credentials, unix } => Outcome::Reply(self.log_in(&credentials, unix)),
        }
    }

    /// What signs tokens: without it nobody could ever log in.
    fn minter(&self) -> Result<&Authenticator, ApiError> {
        let auth = self.auth.as_deref().filter(|auth| auth.mints());
        auth.ok_or(ApiError::NoJwtSecret)
    }

    fn log_in(&self, credentials: &Credentials, unix: Duration) -> Result<Response, ApiError> {
        let auth = self.minter()?;
        let found = self
            .reader
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
            expires_at: Rfc3339::new(expires_at),
            user: UserView::from(&user),
        };
        Ok(Response::json(200, &logged_in).header("Cache-Control", "no-store"))
    }

    fn sign_up(
        &mut self,
        credentials: &Credentials,
        salt: [u8; SALT_BYTES],
        role: Role,
        unix: Duration,
    ) -> Outcome {
        let username = &credentials.username;
        if let Err(error) = self.admit(username) {
            return Outcome::Reply(Err(error));
        }
        let Some(password_hash) = hash::hash(&credentials.password, salt) else {
            error!("a password cannot be hashed");
            return Outcome::Reply(Err(ApiError::Internal));
        };
        self.users += 1;
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

    /// Whether there is a place for one more, of this name.
    fn admit(&mut self, username: &Username) -> Result<(), ApiError> {
        // The store says so too, who has the last word, but a hash later.
        if self
            .reader
            .user_by_name(username.as_str())
            .map_err(unreadable)?
            .is_some()
        {
            let username = username.as_str().into();
            return Err(ApiError::UsernameTaken { username });
        }
        if self.limit.allows(self.users + 1) {
            return Ok(());
        }
        // Those that the store has refused were counted too; the few that it has not got to yet are not
        // counted now.
        self.users = self.reader.user_count().map_err(unreadable)?;
        match self.limit.get().filter(|&limit| self.users >= limit) {
            Some(limit) => Err(ApiError::Full {
                what: "users",
                limit,
            }),
            None => Ok(()),
        }
    }
}

/// The answer to `GET /api/v1/users/me`, by what the token says and the store has of the user: somebody
/// whose token another issuer signed is stored nowhere here.
pub fn profile(
    reader: &Reader,
    user: &UserId,
    role: Role,
    online: bool,
) -> Result<Response, ApiError> {
    let stored = reader.user(user).map_err(unreadable)?;
    let view = ProfileView {
        username: stored
            .as_ref()
            .map_or(user.as_str(), |stored| &stored.username),
        created_at: stored.as_ref().map(created_at),
        id: user,
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

fn created_at(user: &UserRecord) -> Rfc3339 {
    Rfc3339::new(Duration::from_millis(user.created_at))
}

fn unreadable(fault: StoreFault) -> ApiError {
    error!("users cannot be read: {fault}");
    ApiError::StoreFailed
}

#[cfg(test)]
mod tests;
