//! A user's connection whose requests are read strictly before hyper reads them.

use super::coalesce;
use super::framing::Framing;
use super::user::User;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What hyper reads in the place of what it must not: no request has a zero byte, so it answers 400 and
/// closes. The end of a head comes with it, since hyper looks at a head that came in parts only then.
const REFUSAL: &[u8] = b"\0\r\n\r\n";

/// A user's connection: over TLS or in the open.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// What carries it.
    fn carrier(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn carrier(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn carrier(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// The connection. A clone is the same one: hyper has one while there is something to read or to answer.
#[derive(Debug)]
pub struct Strict<S>(Arc<Mutex<Inner<S>>>);

#[derive(Debug)]
struct Inner<S> {
    stream: S,
    user: Arc<User>,
    framing: Framing,
    /// What is left of the refusal, once there is one; then nothing more comes.
    refusal: Option<&'static [u8]>,
    /// All that came was read.
    empty: bool,
    /// All that was written is out.
    flushed: bool,
}

impl<S> Clone for Strict<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Stream> Strict<S> {
    /// No line of a head may be longer.
    pub fn new(stream: S, user: Arc<User>, longest: usize) -> Self {
        let (framing, refusal) = (Framing::new(longest), None);
        Self(Arc::new(Mutex::new(Inner { stream, user, framing, refusal, empty: false, flushed: true })))
    }

    /// Is there nothing in hyper that would be lost with it? Every request that began was answered whole, and all
    /// that came is read.
    pub fn is_idle(&self) -> bool {
        let inner = self.inner();
        inner.empty && inner.flushed && inner.refusal.is_none() && inner.user.waits() && !inner.user.tunnels()
    }

    /// Waits until something comes, or the other side goes.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.inner().stream.carrier().poll_read_ready(cx)).await
    }

    fn inner(&self) -> MutexGuard<'_, Inner<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Stream> AsyncRead for Strict<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_read(cx, buffer)
    }
}

impl<S: Stream> Inner<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(left) = &mut self.refusal {
            put(left, buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.empty = polled.is_pending();
        ready!(polled)?;
        if self.user.tunnels() {
            return Poll::Ready(Ok(()));
        }
        let read = buffer.filled().get(before..).unwrap_or_default();
        let taken = self.framing.read(read);
        self.user.has_begun(self.framing.begun());
        if let Err(bad) = taken {
            tracing::debug!(why = bad.why, "a request is refused");
            buffer.set_filled(before + bad.at);
            put(self.refusal.insert(REFUSAL), buffer);
        }
        Poll::Ready(Ok(()))
    }
}

fn put(left: &mut &'static [u8], buffer: &mut ReadBuf<'_>) {
    let (now, later) = left.split_at(left.len().min(buffer.remaining()));
    buffer.put_slice(now);
    *left = later;
}

impl<S: Stream> AsyncWrite for Strict<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.inner();
        inner.flushed = false;
        Pin::new(&mut inner.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.inner();
        inner.flushed = false;
        coalesce::write_vectored(Pin::new(&mut inner.stream), cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner().stream.is_write_vectored()
    }

    /// hyper asks for it when its own room is empty.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner();
        ready!(Pin::new(&mut inner.stream).poll_flush(cx))?;
        inner.flushed = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner().stream).poll_shutdown(cx)
    }
}
