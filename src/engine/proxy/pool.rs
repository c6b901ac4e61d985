//! Instances with their idle connections, and the pools they stand in.

use super::body::Upload;
use super::counters::Counters;
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
use tokio_util::task::TaskTracker;

/// A connection that was idle for longer is not used again: common servers close theirs after five
/// seconds, and a request that meets the closing can't be told from one that was handled.
const MAX_IDLE_MS: u64 = 4_000;
/// Idle connections kept for each instance.
const MAX_IDLE: usize = 256;
/// The first ejection; each further one in a row doubles it.
const EJECT_MS: u64 = 100;
/// Longest ejection.
const EJECT_MAX_MS: u64 = 10_000;

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
    connect_failures: AtomicU32,
    ejected_until_ms: AtomicU64,
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
            connect_failures: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
        }
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

    /// It stands in a route again.
    pub fn open(&self) {
        self.open.store(true, Relaxed);
    }

    /// Closes its idle connections, and those in use as soon as they are idle.
    pub fn close(&self) {
        self.open.store(false, Relaxed);
        self.connections().clear();
    }

    /// Is it skipped while others can be tried? Ends by itself; then one request tries it.
    pub fn ejected(&self, now_ms: u64) -> bool {
        now_ms < self.ejected_until_ms.load(Relaxed)
    }

    /// A connect failed: skip it for a while, longer each time in a row.
    pub fn connect_failed(&self, now_ms: u64) {
        let failures = self.connect_failures.fetch_add(1, Relaxed);
        self.ejected_until_ms.store(now_ms + ejection_ms(failures), Relaxed);
    }

    /// A connect succeeded.
    fn connect_succeeded(&self) {
        self.connect_failures.store(0, Relaxed);
        self.ejected_until_ms.store(0, Relaxed);
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

    /// Opens a connection. Its task ends when both its handle and its peer are done.
    pub async fn connect(
        &self,
        tasks: &TaskTracker,
        bound: Duration,
        head_bytes: usize,
    ) -> io::Result<SendRequest<Upload>> {
        let stream = tokio::time::timeout(bound, TcpStream::connect(self.address))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time"))??;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(head_bytes)
            .max_header_size(head_bytes)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tasks.spawn(async move {
            // A connection that breaks tells the request that is on it; idle, it is only closed.
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to an instance ended");
            }
        });
        self.connect_succeeded();
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
    /// Which listener.
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
        assert!(!instance.ejected(5));
        instance.connect_failed(5);
        assert!(instance.ejected(104));
        assert!(!instance.ejected(105));
        instance.connect_failed(105);
        assert!(instance.ejected(304));
        instance.connect_succeeded();
        assert!(!instance.ejected(304));
        instance.connect_failed(400);
        assert!(!instance.ejected(500), "it begins anew after a success");
    }
}
