//! A stream whose other end must take what it asked for.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// So long the other end may take nothing of what was written for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Breaks off where nothing was taken for so long: what waits here takes memory.
pub(super) struct Prompt<S> {
    stream: S,
    within: Duration,
    patience: Pin<Box<Sleep>>,
    waits: bool,
}

impl<S> Prompt<S> {
    pub(super) fn new(stream: S) -> Prompt<S> {
        Prompt::within(stream, PATIENCE)
    }

    fn within(stream: S, within: Duration) -> Prompt<S> {
        Prompt { stream, within, patience: Box::pin(sleep(within)), waits: false }
    }

    fn judge<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = false;
            return written;
        }
        if !self.waits {
            self.waits = true;
            let until = Instant::now() + self.within;
            self.patience.as_mut().reset(until);
        }
        match self.patience.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "its answer is not taken"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prompt<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prompt<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buf);
        self.judge(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bufs);
        self.judge(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(shut, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    #[tokio::test]
    async fn who_takes_nothing_is_left_after_a_while_and_who_takes_a_little_is_not() {
        let (near, mut far) = duplex(1);
        let mut near = Prompt::within(near, Duration::from_millis(200));
        near.write_all(b"a").await.unwrap();
        let error = near.write_all(b"b").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        far.read_u8().await.unwrap();
        let began = Instant::now();
        let slow = async {
            for _ in 0..10 {
                sleep(Duration::from_millis(50)).await;
                far.read_u8().await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(near.write_all(b"0123456789"), slow);
        written.unwrap();
        assert!(began.elapsed() > Duration::from_millis(400), "longer than it would wait without a byte");
    }
}
