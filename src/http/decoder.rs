//! The bytes of a connection as requests and their bodies.

use super::chunked::{Chunk, Chunks};
use super::scan::HeadScan;
use super::{BodyLength, HttpLimits, MAX_HEADERS, Request, RequestError};

/// User-space bytes of an idle connection that are spent here.
const DECODER_BYTES: usize = 64;
const _: () = assert!(size_of::<Decoder>() <= DECODER_BYTES);

/// Reads the requests of one connection, one after the other.
///
/// What it says depends on the bytes alone: however they are split over calls, the events are the
/// same (with adjacent [`Event::Data`] taken together), and so is the error.
#[derive(Debug)]
pub struct Decoder {
    limits: HttpLimits,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(HeadScan),
    Length(u64),
    Chunks(Chunks),
    Failed(RequestError),
}

/// What the bytes at the front of the input were.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Nothing that could be told yet; more bytes are needed.
    Incomplete,
    /// The head of a request. Its body follows as [`Event::Data`], then [`Event::End`].
    Head(Request),
    /// Bytes of the body, never empty.
    Data(&'a [u8]),
    /// The request is complete. The next byte belongs to the next one.
    End,
}

impl Decoder {
    /// A decoder at the beginning of a connection. More than [`MAX_HEADERS`] headers are not
    /// counted on, whatever `limits` says.
    pub fn new(limits: HttpLimits) -> Self {
        let limits = HttpLimits {
            headers: limits.headers.min(MAX_HEADERS),
            ..limits
        };
        Self {
            limits,
            state: State::Head(HeadScan::default()),
        }
    }

    /// Takes a prefix of `input` and says what it was. The returned number of bytes is the
    /// caller's to drop, also with [`Event::Incomplete`] (the framing of a chunk is dropped as it
    /// is read); then `input` must begin at the next byte. A head is taken whole: until it is
    /// complete nothing is, and the next call must begin with the same bytes.
    ///
    /// # Errors
    /// What is wrong with the request, as soon as it is certain. The same error is returned from
    /// then on: answer it and close.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<(usize, Event<'a>), RequestError> {
        let decoded = match &mut self.state {
            State::Head(scan) => match scan.advance(input, &self.limits) {
                Ok(None) => return Ok((0, Event::Incomplete)),
                Ok(Some(length)) => Request::parse(&input[..length]).map(|request| {
                    self.state = match request.body {
                        BodyLength::None => State::Length(0),
                        BodyLength::Length(length) => State::Length(length),
                        BodyLength::Chunked => State::Chunks(Chunks::default()),
                    };
                    (length, Event::Head(request))
                }),
                Err(error) => Err(error),
            },
            State::Length(0) => {
                self.state = State::Head(HeadScan::default());
                Ok((0, Event::End))
            }
            State::Length(_) if input.is_empty() => Ok((0, Event::Incomplete)),
            State::Length(remaining) => {
                let length =
                    usize::try_from(*remaining).map_or(input.len(), |n| n.min(input.len()));
                *remaining -= length as u64;
                Ok((length, Event::Data(&input[..length])))
            }
            State::Chunks(chunks) => {
                chunks
                    .advance(input, self.limits.headers)
                    .map(|(framing, chunk)| match chunk {
                        Chunk::Incomplete => (framing, Event::Incomplete),
                        Chunk::Data(length) => {
                            let end = framing + length;
                            (end, Event::Data(&input[framing..end]))
                        }
                        Chunk::End => {
                            self.state = State::Head(HeadScan::default());
                            (framing, Event::End)
                        }
                    })
            }
            State::Failed(error) => Err(*error),
        };
        decoded.inspect_err(|&error| self.state = State::Failed(error))
    }

    /// Whether the connection rests between two requests: the last one has ended and no byte of the
    /// next request line was seen. (What times out then is keep-alive, not a request.)
    pub fn between_requests(&self) -> bool {
        matches!(&self.state, State::Head(scan) if scan.is_idle())
    }
}
