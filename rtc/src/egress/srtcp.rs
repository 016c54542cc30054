//! SRTCP with AES-GCM (RFC 7714 §9).

use std::fmt;

use aws_lc_rs::aead::{Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use str0m::crypto::{AeadAes128Gcm, AeadAes256Gcm};

use super::seal::{SALT_BYTES, TAG_BYTES};

/// Header and SSRC of a compound's first packet, which stay in the clear (RFC 3711 §3.4).
const CLEAR_BYTES: usize = 8;
/// E flag and index, behind everything else.
const INDEX_BYTES: usize = 4;
/// Says that the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// A key of one direction. A cipher of it takes 0.6 kB and no time to make, so it is made for each
/// packet: there is one a second.
pub(super) struct Key {
    algorithm: &'static Algorithm,
    bytes: [u8; AeadAes256Gcm::KEY_LEN],
    pub(super) salt: [u8; SALT_BYTES],
}

/// The keys of a session's RTCP, both directions. Nobody else has them, so nobody else counts packets.
pub(crate) struct Srtcp {
    ours: Key,
    theirs: Key,
    /// Of the next packet that is sealed; it only grows (RFC 3711 §3.4).
    index: u32,
}

impl fmt::Debug for Srtcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Srtcp")
    }
}

impl Key {
    /// All zeros, to be filled.
    pub(super) fn new(algorithm: &'static Algorithm) -> Self {
        Self {
            algorithm,
            bytes: [0; AeadAes256Gcm::KEY_LEN],
            salt: [0; SALT_BYTES],
        }
    }

    /// As many as the algorithm wants.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.algorithm.key_len().min(self.bytes.len());
        &mut self.bytes[..len]
    }

    pub(super) fn cipher(&self) -> Option<LessSafeKey> {
        let bytes = self.bytes.get(..self.algorithm.key_len())?;
        let key = UnboundKey::new(self.algorithm, bytes).ok()?;
        Some(LessSafeKey::new(key))
    }

    fn nonce(&self, clear: &[u8; CLEAR_BYTES], index: u32) -> Nonce {
        let ssrc = u32::from_be_bytes([clear[4], clear[5], clear[6], clear[7]]);
        let nonce = AeadAes128Gcm::rtcp_iv(self.salt, ssrc, index);
        Nonce::assume_unique_for_key(nonce)
    }
}

/// What is authenticated and not encrypted (RFC 7714 §9.2).
fn associated(clear: &[u8; CLEAR_BYTES], word: u32) -> [u8; CLEAR_BYTES + INDEX_BYTES] {
    let mut bytes = [0; CLEAR_BYTES + INDEX_BYTES];
    bytes[..CLEAR_BYTES].copy_from_slice(clear);
    bytes[CLEAR_BYTES..].copy_from_slice(&word.to_be_bytes());
    bytes
}

impl Srtcp {
    pub(super) fn new(ours: Key, theirs: Key) -> Self {
        Self {
            ours,
            theirs,
            index: 0,
        }
    }

    /// Counts on from where others have come.
    pub(crate) fn go_on_from(&mut self, before: &Self) {
        self.index = self.index.max(before.index);
    }

    /// Turns a compound packet into a sealed datagram. Nothing when it is too short, or the key is used
    /// up: then there is nothing to send.
    pub(crate) fn seal(&mut self, mut compound: Vec<u8>) -> Option<Vec<u8>> {
        let clear: [u8; CLEAR_BYTES] = *compound.first_chunk()?;
        let index = self.index;
        if index >= ENCRYPTED {
            return None;
        }
        // Whatever comes of it, this nonce is used.
        self.index += 1;
        let word = index | ENCRYPTED;
        let nonce = self.ours.nonce(&clear, index);
        let aad = Aad::from(associated(&clear, word));
        let secret = compound.get_mut(CLEAR_BYTES..)?;
        let tag = self
            .ours
            .cipher()?
            .seal_in_place_separate_tag(nonce, aad, secret)
            .ok()?;
        compound.extend_from_slice(tag.as_ref());
        compound.extend_from_slice(&word.to_be_bytes());
        Some(compound)
    }

    /// The compound packet in a sealed datagram, when it is authentic.
    pub(crate) fn open(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let clear: &[u8; CLEAR_BYTES] = datagram.first_chunk()?;
        let (sealed, word) = datagram.split_last_chunk::<INDEX_BYTES>()?;
        let word = u32::from_be_bytes(*word);
        if word & ENCRYPTED == 0 || sealed.len() < CLEAR_BYTES + TAG_BYTES {
            return None;
        }
        let nonce = self.theirs.nonce(clear, word & !ENCRYPTED);
        let aad = Aad::from(associated(clear, word));
        let mut compound = sealed.to_vec();
        let secret = compound.get_mut(CLEAR_BYTES..)?;
        let len = self
            .theirs
            .cipher()?
            .open_in_place(nonce, aad, secret)
            .ok()?
            .len();
        compound.truncate(CLEAR_BYTES + len);
        Some(compound)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM};
    use proptest::prelude::*;

    use super::*;

    fn key(algorithm: &'static Algorithm, byte: u8) -> Key {
        let mut key = Key::new(algorithm);
        key.bytes_mut().fill(byte);
        key.salt = [byte; SALT_BYTES];
        key
    }

    fn pair_of(algorithm: &'static Algorithm) -> (Srtcp, Srtcp) {
        let key = |byte| key(algorithm, byte);
        (Srtcp::new(key(1), key(2)), Srtcp::new(key(2), key(1)))
    }

    fn pair() -> (Srtcp, Srtcp) {
        pair_of(&AES_256_GCM)
    }

    #[test]
    fn no_index_is_used_twice() {
        let (mut ours, _) = pair();
        let packets: Vec<Vec<u8>> = (0..3).map(|_| ours.seal(vec![7; 28]).unwrap()).collect();
        for (index, packet) in (0_u32..).zip(&packets) {
            assert!(packet.ends_with(&(index | ENCRYPTED).to_be_bytes()));
        }
        assert_ne!(packets[0][8..28], packets[1][8..28]);
        ours.index = ENCRYPTED - 1;
        assert!(ours.seal(vec![7; 28]).is_some());
        assert_eq!(ours.seal(vec![7; 28]), None, "the key is used up");
    }

    #[test]
    fn what_is_too_short_or_in_the_clear_is_nothing() {
        let (mut ours, theirs) = pair();
        assert_eq!(ours.seal(vec![7; 7]), None);
        let mut sealed = ours.seal(vec![7; 8]).unwrap();
        assert_eq!(theirs.open(&sealed), Some(vec![7; 8]));
        for len in 0..sealed.len() {
            assert_eq!(theirs.open(&sealed[..len]), None, "{len} bytes");
        }
        let flag = sealed.len() - INDEX_BYTES;
        sealed[flag] &= 0x7f;
        assert_eq!(theirs.open(&sealed), None);
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened_by_the_other_side_alone(
            compound in prop::collection::vec(any::<u8>(), 8..400),
            flipped in any::<prop::sample::Index>(),
            short: bool,
        ) {
            let (mut ours, theirs) = pair_of(if short { &AES_128_GCM } else { &AES_256_GCM });
            let mut sealed = ours.seal(compound.clone()).unwrap();
            prop_assert_eq!(theirs.open(&sealed), Some(compound));
            prop_assert_eq!(ours.open(&sealed), None);
            let at = flipped.index(sealed.len());
            sealed[at] ^= 1;
            prop_assert_eq!(theirs.open(&sealed), None);
        }
    }
}
