//! Keeps a proxy running under a shim, and replaces a running one without losing a request: the new
//! one takes over the listening sockets, and once it serves, the old one finishes and ends.
//!
//! The proxy in force lives in `proxy/`, its successor grows up in `proxy.next/`, and what finishes
//! its last requests stands in `proxy.old-N/`. Each step can be taken again after a crash.

use super::connection::{Connection, Hello, SOCKET, STATE, connect, socket_of};
use crate::process::LogLimits;
use crate::process::client::{self, ShimClient};
use crate::process::identity;
use crate::process::socket_handoff::Holder;
use crate::process::wire::{Listening, Request as ShimRequest, SHIM_WIRE, SOCKET_FILE, ShimSpec};
use flightdeck_platform::take_listeners;
use flightdeck_proxy::SHIM_VARIABLE;
use flightdeck_proxy::wire::CLOSE_GRACE;
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// A new proxy has come back to all routes by then.
const SERVES: Duration = Duration::from_secs(30);
/// What was in flight on a replaced proxy may take so long: websockets and streams too.
const FINISH: Duration = Duration::from_mins(15);

/// Where the proxy lives and how it is started.
#[derive(Debug, Clone)]
pub struct ProxyHome {
    /// Its directory: shim, socket, routes, log.
    pub dir: PathBuf,
    /// This program.
    pub exe: PathBuf,
    /// How long a leased route stays without renewal.
    pub lease: Duration,
}

impl ProxyHome {
    fn beside(&self, name: &str) -> PathBuf {
        let own = self.dir.file_name().unwrap_or_default().to_string_lossy();
        self.dir.with_file_name(format!("{own}.{name}"))
    }

    fn next(&self) -> PathBuf {
        self.beside("next")
    }

    /// Those that finish their last requests.
    fn old(&self) -> Vec<PathBuf> {
        let prefix = self.beside("old-");
        let entries = self.dir.parent().map(std::fs::read_dir);
        let paths = entries.into_iter().flatten().flatten().flatten().map(|entry| entry.path());
        let named = |path: &PathBuf| {
            let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
            name(path).zip(name(&prefix)).is_some_and(|(name, prefix)| name.starts_with(&prefix))
        };
        paths.filter(named).collect()
    }

    /// Every directory in which a process may run.
    pub fn all(&self) -> Vec<PathBuf> {
        let mut all = self.old();
        all.extend([self.next(), self.dir.clone()].into_iter().filter(|dir| dir.exists()));
        all
    }

    fn spec(&self) -> ShimSpec {
        let words = ["proxy", "--socket", SOCKET, "--state", STATE, "--lease-ms"];
        let mut args: Vec<String> = words.iter().map(ToString::to_string).collect();
        args.push(self.lease.as_millis().to_string());
        ShimSpec {
            wire: SHIM_WIRE,
            instance: "proxy".into(),
            attempt: 0,
            program: self.exe.clone(),
            args,
            env: BTreeMap::from([(SHIM_VARIABLE.to_owned(), SOCKET_FILE.to_owned())]),
            cwd: PathBuf::from("."), // the shim's own directory, whatever it is called by then
            log: LogLimits::default(),
            keep: true,
            once: false,
            confinement: None,
            check: Vec::new(),
        }
    }

    async fn launch(&self, dir: &Path) -> io::Result<()> {
        let status = client::launch(&self.exe, dir, &self.spec(), &BTreeMap::new()).await?;
        status.failed.map_or(Ok(()), |why| Err(io::Error::other(why)))
    }
}

/// Starts a proxy under a shim if none lives.
pub async fn ensure(home: &ProxyHome, retired: &mut Retired) -> io::Result<()> {
    let next = home.next();
    let crashed_between = !home.dir.exists() || (socket_of(&next).await.is_ok() && socket_of(&home.dir).await.is_err());
    if crashed_between && next.exists() {
        succeed(home, retired, None).await?;
    }
    if let Ok(mut shim) = ShimClient::connect(&home.dir).await
        && let Ok(status) = shim.status().await
        && (status.ended.is_none() || status.keeps)
    {
        return Ok(()); // it starts the proxy again by itself
    }
    tokio::fs::create_dir_all(&home.dir).await?;
    if socket_of(&home.dir).await.is_ok() {
        return Ok(()); // a proxy that lost its shim
    }
    client::end(&home.dir).await?;
    home.launch(&home.dir).await
}

