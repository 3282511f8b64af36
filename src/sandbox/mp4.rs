//! Owns the MP4 container of a single silent video track (ISO/IEC 14496-12 and 14496-15). Its index comes first, so that a
//! player can begin before the whole file is there.

/// A video track.
pub(super) struct Track {
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) pictures_a_second: u32,
    /// The parameter sets of H.264.
    pub(super) sequence: Vec<u8>,
    pub(super) picture: Vec<u8>,
    pub(super) samples: Vec<Sample>,
}

/// One picture.
pub(super) struct Sample {
    pub(super) bytes: Vec<u8>,
    /// Whether a player can begin with it.
    pub(super) is_sync: bool,
}

/// The unity matrix, as fixed-point numbers.
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// The whole file.
pub(super) fn file(track: &Track) -> Vec<u8> {
    let kind = named("ftyp", &[b"isom", &number(512), b"isomiso2avc1mp41"]);
    // The length of the index does not depend on the offset in it.
    let length = kind.len() + index(track, 0).len();
    let index = index(track, size(length + 8));
    let pictures: Vec<_> = track.samples.iter().map(|sample| &*sample.bytes).collect();
    [kind, index, named("mdat", &pictures)].concat()
}

fn index(track: &Track, offset: u32) -> Vec<u8> {
    let length = number(size(track.samples.len()));
    let rate = number(track.pictures_a_second);
    let matrix: Vec<u8> = MATRIX.iter().flat_map(|part| part.to_be_bytes()).collect();
    // Both times are 0; speed 1, full volume; the next track would be the second.
    let movie = full(
        "mvhd",
        0,
        &[&[0; 8], &rate, &length, &number(0x1_0000), &[1, 0], &[0; 10], &matrix, &[0; 24], &number(2)],
    );
    let area = [number(u32::from(track.width) << 16), number(u32::from(track.height) << 16)].concat();
    let head = full("tkhd", 3, &[&[0; 8], &number(1), &[0; 4], &length, &[0; 16], &matrix, &area]);
    // The language is "und".
    let media_head = full("mdhd", 0, &[&[0; 8], &rate, &length, &[0x55, 0xc4, 0, 0]]);
    let handler = full("hdlr", 0, &[&[0; 4], b"vide", &[0; 12], b"film\0"]);
    let video_head = full("vmhd", 1, &[&[0; 8]]);
    let here = full("url ", 1, &[]);
    let data = named("dinf", &[&full("dref", 0, &[&number(1), &here])]);
    let media = named("minf", &[&video_head, &data, &table(track, offset)]);
    let media = named("mdia", &[&media_head, &handler, &media]);
    named("moov", &[&movie, &named("trak", &[&head, &media])])
}

/// The sample table: the times, sizes and places of the pictures, all of which lie in one chunk.
fn table(track: &Track, offset: u32) -> Vec<u8> {
    let one = number(1);
    let count = number(size(track.samples.len()));
    let syncs: Vec<_> = (1..)
        .zip(&track.samples)
        .filter(|(_, sample)| sample.is_sync)
        .map(|(place, _)| number(place))
        .collect();
    let sizes: Vec<_> = track.samples.iter().map(|sample| number(size(sample.bytes.len()))).collect();
    named(
        "stbl",
        &[
            &full("stsd", 0, &[&one, &description(track)]),
            &full("stts", 0, &[&one, &count, &one]),
            &full("stss", 0, &[&number(size(syncs.len())), &syncs.concat()]),
            &full("stsc", 0, &[&one, &one, &count, &one]),
            &full("stsz", 0, &[&[0; 4], &count, &sizes.concat()]),
            &full("stco", 0, &[&one, &number(offset)]),
        ],
    )
}

fn description(track: &Track) -> Vec<u8> {
    let sets = |set: &[u8]| [&u16::try_from(set.len()).unwrap_or(0).to_be_bytes(), set].concat();
    let profile = &track.sequence[1..4];
    // Lengths of four bytes, one set of each kind.
    let decoder =
        named("avcC", &[&[1], profile, &[0xff, 0xe1], &sets(&track.sequence), &[1], &sets(&track.picture)]);
    let area = [track.width.to_be_bytes(), track.height.to_be_bytes()].concat();
    let inch = number(72 << 16);
    // The first data reference; one frame a sample, no name of the encoder, 24 bits of colour.
    named(
        "avc1",
        &[
            &[0, 0, 0, 0, 0, 0, 0, 1],
            &[0; 16],
            &area,
            &inch,
            &inch,
            &[0; 4],
            &[0, 1],
            &[0; 32],
            &[0, 24, 0xff, 0xff],
            &decoder,
        ],
    )
}

/// A box with version 0 and these flags.
fn full(name: &str, flags: u32, parts: &[&[u8]]) -> Vec<u8> {
    named(name, &[&[&number(flags)[..]], parts].concat())
}

fn named(name: &str, parts: &[&[u8]]) -> Vec<u8> {
    let length = 8 + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(&number(size(length)));
    bytes.extend_from_slice(name.as_bytes());
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

fn number(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// A length; those of the sandbox's films are far below 4 GiB.
fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
