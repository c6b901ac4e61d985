//! Instances with their idle connections, and the pools they stand in.

use super::coalesce::Coalesced;
use super::counters::Counters;
use super::upload::Upload;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// A connection that was idle for longer is not used again: common servers close theirs after five
/// seconds, and a request that meets the closing can't be told from one that was handled.
const MAX_IDLE_MS: u64 = 4_000;
/// Idle connections kept for each instance.
const MAX_IDLE: usize = 256;
/// The first ejection; each further one in a row doubles it.
const EJECT_MS: u64 = 100;
/// Longest ejection.
const EJECT_MAX_MS: u64 = 10_000;
/// So many requests in a row without an answer are no reason yet.
const BROKEN: u32 = 4;

/// Leaves an instance out that does not work, while others can be tried: for a while that grows with
/// each failure in a row. When it is over, one request tries it, and the others wait for the outcome.
#[derive(Debug, Default)]
struct Ejection {
    failures: AtomicU32,
    until_ms: AtomicU64,
}

impl Ejection {
    /// Failures up to `free` in a row have no consequence.
    fn failed(&self, now_ms: u64, free: u32) {
        let before = self.failures.fetch_add(1, Relaxed);
        if before >= free {
            self.until_ms.store(now_ms + ejection_ms(before - free), Relaxed);
        }
    }

    fn over(&self) {
        self.failures.store(0, Relaxed);
        self.until_ms.store(0, Relaxed);
    }

    fn holds(&self, now_ms: u64) -> bool {
        now_ms < self.until_ms.load(Relaxed)
    }

    /// It may be tried; after an ejection only by whoever asks first.
    fn allows(&self, now_ms: u64, free: u32) -> bool {
        let until_ms = self.until_ms.load(Relaxed);
        if until_ms != 0 && now_ms >= until_ms {
            let failures = self.failures.load(Relaxed).saturating_sub(free + 1);
            self.until_ms.store(now_ms + ejection_ms(failures), Relaxed);
        }
        now_ms >= until_ms
    }
}

/// One process that answers requests.
#[derive(Debug)]
pub struct Instance {
    /// The engine's id.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Stands in a route; cleared by a drain.
    open: AtomicBool,
    idle: Mutex<VecDeque<Idle>>,
    in_flight: AtomicU64,
    /// Told when nothing is in flight any more.
    pub quiet: Notify,
    refusing: Ejection,
    breaking: Ejection,
    tunnels: TaskTracker,
    /// Cancelled once its tunnels are to end.
    leaving: Mutex<CancellationToken>,
}

/// What a tunnel holds of its instance until it ends.
#[derive(Debug)]
pub struct Tunnel {
    /// Cancelled once it is to end.
    pub leaving: CancellationToken,
    /// Its instance waits for it.
    pub _counted: TaskTrackerToken,
}

#[derive(Debug)]
struct Idle {
    since_ms: u64,
    sender: SendRequest<Upload>,
}

impl Instance {
    /// An instance without connections.
    pub fn new(id: &str, address: SocketAddr) -> Self {
        Self {
            id: id.to_owned(),
            address,
            open: AtomicBool::new(true),
            idle: Mutex::default(),
            in_flight: AtomicU64::new(0),
            quiet: Notify::new(),
            refusing: Ejection::default(),
            breaking: Ejection::default(),
            tunnels: TaskTracker::new(),
            leaving: Mutex::default(),
        }
    }

    /// A tunnel to it opens.
    pub fn tunnel(&self) -> Tunnel {
        let leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Tunnel { leaving, _counted: self.tunnels.token() }
    }