/// Would a crash of the proxy refuse no connection?
pub async fn holds(home: &ProxyHome) -> bool {
    let holder = Holder::new(&home.dir.join(SOCKET_FILE));
    blocking(move || holder.held()).await.is_ok()
}

/// A new proxy in the place of one that lives. After an error the old one is as it was.
pub async fn replace(home: &ProxyHome, mut old: Connection, hello: Hello, retired: &mut Retired) -> io::Result<()> {
    let (next, dir, pid) = (home.next(), home.dir.clone(), hello.pid);
    let sockets = blocking(move || inherited(&dir, pid)).await;
    // Told to end, since only then a new one can listen where it does.
    let mut told = false;
    // One that an engine before this one began to start may serve users already.
    if !serves_already(home).await {
        clear(&next).await?;
        tokio::fs::create_dir_all(&next).await?;
        match tokio::fs::copy(home.dir.join(STATE), next.join(STATE)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => home.launch(&next).await?,
        }
    }
    match sockets {
        Ok(sockets) => {
            let holder = Holder::new(&next.join(SOCKET_FILE));
            blocking(move || sockets.iter().try_for_each(|(at, socket)| holder.hold(at, socket))).await?;
        }
        Err(error) => {
            tracing::warn!(%error, "the old proxy's sockets can't be taken over: connects may be refused for some milliseconds");
            told = true;
            let _gone = client::ask(&home.dir, &ShimRequest::LetEnd).await; // without a shim nobody starts it again
            old.let_end(FINISH).await?;
        }
    }
    let serves = match connect(&next, SERVES).await {
        Ok((_, new)) if hello.routes.iter().all(|route| new.routes.contains(route)) => Ok(()),
        Ok(_) => Err(io::Error::other("the new proxy does not serve every route")),
        Err(error) => Err(error),
    };
    if let (Err(error), false) = (serves, told) {
        clear(&next).await?;
        return Err(error);
    }
    succeed(home, retired, told.then_some(old)).await
}

/// The successor takes the place, and what was there finishes.
async fn succeed(home: &ProxyHome, retired: &mut Retired, told: Option<Connection>) -> io::Result<()> {
    let mut free = 0;
    while home.beside(&format!("old-{free}")).exists() {
        free += 1;
    }
    let old = home.beside(&format!("old-{free}"));
    match tokio::fs::rename(&home.dir, &old).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => tokio::fs::rename(home.next(), &home.dir).await?,
    }
    retired.add(old, told);
    Ok(())
}

/// Ends what a handover began and did not finish. Not by the inherited variable, which names the
/// directory as it was called when a process started: the proxy in force was a successor once too.
async fn clear(dir: &Path) -> io::Result<()> {
    if ShimClient::connect(dir).await.is_ok() {
        client::end(dir).await?;
    } else if let Some(status) = client::recorded(dir) {
        let _ended = status.process.is_some_and(|process| process.kill());
    }
    match tokio::fs::remove_dir_all(dir).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn serves_already(home: &ProxyHome) -> bool {
    let next = home.next();
    socket_of(&next).await.is_ok()
        && connect(&next, SERVES).await.is_ok_and(|(_, hello)| hello.program == identity::program(&home.exe))
}

/// The sockets on which the proxy of a directory listens: from its shim, else from the process itself. Blocks.
fn inherited(dir: &Path, pid: u32) -> io::Result<Vec<(Listening, TcpListener)>> {
    let routes = flightdeck_proxy::routes_on_disk(&dir.join(STATE));
    let mut wanted: Vec<_> =
        routes.into_iter().map(|route| Listening { listener: route.listener, address: route.listen }).collect();
    // Several services may share an address, which has one socket.
    wanted.sort_by_key(|at| at.address);
    wanted.dedup_by_key(|at| at.address);
    let holder = Holder::new(&dir.join(SOCKET_FILE));
    if let Ok(held) = holder.held() {
        let lend = |at: Listening| {
            let at = held.iter().find(|held| held.address == at.address).cloned().unwrap_or(at);
            holder.lend(&at).map(|socket| (at, socket))
        };
        return wanted.into_iter().map(lend).collect();
    }
    let taken = take_listeners(pid)?;
    let mut listening: BTreeMap<_, _> =
        taken.into_iter().filter_map(|socket| Some((socket.local_addr().ok()?, socket))).collect();
    wanted
        .into_iter()
        .map(|at| {
            let socket = listening.remove(&at.address).ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, format!("the old proxy does not listen on {}", at.address))
            })?;
            Ok((at, socket))
        })
        .collect()
}

