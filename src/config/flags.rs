//! The command line.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};

use super::fault::{ConfigFaults, Fault};

/// Live video of devices to browsers over WebRTC.
///
/// Every value can be set by flag, by a variable `MEDIA_TABLE_KEY`, or in a TOML file, in this
/// order of precedence. --print-config lists them all.
#[derive(Parser)]
#[command(name = "media-service", version, args_override_self = false)]
struct Arguments {
    /// Read this TOML file (or MEDIA_CONFIG)
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<String>,
    /// Print the configuration in effect and where each value comes from
    #[arg(long)]
    print_config: bool,
    /// Validate the configuration, print "ok" or every fault
    #[arg(long, conflicts_with = "print_config")]
    check_config: bool,
    /// Stream the bundled clip as the device "demo"
    #[arg(long)]
    demo: bool,
    /// TCP address to listen on (repeatable)
    #[arg(long, value_name = "IP:PORT")]
    listen: Vec<String>,
    /// CPUs to pin shards on, such as 0-3 or 0,2
    #[arg(long, value_name = "LIST")]
    cores: Option<String>,
    /// Shards; 0: one per CPU
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// PEM file of the certificate chain: every --listen address then speaks TLS
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// PEM file of the certificate's private key
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Allow addresses that other hosts reach, although nobody is authenticated
    #[arg(long)]
    insecure: bool,
    /// First UDP port; shard i uses the i-th after it; 0: the kernel's choice
    #[arg(long, value_name = "PORT")]
    media_port: Option<String>,
    /// IP address for UDP (repeatable)
    #[arg(long, value_name = "IP")]
    media_listen: Vec<String>,
    /// IP address that viewers are told instead, one for each --media-listen
    #[arg(long, value_name = "IP")]
    media_advertise: Vec<String>,
    /// error, warn, info, debug, trace, off, or a filter such as info,rtc=debug
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
    /// auto, text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Set any key, such as --set media.idle_timeout=10m (repeatable; other flags win over it)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(subcommand)]
    command: Option<Subcommands>,
}

/// Without one, the server runs.
#[derive(Subcommand)]
enum Subcommands {
    /// Print a token, signed with auth.jwt_secret of the same file and variables
    Token(TokenFlags),
}

/// What a token is to say.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct TokenFlags {
    /// Who it is for
    #[arg(long, value_name = "USER")]
    pub(super) sub: String,
    /// viewer, controller, anchor or admin; default: viewer
    #[arg(long, value_name = "ROLE")]
    pub(super) role: Option<String>,
    /// Devices that it is good for, with commas; * at the end stands for any rest; default: all
    #[arg(long, value_name = "LIST")]
    pub(super) devices: Option<String>,
    /// How long it is good, such as 1h or 30d; default: auth.token_ttl
    #[arg(long, value_name = "DURATION")]
    pub(super) ttl: Option<String>,
    /// Its audience; default: auth.audience
    #[arg(long, value_name = "NAME")]
    pub(super) aud: Option<String>,
    /// Set any key, such as --set auth.audience=web (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// What to do with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Serve,
    Print,
    Check,
    Token(TokenFlags),
}

/// What the flags set.
pub(super) struct Flags {
    /// The file that `--config` names.
    pub(super) config: Option<String>,
    /// `--set` in the order given.
    pub(super) set: Vec<String>,
    /// The other flags: the key that each sets, the flag, and the value.
    pub(super) named: Vec<(&'static str, &'static str, toml::Value)>,
}

pub(super) enum Parsed {
    Run(Action, Flags),
    /// What `--help` or `--version` prints.
    Exit(String),
}

/// Reads the arguments, of which the first is the name of the program.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, ConfigFaults> {
    match Arguments::try_parse_from(args) {
        Ok(arguments) => Ok(arguments.into_parsed()),
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Parsed::Exit(format!("{}\n", e.to_string().trim_end())))
        }
        Err(e) => Err(ConfigFaults(vec![usage_fault(&e)])),
    }
}

impl Arguments {
    fn into_parsed(mut self) -> Parsed {
        if let Some(Subcommands::Token(flags)) = &mut self.command {
            self.set.append(&mut flags.set);
        }
        let action = match (self.command, self.print_config, self.check_config) {
            (Some(Subcommands::Token(flags)), ..) => Action::Token(flags),
            (None, true, _) => Action::Print,
            (None, false, true) => Action::Check,
            (None, false, false) => Action::Serve,
        };
        let switch = |on: bool| on.then_some(toml::Value::Boolean(true));
        let text = |text: Option<String>| text.map(toml::Value::String);
        let list = |items: Vec<String>| (!items.is_empty()).then(|| toml::Value::from(items));
        let named = [
            ("demo", "--demo", switch(self.demo)),
            ("server.listen", "--listen", list(self.listen)),
            ("server.cores", "--cores", text(self.cores)),
            ("server.shards", "--shards", text(self.shards)),
            ("server.insecure", "--insecure", switch(self.insecure)),
            ("tls.cert", "--tls-cert", text(self.tls_cert)),
            ("tls.key", "--tls-key", text(self.tls_key)),
            ("media.port", "--media-port", text(self.media_port)),
            ("media.listen", "--media-listen", list(self.media_listen)),
            (
                "media.advertise",
                "--media-advertise",
                list(self.media_advertise),
            ),
            ("log.level", "--log-level", text(self.log_level)),
            ("log.format", "--log-format", text(self.log_format)),
        ];
        let named = named
            .into_iter()
            .filter_map(|(key, flag, value)| Some((key, flag, value?)));
        let flags = Flags {
            config: self.config,
            set: self.set,
            named: named.collect(),
        };
        Parsed::Run(action, flags)
    }
}

/// The parser's error in one line.
fn usage_fault(error: &clap::Error) -> Fault {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let mut problem = line.strip_prefix("error: ").unwrap_or(line).to_owned();
    if let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) {
        problem += &format!(" {}", missing.join(", "));
    }
    if let Some(ContextValue::String(flag)) = error.get(ContextKind::SuggestedArg) {
        problem += &format!("; did you mean {flag}?");
    }
    Fault::new("command line", problem + " (see --help)")
}
