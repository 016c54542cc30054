//! Ogg (RFC 3533) that carries Opus (RFC 7845).

use std::time::Duration;

use memchr::memmem;

use super::{BitstreamError, Container, fill, opus, sniff};
use crate::AccessUnit;
use crate::packetise::MAX_PAYLOAD_BYTES;

/// What every page begins with.
const CAPTURE_PATTERN: &[u8] = b"OggS";
/// The page header without its segment table (RFC 3533 §6).
const PAGE_HEADER_BYTES: usize = 27;
/// A segment of this size is continued by the next one.
const FULL_SEGMENT_BYTES: u8 = 255;
const CHECKSUM_RANGE: std::ops::Range<usize> = 22..26;

/// The page begins with the rest of a packet.
const CONTINUED: u8 = 0x01;
/// The page begins a logical stream.
const BEGINS_STREAM: u8 = 0x02;

/// Damaged pages in a row after which the stream is given up. The transport is reliable, so one
/// can only be where recordings were joined; each costs a search over at most 64 KiB.
const MAX_BAD_PAGES: u32 = 8;

/// Bytes of a header packet that are kept: an OpusHead with its largest channel mapping. Comments
/// are skipped unread, whatever their size.
const MAX_HEADER_PACKET_BYTES: usize = 21 + 255;

/// The push parser.
#[derive(Debug)]
pub(super) struct Ogg {
    /// Bytes from the beginning of the page in work.
    page: Vec<u8>,
    bad_pages: u32,
    begun: bool,
    stream: Option<Stream>,
    /// The sum of the durations of all packets, over chained streams.
    elapsed: Duration,
}

/// The logical stream that is played.
#[derive(Debug)]
struct Stream {
    serial: u32,
    expect: Expect,
    /// The packet in work.
    packet: Vec<u8>,
    /// The beginning of the packet in work was lost.
    skipping: bool,
}

/// The next packet.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expect {
    Head,
    Tags,
    Audio,
}

impl Ogg {
    pub(super) fn new() -> Self {
        Self {
            page: Vec::new(),
            bad_pages: 0,
            begun: false,
            stream: None,
            elapsed: Duration::ZERO,
        }
    }

    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<AccessUnit>,
    ) -> Result<(), BitstreamError> {
        loop {
            let want = page_bytes(&self.page);
            if !fill(&mut self.page, want, &mut bytes) {
                return Ok(());
            }
            if page_bytes(&self.page) > want {
                continue; // what is here by now tells that the page goes on
            }
            if is_page(&self.page[..want]) {
                self.begun = true;
                self.bad_pages = 0;
                let mut page = std::mem::take(&mut self.page);
                self.take_page(&page[..want], out)?;
                page.drain(..want);
                self.page = page;
            } else {
                self.resynchronise()?;
            }
        }
    }

    pub(super) fn finish(&mut self) -> Result<(), BitstreamError> {
        if !self.begun && !self.page.is_empty() {
            sniff::check(&self.page, Container::Ogg)?;
            return Err(BitstreamError::Incomplete {
                header: "first Ogg page",
                container: "Ogg",
            });
        }
        Ok(())
    }

    pub(super) fn buffered(&self) -> usize {
        self.page.len() + self.stream.as_ref().map_or(0, |stream| stream.packet.len())
    }
}

impl Ogg {
    /// Drops a damaged page and what follows it, up to the next capture pattern.
    fn resynchronise(&mut self) -> Result<(), BitstreamError> {
        if !self.begun {
            sniff::check(&self.page, Container::Ogg)?;
            return Err(bad(
                "it does not begin with an Ogg page (ffmpeg: -c:a libopus -f ogg)",
            ));
        }
        self.bad_pages += 1;
        if self.bad_pages > MAX_BAD_PAGES {
            return Err(bad("page after page has a wrong checksum"));
        }
        if let Some(stream) = &mut self.stream {
            stream.packet.clear();
        }
        let next = memmem::find(&self.page[1..], CAPTURE_PATTERN).map(|at| at + 1);
        let keep_from = next.unwrap_or_else(|| {
            let begun = (1..CAPTURE_PATTERN.len())
                .rev()
                .find(|&bytes| self.page.ends_with(&CAPTURE_PATTERN[..bytes]));
            self.page.len() - begun.unwrap_or(0)
        });
        self.page.drain(..keep_from);
        Ok(())
    }