/// Proxies that finish what was in flight on them.
#[derive(Debug, Default)]
pub struct Retired {
    finishing: JoinSet<()>,
    waiting: Vec<Waiting>,
}

/// Somebody who waits until an instance is drained at each of them.
#[derive(Debug)]
struct Waiting {
    done: oneshot::Sender<Option<u64>>,
    until: Instant,
    /// What was left at the proxy in force.
    remaining: u64,
}

impl Retired {
    /// Does nothing finish any more?
    pub fn none(&self) -> bool {
        self.finishing.is_empty()
    }

    /// Those that an engine before this one left.
    pub fn find(home: &ProxyHome) -> Retired {
        let mut retired = Retired::default();
        home.old().into_iter().for_each(|dir| retired.add(dir, None));
        retired
    }

    /// Lets one finish; `told`: the connection over which it was told so before.
    fn add(&mut self, dir: PathBuf, told: Option<Connection>) {
        self.finishing.spawn(async move {
            if let Err(error) = finish(&dir, told).await {
                tracing::error!(dir = %dir.display(), %error, "a replaced proxy could not be ended");
            }
        });
    }

    /// Answers when none of them has anything in flight any more, or at that time.
    pub fn after(&mut self, done: oneshot::Sender<Option<u64>>, until: Instant, remaining: u64) {
        if self.finishing.is_empty() {
            let _ = done.send(Some(remaining)); // the instance may have ended meanwhile
        } else {
            self.waiting.push(Waiting { done, until, remaining });
        }
    }

    /// One ended, or somebody waited long enough. Never without either; cancel safe.
    pub async fn ended(&mut self) {
        if self.finishing.is_empty() {
            return std::future::pending().await;
        }
        let next = self.waiting.iter().map(|waiting| waiting.until).min();
        let _elapsed = timeout_at(next.unwrap_or_else(|| Instant::now() + FINISH), self.finishing.join_next()).await;
        let now = Instant::now();
        let none = self.finishing.is_empty();
        for Waiting { done, remaining, .. } in self.waiting.extract_if(.., |of| none || of.until <= now) {
            // What was left at those that finish nobody counted. The instance may have ended meanwhile.
            let _ = done.send(none.then_some(remaining));
        }
    }
}

/// Told again after a crash of the engine, it goes on as before.
async fn finish(dir: &Path, told: Option<Connection>) -> io::Result<()> {
    let bound = Instant::now() + FINISH + CLOSE_GRACE * 2;
    let shim = match ShimClient::connect(dir).await {
        Ok(mut shim) => {
            let status = shim.watch().await?;
            client::ask(dir, &ShimRequest::LetEnd).await?;
            Some((shim, status))
        }
        Err(_) => None,
    };
    // One that is ending already does not answer anybody new any more.
    let proxy = match told {
        Some(proxy) => Some(proxy),
        None if socket_of(dir).await.is_ok() => match connect(dir, SERVES).await {
            Ok((mut proxy, _)) => {
                proxy.let_end(FINISH).await?;
                Some(proxy)
            }
            Err(_) => None,
        },
        None => None,
    };
    match (shim, proxy) {
        (Some((mut shim, mut status)), _) => {
            while status.runs() {
                match timeout_at(bound, shim.changed()).await {
                    Ok(Ok(changed)) => status = changed,
                    _ => break,
                }
            }
        }
        // Without a shim its connection tells when it ends.
        (None, Some(mut proxy)) => drop(timeout_at(bound, proxy.closed()).await),
        (None, None) => {}
    }
    client::end(dir).await?;
    tokio::fs::remove_dir_all(dir).await
}

async fn blocking<T: Send + 'static>(call: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(call).await.map_err(io::Error::other)?
}
