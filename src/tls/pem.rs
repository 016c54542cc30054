//! The files of a certificate and of its key.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// Bytes of a PEM file. A chain of four RSA certificates has 8 KB.
const FILE_BYTES: u64 = 256 << 10;

/// What is read from a PEM file. Two are the same if path and content are.
pub trait Pem: Sized {
    /// Reads the file.
    ///
    /// # Errors
    /// If it holds no such thing.
    fn read(path: &Path) -> Result<Self, PemFault>;

    /// Where it came from.
    fn path(&self) -> &Path;
}

/// Why a file cannot be used. Completes a sentence that begins with the path, and repeats nothing of
/// what is in it.
#[derive(Debug, Error)]
pub enum PemFault {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The file is longer than any chain.
    #[error("is longer than {FILE_BYTES} bytes: not a certificate nor a key")]
    TooLong,
    /// There is no certificate in the file.
    #[error("holds no certificate: it must have -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// There is no key in the file.
    #[error("holds no private key: it must have -----BEGIN PRIVATE KEY-----")]
    NoKey,
    /// Nobody is there to type the passphrase.
    #[error("holds a key with a passphrase; openssl pkey -in FILE -out FILE takes it off")]
    Encrypted,
    /// What stands between BEGIN and END is no Base64, or has no end.
    #[error("is damaged: what stands between its BEGIN and END lines cannot be read")]
    Damaged,
}

/// The server's certificate and those that it rests on, its own first.
#[derive(Clone, PartialEq)]
pub struct CertificateFile {
    path: PathBuf,
    chain: Arc<[CertificateDer<'static>]>,
}

impl CertificateFile {
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.to_vec()
    }

    /// From when to when the server's own certificate is good, in seconds since 1970. `None`: it cannot
    /// be read, which [`load`](super::load) says.
    pub fn validity(&self) -> Option<RangeInclusive<u64>> {
        let certificate = Certificate::from_der(self.chain.first()?).ok()?;
        let validity = certificate.tbs_certificate().validity();
        let [from, to] = [validity.not_before, validity.not_after];
        Some(from.to_unix_duration().as_secs()..=to.to_unix_duration().as_secs())
    }

    /// Why clients refuse the server's own certificate at that time (seconds since 1970): completes a
    /// sentence that begins with the key. It is served all the same, for there is nothing better.
    pub fn complaint(&self, unix: u64) -> Option<String> {
        let validity = self.validity()?;
        let what = match (unix < *validity.start(), unix > *validity.end()) {
            (true, _) => "is not valid yet",
            (_, true) => "has expired",
            (false, false) => return None,
        };
        let path = self.path.display();
        Some(format!(
            "{path} holds a certificate that {what}: clients refuse it"
        ))
    }
}

impl Pem for CertificateFile {
    fn read(path: &Path) -> Result<Self, PemFault> {
        let pem = read_bounded(path)?;
        let chain: Result<Arc<[_]>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain.map_err(|_| PemFault::Damaged)?;
        match chain.is_empty() {
            true => Err(PemFault::NoCertificate),
            false => Ok(Self {
                path: path.to_owned(),
                chain,
            }),
        }
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for CertificateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CertificateFile").field(&self.path).finish()
    }
}

/// A private key. Nothing shows it.
#[derive(Clone, PartialEq)]
pub struct KeyFile {
    path: PathBuf,
    key: Arc<PrivateKeyDer<'static>>,
}

impl KeyFile {
    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

impl Pem for KeyFile {
    fn read(path: &Path) -> Result<Self, PemFault> {
        let pem = read_bounded(path)?;
        let has = |label: &[u8]| memchr::memmem::find(&pem, label).is_some();
        match PrivateKeyDer::from_pem_slice(&pem) {
            // PKCS #8 says so in its label (RFC 5958 §3), the older forms in a header (RFC 1421 §4.6.1).
            _ if has(b"ENCRYPTED") => Err(PemFault::Encrypted),
            Ok(key) => Ok(Self {
                path: path.to_owned(),
                key: Arc::new(key),
            }),
            Err(_) if has(b"PRIVATE KEY-----") => Err(PemFault::Damaged),
            Err(_) => Err(PemFault::NoKey),
        }
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyFile").field(&self.path).finish()
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, PemFault> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > FILE_BYTES {
        true => Err(PemFault::TooLong),
        false => Ok(bytes),
    }
}
