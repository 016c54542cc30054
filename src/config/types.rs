//! What the configuration holds, with units, reasons and defaults. The groups compare, so that a
//! reload sees which of them changed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::client::Network;
use crate::limits::Cap;
use crate::placement::ShardId;

use super::auth::Auth;
use super::platform::{Rooms, Store};
use super::tls::Tls;

/// Everything that can be set, valid and fitting together. A clone copies a few short lists, so each
/// shard has its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Stream the bundled clip as the device `demo`.
    pub demo: bool,
    /// Where the process listens and on which cores it runs.
    pub server: Server,
    /// Certificate and key of `server.listen`.
    pub tls: Tls,
    /// Who may ask.
    pub auth: Auth,
    /// HTTP/1.1 connections.
    pub http: Http,
    /// WebSocket connections.
    pub ws: Ws,
    /// WebRTC sessions and their devices.
    pub media: Media,
    /// Live rooms.
    pub rooms: Rooms,
    /// Where rooms, messages and users survive a restart.
    pub store: Store,
    /// Totals over the process.
    pub limits: Limits,
    /// Series on `/metrics`.
    pub metrics: Metrics,
    /// The log on standard error.
    pub log: Log,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// TCP addresses for HTTP and WebSocket; port 0 is the kernel's choice. Default: loopback
    /// alone, port 30006.
    pub listen: Vec<SocketAddr>,
    /// Shards; `None` (written 0) is one per CPU that the process may use. Default: `None`.
    pub shards: Option<NonZeroUsize>,
    /// CPUs to pin the shards on, ascending; `None` (written "") is every one that the process may
    /// use. Default: `None`.
    pub cores: Option<Vec<usize>>,
    /// Networks of the proxies in front, whose `Forwarded` or `X-Forwarded-For` says who the client is.
    /// Default: none, which is that every client is at the other end of its connection.
    pub trusted_proxies: Vec<Network>,
    /// Allows an address that other hosts reach although nobody is authenticated. Default: false.
    pub insecure: bool,
    /// How long a shutdown may take, from the signal on, before what is still open is cut. Default:
    /// 30 s.
    pub shutdown_timeout: Duration,
    /// How long after the signal everything goes on as before, but for `/health/ready`, which says 503:
    /// so long a load balancer may take to notice. Default: 0 s.
    pub drain_delay: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 30006))],
            shards: None,
            cores: None,
            trusted_proxies: Vec::new(),
            insecure: false,
            shutdown_timeout: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
        }
    }
}

/// `[http]`
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// From a request's first byte (or the accept) to the end of its head. Default: 10 s.
    pub head_timeout: Duration,
    /// Between two pieces of a body. Default: 30 s.
    pub body_timeout: Duration,
    /// From the end of a head to the end of its JSON body. Default: 60 s.
    pub body_deadline: Duration,
    /// Between an answer and the next request. Default: 75 s, above the 60 s of the common proxies,
    /// so that it is they who close.
    pub idle_timeout: Duration,
    /// Bytes of a JSON body. Default: 256 KiB; an SDP of 20 media sections has 20 KiB.
    pub json_body_bytes: usize,
    /// Requests that a connection may carry; the answer to the last one closes it. Default: 100,000, so
    /// that what belongs to a connection is renewed now and then.
    pub requests_per_connection: Cap,
    /// Origins of other pages that may use the API, or `*`. Default: none but the server's own.
    pub cors_origins: Vec<String>,
    /// Names by which the server may be asked for besides its addresses, with or without a port, or
    /// `*`. Default: none.
    pub allowed_hosts: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            body_deadline: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            json_body_bytes: 256 << 10,
            requests_per_connection: Cap::new(100_000),
            cors_origins: Vec::new(),
            allowed_hosts: Vec::new(),
        }
    }
}

/// `[ws]`
#[derive(Debug, Clone, PartialEq)]
pub struct Ws {
    /// Bytes of a message from a client. Default: 512 KiB.
    pub message_bytes: usize,
    /// Messages that may wait for a client that does not read. Default: 256.
    pub queue: usize,
    /// Between pings. Default: 54 s, so that a pong is back within `pong_timeout`.
    pub ping_interval: Duration,
    /// Without a sign of life for so long, the connection is closed. Default: 60 s.
    pub pong_timeout: Duration,
    /// Without progress of what is to be sent for so long, the connection is closed. Default: 10 s.
    pub write_timeout: Duration,
}

