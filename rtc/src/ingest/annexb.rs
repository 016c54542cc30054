//! Annex B: NAL units between start codes (H.264 §B.1), and the silence that ends a picture.

use std::time::{Duration, Instant};

use memchr::memmem::Finder;

use super::picture::PictureAssembler;
use super::{BitstreamError, Container, START_CODE_SEARCH_BYTES, VideoFormat, fill, sniff};
use crate::AccessUnit;

/// After this long without a byte a picture counts as complete. Encoders write a picture at once;
/// 5 ms are many times what its pieces lie apart on a local link.
const SILENCE: Duration = Duration::from_millis(5);
/// How often the silence doubles at most, to 320 ms: longer than the 200 ms after which TCP sends
/// a lost segment again.
const MAX_SILENCE_DOUBLINGS: u32 = 6;

/// What ends the zeros in front of a NAL unit. The zero byte before it, where there is one, looks
/// like a trailing zero of the NAL unit before, and goes with it.
const START_CODE: &[u8] = &[0, 0, 1];

/// The push parser.
#[derive(Debug)]
pub(super) struct AnnexB {
    find_start_code: Finder<'static>,
    /// The first bytes, until they are enough to recognise another format.
    head: Option<Vec<u8>>,
    /// Bytes before the first start code; `None` after it.
    searched: Option<usize>,
    /// Zeros that the last bytes ended with. They may belong to a start code.
    zeros: usize,
    picture: PictureAssembler,
    /// When the last byte came, while silence may end the picture in work.
    last_byte: Option<Instant>,
}

impl AnnexB {
    pub(super) fn new() -> Self {
        Self {
            find_start_code: Finder::new(START_CODE),
            head: Some(Vec::new()),
            searched: Some(0),
            zeros: 0,
            picture: PictureAssembler::default(),
            last_byte: None,
        }
    }

    pub(super) fn push(
        &mut self,
        now: Instant,
        mut bytes: &[u8],
        out: &mut Vec<AccessUnit>,
    ) -> Result<(), BitstreamError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.last_byte = Some(now);
        if let Some(head) = &mut self.head
            && fill(head, sniff::SNIFF_BYTES, &mut bytes)
        {
            self.take_head(out)?;
        }
        match self.head {
            Some(_) => Ok(()),
            None => self.scan(bytes, out),
        }
    }

    pub(super) fn silence_deadline(&self) -> Option<Instant> {
        let last_byte = self.last_byte.filter(|_| self.picture.holds_picture())?;
        Some(last_byte + self.silence_time())
    }

    pub(super) fn silence(
        &mut self,
        now: Instant,
        out: &mut Vec<AccessUnit>,
    ) -> Result<(), BitstreamError> {
        if self
            .silence_deadline()
            .is_none_or(|deadline| now < deadline)
        {
            return Ok(());
        }
        // Where the picture cannot be complete, only its next byte starts the clock again.
        self.last_byte = None;
        self.picture.end_early(out)?;
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<AccessUnit>) -> Result<(), BitstreamError> {
        self.take_head(out)?;
        self.end(out)?;
        match self.searched {
            Some(_) => Ok(()), // an empty body
            None => self.picture.check_begun(),
        }
    }

    /// Reads bytes that hold whole access units. Parameter sets are kept from call to call.
    pub(super) fn read_whole(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<AccessUnit>,
    ) -> Result<(), BitstreamError> {
        self.searched = Some(0);
        self.zeros = 0;
        let read = self.scan(bytes, out).and_then(|()| self.end(out));
        self.picture.abandon();
        read
    }

    pub(super) fn buffered(&self) -> usize {
        self.head.as_ref().map_or(0, Vec::len) + self.picture.buffered()
    }

    pub(super) fn cut_pictures(&self) -> u64 {
        self.picture.cut_pictures()
    }

    pub(super) fn video_format(&self) -> Option<VideoFormat> {
        self.picture.format()
    }

    /// A stream that was cut has a slower link than was thought.
    fn silence_time(&self) -> Duration {
        let doublings = self
            .picture
            .cut_pictures()
            .min(MAX_SILENCE_DOUBLINGS.into()) as u32;
        SILENCE * 2_u32.pow(doublings)
    }

    fn take_head(&mut self, out: &mut Vec<AccessUnit>) -> Result<(), BitstreamError> {
        let Some(head) = self.head.take() else {
            return Ok(());
        };
        sniff::check(&head, Container::AnnexB)?;
        self.scan(&head, out)
    }

    fn end(&mut self, out: &mut Vec<AccessUnit>) -> Result<(), BitstreamError> {
        match self.searched {
            Some(bytes) if bytes + self.zeros > 0 => Err(BitstreamError::NoStartCode),
            _ => self.picture.finish(out),
        }
    }

    /// Finds the start codes and hands what lies between them to the picture.
    fn scan(&mut self, bytes: &[u8], out: &mut Vec<AccessUnit>) -> Result<(), BitstreamError> {
        let mut rest = self.join(bytes, out)?;
        while let Some(at) = self.find_start_code.find(rest) {
            self.take(without_trailing_zeros(&rest[..at]), out)?;
            self.begin_nal()?;
            rest = &rest[at + START_CODE.len()..];
        }
        let certain = without_trailing_zeros(rest);
        self.zeros += rest.len() - certain.len();
        self.take(certain, out)
    }

    /// Decides what the zeros held back are, now that `bytes` follow them: the beginning of a start
    /// code, or of the same NAL unit. Returns what is left to scan.
    fn join<'a>(
        &mut self,
        bytes: &'a [u8],
        out: &mut Vec<AccessUnit>,
    ) -> Result<&'a [u8], BitstreamError> {
        if self.zeros == 0 {
            return Ok(bytes);
        }
        let more = bytes.iter().take_while(|&&byte| byte == 0).count();
        match bytes.get(more) {
            None => Ok(bytes),
            Some(1) if self.zeros + more >= START_CODE.len() - 1 => {
                self.zeros = 0;
                self.begin_nal()?;
                Ok(&bytes[more + 1..])
            }
            Some(_) => {
                const ZEROS: [u8; 256] = [0; 256];
                while self.zeros > 0 {
                    let some = self.zeros.min(ZEROS.len());
                    self.zeros -= some;
                    self.take(&ZEROS[..some], out)?;
                }
                Ok(bytes)
            }
        }
    }

    fn begin_nal(&mut self) -> Result<(), BitstreamError> {
        self.check_searched()?;
        self.searched = None;
        self.picture.begin_nal()
    }

    /// Bytes that are not part of a start code.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<AccessUnit>) -> Result<(), BitstreamError> {
        match &mut self.searched {
            None => self.picture.append(bytes, out),
            Some(searched) => {
                *searched += bytes.len();
                self.check_searched()
            }
        }
    }

    fn check_searched(&self) -> Result<(), BitstreamError> {
        match self.searched {
            Some(bytes) if bytes > START_CODE_SEARCH_BYTES => Err(BitstreamError::NoStartCode),
            _ => Ok(()),
        }
    }
}

fn without_trailing_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    &bytes[..end]
}
