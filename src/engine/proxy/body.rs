//! The two bodies that pass: a user's request and an instance's answer, each watched to its end.

use super::clock;
use super::counters::Flight;
use super::pool::Instance;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

/// How far a request's body has come.
#[derive(Debug, Default)]
pub struct Progress {
    /// Parts that the user sent.
    pub frames: AtomicU64,
    /// The user's side ended: all was sent.
    pub complete: AtomicBool,
    /// The user's side broke: what follows is not the instance's fault.
    pub broken: AtomicBool,
}

/// A request's body on its way to an instance.
#[derive(Debug)]
pub struct Upload {
    inner: Incoming,
    progress: Option<Arc<Progress>>,
}

impl Upload {
    /// Watches a body; a request without one has no progress.
    pub fn new(inner: Incoming) -> (Self, Option<Arc<Progress>>) {
        let progress = (!inner.is_end_stream()).then(Arc::<Progress>::default);
        (Self { inner, progress: progress.clone() }, progress)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        if let (Some(progress), Poll::Ready(frame)) = (&this.progress, &polled) {
            match frame {
                Some(Ok(_)) => {
                    progress.frames.fetch_add(1, Relaxed);
                    progress.complete.store(this.inner.is_end_stream(), Relaxed);
                }
                Some(Err(_)) => progress.broken.store(true, Relaxed),
                None => progress.complete.store(true, Relaxed),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body on its way to the user.
#[derive(Debug)]
pub enum Download {
    /// The proxy's own words.
    Text(Option<Bytes>),
    /// An instance's.
    Instance(Box<Relay>),
}

impl Download {
    /// The proxy's own words.
    pub fn text(text: String) -> Self {
        Self::Text((!text.is_empty()).then(|| text.into()))
    }
}

/// An instance's answer with what ends when it ends: the count, and the use of the connection.
#[derive(Debug)]
pub struct Relay {
    inner: Incoming,
    open: Option<(Flight, SendRequest<Upload>, Arc<Instance>)>,
}

impl Relay {
    /// Watches an answer to its last byte; then the connection is idle again.
    pub fn new(inner: Incoming, flight: Flight, sender: SendRequest<Upload>, instance: Arc<Instance>) -> Self {
        let mut relay = Self { inner, open: Some((flight, sender, instance)) };
        if relay.inner.is_end_stream() {
            relay.complete();
        }
        relay
    }

    fn complete(&mut self) {
        if let Some((flight, sender, instance)) = self.open.take() {
            flight.answered();
            instance.put_idle(sender, clock::now_ms());
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Instance(relay) => {
                let polled = Pin::new(&mut relay.inner).poll_frame(cx);
                match &polled {
                    Poll::Pending => {}
                    Poll::Ready(Some(Err(_))) => {
                        if let Some((flight, _, _)) = relay.open.take() {
                            flight.failed();
                        }
                    }
                    Poll::Ready(Some(Ok(_))) if !relay.inner.is_end_stream() => {}
                    Poll::Ready(_) => relay.complete(),
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Instance(relay) => relay.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Instance(relay) => relay.inner.size_hint(),
        }
    }
}
