//! Another configuration, while the shard runs (M15).
//!
//! Caps, rates and lists are looked up when they are needed, so they hold at once, for what comes.
//! Timeouts hold for whoever waits already too: one that became shorter counts from the reload on, so
//! that nobody holds a connection for longer than it allows; one that became longer counts from the
//! next time that it is set. What was opened with a token goes on until that token ends, also when its
//! key is no longer one of the server's.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::passes::{COPY_WORK, Pass, next_keys};
use super::{Shard, Timer};
use crate::config::Config;
use crate::connection::{Connection, Fate, Phase, Role};
use crate::http::OriginPolicy;
use crate::ids::{DeviceId, SessionId};
use crate::limits::Cap;
use crate::metrics::MetricsConfig;
use crate::placement::Shards;
use crate::reload::Update;

/// Timeouts that connections wait for.
const OF_CONNECTIONS: [fn(&Config) -> Duration; 8] = [
    |config| config.http.head_timeout,
    |config| config.http.body_timeout,
    |config| config.http.body_deadline,
    |config| config.http.idle_timeout,
    |config| config.media.publisher_timeout,
    |config| config.ws.ping_interval,
    |config| config.ws.pong_timeout,
    |config| config.ws.write_timeout,
];

/// And those that sessions wait for.
const OF_SESSIONS: [fn(&Config) -> Duration; 2] = [
    |config| config.media.idle_timeout,
    |config| config.media.setup_timeout,
];

/// The series that a shard keeps.
pub(super) fn metrics(shards: Shards, config: &Config) -> MetricsConfig {
    // Labels whose values grow without bound can be switched off together (M16).
    let series = |cap: Cap| match config.metrics.per_session {
        true => cap.get().unwrap_or(usize::MAX),
        false => 0,
    };
    MetricsConfig {
        shards: shards.count(),
        session_series: series(config.metrics.session_series),
        device_series: series(config.metrics.device_series),
    }
}

/// The names that the server answers to, and the pages that may use it.
pub(super) fn origins(listen: &[SocketAddr], config: &Config) -> OriginPolicy {
    OriginPolicy::new(
        listen,
        &config.http.allowed_hosts,
        &config.http.cors_origins,
    )
    .over_tls(config.tls.is_on())
}

/// `Strict-Transport-Security` (RFC 6797 §6.1).
pub(super) fn hsts(config: &Config) -> Option<String> {
    let seconds = config.tls.hsts.as_secs();
    (seconds > 0).then(|| format!("max-age={seconds}"))
}

impl Shard {
    /// Another configuration holds from now on; those who wait already learn of shorter timeouts in the
    /// next turns. Nothing is closed by it.
    pub fn reload(&mut self, now: Instant, update: &Update) {
        let before = std::mem::replace(&mut self.config, update.config.clone());
        let config = self.config.clone();
        self.auth = update.auth.clone();
        self.origins = origins(&self.listen, &config);
        self.hsts = hsts(&config);
        self.rooms
            .reconfigure(self.time(now), &config.rooms, config.ws.queue);
        self.plane.limit_candidates(config.candidates());
        self.metrics.reconfigure(metrics(self.shards, &config));

        let shorter = |timeout: fn(&Config) -> Duration| timeout(&config) < timeout(&before);
        if OF_CONNECTIONS.into_iter().any(shorter) {
            self.passes.begin(Pass::HastenConnections(0));
        }
        if config.ws.message_bytes != before.ws.message_bytes {
            self.passes.begin(Pass::LimitMessages(0));
        }
        if OF_SESSIONS.into_iter().any(shorter) {
            self.passes.begin(Pass::LookAtSessions(None));
        }
        if shorter(|config| config.media.device_linger) {
            self.passes.begin(Pass::HastenDevices(None));
        }
    }

    pub(super) fn hasten_connection(&mut self, now: Instant, connection: &mut Connection) {
        if connection.fate != Fate::Stay {
            return;
        }
        if let Some((_, pulse)) = connection.role.socket() {
            pulse.hasten(now, &self.config.ws);
            return self.set_socket_alarm(now, connection);
        }
        let Role::Http(http) = &connection.role else {
            return;
        };
        let timeouts = &self.config.http;
        let patience = match &http.phase {
            Phase::Head if http.decoder.between_requests() => timeouts.idle_timeout,
            Phase::Head => timeouts.head_timeout,
            Phase::Body(..) => timeouts.body_timeout.min(timeouts.body_deadline),
            // The alarm knows since when it has been silent.
            Phase::Publish(..) => self.config.media.publisher_timeout,
            // What it waits for has a bound of its own.
            Phase::Wait(..) | Phase::Done => return,
        };
        self.set_alarm_by(connection, now + patience);
    }

    /// Of a socket that is open already, too.
    pub(super) fn limit_messages(&mut self, _: Instant, connection: &mut Connection) {
        let bytes = self.config.ws.message_bytes;
        if let Some((codec, _)) = connection.role.socket() {
            codec.limit_messages(bytes);
        }
    }

    /// Each session's alarm knows since when its viewer has been idle. `Some`: there are more after that
    /// one.
    pub(super) fn look_at_sessions(
        &mut self,
        now: Instant,
        after: Option<SessionId>,
    ) -> Option<SessionId> {
        let ids = next_keys(&self.sessions, after);
        self.work.did(ids.len() * COPY_WORK);
        for &id in &ids {
            let session = self.sessions.get_mut(&id);
            if let Some(at) = session.and_then(|it| it.alarm.set(now)) {
                self.schedule(at, Timer::Session(id));
            }
        }
        ids.last().copied()
    }

    /// `Some`: there are more after that device.
    pub(super) fn hasten_devices(
        &mut self,
        now: Instant,
        after: Option<DeviceId>,
    ) -> Option<DeviceId> {
        let at = now + self.config.media.device_linger;
        let mut ids = next_keys(&self.devices, after);
        self.work.did(ids.len() * COPY_WORK);
        for id in &ids {
            let device = self.devices.get(id).filter(|device| device.is_idle());
            let deadline = device.and_then(|device| device.alarm.deadline());
            if deadline.is_some_and(|deadline| deadline > at) {
                self.watch_idle(now, id);
            }
        }
        ids.pop()
    }
}
