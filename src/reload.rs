//! The configuration, read again while the server runs (M15): what shards are given, and when it is
//! read.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use tracing::error;

use crate::auth::Authenticator;
use crate::config::{Change, Command, Config, ConfigFaults, Inputs};
use crate::tls;

/// What holds from now on, for all shards and for the threads beside them.
#[derive(Debug)]
pub struct Update {
    /// The configuration. What waits for a restart has its old value.
    pub config: Arc<Config>,
    /// Who may ask; `None`: anybody, anything. A reload never switches between the two.
    pub auth: Option<Arc<Authenticator>>,
    /// For new connections; `None`: as at the start. A reload never switches TLS on or off.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Update {
    /// What follows from a configuration, with the certificate of the start.
    pub fn new(config: Config) -> Self {
        let auth = Authenticator::new(&config.auth).map(Arc::new);
        let config = Arc::new(config);
        let tls = None;
        Self { config, auth, tls }
    }
}

/// What came of reading the configuration again.
#[derive(Debug)]
pub enum Reloaded {
    /// It is at fault: the old one stays.
    Refused(ConfigFaults),
    /// Nothing that a running server takes up has changed.
    Unchanged {
        /// The keys that differ, and wait for a restart.
        waiting: Vec<&'static str>,
    },
    /// Something has changed.
    Applied {
        /// What holds from now on.
        update: Arc<Update>,
        /// The keys that changed.
        applied: Vec<&'static str>,
        /// The keys that differ, and wait for a restart.
        waiting: Vec<&'static str>,
    },
}

/// Reads the configuration again.
pub struct Reloader {
    inputs: Inputs,
    running: Arc<Config>,
    files: WatchedFiles,
    /// Of the certificate that was read last, if that was not at the start.
    tls: Option<Arc<ServerConfig>>,
}

impl Reloader {
    /// `running` was read from the inputs.
    pub fn new(inputs: Inputs, running: Arc<Config>) -> Self {
        let mut files = WatchedFiles::new(inputs.files(&running));
        // That was some time ago: what was written since then must be found too.
        let still = matches!(inputs.load(), Ok(Command::Serve(config)) if config == *running);
        if !still {
            files.forget();
        }
        Self {
            inputs,
            running,
            files,
            tls: None,
        }
    }

    /// The configuration that runs.
    pub fn running(&self) -> &Arc<Config> {
        &self.running
    }

    /// Whether a file is another one than when the configuration was read. To be asked now and then: a
    /// file counts as changed when it is found the same twice, for one that is being written is not
    /// whole.
    pub fn files_changed(&mut self) -> bool {
        self.files.changed()
    }

    /// Reads the configuration with the arguments and variables of the start.
    pub fn reload(&mut self) -> Reloaded {
        // Looked at before they are read: what is written meanwhile shows afterwards.
        self.files.take_note();
        let read = match self.inputs.load() {
            Ok(Command::Serve(config)) => config,
            // The arguments that started the server ask for nothing else.
            Ok(Command::Token(_) | Command::PrintConfig(_) | Command::Exit { .. }) => {
                return Reloaded::Unchanged { waiting: vec![] };
            }
            Err(faults) => return Reloaded::Refused(faults),
        };
        let Change {
            config,
            applied,
            waiting,
        } = Change::new(&self.running, read);
        if applied.is_empty() {
            return Reloaded::Unchanged { waiting };
        }
        self.files.watch(self.inputs.files(&config));
        if applied.iter().any(|key| tls::KEYS.contains(key)) {
            self.read_certificate(&config);
        }
        let tls = self.tls.clone();
        let update = Update::new(config);
        let update = Arc::new(Update { tls, ..update });
        self.running = update.config.clone();
        Reloaded::Applied {
            update,
            applied,
            waiting,
        }
    }

    fn read_certificate(&mut self, config: &Config) {
        match tls::load(&config.tls) {
            Ok(tls) => self.tls = tls,
            // The configuration's check has left nothing but the library itself.
            Err(fault) => error!("{fault}; the old certificate stays"),
        }
    }
}

/// Files whose content matters.
struct WatchedFiles(Vec<WatchedFile>);

struct WatchedFile {
    path: PathBuf,
    /// When the configuration was read.
    read: Option<FileIdentity>,
    /// When it was last looked at.
    seen: Option<FileIdentity>,
}

/// What changes when a file is written or another one takes its place, the target of a symbolic link
/// included: Kubernetes swaps one to change a mounted file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    bytes: u64,
}

impl FileIdentity {
    /// `None`: it cannot be read.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            modified: (found.mtime(), found.mtime_nsec()),
            bytes: found.len(),
        })
    }
}

impl WatchedFiles {
    fn new(paths: Vec<PathBuf>) -> Self {
        let mut files = Self(Vec::new());
        files.watch(paths);
        files
    }

    /// Watches these from now on. Those that were watched before keep what is known of them.
    fn watch(&mut self, paths: Vec<PathBuf>) {
        let mut before = std::mem::take(&mut self.0);
        let watched = |path: PathBuf| match before.iter().position(|file| file.path == path) {
            Some(known) => before.swap_remove(known),
            None => {
                let read = FileIdentity::of(&path);
                let seen = read;
                WatchedFile { path, read, seen }
            }
        };
        self.0 = paths.into_iter().map(watched).collect();
    }

    /// It is not known any more what was read.
    fn forget(&mut self) {
        for file in &mut self.0 {
            file.read = None;
        }
    }

    fn take_note(&mut self) {
        for file in &mut self.0 {
            file.read = FileIdentity::of(&file.path);
            file.seen = file.read;
        }
    }

    fn changed(&mut self) -> bool {
        let mut changed = false;
        for file in &mut self.0 {
            let now = FileIdentity::of(&file.path);
            changed |= now != file.read && now == file.seen;
            file.seen = now;
        }
        changed
    }
}

#[cfg(test)]
mod tests;