    /// Its tunnels are to end.
    pub fn leave_tunnels(&self) {
        self.tunnels.close();
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner).cancel();
    }

    /// Waits until its tunnels have ended, which they were told to.
    pub async fn tunnels_ended(&self) {
        self.tunnels.wait().await;
    }

    /// Requests that were given to it and have not ended.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// A request was given to it.
    pub fn enter(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// A request ended.
    pub fn leave(&self) {
        if self.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.quiet.notify_waiters();
        }
    }

    /// It stands in a new route: whoever made it knows it to be ready.
    pub fn open(&self) {
        self.open.store(true, Relaxed);
        self.refusing.over();
        self.breaking.over();
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        if leaving.is_cancelled() {
            *leaving = CancellationToken::new();
            self.tunnels.reopen();
        }
    }

    /// Closes its idle connections, and those in use as soon as they are idle.
    pub fn close(&self) {
        self.open.store(false, Relaxed);
        self.connections().clear();
    }

    /// Did it refuse connections lately?
    pub fn refuses(&self, now_ms: u64) -> bool {
        self.refusing.holds(now_ms)
    }

    /// May it be chosen while there are others?
    pub fn usable(&self, now_ms: u64) -> bool {
        self.refusing.allows(now_ms, 0) && self.breaking.allows(now_ms, BROKEN)
    }

    /// A connect failed.
    pub fn connect_failed(&self, now_ms: u64) {
        self.refusing.failed(now_ms, 0);
    }

    /// A request was not answered whole, through its fault.
    pub fn broke(&self, now_ms: u64) {
        self.breaking.failed(now_ms, BROKEN);
    }

    /// A request was answered.
    pub fn answered(&self) {
        self.breaking.over();
    }

    /// The most recently used idle connection that can take a request.
    pub fn take_idle(&self, now_ms: u64) -> Option<SendRequest<Upload>> {
        let mut idle = self.connections();
        while let Some(Idle { since_ms, sender }) = idle.pop_back() {
            if since_ms + MAX_IDLE_MS <= now_ms {
                idle.clear(); // the others are idle for even longer
            } else if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub fn put_idle(&self, sender: SendRequest<Upload>, now_ms: u64) {
        if sender.is_closed() || !self.open.load(Relaxed) {
            return;
        }
        let mut idle = self.connections();
        while idle.front().is_some_and(|oldest| oldest.since_ms + MAX_IDLE_MS <= now_ms) || idle.len() >= MAX_IDLE {
            idle.pop_front();
        }
        idle.push_back(Idle { since_ms: now_ms, sender });
    }

    fn connections(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn stream(&self, bound: Duration) -> io::Result<TcpStream> {
        tokio::time::timeout(bound, TcpStream::connect(self.address))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time"))?
    }

    /// Opens a connection whose bytes are the user's own.
    pub async fn open_stream(&self, bound: Duration) -> io::Result<TcpStream> {
        let stream = self.stream(bound).await?;
        self.refusing.over();
        Ok(stream)
    }

    /// Opens a connection. Its task ends when both its handle and its peer are done.
    pub async fn connect(
        &self,
        tasks: &TaskTracker,
        bound: Duration,
        head_bytes: usize,
    ) -> io::Result<SendRequest<Upload>> {
        let stream = self.stream(bound).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(head_bytes)
            .max_header_size(head_bytes)
            .handshake(TokioIo::new(Coalesced(stream)))
            .await
            .map_err(io::Error::other)?;
        tasks.spawn(async move {
            // A connection that breaks tells the request that is on it; idle, it is only closed.
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to an instance ended");
            }
        });
        self.refusing.over();
        Ok(sender)
    }
}

/// How long an instance is skipped after so many failed connects before this one.
fn ejection_ms(failures_before: u32) -> u64 {
    EJECT_MS.saturating_mul(1 << failures_before.min(16)).min(EJECT_MAX_MS)
}

/// The instances of one revision on one listener; lives on while its routes are swapped.
#[derive(Debug)]
pub struct Pool {
    pub listener: String,
    /// The engine's pool id.
    pub id: String,
    /// What it did.
    pub counters: Counters,
    next: AtomicUsize,
}

impl Pool {
    /// A pool that did nothing yet.
    pub fn new(listener: &str, id: &str) -> Self {
        Self {
            listener: listener.to_owned(),
            id: id.to_owned(),
            counters: Counters::default(),
            next: AtomicUsize::new(0),
        }
    }

    /// Where the round robin begins this time.
    pub fn turn(&self) -> usize {
        self.next.fetch_add(1, Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ejection_is_short_doubles_and_has_a_bound() {
        let got: Vec<u64> = [0, 1, 2, 6, 7, 40].into_iter().map(ejection_ms).collect();
        assert_eq!(got, [100, 200, 400, 6400, 10_000, 10_000]);
        let instance = Instance::new("i", "127.0.0.1:1".parse().unwrap());
        assert!(instance.usable(5) && instance.usable(5));
        instance.connect_failed(5);
        assert!(instance.refuses(104) && !instance.usable(104));
        assert!(instance.usable(105), "one tries it");
        assert!(!instance.usable(105), "the others wait for the outcome");
        instance.connect_failed(105);
        assert!(!instance.usable(304) && instance.usable(305));
        instance.refusing.over();
        assert!(instance.usable(305) && instance.usable(305));
        instance.connect_failed(400);
        assert!(!instance.usable(499) && instance.usable(500), "it begins anew after a success");
    }

    #[test]
    fn an_instance_that_breaks_requests_in_a_row_is_left_out() {
        let instance = Instance::new("i", "127.0.0.1:1".parse().unwrap());
        (0..BROKEN).for_each(|_| instance.broke(0));
        assert!(instance.usable(0));
        instance.answered();
        (0..BROKEN).for_each(|_| instance.broke(0));
        assert!(instance.usable(0), "not in a row");
        instance.broke(0);
        assert!(!instance.usable(99) && !instance.refuses(99));
        assert!(instance.usable(100) && !instance.usable(100));
        instance.broke(100);
        assert!(!instance.usable(299), "longer each time");
        instance.open();
        assert!(instance.usable(299), "a new route begins anew");
    }
}
