//! RTCP packets (RFC 3550 §6, RFC 4585 §6): the few that a sender of media writes and reads.

use str0m::rtp::Ssrc;
use str0m::rtp::rtcp::ReceptionReport;

use crate::egress::Report;

/// Packet types (RFC 3550 §12.1, RFC 4585 §6.1).
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
/// Their formats (RFC 4585 §6.2 and §6.3, RFC 5104 §4.3.1).
const NACK: u8 = 1;
const PICTURE_LOSS: u8 = 1;
const FULL_INTRA: u8 = 4;
/// Item of a description: the canonical name (RFC 3550 §6.5.1).
const CNAME: u8 = 1;

const HEADER_BYTES: usize = 4;
const SSRC_BYTES: usize = 4;
/// Time and counts of a sender report.
const SENDER_BYTES: usize = 20;
/// A report block, an entry of a NACK, and one of a full intra request.
const BLOCK_BYTES: usize = 24;
const NACK_BYTES: usize = 4;
const INTRA_BYTES: usize = 8;
/// Sources that one packet may list: its count has five bits.
const MAX_COUNT: usize = 31;
/// Longest text of an item.
const MAX_TEXT_BYTES: usize = 255;

/// A packet that is missing, by its sequence number, and those after it whose bits are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) sequence: u16,
    pub(crate) following: u16,
}

/// What a viewer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Feedback {
    /// What it received of a track.
    Received(ReceptionReport),
    /// It misses packets.
    Nack { ssrc: Ssrc, missing: Vec<Missing> },
    /// It needs a keyframe.
    Keyframe { ssrc: Ssrc },
}

