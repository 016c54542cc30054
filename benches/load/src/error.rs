//! What keeps a load from being measured.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The CPU is not one of those that this process may use.
    #[error(
        "CPU {cpu} is not one of {available:?}; choose others with --server-cpu and --client-cpu"
    )]
    NoSuchCpu {
        /// What was asked for.
        cpu: usize,
        /// What there is.
        available: Vec<usize>,
    },
    /// The server's program is not where it was said to be.
    #[error("{} is missing; benches/load/README.md says how it is built", program.display())]
    NoProgram {
        /// What was named.
        program: PathBuf,
    },
    /// The server that was started does not serve.
    #[error("the server is not ready ({why}):\n{log}")]
    NotReady {
        /// Its end, or the time that has passed.
        why: String,
        /// What it wrote.
        log: String,
    },
    /// A connection cannot be made or breaks while a load is prepared.
    #[error("{server}: {error}")]
    Connection {
        /// Who was spoken to.
        server: SocketAddr,
        /// Of the kernel.
        error: io::Error,
    },
    /// The server answers otherwise than a load needs.
    #[error("{request}: {status} {body}")]
    Refused {
        /// Method and target.
        request: String,
        /// Of the answer.
        status: u16,
        /// Of the answer.
        body: String,
    },
    /// A session's offer is not one that a viewer can answer.
    #[error("the server's offer cannot be answered: {error}")]
    Offer {
        /// Of the viewer's WebRTC stack.
        error: String,
    },
    /// A viewer did not come as far as to be connected.
    #[error("a viewer is over before it was connected: {why}")]
    SetUp {
        /// Its WebRTC stack's reason.
        why: String,
    },
    /// The publisher was stopped by the server.
    #[error("the server ended the publisher's request: {why}")]
    Publisher {
        /// What it said.
        why: String,
    },
    /// What a load waits for does not come.
    #[error("not within {limit:?}: {what}")]
    TooSlow {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// Arguments that contradict each other.
    #[error("{0}")]
    Arguments(String),
    /// Something of this machine.
    #[error("{what}: {error}")]
    Machine {
        /// What was tried.
        what: String,
        /// Of the kernel.
        error: io::Error,
    },
}

impl Error {
    /// Names what was tried; for `map_err`.
    pub fn machine<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| Self::Machine {
            what,
            error: error.into(),
        }
    }
}
