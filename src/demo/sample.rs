//! A service to try rollouts with: a real HTTP server whose latency and errors are set.

use fastrand::Rng;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Spread of the logarithm of the latency: the 99th percentile is about twice the median.
const SIGMA: f64 = 0.3;
/// Longest stream that is answered.
const MAX_STREAM_SECONDS: f64 = 3600.0;
/// Time between two lines of a stream.
const STREAM_PAUSE: Duration = Duration::from_millis(100);

/// How the sample app behaves.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct SampleArgs {
    /// Where it listens, on 127.0.0.1; 0 takes a free one and prints it.
    #[arg(long)]
    pub port: u16,
    /// What it says it is.
    #[arg(long, default_value = "dev")]
    pub version: String,
    /// Median latency of an answer in milliseconds.
    #[arg(long)]
    pub latency_ms: Option<f64>,
    /// Share of requests answered 500 with `x-sample-injected: 1`; 0 to 1.
    #[arg(long)]
    pub error_rate: Option<f64>,
    /// A TOML file with `latency_ms`, `error_rate`, `start_after` and `crash_after`; arguments go
    /// before it.
    #[arg(long)]
    pub settings: Option<PathBuf>,
    /// One line for each request: `CLOCK_MONOTONIC` nanoseconds, method, path.
    #[arg(long)]
    pub access_log: Option<PathBuf>,
    /// Answers `/healthz` with 503.
    #[arg(long)]
    pub healthz_fail: bool,
    /// Listens only after so many seconds.
    #[arg(long)]
    pub start_after: Option<f64>,
    /// Ends with an error after so many seconds; with 0 before it listens.
    #[arg(long)]
    pub crash_after: Option<f64>,
}

/// What a settings file may hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct SampleFile {
    latency_ms: Option<f64>,
    error_rate: Option<f64>,
    start_after: Option<f64>,
    crash_after: Option<f64>,
}

