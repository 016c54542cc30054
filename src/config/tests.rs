mod faults;

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use super::*;
use crate::limits::{CONFIG_FILE_BYTES, Cap};
use crate::placement::ShardId;

/// The sources of one configuration.
#[derive(Default, Clone, Copy)]
struct Given<'a> {
    args: &'a [&'a str],
    env: &'a [(&'a str, &'a str)],
    file: Option<&'a str>,
}

impl Given<'_> {
    /// The faults are as they are printed, with `FILE` in the place of the file's path.
    fn load(self) -> Result<Command, Vec<String>> {
        let mut args = vec![OsString::from("media-service")];
        let mut file = tempfile::NamedTempFile::new().unwrap();
        if let Some(text) = self.file {
            file.write_all(text.as_bytes()).unwrap();
            args.extend(["--config".into(), file.path().into()]);
        }
        args.extend(self.args.iter().map(OsString::from));
        let env = self
            .env
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        load(args, env).map_err(|faults| {
            let text = faults
                .to_string()
                .replace(&file.path().display().to_string(), "FILE");
            text.lines().map(str::to_owned).collect()
        })
    }

    fn config(self) -> Config {
        match self.load() {
            Ok(Command::Serve(config)) => config,
            other => panic!("{other:?}"),
        }
    }

    fn faults(self) -> Vec<String> {
        self.load().expect_err("there are faults")
    }

    fn printed(self) -> String {
        let args = [self.args, &["--print-config"]].concat();
        match (Given {
            args: &args,
            ..self
        })
        .load()
        {
            Ok(Command::PrintConfig(text)) => text,
            other => panic!("{other:?}"),
        }
    }
}

fn args<'a>(args: &'a [&'a str]) -> Given<'a> {
    Given {
        args,
        ..Given::default()
    }
}

fn env<'a>(env: &'a [(&'a str, &'a str)]) -> Given<'a> {
    Given {
        env,
        ..Given::default()
    }
}

fn file(text: &str) -> Given<'_> {
    Given {
        file: Some(text),
        ..Given::default()
    }
}

/// Every key with a value that is not its default.
const COMPLETE: &str = r#"
demo = true
[server]
listen = ["127.0.0.1:0", "[::1]:8080"]
shards = 3
cores = "0-2,5,7-8"
trusted_proxies = ["10.0.0.0/8", "2001:db8::7"]
insecure = true
shutdown_timeout = "1h30m"
drain_delay = "15s"
[tls]
cert = "tests/keys/tls.cert.pem"
key = "tests/keys/tls.key.pem"
hsts = "365d"
[auth]
jwt_secret = ""
jwt_public_key = "tests/keys/ed25519.pub.pem"
audience = "https://media.example.com"
token_ttl = "1h"
signup = false
signup_role = "anchor"
[http]
head_timeout = "5s"
body_timeout = "250ms"
body_deadline = "2s"
idle_timeout = "2m"
json_body_bytes = 100000
requests_per_connection = 5
cors_origins = ["https://example.com", "http://localhost:8080"]
allowed_hosts = ["Media.example.com", "[2001:db8::1]:8443"]
[ws]
message_bytes = "1MiB"
queue = 16
ping_interval = "10s"
pong_timeout = "1m 5s"
write_timeout = "3s"
[media]
listen = ["192.0.2.7", "2001:db8::7"]
advertise = ["203.0.113.7", "2001:db8::8"]
port = 40000
ice_servers = [{ urls = ["stun:stun.example.com:3478"] }, { urls = "stun:[2001:db8::9]" }]
idle_timeout = "1m"
setup_timeout = "20s"
candidates = 0
publisher_timeout = "1s"
device_linger = "0s"
[rooms]
member_rate = 5
member_burst = 9
message_rate = 0
recent = 300
join_timeout = "30s"
anchor_timeout = "2m"
heat_half_life = "1m"
retention = "400d"

[store]
path = "/var/lib/media-service/rooms.db"
fsync = false
message_retention = "3d"

