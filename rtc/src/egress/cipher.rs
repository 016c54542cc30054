//! The ciphers that str0m is given: none with AES-GCM.

use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, CryptoError, SrtpProvider, SupportedAeadAes128Gcm,
    SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};

/// str0m's SRTP ciphers, except that those of AES-GCM do nothing: RTP and RTCP of such sessions are
/// ours, and two who count indices under one key would use a nonce twice.
#[derive(Debug)]
pub(crate) struct GuardedSrtp;

/// A cipher that seals and opens nothing.
#[derive(Debug)]
struct Refusing;

fn plain() -> &'static dyn SrtpProvider {
    str0m_aws_lc_rs::default_provider().srtp_provider
}

impl SrtpProvider for GuardedSrtp {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        plain().aes_128_cm_sha1_80()
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Self
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Self
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        plain().srtp_aes_128_ecb_round(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        plain().srtp_aes_256_ecb_round(key, input, output);
    }
}

/// The same for both key lengths, which str0m has separate traits for.
macro_rules! refusing {
    ($factory:ident, $cipher:ident, $key_bytes:literal) => {
        impl $factory for GuardedSrtp {
            fn create_cipher(&self, _key: [u8; $key_bytes], _encrypt: bool) -> Box<dyn $cipher> {
                Box::new(Refusing)
            }
        }

        impl $cipher for Refusing {
            fn encrypt(
                &mut self,
                _iv: &[u8; 12],
                _aad: &[u8],
                _input: &[u8],
                _output: &mut [u8],
            ) -> Result<(), CryptoError> {
                Err(refused())
            }

            fn decrypt(
                &mut self,
                _iv: &[u8; 12],
                _aads: &[&[u8]],
                _input: &[u8],
                _output: &mut [u8],
            ) -> Result<usize, CryptoError> {
                Err(refused())
            }
        }
    };
}

refusing!(SupportedAeadAes128Gcm, AeadAes128GcmCipher, 16);
refusing!(SupportedAeadAes256Gcm, AeadAes256GcmCipher, 32);

fn refused() -> CryptoError {
    CryptoError::Other("packets of this session are not sealed here".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_rtp_nor_rtcp_is_sealed() {
        for kind in 0..=u8::MAX {
            let aad = [0x80, kind, 0, 1, 0, 0, 0, 9, 0, 0, 0, 9];
            let mut cipher = GuardedSrtp.aead_aes_128_gcm().create_cipher([7; 16], true);
            let sealed = cipher.encrypt(&[0; 12], &aad, &[1; 100], &mut [0; 116]);
            assert!(sealed.is_err(), "type {kind}");
        }
    }
}
