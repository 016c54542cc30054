//! SRTCP that came before (RFC 3711 §3.3.2).

use std::collections::VecDeque;

use crate::egress::Keying;

/// Senders of one viewer that are told apart: a browser reports from one SSRC, or one for each
/// track. The one that was not heard for longest makes room.
const SENDERS: usize = 8;
/// How far behind the newest packet one may be and still be new: the bits of a [`Window`].
const WINDOW_PACKETS: u32 = u64::BITS;
/// Bytes of the E flag and the index.
const INDEX_BYTES: usize = 4;
/// Tag behind the index with AES-CM (RFC 3711 §3.4). AES-GCM has its own before (RFC 7714 §9.2).
const HMAC_TAG_BYTES: usize = 10;
/// Header and SSRC of the first RTCP packet, which are in the clear.
const CLEAR_BYTES: usize = 8;

/// What names a packet: who sent it, and the index that a sender counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    ssrc: u32,
    index: u32,
}

/// The authentic packets of a session's viewer.
#[derive(Debug, Default)]
pub(super) struct Replays {
    /// Bytes behind the index, once there are keys.
    tag_bytes: Option<usize>,
    /// The one heard last is last.
    senders: VecDeque<Window>,
}

#[derive(Debug)]
struct Window {
    ssrc: u32,
    highest: u32,
    /// Bit n: `highest - n` came.
    seen: u64,
}

impl Replays {
    /// There are keys, perhaps new ones. A sender begins again with them.
    pub(super) fn keyed(&mut self, keying: &Keying) {
        self.senders.clear();
        self.tag_bytes = Some(match keying {
            Keying::Sealed(_) => 0,
            Keying::Through => HMAC_TAG_BYTES,
        });
    }

    /// There are keys.
    pub(super) fn is_keyed(&self) -> bool {
        self.tag_bytes.is_some()
    }

    /// What the packet says to be, which nobody has proved yet. Nothing before there are keys, or
    /// when it is too short.
    pub(super) fn read(&self, srtcp: &[u8]) -> Option<Sent> {
        let end = srtcp.len().checked_sub(self.tag_bytes?)?;
        let at = end.checked_sub(INDEX_BYTES)?;
        let word = |bytes: &[u8]| Some(u32::from_be_bytes(bytes.try_into().ok()?));
        let ssrc = word(srtcp.get(4..CLEAR_BYTES)?)?;
        // The top bit says that it is encrypted.
        let index = word(srtcp.get(at..end)?)? & !(1 << 31);
        (at >= CLEAR_BYTES).then_some(Sent { ssrc, index })
    }

    /// Whether it came before, or is too old to know.
    pub(super) fn has(&self, sent: Sent) -> bool {
        let mut senders = self.senders.iter();
        let Some(window) = senders.find(|window| window.ssrc == sent.ssrc) else {
            return false;
        };
        match window.highest.checked_sub(sent.index) {
            Some(behind) => behind >= WINDOW_PACKETS || window.seen >> behind & 1 == 1,
            None => false,
        }
    }

    /// It was authentic. True when its sender has sent none after it, as far as is known.
    pub(super) fn insert(&mut self, sent: Sent) -> bool {
        let mut senders = self.senders.iter();
        let known = senders.position(|window| window.ssrc == sent.ssrc);
        let mut window = match known.and_then(|known| self.senders.remove(known)) {
            Some(window) => window,
            None => {
                if self.senders.len() == SENDERS {
                    self.senders.pop_front();
                }
                Window {
                    ssrc: sent.ssrc,
                    highest: sent.index,
                    seen: 0,
                }
            }
        };
        let ahead = sent.index.saturating_sub(window.highest);
        window.seen = window.seen.checked_shl(ahead).unwrap_or(0);
        window.highest += ahead;
        let behind = window.highest - sent.index;
        window.seen |= 1_u64.checked_shl(behind).unwrap_or(0);
        self.senders.push_back(window);
        behind == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn packet(ssrc: u32, index: u32, tag: usize) -> Vec<u8> {
        let mut packet = vec![0x80, 201, 0, 1];
        packet.extend(ssrc.to_be_bytes());
        packet.extend([7; 20]);
        packet.extend((index | 1 << 31).to_be_bytes());
        packet.resize(packet.len() + tag, 9);
        packet
    }

    #[test]
    fn the_index_is_where_the_cipher_leaves_it() {
        let mut replays = Replays::default();
        assert_eq!(replays.read(&packet(1, 2, 0)), None, "no keys yet");
        replays.keyed(&Keying::Through);
        let sent = Some(Sent { ssrc: 5, index: 77 });
        assert_eq!(replays.read(&packet(5, 77, HMAC_TAG_BYTES)), sent);
        replays.tag_bytes = Some(0);
        assert_eq!(replays.read(&packet(5, 77, 0)), sent);
        for len in 0..12 {
            assert_eq!(replays.read(&packet(5, 77, 0)[..len]), None);
        }
    }

    #[test]
    fn senders_are_bounded() {
        let mut replays = Replays::default();
        for ssrc in 0..1_000 {
            replays.insert(Sent { ssrc, index: 3 });
        }
        assert_eq!(replays.senders.len(), SENDERS);
        assert!(replays.has(Sent {
            ssrc: 999,
            index: 3
        }));
        assert!(!replays.has(Sent {
            ssrc: 999,
            index: 4
        }));
    }

    proptest! {
        #[test]
        fn nothing_is_taken_twice_and_what_is_young_is_taken(
            indices in prop::collection::vec(0..200_u32, 1..300),
        ) {
            let mut replays = Replays::default();
            let mut taken = BTreeSet::new();
            for index in indices {
                let sent = Sent { ssrc: 1, index };
                let highest = taken.last().copied().unwrap_or(index);
                let old = highest >= index + WINDOW_PACKETS;
                prop_assert_eq!(replays.has(sent), old || taken.contains(&index));
                if !replays.has(sent) {
                    let newest = taken.last().is_none_or(|last| index > *last);
                    prop_assert_eq!(replays.insert(sent), newest);
                    taken.insert(index);
                }
            }
        }
    }
}
