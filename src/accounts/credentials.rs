//! What somebody signs up and logs in with.

use std::fmt;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::ids::UserId;
use crate::limits::{
    PASSWORD_BYTES_LEAST, PASSWORD_BYTES_MOST, USERNAME_CHARS_LEAST, USERNAME_CHARS_MOST,
};

/// A name and a password.
#[derive(Debug, Deserialize)]
pub struct Credentials {
    /// The name.
    pub username: Username,
    /// The password.
    pub password: Password,
}

/// 3 to 64 characters of `A–Z a–z 0–9 . _ -`, the first a letter or a digit. Unique whatever the case of
/// its letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username(Box<str>);

impl Username {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The user's id: the name with an `@` in front. No name has one, so that nobody who signs up here
    /// gets the id that another issuer's tokens give to somebody else.
    pub fn user_id(&self) -> UserId {
        UserId::try_from(&*format!("@{}", self.0)).expect("a user name has characters of ids alone")
    }
}

impl<'de> Deserialize<'de> for Username {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Box::<str>::deserialize(deserializer)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let first = name
            .chars()
            .next()
            .is_some_and(|c| c.is_ascii_alphanumeric());
        // Of plain characters each has one byte.
        let long = (USERNAME_CHARS_LEAST..=USERNAME_CHARS_MOST).contains(&name.len());
        if long && first && name.chars().all(plain) {
            Ok(Self(name))
        } else {
            Err(D::Error::custom(format_args!(
                "username must have {USERNAME_CHARS_LEAST} to {USERNAME_CHARS_MOST} characters of \
                 A-Z a-z 0-9 . _ -, the first a letter or a digit"
            )))
        }
    }
}

/// 8 to 1,024 bytes. Not to be printed.
pub struct Password(Box<str>);

impl Password {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// serde's own sentences repeat the value: this one's never do.
impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let serde_json::Value::String(text) = Deserialize::deserialize(deserializer)? else {
            let other = Unexpected::Other("something else");
            return Err(D::Error::invalid_type(other, &"a password as a string"));
        };
        match text.len() {
            PASSWORD_BYTES_LEAST..=PASSWORD_BYTES_MOST => Ok(Self(text.into())),
            bytes => Err(D::Error::custom(format_args!(
                "password has {bytes} bytes: {PASSWORD_BYTES_LEAST} to {PASSWORD_BYTES_MOST} are taken"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(username: &str, password: serde_json::Value) -> Result<Credentials, String> {
        let body = serde_json::json!({"username": username, "password": password});
        serde_json::from_str(&body.to_string()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_name_has_characters_that_need_no_quoting_anywhere() {
        for name in ["ada", "Ada.L", "0-0", &"x".repeat(64)] {
            let credentials = read(name, "correct horse".into()).unwrap();
            assert_eq!(credentials.username.user_id().as_str(), format!("@{name}"));
        }
        for name in [
            "",
            "ab",
            "-ada",
            "@ada",
            "a:b",
            "a b c",
            "añada",
            &"x".repeat(65),
        ] {
            let sentence = read(name, "correct horse".into()).unwrap_err();
            assert!(
                sentence.starts_with("username must have 3 to 64"),
                "{sentence}"
            );
        }
    }

    #[test]
    fn nothing_repeats_a_password() {
        let good = read("ada", "hunter22".into()).unwrap();
        assert!(!format!("{good:?}").contains("hunter"));
        for password in [
            "hunter2".into(),
            12_345_678.into(),
            ["hunter22"].as_slice().into(),
        ] {
            let sentence = read("ada", password).unwrap_err();
            assert!(sentence.contains("password"), "{sentence}");
            assert!(
                !sentence.contains("hunter") && !sentence.contains("5678"),
                "{sentence}"
            );
        }
        let long = read("ada", "x".repeat(1_025).into()).unwrap_err();
        assert!(
            long.starts_with("password has 1025 bytes: 8 to 1024"),
            "{long}"
        );
    }
}
