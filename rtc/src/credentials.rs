//! ICE credentials and other unguessable numbers, from a generator of our own.
//!
//! Everything that reaches a session's DTLS and SRTP must first pass a STUN check keyed with its
//! ICE password, so these must come from a CSPRNG; str0m's own are drawn from a fast predictable
//! one.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use str0m::IceCreds;

/// Characters of a ufrag: 48 bits, twice the least of RFC 8445 §5.3, and unique in its plane
/// anyway.
const UFRAG_CHARS: usize = 8;
/// Characters of a password: 144 bits (RFC 8445 §5.3 asks for 128).
const PASSWORD_CHARS: usize = 24;
/// `ice-char` of RFC 8839 §5.4: 64 of them, so six bits choose one without bias.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The plane's source of randomness.
pub(crate) struct Random(ChaCha20Rng);

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// A fresh ufrag and password.
    pub(crate) fn credentials(&mut self) -> IceCreds {
        IceCreds {
            ufrag: self.text(UFRAG_CHARS),
            pass: self.text(PASSWORD_CHARS),
        }
    }

    /// Offset of a viewer's RTP timestamps (RFC 3550 §5.1: random).
    pub(crate) fn rtp_offset(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// First sequence number of a stream. The upper half of the range is left out, so that the
    /// rollover counter cannot be in doubt when the first packets are lost (RFC 3711 §3.3.1).
    pub(crate) fn sequence(&mut self) -> u16 {
        (self.0.next_u32() & 0x7fff) as u16
    }

    fn text(&mut self, chars: usize) -> String {
        let mut bytes = [0; PASSWORD_CHARS];
        self.0.fill_bytes(&mut bytes[..chars]);
        bytes[..chars]
            .iter()
            .map(|b| char::from(ICE_CHARS[usize::from(b & 63)]))
            .collect()
    }
}

const _: () = assert!(UFRAG_CHARS <= PASSWORD_CHARS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_follow_from_the_seed_and_never_repeat() {
        let draw = |seed| {
            let mut random = Random::new([seed; 32]);
            (random.credentials(), random.credentials())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let (a, b) = draw(1);
        assert_ne!(a.ufrag, b.ufrag);
        assert!(a.ufrag.len() >= 4 && a.pass.len() >= 22, "RFC 8445 §5.3");
        assert!(a.pass.bytes().all(|c| ICE_CHARS.contains(&c)));
    }
}