impl Default for Ws {
    fn default() -> Self {
        Self {
            message_bytes: 512 << 10,
            queue: 256,
            ping_interval: Duration::from_secs(54),
            pong_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
        }
    }
}

/// `[media]`
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    /// Addresses for UDP. Default: empty, which is the IP addresses of `server.listen`; see
    /// [`Config::media_addresses`].
    pub listen: Vec<IpAddr>,
    /// Addresses that viewers are told in the place of `listen`, one for one (1:1 NAT). Default:
    /// empty, which is those of `listen` themselves.
    pub advertise: Vec<IpAddr>,
    /// UDP port of shard 0; shard i has `port + i`, see [`Media::port_of`]. 0: the kernel's choice.
    /// Default: 30100.
    pub port: u16,
    /// STUN and TURN servers that viewers are told to use. Default: none.
    pub ice_servers: Vec<IceServer>,
    /// A session without a sign of life from its viewer for so long is closed. Default: 5 minutes.
    pub idle_timeout: Duration,
    /// A session whose viewer has not connected (ICE and DTLS) for so long is closed, whatever its viewer
    /// does otherwise. Default: 60 s.
    pub setup_timeout: Duration,
    /// Candidates that a viewer may add to a session. Default: 50.
    pub candidates: Cap,
    /// A publisher that is silent for so long loses the device. Default: 10 s.
    pub publisher_timeout: Duration,
    /// How long a device without publisher and viewers is still listed. Default: 60 s.
    pub device_linger: Duration,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            advertise: Vec::new(),
            port: 30100,
            ice_servers: Vec::new(),
            idle_timeout: Duration::from_secs(5 * 60),
            setup_timeout: Duration::from_secs(60),
            candidates: Cap::new(50),
            publisher_timeout: Duration::from_secs(10),
            device_linger: Duration::from_secs(60),
        }
    }
}

impl Media {
    /// The UDP port of this shard on each address, 0 for the kernel's choice. `None` past the last
    /// port there is.
    pub fn port_of(&self, shard: ShardId) -> Option<u16> {
        match self.port {
            0 => Some(0),
            first => u16::try_from(usize::from(first) + shard.index()).ok(),
        }
    }
}

/// An address for UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaAddress {
    /// Bound on this host.
    pub bind: IpAddr,
    /// Told to viewers in the candidates.
    pub advertise: IpAddr,
}

impl Config {
    /// The candidates that a viewer may add to a session, for the media plane.
    pub fn candidates(&self) -> usize {
        self.media.candidates.get().unwrap_or(usize::MAX)
    }

    /// The addresses for UDP: `media.listen` or else the distinct ones of `server.listen`, each
    /// with what viewers are told in its place.
    pub fn media_addresses(&self) -> Vec<MediaAddress> {
        let mut bind = self.media.listen.clone();
        if bind.is_empty() {
            for ip in self.server.listen.iter().map(SocketAddr::ip) {
                if !bind.contains(&ip) {
                    bind.push(ip);
                }
            }
        }
        let advertise = |(i, bind): (usize, IpAddr)| MediaAddress {
            bind,
            advertise: self.media.advertise.get(i).copied().unwrap_or(bind),
        };
        bind.into_iter().enumerate().map(advertise).collect()
    }
}

/// A STUN or TURN server, in the shape of an `RTCIceServer` of the WebRTC API. Its JSON is for the
/// viewer and holds the credential.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IceServer {
    /// `stun:`, `stuns:`, `turn:` or `turns:` (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// Required for TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Required for TURN.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "expose")]
    pub credential: Option<Secret>,
}

fn expose<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(serializer)
}

/// A text that no log, error or `--print-config` shows.
#[derive(Clone, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// What is printed in the place of a secret.
    pub const REDACTED: &str = "[redacted]";

    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one who is to have it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::REDACTED)
    }
}

