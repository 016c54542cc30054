//! Why an address could not be taken.

use std::io;
use std::net::SocketAddr;

/// An address that could not be bound, and what its user can do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another socket has it.
    #[error(
        "{addr} is already in use: another process (or another instance of this one) has it; stop \
         that one or choose another port (`ss -lptun sport = :{port}` shows who it is)",
        port = .addr.port()
    )]
    InUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// No interface of this machine has it.
    #[error(
        "{addr} is not an address of this machine: use one that `ip address` lists, or \
         127.0.0.1 for this machine alone"
    )]
    NotLocal {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The port is privileged.
    #[error(
        "{addr} may not be bound by this user: ports below 1024 need CAP_NET_BIND_SERVICE (systemd: \
         AmbientCapabilities=CAP_NET_BIND_SERVICE); or choose a higher port"
    )]
    Denied {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Anything else.
    #[error("{addr} cannot be bound: {source}")]
    Failed {
        /// The address asked for.
        addr: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

impl BindError {
    pub(crate) fn new(addr: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { addr },
            io::ErrorKind::AddrNotAvailable => Self::NotLocal { addr },
            io::ErrorKind::PermissionDenied => Self::Denied { addr },
            _ => Self::Failed { addr, source },
        }
    }
}
