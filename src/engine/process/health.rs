//! Health checks: `GET path` on an instance's port, or only a connection, a new one each time, so that a program
//! that no longer accepts is found out; for what has no port a program that looks, or that it still runs.

use super::client::ShimClient;
use super::identity::with_environment;
use super::listening;
use super::wire::{CheckEnd, Checked, DIR_VARIABLE, Request as ShimRequest, Response};
use flightdeck_model::{HealthSpec, Probe, sanitize_line};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::SignedDuration;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Pause after the first try while nothing has answered yet, so that a quick start is seen at once.
const COMING_UP: Duration = Duration::from_millis(10);
/// Longest such pause: each is twice the one before.
const COMING_UP_MAX: Duration = Duration::from_millis(100);
/// The same where a program is started for each look.
const PROGRAM_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// A shim tells of the end of a check within this.
const TOLD: Duration = Duration::from_secs(2);
/// The kernel's tables are looked through at most so often.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of an answer that are read before the connection is closed.
const MAX_BODY: usize = 64 << 10;

/// What the checks say, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Enough good ones in a row.
    Ready,
    /// Enough bad ones in a row.
    Unhealthy(CheckFailure),
}

/// Why one check was not good. Its text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckFailure {
    /// Nothing took the connection.
    NotConnected {
        /// The path; `None`: only a connection was asked for.
        path: Option<String>,
        why: String,
        /// Where the instance's processes listen; `None`: not looked at.
        listens: Option<Vec<SocketAddr>>,
    },
    /// No answer came in time.
    NoAnswer {
        path: String,
        /// In which time.
        within: Duration,
    },
    /// The connection broke before the answer.
    Broken { path: String, why: String },
    /// It answered something else than 2xx.
    Status {
        path: String,
        status: u16,
        /// Where it redirects to.
        location: Option<String>,
    },
    /// The program that looks says no.
    Command {
        program: String,
        /// `exit status 1`, or what else became of it.
        how: String,
        /// The last lines that it wrote, oldest first.
        said: Vec<String>,
    },
}

impl CheckFailure {
    /// What a program writes differs from check to check, as with a time in it, and is no other reason.
    fn is_like(&self, other: &CheckFailure) -> bool {
        match (self, other) {
            (
                CheckFailure::Command { program, how, .. },
                CheckFailure::Command { program: other_program, how: other_how, .. },
            ) => program == other_program && how == other_how,
            (this, other) => this == other,
        }
    }
}

impl fmt::Display for CheckFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckFailure::NotConnected { path: None, why, .. } => write!(f, "TCP connect: {why}"),
            CheckFailure::NotConnected { path: Some(path), why, .. } | CheckFailure::Broken { path, why } => {
                write!(f, "GET {path}: {why}")
            }
            CheckFailure::NoAnswer { path, within } => {
                write!(f, "GET {path}: no answer within {} ms", within.as_millis())
            }
            CheckFailure::Status { path, status, .. } => write!(f, "GET {path} answered {status}"),
            CheckFailure::Command { program, how, .. } => write!(f, "{program}: {how}"),
        }
    }
}

/// The checks of one instance.
#[derive(Debug)]
pub struct Health {
    spec: HealthSpec,
    address: SocketAddr,
    /// When the instance was started.
    started: Instant,
    /// The instance's directory, by which its processes and its shim are found.
    dir: PathBuf,
    /// Where its processes listened when that was last looked at.
    listens: Option<(Instant, Option<Vec<SocketAddr>>)>,
    /// Something answered once: from now on only the interval counts.
    up: bool,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    good: u32,
    bad: u32,
    told: Option<Result<(), CheckFailure>>,
}

