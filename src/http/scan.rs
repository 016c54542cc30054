//! The grammar of a request head, byte by byte.
//!
//! httparse takes some of what a strict server must refuse (LF alone as the end of a line, any
//! number of blank lines before a request) and starts anew with every read. The scan in front of it
//! looks at each byte once, remembers where it stopped, and fails at the first byte that no valid
//! head has in that place. So an error depends on the bytes alone and not on how they arrived, a
//! bound is met when its byte arrives, and a head that trickles in costs linear time.

use super::request::METHOD_BYTES;
use super::{HttpLimits, RequestError};

/// First byte of a TLS record with a handshake in it (RFC 8446 §5.1); no HTTP method begins so.
const TLS_HANDSHAKE: u8 = 0x16;
/// `HTTP/1.1`.
const VERSION_BYTES: usize = 8;

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const VALUE: u8 = 4;

/// Which parts of a head each byte may stand in: tokens (RFC 9110 §5.6.2), targets (visible ASCII
/// without the fragment's `#`; wider than RFC 3986, since browsers send `|` and `{` as they are),
/// and header values (RFC 9110 §5.5).
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() {
            classes[byte] |= TOKEN;
        }
        if b.is_ascii_graphic() && b != b'#' {
            classes[byte] |= TARGET;
        }
        if is_value_byte(b) {
            classes[byte] |= VALUE;
        }
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut mark = 0;
    while mark < marks.len() {
        classes[marks[mark] as usize] |= TOKEN;
        mark += 1;
    }
    classes
};

/// Bytes at the front of `input` that are all of `class`.
fn run(input: &[u8], class: u8) -> usize {
    input
        .iter()
        .position(|&b| CLASSES[usize::from(b)] & class == 0)
        .unwrap_or(input.len())
}

/// Whether a header's value may hold `byte` (RFC 9110 §5.5): the class of values, as a computation
/// that a compiler does for many bytes at once.
pub(super) const fn is_value_byte(byte: u8) -> bool {
    (byte >= b' ' || byte == b'\t') & (byte != 0x7f)
}

/// How far a request head was checked.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    /// Bytes of the input that were checked.
    position: usize,
    /// Where the method, target or version that is being read begins.
    item: usize,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Line(Line),
    Fields(FieldScan),
}

/// What of the request line comes next.
#[derive(Debug, Clone, Copy)]
enum Line {
    Start,
    /// After the CR of a blank line before the request.
    StartLf,
    Method,
    Target,
    Version,
    VersionLf,
}

impl Default for Stage {
    fn default() -> Self {
        Self::Line(Line::Start)
    }
}

impl HeadScan {
    /// Whether no byte of a request line was seen yet.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Line(Line::Start | Line::StartLf))
    }

    /// Checks the bytes that were not seen before. `input` begins where it began at the last call.
    /// Returns the length of the head when its end is there.
    pub(super) fn advance(
        &mut self,
        input: &[u8],
        limits: &HttpLimits,
    ) -> Result<Option<usize>, RequestError> {
        let input = &input[..input.len().min(limits.head_bytes)];
        while let Some(&byte) = input.get(self.position) {
            match &mut self.stage {
                Stage::Line(line) => {
                    let line = *line;
                    self.request_line(line, byte, input, limits)?;
                }
                Stage::Fields(fields) => {
                    match fields.advance(&input[self.position..], limits.headers)? {
                        Some(length) => return Ok(Some(self.position + length)),
                        None => self.position = input.len(),
                    }
                }
            }
        }
        if input.len() == limits.head_bytes {
            return Err(RequestError::HeadTooLarge {
                limit: limits.head_bytes,
            });
        }
        Ok(None)
    }

    /// Checks the next byte or run of bytes of the request line; `byte` stands at `position`.
    fn request_line(
        &mut self,
        line: Line,
        byte: u8,
        input: &[u8],
        limits: &HttpLimits,
    ) -> Result<(), RequestError> {
        match line {
            Line::Start => match byte {
                // One blank line is left over from bodies of old clients (RFC 9112 §2.2).
                b'\r' if self.position == 0 => self.enter(Stage::Line(Line::StartLf)),
                b'\n' => return Err(RequestError::BareLineEnd),
                TLS_HANDSHAKE => return Err(RequestError::Tls),
                _ => {
                    self.item = self.position;
                    self.stage = Stage::Line(Line::Method);
                }
            },
            Line::StartLf => self.line_feed(byte, Stage::default())?,
            Line::Method => {
                let next = self.item(input, TOKEN);
                if self.position - self.item > METHOD_BYTES {
                    return Err(RequestError::MethodTooLong {
                        limit: METHOD_BYTES,
                    });
                }
                self.blank(next, Line::Target, RequestError::BadRequestLine)?;
            }
            Line::Target => {
                let next = self.item(input, TARGET);
                if self.position - self.item > limits.target_bytes {
                    return Err(RequestError::TargetTooLong {
                        limit: limits.target_bytes,
                    });
                }
                self.blank(next, Line::Version, RequestError::BadTarget)?;
            }
            Line::Version => {
                let next = self.item(input, TARGET);
                if self.position - self.item > VERSION_BYTES {
                    return Err(RequestError::BadRequestLine);
                }
                match next {
                    None => {}
                    Some(b'\r') => {
                        check_version(&input[self.item..self.position], input)?;
                        self.enter(Stage::Line(Line::VersionLf));
                    }
                    Some(b'\n') => return Err(RequestError::BareLineEnd),
                    Some(_) => return Err(RequestError::BadRequestLine),
                }
            }
            Line::VersionLf => self.line_feed(byte, Stage::Fields(FieldScan::default()))?,
        }
        Ok(())
    }

    /// Passes the bytes of `class`, and returns the one after them if it is there.
    fn item(&mut self, input: &[u8], class: u8) -> Option<u8> {
        self.position += run(&input[self.position..], class);
        input.get(self.position).copied()
    }

    /// Takes the blank that must follow an item of the request line.
    fn blank(
        &mut self,
        next: Option<u8>,
        line: Line,
        otherwise: RequestError,
    ) -> Result<(), RequestError> {
        match next {
            None => Ok(()),
            Some(b' ') if self.position > self.item => {
                self.enter(Stage::Line(line));
                self.item = self.position;
                Ok(())
            }
            Some(b'\n') => Err(RequestError::BareLineEnd),
            Some(b' ' | b'\r') => Err(RequestError::BadRequestLine),
            Some(_) => Err(otherwise),
        }
    }

    fn line_feed(&mut self, byte: u8, stage: Stage) -> Result<(), RequestError> {
        if byte != b'\n' {
            return Err(RequestError::BareLineEnd);
        }
        self.enter(stage);
        Ok(())
    }

    fn enter(&mut self, stage: Stage) {
        self.position += 1;
        self.stage = stage;
    }
}

