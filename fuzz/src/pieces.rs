//! Bytes as a socket gives them: in pieces.

/// Largest piece. More than any header or frame head, so that some pieces hold several messages.
const LARGEST: u32 = 600;

/// Cuts `bytes` as `seed` says: 0 byte by byte, others in pieces of which most are short.
pub fn pieces(mut bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut random = u32::from(seed).wrapping_mul(0x9e37_79b9) | 1;
    while !bytes.is_empty() {
        // xorshift32 (Marsaglia 2003): the same cuts for the same seed, everywhere.
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        let length = match (seed, random % 8) {
            (0, _) => 1,
            (_, 0) => 1 + random / 8 % LARGEST,
            (_, _) => 1 + random / 8 % 12,
        };
        let (piece, rest) = bytes.split_at(bytes.len().min(length as usize));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
