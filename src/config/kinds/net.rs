//! Addresses, hosts and servers.

use std::net::{IpAddr, SocketAddr};

use crate::client::Network;
use crate::config::fault::{nearest, shown};
use crate::config::types::{IceServer, Secret};

use super::{Kind, List, parse_toml};

/// An IP address with a port.
pub(in crate::config) struct Address;

impl Kind for Address {
    type Value = SocketAddr;

    fn parse(&self, text: &str) -> Result<SocketAddr, String> {
        text.parse().map_err(|_| {
            let example = "127.0.0.1:30006 or [::1]:30006";
            format!(
                "{} is not an IP address with a port, such as {example}",
                shown(text)
            )
        })
    }

    fn show(&self, value: &SocketAddr) -> toml::Value {
        value.to_string().into()
    }
}

/// An IP address.
pub(in crate::config) struct Ip;

impl Kind for Ip {
    type Value = IpAddr;

    fn parse(&self, text: &str) -> Result<IpAddr, String> {
        text.parse().map_err(|_| {
            format!(
                "{} is not an IP address, such as 192.0.2.7 or 2001:db8::7",
                shown(text)
            )
        })
    }

    fn show(&self, value: &IpAddr) -> toml::Value {
        value.to_string().into()
    }
}

/// A network of addresses, or one address.
pub(in crate::config) struct Net;

impl Kind for Net {
    type Value = Network;

    fn parse(&self, text: &str) -> Result<Network, String> {
        text.parse()
            .map_err(|fault| format!("{} {fault}", shown(text)))
    }

    fn show(&self, value: &Network) -> toml::Value {
        value.to_string().into()
    }
}

/// A TCP or UDP port.
pub(in crate::config) struct Port;

impl Kind for Port {
    type Value = u16;

    fn parse(&self, text: &str) -> Result<u16, String> {
        text.parse()
            .map_err(|_| format!("{} is not a port (0–65535)", shown(text)))
    }

    fn show(&self, value: &u16) -> toml::Value {
        i64::from(*value).into()
    }
}

/// What a `Host` header may name: a host name or an address, with or without a port; or `*`.
pub(in crate::config) struct HostName;

impl Kind for HostName {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        if text == "*" || is_authority(text) {
            return Ok(text.to_ascii_lowercase());
        }
        let example = "media.example.com or media.example.com:8443";
        Err(format!(
            "{} is not a host, such as {example}, nor *",
            shown(text)
        ))
    }

    fn show(&self, value: &String) -> toml::Value {
        value.as_str().into()
    }
}

/// An origin (RFC 6454 §6.2) as browsers send it: scheme, host, perhaps a port; or `*`.
pub(in crate::config) struct WebOrigin;

impl Kind for WebOrigin {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        let lower = text.to_ascii_lowercase();
        let scheme = ["http://", "https://"]
            .iter()
            .find_map(|s| lower.strip_prefix(s));
        if text == "*" || scheme.is_some_and(is_authority) {
            return Ok(lower);
        }
        let example = "https://example.com or http://localhost:8080 (no path)";
        Err(format!(
            "{} is not an origin, such as {example}, nor *",
            shown(text)
        ))
    }

    fn show(&self, value: &String) -> toml::Value {
        value.as_str().into()
    }
}

/// A host name, an IPv4 address or a bracketed IPv6 address; perhaps a port.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            !host.is_empty() && host.chars().all(allowed)
        }
    };
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

/// STUN and TURN servers: tables with `urls`, `username` and `credential`. No fault repeats a value
/// of theirs, which may be a secret in the wrong place.
pub(in crate::config) struct IceServers;

const ICE_SERVER_KEYS: [&str; 3] = ["urls", "username", "credential"];
const ICE_SCHEMES: [&str; 4] = ["stun:", "stuns:", "turn:", "turns:"];

impl Kind for IceServers {
    type Value = Vec<IceServer>;

    fn parse(&self, text: &str) -> Result<Self::Value, String> {
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        self.read(&parse_toml(text)?)
    }

    fn show(&self, value: &Self::Value) -> toml::Value {
        let table = |server: &IceServer| {
            let mut table = toml::Table::new();
            table.insert("urls".to_owned(), server.urls.clone().into());
            if let Some(username) = &server.username {
                table.insert("username".to_owned(), username.as_str().into());
            }
            if server.credential.is_some() {
                table.insert("credential".to_owned(), Secret::REDACTED.into());
            }
            toml::Value::Table(table)
        };
        toml::Value::Array(value.iter().map(table).collect())
    }

    fn read(&self, value: &toml::Value) -> Result<Self::Value, String> {
        match value {
            toml::Value::Array(_) => List(OneIceServer).read(value),
            toml::Value::String(text) => self.parse(text),
            _ => Err(OneIceServer::EXPECTED.to_owned()),
        }
    }
}

struct OneIceServer;

impl OneIceServer {
    const EXPECTED: &str =
        "is not a list of servers, such as [{urls = [\"stun:stun.example.com\"]}]";
}

impl Kind for OneIceServer {
    type Value = IceServer;

    fn parse(&self, _: &str) -> Result<IceServer, String> {
        Err(Self::EXPECTED.to_owned())
    }

    fn show(&self, value: &IceServer) -> toml::Value {
        toml::Value::from(value.urls.clone())
    }

    fn read(&self, value: &toml::Value) -> Result<IceServer, String> {
        let toml::Value::Table(table) = value else {
            return Err(Self::EXPECTED.to_owned());
        };
        if let Some(key) = table
            .keys()
            .find(|key| !ICE_SERVER_KEYS.contains(&key.as_str()))
        {
            let nearest = nearest(key, ICE_SERVER_KEYS.into_iter()).unwrap_or("urls");
            return Err(format!(
                "has a server with the key {}; did you mean {nearest}?",
                shown(key)
            ));
        }
        let text = |key: &str| match table.get(key) {
            None => Ok(None),
            Some(toml::Value::String(text)) if text.is_empty() => Ok(None),
            Some(toml::Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("has a server whose {key} is not a text")),
        };
        let urls =
            List(IceUrl).read(table.get("urls").unwrap_or(&toml::Value::Array(Vec::new())))?;
        let username = text("username")?;
        let credential = text("credential")?;
        if urls.is_empty() {
            return Err("has a server without urls".to_owned());
        }
        let is_turn = urls.iter().any(|url| url.starts_with("turn"));
        if is_turn && (username.is_none() || credential.is_none()) {
            return Err("has a TURN server without username and credential".to_owned());
        }
        if credential.as_deref() == Some(Secret::REDACTED) {
            return Err("has the placeholder of --print-config as its credential".to_owned());
        }
        Ok(IceServer {
            urls,
            username,
            credential: credential.map(Secret::new),
        })
    }
}

/// A STUN or TURN URL (RFC 7064 §3.1, RFC 7065 §3.1).
struct IceUrl;

impl Kind for IceUrl {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        let rest = ICE_SCHEMES
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let host = rest.map(|rest| rest.split_once('?').map_or(rest, |(host, _)| host));
        match host {
            Some(host) if is_authority(host) => Ok(text.to_owned()),
            _ => Err(
                "has a URL that is not one such as stun:stun.example.com:3478 or \
                      turn:turn.example.com"
                    .to_owned(),
            ),
        }
    }

    fn show(&self, value: &String) -> toml::Value {
        value.as_str().into()
    }
}