    fn take_page(&mut self, page: &[u8], out: &mut Vec<AccessUnit>) -> Result<(), BitstreamError> {
        let flags = page[5];
        let serial = u32::from_le_bytes([page[14], page[15], page[16], page[17]]);
        let (lacing, mut body) = page[PAGE_HEADER_BYTES..].split_at(usize::from(page[26]));
        if flags & BEGINS_STREAM != 0 {
            match codec_of(body) {
                Codec::Opus => self.stream = Some(Stream::new(serial)),
                Codec::Skeleton => return Ok(()),
                Codec::Other(codec) => return Err(BitstreamError::OggCodec { codec }),
            }
        }
        let Some(stream) = &mut self.stream else {
            return Err(bad("it does not begin with the header of an Opus stream"));
        };
        if stream.serial != serial {
            return Ok(()); // metadata beside the audio
        }
        stream.begin_page(flags & CONTINUED != 0);
        for &bytes in lacing {
            let (segment, rest) = body.split_at(usize::from(bytes));
            body = rest;
            stream.append(segment)?;
            if bytes == FULL_SEGMENT_BYTES {
                continue;
            }
            if let Some(mut unit) = stream.end_packet()? {
                unit.pts = Some(self.elapsed);
                self.elapsed += unit.duration.unwrap_or_default();
                out.push(unit);
            }
        }
        Ok(())
    }
}

impl Stream {
    fn new(serial: u32) -> Self {
        Self {
            serial,
            expect: Expect::Head,
            packet: Vec::new(),
            skipping: false,
        }
    }

    /// A packet that was begun and is not continued, and one that is continued but whose beginning
    /// is not here, were lost with a page between.
    fn begin_page(&mut self, continued: bool) {
        if !continued {
            self.packet.clear();
        }
        self.skipping = continued && self.packet.is_empty();
    }

    fn append(&mut self, segment: &[u8]) -> Result<(), BitstreamError> {
        if self.skipping {
            return Ok(());
        }
        let kept = match self.expect {
            Expect::Head | Expect::Tags => {
                let room = MAX_HEADER_PACKET_BYTES.saturating_sub(self.packet.len());
                &segment[..segment.len().min(room)]
            }
            Expect::Audio if self.packet.len() + segment.len() > MAX_PAYLOAD_BYTES => {
                return Err(BitstreamError::OpusPacketTooLarge);
            }
            Expect::Audio => segment,
        };
        self.packet.extend_from_slice(kept);
        Ok(())
    }

    fn end_packet(&mut self) -> Result<Option<AccessUnit>, BitstreamError> {
        if std::mem::take(&mut self.skipping) {
            return Ok(None);
        }
        let packet = std::mem::take(&mut self.packet);
        match self.expect {
            Expect::Head => {
                opus::check_head(&packet)?;
                self.expect = Expect::Tags;
                Ok(None)
            }
            Expect::Tags => {
                if !packet.starts_with(b"OpusTags") {
                    return Err(bad("its second packet is not OpusTags"));
                }
                self.expect = Expect::Audio;
                Ok(None)
            }
            Expect::Audio => opus::access_unit(packet).map(Some),
        }
    }
}

enum Codec {
    Opus,
    /// A directory of the other streams, which plays nothing itself.
    Skeleton,
    Other(&'static str),
}

/// The codec of a logical stream, from its first packet.
fn codec_of(packet: &[u8]) -> Codec {
    const MAGICS: [(&[u8], &str); 6] = [
        (b"\x01vorbis", "Vorbis"),
        (b"\x80theora", "Theora"),
        (b"\x7fFLAC", "FLAC"),
        (b"Speex   ", "Speex"),
        (b"OVP80", "VP8"),
        (b"BBCD", "Dirac"),
    ];
    if packet.starts_with(b"OpusHead") {
        return Codec::Opus;
    }
    if packet.starts_with(b"fishead\0") {
        return Codec::Skeleton;
    }
    let known = MAGICS.iter().find(|(magic, _)| packet.starts_with(magic));
    Codec::Other(known.map_or("another codec", |(_, name)| name))
}

/// Size of the page that begins `page`, as far as the bytes that are there tell.
fn page_bytes(page: &[u8]) -> usize {
    if page.len() < PAGE_HEADER_BYTES || !has_page_header(page) {
        return PAGE_HEADER_BYTES;
    }
    let body = PAGE_HEADER_BYTES + usize::from(page[26]);
    match page.get(PAGE_HEADER_BYTES..body) {
        None => body,
        Some(lacing) => body + lacing.iter().copied().map(usize::from).sum::<usize>(),
    }
}

/// Capture pattern, and version 0.
fn has_page_header(page: &[u8]) -> bool {
    page.starts_with(CAPTURE_PATTERN) && page[4] == 0
}

fn is_page(page: &[u8]) -> bool {
    has_page_header(page) && {
        let stored = &page[CHECKSUM_RANGE];
        let crc = crc32(0, &page[..CHECKSUM_RANGE.start]);
        let crc = crc32(crc, &[0; 4]);
        let crc = crc32(crc, &page[CHECKSUM_RANGE.end..]);
        stored == crc.to_le_bytes()
    }
}

/// The CRC of RFC 3533 §6: polynomial 0x04c11db7, not reflected, from 0.
pub(super) fn crc32(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, &byte| {
        crc << 8 ^ CRC_TABLE[usize::from((crc >> 24) as u8 ^ byte)]
    })
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut crc = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

fn bad(fault: &'static str) -> BitstreamError {
    BitstreamError::BadOgg { fault }
}
