//! Configuration: raw arguments (flags, environment, file) become one validated [`Config`], or
//! every fault at once, each with where it came from.
//!
//! Precedence: flags, then `MEDIA_…` variables, then the file, then the defaults. The key `port` of
//! the table `[media]` is `media.port` to `--set`, and the variable `MEDIA_MEDIA_PORT`. Durations
//! are written `30s`, `5m` or `250ms`, sizes `256KiB` or `1MiB`, lists as in TOML or with commas.
//! A cap of 0 is off ([`Cap`](crate::limits::Cap)).

mod auth;
mod change;
mod fault;
mod flags;
mod inputs;
mod keys;
mod kinds;
mod platform;
mod print;
mod sources;
mod tls;
mod token;
mod types;
mod validate;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::time::Duration;

pub use auth::Auth;
pub use change::Change;
pub use fault::{ConfigFaults, FAULT_EXIT_CODE, Fault, Origin};
pub use inputs::Inputs;
pub use platform::{Rooms, Store};
pub use tls::Tls;
pub use types::{
    Config, Http, IceServer, Limits, Log, LogFormat, Media, MediaAddress, MemoryLimit, Metrics,
    Secret, Server, Ws,
};

use crate::auth::{Authenticator, DeviceClaim, MintError, Role};
use crate::ids::UserId;

use flags::Action;
use sources::Sources;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum Command {
    /// Run with this configuration.
    Serve(Config),
    /// Mint a token and print it.
    Token(TokenRequest),
    /// Print the configuration in effect, a TOML file that can be used as it is: each value with
    /// where it came from, secrets redacted.
    PrintConfig(String),
    /// Print this and end: `--help`, `--version`, `--check-config`.
    Exit {
        /// For standard output.
        stdout: String,
        /// Exit code of the process.
        code: u8,
    },
}

/// The token that `media-service token` is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRequest {
    /// What it is signed with, and its audience.
    pub auth: Auth,
    /// `--sub`
    pub user: UserId,
    /// `--role`; default: viewer.
    pub role: Role,
    /// `--devices`; default: any.
    pub devices: DeviceClaim,
    /// `--ttl`; default: `auth.token_ttl`.
    pub ttl: Duration,
}

impl TokenRequest {
    /// The token, which is good from now (Unix seconds) on.
    ///
    /// # Errors
    /// Without `auth.jwt_secret`, or with too many devices.
    pub fn mint(&self, unix: u64) -> Result<String, MintError> {
        let auth = Authenticator::new(&self.auth).ok_or(MintError::NoSecret)?;
        auth.mint(&self.user, self.role, &self.devices, self.ttl, unix)
    }
}

/// Reads the configuration.
///
/// `args` begins with the name of the program, as `std::env::args_os` does; `env` may hold any
/// variables, of which those named `MEDIA_…` are taken (see [`Inputs`]). The file that they name is
/// read.
///
/// # Errors
/// Every fault of every source, so that one look mends them all. The process should print them on
/// standard error and end with [`FAULT_EXIT_CODE`].
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Command, ConfigFaults> {
    let (action, flags) = match flags::parse(args)? {
        flags::Parsed::Run(action, flags) => (action, flags),
        flags::Parsed::Exit(stdout) => return Ok(Command::Exit { stdout, code: 0 }),
    };
    let mut sources = Sources::gather(flags, env);
    let mut config = Config::default();
    sources.apply(&mut config);
    validate::validate(&config, &mut sources);
    let command = match action {
        Action::Token(flags) => match token::request(&flags, &config, &mut sources.faults) {
            Some(request) => Command::Token(request),
            None => return Err(ConfigFaults(sources.faults)),
        },
        Action::Serve => Command::Serve(config),
        Action::Print => Command::PrintConfig(print::print(&mut config, &sources)),
        Action::Check => Command::Exit {
            stdout: "ok\n".to_owned(),
            code: 0,
        },
    };
    match sources.faults.is_empty() {
        true => Ok(command),
        false => Err(ConfigFaults(sources.faults)),
    }
}
