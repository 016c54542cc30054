//! H.264 payloads (RFC 6184, packetization-mode 1).

use memchr::memmem;

use super::{MAX_PAYLOAD_BYTES, Packet, fragment_size};

/// NAL unit types (H.264 table 7-1) that are not sent. Decoders in browsers do without them, and
/// each would be a small packet in front of the slices, which ends the run of equal datagrams that
/// one `UDP_SEGMENT` send carries.
const SEI: u8 = 6;
const ACCESS_UNIT_DELIMITER: u8 = 9;
const FILLER_DATA: u8 = 12;

/// Payload types of RFC 6184 §5.2.
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

const TYPE_MASK: u8 = 0x1f;
const REF_IDC_MASK: u8 = 0x60;

/// The type octet of a STAP-A (RFC 6184 §5.7.1).
const STAP_A_HEADER_BYTES: usize = 1;
/// The size in front of each unit of a STAP-A.
const STAP_A_SIZE_BYTES: usize = 2;
/// FU indicator and FU header (RFC 6184 §5.8).
const FU_HEADER_BYTES: usize = 2;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

const _: () = assert!(
    MAX_PAYLOAD_BYTES <= u16::MAX as usize,
    "sizes in a STAP-A have 16 bits"
);

/// Appends the packets of one access unit in Annex B form.
pub(super) fn packetise(data: &[u8], out: &mut Vec<Packet>) {
    let mut small = Aggregate::default();
    for nal in nal_units(data) {
        if matches!(
            nal[0] & TYPE_MASK,
            SEI | ACCESS_UNIT_DELIMITER | FILLER_DATA
        ) {
            continue;
        }
        if !small.fits(nal) {
            small.flush(out);
        }
        if nal.len() > MAX_PAYLOAD_BYTES {
            fragment(nal, out);
        } else {
            small.add(nal);
        }
    }
    small.flush(out);
}

/// The NAL units of an Annex B stream, without start codes and trailing zeros, none empty.
fn nal_units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    const START_CODE: &[u8] = &[0, 0, 1];
    let mut starts = memmem::find_iter(data, START_CODE).peekable();
    std::iter::from_fn(move || {
        let start = starts.next()? + START_CODE.len();
        let end = starts.peek().copied().unwrap_or(data.len());
        let trailing = data[start..end]
            .iter()
            .rev()
            .take_while(|&&byte| byte == 0)
            .count();
        Some(&data[start..end - trailing])
    })
    .filter(|nal| !nal.is_empty())
}

/// NAL units that travel in one packet: the parameter sets of a keyframe, small slices.
#[derive(Default)]
struct Aggregate<'a> {
    nals: Vec<&'a [u8]>,
    /// Size of the STAP-A that holds `nals`, without its type octet.
    bytes: usize,
}

impl<'a> Aggregate<'a> {
    fn fits(&self, nal: &[u8]) -> bool {
        STAP_A_HEADER_BYTES + self.bytes + STAP_A_SIZE_BYTES + nal.len() <= MAX_PAYLOAD_BYTES
    }

    fn add(&mut self, nal: &'a [u8]) {
        self.bytes += STAP_A_SIZE_BYTES + nal.len();
        self.nals.push(nal);
    }

    /// A single NAL unit packet (§5.6) for one, a STAP-A for several.
    fn flush(&mut self, out: &mut Vec<Packet>) {
        match self.nals.as_slice() {
            [] => {}
            [nal] => out.push(Packet::new(nal)),
            nals => {
                let ref_idc = nals
                    .iter()
                    .map(|nal| nal[0] & REF_IDC_MASK)
                    .max()
                    .unwrap_or(0);
                let mut payload = Vec::with_capacity(STAP_A_HEADER_BYTES + self.bytes);
                payload.push(ref_idc | STAP_A);
                for nal in nals {
                    payload.extend_from_slice(&(nal.len() as u16).to_be_bytes());
                    payload.extend_from_slice(nal);
                }
                out.push(Packet::new(&payload));
            }
        }
        self.nals.clear();
        self.bytes = 0;
    }
}

/// FU-A fragments of one NAL unit, equal in size but the last.
fn fragment(nal: &[u8], out: &mut Vec<Packet>) {
    let (header, body) = (nal[0], &nal[1..]);
    let size = fragment_size(body.len(), MAX_PAYLOAD_BYTES - FU_HEADER_BYTES);
    let mut payload = Vec::with_capacity(FU_HEADER_BYTES + size);
    let mut pieces = body.chunks(size).peekable();
    let mut start = FU_START;
    while let Some(piece) = pieces.next() {
        let end = if pieces.peek().is_none() { FU_END } else { 0 };
        payload.clear();
        payload.extend_from_slice(&[
            (header & REF_IDC_MASK) | FU_A,
            start | end | (header & TYPE_MASK),
        ]);
        payload.extend_from_slice(piece);
        out.push(Packet::new(&payload));
        start = 0;
    }
}
