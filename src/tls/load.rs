//! From a certificate and its key to a configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, ServerConfig};
use thiserror::Error;

use super::Pem;
use crate::config::Tls;

/// The keys of the configuration that name the files.
pub const KEYS: [&str; 2] = ["tls.cert", "tls.key"];

/// The one protocol that is spoken within (RFC 7301).
const ALPN: &[u8] = b"http/1.1";

/// What is wrong with `tls.cert` or `tls.key`.
#[derive(Debug, Error)]
#[error("{}: {problem}", .keys[0])]
pub struct TlsError {
    /// The key that is most likely to be wrong, and the other one.
    pub keys: [&'static str; 2],
    /// What it is: completes a sentence that begins with the key.
    pub problem: TlsProblem,
}

/// Why a certificate and a key cannot be used.
#[derive(Debug, Error)]
pub enum TlsProblem {
    /// One of them without the other.
    #[error("is missing: TLS takes a certificate (tls.cert) and its private key (tls.key)")]
    Missing,
    /// The certificate cannot be read.
    #[error(
        "{} holds a certificate that cannot be read; it must be one of X.509 version 3 \
         (`openssl x509 -req` makes one with -extfile): {fault}", .path.display()
    )]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What the library says.
        fault: rustls::Error,
    },
    /// Not a key that rustls signs with.
    #[error(
        "{} holds a key that cannot be used: RSA of 2048 to 8192 bits, ECDSA (P-256, P-384, P-521) \
         and Ed25519 can", .0.display()
    )]
    UnsupportedKey(PathBuf),
    /// The key belongs to another certificate.
    #[error("{} is not the key of the first certificate in {}", .key.display(), .cert.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's.
        cert: PathBuf,
    },
    /// The library refuses something that is no matter of the files.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// Sees that certificate and key fit, and makes the configuration of new connections. `None`: TLS is
/// off.
///
/// # Errors
/// If something is missing or cannot be used.
pub fn load(config: &Tls) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let [of_cert, of_key] =
        [KEYS, [KEYS[1], KEYS[0]]].map(|keys| move |problem| TlsError { keys, problem });
    let (cert, key) = match (&config.cert, &config.key) {
        (None, None) => return Ok(None),
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) => return Err(of_key(TlsProblem::Missing)),
        (None, Some(_)) => return Err(of_cert(TlsProblem::Missing)),
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let signing = provider.key_provider.load_private_key(key.key());
    let signing = signing.map_err(|_| of_key(TlsProblem::UnsupportedKey(key.path().to_owned())))?;
    let certified = CertifiedKey::new(cert.chain(), signing);
    check(&certified, cert.path(), key.path())
        .and_then(|()| Ok(assemble(provider, certified)?))
        .map(|config| Some(Arc::new(config)))
        .map_err(|problem| match problem {
            TlsProblem::Mismatch { .. } => of_key(problem),
            problem => of_cert(problem),
        })
}

fn check(certified: &CertifiedKey, cert: &Path, key: &Path) -> Result<(), TlsProblem> {
    match certified.keys_match() {
        // The library cannot tell for every kind of key: a handshake does.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsProblem::Mismatch {
            key: key.to_owned(),
            cert: cert.to_owned(),
        }),
        Err(fault) => Err(TlsProblem::Certificate {
            path: cert.to_owned(),
            fault,
        }),
    }
}

fn assemble(
    provider: Arc<CryptoProvider>,
    certified: CertifiedKey,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Sessions are resumed by tickets that the client keeps. A table of them would be a lock that
    // all shards share.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    // Early data can be replayed (RFC 8446 §8): a request that creates something must not be.
    config.max_early_data_size = 0;
    Ok(config)
}
