//! Which keys a running server takes up when the configuration is read again, and which wait for the
//! next start.

use std::any::Any;
use std::collections::BTreeMap;

use super::Config;
use super::keys::{self, Visitor};
use super::kinds::Kind;

/// When another value of a key takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applies {
    /// With the reload.
    Live,
    /// With the next start.
    Restart,
}

/// When another value of the key takes effect; `None`: there is no such key.
///
/// A key waits for a restart when it stands for something that exists once in the process (sockets,
/// threads, the store's file, the log's format), for what has been counted with its old value so far
/// (`metrics.leak_interval`), or for what happens at a start alone (`rooms.anchor_timeout`).
pub(super) fn applies(key: &str) -> Option<Applies> {
    Some(match key {
        "demo"
        | "server.listen"
        | "server.shards"
        | "server.cores"
        | "server.insecure"
        | "media.listen"
        | "media.advertise"
        | "media.port"
        | "rooms.anchor_timeout"
        | "store.path"
        | "store.fsync"
        | "store.message_retention"
        | "metrics.listen"
        | "metrics.leak_interval"
        | "log.format" => Applies::Restart,
        "server.trusted_proxies"
        | "server.shutdown_timeout"
        | "tls.cert"
        | "tls.key"
        | "tls.hsts"
        | "server.drain_delay"
        | "auth.jwt_secret"
        | "auth.jwt_public_key"
        | "auth.audience"
        | "auth.token_ttl"
        | "auth.signup"
        | "auth.signup_role"
        | "http.head_timeout"
        | "http.body_timeout"
        | "http.body_deadline"
        | "http.idle_timeout"
        | "http.requests_per_connection"
        | "http.json_body_bytes"
        | "http.cors_origins"
        | "http.allowed_hosts"
        | "ws.message_bytes"
        | "ws.queue"
        | "ws.ping_interval"
        | "ws.pong_timeout"
        | "ws.write_timeout"
        | "media.ice_servers"
        | "media.idle_timeout"
        | "media.setup_timeout"
        | "media.candidates"
        | "media.publisher_timeout"
        | "media.device_linger"
        | "rooms.member_rate"
        | "rooms.member_burst"
        | "rooms.message_rate"
        | "rooms.recent"
        | "rooms.join_timeout"
        | "rooms.heat_half_life"
        | "rooms.retention"
        | "limits.sessions"
        | "limits.sessions_per_device"
        | "limits.devices"
        | "limits.rooms"
        | "limits.rooms_per_anchor"
        | "limits.users"
        | "limits.memory"
        | "limits.connections"
        | "limits.connections_per_address"
        | "limits.session_rate"
        | "limits.session_burst"
        | "limits.session_rate_total"
        | "limits.session_burst_total"
        | "limits.login_rate"
        | "limits.login_burst"
        | "limits.room_rate"
        | "limits.room_burst"
        | "metrics.session_series"
        | "metrics.device_series"
        | "metrics.per_session"
        | "log.level" => Applies::Live,
        _ => return None,
    })
}

/// What becomes of a running configuration when another one is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The configuration that holds from now on: of the keys that wait for a restart it has the old
    /// values.
    pub config: Config,
    /// The keys that changed and take effect.
    pub applied: Vec<&'static str>,
    /// The keys that differ from what runs, and wait for a restart.
    pub waiting: Vec<&'static str>,
}

impl Change {
    /// From what runs to what was read. Both are valid, and so is what comes of it: keys that must
    /// fit together apply together.
    pub fn new(running: &Config, read: Config) -> Self {
        let mut values = Values(BTreeMap::new());
        keys::visit(&mut running.clone(), &mut values);
        let mut merge = Merge {
            running: values.0,
            // Whoever is connected was let in with a token, or without one.
            switches_auth: running.auth.is_on() != read.auth.is_on(),
            // Clients know an address as one that speaks TLS, or as one that does not.
            switches_tls: running.tls.is_on() != read.tls.is_on(),
            applied: Vec::new(),
            waiting: Vec::new(),
        };
        let mut config = read;
        keys::visit(&mut config, &mut merge);
        Self {
            config,
            applied: merge.applied,
            waiting: merge.waiting,
        }
    }
}

/// The value of each key.
struct Values(BTreeMap<&'static str, Box<dyn Any>>);

impl Visitor for Values {
    fn key<K: Kind>(&mut self, name: &'static str, value: &mut K::Value, _: K) {
        self.0.insert(name, Box::new(value.clone()));
    }
}

struct Merge {
    running: BTreeMap<&'static str, Box<dyn Any>>,
    switches_auth: bool,
    switches_tls: bool,
    applied: Vec<&'static str>,
    waiting: Vec<&'static str>,
}

impl Merge {
    fn applies(&self, key: &str) -> Applies {
        if self.switches_auth && keys::SWITCH_AUTH.contains(&key) {
            return Applies::Restart;
        }
        if self.switches_tls && keys::SWITCH_TLS.contains(&key) {
            return Applies::Restart;
        }
        // The tests go through all keys; one without an entry is not touched while it runs.
        applies(key).unwrap_or(Applies::Restart)
    }
}

impl Visitor for Merge {
    fn key<K: Kind>(&mut self, name: &'static str, value: &mut K::Value, _: K) {
        let running = self.running.get(name).and_then(|old| old.downcast_ref());
        let Some(running) = running.filter(|&running| running != value) else {
            return;
        };
        match self.applies(name) {
            Applies::Live => self.applied.push(name),
            Applies::Restart => {
                *value = K::Value::clone(running);
                self.waiting.push(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_either_live_or_waits_for_a_restart() {
        let undecided: Vec<_> = keys::names()
            .into_iter()
            .filter(|key| applies(key).is_none())
            .collect();
        assert!(undecided.is_empty(), "decide for {undecided:?}");
    }

    #[test]
    fn keys_that_must_fit_together_apply_together() {
        // Both ends of each check of `validate`; a key with an auth switch has the rule of its own.
        for (one, other) in [
            ("ws.ping_interval", "ws.pong_timeout"),
            ("tls.cert", "tls.key"),
            ("tls.cert", "tls.hsts"),
            ("server.drain_delay", "server.shutdown_timeout"),
            ("auth.signup", "auth.signup_role"),
            ("server.listen", "server.insecure"),
            ("server.listen", "metrics.listen"),
            ("server.listen", "media.listen"),
            ("media.listen", "media.advertise"),
            ("media.port", "server.shards"),
            ("media.port", "server.cores"),
        ] {
            assert_eq!(applies(one), applies(other), "{one}, {other}");
        }
    }
}
