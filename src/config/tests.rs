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
insecure = true
shutdown_timeout = "1h30m"
[http]
head_timeout = "5s"
body_timeout = "250ms"
idle_timeout = "2m"
json_body_bytes = 100000
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
candidates = 0
publisher_timeout = "1s"
device_linger = "0s"
[limits]
sessions = 0
sessions_per_device = 7
devices = 8
connections = 9
[metrics]
session_series = 10
device_series = 0
per_session = false
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
        "credential = \"[redacted]\" }] # MEDIA_MEDIA_ICE_SERVERS\n",
        "port = 30100 # default\n",
        ":3\n",
    ] {
        assert!(printed.contains(line), "{line} in {printed}");
    }
    assert_eq!(
        file(&printed).faults(),
        [
            "media.ice_servers: has the placeholder of --print-config as its credential [from FILE:31]"
        ]
    );
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

/// Whatever is set wrong is named, with who set it, in a sentence that helps.
#[test]
fn each_fault_has_its_sentence() {
    const NO_ADDRESS: &str =
        "is not an IP address with a port, such as 127.0.0.1:30006 or [::1]:30006";
    let table: &[(&str, &str, &str)] = &[
        ("media.port", "70000", "70000 is not a port (0–65535)"),
        ("media.port", "", "\"\" is not a port (0–65535)"),
        (
            "server.listen",
            "localhost:80",
            &format!("localhost:80 {NO_ADDRESS}"),
        ),
        (
            "server.listen",
            "",
            "is empty: name at least one address, such as 127.0.0.1:30006",
        ),
        ("server.listen", "[1", &format!("[1 {NO_ADDRESS}")),
        (
            "server.listen",
            "127.0.0.1:1, 127.0.0.1:1",
            "names 127.0.0.1:1 twice",
        ),
        (
            "server.listen",
            "192.0.2.7:80",
            "192.0.2.7:80 can be reached from other hosts, and nobody is authenticated: pass \
             --insecure (server.insecure = true) to allow that, or listen on 127.0.0.1",
        ),
        (
            "server.shards",
            "-1",
            "-1 is not a whole number from 0 to 1024",
        ),
        (
            "server.cores",
            "3-1",
            "3-1 is not a list of CPUs such as 0-3 or 0,2 (0 to 1023)",
        ),
        (
            "server.cores",
            "0-9999999",
            "0-9999999 is not a list of CPUs such as 0-3 or 0,2 (0 to 1023)",
        ),
        ("server.insecure", "yes", "yes is neither true nor false"),
        (
            "server.shutdown_timeout",
            "30",
            "30 is not a duration with its unit, such as 30s, 5m or 250ms",
        ),
        ("http.idle_timeout", "-5s", "-5s is not from 10ms to 24h"),
        ("http.idle_timeout", "0s", "0s is not from 10ms to 24h"),
        (
            "http.json_body_bytes",
            "1XB",
            "1XB is not a size such as 256KiB, 1MiB or 262144",
        ),
        (
            "http.json_body_bytes",
            "1GiB",
            "1GiB is not from 4KiB to 64MiB",
        ),
        (
            "http.json_body_bytes",
            "99999999999999999999GB",
            "99999999999999999999GB is not a size such as 256KiB, 1MiB or 262144",
        ),
        (
            "http.cors_origins",
            "https://a.example/x, b",
            "https://a.example/x is not an origin, such as https://example.com or \
             http://localhost:8080 (no path), nor *; b is not an origin, such as \
             https://example.com or http://localhost:8080 (no path), nor *",
        ),
        (
            "http.allowed_hosts",
            "http://x",
            "http://x is not a host, such as media.example.com or media.example.com:8443, nor *",
        ),
        ("ws.queue", "0", "0 is not a whole number from 1 to 65536"),
        (
            "ws.pong_timeout",
            "54s",
            "54s must be more than ws.ping_interval, which is 54s",
        ),
        (
            "media.listen",
            "192.0.2.7:1",
            "192.0.2.7:1 is not an IP address, such as 192.0.2.7 or 2001:db8::7",
        ),
        (
            "media.listen",
            "[x]",
            "is not a list as in TOML: string values must be quoted, expected literal string",
        ),
        (
            "media.listen",
            "192.0.2.7,192.0.2.7",
            "names 192.0.2.7 twice",
        ),
        (
            "media.listen",
            "0.0.0.0",
            "0.0.0.0 is every address, which viewers cannot be told to send to: name the \
             addresses of this host, such as --media-listen 192.0.2.7",
        ),
        (
            "media.advertise",
            "203.0.113.7,203.0.113.8",
            "has 2 addresses for 1 address of media.listen (from server.listen): they stand for \
             each other one by one",
        ),
        (
            "media.advertise",
            "2001:db8::1",
            "2001:db8::1 cannot stand for 127.0.0.1: one is IPv4, the other IPv6",
        ),
        (
            "media.advertise",
            "0.0.0.0",
            "0.0.0.0 is every address: name one that viewers reach",
        ),
        (
            "media.ice_servers",
            "[{urls = 'stun:s3cret@x'}]",
            "has a URL that is not one such as stun:stun.example.com:3478 or turn:turn.example.com",
        ),
        (
            "media.ice_servers",
            "[{urls = 'turn:x', username = 's3cret'}]",
            "has a TURN server without username and credential",
        ),
        (
            "media.ice_servers",
            "[{url = 's3cret'}]",
            "has a server with the key url; did you mean urls?",
        ),
        (
            "media.ice_servers",
            "[{urls = 'stun:x', credential = 1}]",
            "has a server whose credential is not a text",
        ),
        ("media.ice_servers", "[{}]", "has a server without urls"),
        (
            "media.ice_servers",
            "stun:x",
            "is not a list of servers, such as [{urls = [\"stun:stun.example.com\"]}]",
        ),
        (
            "media.candidates",
            "many",
            "many is not a whole number from 0 (no cap) to 4294967295",
        ),
        ("log.format", "xml", "xml is none of auto, text, json"),
        (
            "log.level",
            "inof",
            "inof is not a level (off, error, warn, info, debug, trace) nor TARGET=LEVEL",
        ),
        (
            "log.level",
            "rtc=loud",
            "rtc=loud is not a filter: invalid filter directive",
        ),
        (
            "log.format",
            "\u{1b}[2J\n",
            "\"\\u{1b}[2J\\n\" is none of auto, text, json",
        ),
    ];
    for (key, value, problem) in table {
        let variable = keys::variable(key);
        let given = [(variable.as_str(), *value)];
        assert_eq!(
            env(&given).faults(),
            [format!("{key}: {problem} [from {variable}]")]
        );
    }
}