impl Counts {
    /// Counts one check; `Some` when the verdict, or its reason, changes.
    fn count(&mut self, spec: &HealthSpec, check: Result<(), CheckFailure>) -> Option<Verdict> {
        match check {
            Ok(()) => {
                (self.good, self.bad) = (self.good.saturating_add(1), 0);
                let enough = self.good >= spec.healthy.max(1) && self.told != Some(Ok(()));
                enough.then(|| {
                    self.told = Some(Ok(()));
                    Verdict::Ready
                })
            }
            Err(why) => {
                (self.good, self.bad) = (0, self.bad.saturating_add(1));
                // Told again for another reason: "refused" while it starts hides "503" from then on.
                let news = !matches!(&self.told, Some(Err(told)) if told.is_like(&why));
                (news && self.bad >= spec.unhealthy.max(1)).then(|| {
                    self.told = Some(Err(why.clone()));
                    Verdict::Unhealthy(why)
                })
            }
        }
    }
}

fn std_duration(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or_default().max(Duration::from_millis(10))
}

impl Health {
    /// Nothing is known yet of what has run for `age`.
    #[must_use]
    pub fn new(spec: HealthSpec, address: SocketAddr, dir: PathBuf, age: Duration) -> Health {
        let now = Instant::now();
        let started = now.checked_sub(age).unwrap_or(now);
        Health { spec, address, started, dir, listens: None, up: false, counts: Counts::default() }
    }

    /// The next change of the verdict. Cancel safe: a check that is cut off is not counted.
    pub async fn next(&mut self) -> Verdict {
        if let Probe::Runs { ready_after } = self.spec.probe {
            return self.still_runs(Duration::try_from(ready_after).unwrap_or_default()).await;
        }
        loop {
            let interval = std_duration(self.spec.interval);
            let check = if self.up || self.counts.told.is_some() {
                sleep(interval).await;
                self.check().await
            } else {
                self.first(interval).await
            };
            let check = match check {
                Err(failure) => Err(self.looked_at(failure).await),
                good => good,
            };
            if let Some(verdict) = self.counts.count(&self.spec, check) {
                return verdict;
            }
        }
    }

    /// Whoever asks sees its end. Told once: there is nothing else to look at.
    async fn still_runs(&mut self, after: Duration) -> Verdict {
        if self.counts.told.is_some() {
            return std::future::pending().await;
        }
        sleep_until(self.started + after).await;
        self.counts.told = Some(Ok(()));
        Verdict::Ready
    }

    /// With where the instance listens, if nothing took the connection: that tells a slow start from a wrong port.
    async fn looked_at(&mut self, failure: CheckFailure) -> CheckFailure {
        let CheckFailure::NotConnected { path, why, .. } = failure else { return failure };
        if let Some((at, listens)) = &self.listens
            && at.elapsed() < LOOK
        {
            return CheckFailure::NotConnected { path, why, listens: listens.clone() };
        }
        let dir = self.dir.clone();
        let look = move || {
            let processes = with_environment(&format!("{DIR_VARIABLE}={}", dir.canonicalize().ok()?.display()));
            let pids: Vec<u32> = processes.iter().map(|process| process.pid).collect();
            (!pids.is_empty()).then(|| listening::of(&pids))
        };
        let listens = tokio::task::spawn_blocking(look).await.ok().flatten();
        self.listens = Some((Instant::now(), listens.clone()));
        CheckFailure::NotConnected { path, why, listens }
    }

    /// One check while the instance comes up: good as soon as it answers well, bad at the end of
    /// the interval.
    async fn first(&mut self, interval: Duration) -> Result<(), CheckFailure> {
        let is_program = matches!(self.spec.probe, Probe::Command { .. });
        let (mut pause, longest) = if is_program { PROGRAM_PAUSES } else { (COMING_UP, COMING_UP_MAX) };
        let mut left = interval;
        loop {
            let check = self.check().await;
            self.up = check.is_ok();
            if self.up {
                return check;
            }
            sleep(pause.min(left)).await;
            left = left.saturating_sub(pause);
            if left.is_zero() {
                return check;
            }
            pause = (pause * 2).min(longest);
        }
    }

