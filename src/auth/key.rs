//! The public key that tokens of another issuer are verified with.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jsonwebtoken::{Algorithm, DecodingKey};
use thiserror::Error;

/// Bytes of a key's file. The largest key that is taken (RSA, 8192 bit) has 1.5 KB as PEM.
const FILE_BYTES: u64 = 64 << 10;
/// An RSA modulus has at least so many bits (RFC 7518 §3.3).
const RSA_BITS_LEAST: usize = 2048;
/// And at most so many: what the library verifies with.
const RSA_BITS_MOST: usize = 8192;
/// Bytes of an Ed25519 public key (RFC 8032 §5.1.5).
const ED25519_BYTES: usize = 32;

/// An Ed25519 or RSA public key, and the file that it came from.
#[derive(Clone)]
pub struct PublicKey {
    path: PathBuf,
    pem: String,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why a file holds no key that can be used. Completes a sentence that begins with the path.
#[derive(Debug, Error)]
pub enum KeyFault {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The file is longer than any key.
    #[error("is longer than {FILE_BYTES} bytes: not a key")]
    TooLong,
    /// No `-----BEGIN …-----` at all.
    #[error("is not a PEM file: it must begin with -----BEGIN PUBLIC KEY-----")]
    NotPem,
    /// PEM of something else.
    #[error("holds a {0}, not a PUBLIC KEY; openssl pkey -pubout makes one of a private key")]
    NotPublic(String),
    /// A public key of another kind, or a broken one.
    #[error("holds a key that is neither Ed25519 nor RSA, or is damaged")]
    Kind,
    /// An RSA key that can be broken, or is absurdly long.
    #[error("holds an RSA key of {0} bits: {RSA_BITS_LEAST} to {RSA_BITS_MOST} are taken")]
    RsaBits(usize),
}

impl PublicKey {
    /// Reads a PEM file: `PUBLIC KEY` (RFC 5280 §4.1.2.7), or `RSA PUBLIC KEY` (RFC 8017 §A.1.1).
    pub fn read(path: impl AsRef<Path>) -> Result<Self, KeyFault> {
        let path = path.as_ref();
        let mut bytes = Vec::new();
        File::open(path)?
            .take(FILE_BYTES + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES {
            return Err(KeyFault::TooLong);
        }
        let pem = String::from_utf8(bytes).map_err(|_| KeyFault::NotPem)?;
        let (algorithm, key) = parse(&pem)?;
        Ok(Self {
            path: path.to_owned(),
            pem,
            algorithm,
            key,
        })
    }

    /// Where it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `EdDSA` or `RS256`.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn key(&self) -> &DecodingKey {
        &self.key
    }
}

/// The same key of the same file.
impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.pem == other.pem
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.path).finish()
    }
}

fn parse(pem: &str) -> Result<(Algorithm, DecodingKey), KeyFault> {
    let label = pem
        .lines()
        .find_map(|line| {
            line.trim()
                .strip_prefix("-----BEGIN ")?
                .strip_suffix("-----")
        })
        .ok_or(KeyFault::NotPem)?;
    if !matches!(label, "PUBLIC KEY" | "RSA PUBLIC KEY") {
        return Err(KeyFault::NotPublic(label.chars().take(40).collect()));
    }
    if let Ok(key) = DecodingKey::from_ed_pem(pem.as_bytes()) {
        return match key.as_bytes().len() {
            ED25519_BYTES => Ok((Algorithm::EdDSA, key)),
            _ => Err(KeyFault::Kind),
        };
    }
    let key = DecodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| KeyFault::Kind)?;
    match modulus_bits(key.as_bytes()).ok_or(KeyFault::Kind)? {
        RSA_BITS_LEAST..=RSA_BITS_MOST => Ok((Algorithm::RS256, key)),
        bits => Err(KeyFault::RsaBits(bits)),
    }
}

/// Bits of the modulus of an `RSAPublicKey`: the first INTEGER of a SEQUENCE (RFC 8017 §A.1.1).
fn modulus_bits(der: &[u8]) -> Option<usize> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    let modulus = der_value(der_value(der, SEQUENCE)?, INTEGER)?;
    let zeros = modulus.iter().take_while(|&&byte| byte == 0).count();
    let digits = &modulus[zeros..];
    let first = digits.first()?;
    Some(digits.len() * 8 - first.leading_zeros() as usize)
}

/// The value of the element that `der` begins with, if it has this tag (X.690 §8.1).
fn der_value(der: &[u8], tag: u8) -> Option<&[u8]> {
    let (&first, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(short), rest),
        // How many bytes of length follow; no key has more than four.
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long - 0x80))?;
            let length = bytes.iter().fold(0, |n, &b| n << 8 | usize::from(b));
            (length, rest)
        }
        _ => return None,
    };
    rest.get(..length).filter(|_| first == tag)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fixture(name: &str) -> Result<PublicKey, KeyFault> {
        PublicKey::read(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/keys")
                .join(name),
        )
    }

    fn refused(name: &str) -> String {
        fixture(name).expect_err("no key to use").to_string()
    }

    #[test]
    fn ed25519_and_rsa_are_read() {
        let table = [
            ("ed25519.pub.pem", Algorithm::EdDSA),
            ("rsa2048.pub.pem", Algorithm::RS256),
            ("rsa2048.pkcs1.pem", Algorithm::RS256),
        ];
        for (name, algorithm) in table {
            assert_eq!(fixture(name).unwrap().algorithm(), algorithm, "{name}");
        }
    }

    #[test]
    fn what_is_no_usable_key_is_named() {
        assert!(refused("none.pem").starts_with("cannot be read: No such file"));
        assert_eq!(
            refused("README.md"),
            "is not a PEM file: it must begin with -----BEGIN PUBLIC KEY-----"
        );
        assert_eq!(
            refused("rsa2048.pem"),
            "holds a PRIVATE KEY, not a PUBLIC KEY; openssl pkey -pubout makes one of a private key"
        );
        assert_eq!(
            refused("rsa1024.pub.pem"),
            "holds an RSA key of 1024 bits: 2048 to 8192 are taken"
        );
        assert_eq!(
            refused("p256.pub.pem"),
            "holds a key that is neither Ed25519 nor RSA, or is damaged"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(der in proptest::collection::vec(any::<u8>(), 0..64)) {
            modulus_bits(&der);
        }
    }
}
