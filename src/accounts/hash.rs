//! Passwords as they are stored: Argon2id with the parameters that OWASP recommends, which are the
//! crate's defaults (19 MiB, 2 passes, 1 lane).

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};

use super::{Password, SALT_BYTES};

/// What a log-in with an unknown name is verified against, so that it takes as long as any other.
pub(super) const OF_NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$WlpaWlpaWlpaWlpaWlpaWg$\
                                    sTO1fXFToW1VzawHe0KPbp/W/UwjhOFBfxK6EDgo3YA";

/// A PHC string. `None`: the library refuses, which these parameters give it no reason for.
pub(super) fn hash(password: &Password, salt: [u8; SALT_BYTES]) -> Option<Box<str>> {
    let salt = SaltString::encode_b64(&salt).ok()?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    Some(hash.ok()?.to_string().into())
}

/// Whether it is the hash of this password.
pub(super) fn verify(password: &Password, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}