[limits]
rooms = 3
rooms_per_anchor = 4
users = 4
sessions = 0
sessions_per_device = 7
devices = 8
memory = "2GiB"
connections = 9
connections_per_address = 5
session_rate = 1
session_burst = 2
session_rate_total = 3
session_burst_total = 4
login_rate = 0
login_burst = 6
room_rate = 7
room_burst = 8
[metrics]
listen = ["127.0.0.1:9100"]
session_series = 10
device_series = 0
per_session = false
leak_interval = "1s"
[log]
level = "warn,rtc=debug"
format = "json"
"#;

#[test]
fn without_anything_set_the_defaults_hold_together() {
    assert_eq!(args(&[]).config(), Config::default());
    assert_eq!(
        args(&[]).config().media_addresses(),
        [MediaAddress {
            bind: IpAddr::from([127, 0, 0, 1]),
            advertise: IpAddr::from([127, 0, 0, 1])
        }]
    );
}

#[test]
fn every_key_can_be_set_in_the_file() {
    let config = file(COMPLETE).config();
    let defaults = Config::default();
    assert!(config.demo);
    assert_ne!(config.server, defaults.server);

    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    assert_eq!(
        config.server.listen,
        [address("127.0.0.1:0"), address("[::1]:8080")]
    );
    assert_eq!(config.server.shards, NonZeroUsize::new(3));
    assert_eq!(config.server.cores, Some(vec![0, 1, 2, 5, 7, 8]));
    assert_eq!(config.server.shutdown_timeout, Duration::from_secs(5400));
    assert_eq!(config.http.json_body_bytes, 100_000);
    assert_eq!(
        config.http.allowed_hosts,
        ["media.example.com", "[2001:db8::1]:8443"]
    );
    assert_eq!(config.ws.message_bytes, 1 << 20);
    assert_eq!(config.ws.pong_timeout, Duration::from_secs(65));
    assert_eq!(config.media.ice_servers[1].urls, ["stun:[2001:db8::9]"]);
    assert_eq!(config.media.candidates, Cap::OFF);
    assert_eq!(config.media.device_linger, Duration::ZERO);
    assert_eq!(config.media.port_of(ShardId::new(2)), Some(40_002));
    assert_eq!(
        config.media_addresses()[0].advertise,
        IpAddr::from([203, 0, 113, 7])
    );
    assert_eq!(config.limits.sessions_per_device, Cap::new(7));
    assert_eq!(config.limits.rooms_per_anchor, Cap::new(4));
    assert_eq!(config.metrics.device_series, Cap::OFF);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file() {
    let mut given = file("[media]\nport = 1");
    assert_eq!(given.config().media.port, 1);
    given.env = &[("MEDIA_MEDIA_PORT", "2"), ("PATH", "/bin")];
    assert_eq!(given.config().media.port, 2);
    given.args = &["--set", "media.port=3"];
    assert_eq!(given.config().media.port, 3);
    given.args = &["--set", "media.port=3", "--set=media.port=4"];
    assert_eq!(given.config().media.port, 4);
    given.args = &["--media-port", "5", "--set", "media.port=3"];
    assert_eq!(given.config().media.port, 5);
    // A list is replaced, not extended.
    given.env = &[("MEDIA_SERVER_LISTEN", "127.0.0.1:1,127.0.0.1:2")];
    assert_eq!(given.config().server.listen.len(), 2);
    given.args = &["--listen", "127.0.0.1:3"];
    assert_eq!(
        given.config().server.listen,
        [SocketAddr::from(([127, 0, 0, 1], 3))]
    );
}

#[test]
fn every_flag_sets_its_key() {
    let config = args(&[
        "--demo",
        "--insecure",
        "--listen=0.0.0.0:1",
        "--listen=[::]:2",
        "--cores=1-2",
        "--shards=2",
        "--media-port=0",
        "--media-listen=192.0.2.7",
        "--media-listen=2001:db8::7",
        "--media-advertise=203.0.113.7",
        "--media-advertise=2001:db8::8",
        "--log-level=off",
        "--log-format=text",
    ])
    .config();
    assert!(config.demo && config.server.insecure);
    assert_eq!(config.server.listen.len(), 2);
    assert_eq!(config.server.cores, Some(vec![1, 2]));
    assert_eq!(config.server.shards, NonZeroUsize::new(2));
    assert_eq!(config.media.port_of(ShardId::new(1)), Some(0));
    assert_eq!(config.media.advertise.len(), 2);
    assert_eq!(
        config.log,
        Log {
            level: "off".to_owned(),
            format: LogFormat::Text
        }
    );
}

#[test]
fn every_key_has_a_variable_of_its_own_and_takes_what_the_file_takes() {
    let names = keys::names();
    let from_file = file(COMPLETE).config();
    let table: toml::Table = COMPLETE.parse().unwrap();
    let variables: Vec<(String, String)> = names
        .iter()
        .map(|name| {
            let value = match name.split_once('.') {
                Some((group, key)) => &table[group][key],
                None => &table[*name],
            };
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (keys::variable(name), text)
        })
        .collect();
    let variables: Vec<_> = variables
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(env(&variables).config(), from_file);

    let mut distinct: Vec<_> = names.iter().map(|name| keys::variable(name)).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), names.len());
}

