//! Owns the placeholder film: ten seconds of H.264 that every browser plays, made without an encoder.
//!
//! Each second begins with a picture of uncompressed blocks (`I_PCM`, H.264 7.3.5), in which one column more is bright
//! than in the second before: so a player's place can be read off the picture. The pictures between repeat it, as skipped
//! blocks take no bytes.

use super::mp4::{self, Sample, Track};

/// Blocks of 16 by 16 pixels.
const COLUMNS: u8 = 10;
const ROWS: u8 = 6;
const BLOCK: u16 = 16;

/// Seconds, one for each column.
const LENGTH: u8 = COLUMNS;
const PICTURES_A_SECOND: u32 = 10;

const BRIGHT: u8 = 200;
const DARK: u8 = 50;

/// The film of a task, as an MP4 file. Its colour depends on the seed.
pub(super) fn mp4(seed: u8) -> Vec<u8> {
    let mut samples = Vec::new();
    for second in 0..LENGTH {
        samples.push(Sample { bytes: nal(&full_picture(second, seed)), is_sync: true });
        for _ in 1..PICTURES_A_SECOND {
            samples.push(Sample { bytes: nal(&repeated_picture()), is_sync: false });
        }
    }
    mp4::file(&Track {
        width: u16::from(COLUMNS) * BLOCK,
        height: u16::from(ROWS) * BLOCK,
        pictures_a_second: PICTURES_A_SECOND,
        sequence: sequence_parameters(),
        picture: picture_parameters(),
        samples,
    })
}

/// The sequence parameter set (7.3.2.1.1): constrained baseline profile, level 3, output in decoding order.
fn sequence_parameters() -> Vec<u8> {
    let mut bits = Bits::of(&[0x67, 66, 0xc0, 30]);
    // Its id, the width of frame numbers, the type of picture order, and one reference picture.
    for value in [0, 0, 2, 1] {
        bits.exp_golomb(value);
    }
    bits.put(0, 1);
    bits.exp_golomb(u32::from(COLUMNS) - 1);
    bits.exp_golomb(u32::from(ROWS) - 1);
    // Frames only, direct inference; no cropping, no usability information.
    bits.put(0b1100, 4);
    bits.finish()
}

/// The picture parameter set (7.3.2.2): variable-length codes, with the deblocking filter under control of slices.
fn picture_parameters() -> Vec<u8> {
    let mut bits = Bits::of(&[0x68]);
    bits.exp_golomb(0);
    bits.exp_golomb(0);
    bits.put(0, 2);
    // One slice group, one reference picture in each list.
    for _ in 0..3 {
        bits.exp_golomb(0);
    }
    bits.put(0, 3);
    // Quantisers, of which uncompressed blocks make no use.
    for _ in 0..3 {
        bits.exp_golomb(0);
    }
    bits.put(0b100, 3);
    bits.finish()
}

/// A picture that needs no other (7.3.3, an IDR picture).
fn full_picture(second: u8, seed: u8) -> Vec<u8> {
    const SLICE_OF_INTRA_BLOCKS: u32 = 7;
    const UNCOMPRESSED: u32 = 25;
    let mut bits = Bits::of(&[0x65]);
    bits.exp_golomb(0);
    bits.exp_golomb(SLICE_OF_INTRA_BLOCKS);
    bits.exp_golomb(0);
    bits.put(0, 4);
    // Two IDR pictures in a row need different ids.
    bits.exp_golomb(u32::from(second));
    bits.put(0, 2);
    bits.exp_golomb(0);
    bits.exp_golomb(1);
    // No sample is below 4, so that no start code can arise.
    let (blue, red) = (64 + seed / 2, 191 - seed / 2);
    for _ in 0..ROWS {
        for column in 0..COLUMNS {
            bits.exp_golomb(UNCOMPRESSED);
            bits.align();
            let luma = if column <= second { BRIGHT } else { DARK };
            bits.bytes(&[luma; 256]);
            bits.bytes(&[blue; 64]);
            bits.bytes(&[red; 64]);
        }
    }
    bits.finish()
}

/// A picture of skipped blocks alone, to which no other refers.
fn repeated_picture() -> Vec<u8> {
    const SLICE_OF_PREDICTED_BLOCKS: u32 = 5;
    let mut bits = Bits::of(&[0x01]);
    bits.exp_golomb(0);
    bits.exp_golomb(SLICE_OF_PREDICTED_BLOCKS);
    bits.exp_golomb(0);
    bits.put(1, 4);
    bits.put(0, 2);
    bits.exp_golomb(0);
    bits.exp_golomb(1);
    bits.exp_golomb(u32::from(COLUMNS) * u32::from(ROWS));
    bits.finish()
}

/// A NAL unit behind its length, as in MP4 files.
fn nal(unit: &[u8]) -> Vec<u8> {
    let length = u32::try_from(unit.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), unit].concat()
}

/// A bit string of H.264.
struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are used; 8 if there is none to fill.
    used: u8,
}

impl Bits {
    fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), used: 8 }
    }

    fn put(&mut self, value: u32, count: u8) {
        for place in (0..count).rev() {
            if self.used == 8 {
                self.bytes.push(0);
                self.used = 0;
            }
            self.used += 1;
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::from(value >> place & 1 == 1) << (8 - self.used);
            }
        }
    }

    /// An unsigned number (9.1). Of signed ones only zero occurs, which is the same.
    fn exp_golomb(&mut self, value: u32) {
        let value = value + 1;
        let zeros = u8::try_from(value.ilog2()).unwrap_or(0);
        self.put(0, zeros);
        self.put(value, zeros + 1);
    }

    fn align(&mut self) {
        self.used = 8;
    }

    /// Whole bytes behind an [`align`](Self::align).
    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn finish(mut self) -> Vec<u8> {
        self.put(1, 1);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_codes_of_the_standard() {
        for (value, code) in
            [(0, 0b1000_0000), (1, 0b0100_0000), (2, 0b0110_0000), (3, 0b0010_0000), (6, 0b0011_1000)]
        {
            let mut bits = Bits::of(&[]);
            bits.exp_golomb(value);
            assert_eq!(bits.bytes, [code], "{value}");
        }
    }

    #[test]
    fn nothing_in_it_looks_like_the_start_of_another_unit() {
        for seed in [0, 255] {
            for unit in
                [full_picture(0, seed), full_picture(9, seed), repeated_picture(), sequence_parameters()]
            {
                assert!(!unit.windows(3).any(|bytes| bytes[..2] == [0, 0] && bytes[2] <= 3));
            }
        }
    }
}
