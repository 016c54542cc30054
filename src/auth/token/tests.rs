//! Every way in which a token can be worth nothing.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::{Auth, Secret};

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "a secret of thirty-two characters";

fn keys(name: &str) -> String {
    format!("{}/tests/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn config(secret: bool, public: Option<&str>) -> Auth {
    Auth {
        jwt_secret: secret.then(|| Secret::from(SECRET)),
        jwt_public_key: public.map(|name| PublicKey::read(keys(name)).unwrap()),
        ..Auth::default()
    }
}

fn authenticator(secret: bool, public: Option<&str>) -> Authenticator {
    Authenticator::new(&config(secret, public)).unwrap()
}

fn with_secret() -> Authenticator {
    authenticator(true, None)
}

fn signed(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn hs256(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    signed(&Header::default(), claims, &key)
}

fn ed25519(claims: &Value) -> String {
    let pem = std::fs::read(keys("ed25519.pem")).unwrap();
    let key = EncodingKey::from_ed_pem(&pem).unwrap();
    signed(&Header::new(Algorithm::EdDSA), claims, &key)
}

fn rsa(algorithm: Algorithm, claims: &Value) -> String {
    let pem = std::fs::read(keys("rsa2048.pem")).unwrap();
    let key = EncodingKey::from_rsa_pem(&pem).unwrap();
    signed(&Header::new(algorithm), claims, &key)
}

/// A token's part as it is written by hand.
fn part(json: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in json.as_bytes().chunks(3) {
        let bits = three
            .iter()
            .fold(0u32, |bits, &byte| bits << 8 | u32::from(byte))
            << (8 * (3 - three.len()));
        for digit in 0..=three.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

fn ada() -> Value {
    json!({"sub": "ada", "exp": NOW + 60})
}

/// `ada` with one more claim, or one that is replaced or (`null`) taken away.
fn ada_with(name: &str, value: Value) -> Value {
    let mut claims = ada();
    claims[name] = value.clone();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    }
    claims
}

fn refused(token: &str) -> AuthError {
    with_secret().verify(token, NOW).unwrap_err()
}

#[test]
fn a_token_says_who_it_is_and_what_it_allows() {
    let identity = with_secret().verify(&hs256(&ada()), NOW).unwrap();
    let expected = Identity {
        user: "ada".parse().unwrap(),
        role: Role::Viewer,
        devices: DeviceClaim::ANY,
        expires_at: Some(NOW + 60),
    };
    assert_eq!(identity, expected);

    let claims = json!({
        "sub": "auth0:x", "exp": NOW as f64 + 60.5, "nbf": NOW, "role": "anchor",
        "devices": ["cam-1", "shop-*"], "aud": ["whoever"], "iss": "https://id.example", "extra": {},
    });
    let identity = with_secret().verify(&hs256(&claims), NOW).unwrap();
    assert_eq!(identity.role, Role::Anchor);
    assert_eq!(identity.expires_at, Some(NOW + 60));
    assert!(identity.devices.allows(&"shop-7".parse().unwrap()));
    assert!(!identity.devices.allows(&"cam-2".parse().unwrap()));
}

#[test]
fn what_is_minted_is_verified_and_carries_everything() {
    let mut config = config(true, None);
    config.audience = "media".to_owned();
    let authenticator = Authenticator::new(&config).unwrap();
    let user: UserId = "ada".parse().unwrap();
    let devices = DeviceClaim::new(["cam-*".into()]);
    let ttl = Duration::from_secs(90);
    let token = authenticator
        .mint(&user, Role::Controller, &devices, ttl, NOW)
        .unwrap();
    let identity = authenticator.verify(&token, NOW + 89).unwrap();
    let expected = Identity {
        user: user.clone(),
        role: Role::Controller,
        devices,
        expires_at: Some(NOW + 90),
    };
    assert_eq!(identity, expected);
    assert_eq!(
        authenticator.verify(&token, NOW + 90),
        Err(AuthError::Expired)
    );

    let many = DeviceClaim::new((0..500).map(|n| format!("device-{n}").into()));
    let too_long = authenticator.mint(&user, Role::Viewer, &many, ttl, NOW);
    assert_eq!(too_long, Err(MintError::TooLong));
    let verifier = self::authenticator(false, Some("ed25519.pub.pem"));
    assert!(!verifier.mints());
    let none = verifier.mint(&user, Role::Viewer, &DeviceClaim::ANY, ttl, NOW);
    assert_eq!(none, Err(MintError::NoSecret));
}

#[test]
fn a_public_key_verifies_its_own_algorithm() {
    for (token, key) in [
        (ed25519(&ada()), "ed25519.pub.pem"),
        (rsa(Algorithm::RS256, &ada()), "rsa2048.pub.pem"),
        (rsa(Algorithm::RS256, &ada()), "rsa2048.pkcs1.pem"),
    ] {
        let verified = authenticator(false, Some(key)).verify(&token, NOW);
        assert_eq!(verified.unwrap().user.as_str(), "ada", "{key}");
        let both = authenticator(true, Some(key));
        assert!(both.verify(&token, NOW).is_ok() && both.verify(&hs256(&ada()), NOW).is_ok());
    }
    let ed = authenticator(false, Some("ed25519.pub.pem"));
    let other = rsa(Algorithm::RS256, &ada());
    assert_eq!(ed.verify(&other, NOW), Err(AuthError::Algorithm));
    assert_eq!(ed.verify(&hs256(&ada()), NOW), Err(AuthError::Algorithm));
    let rsa_key = authenticator(false, Some("rsa2048.pub.pem"));
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let token = rsa(algorithm, &ada());
        assert_eq!(rsa_key.verify(&token, NOW), Err(AuthError::Algorithm));
    }
}

/// The text of a public key is known to all: it must never be taken for a secret.
#[test]
fn a_token_signed_with_the_public_keys_text_is_refused() {
    for name in ["rsa2048.pub.pem", "ed25519.pub.pem"] {
        let text = std::fs::read(keys(name)).unwrap();
        let forged = signed(&Header::default(), &ada(), &EncodingKey::from_secret(&text));
        let without_secret = authenticator(false, Some(name)).verify(&forged, NOW);
        assert_eq!(without_secret, Err(AuthError::Algorithm));
        let with_secret = authenticator(true, Some(name)).verify(&forged, NOW);
        assert_eq!(with_secret, Err(AuthError::Signature));
    }
}

#[test]
fn an_unsigned_token_is_refused() {
    for algorithm in ["none", "None", "NONE", "", "hs256", "HS256 "] {
        let header = part(&json!({"alg": algorithm, "typ": "JWT"}).to_string());
        let claims = part(&ada().to_string());
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{claims}.{signature}");
            assert_eq!(refused(&token), AuthError::Algorithm, "{algorithm:?}");
        }
    }
    // Its algorithm is taken, its signature is missing.
    let header = part(r#"{"alg":"HS256"}"#);
    let token = format!("{header}.{}.", part(&ada().to_string()));
    assert_eq!(refused(&token), AuthError::Signature);
}

#[test]
fn a_forged_or_changed_token_is_refused() {
    let other = EncodingKey::from_secret(b"another secret of 32 characters.");
    let forged = signed(&Header::default(), &ada(), &other);
    assert_eq!(refused(&forged), AuthError::Signature);

    let token = hs256(&ada());
    let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let root = part(&json!({"sub": "root", "exp": NOW + 60, "role": "admin"}).to_string());
    let changed = format!("{header}.{root}.{signature}");
    assert_eq!(refused(&changed), AuthError::Signature);
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = signed(&Header::new(algorithm), &ada(), &key);
        assert_eq!(refused(&token), AuthError::Algorithm);
    }
    let critical = Header {
        crit: Some(vec!["b64".to_owned()]),
        ..Header::default()
    };
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    assert_eq!(
        refused(&signed(&critical, &ada(), &key)),
        AuthError::Critical
    );
}

/// The server has its keys: a token's header names none (RFC 7515 §4.1.2 to §4.1.5).
#[test]
fn a_header_that_names_a_key_changes_nothing() {
    let good = EncodingKey::from_secret(SECRET.as_bytes());
    let own = EncodingKey::from_secret(b"a key of whoever sends the token");
    let kids = [
        "/dev/null",
        "../../../../dev/null",
        "' OR 1=1 --",
        "|sleep 9",
        "",
    ];
    for kid in kids.map(str::to_owned) {
        let header = Header {
            kid: Some(kid),
            ..Header::default()
        };
        for key in [&own, &EncodingKey::from_secret(b"")] {
            assert_eq!(refused(&signed(&header, &ada(), key)), AuthError::Signature);
        }
        let verified = with_secret().verify(&signed(&header, &ada(), &good), NOW);
        assert!(verified.is_ok(), "{header:?}: {verified:?}");
    }
    let url = Some("https://evil.example/keys".to_owned());
    let k = "YSBrZXkgb2Ygd2hvZXZlciBzZW5kcyB0aGUgdG9rZW4";
    let jwk = serde_json::from_value(json!({"kty": "oct", "k": k, "alg": "HS256"})).unwrap();
    for header in [
        Header {
            jku: url.clone(),
            ..Header::default()
        },
        Header {
            x5u: url,
            ..Header::default()
        },
        Header {
            jwk: Some(jwk),
            ..Header::default()
        },
    ] {
        assert_eq!(
            refused(&signed(&header, &ada(), &own)),
            AuthError::Signature
        );
    }
}

/// Two readers must not see two users in one token.
#[test]
fn a_claim_that_stands_twice_is_refused() {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    for claims in [
        format!(r#"{{"sub":"ada","sub":"root","exp":{}}}"#, NOW + 60),
        format!(
            r#"{{"sub":"ada","role":"viewer","role":"admin","exp":{}}}"#,
            NOW + 60
        ),
        format!(r#"{{"sub":"ada","exp":1,"exp":{}}}"#, NOW + 60),
    ] {
        let signed_part = format!("{}.{}", part(r#"{"alg":"HS256"}"#), part(&claims));
        let signature = jsonwebtoken::crypto::sign(signed_part.as_bytes(), &key, Algorithm::HS256);
        let token = format!("{signed_part}.{}", signature.unwrap());
        assert_eq!(refused(&token), AuthError::Malformed, "{claims}");
    }
}

#[test]
fn every_claim_is_looked_at() {
    let table = [
        (ada_with("exp", Value::Null), AuthError::NoExpiry),
        (ada_with("exp", json!(NOW)), AuthError::Expired),
        (ada_with("exp", json!(-1)), AuthError::Expired),
        (ada_with("exp", json!("2030-01-01")), AuthError::Malformed),
        (
            ada_with("nbf", json!(NOW + NOT_BEFORE_LEEWAY_SECONDS + 1)),
            AuthError::NotYet,
        ),
        (ada_with("sub", Value::Null), AuthError::Subject),
        (ada_with("sub", json!("a b")), AuthError::Subject),
        (ada_with("sub", json!("x".repeat(129))), AuthError::Subject),
        (ada_with("sub", json!(7)), AuthError::Malformed),
        (ada_with("role", json!("root")), AuthError::Role),
        (ada_with("role", json!("Admin")), AuthError::Role),
        (ada_with("devices", json!([7])), AuthError::Malformed),
        (json!([]), AuthError::Malformed),
    ];
    for (claims, error) in table {
        assert_eq!(refused(&hs256(&claims)), error, "{claims}");
    }
    let good = [
        ada_with("nbf", json!(NOW + NOT_BEFORE_LEEWAY_SECONDS)),
        ada_with("exp", json!(u64::MAX)),
        ada_with("devices", json!("cam-1")),
    ];
    for claims in good {
        let verified = with_secret().verify(&hs256(&claims), NOW);
        assert!(verified.is_ok(), "{claims}: {verified:?}");
    }
}

#[test]
fn an_audience_is_checked_where_one_is_configured() {
    let mut config = config(true, None);
    config.audience = "media".to_owned();
    let authenticator = Authenticator::new(&config).unwrap();
    let verified = |aud| authenticator.verify(&hs256(&ada_with("aud", aud)), NOW);
    assert!(verified(json!("media")).is_ok());
    assert!(verified(json!(["web", "media"])).is_ok());
    for aud in [json!("web"), json!([]), json!(["Media"])] {
        assert_eq!(verified(aud.clone()), Err(AuthError::Audience), "{aud}");
    }
    assert_eq!(verified(Value::Null), Err(AuthError::NoAudience));
    let none = authenticator.verify(&hs256(&ada_with("x", json!(1))), NOW);
    assert_eq!(none, Err(AuthError::NoAudience));
}

#[test]
fn what_is_no_token_is_refused_whatever_its_length() {
    assert_eq!(refused(""), AuthError::Missing);
    for text in ["a", "a.b", "a.b.c", "..", "....", "é.é.é", "{}.{}.{}"] {
        assert_eq!(refused(text), AuthError::Malformed, "{text}");
    }
    let token = hs256(&ada());
    for text in [
        format!("{token}."),
        format!(".{token}"),
        format!("{token}="),
        format!("{token}.x"),
    ] {
        assert_eq!(refused(&text), AuthError::Malformed, "{text}");
    }
    let long = hs256(&ada_with("x", json!("x".repeat(TOKEN_BYTES))));
    assert_eq!(refused(&long), AuthError::TooLong);
}

/// Sentences are for whoever sent the token; the secret is for nobody.
#[test]
fn no_sentence_and_no_debug_text_has_a_secret() {
    let config = config(true, None);
    assert!(!format!("{config:?}").contains(SECRET));
    let forged = signed(
        &Header::default(),
        &ada(),
        &EncodingKey::from_secret(b"another secret of 32 characters."),
    );
    let sentence = refused(&forged).to_string();
    assert_eq!(sentence, "the token's signature is not valid");
}

proptest! {
    #[test]
    fn no_bytes_panic_or_pass(text in any::<String>()) {
        prop_assert!(with_secret().verify(&text, NOW).is_err());
    }

    #[test]
    fn a_token_with_one_changed_character_is_refused(
        at in any::<proptest::sample::Index>(), to in "[A-Za-z0-9_.-]",
    ) {
        let token = hs256(&ada());
        let at = at.index(token.len());
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assume!(changed != token);
        prop_assert!(with_secret().verify(&changed, NOW).is_err());
    }
}
