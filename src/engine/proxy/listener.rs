//! One address on which users come in: accepts, serves, and closes without cutting anybody off.

use super::budget::Budget;
use super::route::Routing;
use super::strict::Strict;
use super::{Limits, forward};
use arc_swap::ArcSwap;
use futures::FutureExt;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

/// What the requests of a listener share.
#[derive(Debug)]
pub struct Listener {
    /// `service@environment`.
    pub name: String,
    /// What is in force.
    pub routing: ArcSwap<Routing>,
    /// Bounds.
    pub limits: Limits,
    /// How much may be tried again.
    pub budget: Budget,
    /// Owns connections to instances and tunnels.
    pub tasks: TaskTracker,
}

impl Listener {
    /// A listener that is not bound yet.
    pub fn new(name: &str, routing: Routing, limits: Limits, tasks: TaskTracker) -> Arc<Self> {
        let routing = ArcSwap::from_pointee(routing);
        Arc::new(Self { name: name.to_owned(), routing, limits, budget: Budget::default(), tasks })
    }
}

/// Whoever is at the other end of a connection.
#[derive(Debug)]
pub struct User {
    /// The address, for `X-Forwarded-For`.
    pub address: HeaderValue,
    closing: Arc<AtomicBool>,
    /// Speaks another protocol from here on.
    tunnel: AtomicBool,
    /// Requests of which at least a byte came.
    begun: AtomicU64,
    /// Of those, given to whoever answers.
    taken: AtomicU64,
    /// The connection's share of the bound; a tunnel keeps it.
    _slot: Option<OwnedSemaphorePermit>,
    _share: Share,
}

impl User {
    /// Is every answer to say that its connection closes?
    pub fn leaving(&self) -> bool {
        self.closing.load(Relaxed)
    }

    /// So many requests have begun to come.
    pub fn has_begun(&self, requests: u64) {
        self.begun.store(requests, Relaxed);
    }

    /// Did anything come behind the request that is being answered?
    pub fn is_ahead(&self) -> bool {
        self.begun.load(Relaxed) > self.taken.load(Relaxed)
    }

    /// What follows is no HTTP/1.1.
    pub fn begin_tunnel(&self) {
        self.tunnel.store(true, Relaxed);
    }

    /// Is what comes no HTTP/1.1 any more?
    pub fn tunnels(&self) -> bool {
        self.tunnel.load(Relaxed)
    }
}

/// Connections by address.
type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One of an address's connections.
#[derive(Debug)]
struct Share {
    address: IpAddr,
    counts: Counts,
}

impl Share {
    /// `None` when the address has as many as it may: so many at most, and never more than three times what is
    /// free. Alone it gets three quarters, as behind a reverse proxy, from which all users come; and however
    /// many addresses take what they can, something is left for the next one.
    fn take(counts: &Counts, address: IpAddr, bound: usize, free: usize) -> Option<Self> {
        let mut by_address = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.get(&address).copied().unwrap_or_default();
        if count >= bound.min(free.saturating_mul(3)) {
            return None;
        }
        by_address.insert(address, count + 1);
        Some(Self { address, counts: Arc::clone(counts) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) =
            self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(self.address)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// How far the closing of a socket has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Not accepting.
    Announcing,
    /// Idle connections close.
    Closing,
}

/// A bound address; dropping it without [`Socket::close`] closes idle connections at once.
#[derive(Debug)]
pub struct Socket {
    /// Where it listens.
    pub address: SocketAddr,
    stage: watch::Sender<Stage>,
    closing: Arc<AtomicBool>,
    unbound: oneshot::Receiver<()>,
}

impl Socket {
    /// Begins to accept.
    pub fn open(listener: &Arc<Listener>, address: SocketAddr, socket: std::net::TcpListener) -> io::Result<Self> {
        let socket = TcpListener::from_std(socket)?;
        let (stage, watched) = watch::channel(Stage::Open);
        let (unbinding, unbound) = oneshot::channel();
        let closing = Arc::<AtomicBool>::default();
        listener.tasks.spawn(accept(Arc::clone(listener), socket, watched, Arc::clone(&closing), unbinding));
        Ok(Self { address, stage, closing, unbound })
    }

    /// Stops accepting: the address is free when this returns. Answers then say that their connection
    /// closes, and after the time for that idle ones are closed.
    pub async fn close(self, listener: &Listener) {
        let Self { stage, closing, unbound, .. } = self;
        closing.store(true, Relaxed);
        stage.send_replace(Stage::Announcing);
        // An error means that the accepting task is gone, and its socket with it.
        let _gone = unbound.await;
        let announce = listener.limits.announce;
        listener.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(announce) => {}
                () = stage.closed() => {} // no connection is left
            }
            stage.send_replace(Stage::Closing);
            stage.closed().await;
        });
    }
}

