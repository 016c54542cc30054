//! What a key may hold: how it is read, what is refused and why, how it is printed.

mod auth;
mod net;
mod scalar;
mod tls;

pub(super) use auth::{HmacSecret, PublicKeyFile, Text};
pub(super) use net::{Address, HostName, IceServers, Ip, Net, Port, WebOrigin};
pub(super) use scalar::{
    Bytes, CapOf, Choice, Cores, Count, Directives, FilePath, MemorySize, ShardCount, Span, Switch,
    span_text,
};
pub(super) use tls::PemFile;

use crate::limits::CONFIG_LIST_ITEMS;

use super::fault::shown;

/// A kind of value. The faults complete a sentence that begins with the key.
pub(super) trait Kind {
    /// The typed, valid value.
    type Value: Clone + PartialEq + 'static;

    /// Reads the value as a variable or a flag has it.
    fn parse(&self, text: &str) -> Result<Self::Value, String>;

    /// The value as a file has it.
    fn show(&self, value: &Self::Value) -> toml::Value;

    /// Reads the value as a file has it: a scalar means what its text means.
    fn read(&self, value: &toml::Value) -> Result<Self::Value, String> {
        match value {
            toml::Value::String(text) => self.parse(text),
            toml::Value::Array(_) => Err("is a list where one value belongs".to_owned()),
            toml::Value::Table(_) => Err("is a table where one value belongs".to_owned()),
            scalar => self.parse(&scalar.to_string()),
        }
    }
}

/// A list: an array, or one text with commas; no text is no item.
pub(super) struct List<K>(pub(super) K);

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn parse(&self, text: &str) -> Result<Self::Value, String> {
        match text.trim() {
            "" => Ok(Vec::new()),
            array if array.starts_with('[') && array.ends_with(']') => {
                self.read(&parse_toml(array)?)
            }
            items => {
                let items = items.split(',').map(|item| toml::Value::from(item.trim()));
                self.read(&toml::Value::Array(items.collect()))
            }
        }
    }

    fn show(&self, value: &Self::Value) -> toml::Value {
        toml::Value::Array(value.iter().map(|item| self.0.show(item)).collect())
    }

    fn read(&self, value: &toml::Value) -> Result<Self::Value, String> {
        match value {
            toml::Value::Array(items) if items.len() > CONFIG_LIST_ITEMS => Err(format!(
                "has {} items, {CONFIG_LIST_ITEMS} are the most",
                items.len()
            )),
            toml::Value::Array(items) => {
                let mut values = Vec::with_capacity(items.len());
                let mut problems = Vec::new();
                for item in items {
                    match self.0.read(item) {
                        Ok(value) => values.push(value),
                        Err(problem) => problems.push(problem),
                    }
                }
                if problems.is_empty() {
                    Ok(values)
                } else {
                    Err(problems.join("; "))
                }
            }
            toml::Value::String(text) => self.parse(text),
            _ => Err(format!("{} is not a list", shown(&value.to_string()))),
        }
    }
}

/// An array as a variable or a flag has it.
fn parse_toml(text: &str) -> Result<toml::Value, String> {
    text.parse().map_err(|e: toml::de::Error| {
        format!(
            "is not a list as in TOML: {}",
            e.message().replace('\n', " ")
        )
    })
}
