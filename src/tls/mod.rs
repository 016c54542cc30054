//! TLS 1.2 and 1.3 for TCP connections (rustls), without a socket.
//!
//! [`load`] makes a configuration of a certificate and its key, an [`Acceptor`] holds the one that new
//! connections get, and a [`Tunnel`] is one connection's: sealed bytes on one side, plain ones on the
//! other. A shard knows nothing of it: its driver holds the tunnels with the sockets.

mod load;
mod pem;
mod tunnel;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;

pub use load::{KEYS, TlsError, TlsProblem, load};
pub use pem::{CertificateFile, KeyFile, Pem, PemFault};
pub use tunnel::{Opened, RECORD_BYTES, Tunnel, TunnelFault};

/// Makes tunnels for connections that are accepted. A clone shares its configuration, and with it the
/// keys of the session tickets: a client resumes its session on whatever shard takes its connection.
#[derive(Clone)]
pub struct Acceptor(Arc<ServerConfig>);

impl Acceptor {
    /// Connections get this configuration.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(config)
    }

    /// The tunnel of a new connection.
    ///
    /// # Errors
    /// If the configuration is not one for a server over TCP.
    pub fn accept(&self) -> Result<Tunnel, rustls::Error> {
        Tunnel::new(self.0.clone())
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}