async fn accept(
    listener: Arc<Listener>,
    socket: TcpListener,
    mut stage: watch::Receiver<Stage>,
    closing: Arc<AtomicBool>,
    unbound: oneshot::Sender<()>,
) {
    let slots = Arc::new(Semaphore::new(listener.limits.connections));
    let counts = Counts::default();
    let mut connections = JoinSet::new();
    let begin = |connections: &mut JoinSet<()>, stream, peer: SocketAddr, slot, stage: &watch::Receiver<Stage>| {
        let address = HeaderValue::try_from(peer.ip().to_canonical().to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        let ip = peer.ip().to_canonical();
        // The slot of this one is taken already.
        let free = slots.available_permits() + 1;
        let Some(share) = Share::take(&counts, ip, listener.limits.per_address, free) else {
            tracing::debug!(listener = listener.name, %ip, "too many connections of one address");
            return;
        };
        let closing = Arc::clone(&closing);
        let user = Arc::new(User {
            address,
            closing,
            tunnel: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            _slot: slot,
            _share: share,
        });
        connections.spawn(serve(Arc::clone(&listener), stream, user, stage.clone()));
    };
    loop {
        // The slot comes first: a connection beyond the bound stays in the kernel's queue.
        let accepting = async {
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, socket.accept().await)
        };
        tokio::select! {
            _ = stage.changed() => break,
            Some(_) = connections.join_next() => {}
            (slot, accepted) = accepting => match accepted {
                Ok((stream, peer)) => begin(&mut connections, stream, peer, slot, &stage),
                Err(error) => {
                    tracing::warn!(listener = listener.name, %error, "accepting failed");
                    // Out of descriptors, most likely: trying at once would only burn the processor.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
        }
    }
    // Whoever is in the queue already was told that we listen.
    while let Some(Ok((stream, peer))) = socket.accept().now_or_never() {
        begin(&mut connections, stream, peer, None, &stage);
    }
    drop(socket);
    // Nobody waits when the whole process ends.
    let _unwaited = unbound.send(());
    drop(stage);
    while connections.join_next().await.is_some() {}
}

async fn serve(listener: Arc<Listener>, stream: TcpStream, user: Arc<User>, mut stage: watch::Receiver<Stage>) {
    let limits = listener.limits;
    let stream = Strict::new(stream, Arc::clone(&user), limits.head_bytes);
    let service = service_fn(move |request| {
        user.taken.fetch_add(1, Relaxed);
        let answer = forward::answer(Arc::clone(&listener), Arc::clone(&user), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(limits.head_bytes)
        .max_header_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let closing = async { drop(stage.wait_for(|stage| *stage == Stage::Closing).await) };
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        // An error means that the socket's owner is gone, which closes as well.
        () = closing => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a user's connection broke");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_alone_gets_three_quarters_and_many_leave_something() {
        for (addresses, most, least_left) in [(1, 3072, 1024), (2, 1757, 580), (10, 400, 120)] {
            let counts = Counts::default();
            let mut taken = Vec::new();
            // In turns, as long as anybody gets one.
            loop {
                let before = taken.len();
                for address in 0..addresses {
                    let address = IpAddr::from([10, 0, 0, address]);
                    taken.extend(Share::take(&counts, address, 4096, 4096 - taken.len()));
                }
                if taken.len() == before {
                    break;
                }
            }
            let each = counts.lock().unwrap().values().copied().max().unwrap();
            let left = 4096 - taken.len();
            assert!(each <= most && left >= least_left, "{addresses} addresses: {each} each, {left} left");
            assert!(addresses > 1 || each == most, "{each}");
            assert!(Share::take(&counts, IpAddr::from([10, 0, 1, 0]), 4096, left).is_some());
        }
        let counts = Counts::default();
        let two: Vec<_> = (0..3).filter_map(|_| Share::take(&counts, IpAddr::from([10, 0, 0, 1]), 2, 4096)).collect();
        assert_eq!(two.len(), 2, "a bound of its own counts as well");
    }
}