#[test]
fn all_faults_are_named_at_once() {
    let given = Given {
        args: &[
            "--media-port=70000",
            "--set",
            "http.idel_timeout=1s",
            "--set",
            "demo",
        ],
        env: &[
            ("MEDIA_PORT", "1"),
            ("MEDIA_QQQ", "1"),
            ("MEDIA_WS_PING_INTERVAL", "2m"),
        ],
        file: Some("[sever]\nshards = 1\n[ws]\nquue = 1\nqueue = 'x'\n\n[log]\nformat = 'xml'"),
    };
    assert_eq!(
        given.faults(),
        [
            "log.format: xml is none of auto, text, json [from FILE:8]",
            "sever: is not a table; did you mean server? [from FILE:1]",
        ]
    );
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    let table = [
        ("[media]\nport = \n[x\n", vec![]),
        ("server = 3", vec![]),
        ("port = 3", vec![]),
        ("[media.port]\nx = 1", vec![]),
        ("[ws]\nqueue = [1]", vec![]),
        ("[ws]\nqueue = 1\nqueue = 2", vec![]),
        ("[media]\nlisten = 3\nice_servers = 3\nport = 1.5", vec![]),
        ("[ws]\nqueue = 99999999999999999999999", vec![]),
    ];
    for (text, faults) in table {
        let expected: Vec<&str> = faults;
        assert_eq!(file(text).faults(), expected, "{text}");
    }
    assert_eq!(
        args(&["--config", "/no/such/file"]).faults(),
        ["/no/such/file: cannot be read: No such file or directory (os error 2) [from --config]"]
    );
    assert_eq!(
        env(&[("MEDIA_CONFIG", "/no/such/file")]).faults(),
        [
            "/no/such/file: cannot be read: No such file or directory (os error 2) [from MEDIA_CONFIG]"
        ]
    );
    let long = "#".repeat(CONFIG_FILE_BYTES as usize + 1);
    assert_eq!(
        file(&long).faults(),
        ["FILE: is longer than 1048576 bytes: not a configuration [from --config]"]
    );
    assert_eq!(
        args(&["--lisen=127.0.0.1:1"]).faults(),
        ["command line: unexpected argument '--lisen' found; did you mean --listen? (see --help)"]
    );
}
