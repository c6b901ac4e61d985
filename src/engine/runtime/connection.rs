//! The connection to a proxy: hello, requests, and what is to come back for them.

use flightdeck_platform::sockets::SocketPath;
use flightdeck_proxy::wire::{Lapse, Numbered, PROXY_WIRE, Request, Response};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// Between two looks for the socket of a proxy that starts.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
pub(super) const SOCKET: &str = "proxy.sock";
pub(super) const STATE: &str = "routes.json";

/// What is to come back for a request.
pub(super) enum Asked {
    Route { listener: String, version: u64, lacking: Option<String> },
    Stats,
    Drain(oneshot::Sender<Option<u64>>, Instant),
    Other,
}

pub(super) struct Connection {
    pub(super) lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
    pub(super) asked: BTreeMap<u64, Asked>,
    next: u64,
    pub(super) level: u32,
}

/// What a proxy said first.
pub(super) struct Hello {
    pub pid: u32,
    pub program: String,
    pub level: u32,
    pub routes: Vec<(String, u64)>,
    pub lapsed: Vec<Lapse>,
}

/// Connects to the proxy of a directory and says hello; it answers once it came back to its routes.
pub(super) async fn connect(dir: &Path, answer: Duration) -> io::Result<(Connection, Hello)> {
    let stream = await_socket(dir).await?;
    let (read, write) = stream.into_split();
    let mut connection =
        Connection { lines: BufReader::new(read).lines(), write, asked: BTreeMap::new(), next: 1, level: 0 };
    connection.send(Request::Hello { wire: PROXY_WIRE }, Asked::Other).await?;
    let hello =
        timeout(answer, connection.lines.next_line()).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let hello: Numbered<Response> = serde_json::from_str(&hello.ok_or(io::ErrorKind::UnexpectedEof)?)?;
    match hello.body {
        Response::Hello { wire, .. } if wire > PROXY_WIRE => Err(io::Error::other(format!(
            "the proxy speaks version {wire}, this program {PROXY_WIRE}: use the newer program"
        ))),
        Response::Hello { pid, program, level, routes, lapsed, .. } => {
            connection.level = level;
            Ok((connection, Hello { pid, program, level, routes, lapsed }))
        }
        other => Err(io::Error::other(format!("the proxy answered {other:?}"))),
    }
}

pub(super) async fn socket_of(dir: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(SocketPath::of(dir, SOCKET)?.path()).await
}

/// A proxy that just started binds its socket within milliseconds.
async fn await_socket(dir: &Path) -> io::Result<UnixStream> {
    let mut left = 50_u32;
    loop {
        match socket_of(dir).await {
            Err(_) if left > 0 => left -= 1,
            other => return other,
        }
        sleep(LOOK_AGAIN).await;
    }
}

impl Connection {
    pub(super) async fn send(&mut self, request: Request, asked: Asked) -> io::Result<()> {
        let id = self.next;
        self.next += 1;
        let mut line = serde_json::to_vec(&Numbered { id, body: request })?;
        line.push(b'\n');
        self.asked.insert(id, asked);
        self.write.write_all(&line).await
    }

    /// Stop accepting, finish what is in flight, end. Not waited for.
    pub(super) async fn let_end(&mut self, bound: Duration) -> io::Result<()> {
        let timeout_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        self.send(Request::Shutdown { timeout_ms }, Asked::Other).await
    }

    /// Reads on until the other side closes.
    pub(super) async fn closed(&mut self) {
        while let Ok(Some(_)) = self.lines.next_line().await {}
    }
}
