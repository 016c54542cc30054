//! The arguments and variables of the process, kept to read the configuration again.

use std::ffi::OsString;
use std::path::PathBuf;

use super::fault::ConfigFaults;
use super::sources::FILE_VARIABLE;
use super::{Command, Config, flags, load};
use crate::tls::Pem;

/// What the process was started with. It has no `Debug`: a variable may hold a secret.
#[derive(Clone)]
pub struct Inputs {
    args: Vec<OsString>,
    variables: Vec<(String, String)>,
}

impl Inputs {
    /// Arguments, of which the first is the name of the program, and variables.
    pub fn new(
        args: impl IntoIterator<Item = OsString>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        Self {
            args: args.into_iter().collect(),
            variables: variables.into_iter().collect(),
        }
    }

    /// Those of this process. What is not Unicode in a variable becomes U+FFFD, which no value accepts
    /// (`std::env::vars` would panic).
    pub fn of_process() -> Self {
        let lossy = |text: OsString| text.to_string_lossy().into_owned();
        Self::new(
            std::env::args_os(),
            std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))),
        )
    }

    /// What they ask for, by the files as they are now: see [`load`].
    ///
    /// # Errors
    /// Every fault of every source.
    pub fn load(&self) -> Result<Command, ConfigFaults> {
        load(self.args.iter().cloned(), self.variables.iter().cloned())
    }

    /// The files whose content the configuration depends on: its own, and those that it names.
    pub fn files(&self, config: &Config) -> Vec<PathBuf> {
        let key = config.auth.jwt_public_key.as_ref();
        let named = [
            key.map(|key| key.path().to_owned()),
            config.tls.cert.as_ref().map(|cert| cert.path().to_owned()),
            config.tls.key.as_ref().map(|key| key.path().to_owned()),
        ];
        self.file()
            .into_iter()
            .chain(named.into_iter().flatten())
            .collect()
    }

    /// The configuration file, if one is named: by the flag, or else by the variable.
    fn file(&self) -> Option<PathBuf> {
        let flag = match flags::parse(self.args.iter().cloned()) {
            Ok(flags::Parsed::Run(_, flags)) => flags.config,
            Ok(flags::Parsed::Exit(_)) | Err(_) => None,
        };
        let variable = || {
            let set = |(name, _): &&(String, String)| name == FILE_VARIABLE;
            Some(self.variables.iter().find(set)?.1.clone())
        };
        flag.or_else(variable).map(PathBuf::from)
    }
}
