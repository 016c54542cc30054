//! Where a store is: a file that one process holds, or memory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::StoreOpenError;

/// The path of a store that keeps nothing beyond the process.
const MEMORY: &str = ":memory:";

/// A connection that finds the file locked waits so long. The writer is alone and readers do not
/// lock it out, so only a recovery or a backup from outside ever makes one wait.
const BUSY_PATIENCE: Duration = Duration::from_secs(5);

/// Where a store is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// Absolute, so that SQLite takes no name for a URI.
    File(PathBuf),
    /// The URI of a database that the connections of this process share.
    Memory(String),
}

impl Place {
    /// The place that `store.path` names. Each `:memory:` is another one.
    pub(super) fn new(path: &Path) -> Result<Self, StoreOpenError> {
        static MEMORIES: AtomicU64 = AtomicU64::new(0);
        if path == Path::new(MEMORY) {
            let number = MEMORIES.fetch_add(1, Ordering::Relaxed);
            return Ok(Self::Memory(format!(
                "file:store-{number}?mode=memory&cache=shared"
            )));
        }
        if path.is_dir() {
            return Err(StoreOpenError::Directory { path: path.into() });
        }
        // Where there are links, the file that they lead to is what is locked.
        path.canonicalize()
            .or_else(|_| std::path::absolute(path))
            .map(Self::File)
            .map_err(|source| StoreOpenError::NotWritable {
                path: path.into(),
                source,
            })
    }

    pub(super) fn is_memory(&self) -> bool {
        matches!(self, Self::Memory(_))
    }

    /// For messages.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::Memory(_) => MEMORY.into(),
        }
    }

    /// Makes the file where there is none, for this user's eyes alone: it holds password hashes. What
    /// SQLite puts beside it gets the same permissions. For the holder of the [`Lock`] only, which
    /// has no connection yet; see there why.
    pub(super) fn create(&self) -> Result<(), StoreOpenError> {
        let Self::File(path) = self else {
            return Ok(());
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        match options.open(path) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                let path = path.clone();
                Err(StoreOpenError::NotWritable { path, source })
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Opens a connection, which one thread at a time uses.
    pub(super) fn connect(&self, access: OpenFlags) -> rusqlite::Result<Connection> {
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match self {
            Self::File(path) => Connection::open_with_flags(path, flags)?,
            Self::Memory(uri) => {
                Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
            }
        };
        connection.busy_timeout(BUSY_PATIENCE)?;
        Ok(connection)
    }
}

/// That this process alone writes to the file. SQLite's own locks last for a transaction; this one
/// lasts as long as the process, however it ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks a file beside the store. It is not the store itself: closing a descriptor of that
    /// would take SQLite's locks away from the whole process (fcntl(2), "advisory record locking").
    pub(super) fn take(store: &Path) -> Result<Self, StoreOpenError> {
        let failed = |source| StoreOpenError::NotWritable {
            path: store.into(),
            source,
        };
        let mut name = store.as_os_str().to_owned();
        name.push("-lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(name)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                return Err(StoreOpenError::InUse {
                    path: store.into(),
                    process: text.trim().parse().ok(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(failed)?;
        Ok(Self { _file: file })
    }
}
