//! Files of certificates and their keys.

use std::marker::PhantomData;

use crate::config::fault::shown;
use crate::tls::Pem;

use super::Kind;
use super::scalar::path_text;

/// The path of a PEM file, which is read; nothing: there is none.
pub(in crate::config) struct PemFile<T>(pub(in crate::config) PhantomData<T>);

impl<T: Pem + Clone + PartialEq + 'static> Kind for PemFile<T> {
    type Value = Option<T>;

    fn parse(&self, text: &str) -> Result<Self::Value, String> {
        if text.is_empty() {
            return Ok(None);
        }
        T::read(text.as_ref())
            .map(Some)
            .map_err(|fault| format!("{} {fault}", shown(text)))
    }

    fn read(&self, value: &toml::Value) -> Result<Self::Value, String> {
        self.parse(path_text(value)?)
    }

    fn show(&self, value: &Self::Value) -> toml::Value {
        let path = value.as_ref().map(|file| file.path().display().to_string());
        path.unwrap_or_default().into()
    }
}
