//! Owns the writing of lower-case hexadecimal digits.

/// Writes two digits for each byte, until `out` is full.
pub fn write(bytes: impl IntoIterator<Item = u8>, out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// The digits of the bytes, two for each byte.
pub fn encode(bytes: &[u8]) -> String {
    let mut digits = vec![0; bytes.len() * 2];
    write(bytes.iter().copied(), &mut digits);
    digits.into_iter().map(char::from).collect()
}
