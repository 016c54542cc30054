//! From PEM files to a configuration.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, ServerConfig};
use thiserror::Error;

use crate::config::Tls;

/// Bytes of a PEM file. A chain of four RSA certificates has 8 KB.
const FILE_BYTES: u64 = 256 << 10;

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
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file is longer than any chain.
    #[error("{} is longer than {FILE_BYTES} bytes: not a certificate nor a key", .0.display())]
    TooLong(PathBuf),
    /// There is no certificate in the file.
    #[error("{} holds no certificate: it must have -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    /// The file is no PEM, or its certificate cannot be read.
    #[error("{} is damaged: {fault}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        fault: String,
    },
    /// There is no key in the file.
    #[error("{} holds no private key: it must have -----BEGIN PRIVATE KEY-----", .0.display())]
    NoKey(PathBuf),
    /// Nobody is there to type the passphrase.
    #[error(
        "{} is protected by a passphrase; openssl pkey -in FILE -out FILE takes it off", .0.display()
    )]
    Encrypted(PathBuf),
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

const CERT: [&str; 2] = ["tls.cert", "tls.key"];
const KEY: [&str; 2] = ["tls.key", "tls.cert"];

/// Reads certificate and key, and sees that they fit. `None`: TLS is off.
///
/// # Errors
/// If something is missing or cannot be used.
pub fn load(config: &Tls) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let blame = |keys| move |problem| TlsError { keys, problem };
    let (cert, key) = match (&config.cert, &config.key) {
        (None, None) => return Ok(None),
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) => return Err(blame(KEY)(TlsProblem::Missing)),
        (None, Some(_)) => return Err(blame(CERT)(TlsProblem::Missing)),
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = read_chain(cert).map_err(blame(CERT))?;
    let signing = read_key(key, &provider).map_err(blame(KEY))?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        // The library cannot tell for every kind of key: a handshake does.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            let (key, cert) = (key.clone(), cert.clone());
            return Err(blame(KEY)(TlsProblem::Mismatch { key, cert }));
        }
        Err(fault) => {
            let (path, fault) = (cert.clone(), fault.to_string());
            return Err(blame(CERT)(TlsProblem::Damaged { path, fault }));
        }
    }
    let config = assemble(provider, certified)
        .map_err(TlsProblem::from)
        .map_err(blame(CERT))?;
    Ok(Some(Arc::new(config)))
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

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let pem = read_file(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|fault| TlsProblem::Damaged {
        path: path.to_owned(),
        fault: fault.to_string(),
    })?;
    match chain.is_empty() {
        true => Err(TlsProblem::NoCertificate(path.to_owned())),
        false => Ok(chain),
    }
}

/// No fault repeats anything of the file.
fn read_key(
    path: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<dyn rustls::sign::SigningKey>, TlsProblem> {
    let pem = read_file(path)?;
    let Ok(der) = PrivateKeyDer::from_pem_slice(&pem) else {
        let has = |label: &[u8]| memchr::memmem::find(&pem, label).is_some();
        // PKCS #8 says so in its label (RFC 5958 §3), the older forms in a header (RFC 1421 §4.6.1).
        return Err(match has(b"ENCRYPTED") {
            true => TlsProblem::Encrypted(path.to_owned()),
            false => TlsProblem::NoKey(path.to_owned()),
        });
    };
    provider
        .key_provider
        .load_private_key(der)
        .map_err(|_| TlsProblem::UnsupportedKey(path.to_owned()))
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsProblem> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(FILE_BYTES + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| TlsProblem::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    match bytes.len() as u64 > FILE_BYTES {
        true => Err(TlsProblem::TooLong(path.to_owned())),
        false => Ok(bytes),
    }
}
