//! Bodies in chunks (RFC 9112 §7.1).

use super::RequestError;
use super::scan::{FieldScan, is_value_byte};

/// Digits of a chunk's size: 16 fill a `u64` and cannot overflow it.
const SIZE_DIGITS: u8 = 16;
/// Bytes of chunk extensions over a whole body. They are ignored, as RFC 9112 §7.1.1 demands, and
/// hardly anyone sends them; the bound keeps a body from being many times what its data is.
const EXTENSION_BYTES: usize = 256;
/// Bytes of trailers. They are checked and dropped; nothing that this server serves reads them.
const TRAILER_BYTES: usize = 4 * 1024;

// Both are counted in a `u16`.
const _: () = assert!(EXTENSION_BYTES < u16::MAX as usize);
const _: () = assert!(TRAILER_BYTES <= u16::MAX as usize);

/// Where the reading of a chunked body stands.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// Bytes that the chunk still has, or its size as read so far.
    remaining: u64,
    extension_bytes: u16,
    trailer_bytes: u16,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Size { digits: u8 },
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers(FieldScan),
}

impl Default for Stage {
    fn default() -> Self {
        Self::Size { digits: 0 }
    }
}

/// What follows the framing that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// More bytes are needed.
    Incomplete,
    /// So many bytes of data, all of them in the input.
    Data(usize),
    /// The body and its trailers are over.
    End,
}

impl Chunks {
    /// Reads framing up to data or the end. Returns the bytes of framing and what follows them.
    pub(super) fn advance(
        &mut self,
        input: &[u8],
        max_trailers: usize,
    ) -> Result<(usize, Chunk), RequestError> {
        for (position, &byte) in input.iter().enumerate() {
            match &mut self.stage {
                Stage::Data => {
                    let there = input.len() - position;
                    let length = usize::try_from(self.remaining).map_or(there, |n| n.min(there));
                    self.remaining -= length as u64;
                    if self.remaining == 0 {
                        self.stage = Stage::DataCr;
                    }
                    return Ok((position, Chunk::Data(length)));
                }
                Stage::Trailers(fields) => {
                    let rest = &input[position..];
                    let room = TRAILER_BYTES - usize::from(self.trailer_bytes);
                    let rest = &rest[..rest.len().min(room)];
                    if let Some(length) = fields.advance(rest, max_trailers)? {
                        return Ok((position + length, Chunk::End));
                    }
                    if rest.len() == room {
                        return Err(RequestError::TrailersTooLong {
                            limit: TRAILER_BYTES,
                        });
                    }
                    self.trailer_bytes += rest.len() as u16; // below TRAILER_BYTES, see above
                    return Ok((input.len(), Chunk::Incomplete));
                }
                _ => self.framing(byte)?,
            }
        }
        Ok((input.len(), Chunk::Incomplete))
    }

    /// Takes one byte between the data of two chunks.
    fn framing(&mut self, byte: u8) -> Result<(), RequestError> {
        self.stage = match (&self.stage, byte) {
            (Stage::Size { digits }, b'\r') if *digits > 0 => Stage::SizeLf,
            (Stage::Size { digits }, b';') if *digits > 0 => Stage::Extension,
            (Stage::Size { digits }, _) if *digits < SIZE_DIGITS => {
                let digit = char::from(byte)
                    .to_digit(16)
                    .ok_or(RequestError::BadChunk)?;
                self.remaining = self.remaining << 4 | u64::from(digit);
                Stage::Size { digits: digits + 1 }
            }
            (Stage::Extension, b'\r') => Stage::SizeLf,
            (Stage::Extension, _) if is_value_byte(byte) => {
                self.extension_bytes += 1;
                if usize::from(self.extension_bytes) > EXTENSION_BYTES {
                    return Err(RequestError::ChunkExtensionsTooLong {
                        limit: EXTENSION_BYTES,
                    });
                }
                Stage::Extension
            }
            (Stage::SizeLf, b'\n') if self.remaining == 0 => Stage::Trailers(FieldScan::default()),
            (Stage::SizeLf, b'\n') => Stage::Data,
            (Stage::DataCr, b'\r') => Stage::DataLf,
            (Stage::DataLf, b'\n') => Stage::default(),
            _ => return Err(RequestError::BadChunk),
        };
        Ok(())
    }
}
