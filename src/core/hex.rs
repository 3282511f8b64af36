//! Owns lower-case hexadecimal: of hashes, and of names drawn by lot.

/// Writes two digits a byte, as far as there is room.
pub fn write(bytes: impl IntoIterator<Item = u8>, out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}
