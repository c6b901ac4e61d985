//! An instance's answer on its way to the user, watched to its end.

use super::access::{End, Entry};
use super::clock;
use super::flight::Flight;
use super::pool::Instance;
use super::upload::{Progress, Upload};
use super::user::Answering;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

/// What hyper sends; until it is dropped the request is being answered.
#[derive(Debug)]
pub struct Answer {
    pub body: Download,
    /// Counts.
    pub _answering: Answering,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
    upload: Option<Arc<Progress>>,
    entry: Option<Box<Entry>>,
}

impl Relay {
    /// Watches an answer to its last byte; then the connection is idle again.
    pub fn new(
        inner: Incoming,
        open: (Flight, SendRequest<Upload>, Arc<Instance>),
        upload: Option<Arc<Progress>>,
        entry: Option<Box<Entry>>,
    ) -> Self {
        let mut relay = Self { inner, open: Some(open), upload, entry };
        if relay.inner.is_end_stream() {
            relay.complete();
        }
        relay
    }

    fn complete(&mut self) {
        if let Some((flight, sender, instance)) = self.open.take() {
            flight.answered();
            instance.answered();
            instance.put_idle(sender, clock::now_ms());
            self.note(End::Answered);
        }
    }

    /// A user who breaks off sending also ends the answer; that is no fault of the instance.
    fn broke(&mut self) {
        let left = |upload: &Progress| upload.broken.load(Relaxed) || upload.stalled.load(Relaxed);
        if let Some((flight, _, instance)) = self.open.take()
            && !self.upload.as_deref().is_some_and(left)
        {
            flight.failed();
            instance.broke(clock::now_ms());
            self.note(End::Failed);
        }
    }

    /// It ends here for the access log.
    fn note(&mut self, how: End) {
        self.entry.take().into_iter().for_each(|mut entry| entry.ended(how));
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
                if let (Some(entry), Poll::Ready(Some(Ok(frame)))) = (&mut relay.entry, &polled) {
                    entry.took(frame.data_ref().map_or(0, Bytes::len));
                }
                match &polled {
                    Poll::Pending => {}
                    Poll::Ready(Some(Err(_))) => relay.broke(),
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
