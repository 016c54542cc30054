//! RTP as it came on the wire, counted from the headers alone (RFC 3550 §5.1; SRTP leaves them readable). A witness that
//! does not depend on what the viewer's WebRTC stack makes of the packets.

use std::collections::BTreeMap;

/// Sequence numbers behind the highest within which a packet that came twice is told from one that came late.
const WINDOW: u64 = 128;

/// The fields of a header that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the description maps to a codec.
    pub payload_type: u8,
    /// The last packet of a picture.
    pub marker: bool,
    /// One more with each packet of the stream.
    pub sequence: u16,
    /// Of the picture, in ticks of the codec's clock.
    pub timestamp: u32,
    /// The stream.
    pub ssrc: u32,
}

impl Header {
    /// `None` for what is not RTP: STUN, DTLS and RTCP share the socket (RFC 7983, RFC 5761).
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = datagram else {
            return None;
        };
        if !(128..192).contains(first) || (192..224).contains(second) || rest.len() < 10 {
            return None;
        }
        let word = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().expect("four bytes"));
        Some(Self {
            payload_type: second & 0x7f,
            marker: second & 0x80 != 0,
            sequence: u16::from_be_bytes([rest[0], rest[1]]),
            timestamp: word(2),
            ssrc: word(6),
        })
    }
}

/// One SSRC.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Of the last packet.
    pub payload_type: u8,
    /// Packets that came, each once.
    pub received: u64,
    /// Packets that came once more.
    pub duplicates: u64,
    /// Packets that came after one of a higher number.
    pub reordered: u64,
    /// Octets of the datagrams of `received`.
    pub bytes: u64,
    /// Markers: the last packets of pictures.
    pub markers: u64,
    /// Of the packet with the highest number.
    pub last_timestamp: u32,
    /// Timestamps that went backwards from one packet to the next in order.
    pub timestamps_backwards: u64,
    first: u64,
    highest: u64,
    /// Bit n: `highest - n` has come.
    window: u128,
}

impl Stream {
    /// Packets that the sequence numbers promise and that have not come.
    pub fn lost(&self) -> u64 {
        (self.highest - self.first + 1).saturating_sub(self.received)
    }

    fn new(header: &Header) -> Self {
        // From the second cycle on, so that packets late by a few have a number too.
        let number = (1 << 16) + u64::from(header.sequence);
        Self {
            payload_type: header.payload_type,
            received: 0,
            duplicates: 0,
            reordered: 0,
            bytes: 0,
            markers: 0,
            last_timestamp: header.timestamp,
            timestamps_backwards: 0,
            first: number,
            highest: number,
            window: 0,
        }
    }

    fn count(&mut self, header: &Header, bytes: usize) {
        let ahead = header.sequence.wrapping_sub(self.highest as u16) as i16;
        let number = self.highest.wrapping_add_signed(i64::from(ahead));
        if number > self.highest {
            self.window = self
                .window
                .checked_shl((number - self.highest) as u32)
                .unwrap_or(0);
            self.highest = number;
            if header.timestamp.wrapping_sub(self.last_timestamp) as i32 > 0 {
                self.last_timestamp = header.timestamp;
            } else if header.timestamp != self.last_timestamp {
                self.timestamps_backwards += 1;
            }
        }
        self.first = self.first.min(number);
        let behind = self.highest - number;
        let bit = if behind < WINDOW { 1 << behind } else { 0 };
        if self.window & bit != 0 {
            self.duplicates += 1;
            return;
        }
        self.window |= bit;
        self.received += 1;
        self.reordered += u64::from(behind > 0);
        self.bytes += bytes as u64;
        self.markers += u64::from(header.marker);
    }
}

/// All streams of one viewer.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    /// By its SSRC.
    pub by_ssrc: BTreeMap<u32, Stream>,
}

impl Streams {
    /// Counts a datagram, if it is RTP.
    pub fn count(&mut self, datagram: &[u8]) -> Option<Header> {
        let header = Header::parse(datagram)?;
        let stream = self
            .by_ssrc
            .entry(header.ssrc)
            .or_insert_with(|| Stream::new(&header));
        stream.payload_type = header.payload_type;
        stream.count(&header, datagram.len());
        Some(header)
    }

    /// Packets that came, of all streams.
    pub fn received(&self) -> u64 {
        self.by_ssrc.values().map(|stream| stream.received).sum()
    }

    /// Packets that have not come, of all streams.
    pub fn lost(&self) -> u64 {
        self.by_ssrc.values().map(Stream::lost).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of 20 bytes; a picture has ten packets, the last of them marked, and 3,000 ticks.
    fn packet(ssrc: u32, number: u32) -> Vec<u8> {
        let marker = if number % 10 == 9 { 0x80 } else { 0 };
        let mut bytes = vec![0x80, 96 | marker];
        bytes.extend((number as u16).to_be_bytes());
        bytes.extend((number / 10 * 3000).to_be_bytes());
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend([0; 8]);
        bytes
    }

    fn played(numbers: impl IntoIterator<Item = u32>) -> Stream {
        let mut streams = Streams::default();
        for number in numbers {
            assert!(streams.count(&packet(7, number)).is_some());
        }
        streams.by_ssrc.remove(&7).unwrap()
    }

    #[test]
    fn sequence_numbers_roll_over() {
        let stream = played(65_000..265_000);
        assert_eq!((stream.received, stream.lost()), (200_000, 0));
        assert_eq!((stream.markers, stream.bytes), (20_000, 4_000_000));
        assert_eq!((stream.reordered, stream.duplicates), (0, 0));
        assert_eq!(stream.timestamps_backwards, 0);
    }

    #[test]
    fn loss_is_counted_across_the_rollover() {
        let stream = played((65_500..65_600).filter(|number| !(65_530..65_540).contains(number)));
        assert_eq!((stream.received, stream.lost()), (90, 10));
        assert_eq!(stream.markers, 9);
    }

    #[test]
    fn what_comes_out_of_order_is_not_lost_and_what_comes_twice_counts_once() {
        let stream = played([65_534, 65_536, 65_535, 65_537, 65_537, 65_533, 65_533]);
        assert_eq!((stream.received, stream.lost()), (5, 0));
        assert_eq!((stream.reordered, stream.duplicates), (2, 2));
    }

    #[test]
    fn streams_are_told_apart_and_what_is_no_rtp_is_not_counted() {
        let mut streams = Streams::default();
        streams.count(&packet(1, 10));
        streams.count(&packet(2, 500));
        streams.count(&packet(1, 12));
        for other in [
            &[0, 1, 0, 0][..],
            &[22, 254, 253],
            &[0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0],
            &[0x80],
        ] {
            assert!(streams.count(other).is_none());
        }
        assert_eq!((streams.received(), streams.lost()), (3, 1));
        assert_eq!(streams.by_ssrc.len(), 2);
    }
}
