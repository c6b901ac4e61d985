//! A bound address: accepts, serves, and closes without cutting anybody off.

use super::body::Answer;
use super::frontend::Frontend;
use super::strict::{Stream, Strict};
use super::tls::{self};
use super::user::{Counts, Encrypted, Place, Share, User};
use super::{forward, tcp};
use futures::FutureExt;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

/// Requests of one HTTP/2 connection at a time.
const STREAMS: u32 = 128;
/// A new connection is looked at so soon, to find that it is idle.
const QUIET: Duration = Duration::from_millis(50);
/// One that is busy every so often.
const QUIET_MOST: Duration = Duration::from_secs(1);
/// A peer that does not answer a ping for so long is gone.
const PONG: Duration = Duration::from_secs(20);

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
    stage: watch::Sender<Stage>,
    closing: Arc<AtomicBool>,
    unbound: oneshot::Receiver<()>,
}

impl Socket {
    /// Begins to accept.
    pub fn open(frontend: &Arc<Frontend>, socket: std::net::TcpListener) -> io::Result<Self> {
        let socket = TcpListener::from_std(socket)?;
        let (stage, watched) = watch::channel(Stage::Open);
        let (unbinding, unbound) = oneshot::channel();
        let closing = Arc::<AtomicBool>::default();
        let accepting = Accepting::new(frontend, &closing, watched);
        frontend.tasks.spawn(accepting.run(socket, unbinding));
        Ok(Self { stage, closing, unbound })
    }

    /// Stops accepting: the address is free when this returns. Answers then say that their connection
    /// closes, and after the time for that idle ones are closed.
    pub async fn close(self, frontend: &Frontend) {
        let Self { stage, closing, unbound } = self;
        closing.store(true, std::sync::atomic::Ordering::Relaxed);
        stage.send_replace(Stage::Announcing);
        // An error means that the accepting task is gone, and its socket with it.
        let _gone = unbound.await;
        let announce = frontend.limits.announce;
        frontend.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(announce) => {}
                () = stage.closed() => {} // no connection is left
            }
            stage.send_replace(Stage::Closing);
            stage.closed().await;
        });
    }
}

/// The task that accepts, and owns the connections.
struct Accepting {
    frontend: Arc<Frontend>,
    closing: Arc<AtomicBool>,
    stage: watch::Receiver<Stage>,
    slots: Arc<Semaphore>,
    counts: Counts,
    connections: JoinSet<()>,
}

impl Accepting {
    fn new(frontend: &Arc<Frontend>, closing: &Arc<AtomicBool>, stage: watch::Receiver<Stage>) -> Self {
        Self {
            frontend: Arc::clone(frontend),
            closing: Arc::clone(closing),
            stage,
            slots: Arc::new(Semaphore::new(frontend.limits.connections)),
            counts: Counts::default(),
            connections: JoinSet::new(),
        }
    }

    async fn run(mut self, socket: TcpListener, unbound: oneshot::Sender<()>) {
        loop {
            // The slot comes first: a connection beyond the bound stays in the kernel's queue.
            let accepting = async {
                let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
                (slot, socket.accept().await)
            };
            tokio::select! {
                _ = self.stage.changed() => break,
                Some(_) = self.connections.join_next() => {}
                (slot, accepted) = accepting => match accepted {
                    Ok((stream, peer)) => self.begin(stream, peer.ip().to_canonical(), slot),
                    Err(error) => {
                        tracing::warn!(address = %self.frontend.address, %error, "accepting failed");
                        // Out of descriptors, most likely: trying at once would only burn the processor.
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                },
            }
        }
        // Whoever is in the queue already was told that we listen.
        while let Some(Ok((stream, peer))) = socket.accept().now_or_never() {
            self.begin(stream, peer.ip().to_canonical(), None);
        }
        drop(socket);
        // Nobody waits when the whole process ends.
        let _unwaited = unbound.send(());
        let Self { mut connections, stage, .. } = self;
        drop(stage);
        while connections.join_next().await.is_some() {}
    }

    fn begin(&mut self, stream: TcpStream, peer: IpAddr, slot: Option<tokio::sync::OwnedSemaphorePermit>) {
        // The slot of this one is taken already.
        let free = self.slots.available_permits() + 1;
        let Some(share) = Share::take(&self.counts, peer, self.frontend.limits.per_address, free) else {
            tracing::debug!(address = %self.frontend.address, %peer, "too many connections of one address");
            return;
        };
        let connection = Connection {
            frontend: Arc::clone(&self.frontend),
            peer,
            closing: Arc::clone(&self.closing),
            place: Place::new(share, slot),
            stage: self.stage.clone(),
        };
        self.connections.spawn(connection.serve(stream));
    }
}

/// A connection that was accepted.
struct Connection {
    frontend: Arc<Frontend>,
    peer: IpAddr,
    closing: Arc<AtomicBool>,
    place: Place,
    stage: watch::Receiver<Stage>,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        if let Some(all) = self.frontend.all.load_full() {
            return Box::pin(tcp::serve(all, stream, self.place)).await;
        }
        if !self.frontend.keys.any() {
            let user = User::new(self.peer, None, self.closing, self.place);
            return http1(self.frontend, stream, user, self.stage).await;
        }
        // Boxed, so that a connection in the open is not as large as one with TLS.
        Box::pin(self.serve_secure(stream)).await;
    }

