//! The access log: a line of JSON for each request that ended, written by a thread of its own so that no request
//! waits for a disk.

use super::clock;
use super::headers::REQUEST_ID;
use super::user::User;
use super::wire::Route;
use flightdeck_model::{AccessLog, ArmRole, Ppm, Version};
use flightdeck_shim::LogLimits;
use flightdeck_shim::log::Log;
use hyper::Request;
use hyper::header::{HeaderName, REFERER, USER_AGENT};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Lines that may wait for the disk; more are lost, and counted.
const WAITING: usize = 8_192;
/// Files of one log, the growing one included.
const FILES: u32 = 5;
/// Bytes of what a user sent that are kept of one field.
const LONGEST: usize = 2_048;
/// The end of the process waits so long for the disk.
const LAST_LINES: Duration = Duration::from_secs(2);
/// Between two complaints about a disk that takes nothing.
const COMPLAINT: Duration = Duration::from_mins(1);

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Answered to the last byte; of a tunnel: one of its sides closed it.
    Answered,
    /// The instance did not answer, or not whole.
    Failed,
    /// The user did not wait for the end.
    UserLeft,
}

/// One line. What is not known is left out.
#[derive(Debug, Serialize)]
struct Line {
    /// When the request's head was there.
    time: Timestamp,
    service: String,
    environment: String,
    /// Who asks: the connection's other end, or whom a trusted proxy names.
    client: IpAddr,
    protocol: &'static str,
    tls: bool,
    method: String,
    host: String,
    /// Without the query, which often holds what is secret.
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Of the answer's body, as far as they were taken in.
    bytes: u64,
    /// Until the last byte.
    duration_ms: f64,
    ended: End,
    /// Why the proxy answered by itself, as in the header `X-Flightdeck-Proxy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<String>,
    /// It was written with this probability, so it stands for 1/sample requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<f64>,
}

/// Which requests of a route are written down, and where.
#[derive(Debug)]
pub struct Logging {
    sink: Arc<Sink>,
    sample: Ppm,
    max_bytes: u64,
}

/// Where lines of one service go.
#[derive(Debug)]
struct Sink {
    /// `service@environment`; its folder.
    name: String,
    lines: SyncSender<Message>,
    /// Lines that found no room since the last one that did.
    lost: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Line {
        sink: Arc<Sink>,
        line: Box<Line>,
        max_bytes: u64,
    },
    /// Write what is there, then end.
    End,
}

/// A request on its way into the log. It is written when this is dropped, however the request ended.
#[derive(Debug)]
pub struct Entry {
    sink: Arc<Sink>,
    started: Instant,
    max_bytes: u64,
    /// Written even if it goes well.
    chosen: bool,
    line: Option<Box<Line>>,
}

impl Entry {
    /// Of a request as it came.
    pub fn begin<B>(logging: &Logging, user: &User, client: IpAddr, request: &Request<B>) -> Self {
        let Logging { sink, sample, max_bytes } = logging;
        let (sample, max_bytes) = (*sample, *max_bytes);
        let chosen = fastrand::u32(..Ppm::ALL.0) < sample.0;
        let (service, environment) = sink.name.split_once('@').unwrap_or((&sink.name, ""));
        let header = |name: &HeaderName| request.headers().get(name).map(|value| text(value.as_bytes()));
        let authority = request.uri().authority().map(|authority| text(authority.as_str().as_bytes()));
        let line = Line {
            time: clock::wall(),
            service: service.to_owned(),
            environment: environment.to_owned(),
            client,
            protocol: protocol(request.version()),
            tls: user.tls.is_some(),
            method: text(request.method().as_str().as_bytes()),
            host: authority.or_else(|| header(&hyper::header::HOST)).unwrap_or_default(),
            path: text(request.uri().path().as_bytes()),
            status: None,
            bytes: 0,
            duration_ms: 0.0,
            ended: End::UserLeft,
            proxy: None,
            role: None,
            version: None,
            instance: None,
            request_id: None,
            user_agent: header(&USER_AGENT),
            referer: header(&REFERER).map(|referer| referer.split('?').next().unwrap_or_default().to_owned()),
            sample: (chosen && sample < Ppm::ALL).then(|| f64::from(sample.0) / f64::from(Ppm::ALL.0)),
        };
        let (sink, line) = (Arc::clone(sink), Some(Box::new(line)));
        Self { sink, started: clock::instant(), max_bytes, chosen, line }
    }

    /// The request as it goes on has an id.
    pub fn id<B>(&mut self, request: &Request<B>) {
        let id = request.headers().get(REQUEST_ID).map(|value| text(value.as_bytes()));
        self.with(|line| line.request_id = id);
    }

    /// It was given to an instance; `arm`: what that is in the route.
    pub fn given(&mut self, arm: Option<(&ArmRole, &Version)>, instance: &str) {
        self.with(|line| {
            line.role = arm.map(|(role, _)| role.to_string());
            line.version = arm.map(|(_, version)| version.clone());
            line.instance = Some(instance.to_owned());
        });
    }

    /// An answer begins.
    pub fn status(&mut self, status: u16) {
        self.with(|line| line.status = Some(status));
    }

    /// The proxy answers by itself.
    pub fn by_proxy(&mut self, why: &'static str, status: u16, ended: End) {
        self.with(|line| (line.proxy, line.status, line.ended) = (Some(why), Some(status), ended));
    }

    /// So many bytes of an answer were taken in.
    pub fn took(&mut self, bytes: usize) {
        self.with(|line| line.bytes += bytes as u64);
    }

