//! What of a viewer's SCTP reaches the association.
//!
//! An offer opens one data channel. SCTP would let its peer open 65,536 streams, which the
//! association keeps for good and looks through at each turn, and start any number of associations.
//! So packets that would do either are dropped before.

/// Bytes of the common header (RFC 9260 §3.1), and of a chunk's (§3.2).
const HEADER_BYTES: usize = 12;
const CHUNK_HEADER_BYTES: usize = 4;
/// Chunks that say which stream they are for, behind four bytes of TSN (RFC 9260 §3.3.1, RFC 8260
/// §2.1).
const DATA: u8 = 0;
const I_DATA: u8 = 64;
const INIT: u8 = 1;

/// Streams that a viewer may use. Ours is the first or the second; others are closed when they open.
pub(crate) const STREAMS: u16 = 64;
/// INITs of a viewer: its first one, sent again until it is answered (RFC 9260 §5.1), and a start
/// over.
const INITS: u32 = 32;

/// Watches over the packets to one association.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    inits: u32,
}

impl Gate {
    /// Whether the association may see `packet`. Nothing is said of its being sound.
    pub(crate) fn admits(&mut self, packet: &[u8]) -> bool {
        let mut rest = packet.get(HEADER_BYTES..).unwrap_or_default();
        while let [kind, _, high, low, body @ ..] = rest {
            if *kind == INIT {
                self.inits = self.inits.saturating_add(1);
                if self.inits > INITS {
                    return false;
                }
            }
            if matches!(*kind, DATA | I_DATA)
                && let [_, _, _, _, high, low, ..] = body
                && u16::from_be_bytes([*high, *low]) >= STREAMS
            {
                return false;
            }
            let len = usize::from(u16::from_be_bytes([*high, *low]));
            let len = len.max(CHUNK_HEADER_BYTES).next_multiple_of(4);
            rest = rest.get(len..).unwrap_or_default();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
        let len = (CHUNK_HEADER_BYTES + body.len()) as u16;
        let mut chunk = [&[kind, 0][..], &len.to_be_bytes(), body].concat();
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        chunk
    }

    fn data(kind: u8, stream: u16) -> Vec<u8> {
        let [high, low] = stream.to_be_bytes();
        chunk(kind, &[0, 0, 0, 1, high, low, 0, 0, 0, 0, 0, 51, b'x'])
    }

    fn admits(chunks: &[Vec<u8>]) -> bool {
        let packet = [vec![0; HEADER_BYTES], chunks.concat()].concat();
        Gate::default().admits(&packet)
    }

    #[test]
    fn data_of_few_streams_passes_and_of_others_does_not() {
        for kind in [DATA, I_DATA] {
            assert!(admits(&[data(kind, 0), data(kind, STREAMS - 1)]));
            assert!(!admits(&[data(kind, 0), data(kind, STREAMS)]));
            assert!(!admits(&[chunk(3, &[7; 13]), data(kind, u16::MAX)]));
        }
        assert!(admits(&[chunk(3, &[0xff; 12])]), "a SACK has no stream");
    }

    #[test]
    fn associations_begin_a_few_times() {
        let mut gate = Gate::default();
        let packet = [vec![0; HEADER_BYTES], chunk(INIT, &[1; 16])].concat();
        let admitted = (0..1_000).filter(|_| gate.admits(&packet)).count();
        assert_eq!(admitted, INITS as usize);
        let other = [vec![0; HEADER_BYTES], data(DATA, 1)].concat();
        assert!(gate.admits(&other), "what runs goes on");
    }

    proptest! {
        #[test]
        fn any_packet_comes_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Gate::default().admits(&bytes);
        }
    }
}
