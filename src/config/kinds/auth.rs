//! Secrets, keys and what stands in tokens.

use crate::auth::PublicKey;
use crate::config::Secret;
use crate::config::fault::shown;

use super::Kind;
use super::scalar::path_text;

/// Bytes of a secret for HS256 at least: as many as its output has (RFC 7518 §3.2).
const SECRET_BYTES: usize = 32;

/// A secret for HMAC; nothing: there is none.
pub(in crate::config) struct HmacSecret;

impl Kind for HmacSecret {
    type Value = Option<Secret>;

    /// The fault repeats nothing of the text.
    fn parse(&self, text: &str) -> Result<Self::Value, String> {
        match text.len() {
            0 => Ok(None),
            _ if text == Secret::REDACTED => Err("is the placeholder of --print-config".to_owned()),
            bytes if bytes < SECRET_BYTES => Err(format!(
                "has {bytes} bytes, {SECRET_BYTES} are the least; openssl rand -base64 32 makes one"
            )),
            _ => Ok(Some(Secret::new(text.to_owned()))),
        }
    }

    fn show(&self, value: &Self::Value) -> toml::Value {
        value.as_ref().map_or("", |_| Secret::REDACTED).into()
    }
}

/// The path of a public key, which is read; nothing: there is none.
pub(in crate::config) struct PublicKeyFile;

impl Kind for PublicKeyFile {
    type Value = Option<PublicKey>;

    fn parse(&self, text: &str) -> Result<Self::Value, String> {
        if text.is_empty() {
            return Ok(None);
        }
        PublicKey::read(text)
            .map(Some)
            .map_err(|fault| format!("{} {fault}", shown(text)))
    }

    fn read(&self, value: &toml::Value) -> Result<Self::Value, String> {
        self.parse(path_text(value)?)
    }

    fn show(&self, value: &Self::Value) -> toml::Value {
        let path = value.as_ref().map(|key| key.path().display().to_string());
        path.unwrap_or_default().into()
    }
}

/// Any text of a bounded length.
pub(in crate::config) struct Text {
    /// In bytes.
    pub(in crate::config) max: usize,
}

impl Kind for Text {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        match text.len() {
            bytes if bytes > self.max => {
                Err(format!("has {bytes} bytes, {} are the most", self.max))
            }
            _ => Ok(text.to_owned()),
        }
    }

    fn show(&self, value: &String) -> toml::Value {
        value.as_str().into()
    }
}
