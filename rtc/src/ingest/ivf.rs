//! IVF: a 32-byte header, then frames behind their length and time (the format of the VP8 tools).

use std::time::Duration;

use super::{BitstreamError, Container, MAX_ACCESS_UNIT_BYTES, VideoFormat, fill, sniff, vp8};
use crate::AccessUnit;

const HEADER_BYTES: usize = 32;
/// Largest header that is skipped. Only 32 bytes are in use.
const MAX_HEADER_BYTES: usize = 1024;
/// Length (32 bits) and time (64 bits), little endian.
const FRAME_HEADER_BYTES: usize = 12;

/// The push parser.
#[derive(Debug)]
pub(super) struct Ivf {
    state: State,
    /// The header or frame in work.
    buffer: Vec<u8>,
    /// Ticks of the time base per second, as a fraction.
    ticks: (u32, u32),
    format: Option<VideoFormat>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Header,
    /// What a header longer than [`HEADER_BYTES`] holds beyond them.
    Skip {
        bytes: usize,
    },
    FrameHeader,
    Frame {
        bytes: usize,
        pts: Option<Duration>,
    },
}

impl Ivf {
    pub(super) fn new() -> Self {
        Self {
            state: State::Header,
            buffer: Vec::new(),
            ticks: (1, 1),
            format: None,
        }
    }

    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<AccessUnit>,
    ) -> Result<(), BitstreamError> {
        loop {
            let want = match self.state {
                State::Header => HEADER_BYTES,
                State::FrameHeader => FRAME_HEADER_BYTES,
                State::Skip { bytes } | State::Frame { bytes, .. } => bytes,
            };
            if !fill(&mut self.buffer, want, &mut bytes) {
                return Ok(());
            }
            self.state = match self.state {
                State::Header => self.header()?,
                State::Skip { .. } => State::FrameHeader,
                State::FrameHeader => self.frame_header()?,
                State::Frame { pts, .. } => {
                    self.frame(pts, out)?;
                    State::FrameHeader
                }
            };
            self.buffer.clear();
            if let State::Frame { bytes, .. } = self.state {
                self.buffer.reserve_exact(bytes);
            }
        }
    }

    pub(super) fn finish(&mut self) -> Result<(), BitstreamError> {
        match self.state {
            State::Header if !self.buffer.is_empty() => {
                sniff::check(&self.buffer, Container::Ivf)?;
                Err(BitstreamError::Incomplete {
                    header: "IVF header",
                    container: "IVF",
                })
            }
            State::Header | State::Skip { .. } | State::FrameHeader | State::Frame { .. } => Ok(()),
        }
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn video_format(&self) -> Option<VideoFormat> {
        self.format
    }

    fn header(&mut self) -> Result<State, BitstreamError> {
        sniff::check(&self.buffer, Container::Ivf)?;
        let bad = |fault| BitstreamError::BadIvf { fault };
        let header = self.buffer.as_slice();
        if !header.starts_with(b"DKIF") {
            return Err(bad(
                "it does not begin with DKIF (ffmpeg: -c:v libvpx -f ivf)",
            ));
        }
        let fourcc = [header[8], header[9], header[10], header[11]];
        match &fourcc {
            b"VP80" => {}
            b"VP90" => {
                return Err(BitstreamError::IvfCodec {
                    codec: "VP9".into(),
                });
            }
            b"AV01" => {
                return Err(BitstreamError::IvfCodec {
                    codec: "AV1".into(),
                });
            }
            other => {
                let codec = other.escape_ascii().to_string();
                return Err(BitstreamError::IvfCodec { codec });
            }
        }
        self.ticks = (le_u32(header, 16), le_u32(header, 20));
        if self.ticks.0 == 0 || self.ticks.1 == 0 {
            return Err(bad("its time base is zero"));
        }
        let header_bytes = usize::from(u16::from_le_bytes([header[6], header[7]]));
        match header_bytes {
            HEADER_BYTES..=MAX_HEADER_BYTES => Ok(State::Skip {
                bytes: header_bytes - HEADER_BYTES,
            }),
            _ => Err(bad("its header has an impossible length")),
        }
    }

    fn frame_header(&self) -> Result<State, BitstreamError> {
        let bytes = le_u32(&self.buffer, 0) as usize;
        if bytes > MAX_ACCESS_UNIT_BYTES {
            return Err(BitstreamError::PictureTooLarge);
        }
        let time = u64::from(le_u32(&self.buffer, 8)) << 32 | u64::from(le_u32(&self.buffer, 4));
        Ok(State::Frame {
            bytes,
            pts: self.time(time),
        })
    }

    /// A time in the stream's time base; `None` where no clock reaches it.
    fn time(&self, ticks: u64) -> Option<Duration> {
        const NANOS_PER_SECOND: u128 = 1_000_000_000;
        let (per_second, step) = self.ticks;
        let ticks = u128::from(ticks) * u128::from(step);
        let nanos = ticks.checked_mul(NANOS_PER_SECOND)? / u128::from(per_second);
        u64::try_from(nanos).ok().map(Duration::from_nanos)
    }

    /// An empty frame is one that the encoder dropped.
    fn frame(
        &mut self,
        pts: Option<Duration>,
        out: &mut Vec<AccessUnit>,
    ) -> Result<(), BitstreamError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut unit = vp8::access_unit(std::mem::take(&mut self.buffer))?;
        unit.pts = pts;
        self.format = vp8::format(&unit).or(self.format);
        out.push(unit);
        Ok(())
    }
}

fn le_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