    async fn check(&self) -> Result<(), CheckFailure> {
        let bound = std_duration(self.spec.timeout);
        let path = match &self.spec.probe {
            Probe::Http { path } => path,
            Probe::Command { command } => return by_program(&self.dir, command, bound).await,
            Probe::Tcp {} | Probe::Runs { .. } => return connects(self.address, bound).await,
        };
        match timeout(bound, get(self.address, path)).await {
            Err(_) => Err(CheckFailure::NoAnswer { path: path.clone(), within: bound }),
            Ok(Err(failure)) => Err(failure),
            Ok(Ok((status, _))) if (200..300).contains(&status) => Ok(()),
            Ok(Ok((status, location))) => Err(CheckFailure::Status { path: path.clone(), status, location }),
        }
    }
}

/// A connection is taken within the bound.
async fn connects(address: SocketAddr, bound: Duration) -> Result<(), CheckFailure> {
    let refused = |why: String| Err(CheckFailure::NotConnected { path: None, why, listens: None });
    match timeout(bound, TcpStream::connect(address)).await {
        Err(_) => refused(format!("no connection within {} ms", bound.as_millis())),
        Ok(Err(error)) => refused(sanitize_line(&error.to_string())),
        Ok(Ok(_)) => Ok(()),
    }
}

/// The shim runs the program, which is as the instance is.
async fn by_program(dir: &Path, command: &[String], bound: Duration) -> Result<(), CheckFailure> {
    let timeout_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
    let asked = async {
        let mut shim = ShimClient::connect(dir).await?;
        shim.ask_within(&ShimRequest::Check { timeout_ms }, bound + TOLD).await
    };
    let (how, said) = match asked.await {
        Ok(Response::Checked(Checked { end, said })) => match end {
            CheckEnd::Ended(ended) if ended.code == Some(0) => return Ok(()),
            CheckEnd::Ended(ended) => (ended.to_string(), said),
            CheckEnd::Late => (format!("did not end within {timeout_ms} ms"), said),
            CheckEnd::NotStarted { why } => (format!("could not be started: {why}"), said),
        },
        Ok(other) => (format!("the shim answered {other:?}"), Vec::new()),
        Err(error) => (format!("the shim can't be asked: {error}"), Vec::new()),
    };
    let program = command.first().cloned().unwrap_or_default();
    let said = said.iter().map(|line| sanitize_line(line)).collect();
    Err(CheckFailure::Command { program, how: sanitize_line(&how), said })
}

/// The status of the answer and where it redirects to, once its body was read.
async fn get(address: SocketAddr, path: &str) -> Result<(u16, Option<String>), CheckFailure> {
    let words = |error: &dyn std::error::Error| sanitize_line(&error.to_string());
    let broken = |error: &dyn std::error::Error| CheckFailure::Broken { path: path.to_owned(), why: words(error) };
    let stream = TcpStream::connect(address).await.map_err(|error| CheckFailure::NotConnected {
        path: Some(path.to_owned()),
        why: words(&error),
        listens: None,
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let request = Request::get(path)
        .header("host", address.to_string())
        .header("user-agent", "flightdeck-health")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| broken(&error))?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status().as_u16();
        let location =
            response.headers().get("location").map(|to| sanitize_line(&String::from_utf8_lossy(to.as_bytes())));
        // What is left unread would reset the connection, and show up in the instance's log.
        let _ = Limited::new(response.into_body(), MAX_BODY).collect().await;
        Ok((status, location))
    };
    // The connection is driven by this task alone; its own end matters only if it ends first.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => return answer,
        _ = connection => {}
    }
    answer.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_a_row_and_is_told_once_for_each_reason() {
        let spec = HealthSpec {
            probe: Probe::Http { path: "/".into() },
            interval: SignedDuration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
            timeout: SignedDuration::from_secs(1),
        };
        let mut counts = Counts::default();
        let mut told = String::new();
        for check in "++-+++--+---?+-++".chars() {
            let failure = || CheckFailure::Broken { path: "/".into(), why: check.to_string() };
            let result = if check == '+' { Ok(()) } else { Err(failure()) };
            told.push(match counts.count(&spec, result) {
                Some(Verdict::Ready) => 'R',
                Some(Verdict::Unhealthy(_)) => 'U',
                None => '.',
            });
        }
        assert_eq!(told, ".R.........UU...R");
    }
}