/// `head` is the whole head so far, to tell HTTP/2 from a version that nobody has.
fn check_version(version: &[u8], head: &[u8]) -> Result<(), RequestError> {
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        b"HTTP/2.0" if head.trim_ascii_start().starts_with(b"PRI * ") => Err(RequestError::Http2),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(RequestError::UnsupportedVersion)
        }
        _ => Err(RequestError::BadRequestLine),
    }
}

/// How far the field lines of a head or of trailers were checked (RFC 9112 §5).
#[derive(Debug, Default)]
pub(super) struct FieldScan {
    stage: FieldStage,
    lines: u16,
}

#[derive(Debug, Default)]
enum FieldStage {
    #[default]
    LineStart,
    Name,
    Value,
    ValueLf,
    EndLf,
}

impl FieldScan {
    /// Checks further bytes. Returns how many of them belong to the lines when the blank line that
    /// ends them is there; otherwise all of them do.
    pub(super) fn advance(
        &mut self,
        input: &[u8],
        max_lines: usize,
    ) -> Result<Option<usize>, RequestError> {
        let mut position = 0;
        while let Some(&byte) = input.get(position) {
            match self.stage {
                FieldStage::LineStart => match byte {
                    b'\r' => {
                        self.stage = FieldStage::EndLf;
                        position += 1;
                    }
                    b' ' | b'\t' => return Err(RequestError::FoldedHeader),
                    b':' => return Err(RequestError::BadHeaderName),
                    _ if usize::from(self.lines) >= max_lines => {
                        return Err(RequestError::TooManyHeaders { limit: max_lines });
                    }
                    _ => {
                        self.lines += 1;
                        self.stage = FieldStage::Name;
                    }
                },
                FieldStage::Name => {
                    position += run(&input[position..], TOKEN);
                    match input.get(position) {
                        None => {}
                        Some(b':') => {
                            self.stage = FieldStage::Value;
                            position += 1;
                        }
                        Some(b' ' | b'\t') => return Err(RequestError::BlankBeforeColon),
                        Some(b'\n') => return Err(RequestError::BareLineEnd),
                        Some(_) => return Err(RequestError::BadHeaderName),
                    }
                }
                FieldStage::Value => {
                    position += run(&input[position..], VALUE);
                    match input.get(position) {
                        None => {}
                        Some(b'\r') => {
                            self.stage = FieldStage::ValueLf;
                            position += 1;
                        }
                        Some(b'\n') => return Err(RequestError::BareLineEnd),
                        Some(_) => return Err(RequestError::ControlCharacter),
                    }
                }
                FieldStage::ValueLf | FieldStage::EndLf if byte != b'\n' => {
                    return Err(RequestError::BareLineEnd);
                }
                FieldStage::ValueLf => {
                    self.stage = FieldStage::LineStart;
                    position += 1;
                }
                FieldStage::EndLf => return Ok(Some(position + 1)),
            }
        }
        Ok(None)
    }
}
