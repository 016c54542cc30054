//! Made-up pictures that carry their number, so that a viewer's can be told apart.

#![allow(unreachable_pub)] // the simulation has it too

use std::time::Duration;

use rtc::{AccessUnit, Codec};

/// 25 pictures a second.
pub const FRAME: Duration = Duration::from_millis(40);

/// A stream of numbered pictures.
pub struct Stream {
    pub codec: Codec,
    /// Pictures from keyframe to keyframe.
    pub gop: usize,
    pub bytes: usize,
    pub keyframe_bytes: usize,
    pub next: u32,
}

impl Stream {
    /// 2 Mbit/s: seven packets a picture, 41 a keyframe.
    pub fn new(codec: Codec, gop: usize) -> Self {
        Self {
            codec,
            gop,
            bytes: 7_500,
            keyframe_bytes: 46_000,
            next: 0,
        }
    }

    /// Pictures of one packet, for tests with many viewers.
    pub fn small(codec: Codec, gop: usize) -> Self {
        Self {
            codec,
            gop,
            bytes: 600,
            keyframe_bytes: 3_000,
            next: 0,
        }
    }

    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> AccessUnit {
        let number = self.next;
        self.next += 1;
        let keyframe = (number as usize).is_multiple_of(self.gop);
        let bytes = if keyframe {
            self.keyframe_bytes
        } else {
            self.bytes
        };
        picture(self.codec, number, keyframe, bytes)
    }
}

/// Picture number `number`.
pub fn picture(codec: Codec, number: u32, keyframe: bool, bytes: usize) -> AccessUnit {
    let mut data = Vec::with_capacity(bytes + 64);
    match codec {
        Codec::H264 => {
            if keyframe {
                data.extend([0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x01]);
                data.extend([0, 0, 0, 1, 0x68, 0xcb, 0x8c, 0xb2]);
            }
            data.extend([0, 0, 0, 1, if keyframe { 0x65 } else { 0x41 }, 0x88]);
        }
        Codec::Vp8 => {
            data.extend([if keyframe { 0x10 } else { 0x11 }, 2, 0]);
            if keyframe {
                data.extend([0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01]);
            }
        }
        Codec::Opus => data.push(0x78),
    }
    data.extend(mark(number));
    data.resize(data.len().max(bytes), 0xa5);
    AccessUnit {
        codec,
        keyframe,
        data,
        pts: None,
        duration: None,
        size: None,
    }
}

/// The number that [`picture`] put into a frame, wherever the codec left it.
pub fn number_of(data: &[u8]) -> Option<u32> {
    let at = memchr::memmem::find(data, &[0xf0, 0xe1, 0xd2])?;
    let digits = data.get(at + 3..at + 8)?;
    Some(
        digits
            .iter()
            .fold(0, |number, digit| number << 7 | u32::from(digit & 0x7f)),
    )
}

/// Seven bits a byte, with the top bit set: no start code can arise.
fn mark(number: u32) -> [u8; 8] {
    let digit = |shift: u32| 0x80 | (number >> shift & 0x7f) as u8;
    [
        0xf0,
        0xe1,
        0xd2,
        digit(28),
        digit(21),
        digit(14),
        digit(7),
        digit(0),
    ]
}
