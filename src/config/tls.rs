//! What the group `tls` holds.

use std::time::Duration;

use crate::tls::{CertificateFile, KeyFile};

/// `[tls]`. With a certificate and its key every address of `server.listen` speaks TLS.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tls {
    /// PEM file of the server's certificate and those that it rests on, its own first. Default: none.
    pub cert: Option<CertificateFile>,
    /// PEM file of the certificate's private key. Default: none.
    pub key: Option<KeyFile>,
    /// How long browsers are told to ask for this host over TLS alone (RFC 6797), which also holds
    /// for whatever else is on the host; 0: they are not told. Default: 0.
    pub hsts: Duration,
}

impl Tls {
    /// Whether TLS is spoken.
    pub fn is_on(&self) -> bool {
        self.cert.is_some()
    }
}
