//! RTP as it came on the wire, counted from the headers alone (RFC 3550 §5.1; SRTP leaves them readable). A witness that
//! does not depend on what the viewer's WebRTC stack makes of the packets.

use std::collections::BTreeMap;

/// Sequence numbers behind the highest within which a packet that came twice is told from one that came late.
const WINDOW: u64 = 128;

/// The fields of a header that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
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
    pub payload_type: u8,
    /// Packets that came, each once.
    pub received: u64,
    pub duplicates: u64,
    pub bytes: u64,
    /// Markers: the last packets of pictures.
    pub markers: u64,
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
        self.bytes += bytes as u64;
        self.markers += u64::from(header.marker);
    }
}

/// All streams of one viewer.
#[derive(Clone, Debug, Default)]
pub struct Streams {
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

    pub fn received(&self) -> u64 {
        self.by_ssrc.values().map(|stream| stream.received).sum()
    }

    pub fn lost(&self) -> u64 {
        self.by_ssrc.values().map(Stream::lost).sum()
    }
}
