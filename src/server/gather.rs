//! Owns the writing of an answer's pieces: small ones are copied into one buffer, which costs less than a
//! vectored write.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// The most bytes that are copied: enough for a head and the JSON of most tasks.
const SMALL: usize = 2048;

/// Writes as many bytes of the pieces as the stream accepts.
pub(super) fn poll_write<S: AsyncWrite>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    match gathered(&mut [0; SMALL], pieces) {
        Some(bytes) => stream.poll_write(cx, bytes),
        None => stream.poll_write_vectored(cx, pieces),
    }
}

/// The pieces in one slice, where they fit into the buffer.
fn gathered<'a>(room: &'a mut [u8; SMALL], pieces: &[IoSlice<'_>]) -> Option<&'a [u8]> {
    let mut length = 0;
    for piece in pieces {
        let end = length + piece.len();
        room.get_mut(length..end)?.copy_from_slice(piece);
        length = end;
    }
    room.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_joined_in_order() {
        let (head, body) = ([b'h'; 400], [b'b'; SMALL - 400]);
        let pieces = [&head[..], b"", &body].map(IoSlice::new);
        assert_eq!(gathered(&mut [0; SMALL], &pieces), Some(&[&head[..], &body].concat()[..]));
        assert_eq!(gathered(&mut [0; SMALL], &[]), Some(&[][..]));
    }

    #[test]
    fn large_pieces_stay_apart() {
        let (head, body) = ([b'h'; 400], [b'b'; SMALL - 399]);
        assert_eq!(gathered(&mut [0; SMALL], &[&head[..], &body].map(IoSlice::new)), None);
        assert_eq!(gathered(&mut [0; SMALL], &[&[0; SMALL + 1][..], b""].map(IoSlice::new)), None);
    }
}