#[test]
fn the_printed_configuration_loads_to_the_same() {
    for given in [
        args(&[]),
        file(COMPLETE),
        args(&["--cores=3", "--set", "ws.queue=9"]),
    ] {
        assert_eq!(file(&given.printed()).config(), given.config());
    }
}

#[test]
fn the_printed_configuration_names_origins_and_no_secret() {
    let printed = Given {
        args: &["--listen", "127.0.0.1:1", "--set", "media.candidates=5"],
        env: &[
            ("MEDIA_WS_QUEUE", "7"),
            (
                "MEDIA_MEDIA_ICE_SERVERS",
                r#"[{urls = "turn:turn.example.com", username = "u", credential = "s3cret"}]"#,
            ),
        ],
        file: Some("\n[log]\nlevel = 'debug'"),
    };
    let secret = printed.config().media.ice_servers[0].clone();
    assert_eq!(secret.credential.as_ref().unwrap().expose(), "s3cret");
    assert_eq!(
        serde_json::to_string(&secret).unwrap(),
        r#"{"urls":["turn:turn.example.com"],"username":"u","credential":"s3cret"}"#
    );
    assert!(!format!("{:?}", printed.config()).contains("s3cret"));

    let printed = printed.printed();
    assert!(!printed.contains("s3cret"), "{printed}");
    for line in [
        "listen = [\"127.0.0.1:1\"] # --listen\n",
        "candidates = 5 # --set media.candidates\n",
        "queue = 7 # MEDIA_WS_QUEUE\n",
        "credential = \"[redacted]\"",
        "}] # MEDIA_MEDIA_ICE_SERVERS\n",
        "port = 30100 # default\n",
        ":3\n",
    ] {
        assert!(printed.contains(line), "{line} in {printed}");
    }
    let line = printed
        .lines()
        .position(|line| line.starts_with("ice_servers"));
    let line = 1 + line.expect("it is printed");
    let fault = "media.ice_servers: has the placeholder of --print-config as its credential";
    assert_eq!(
        file(&printed).faults(),
        [format!("{fault} [from FILE:{line}]")]
    );
}

#[test]
fn a_secret_is_shown_by_nothing() {
    let text = "correct horse battery staple tape";
    let variables = [("MEDIA_AUTH_JWT_SECRET", text)];
    let given = env(&variables);
    let config = given.config();
    assert_eq!(config.auth.jwt_secret.as_ref().unwrap().expose(), text);
    assert!(config.auth.is_on());
    assert!(!format!("{config:?}").contains(text));
    let printed = given.printed();
    let line = "jwt_secret = \"[redacted]\" # MEDIA_AUTH_JWT_SECRET\n";
    assert!(
        printed.contains(line) && !printed.contains(text),
        "{printed}"
    );

    let faults = [
        (
            file("[auth]\njwt_secret = '[redacted]'"),
            "is the placeholder of --print-config [from FILE:2]",
        ),
        (
            env(&[("MEDIA_AUTH_JWT_SECRET", "correct horse")]),
            "has 13 bytes, 32 are the least; openssl rand -base64 32 makes one [from MEDIA_AUTH_JWT_SECRET]",
        ),
        (
            args(&["--set", "auth.jwt_secret=correct horse battery staple tape"]),
            "would show in the list of processes: put it into the file, or into \
             MEDIA_AUTH_JWT_SECRET [from --set auth.jwt_secret]",
        ),
    ];
    for (given, fault) in faults {
        assert_eq!(given.faults(), [format!("auth.jwt_secret: {fault}")]);
    }
}

