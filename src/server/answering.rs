//! Owns the body of an answer on its way to hyper: piece by piece, and until its end the connection counts as
//! answering.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::pulse::Answer;

/// As much of a body is given to hyper at a time: it copies what it is given, and keeps that room for the connection.
const PIECE: usize = 16 * 1024;

/// A body that is an answer on its way until it is dropped.
pub(super) struct Answering<B> {
    body: B,
    /// What has come of it, and is still to be given.
    rest: Bytes,
    _answer: Answer,
}

impl<B> Answering<B> {
    pub(super) fn new(body: B, answer: Answer) -> Self {
        Self { body, rest: Bytes::new(), _answer: answer }
    }

    /// The next piece.
    fn piece(&mut self) -> Frame<Bytes> {
        Frame::data(self.rest.split_to(self.rest.len().min(PIECE)))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answering<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else { return Poll::Ready(None) };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) if data.len() > PIECE => {
                self.rest = data;
                self.piece()
            }
            Ok(data) => Frame::data(data),
            Err(trailers) => trailers,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut sum = SizeHint::new();
        sum.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            sum.set_upper(upper + rest);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::pulse::Pulse;
    use http_body_util::{BodyExt as _, Full};

    #[tokio::test]
    async fn a_long_body_is_given_piece_by_piece_and_whole() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 5 * PIECE - 7] {
            let bytes: Bytes = (0..=250).cycle().take(length).collect();
            let mut body = Answering::new(Full::new(bytes.clone()), Pulse::default().begin());
            let mut given = Vec::new();
            while !body.is_end_stream() {
                assert_eq!(body.size_hint().exact(), Some((length - given.len()) as u64));
                let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
                assert!((1..=PIECE).contains(&piece.len()), "{}", piece.len());
                given.extend_from_slice(&piece);
            }
            assert_eq!(given, bytes);
        }
    }
}