/// `[limits]`: totals over the process, and rates. What is past them is refused, nothing that is there
/// suffers. An address is an IPv4 address or a /64 of IPv6; rates are tokens a second, bursts the tokens of
/// a full bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Sessions. Default: 20,000, which take 8 GB at 400 kB each.
    pub sessions: Cap,
    /// Sessions of one device. Default: off, for the viewers of a popular device are the purpose.
    pub sessions_per_device: Cap,
    /// Devices that are live or have viewers. Default: 10,000; each may keep 4 MiB of pictures.
    pub devices: Cap,
    /// Rooms that are held, ended ones included until `rooms.retention` has passed. Default:
    /// 100,000, at some 500 B each.
    pub rooms: Cap,
    /// Rooms of one anchor that have not ended, whatever its role. Counted by each shard for itself:
    /// on N shards an anchor may have up to N times as many. Default: 100.
    pub rooms_per_anchor: Cap,
    /// Users who signed up here. Default: 1,000,000, at some 300 B of disk each; anybody may add one,
    /// and none is ever deleted.
    pub users: Cap,
    /// Resident memory of the process above which new work is refused that takes memory. Default: 90 % of
    /// what there is.
    pub memory: MemoryLimit,
    /// TCP connections. Default: 15,000, which with a shard's own descriptors fits a limit of
    /// 20,000 (`ulimit -n`). Raise both for more; an idle connection costs about 5 kB.
    pub connections: Cap,
    /// TCP connections of one address, but for loopback and `server.trusted_proxies`. Default: 1,024, which
    /// is a large office behind one address.
    pub connections_per_address: Cap,
    /// Sessions created by one client address, and, where requests need a token, by one user. Default:
    /// 10/s, burst 20.
    pub session_rate: Cap,
    /// See above.
    pub session_burst: usize,
    /// Sessions created by all together. Default: 1,000/s, burst 2,000; one costs a shard some 0.3 ms.
    pub session_rate_total: Cap,
    /// See above.
    pub session_burst_total: usize,
    /// Log-ins and sign-ups of one client address, and log-ins with one username that fail. Default: 1/s,
    /// burst 10.
    pub login_rate: Cap,
    /// See above.
    pub login_burst: usize,
    /// Rooms created by one client address. Default: 1/s, burst 20.
    pub room_rate: Cap,
    /// See above.
    pub room_burst: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: Cap::new(20_000),
            sessions_per_device: Cap::OFF,
            devices: Cap::new(10_000),
            rooms: Cap::new(100_000),
            rooms_per_anchor: Cap::new(100),
            users: Cap::new(1_000_000),
            memory: MemoryLimit::Auto,
            connections: Cap::new(15_000),
            connections_per_address: Cap::new(1_024),
            session_rate: Cap::new(10),
            session_burst: 20,
            session_rate_total: Cap::new(1_000),
            session_burst_total: 2_000,
            login_rate: Cap::new(1),
            login_burst: 10,
            room_rate: Cap::new(1),
            room_burst: 20,
        }
    }
}

/// How much memory the process may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// A share of what the cgroup and the machine allow; written `auto`.
    Auto,
    /// Any amount; written 0.
    Off,
    /// So many bytes.
    Bytes(usize),
}

/// `[metrics]`
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// TCP addresses that answer `/metrics` and the probes to whoever reaches them, without a token,
    /// and nothing else. Default: none.
    pub listen: Vec<SocketAddr>,
    /// Sessions with series of their own; the others are in the aggregates alone. Default: 1,000,
    /// some 10,000 series.
    pub session_series: Cap,
    /// Devices with series of their own, as above. Default: 1,000.
    pub device_series: Cap,
    /// Whether sessions have series of their own at all. Default: true.
    pub per_session: bool,
    /// How often what the process holds is counted; 30 samples make the baseline that leaks are judged
    /// by. Default: 10 s.
    pub leak_interval: Duration,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            session_series: Cap::new(1_000),
            device_series: Cap::new(1_000),
            per_session: true,
            leak_interval: Duration::from_secs(10),
        }
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// A level, or the directives of a `tracing_subscriber::EnvFilter`. Default: `info`.
    pub level: String,
    /// Default: [`LogFormat::Auto`].
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Auto,
        }
    }
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON lines otherwise.
    Auto,
    /// For people; with colours on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}
