//! The process's private key, parsed once for all sessions of a thread.

use std::cell::RefCell;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use dimpl::crypto::{
    Buf, HashAlgorithm, KeyProvider, SignatureAlgorithm, SigningKey as DtlsSigningKey,
};
use dimpl::{CryptoError, CryptoOperation};

thread_local! {
    /// The key that was asked for last, and its encoding. All sessions have the same.
    static LAST: RefCell<Option<(Vec<u8>, SigningKey)>> = const { RefCell::new(None) };
}

/// Loads ECDSA keys on P-256, which [`Identity`](crate::Identity) makes. Parsing one also proves it to
/// be sound, which takes as long as a signature: too long to be done for each session.
#[derive(Debug)]
pub(crate) struct SharedKeys;

impl KeyProvider for SharedKeys {
    fn load_private_key(&self, encoded: &[u8]) -> Result<Box<dyn DtlsSigningKey>, CryptoError> {
        LAST.with_borrow_mut(|last| {
            if let Some((known, key)) = last
                && known == encoded
            {
                return Ok(Box::new(key.clone()) as Box<_>);
            }
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, encoded)
                .map_err(|_| CryptoError::InvalidPrivateKey)?;
            let key = SigningKey(Arc::new(pair));
            *last = Some((encoded.to_vec(), key.clone()));
            Ok(Box::new(key) as Box<_>)
        })
    }
}

/// A session's handle on the key.
#[derive(Clone)]
struct SigningKey(Arc<EcdsaKeyPair>);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

impl DtlsSigningKey for SigningKey {
    fn sign(&mut self, data: &[u8], hash: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        if hash != self.hash_algorithm() {
            return Err(CryptoError::SigningKeyHashMismatch {
                key_hash: self.hash_algorithm(),
                requested: hash,
            });
        }
        let signature = self
            .0
            .sign(&SystemRandom::new(), data)
            .map_err(|_| CryptoError::OperationFailed(CryptoOperation::Sign))?;
        out.clear();
        out.extend_from_slice(signature.as_ref());
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &[HashAlgorithm::SHA256]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> dimpl::DtlsCertificate {
        dimpl::certificate::generate_self_signed_certificate().unwrap()
    }

    fn sign(key: &[u8], data: &[u8]) -> Vec<u8> {
        let mut key = SharedKeys.load_private_key(key).unwrap();
        let mut signature = Buf::new();
        key.sign(data, HashAlgorithm::SHA256, &mut signature)
            .unwrap();
        signature.to_vec()
    }

    #[test]
    fn each_certificate_is_signed_for_with_its_own_key() {
        let verifier = str0m_aws_lc_rs::dimpl_crypto_provider().signature_verification;
        let (one, two) = (made(), made());
        for signer in [&one, &two, &one] {
            let signature = sign(&signer.private_key, b"data");
            for certificate in [&one, &two] {
                let verified = verifier.verify_signature(
                    &certificate.certificate,
                    b"data",
                    &signature,
                    HashAlgorithm::SHA256,
                    SignatureAlgorithm::ECDSA,
                );
                assert_eq!(verified.is_ok(), std::ptr::eq(certificate, signer));
            }
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_another_hash_too() {
        assert!(SharedKeys.load_private_key(b"no key").is_err());
        let mut key = SharedKeys.load_private_key(&made().private_key).unwrap();
        let signed = key.sign(b"data", HashAlgorithm::SHA384, &mut Buf::new());
        assert!(signed.is_err());
    }
}
