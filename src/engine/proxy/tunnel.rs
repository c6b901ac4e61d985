//! After an instance agreed to another protocol: bytes both ways until both sides are done, or until the
//! instance must go.

use super::access::{End, Entry};
use super::flight::Flight;
use super::pool::{Instance, Tunnel};
use super::user::User;
use super::websocket::{self, Frames};
use super::wire::CLOSE_GRACE;
use hyper::header::HeaderValue;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// Bytes that are carried at once.
const PIECE: usize = 8192;

/// Both ends.
pub struct Ends {
    /// The user's.
    pub user: OnUpgrade,
    /// The instance's.
    pub instance: OnUpgrade,
}

/// Carries bytes; the request counts as in flight, and the user as connected, until the end.
pub async fn run(
    ends: Ends,
    protocol: HeaderValue,
    (mut flight, mut entry): (Flight, Option<Box<Entry>>),
    instance: Arc<Instance>,
    _user: Arc<User>,
) {
    flight.time();
    let mut end = |how| entry.take().into_iter().for_each(|mut entry| entry.ended(how));
    let (user_side, instance_side) = match tokio::try_join!(ends.user, ends.instance) {
        Ok((user, instance)) => (TokioIo::new(user), TokioIo::new(instance)),
        Err(error) => {
            tracing::debug!(%error, "a tunnel did not open");
            end(End::Failed);
            return flight.failed();
        }
    };
    let Tunnel { leaving, _counted } = instance.tunnel();
    let carried = if protocol.as_bytes().eq_ignore_ascii_case(b"websocket") {
        websocket(user_side, instance_side, &leaving).await
    } else {
        any(user_side, instance_side, &leaving).await
    };
    // Either side may end a tunnel at any time: an error here says only that it did.
    if let Err(error) = carried {
        tracing::debug!(%error, "a tunnel was cut");
    }
    end(End::Answered);
    flight.answered();
}

/// Nothing is known of what passes: it is cut.
async fn any(
    mut user: TokioIo<Upgraded>,
    mut instance: TokioIo<Upgraded>,
    leaving: &CancellationToken,
) -> io::Result<()> {
    tokio::select! {
        carried = tokio::io::copy_bidirectional(&mut user, &mut instance) => carried.map(drop),
        () = leaving.cancelled() => Err(io::Error::other("its instance leaves")),
    }
}

/// Both sides get a close frame once the instance leaves, and some time to answer it.
async fn websocket(
    user: TokioIo<Upgraded>,
    instance: TokioIo<Upgraded>,
    leaving: &CancellationToken,
) -> io::Result<()> {
    let (from_user, to_user) = tokio::io::split(user);
    let (from_instance, to_instance) = tokio::io::split(instance);
    let mask = fastrand::u32(..).to_ne_bytes();
    let both = async {
        tokio::try_join!(
            carry(from_instance, to_user, websocket::close_to_user(), leaving),
            carry(from_user, to_instance, websocket::close_to_instance(mask), leaving),
        )
    };
    let too_late = async {
        leaving.cancelled().await;
        tokio::time::sleep(CLOSE_GRACE).await;
    };
    tokio::select! {
        carried = both => carried.map(drop),
        () = too_late => Err(io::Error::other("its instance leaves, and the close was not answered")),
    }
}

/// One direction. Once the instance leaves, `close` follows the frame that is under way, and nothing follows
/// that: what still comes is read until it is a close too.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    close: Vec<u8>,
    leaving: &CancellationToken,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut frames = Frames::default();
    loop {
        let read = tokio::select! {
            biased;
            () = leaving.cancelled(), if frames.at_boundary() => break,
            read = from.read(&mut piece) => piece.get(..read?).unwrap_or_default(),
        };
        if read.is_empty() {
            return to.shutdown().await;
        }
        if !leaving.is_cancelled() {
            frames.read(read);
            to.write_all(read).await?;
            to.flush().await?;
            continue;
        }
        let rest = frames.read_frame(read);
        to.write_all(read.get(..read.len() - rest.len()).unwrap_or_default()).await?;
        if !rest.is_empty() || frames.at_boundary() {
            finish(&mut to, &frames, &close).await?;
            frames.read(rest);
            return answered(from, frames, piece).await;
        }
        to.flush().await?;
    }
    finish(&mut to, &frames, &close).await?;
    answered(from, frames, piece).await
}

/// A side that closed already is not told again.
async fn finish(to: &mut (impl AsyncWrite + Unpin), frames: &Frames, close: &[u8]) -> io::Result<()> {
    if !frames.closed() {
        to.write_all(close).await?;
    }
    to.flush().await
}

/// Reads on until the other side has closed too.
async fn answered(mut from: impl AsyncRead + Unpin, mut frames: Frames, mut piece: Vec<u8>) -> io::Result<()> {
    while !frames.closed() {
        match from.read(&mut piece).await? {
            0 => break,
            count => frames.read(piece.get(..count).unwrap_or_default()),
        }
    }
    Ok(())
}
