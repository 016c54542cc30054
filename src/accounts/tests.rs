//! Sign-up, log-in and profile over a store in memory.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::store::{Entry, Row, Store};

const UNIX: Duration = Duration::from_millis(1_800_000_000_250);

struct World {
    store: Store,
    reader: Reader,
    accounts: Accounts,
}

impl World {
    fn new(secret: bool) -> Self {
        Self::with(secret, Cap::OFF)
    }

    fn with(secret: bool, users: Cap) -> Self {
        let mut config = Config::default();
        config.auth.jwt_secret = secret.then(|| "a secret of thirty-two characters".into());
        config.auth.token_ttl = Duration::from_secs(3_600);
        config.limits.users = users;
        config.store.path = PathBuf::from(":memory:");
        let store = Store::open(&config.store).unwrap();
        let reader = || store.reader().unwrap();
        let auth = Authenticator::new(&config.auth).map(Arc::new);
        Self {
            accounts: Accounts::new(&config, auth, reader()).unwrap(),
            reader: reader(),
            store,
        }
    }

    fn run(&mut self, task: Task) -> Outcome {
        self.accounts.run(task)
    }

    /// What a sign-up is answered with; the user is stored.
    fn sign_up(&mut self, username: &str, password: &str) -> Result<Value, ApiError> {
        let task = Task::SignUp {
            credentials: credentials(username, password),
            salt: [7; SALT_BYTES],
            role: Role::Anchor,
            unix: UNIX,
        };
        let (user, response) = match self.run(task) {
            Outcome::Reply(reply) => return reply.map(|response| shown(&response, 201)),
            Outcome::Store(user, response) => (user, response),
        };
        let shards = std::num::NonZeroUsize::MIN;
        let shard = crate::placement::Shards::new(shards).unwrap().all().next();
        let entry = Entry {
            shard: shard.unwrap(),
            row: Row::User(user),
            receipt: None,
        };
        assert_eq!(self.store.commit(&[entry]), [Ok(())]);
        Ok(shown(&response, 201))
    }

    fn log_in(&mut self, username: &str, password: &str) -> Result<Value, ApiError> {
        let credentials = credentials(username, password);
        let unix = UNIX;
        match self.run(Task::LogIn { credentials, unix }) {
            Outcome::Reply(reply) => reply.map(|response| shown(&response, 200)),
            Outcome::Store(..) => panic!("a log-in stores nothing"),
        }
    }

    fn profile(&self, user: &str) -> Value {
        let user = user.parse().unwrap();
        let response = profile(&self.reader, &user, Role::Viewer, true).unwrap();
        shown(&response, 200)
    }
}

fn credentials(username: &str, password: &str) -> Credentials {
    let body = json!({"username": username, "password": password});
    serde_json::from_value(body).unwrap()
}

fn shown(response: &Response, status: u16) -> Value {
    assert_eq!(response.status(), status);
    serde_json::from_slice(response.body()).unwrap()
}

#[test]
fn who_signed_up_logs_in_and_is_known() {
    let mut world = World::new(true);
    let ada = json!({
        "id": "@Ada", "username": "Ada", "role": "anchor", "created_at": "2027-01-15T08:00:00.250Z",
    });
    assert_eq!(world.sign_up("Ada", "correct horse").unwrap(), ada);

    let answer = world.log_in("ada", "correct horse").unwrap();
    assert_eq!(answer["user"], ada);
    assert_eq!(answer["expires_at"], "2027-01-15T09:00:00.000Z");
    let token = answer["token"].as_str().unwrap();
    let auth = world.accounts.auth.as_ref().unwrap();
    let identity = auth.verify(token, UNIX.as_secs() + 3_599).unwrap();
    assert_eq!(identity.user.as_str(), "@Ada");
    assert_eq!(identity.role, Role::Anchor);
    assert!(auth.verify(token, UNIX.as_secs() + 3_600).is_err());

    let profile = world.profile("@Ada");
    assert_eq!(profile["username"], "Ada");
    assert_eq!(profile["created_at"], ada["created_at"]);
    assert_eq!(profile["online"], true);
}

#[test]
fn a_name_is_taken_whatever_its_case() {
    let mut world = World::new(true);
    world.sign_up("Ada", "correct horse").unwrap();
    let refused = world.sign_up("aDA", "another horse").unwrap_err();
    assert!(
        matches!(refused, ApiError::UsernameTaken { .. }),
        "{refused}"
    );
}

#[test]
fn there_are_no_more_users_than_may_be() {
    let mut world = World::with(true, Cap::new(2));
    for username in ["ada", "bob"] {
        world.sign_up(username, "correct horse").unwrap();
    }
    let refused = world.sign_up("eve", "correct horse").unwrap_err();
    assert_eq!((refused.status(), refused.code()), (503, "full"));
    assert_eq!(
        refused.to_string(),
        "the server has its 2 users already; try again later"
    );
    let taken = world.sign_up("ada", "correct horse").unwrap_err();
    assert_eq!(taken.code(), "username_taken");
    world.log_in("bob", "correct horse").unwrap();
}

#[test]
fn a_user_that_was_not_stored_takes_no_place() {
    let mut world = World::with(true, Cap::new(1));
    let lost = Task::SignUp {
        credentials: credentials("ada", "correct horse"),
        salt: [7; SALT_BYTES],
        role: Role::Viewer,
        unix: UNIX,
    };
    assert!(matches!(world.run(lost), Outcome::Store(..)));
    world.sign_up("bob", "correct horse").unwrap();
}

#[test]
fn an_unknown_name_and_a_wrong_password_are_told_the_same() {
    let mut world = World::new(true);
    world.sign_up("ada", "correct horse").unwrap();
    let mut sentence =
        |username, password| world.log_in(username, password).unwrap_err().to_string();
    assert_eq!(
        sentence("ada", "wrong horse"),
        "username or password is wrong"
    );
    assert_eq!(
        sentence("bob", "wrong horse"),
        "username or password is wrong"
    );
    // The password whose hash an unknown name is compared with lets nobody in.
    assert_eq!(
        sentence("bob", &"\0".repeat(64)),
        "username or password is wrong"
    );
}

#[test]
fn nobody_signs_up_or_logs_in_without_a_secret() {
    let mut world = World::new(false);
    let refusals = [
        world.sign_up("ada", "correct horse").unwrap_err(),
        world.log_in("ada", "correct horse").unwrap_err(),
    ];
    for refused in refusals {
        assert_eq!((refused.status(), refused.code()), (409, "no_jwt_secret"));
    }
}

#[test]
fn who_is_stored_nowhere_is_named_by_the_token_alone() {
    let profile = World::new(true).profile("auth0:7");
    let expected = json!({
        "id": "auth0:7", "username": "auth0:7", "online": true, "created_at": null, "role": "viewer",
    });
    assert_eq!(profile, expected);
}

/// Otherwise the time of a refusal would tell whether a name exists.
#[test]
fn an_unknown_name_costs_what_a_known_one_costs() {
    let own = hash::hash(
        &credentials("ada", "correct horse").password,
        [1; SALT_BYTES],
    )
    .unwrap();
    let parameters = |hash: &str| hash.rsplitn(3, '$').nth(2).map(str::to_owned);
    assert_eq!(parameters(&own), parameters(hash::OF_NOBODY));
    assert_eq!(own.len(), hash::OF_NOBODY.len());
    assert_eq!(
        parameters(&own).as_deref(),
        Some("$argon2id$v=19$m=19456,t=2,p=1")
    );
}