/// Why the sample app could not run.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The settings file can't be used.
    #[error("settings file {path}")]
    Settings {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A number is out of its range.
    #[error("{what} is {value}; it must be {range}")]
    Range {
        /// Which.
        what: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// The access log can't be written.
    #[error("opening the access log {path}")]
    AccessLog {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The runtime did not start.
    #[error("starting the runtime")]
    Runtime(#[source] io::Error),
    /// The port can't be had.
    #[error("listening on port {port}")]
    Listen {
        /// Which.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// `--crash-after` came true.
    #[error("crashed as asked")]
    Crashed,
}

struct App {
    version: String,
    latency_ms: f64,
    error_rate: f64,
    healthy: bool,
    start: Option<Duration>,
    crash: Option<Duration>,
    served: AtomicU64,
    access_log: Option<File>,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Runs the app until SIGTERM or SIGINT.
pub fn run(args: SampleArgs) -> Result<(), SampleError> {
    let port = args.port;
    let app = Arc::new(App::new(args)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SampleError::Runtime)?;
    runtime.block_on(serve(app, port))
}

fn seconds(what: &'static str, value: Option<f64>) -> Result<Option<Duration>, SampleError> {
    let parse =
        |value| Duration::try_from_secs_f64(value).map_err(|_| SampleError::Range { what, value, range: "at least 0" });
    value.map(parse).transpose()
}

impl App {
    fn new(args: SampleArgs) -> Result<Self, SampleError> {
        let file = args.settings.as_deref().map_or(Ok(SampleFile::default()), read_settings)?;
        let latency_ms = args.latency_ms.or(file.latency_ms).unwrap_or(5.0);
        let error_rate = args.error_rate.or(file.error_rate).unwrap_or(0.0);
        if !(0.0..=60_000.0).contains(&latency_ms) {
            return Err(SampleError::Range { what: "latency_ms", value: latency_ms, range: "0 to 60000" });
        }
        if !(0.0..=1.0).contains(&error_rate) {
            return Err(SampleError::Range { what: "error_rate", value: error_rate, range: "0 to 1" });
        }
        let access_log = args.access_log.map(|path| {
            let opened = OpenOptions::new().create(true).append(true).open(&path);
            opened.map_err(|source| SampleError::AccessLog { path, source })
        });
        Ok(Self {
            version: args.version,
            latency_ms,
            error_rate,
            healthy: !args.healthz_fail,
            start: seconds("start_after", args.start_after.or(file.start_after))?,
            crash: seconds("crash_after", args.crash_after.or(file.crash_after))?,
            served: AtomicU64::new(0),
            access_log: access_log.transpose()?,
        })
    }

    fn log(&self, request: &Request<Incoming>) {
        if let Some(mut log) = self.access_log.as_ref() {
            let time = clock_gettime(ClockId::Monotonic);
            let nanos = time.tv_sec * 1_000_000_000 + time.tv_nsec;
            let line = format!("{nanos} {} {}\n", request.method(), request.uri());
            if let Err(error) = log.write_all(line.as_bytes()) {
                tracing::warn!(%error, "the access log could not be written");
            }
        }
    }
}

fn read_settings(path: &Path) -> Result<SampleFile, SampleError> {
    let failed = |source| SampleError::Settings { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.into()))?;
    toml::from_str(&text).map_err(|error| failed(error.into()))
}

async fn serve(app: Arc<App>, port: u16) -> Result<(), SampleError> {
    let crash = app.crash;
    if crash == Some(Duration::ZERO) {
        return Err(SampleError::Crashed);
    }
    if let Some(start) = app.start {
        tokio::time::sleep(start).await;
    }
    let failed = |source| SampleError::Listen { port, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(SampleError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(SampleError::Runtime)?;
    let socket = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    announce(&format!("sample {} listens on {address}", app.version));
    let mut crash = pin!(async move {
        match crash {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    });
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = crash.as_mut() => return Err(SampleError::Crashed),
            Some(_) = connections.join_next() => {}
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(Arc::clone(&app), stream, stopping.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting failed");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
        }
    }
    drop(socket);
    stop.send_replace(true);
    while connections.join_next().await.is_some() {}
    Ok(())
}

fn announce(line: &str) {
    // Nobody may be reading; that is no reason not to serve.
    let _unread = writeln!(io::stdout(), "{line}");
}

async fn connection(app: Arc<App>, stream: TcpStream, mut stopping: watch::Receiver<bool>) {
    if stream.set_nodelay(true).is_err() {
        return; // closed before it was served
    }
    let service = service_fn(move |request| {
        let app = Arc::clone(&app);
        async move { Ok::<_, Infallible>(answer(&app, request).await) }
    });
    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    let stop = async { drop(stopping.wait_for(|stop| *stop).await) };
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer(app: &App, request: Request<Incoming>) -> Answer {
    match request.uri().path() {
        "/healthz" if app.healthy => return text(StatusCode::OK, "ok\n"),
        "/healthz" => return text(StatusCode::SERVICE_UNAVAILABLE, "not healthy, as asked\n"),
        "/count" => return text(StatusCode::OK, &app.served.load(Relaxed).to_string()),
        _ => {}
    }
    app.served.fetch_add(1, Relaxed);
    app.log(&request);
    let mut answer = if request.uri().path() == "/stream" {
        stream(request.uri().query())
    } else {
        let read = if request.method() == Method::POST { length(request.into_body()).await } else { Some(0) };
        let pause = latency(app.latency_ms);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await; // even of nothing it would take a tick of the timer
        }
        match read {
            None => text(StatusCode::BAD_REQUEST, "the body broke off\n"),
            Some(_) if fastrand::f64() < app.error_rate => injected(),
            Some(length) => json(&serde_json::json!({
                "version": app.version, "pid": std::process::id(), "length": length,
            })),
        }
    };
    if let Ok(version) = HeaderValue::try_from(&app.version) {
        answer.headers_mut().insert("x-sample-version", version);
    }
    answer
}

async fn length(mut body: Incoming) -> Option<u64> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.ok()?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Some(length)
}

fn injected() -> Answer {
    let mut answer = text(StatusCode::INTERNAL_SERVER_ERROR, "an error, as asked\n");
    answer.headers_mut().insert("x-sample-injected", HeaderValue::from_static("1"));
    answer
}

fn text(status: StatusCode, text: &str) -> Answer {
    whole(status, "text/plain", Full::from(text.to_owned()))
}

fn json(value: &serde_json::Value) -> Answer {
    whole(StatusCode::OK, "application/json", Full::from(value.to_string()))
}

fn whole(status: StatusCode, kind: &'static str, body: Full<Bytes>) -> Answer {
    let mut answer = Response::new(body.boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// `/stream?seconds=N`: a line each tenth of a second, the last one `end`.
fn stream(query: Option<&str>) -> Answer {
    let seconds = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("seconds=")));
    let seconds: f64 = seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(10.0);
    let length = Duration::from_secs_f64(seconds.clamp(0.0, MAX_STREAM_SECONDS));
    let body = StreamBody::new(lines(length));
    let mut answer = Response::new(body.boxed());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}

fn lines(length: Duration) -> impl futures::Stream<Item = Result<Frame<Bytes>, Infallible>> {
    let ticks = length.as_millis() / STREAM_PAUSE.as_millis();
    futures::stream::unfold(0, move |tick| async move {
        if tick > ticks {
            return None;
        }
        let line = if tick == ticks { "end\n".to_owned() } else { format!("{tick} of {ticks}\n") };
        if tick > 0 {
            tokio::time::sleep(STREAM_PAUSE).await;
        }
        Some((Ok(Frame::data(Bytes::from(line))), tick + 1))
    })
}

/// A log-normal latency with this median (Box-Muller for the normal part), at most ten times it.
fn latency(median_ms: f64) -> Duration {
    if median_ms <= 0.0 {
        return Duration::ZERO;
    }
    let mut random = Rng::new();
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * random.f64()).cos();
    Duration::from_secs_f64(median_ms / 1000.0 * (SIGMA * normal).exp().min(10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> SampleArgs {
        SampleArgs {
            port: 0,
            version: "1".into(),
            latency_ms: None,
            error_rate: None,
            settings: None,
            access_log: None,
            healthz_fail: false,
            start_after: None,
            crash_after: None,
        }
    }

    #[test]
    fn the_median_latency_is_what_was_asked_for() {
        let mut got: Vec<Duration> = (0..4001).map(|_| latency(20.0)).collect();
        got.sort_unstable();
        let median = got[2000].as_secs_f64() * 1000.0;
        assert!((18.0..22.0).contains(&median), "{median}");
        assert_eq!(latency(0.0), Duration::ZERO);
    }

    #[test]
    fn arguments_go_before_the_file_and_both_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.toml");
        std::fs::write(&file, "latency_ms = 7\nerror_rate = 0.25\n").unwrap();
        let app = App::new(SampleArgs { settings: Some(file.clone()), ..args() }).unwrap();
        assert_eq!((app.latency_ms, app.error_rate), (7.0, 0.25));
        let app = App::new(SampleArgs { settings: Some(file.clone()), error_rate: Some(0.0), ..args() }).unwrap();
        assert_eq!((app.latency_ms, app.error_rate), (7.0, 0.0));
        assert!(matches!(App::new(SampleArgs { error_rate: Some(1.5), ..args() }), Err(SampleError::Range { .. })));
        std::fs::write(&file, "start_after = 1.5\ncrash_after = 0\n").unwrap();
        let app = App::new(SampleArgs { settings: Some(file.clone()), crash_after: Some(3.0), ..args() }).unwrap();
        assert_eq!((app.start, app.crash), (Some(Duration::from_millis(1500)), Some(Duration::from_secs(3))));
        std::fs::write(&file, "latncy_ms = 7\n").unwrap();
        assert!(matches!(App::new(SampleArgs { settings: Some(file), ..args() }), Err(SampleError::Settings { .. })));
    }
}
