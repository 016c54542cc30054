//! Tokens.

use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header};
use media_service::auth::{AuthError, Authenticator, DeviceClaim, Identity, Role};
use media_service::config::Auth;
use media_service::ids::UserId;
use serde_json::value::RawValue;

use super::world::{SECRET, UNIX, secret};

/// A token, or what one says. First byte: 0, the rest is a token; 1, the rest is the claims of one
/// that is signed as it should be; 2, the rest is what a token is minted with.
pub fn jwt(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    match mode % 3 {
        0 => forged(text),
        1 => signed(text),
        _ => minted(text),
    }
}

/// Nobody knows the secret, so no text is a token.
fn forged(text: &str) {
    let auth = Auth {
        jwt_secret: Some("another secret of thirty-six characters".into()),
        ..Auth::default()
    };
    let authenticator = Authenticator::new(&auth).expect("a secret is set");
    let refused = authenticator.verify(text, UNIX).expect_err("a forgery");
    assert_ne!(
        refused,
        AuthError::Expired,
        "claims are read behind the signature"
    );
    assert!(
        refused.to_string().len() < 200,
        "a sentence, and nothing of the token"
    );
}

/// What a token says is taken within its bounds.
fn signed(claims: &str) {
    let Ok(claims) = serde_json::from_str::<Box<RawValue>>(claims) else {
        return;
    };
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let Ok(token) = jsonwebtoken::encode(&Header::default(), &claims, &key) else {
        return;
    };
    let verified = authenticator().verify(&token, UNIX);
    if let Ok(Identity {
        user, expires_at, ..
    }) = &verified
    {
        assert!(expires_at.is_some_and(|at| at > UNIX));
        assert_eq!(UserId::try_from(user.as_str()).as_ref(), Ok(user));
    }
    // Another signature, as long: the same claims are worth nothing.
    let (body, signature) = token.rsplit_once('.').expect("three parts");
    let turned: String = signature.chars().rev().collect();
    if turned != signature {
        let refused = authenticator().verify(&format!("{body}.{turned}"), UNIX);
        assert!(refused.is_err());
    }
}

/// What is minted is verified as what it was minted for.
fn minted(text: &str) {
    let mut words = text.split('\n');
    let Ok(user) = UserId::try_from(words.next().unwrap_or_default()) else {
        return;
    };
    let role = Role::ALL[text.len() % Role::ALL.len()];
    let devices = DeviceClaim::new(words.map(Into::into));
    let ttl = Duration::from_secs(60);
    if let Ok(token) = authenticator().mint(&user, role, &devices, ttl, UNIX) {
        let identity = Identity {
            user,
            role,
            devices,
            expires_at: Some(UNIX + 60),
        };
        assert_eq!(authenticator().verify(&token, UNIX), Ok(identity));
    }
}

fn authenticator() -> Authenticator {
    Authenticator::new(&secret()).expect("a secret is set")
}

/// The header of somebody with this role.
pub fn bearer(role: Role) -> String {
    let user = UserId::try_from("ann").expect("an id");
    let day = Duration::from_secs(24 * 3_600);
    let token = authenticator().mint(&user, role, &DeviceClaim::ANY, day, UNIX);
    format!("Authorization: Bearer {}\r\n", token.expect("a token"))
}
