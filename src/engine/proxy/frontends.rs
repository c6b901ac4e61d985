//! The addresses that are listened on, each for as long as a service is reached there.

use super::Limits;
use super::accept::Socket;
use super::backend::{Backend, Lead};
use super::frontend::Frontend;
use super::hosts::Hosts;
use super::sockets::Sockets;
use flightdeck_shim::wire::Listening;
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio_util::task::TaskTracker;

/// All of them.
#[derive(Debug)]
pub struct Frontends {
    sockets: Sockets,
    limits: Limits,
    tasks: TaskTracker,
    open: BTreeMap<SocketAddr, Open>,
}

#[derive(Debug)]
struct Open {
    frontend: Arc<Frontend>,
    socket: Socket,
    /// As what a shim holds the socket.
    held: Listening,
}

impl Frontends {
    /// None yet.
    pub fn new(sockets: Sockets, limits: Limits, tasks: TaskTracker) -> Self {
        Self { sockets, limits, tasks, open: BTreeMap::new() }
    }

    /// Listens on an address, unless it does so already.
    pub async fn open(&mut self, at: Listening) -> io::Result<()> {
        if self.open.contains_key(&at.address) {
            return Ok(());
        }
        let (socket, held) = self.sockets.take(&at).await?;
        let frontend = Frontend::new(at.address, self.limits, self.tasks.clone())?;
        let socket = Socket::open(&frontend, socket)?;
        self.open.insert(at.address, Open { frontend, socket, held });
        Ok(())
    }

    /// Is an address listened on?
    pub fn is_open(&self, address: SocketAddr) -> bool {
        self.open.contains_key(&address)
    }

    /// All connections to an open address are for this from now on.
    pub fn lead_all(&self, address: SocketAddr, to: Arc<Backend>) {
        if let Some(Open { frontend, .. }) = self.open.get(&address) {
            frontend.all.store(Some(to));
        }
    }

    /// What is reached by requests on an open address from now on, and its certificates.
    pub fn lead(&self, address: SocketAddr, hosts: Hosts<Lead>, keys: Vec<Arc<CertifiedKey>>) {
        if let Some(Open { frontend, .. }) = self.open.get(&address) {
            frontend.all.store(None);
            frontend.hosts.store(Arc::new(hosts));
            frontend.keys.store(keys);
        }
    }

    /// Nothing is reached there any more: the address is free when this returns. Who is connected is served to
    /// the end, where the last to be reached there was.
    pub async fn close(&mut self, address: SocketAddr) {
        if let Some(Open { frontend, socket, held }) = self.open.remove(&address) {
            self.sockets.let_go(held).await;
            socket.close(&frontend).await;
        }
    }

    /// Closes all, for the end of the process; a shim goes on holding what it holds.
    pub async fn close_all(&mut self) {
        for (_, Open { frontend, socket, .. }) in std::mem::take(&mut self.open) {
            socket.close(&frontend).await;
        }
    }

    /// Nothing but what is open stays held.
    pub async fn hold_only_open(&self) {
        self.sockets.keep_only(self.open.values().map(|open| open.held.clone()).collect()).await;
    }

    /// Requests that no service answered for, by address.
    pub fn unmatched(&self) -> Vec<(SocketAddr, u64)> {
        self.open.iter().map(|(address, open)| (*address, open.frontend.unmatched.load(Relaxed))).collect()
    }
}
