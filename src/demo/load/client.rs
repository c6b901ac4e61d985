//! One request to one target, and how it ended.

use super::LoadError;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustix::time::{ClockId, clock_gettime};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Where requests go, with its kept-alive connections.
#[derive(Debug)]
pub struct Target {
    /// As it was given.
    pub uri: Uri,
    address: SocketAddr,
    host: HeaderValue,
    slots: Semaphore,
    idle: Mutex<VecDeque<SendRequest<Empty<Bytes>>>>,
    connections: TaskTracker,
}

/// How a request travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// On a kept-alive connection.
    Kept,
    /// On its own connection.
    Fresh,
    /// On its own connection, for long.
    Stream,
}

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// 2xx and whole.
    Ok,
    /// An error that the service marked as its own wish.
    Injected,
    /// No answer.
    Reset(String),
    /// Not in time.
    Timeout,
    /// Not whole.
    ShortBody(String),
    /// Another status; the proxy's reason if it gave one.
    Status(u16, String),
}

/// A request that ended.
#[derive(Debug)]
pub struct Outcome {
    /// How it travelled.
    pub kind: Kind,
    pub ending: Ending,
    /// Who answered.
    pub version: Option<String>,
    /// From the intended time.
    pub latency: Duration,
    /// When it ended, on `CLOCK_MONOTONIC`.
    pub ended: Duration,
    /// Connections found closed before it was sent.
    pub reopened: u32,
    /// Where it went.
    pub target: Arc<Target>,
}

/// What is known while it is under way.
#[derive(Default)]
struct Trip {
    version: Option<String>,
    reopened: u32,
}

impl Target {
    /// Checks an address and resolves its name.
    pub async fn resolve(uri: &Uri, connections: usize) -> Result<Self, LoadError> {
        let wrong = |why: &str| LoadError::Target { target: uri.clone(), why: why.to_owned() };
        if uri.scheme_str() != Some("http") {
            return Err(wrong("it must begin with http://"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        let name = (authority.host(), authority.port_u16().unwrap_or(80));
        let mut found = tokio::net::lookup_host(name).await.map_err(|error| wrong(&error.to_string()))?;
        Ok(Self {
            address: found.next().ok_or_else(|| wrong("its name has no address"))?,
            host: HeaderValue::try_from(authority.as_str()).map_err(|error| wrong(&error.to_string()))?,
            uri: uri.clone(),
            slots: Semaphore::new(connections.max(1)),
            idle: Mutex::default(),
            connections: TaskTracker::new(),
        })
    }

    /// Sends one request and reads its answer.
    pub async fn request(self: Arc<Self>, kind: Kind, intended: Instant, timeout: Duration) -> Outcome {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        self.outcome(kind, intended, timeout, path).await
    }

    /// Reads one streamed answer, after a pause.
    pub async fn stream(self: Arc<Self>, pause: Duration, length: Duration, timeout: Duration) -> Outcome {
        tokio::time::sleep(pause).await;
        let path = format!("/stream?seconds={}", length.as_secs_f64());
        self.outcome(Kind::Stream, Instant::now(), length + timeout, path).await
    }

    async fn outcome(self: Arc<Self>, kind: Kind, intended: Instant, timeout: Duration, path: String) -> Outcome {
        let mut trip = Trip::default();
        let whole = async {
            match kind {
                Kind::Kept => self.kept(&path, &mut trip).await,
                Kind::Fresh | Kind::Stream => self.alone(kind, &path, &mut trip).await,
            }
        };
        let ending = match tokio::time::timeout_at(intended + timeout, whole).await {
            Ok(Ok(ending) | Err(ending)) => ending,
            Err(_elapsed) => Ending::Timeout,
        };
        let Trip { version, reopened } = trip;
        let ended = clock_gettime(ClockId::Monotonic);
        let ended = Duration::try_from(ended).unwrap_or_default();
        Outcome { kind, ending, version, latency: intended.elapsed(), ended, reopened, target: self }
    }

    async fn kept(&self, path: &str, trip: &mut Trip) -> Result<Ending, Ending> {
        let _slot = self.slots.acquire().await.map_err(|error| Ending::Reset(error.to_string()))?;
        loop {
            let idle = self.idle().pop_front();
            let (mut sender, reused) = match idle {
                Some(sender) => (sender, true),
                None => (self.connect().await?, false),
            };
            match sender.try_send_request(self.get(path, false)).await {
                Ok(response) => {
                    let closes = response.headers().get(CONNECTION).is_some_and(|value| value == "close");
                    let ending = read(response, Kind::Kept, trip).await?;
                    if !closes {
                        self.idle().push_back(sender);
                    }
                    return Ok(ending);
                }
                Err(mut error) => {
                    let unsent = error.take_message().is_some();
                    if !(reused && unsent) {
                        return Err(Ending::Reset(words(error.error())));
                    }
                    // The server had closed it, and nothing was sent on it.
                    trip.reopened += 1;
                }
            }
        }
    }

    async fn alone(&self, kind: Kind, path: &str, trip: &mut Trip) -> Result<Ending, Ending> {
        let mut sender = self.connect().await?;
        let answer = sender.send_request(self.get(path, true)).await;
        read(answer.map_err(|error| Ending::Reset(words(&error)))?, kind, trip).await
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, Ending> {
        let lost = |what: &str, error: &dyn std::fmt::Display| Ending::Reset(format!("{what}: {error}"));
        let stream = TcpStream::connect(self.address).await.map_err(|error| lost("connecting", &error))?;
        stream.set_nodelay(true).map_err(|error| lost("connecting", &error))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| lost("connecting", &error))?;
        // What breaks is told to the request on it.
        self.connections.spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    fn get(&self, path: &str, close: bool) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = path.parse().unwrap_or_default();
        request.headers_mut().insert(HOST, self.host.clone());
        if close {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        request
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<SendRequest<Empty<Bytes>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(response: Response<Incoming>, kind: Kind, trip: &mut Trip) -> Result<Ending, Ending> {
    let (head, mut body) = response.into_parts();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    trip.version = header("x-sample-version");
    let mut last = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Ending::ShortBody(words(&error)))?;
        if let Ok(data) = frame.into_data() {
            last = data.split_at(data.len().saturating_sub(4)).1.to_vec();
        }
    }
    if header("x-sample-injected").is_some() {
        return Ok(Ending::Injected);
    }
    if !head.status.is_success() {
        return Err(Ending::Status(head.status.as_u16(), header("x-flightdeck-proxy").unwrap_or_default()));
    }
    if kind == Kind::Stream && last != b"end\n" {
        return Err(Ending::ShortBody("the stream has no end line".to_owned()));
    }
    Ok(Ending::Ok)
}

/// An error with its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