    /// How it ended; without a word the user left.
    pub fn ended(&mut self, how: End) {
        self.with(|line| line.ended = how);
    }

    fn with(&mut self, change: impl FnOnce(&mut Line)) {
        if let Some(line) = self.line.as_deref_mut() {
            change(line);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(mut line) = self.line.take() else { return };
        let went_well = line.ended != End::Failed && line.status.is_none_or(|status| status < 500);
        if went_well && !self.chosen {
            return;
        }
        let took = clock::instant().duration_since(self.started);
        line.duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        let message = Message::Line { sink: Arc::clone(&self.sink), line, max_bytes: self.max_bytes };
        match self.sink.lines.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => drop(self.sink.lost.fetch_add(1, Relaxed)),
        }
    }
}

fn protocol(version: hyper::Version) -> &'static str {
    match version {
        hyper::Version::HTTP_2 => "HTTP/2",
        hyper::Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..LONGEST).unwrap_or(bytes)).into_owned()
}

/// The thread that writes, and the way to it.
#[derive(Debug)]
pub struct AccessLogs {
    lines: SyncSender<Message>,
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl AccessLogs {
    /// Logs are folders in `dir`, one a service in an environment.
    pub fn start(dir: &Path) -> std::io::Result<Self> {
        let (lines, messages) = sync_channel(WAITING);
        let (ending, ended) = sync_channel(1);
        let writer = Writer { dir: dir.to_owned(), logs: HashMap::new(), complained: None };
        let thread = std::thread::Builder::new().name("access log".into()).spawn(move || {
            writer.run(&messages);
            // Nobody waits when the whole process ends.
            let _unwaited = ending.send(());
        })?;
        Ok(Self { lines, ended, thread })
    }

    /// What a route asks.
    pub fn of(&self, route: &Route) -> Option<Logging> {
        let AccessLog::On { sample, max_bytes } = route.options.access_log else { return None };
        let name = route.options.called.as_ref().unwrap_or(&route.listener).clone();
        let sink = Arc::new(Sink { name, lines: self.lines.clone(), lost: AtomicU64::new(0) });
        Some(Logging { sink, sample, max_bytes })
    }

    /// Writes what waits; a disk that does not answer is not waited for.
    pub fn end(self) {
        let told = self.lines.try_send(Message::End).is_ok();
        match self.ended.recv_timeout(if told { LAST_LINES } else { Duration::ZERO }) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                if self.thread.join().is_err() {
                    tracing::error!("the thread of the access log panicked");
                }
            }
            Err(RecvTimeoutError::Timeout) => tracing::error!("the last lines of the access log may be lost"),
        }
    }
}

struct Writer {
    dir: PathBuf,
    logs: HashMap<String, Open>,
    complained: Option<Instant>,
}

struct Open {
    log: Log,
    max_bytes: u64,
    /// Lines of this round.
    waiting: Vec<u8>,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(first) = messages.recv() {
            // All that came meanwhile is one write a log.
            let mut round = std::iter::once(first).chain(std::iter::from_fn(|| messages.try_recv().ok())).take(WAITING);
            let ends = round.any(|message| match message {
                Message::End => true,
                Message::Line { sink, line, max_bytes } => {
                    self.add(&sink, &line, max_bytes);
                    false
                }
            });
            self.write();
            if ends {
                return;
            }
        }
    }

    fn add(&mut self, sink: &Sink, line: &Line, max_bytes: u64) {
        let open = match self.log(&sink.name, max_bytes) {
            Ok(open) => open,
            Err(error) => {
                sink.lost.fetch_add(1, Relaxed);
                return self.complain(&sink.name, &error);
            }
        };
        let lost = sink.lost.swap(0, Relaxed);
        if lost > 0 {
            let note = serde_json::json!({ "time": line.time, "lost": lost });
            open.waiting.extend_from_slice(format!("{note}\n").as_bytes());
        }
        // Plain data with text keys: it always has a JSON form.
        match serde_json::to_writer(&mut open.waiting, line) {
            Ok(()) => open.waiting.push(b'\n'),
            Err(error) => tracing::error!(%error, "a line of the access log has no JSON form"),
        }
    }

    fn log(&mut self, name: &str, max_bytes: u64) -> std::io::Result<&mut Open> {
        if self.logs.get(name).is_none_or(|open| open.max_bytes != max_bytes) {
            let limits = LogLimits { bytes: max_bytes / u64::from(FILES), files: FILES };
            let log = Log::open(&self.dir.join(name), limits)?;
            let waiting = self.logs.remove(name).map(|before| before.waiting).unwrap_or_default();
            self.logs.insert(name.to_owned(), Open { log, max_bytes, waiting });
        }
        self.logs.get_mut(name).ok_or_else(|| std::io::Error::other("the log that was opened is gone"))
    }

    fn write(&mut self) {
        let mut failed = Vec::new();
        for (name, open) in self.logs.iter_mut().filter(|(_, open)| !open.waiting.is_empty()) {
            if let Err(error) = open.log.write(&open.waiting) {
                failed.push((name.clone(), error));
            }
            open.waiting.clear();
        }
        for (name, error) in failed {
            self.complain(&name, &error);
        }
    }

    fn complain(&mut self, name: &str, error: &std::io::Error) {
        let now = clock::instant();
        if self.complained.is_none_or(|at| now.duration_since(at) >= COMPLAINT) {
            self.complained = Some(now);
            tracing::error!(listener = name, %error, "lines of the access log are lost");
        }
    }
}
