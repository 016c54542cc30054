//! What clients of the API did and saw, as one number.

use std::time::Duration;

/// FNV-1a over 64 bit.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x100_0000_01b3;

#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    print: bool,
}

impl Trace {
    pub(super) fn new(print: bool) -> Self {
        Self {
            hash: OFFSET,
            print,
        }
    }

    /// Something happened; the same seed brings it about again.
    pub(super) fn note(&mut self, at: Duration, what: &str) {
        for byte in at.as_millis().to_le_bytes().iter().chain(what.as_bytes()) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
        super::HASH.set(self.hash);
        if self.print {
            println!("{:>9.3} {what}", at.as_secs_f64());
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }
}
