//! Why a store cannot be used.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why the store cannot be opened or read at start. Each sentence begins with the key to look at.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// Another process holds it.
    #[error(
        "store.path: {} is in use by {}; each server needs a store of its own",
        path.display(), holder(process)
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// The process that holds it, where it says so.
        process: Option<u32>,
    },
    /// The file or its directory cannot be opened for writing.
    #[error(
        "store.path: {} cannot be opened for writing: {source}; \
         its directory must exist, and this user must be allowed to write to both",
        path.display()
    )]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a directory.
    #[error("store.path: {} is a directory; name a file in it", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("store.path: {} is not a SQLite database; name another file", path.display())]
    NotDatabase {
        /// The file.
        path: PathBuf,
    },
    /// A database that something else has made.
    #[error(
        "store.path: {} is the database of another program; name another file",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of this server has written it.
    #[error(
        "store.path: {} has schema {found}, of a later version of this server, which knows {known} \
         at most; run that version, or name another file",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// The file system has no shared memory, which readers beside the writer need.
    #[error(
        "store.path: the file system of {} does not allow write-ahead logging; \
         a network file system does not, name a file on a local one",
        path.display()
    )]
    NoWriteAheadLog {
        /// The file.
        path: PathBuf,
    },
    /// Everything else: the disk is full, or the file is damaged.
    #[error("store.path: {}: {source}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

fn holder(process: &Option<u32>) -> String {
    match process {
        Some(id) => format!("process {id}"),
        None => "another process".into(),
    }
}

impl StoreOpenError {
    /// Sorts out what SQLite says of the file.
    pub(super) fn of(path: PathBuf, source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotDatabase { path },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::NotWritable {
                    path,
                    source: io::Error::other(source),
                }
            }
            _ => Self::Failed { path, source },
        }
    }
}
