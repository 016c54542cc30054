//! Every key, once: its name, the field that holds it, and what it accepts.

use std::marker::PhantomData;
use std::time::Duration;

use crate::auth::Role;
use crate::limits::SHARDS;
use crate::tls;

use super::kinds::{
    Address, Bytes, CapOf, Choice, Cores, Count, Directives, FilePath, HmacSecret, HostName,
    IceServers, Ip, Kind, List, MemorySize, Net, PemFile, Port, PublicKeyFile, ShardCount, Span,
    Switch, Text, WebOrigin,
};
use super::{
    Auth, Config, Http, Limits, Log, LogFormat, Media, Metrics, Rooms, Server, Store, Tls, Ws,
};

/// Does something with every key.
pub(super) trait Visitor {
    /// One key: `table.key`, its field, and what it accepts.
    fn key<K: Kind>(&mut self, name: &'static str, value: &mut K::Value, kind: K);
}

/// A timeout. The lower end is two ticks of a shard, below which it means nothing; the upper one
/// catches a wrong unit.
const TIMEOUT: Span = Span {
    min: Duration::from_millis(10),
    max: Duration::from_secs(24 * 3600),
};
/// How long something is kept, perhaps not at all.
const LINGER: Span = Span {
    min: Duration::ZERO,
    max: TIMEOUT.max,
};
/// How long browsers hold to TLS: two years are what preload lists ask for.
const HSTS: Span = Span {
    min: Duration::ZERO,
    max: Duration::from_secs(2 * 366 * 24 * 3600),
};
/// How long what is stored is kept.
const RETENTION: Span = Span {
    min: Duration::from_secs(1),
    max: Duration::from_secs(100 * 366 * 24 * 3600),
};
/// A JSON body or a message must be able to carry an SDP, and is held in memory as a whole.
const MESSAGE: Bytes = Bytes {
    min: 4 << 10,
    max: 64 << 20,
};
/// Messages that wait for one client.
const QUEUE: Count = Count {
    min: 1,
    max: 64 << 10,
};

/// Tokens of a full bucket.
const BURST: Count = Count {
    min: 1,
    max: 1_000_000,
};

/// How long a token is good. One that must never end is one that nobody can take back.
pub(super) const TOKEN_TTL: Span = Span {
    min: Duration::from_secs(1),
    max: Duration::from_secs(366 * 24 * 3600),
};
/// An audience is a name or a URL.
pub(super) const AUDIENCE: Text = Text { max: 1024 };

/// What the roles of tokens are called.
pub(super) const ROLES: Choice<Role> = Choice(&[
    (Role::Viewer.name(), Role::Viewer),
    (Role::Controller.name(), Role::Controller),
    (Role::Anchor.name(), Role::Anchor),
    (Role::Admin.name(), Role::Admin),
]);

/// Not to be set by a flag: every user of the host sees the flags of its processes.
pub(super) const SECRET: &str = "auth.jwt_secret";

/// With one of them set, requests need a token.
pub(super) const SWITCH_AUTH: [&str; 2] = [SECRET, "auth.jwt_public_key"];

/// With them TLS is spoken, and the last one is worth nothing without it.
pub(super) const SWITCH_TLS: [&str; 3] = [tls::KEYS[0], tls::KEYS[1], "tls.hsts"];

const LOG_FORMATS: Choice<LogFormat> = Choice(&[
    ("auto", LogFormat::Auto),
    ("text", LogFormat::Text),
    ("json", LogFormat::Json),
]);

/// Goes through all keys. The groups are taken apart completely, so that no field is forgotten.
pub(super) fn visit(config: &mut Config, v: &mut impl Visitor) {
    let Config {
        demo,
        server,
        tls,
        auth,
        http,
        ws,
        media,
        rooms,
        store,
        limits,
        metrics,
        log,
    } = config;
    v.key("demo", demo, Switch);
    visit_server(server, v);
    visit_tls(tls, v);
    visit_auth(auth, v);
    visit_http(http, v);
    visit_ws(ws, v);
    visit_media(media, v);
    visit_rooms(rooms, v);
    visit_store(store, v);
    visit_limits(limits, v);
    visit_metrics(metrics, v);
    visit_log(log, v);
}

fn visit_server(group: &mut Server, v: &mut impl Visitor) {
    let Server {
        listen,
        shards,
        cores,
        trusted_proxies,
        insecure,
        shutdown_timeout,
        drain_delay,
    } = group;
    v.key("server.listen", listen, List(Address));
    v.key("server.shards", shards, ShardCount { max: SHARDS });
    v.key("server.cores", cores, Cores);
    v.key("server.trusted_proxies", trusted_proxies, List(Net));
    v.key("server.insecure", insecure, Switch);
    v.key("server.shutdown_timeout", shutdown_timeout, TIMEOUT);
    v.key("server.drain_delay", drain_delay, LINGER);
}

fn visit_tls(group: &mut Tls, v: &mut impl Visitor) {
    let Tls { cert, key, hsts } = group;
    v.key(tls::KEYS[0], cert, PemFile(PhantomData));
    v.key(tls::KEYS[1], key, PemFile(PhantomData));
    v.key("tls.hsts", hsts, HSTS);
}

fn visit_auth(group: &mut Auth, v: &mut impl Visitor) {
    let Auth {
        jwt_secret,
        jwt_public_key,
        audience,
        token_ttl,
        signup,
        signup_role,
    } = group;
    v.key(SECRET, jwt_secret, HmacSecret);
    v.key("auth.jwt_public_key", jwt_public_key, PublicKeyFile);
    v.key("auth.audience", audience, AUDIENCE);
    v.key("auth.token_ttl", token_ttl, TOKEN_TTL);
    v.key("auth.signup", signup, Switch);
    v.key("auth.signup_role", signup_role, ROLES);
}

fn visit_http(group: &mut Http, v: &mut impl Visitor) {
    let Http {
        head_timeout,
        body_timeout,
        body_deadline,
        idle_timeout,
        json_body_bytes,
        requests_per_connection,
        cors_origins,
        allowed_hosts,
    } = group;
    v.key("http.head_timeout", head_timeout, TIMEOUT);
    v.key("http.body_timeout", body_timeout, TIMEOUT);
    v.key("http.body_deadline", body_deadline, TIMEOUT);
    v.key("http.idle_timeout", idle_timeout, TIMEOUT);
    v.key("http.json_body_bytes", json_body_bytes, MESSAGE);
    v.key(
        "http.requests_per_connection",
        requests_per_connection,
        CapOf,
    );
    v.key("http.cors_origins", cors_origins, List(WebOrigin));
    v.key("http.allowed_hosts", allowed_hosts, List(HostName));
}

fn visit_ws(group: &mut Ws, v: &mut impl Visitor) {
    let Ws {
        message_bytes,
        queue,
        ping_interval,
        pong_timeout,
        write_timeout,
    } = group;
    v.key("ws.message_bytes", message_bytes, MESSAGE);
    v.key("ws.queue", queue, QUEUE);
    v.key("ws.ping_interval", ping_interval, TIMEOUT);
    v.key("ws.pong_timeout", pong_timeout, TIMEOUT);
    v.key("ws.write_timeout", write_timeout, TIMEOUT);
}

fn visit_media(group: &mut Media, v: &mut impl Visitor) {
    let Media {
        listen,
        advertise,
        port,
        ice_servers,
        idle_timeout,
        setup_timeout,
        candidates,
        publisher_timeout,
        device_linger,
    } = group;
    v.key("media.listen", listen, List(Ip));
    v.key("media.advertise", advertise, List(Ip));
    v.key("media.port", port, Port);
    v.key("media.ice_servers", ice_servers, IceServers);
    v.key("media.idle_timeout", idle_timeout, TIMEOUT);
    v.key("media.setup_timeout", setup_timeout, TIMEOUT);
    v.key("media.candidates", candidates, CapOf);
    v.key("media.publisher_timeout", publisher_timeout, TIMEOUT);
    v.key("media.device_linger", device_linger, LINGER);
}

fn visit_rooms(group: &mut Rooms, v: &mut impl Visitor) {
    let Rooms {
        member_rate,
        member_burst,
        message_rate,
        recent,
        join_timeout,
        anchor_timeout,
        heat_half_life,
        retention,
    } = group;
    v.key("rooms.member_rate", member_rate, CapOf);
    v.key("rooms.member_burst", member_burst, QUEUE);
    v.key("rooms.message_rate", message_rate, CapOf);
    v.key("rooms.recent", recent, QUEUE);
    v.key("rooms.join_timeout", join_timeout, TIMEOUT);
    v.key("rooms.anchor_timeout", anchor_timeout, TIMEOUT);
    v.key("rooms.heat_half_life", heat_half_life, TIMEOUT);
    v.key("rooms.retention", retention, RETENTION);
}

fn visit_store(group: &mut Store, v: &mut impl Visitor) {
    let Store {
        path,
        fsync,
        message_retention,
    } = group;
    v.key("store.path", path, FilePath);
    v.key("store.fsync", fsync, Switch);
    v.key("store.message_retention", message_retention, RETENTION);
}

fn visit_limits(group: &mut Limits, v: &mut impl Visitor) {
    let Limits {
        sessions,
        sessions_per_device,
        devices,
        rooms,
        rooms_per_anchor,
        users,
        memory,
        connections,
        connections_per_address,
        session_rate,
        session_burst,
        session_rate_total,
        session_burst_total,
        login_rate,
        login_burst,
        room_rate,
        room_burst,
    } = group;
    v.key("limits.sessions", sessions, CapOf);
    v.key("limits.sessions_per_device", sessions_per_device, CapOf);
    v.key("limits.devices", devices, CapOf);
    v.key("limits.rooms", rooms, CapOf);
    v.key("limits.rooms_per_anchor", rooms_per_anchor, CapOf);
    v.key("limits.users", users, CapOf);
    v.key("limits.memory", memory, MemorySize);
    v.key("limits.connections", connections, CapOf);
    v.key(
        "limits.connections_per_address",
        connections_per_address,
        CapOf,
    );
    v.key("limits.session_rate", session_rate, CapOf);
    v.key("limits.session_burst", session_burst, BURST);
    v.key("limits.session_rate_total", session_rate_total, CapOf);
    v.key("limits.session_burst_total", session_burst_total, BURST);
    v.key("limits.login_rate", login_rate, CapOf);
    v.key("limits.login_burst", login_burst, BURST);
    v.key("limits.room_rate", room_rate, CapOf);
    v.key("limits.room_burst", room_burst, BURST);
}

fn visit_metrics(group: &mut Metrics, v: &mut impl Visitor) {
    let Metrics {
        listen,
        session_series,
        device_series,
        per_session,
        leak_interval,
    } = group;
    v.key("metrics.listen", listen, List(Address));
    v.key("metrics.session_series", session_series, CapOf);
    v.key("metrics.device_series", device_series, CapOf);
    v.key("metrics.per_session", per_session, Switch);
    v.key("metrics.leak_interval", leak_interval, TIMEOUT);
}

fn visit_log(group: &mut Log, v: &mut impl Visitor) {
    let Log { level, format } = group;
    v.key("log.level", level, Directives);
    v.key("log.format", format, LOG_FORMATS);
}

/// The names of all keys.
pub(super) fn names() -> Vec<&'static str> {
    struct Names(Vec<&'static str>);
    impl Visitor for Names {
        fn key<K: Kind>(&mut self, name: &'static str, _: &mut K::Value, _: K) {
            self.0.push(name);
        }
    }
    let mut names = Names(Vec::new());
    visit(&mut Config::default(), &mut names);
    names.0
}

/// What the environment variables of this program begin with.
pub(super) const VARIABLE_PREFIX: &str = "MEDIA_";

/// The environment variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!(
        "{VARIABLE_PREFIX}{}",
        key.replace('.', "_").to_ascii_uppercase()
    )
}
