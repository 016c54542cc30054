//! What is said about what is wrong.

use proptest::prelude::*;

use super::*;

/// A key, a wrong value, and the sentence about it.
const FAULTS: &[(&str, &str, &str)] = &[
    ("media.port", "70000", "70000 is not a port (0–65535)"),
    ("media.port", "", "\"\" is not a port (0–65535)"),
    (
        "server.listen",
        "localhost:80",
        "localhost:80 is not an IP address with a port, such as 127.0.0.1:30006 or [::1]:30006",
    ),
    (
        "server.listen",
        "",
        "is empty: name at least one address, such as 127.0.0.1:30006",
    ),
    (
        "server.listen",
        "[1",
        "[1 is not an IP address with a port, such as 127.0.0.1:30006 or [::1]:30006",
    ),
    (
        "server.listen",
        "127.0.0.1:1, 127.0.0.1:1",
        "names 127.0.0.1:1 twice",
    ),
    (
        "server.listen",
        "192.0.2.7:80",
        "192.0.2.7:80 can be reached from other hosts, and nobody is authenticated: set \
             auth.jwt_secret or auth.jwt_public_key, pass --insecure (server.insecure = true) to \
             allow that, or listen on 127.0.0.1",
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
    (
        "tls.cert",
        "none.pem",
        "none.pem cannot be read: No such file or directory (os error 2)",
    ),
    (
        "tls.key",
        "tests/keys/ed25519.pub.pem",
        "tests/keys/ed25519.pub.pem holds no private key: it must have -----BEGIN PRIVATE KEY-----",
    ),
    (
        "tls.hsts",
        "1h",
        "is set, and there is no TLS: set tls.cert and tls.key",
    ),
    (
        "auth.jwt_public_key",
        "none.pem",
        "none.pem cannot be read: No such file or directory (os error 2)",
    ),
    (
        "auth.jwt_public_key",
        "tests/keys/rsa1024.pub.pem",
        "tests/keys/rsa1024.pub.pem holds an RSA key of 1024 bits: 2048 to 8192 are taken",
    ),
    (
        "auth.signup_role",
        "root",
        "root is none of viewer, controller, anchor, admin",
    ),
    (
        "auth.signup_role",
        "admin",
        "admin would let anybody who signs up do everything: choose another role, or close the \
             sign-up (auth.signup = false)",
    ),
    (
        "metrics.listen",
        "127.0.0.1:30006",
        "127.0.0.1:30006 is one of server.listen: choose another port",
    ),
    (
        "metrics.listen",
        "[::1]:9100,[::1]:9100",
        "names [::1]:9100 twice",
    ),
    ("auth.token_ttl", "0s", "0s is not from 1s to 8784h"),
    (
        "server.trusted_proxies",
        "10.0.0.1/8,::/0",
        "10.0.0.1/8 has bits behind its prefix: 10.0.0.0/8 is the network; ::/0 is every address \
             there is: name the networks of your proxies",
    ),
    (
        "limits.login_burst",
        "0",
        "0 is not a whole number from 1 to 1000000",
    ),
    ("server.insecure", "yes", "yes is neither true nor false"),
    (
        "server.shutdown_timeout",
        "30",
        "30 is not a duration with its unit, such as 30s, 5m or 250ms",
    ),
    (
        "server.drain_delay",
        "30s",
        "30s must be less than server.shutdown_timeout, which is 30s: what is open is closed in the \
             time between them",
    ),
    (
        "limits.memory",
        "lots",
        "lots is not a size such as 256KiB, 1MiB or 262144, nor auto, nor 0 (no limit)",
    ),
    (
        "limits.memory",
        "1KiB",
        "1KiB is not from 1MiB to 1048576GiB, nor auto, nor 0 (no limit)",
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
        "is not a list as in TOML: string values must be quoted, expected literal string",
    ),
    (
        "media.ice_servers",
        "['stun:x']",
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
        "\"rtc=loud\" is not a filter: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5",
    ),
    (
        "log.format",
        "\u{1b}[2J\n",
        "\"\\u{1b}[2J\\n\" is none of auto, text, json",
    ),
];

/// Whatever is set wrong is named, with who set it, in a sentence that helps.
#[test]
fn each_fault_has_its_sentence() {
    for (key, value, problem) in FAULTS {
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
            ("MEDIA_STORE_FILE", "x.db"),
            ("MEDIA_CONFG", "x.toml"),
            ("MEDIA_STORE_PATHS", "x.db"),
            ("MEDIA_WS_PING_INTERVAL", "2m"),
        ],
        file: Some("[sever]\nshards = 1\n[ws]\nquue = 1\nqueue = 'x'\n\n[log]\nformat = 'xml'"),
    };
    assert_eq!(
        given.faults(),
        [
            "sever: is not a table; did you mean server? [from FILE:1]",
            "ws.quue: is not a key; did you mean ws.queue? [from FILE:4]",
            "MEDIA_CONFG: is not a variable; did you mean MEDIA_CONFIG?",
            "MEDIA_PORT: is not a variable; did you mean MEDIA_MEDIA_PORT?",
            "MEDIA_QQQ: is not a variable",
            "MEDIA_STORE_FILE: is not a variable",
            "MEDIA_STORE_PATHS: is not a variable; did you mean MEDIA_STORE_PATH?",
            "http.idel_timeout: is not a key; did you mean http.idle_timeout? [from --set http.idel_timeout]",
            "--set: demo is not KEY=VALUE",
            "ws.queue: x is not a whole number from 1 to 65536 [from FILE:5]",
            "media.port: 70000 is not a port (0–65535) [from --media-port]",
            "log.format: xml is none of auto, text, json [from FILE:8]",
            "ws.pong_timeout: 1m must be more than ws.ping_interval, which is 2m [from MEDIA_WS_PING_INTERVAL]",
        ]
    );
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    let table: &[(&str, &[&str])] = &[
        (
            "[media]\nport = \n[x\n",
            &[
                "FILE:2: is not TOML: string values must be quoted, expected literal string",
                "FILE:3: is not TOML: unclosed table, expected `]`",
            ],
        ),
        (
            "[ws]\nqueue = 1\nqueue = 2",
            &["FILE:3: is not TOML: duplicate key"],
        ),
        (
            "server = 3",
            &["server: is a table: write [server] on a line of its own [from FILE:1]"],
        ),
        (
            "port = 3",
            &["port: is not a key; did you mean media.port? [from FILE:1]"],
        ),
        (
            "[media.port]\nx = 1",
            &["media.port: is a table where one value belongs [from FILE:1]"],
        ),
        (
            "[ws]\nqueue = [1]",
            &["ws.queue: is a list where one value belongs [from FILE:2]"],
        ),
        (
            "[ws]\nqueue = 99999999999999999999",
            &["ws.queue: is out of the range of TOML's numbers [from FILE:2]"],
        ),
        (
            "[store]\npath = 5\n[auth]\njwt_public_key = true",
            &[
                "auth.jwt_public_key: true is not a path in quotes [from FILE:4]",
                "store.path: 5 is not a path in quotes [from FILE:2]",
            ],
        ),
        // A key of the same table, or none.
        (
            "[store]\nfile = 'x'\n[rooms]\nrate = 1\n[auth]\nsecret = 'x'",
            &[
                "auth.secret: is not a key; did you mean auth.jwt_secret? [from FILE:6]",
                "rooms.rate: is not a key; did you mean rooms.member_rate? [from FILE:4]",
                "store.file: is not a key [from FILE:2]",
            ],
        ),
        (
            "[media]\nlisten = 3\nport = 1.5",
            &[
                "media.listen: 3 is not a list [from FILE:2]",
                "media.port: 1.5 is not a port (0–65535) [from FILE:3]",
            ],
        ),
    ];
    for (text, faults) in table {
        assert_eq!(file(text).faults(), *faults, "{text}");
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

proptest! {
    /// Nothing panics, every fault is one line, and what is accepted is printed so that it loads to
    /// the same again.
    #[test]
    fn any_text_is_a_value_or_a_fault(
        key in proptest::sample::select(keys::names()),
        value in prop_oneof![
            any::<String>(),
            proptest::collection::vec(
                proptest::sample::select("0123456789 .,:-[]{}='\"smhKiBturndebugfx*/".as_bytes()),
                0..12,
            )
            .prop_map(|bytes| String::from_utf8(bytes).unwrap()),
        ],
    ) {
        let assignment = format!("{key}={value}");
        let flags = ["--insecure", "--set", &assignment];
        let given = args(&flags);
        match given.load() {
            Ok(Command::Serve(config)) => prop_assert_eq!(file(&given.printed()).config(), config),
            Ok(other) => prop_assert!(false, "{:?}", other),
            Err(faults) => {
                for fault in faults {
                    prop_assert!(fault.starts_with(key.split('.').next().unwrap()), "{}", fault);
                    prop_assert!(!fault.contains(char::is_control), "{}", fault);
                }
            }
        }
    }

    #[test]
    fn any_file_is_a_configuration_or_faults(text in any::<String>()) {
        let _ = file(&text).load();
    }
}
