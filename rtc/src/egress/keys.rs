//! From the keying material of a DTLS handshake to the keys of our RTP and RTCP.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Algorithm};
use str0m::crypto::dtls::SrtpProfile;
use str0m::crypto::{AeadAes128Gcm, AeadAes256Gcm, SrtpProvider};

use super::seal::{SALT_BYTES, Sealer};
use super::srtcp::{Key, Srtcp};

/// Labels of the key derivation (RFC 3711 §4.3.1): encryption and salt.
const RTP: (u8, u8) = (0, 2);
const RTCP: (u8, u8) = (3, 5);
/// Block of AES.
const BLOCK_BYTES: usize = 16;

/// One direction's master key and salt.
struct Master<'m> {
    key: &'m [u8],
    salt: &'m [u8],
}

/// The keys of a session, or nothing where the profile is not AES-GCM.
///
/// `client`: we are the DTLS client. The material holds the client's key, the server's key, the
/// client's salt and the server's salt (RFC 5764 §4.2).
pub(super) fn derive(
    profile: SrtpProfile,
    material: &[u8],
    client: bool,
) -> Option<(Sealer, Srtcp)> {
    let provider = str0m_aws_lc_rs::default_provider().srtp_provider;
    let (algorithm, key_bytes): (&'static Algorithm, usize) = match profile {
        SrtpProfile::AEAD_AES_128_GCM => (&AES_128_GCM, AeadAes128Gcm::KEY_LEN),
        SrtpProfile::AEAD_AES_256_GCM => (&AES_256_GCM, AeadAes256Gcm::KEY_LEN),
        _ => return None,
    };
    let (keys, salts) = material.split_at_checked(2 * key_bytes)?;
    let master = |client: bool| {
        let side = usize::from(!client);
        Some(Master {
            key: keys.chunks_exact(key_bytes).nth(side)?,
            salt: salts.chunks_exact(SALT_BYTES).nth(side)?,
        })
    };
    let (ours, theirs) = (master(client)?, master(!client)?);
    let media = ours.key(provider, algorithm, RTP);
    let srtcp = Srtcp::new(
        ours.key(provider, algorithm, RTCP),
        theirs.key(provider, algorithm, RTCP),
    );
    Some((Sealer::new(media.cipher()?, media.salt), srtcp))
}

impl Master<'_> {
    fn key(
        &self,
        provider: &dyn SrtpProvider,
        algorithm: &'static Algorithm,
        (encryption, salting): (u8, u8),
    ) -> Key {
        let mut key = Key::new(algorithm);
        self.derive(provider, encryption, key.bytes_mut());
        self.derive(provider, salting, &mut key.salt);
        key
    }

    /// The key derivation function of RFC 3711 §4.3.1 and §4.3.3, at a key derivation rate of 0:
    /// AES in counter mode over the label. RFC 7714 §11 fills the shorter salt up with zeros.
    fn derive(&self, provider: &dyn SrtpProvider, label: u8, key: &mut [u8]) {
        let mut input = [0; BLOCK_BYTES];
        input[..self.salt.len()].copy_from_slice(self.salt);
        input[7] ^= label;
        for (round, piece) in (0_u16..).zip(key.chunks_mut(BLOCK_BYTES)) {
            input[BLOCK_BYTES - 2..].copy_from_slice(&round.to_be_bytes());
            // Some backends pad the block and write two.
            let mut output = [0; 2 * BLOCK_BYTES];
            if self.key.len() == AeadAes256Gcm::KEY_LEN {
                provider.srtp_aes_256_ecb_round(self.key, &input, &mut output);
            } else {
                provider.srtp_aes_128_ecb_round(self.key, &input, &mut output);
            }
            piece.copy_from_slice(&output[..piece.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn keys_are_those_of_the_specification() {
        // RFC 3711 appendix B.3.
        let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
        let master = Master {
            key: &key,
            salt: &salt,
        };
        let provider = str0m_aws_lc_rs::default_provider().srtp_provider;
        let mut derived = [0; 16];
        master.derive(provider, RTP.0, &mut derived);
        assert_eq!(derived.to_vec(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        let mut derived = [0; 14];
        master.derive(provider, RTP.1, &mut derived);
        assert_eq!(derived.to_vec(), hex("30CBBC08863D8C85D49DB34A9AE1"));
    }

    #[test]
    fn material_of_the_wrong_length_or_profile_gives_no_key() {
        let derive = |profile, len| derive(profile, &vec![7; len], true).is_some();
        assert!(derive(SrtpProfile::AEAD_AES_256_GCM, 88));
        assert!(derive(SrtpProfile::AEAD_AES_128_GCM, 56));
        assert!(!derive(SrtpProfile::AEAD_AES_256_GCM, 63));
        assert!(!derive(SrtpProfile::AEAD_AES_256_GCM, 75));
        assert!(!derive(SrtpProfile::AES128_CM_SHA1_80, 60));
    }
}
