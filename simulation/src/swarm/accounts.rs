//! Who asks, where the server asks for tokens: users who sign up and log in, and strangers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use media_service::auth::{Authenticator, DeviceClaim, Role, is_public};
use media_service::config::Config;
use media_service::http::Method;
use media_service::http::routes::resolve;
use serde_json::{Value, json};

use super::asks::{Ask, Then};
use super::world::World;
use crate::{Sim, UNIX};

/// Names that users sign up with.
const NAMES: usize = 6;
/// Longer than any schedule.
const LONG: Duration = Duration::from_secs(48 * 3_600);
/// A socket ends so long after its token at the latest, where nothing is wrong.
const TOKEN_GRACE: Duration = Duration::from_secs(5);
/// Of the server that is played.
pub(super) const SECRET: &str = "a secret of thirty-two characters";
/// Of somebody else's.
const OTHER_SECRET: &str = "another secret of thirty-two chars";

/// What is known of users.
pub(super) struct Accounts {
    /// Signs tokens as the server does; `None`: nobody is asked for one.
    signer: Option<Authenticator>,
    /// Of users whom another issuer vouches for.
    tokens: BTreeMap<String, String>,
    /// Names that somebody wanted to have.
    wanted: BTreeSet<String>,
    /// Names that somebody was given.
    given: BTreeSet<String>,
}

impl Accounts {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            signer: Authenticator::new(&config.auth),
            tokens: BTreeMap::new(),
            wanted: BTreeSet::new(),
            given: BTreeSet::new(),
        }
    }
}

/// A token of an administrator of that name, from now on.
fn mint(signer: &Authenticator, sim: &Sim, user: &str, ttl: Duration) -> String {
    let now = (UNIX + (sim.now - sim.start)).as_secs();
    let user = user.parse().expect("a user id");
    let token = signer.mint(&user, Role::Admin, &DeviceClaim::ANY, ttl, now);
    token.expect("there is a secret")
}

fn credentials(name: &str, right: bool) -> Value {
    let password = if right {
        format!("the password of {name}")
    } else {
        "what somebody guesses".to_owned()
    };
    json!({"username": name, "password": password})
}

impl World {
    /// Whether a request needs one.
    pub(super) fn asks_for_tokens(&self) -> bool {
        self.accounts.signer.is_some()
    }

    /// The token of a user, where tokens are asked for.
    pub(super) fn token(&mut self, user: &str) -> Option<String> {
        let signer = self.accounts.signer.as_ref()?;
        let token = || mint(signer, &self.sim, user, LONG);
        let tokens = &mut self.accounts.tokens;
        Some(tokens.entry(user.to_owned()).or_insert_with(token).clone())
    }

    /// Adds the token of whoever asks. That of a socket may be good for a short time only.
    pub(super) fn sign(&mut self, mut ask: Ask) -> Ask {
        let user = ask.user().to_owned();
        let Some(mut token) = self.token(&user).filter(|_| !ask.signed) else {
            return ask;
        };
        if let Then::Socket(_, ends) = &mut ask.then {
            if self.plan.draw(3) == 0 {
                let ttl = Duration::from_secs(2 + self.plan.draw(30) as u64);
                let signer = self.accounts.signer.as_ref().expect("there are tokens");
                token = mint(signer, &self.sim, &user, ttl);
                *ends = Some(self.sim.now + ttl);
            }
            if self.plan.draw(2) == 0 {
                // As a browser does it.
                ask.target += &format!("&token={token}");
                return ask;
            }
        }
        ask.header("Authorization", &format!("Bearer {token}"))
    }

    /// Whether a socket is there that should have ended with its token.
    pub(super) fn outlives_its_token(&self, ends: Option<Instant>) -> bool {
        ends.is_some_and(|ends| self.sim.now > ends.max(self.calm_since) + TOKEN_GRACE)
    }

    pub(super) fn sign_up(&mut self) {
        let name = format!("name-{}", self.plan.draw(NAMES));
        // Where nobody is asked for a token, nobody can log in.
        let good: &[u16] = match self.accounts.signer {
            Some(_) => &[201, 409],
            None => &[409],
        };
        let ask = Ask::new("POST", "/api/v1/users", good).body(&credentials(&name, true));
        self.send_any(ask.then(Then::SignedUp(name)));
    }

    pub(super) fn signed_up(&mut self, name: String, status: u16) {
        match status {
            201 => {
                let first = self.accounts.given.insert(name.clone());
                assert!(first, "{name} has signed up twice");
            }
            409 if self.accounts.signer.is_some() => {
                let taken = self.accounts.wanted.contains(&name);
                assert!(taken, "{name} is taken, and nobody has it");
            }
            _ => {}
        }
        self.accounts.wanted.insert(name);
    }

    pub(super) fn log_in(&mut self) {
        let name = format!("name-{}", self.plan.draw(NAMES));
        let right = self.plan.draw(3) > 0;
        let given = self.accounts.given.contains(&name);
        let good: &[u16] = match (&self.accounts.signer, right, given) {
            (None, _, _) => &[409],
            (Some(_), false, _) => &[401],
            // Whoever was told that it has the name can log in, after a crash too.
            (Some(_), true, true) => &[200],
            (Some(_), true, false) => &[200, 401],
        };
        let ask = Ask::new("POST", "/api/v1/users/login", good).body(&credentials(&name, right));
        self.send_any(ask.then(Then::LoggedIn(name)));
    }

    /// It looks at itself with the token that it was given.
    pub(super) fn logged_in(&mut self, peer: usize, name: String, answer: &Value) {
        let token = answer["token"].as_str().expect("a token");
        let mut ask = Ask::new("GET", "/api/v1/users/me", &[200])
            .header("Authorization", &format!("Bearer {token}"))
            .then(Then::Profile(name));
        ask.signed = true;
        self.send(peer, ask);
    }

    /// Somebody without a token, or with one that is worth nothing.
    pub(super) fn stranger(&mut self) {
        let mut ask = self.any_ask();
        let Some(signer) = &self.accounts.signer else {
            return self.send_any(ask);
        };
        let mut other = Config::default();
        other.auth.jwt_secret = Some(OTHER_SECRET.into());
        let other = Authenticator::new(&other.auth).expect("there is a secret");
        let user = ask.user().to_owned();
        let token = match self.plan.draw(4) {
            0 => None,
            1 => Some(mint(signer, &self.sim, &user, Duration::ZERO)),
            2 => Some(mint(&other, &self.sim, &user, LONG)),
            _ => Some("no.token.at-all".to_owned()),
        };
        if let Some(token) = token {
            ask = ask.header("Authorization", &format!("Bearer {token}"));
        }
        ask.signed = true;
        let path = ask.target.split('?').next().unwrap_or_default();
        let method = match ask.method {
            "OPTIONS" => Method::Options,
            _ => Method::Get,
        };
        if !is_public(resolve(path).route, &method) {
            ask.good = &[401, 405];
            ask.then = Then::Nothing;
        }
        self.send_any(ask);
    }
}