    async fn serve_secure(self, stream: TcpStream) {
        let mut stage = self.stage.clone();
        let handshake = TlsAcceptor::from(Arc::clone(&self.frontend.tls)).accept(stream);
        let stream = tokio::select! {
            shaken = tokio::time::timeout(self.frontend.limits.header, handshake) => match shaken {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "a handshake failed"),
                Err(_elapsed) => return tracing::debug!("a handshake took too long"),
            },
            // An error means that the socket's owner is gone, which closes as well.
            _ = stage.wait_for(|stage| *stage == Stage::Closing) => return,
        };
        let (_, session) = stream.get_ref();
        let encrypted = Encrypted { server_name: session.server_name().map(str::to_owned) };
        let speaks_http2 = session.alpn_protocol() == Some(tls::HTTP_2);
        let user = User::new(self.peer, Some(encrypted), self.closing, self.place);
        if speaks_http2 {
            http2(self.frontend, stream, user, self.stage).await;
        } else {
            http1(self.frontend, stream, user, self.stage).await;
        }
    }
}

/// Hyper keeps room for a whole request and a whole answer. Nobody keeps it for a connection on which nothing happens:
/// then there is only the socket, until something comes again.
async fn http1(frontend: Arc<Frontend>, stream: impl Stream, user: Arc<User>, mut stage: watch::Receiver<Stage>) {
    let limits = frontend.limits;
    let stream = Strict::new(stream, Arc::clone(&user), limits.head_bytes);
    // An error means that the socket's owner is gone, which closes as well.
    let mut closing = pin!(async { drop(stage.wait_for(|stage| *stage == Stage::Closing).await) });
    loop {
        let service = service_fn(|request| {
            user.take();
            let answering = user.answering();
            // Boxed, since hyper keeps the room for it as long as the connection is idle.
            let answer = Box::pin(forward::answer(Arc::clone(&frontend), Arc::clone(&user), request));
            answer.map(|response| Ok::<_, Infallible>(response.map(|body| Answer { body, _answering: answering })))
        });
        // Boxed where it is made: the room for a large value that moves would be kept twice.
        let mut connection = Box::pin(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.header)
                .max_buf_size(limits.head_bytes)
                .max_header_size(limits.head_bytes)
                .serve_connection(TokioIo::new(stream.clone()), service)
                .with_upgrades(),
        );
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => Some(ended),
            () = closing.as_mut() => {
                connection.as_mut().graceful_shutdown();
                Some(connection.as_mut().await)
            }
            () = quiet(&user, &stream) => None,
        };
        match ended {
            Some(Ok(())) => return,
            Some(Err(error)) => return tracing::debug!(%error, "a user's connection broke"),
            None => drop(connection),
        }
        let comes = tokio::select! {
            comes = tokio::time::timeout(limits.header, stream.readable()) => matches!(comes, Ok(Ok(()))),
            () = closing.as_mut() => false,
        };
        if !comes {
            // The other side may be gone already.
            return drop(AsyncWriteExt::shutdown(&mut stream.clone()).await);
        }
    }
}

/// Waits until nothing was asked for a while, and nothing is under way. Looks less often at what stays busy.
async fn quiet<S: Stream>(user: &User, stream: &Strict<S>) {
    let (mut seen, mut pause) = (None, QUIET);
    loop {
        tokio::time::sleep(pause).await;
        let taken = user.taken();
        if seen.replace(taken) == Some(taken) && stream.is_idle() {
            return;
        }
        pause = (pause * 2).min(QUIET_MOST);
    }
}

async fn http2(frontend: Arc<Frontend>, stream: impl Stream, user: Arc<User>, mut stage: watch::Receiver<Stage>) {
    let limits = frontend.limits;
    let tasks = Tasks(frontend.tasks.clone());
    let asking = Arc::clone(&user);
    let service = service_fn(move |request| {
        asking.take();
        let answer = forward::answer(Arc::clone(&frontend), Arc::clone(&asking), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut connection = Box::pin(
        http2::Builder::new(tasks)
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(limits.header)
            .keep_alive_timeout(PONG)
            .serve_connection(TokioIo::new(stream), service),
    );
    // Unlike HTTP/1.1 it can say by itself that it closes, and what is in flight is finished.
    let leaving = async {
        tokio::select! {
            _ = stage.wait_for(|stage| *stage != Stage::Open) => {}
            () = idle(&user, limits.header) => {}
        }
    };
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = leaving => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a user's connection broke");
    }
}

/// Waits until nothing was asked for so long.
async fn idle(user: &User, bound: Duration) {
    let mut seen = None;
    while seen != Some(user.taken()) {
        seen = Some(user.taken());
        tokio::time::sleep(bound).await;
    }
}

/// Runs the streams of an HTTP/2 connection as tasks of the proxy.
#[derive(Debug, Clone)]
struct Tasks(TaskTracker);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}
