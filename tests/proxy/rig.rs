//! A proxy process, sample apps, and a plain HTTP client.

use flightdeck::engine::proxy::wire::{
    Endpoint, Numbered, PROXY_WIRE, PoolRoute, PoolStats, Request, Response, Route, RouteOptions, Stats,
};
use flightdeck::model::{ArmRole, Ppm};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Bound for anything awaited; never reached when the program works.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for a condition, and says which one did not come.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_flightdeck"))
}

/// An address that nobody listens on, below the range from which outgoing connections take theirs.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 20_000 + (std::process::id() % 100) as u16 * 100;
    wait_for("a free port", || {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        TcpListener::bind(address).is_ok().then_some(address)
    })
}

/// A process that is killed when the test ends.
pub struct Process(pub Child);

impl Process {
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).unwrap();
    }

    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Its exit status, once it ended.
    pub fn ended(&mut self) -> std::process::ExitStatus {
        wait_for("the process to end", || self.0.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// One sample app.
pub struct Sample {
    pub process: Process,
    pub address: SocketAddr,
    pub id: String,
    _stdout: BufReader<ChildStdout>,
}

impl Sample {
    pub fn start(id: &str, version: &str, args: &[&str]) -> Self {
        Self::start_at(id, version, 0, args)
    }

    pub fn start_at(id: &str, version: &str, port: u16, args: &[&str]) -> Self {
        let mut child = program()
            .args(["sample-app", "--port", &port.to_string(), "--version", version])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let process = Process(child);
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("said {line:?}"));
        Self { process, address, id: id.to_owned(), _stdout: stdout }
    }

    pub fn quick(id: &str, version: &str) -> Self {
        Self::start(id, version, &["--latency-ms", "0"])
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint { instance: self.id.clone(), address: self.address }
    }

    /// Requests that it saw, by its own count.
    pub fn count(&self) -> u64 {
        Client::connect(self.address).get("/count").body.parse().unwrap()
    }
}

/// A proxy with its control connection.
pub struct Proxy {
    pub process: Process,
    pub dir: tempfile::TempDir,
    args: Vec<String>,
    pub control: Control,
}

impl Proxy {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let (process, mut control) = launch(dir.path(), &args);
        control.hello();
        Self { process, dir, args, control }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("proxy.sock")
    }

    /// A new process on the same files; says what it answered to Hello.
    pub fn restart(&mut self) -> Response {
        let (process, control) = launch(self.dir.path(), &self.args);
        (self.process, self.control) = (process, control);
        self.control.hello()
    }

    /// Sets a route that must be acknowledged.
    pub fn route(&mut self, route: &Route) {
        let acked =
            Response::Acked { listener: route.listener.clone(), version: route.version, redirect_refused: None };
        assert_eq!(self.control.call(Request::SetRoute(route.clone())), acked);
    }

    pub fn refused(&mut self, request: Request) -> String {
        match self.control.call(request) {
            Response::Refused { why, .. } => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub fn stats(&mut self) -> Stats {
        match self.control.call(Request::Stats) {
            Response::Stats(stats) => stats,
            other => panic!("no stats: {other:?}"),
        }
    }

    pub fn pool(&mut self, id: &str) -> PoolStats {
        self.stats().pools.into_iter().find(|pool| pool.pool == id).unwrap_or_default()
    }
}

fn launch(dir: &Path, args: &[String]) -> (Process, Control) {
    let log = std::fs::File::options().create(true).append(true).open(dir.join("stderr")).unwrap();
    let socket = dir.join("proxy.sock");
    let child = program()
        .arg("proxy")
        .args(["--socket".as_ref(), socket.as_os_str()])
        .args(["--state".as_ref(), dir.join("state.json").as_os_str()])
        .args(args)
        .stderr(log)
        .spawn()
        .unwrap();
    let mut process = Process(child);
    let stream = wait_for("the proxy's control socket", || {
        assert!(process.0.try_wait().unwrap().is_none(), "the proxy ended: {}", read(&dir.join("stderr")));
        UnixStream::connect(&socket).ok()
    });
    (process, Control::new(stream))
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// A control connection.
pub struct Control {
    stream: BufReader<UnixStream>,
    next: u64,
}

impl Control {
    pub fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { stream: BufReader::new(stream), next: 1 }
    }

    pub fn hello(&mut self) -> Response {
        let hello = self.call(Request::Hello { wire: PROXY_WIRE });
        assert!(matches!(hello, Response::Hello { .. }), "{hello:?}");
        hello
    }

    pub fn send(&mut self, body: Request) -> u64 {
        let id = self.next;
        self.next += 1;
        let line = serde_json::to_string(&Numbered { id, body }).unwrap();
        self.send_line(&line);
        id
    }

    pub fn send_line(&mut self, line: &str) {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub fn receive(&mut self) -> Numbered<Response> {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("an answer of the proxy");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    pub fn call(&mut self, body: Request) -> Response {
        let id = self.send(body);
        let answer = self.receive();
        assert_eq!(answer.id, id, "{answer:?}");
        answer.body
    }

    pub fn renew(&mut self, ttl_ms: u64) {
        assert_eq!(self.call(Request::Renew { ttl_ms }), Response::Done);
    }
}

/// A pool with its share in percent.
pub fn pool(id: &str, percent: u32, endpoints: Vec<Endpoint>) -> PoolRoute {
    let role = if id == "stable" { ArmRole::Stable } else { ArmRole::Candidate };
    PoolRoute { pool: id.to_owned(), role, version: id.into(), weight: Ppm::percent(percent), endpoints }
}

pub fn route(version: u64, listen: SocketAddr, pools: Vec<PoolRoute>) -> Route {
    Route { version, ..Route::to("shop@production".to_owned(), listen, pools) }
}

/// The same route, asking for more.
pub fn asking(mut route: Route, ask: impl FnOnce(&mut RouteOptions)) -> Route {
    ask(&mut route.options);
    route
}

pub fn canary(version: u64, listen: SocketAddr, percent: u32, stable: &Sample, candidate: &Sample) -> Route {
    let pools = vec![
        pool("stable", 100 - percent, vec![stable.endpoint()]),
        pool("candidate", percent, vec![candidate.endpoint()]),
    ];
    route(version, listen, pools)
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn version(&self) -> &str {
        self.header("x-sample-version")
    }
}

/// A kept-alive connection without any cleverness: it never opens another one.
pub struct Client(pub BufReader<TcpStream>);

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(BufReader::new(stream))
    }

    pub fn write(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.write(&format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n"));
        self.answer()
    }

    /// Many requests at once; the answers come in order.
    pub fn pipeline(&mut self, count: usize) -> Vec<Answer> {
        self.write(&"GET / HTTP/1.1\r\nhost: t\r\n\r\n".repeat(count));
        (0..count).map(|_| self.answer()).collect()
    }

    /// Like [`Client::pipeline`] for thousands: looks only for the ends of the sample app's answers,
    /// which have one closing brace each. An error has none, so it ends in the read timeout.
    pub fn flood(&mut self, count: usize) {
        self.write(&"GET / HTTP/1.1\r\nhost: t\r\n\r\n".repeat(count));
        let (mut ends, mut buffer) = (0, vec![0; 65_536]);
        while ends < count {
            let read = self.0.get_mut().read(&mut buffer).expect("answers");
            assert!(read > 0, "closed after {ends} of {count} answers");
            ends += buffer[..read].split(|byte| *byte == b'}').count() - 1;
        }
    }

    pub fn answer(&mut self) -> Answer {
        self.try_answer().unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    pub fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    pub fn head(&mut self) -> std::io::Result<Answer> {
        let status = self.line()?.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HashMap::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        Ok(Answer { status, headers, body: String::new() })
    }

    pub fn try_answer(&mut self) -> std::io::Result<Answer> {
        let mut answer = self.head()?;
        let mut body = Vec::new();
        if answer.header("transfer-encoding") == "chunked" {
            while let Some(chunk) = self.chunk()? {
                body.extend(chunk);
            }
        } else {
            body.resize(answer.header("content-length").parse().unwrap_or(0), 0);
            self.0.read_exact(&mut body)?;
        }
        answer.body = String::from_utf8(body).unwrap();
        Ok(answer)
    }

    /// One chunk of a chunked body; `None` at its end.
    pub fn chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let size = usize::from_str_radix(&self.line()?, 16).unwrap();
        let mut chunk = vec![0; size + 2];
        self.0.read_exact(&mut chunk)?;
        chunk.truncate(size);
        Ok((size > 0).then_some(chunk))
    }

    /// Nothing more comes: the other side closed.
    pub fn closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => true,
            Err(error) => panic!("still open: {error}"),
        }
    }
}

/// One request on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Answer {
    Client::connect(address).get(path)
}
