//! A connection that is written to with `send` where that is all it takes: `writev` costs the kernel more.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Pieces that are this short together are copied into one.
const SHORT: usize = 4_096;

/// Writes several pieces as one where they are short, or as they are.
pub fn write_vectored<S: AsyncWrite>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let pieces = || slices.iter().filter(|slice| !slice.is_empty());
    let (first, rest) = (pieces().next(), pieces().nth(1));
    match (first, rest) {
        (None, _) => stream.poll_write(cx, &[]),
        (Some(only), None) => stream.poll_write(cx, only),
        _ if pieces().map(|slice| slice.len()).sum::<usize>() > SHORT => stream.poll_write_vectored(cx, slices),
        _ => {
            let mut one = [0; SHORT];
            let mut room = &mut one[..];
            for piece in pieces() {
                let (here, left) = std::mem::take(&mut room).split_at_mut(piece.len());
                here.copy_from_slice(piece);
                room = left;
            }
            let length = SHORT - room.len();
            stream.poll_write(cx, one.get(..length).unwrap_or_default())
        }
    }
}

/// A connection to an instance.
#[derive(Debug)]
pub struct Coalesced<S>(pub S);

impl<S: AsyncRead + Unpin> AsyncRead for Coalesced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Coalesced<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        write_vectored(Pin::new(&mut self.get_mut().0), cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn pieces_arrive_in_order_however_long_they_are() {
        let (long, longer) = (vec![b'b'; SHORT - 1], vec![b'c'; SHORT]);
        for pieces in
            [&[&b"a"[..], b"", b"bc"][..], &[b"", b"abc"], &[b"a", &long], &[b"a", &longer, b"d"], &[], &[b""]]
        {
            let (near, mut far) = tokio::io::duplex(64 << 10);
            let mut near = Coalesced(near);
            let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let written = poll_fn(|cx| Pin::new(&mut near).poll_write_vectored(cx, &slices)).await.unwrap();
            drop(near);
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.unwrap();
            let whole = pieces.concat();
            assert_eq!((written, got.len()), (got.len(), whole.len()));
            assert_eq!(got, whole);
        }
    }
}
