//! A user's connection whose requests are read strictly before hyper reads them.

use super::framing::Framing;
use super::user::User;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What hyper reads in the place of what it must not: no request has a zero byte, so it answers 400 and
/// closes. The end of a head comes with it, since hyper looks at a head that came in parts only then.
const REFUSAL: &[u8] = b"\0\r\n\r\n";

/// The connection.
#[derive(Debug)]
pub struct Strict<S> {
    inner: S,
    user: Arc<User>,
    framing: Framing,
    /// What is left of the refusal, once there is one; then nothing more comes.
    refusal: Option<&'static [u8]>,
}

impl<S> Strict<S> {
    /// No line of a head may be longer.
    pub fn new(inner: S, user: Arc<User>, longest: usize) -> Self {
        Self { inner, user, framing: Framing::new(longest), refusal: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(left) = &mut this.refusal {
            put(left, buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
        if this.user.tunnels() {
            return Poll::Ready(Ok(()));
        }
        let read = buffer.filled().get(before..).unwrap_or_default();
        let taken = this.framing.read(read);
        this.user.has_begun(this.framing.begun());
        if let Err(bad) = taken {
            tracing::debug!(why = bad.why, "a request is refused");
            buffer.set_filled(before + bad.at);
            put(this.refusal.insert(REFUSAL), buffer);
        }
        Poll::Ready(Ok(()))
    }
}

fn put(left: &mut &'static [u8], buffer: &mut ReadBuf<'_>) {
    let (now, later) = left.split_at(left.len().min(buffer.remaining()));
    buffer.put_slice(now);
    *left = later;
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
