//! Reads the bits of a NAL unit (H.264 §7.2, §9.1).

/// Reads bits from the front of a NAL unit, without its emulation prevention bytes (§7.3.1).
/// `None` is what every read past the end gives.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Zero bytes read in a row, as they are in `bytes`.
    zeros: u8,
    current: u8,
    /// Bits of `current` not read yet.
    left: u8,
}

/// Longest prefix of zeros of an Exp-Golomb code whose value fits 32 bits.
const MAX_EXP_GOLOMB_ZEROS: u32 = 31;

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            zeros: 0,
            current: 0,
            left: 0,
        }
    }

    fn next_byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        if first == 3 && self.zeros >= 2 {
            self.zeros = 0;
            return self.next_byte();
        }
        self.zeros = if first == 0 {
            self.zeros.saturating_add(1)
        } else {
            0
        };
        Some(first)
    }

    /// u(1), as a flag.
    pub(super) fn flag(&mut self) -> Option<bool> {
        if self.left == 0 {
            self.current = self.next_byte()?;
            self.left = 8;
        }
        self.left -= 1;
        Some(self.current >> self.left & 1 == 1)
    }

    /// u(n) for n ≤ 32.
    pub(super) fn bits(&mut self, count: u32) -> Option<u32> {
        debug_assert!(count <= u32::BITS);
        (0..count).try_fold(0, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    /// ue(v): an unsigned Exp-Golomb code.
    pub(super) fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > MAX_EXP_GOLOMB_ZEROS {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.bits(zeros)?)
    }

    /// se(v): a signed Exp-Golomb code.
    pub(super) fn signed(&mut self) -> Option<i32> {
        let code = self.unsigned()?;
        let magnitude = i32::try_from(code.div_ceil(2)).ok()?;
        Some(if code % 2 == 1 { magnitude } else { -magnitude })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_of_table_9_2() {
        // 1 010 011 00100 00101 and the signed reading of 00110 00111.
        let mut bits = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1001_1000, 0b1110_0000]);
        assert_eq!([0, 1, 2, 3, 4].map(Some), [(); 5].map(|()| bits.unsigned()));
        assert_eq!([bits.signed(), bits.signed()], [Some(3), Some(-3)]);
    }

    #[test]
    fn emulation_prevention_is_removed() {
        let mut bits = BitReader::new(&[0, 0, 3, 1, 0, 0, 3, 3]);
        assert_eq!(bits.bits(32), Some(0x0000_0100));
        assert_eq!(bits.bits(16), Some(0x0003));
        assert_eq!(bits.flag(), None);
    }

    #[test]
    fn endless_zeros_are_refused() {
        assert_eq!(BitReader::new(&[0; 16]).unsigned(), None);
        assert_eq!(
            BitReader::new(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).unsigned(),
            Some(u32::MAX - 1)
        );
    }
}