/// Hands what a compound packet says to `take`. It ends where a length is wrong.
pub(crate) fn read(compound: &[u8], mut take: impl FnMut(Feedback)) {
    let mut rest = compound;
    while let [first, kind, high, low, ..] = *rest {
        let len = HEADER_BYTES * (usize::from(u16::from_be_bytes([high, low])) + 1);
        let Some((packet, behind)) = rest.split_at_checked(len) else {
            return;
        };
        let format = first & 0x1f;
        let body = packet.get(HEADER_BYTES + SSRC_BYTES..).unwrap_or_default();
        match (kind, format) {
            (RECEIVER_REPORT, count) => read_blocks(body, count, &mut take),
            (SENDER_REPORT, count) => {
                let blocks = body.get(SENDER_BYTES..).unwrap_or_default();
                read_blocks(blocks, count, &mut take);
            }
            (TRANSPORT_FEEDBACK, NACK) => read_nack(body, &mut take),
            (PAYLOAD_FEEDBACK, PICTURE_LOSS) => {
                if let Some(ssrc) = word(body, 0) {
                    take(Feedback::Keyframe { ssrc: ssrc.into() });
                }
            }
            (PAYLOAD_FEEDBACK, FULL_INTRA) => {
                // The SSRC of the header is not used (RFC 5104 §4.3.1.2).
                let entries = body.get(SSRC_BYTES..).unwrap_or_default();
                for entry in entries.chunks_exact(INTRA_BYTES) {
                    let ssrc = word(entry, 0).unwrap_or_default();
                    take(Feedback::Keyframe { ssrc: ssrc.into() });
                }
            }
            _ => {}
        }
        rest = behind;
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

fn read_blocks(blocks: &[u8], count: u8, take: &mut impl FnMut(Feedback)) {
    for block in blocks.chunks_exact(BLOCK_BYTES).take(count.into()) {
        let word = |at| word(block, at).unwrap_or_default();
        take(Feedback::Received(ReceptionReport {
            ssrc: word(0).into(),
            fraction_lost: (word(4) >> 24) as u8,
            packets_lost: word(4) & 0x00ff_ffff,
            max_seq: word(8),
            jitter: word(12),
            last_sr_time: word(16),
            last_sr_delay: word(20),
        }));
    }
}

fn read_nack(body: &[u8], take: &mut impl FnMut(Feedback)) {
    let Some(ssrc) = word(body, 0) else { return };
    let missing = body[SSRC_BYTES..]
        .chunks_exact(NACK_BYTES)
        .filter_map(|entry| word(entry, 0))
        .map(|entry| Missing {
            sequence: (entry >> 16) as u16,
            following: entry as u16,
        })
        .collect();
    take(Feedback::Nack {
        ssrc: ssrc.into(),
        missing,
    });
}

/// Appends a sender report without report blocks (RFC 3550 §6.4.1). `ntp` is the time of day in units
/// of 2⁻³² s since 1900. A track that has sent nothing has no RTP time to name, and says so with an NTP
/// time of 0, where a wrong one would shift the sound.
pub(crate) fn write_sender_report(out: &mut Vec<u8>, ntp: u64, report: &Report) {
    let (ntp, rtp) = match report.rtp {
        Some(rtp) => (ntp, rtp),
        None => (0, 0),
    };
    write_header(out, SENDER_REPORT, 0, SSRC_BYTES + SENDER_BYTES);
    out.extend_from_slice(&report.ssrc.to_be_bytes());
    out.extend_from_slice(&ntp.to_be_bytes());
    for word in [rtp, report.packets, report.octets] {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

/// Appends the canonical name of a source (RFC 3550 §6.5).
pub(crate) fn write_description(out: &mut Vec<u8>, ssrc: Ssrc, name: &str) {
    let name = name.as_bytes();
    let name = &name[..name.len().min(MAX_TEXT_BYTES)];
    // At least one zero ends the list of items.
    let items = (2 + name.len() + 1).next_multiple_of(HEADER_BYTES);
    write_header(out, DESCRIPTION, 1, SSRC_BYTES + items);
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&[CNAME, name.len() as u8]);
    out.extend_from_slice(name);
    out.resize(out.len() + items - 2 - name.len(), 0);
}

/// Appends a goodbye of sources (RFC 3550 §6.6).
pub(crate) fn write_goodbye(out: &mut Vec<u8>, sources: &[Ssrc]) {
    let sources = &sources[..sources.len().min(MAX_COUNT)];
    write_header(
        out,
        GOODBYE,
        sources.len() as u8,
        SSRC_BYTES * sources.len(),
    );
    for ssrc in sources {
        out.extend_from_slice(&ssrc.to_be_bytes());
    }
}

fn write_header(out: &mut Vec<u8>, kind: u8, count: u8, body: usize) {
    let words = (body / HEADER_BYTES) as u16;
    out.extend_from_slice(&[0x80 | count, kind]);
    out.extend_from_slice(&words.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(compound: &[u8]) -> Vec<Feedback> {
        let mut said = Vec::new();
        read(compound, |feedback| said.push(feedback));
        said
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn a_compound_is_read_as_the_specifications_draw_it() {
        let block = [7, 0x40ff_fffe, 0x0001_0203, 900, 5, 6];
        let compound = [
            words(&[0x81c9_0007, 1]),
            words(&block),
            words(&[0x81cd_0003, 1, 7, 0x1000_8001]),
            words(&[0x81ce_0002, 1, 7]),
            words(&[0x84ce_0004, 1, 0, 9, 0x0300_0000]),
            words(&[0x81ca_0001, 1]),
        ];
        let received = ReceptionReport {
            ssrc: 7.into(),
            fraction_lost: 0x40,
            packets_lost: 0x00ff_fffe,
            max_seq: 0x0001_0203,
            jitter: 900,
            last_sr_time: 5,
            last_sr_delay: 6,
        };
        let expected = [
            Feedback::Received(received),
            Feedback::Nack {
                ssrc: 7.into(),
                missing: vec![Missing {
                    sequence: 0x1000,
                    following: 0x8001,
                }],
            },
            Feedback::Keyframe { ssrc: 7.into() },
            Feedback::Keyframe { ssrc: 9.into() },
        ];
        assert_eq!(read_all(&compound.concat()), expected);
    }

    #[test]
    fn what_is_written_has_the_lengths_that_it_names() {
        let report = Report {
            ssrc: 1.into(),
            packets: 2,
            octets: 3,
            rtp: Some(4),
        };
        let mut out = Vec::new();
        write_sender_report(&mut out, 5 << 32 | 6, &report);
        assert_eq!(out, words(&[0x80c8_0006, 1, 5, 6, 4, 2, 3]));
        for (name, expected) in [
            ("ab", words(&[0x81ca_0003, 1, 0x0102_6162, 0])),
            ("a", words(&[0x81ca_0002, 1, 0x0101_6100])),
        ] {
            let mut out = Vec::new();
            write_description(&mut out, 1.into(), name);
            assert_eq!(out, expected);
        }
        let mut out = Vec::new();
        write_goodbye(&mut out, &[1.into(), 2.into()]);
        assert_eq!(out, words(&[0x82cb_0002, 1, 2]));
    }

    #[test]
    fn before_the_first_packet_no_time_is_named() {
        let report = Report {
            ssrc: 1.into(),
            packets: 0,
            octets: 0,
            rtp: None,
        };
        let mut out = Vec::new();
        write_sender_report(&mut out, 5 << 32, &report);
        assert_eq!(out[8..20], [0; 12]);
    }

    proptest! {
        #[test]
        fn any_packet_comes_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(read_all(&bytes).len() <= bytes.len());
        }
    }
}
