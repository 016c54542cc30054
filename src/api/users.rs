//! `/api/v1/users`: what is asked for, and what is shown.

use std::time::Instant;

use serde::Serialize;

use crate::accounts::{Credentials, Task};
use crate::auth::Role;
use crate::clock::Rfc3339;
use crate::error::{ApiError, Forbidden};
use crate::ids::UserId;
use crate::shard::{Reply, Shard};

/// A user, as the answers to a sign-up and a log-in show it.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct UserView<'a> {
    pub id: &'a UserId,
    pub username: &'a str,
    pub role: Role,
    pub created_at: Rfc3339,
}

/// The answer to a log-in.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct LoggedIn<'a> {
    pub token: &'a str,
    pub expires_at: Rfc3339,
    pub user: UserView<'a>,
}

/// Whoever asks, as `GET /api/v1/users/me` shows it.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct ProfileView<'a> {
    pub id: &'a UserId,
    pub username: &'a str,
    pub online: bool,
    pub created_at: Option<Rfc3339>,
    pub role: Role,
}

impl Shard {
    pub(super) fn sign_up(
        &mut self,
        now: Instant,
        credentials: Credentials,
    ) -> Result<Reply, ApiError> {
        if !self.config.auth.signup {
            return Err(ApiError::Forbidden(Forbidden::SignUp));
        }
        Ok(Reply::Account(Task::SignUp {
            credentials,
            salt: self.random_bytes(),
            role: self.config.auth.signup_role,
            unix: self.clock.unix(now),
        }))
    }

    pub(super) fn log_in(&self, now: Instant, credentials: Credentials) -> Reply {
        Reply::Account(Task::LogIn {
            credentials,
            unix: self.clock.unix(now),
        })
    }
}
