//! The server's side of a shim's socket.

use super::Identity;
use super::identity::with_environment;
use super::wire::{DIR_VARIABLE, Greeting, Request, Response, SOCKET_FILE, SPEC_FILE, STATE_FILE, ShimSpec, Status};
use flightdeck_platform::failpoint;
use flightdeck_platform::sockets::SocketPath;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Command;
use tokio::time::timeout;

/// A shim answers at once or is broken.
const ANSWER: Duration = Duration::from_secs(5);
/// Variables that a shim and its instance inherit; the server's others may be secrets.
const INHERITED: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SHELL"];

/// A connection to a shim.
#[derive(Debug)]
pub struct ShimClient {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

impl ShimClient {
    /// Connects to the shim of an instance's directory.
    pub async fn connect(dir: &Path) -> io::Result<ShimClient> {
        let (read, write) = UnixStream::connect(SocketPath::of(dir, SOCKET_FILE)?.path()).await?.into_split();
        Ok(ShimClient { lines: BufReader::new(read).lines(), write })
    }

    /// Asks, and gives the answer. Not after `Watch`, whose notices may come in between.
    pub async fn ask(&mut self, request: &Request) -> io::Result<Response> {
        self.ask_within(request, ANSWER).await
    }

    /// The same of what takes its time.
    pub async fn ask_within(&mut self, request: &Request, bound: Duration) -> io::Result<Response> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let answer = async {
            self.write.write_all(&line).await?;
            let line = self.lines.next_line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            Ok(serde_json::from_str(&line)?)
        };
        timeout(bound, answer).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Its status.
    pub async fn status(&mut self) -> io::Result<Status> {
        status(self.ask(&Request::Status).await?)
    }

    /// Its status, and from now on [`ShimClient::changed`].
    pub async fn watch(&mut self) -> io::Result<Status> {
        status(self.ask(&Request::Watch).await?)
    }

    /// The next change of its status; an error when the shim is gone. Cancel safe.
    pub async fn changed(&mut self) -> io::Result<Status> {
        let line = self.lines.next_line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        status(serde_json::from_str(&line)?)
    }
}

fn status(response: Response) -> io::Result<Status> {
    match response {
        Response::Status(status) => Ok(status),
        other => Err(invalid(format!("the shim answered {other:?}"))),
    }
}

/// One question over a connection of its own.
pub async fn ask(dir: &Path, request: &Request) -> io::Result<Response> {
    ShimClient::connect(dir).await?.ask(request).await
}

/// Starts a shim in `dir` and with it what `spec` says. The outcome is in the status.
pub async fn launch(exe: &Path, dir: &Path, spec: &ShimSpec, secrets: &BTreeMap<String, String>) -> io::Result<Status> {
    tokio::fs::write(dir.join(SPEC_FILE), serde_json::to_vec(spec)?).await?;
    failpoint::pass("start-before-spawn");
    let mut child = Command::new(exe)
        .arg("shim")
        .arg("--dir")
        .arg(dir)
        .env_clear()
        .envs(INHERITED.iter().chain(&[failpoint::VARIABLE]).filter_map(|name| Some((*name, std::env::var_os(name)?))))
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(invalid("the shim has no pipes"));
    };
    let mut lines = BufReader::new(stdout).lines();
    let mut greeting = async || -> io::Result<Greeting> {
        let line = timeout(ANSWER, lines.next_line()).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(serde_json::from_str(&line.ok_or_else(|| invalid("the shim ended without a word"))?)?)
    };
    match greeting().await? {
        Greeting::Bound => {}
        Greeting::Failed { why } => return Err(invalid(format!("the shim: {why}"))),
        Greeting::Started(_) => return Err(invalid("the shim started without the secrets")),
    }
    failpoint::pass("start-after-bound");
    stdin.write_all(&serde_json::to_vec(secrets)?).await?;
    drop(stdin);
    match greeting().await? {
        Greeting::Started(status) => {
            failpoint::pass("start-after-spawn");
            Ok(status)
        }
        Greeting::Failed { why } => Err(invalid(format!("the shim: {why}"))),
        Greeting::Bound => Err(invalid("the shim bound twice")),
    }
    // The dropped child is reaped by the runtime when it ends.
}

/// Ends whatever runs for `dir`: through its shim, else by the identities on record and by the
/// inherited variable. No process is ended that can't be told to be the instance's own.
pub async fn end(dir: &Path) -> io::Result<()> {
    if let Ok(mut shim) = ShimClient::connect(dir).await
        && let Ok(mut status) = shim.watch().await
    {
        // A second connection, since notices come over the first.
        let killed = ask(dir, &Request::Kill).await;
        while killed.is_ok() && status.runs() {
            match timeout(ANSWER, shim.changed()).await {
                Ok(Ok(changed)) => status = changed,
                _ => break,
            }
        }
        if !status.runs() && ask(dir, &Request::Forget).await.is_ok() {
            // The connection ends with the shim, which has then let go of its lock.
            while let Ok(Ok(_)) = timeout(ANSWER, shim.changed()).await {}
            return Ok(());
        }
        status.shim.kill();
    }
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || end_leftovers(&dir)).await.map_err(io::Error::other)
}

/// The status that a shim left on disk.
pub fn recorded(dir: &Path) -> Option<Status> {
    serde_json::from_slice(&std::fs::read(dir.join(STATE_FILE)).ok()?).ok()
}

/// For an instance whose shim is gone or doesn't answer. Blocks.
pub fn end_leftovers(dir: &Path) {
    if let Some(status) = recorded(dir) {
        status.shim.kill();
        if let Some(process) = status.process {
            process.kill();
        }
    }
    if let Ok(dir) = dir.canonicalize() {
        for process in with_environment(&format!("{DIR_VARIABLE}={}", dir.display())) {
            process.kill();
        }
    }
}

/// Does this very process run?
#[must_use]
pub fn lives(process: Option<&Identity>) -> bool {
    process.is_some_and(Identity::lives)
}
