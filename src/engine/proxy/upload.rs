//! A user's request on its way to an instance, watched to its end.

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How far a request's body has come.
#[derive(Debug, Default)]
pub struct Progress {
    /// Parts that the user sent.
    pub frames: AtomicU64,
    /// The user's side ended: all was sent.
    pub complete: AtomicBool,
    /// The user's side broke: what follows is not the instance's fault.
    pub broken: AtomicBool,
    /// The user stopped sending; nor is this.
    pub stalled: AtomicBool,
}

/// Why a request's body does not go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The user's side broke.
    #[error("the user's side broke")]
    Broken(#[source] hyper::Error),
    /// Nothing came for too long.
    #[error("the user stopped sending")]
    Stalled,
}

/// A request's body on its way to an instance.
#[derive(Debug)]
pub struct Upload(Option<Watched>);

#[derive(Debug)]
struct Watched {
    inner: Incoming,
    progress: Arc<Progress>,
    stall: Duration,
    /// Runs while nothing comes.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Upload {
    /// Watches a body; a request without one has no progress.
    pub fn new(inner: Incoming, stall: Duration) -> (Self, Option<Arc<Progress>>) {
        if inner.is_end_stream() {
            return (Self::none(), None);
        }
        let progress = Arc::<Progress>::default();
        (Self(Some(Watched { inner, progress: Arc::clone(&progress), stall, waiting: None })), Some(progress))
    }

    /// Of a request without one.
    pub fn none() -> Self {
        Self(None)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Some(Watched { inner, progress, stall, waiting }) = &mut self.get_mut().0 else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(&mut *inner).poll_frame(cx) else {
            let timer = waiting.get_or_insert_with(|| Box::pin(sleep(*stall)));
            ready!(timer.as_mut().poll(cx));
            progress.stalled.store(true, Relaxed);
            return Poll::Ready(Some(Err(UploadError::Stalled)));
        };
        *waiting = None;
        match &frame {
            Some(Ok(_)) => {
                progress.frames.fetch_add(1, Relaxed);
                progress.complete.store(inner.is_end_stream(), Relaxed);
            }
            Some(Err(_)) => progress.broken.store(true, Relaxed),
            None => progress.complete.store(true, Relaxed),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(UploadError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|watched| watched.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |watched| watched.inner.size_hint())
    }
}