#[test]
fn a_token_is_asked_for_with_flags() {
    let variables = [("MEDIA_AUTH_JWT_SECRET", "correct horse battery staple tape")];
    let request = |flags: &[&str]| {
        let given = Given {
            args: &[&["token"], flags].concat(),
            env: &variables,
            file: None,
        };
        match given.load() {
            Ok(Command::Token(request)) => Ok(request),
            Err(faults) => Err(faults),
            other => panic!("{other:?}"),
        }
    };
    let least = request(&["--sub", "ada"]).unwrap();
    assert_eq!(least.role, Role::Viewer);
    assert_eq!(least.devices, DeviceClaim::ANY);
    assert_eq!(least.ttl, Duration::from_secs(12 * 3600));

    let whole = request(&[
        "--sub=ada",
        "--role=admin",
        "--devices=cam-1, shop-*,*",
        "--ttl=90d",
        "--aud=media",
    ]);
    let whole = whole.unwrap();
    let patterns = ["cam-1".into(), "shop-*".into(), "*".into()];
    assert_eq!(whole.devices, DeviceClaim::new(patterns));
    assert_eq!(whole.ttl, Duration::from_secs(90 * 24 * 3600));
    let token = whole.mint(1_800_000_000).unwrap();
    let identity = Authenticator::new(&whole.auth)
        .unwrap()
        .verify(&token, 1_800_000_000);
    assert_eq!(identity.unwrap().role, Role::Admin);

    let set = request(&[
        "--sub=ada",
        "--set",
        "auth.audience=web",
        "--set=auth.token_ttl=2h",
    ]);
    let set = set.unwrap();
    assert_eq!(set.auth.audience, "web");
    assert_eq!(set.ttl, Duration::from_secs(2 * 3600));
    let unknown = request(&["--sub=ada", "--set", "auth.audiense=web"]).unwrap_err();
    assert_eq!(
        unknown,
        ["auth.audiense: is not a key; did you mean auth.audience? [from --set auth.audiense]"]
    );

    let faults = request(&["--sub=a b", "--role=root", "--devices=a,,b", "--ttl=1"]).unwrap_err();
    let expected = [
        "--sub: has the character ' ': only A–Z a–z 0–9 . _ : @ - are allowed",
        "--role: root is none of viewer, controller, anchor, admin",
        "--ttl: 1 is not a duration with its unit, such as 30s, 5m or 250ms",
        "--devices: \"\" is empty: it must have 1 to 128 characters",
    ];
    assert_eq!(faults, expected);
    assert_eq!(
        request(&[]).unwrap_err(),
        [
            "command line: the following required arguments were not provided: --sub <USER> (see --help)"
        ]
    );
    let without = args(&["token", "--sub", "ada"]).load();
    let Ok(Command::Token(without)) = without else {
        panic!("{without:?}")
    };
    assert_eq!(without.mint(0), Err(MintError::NoSecret));
}

#[test]
fn help_version_and_check_end_at_once() {
    let stdout = |flag| match args(&[flag]).load() {
        Ok(Command::Exit { stdout, code: 0 }) => stdout,
        other => panic!("{other:?}"),
    };
    assert!(stdout("--help").contains("--media-advertise <IP>"));
    assert_eq!(
        stdout("--version"),
        concat!("media-service ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert_eq!(stdout("--check-config"), "ok\n");
    assert!(args(&["--check-config", "--shards=x"]).load().is_err());
}

#[test]
fn the_variables_of_kubernetes_are_not_ours() {
    let links = [
        ("MEDIA_SERVICE_SERVICE_HOST", "10.0.0.1"),
        ("MEDIA_SERVICE_SERVICE_PORT", "30006"),
        ("MEDIA_SERVICE_SERVICE_PORT_HTTP", "30006"),
        ("MEDIA_SERVICE_PORT", "tcp://10.0.0.1:30006"),
        ("MEDIA_SERVICE_PORT_30006_TCP", "tcp://10.0.0.1:30006"),
        ("MEDIA_SERVICE_PORT_30006_TCP_PROTO", "tcp"),
        ("MEDIA_SERVICE_PORT_30006_TCP_PORT", "30006"),
        ("MEDIA_SERVICE_PORT_30006_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(env(&links).config(), Config::default());
}
