//! One address on which users come in, and what it leads to.

use super::Limits;
use super::backend::{Backend, Lead};
use super::hosts::Hosts;
use super::tls::{self, Keys};
use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio_util::task::TaskTracker;

/// An address and what it leads to.
#[derive(Debug)]
pub struct Frontend {
    /// Where it listens.
    pub address: SocketAddr,
    /// Which service a request is for.
    pub hosts: ArcSwap<Hosts<Lead>>,
    /// What all connections are for, where their bytes pass as they are.
    pub all: ArcSwapOption<Backend>,
    /// Certificates; without any it speaks plain HTTP.
    pub keys: Arc<Keys>,
    /// Requests that no service answers for.
    pub unmatched: AtomicU64,
    pub tls: Arc<ServerConfig>,
    pub limits: Limits,
    /// What it serves.
    pub tasks: TaskTracker,
}

impl Frontend {
    /// One that leads nowhere yet.
    pub fn new(address: SocketAddr, limits: Limits, tasks: TaskTracker) -> io::Result<Arc<Self>> {
        let (hosts, keys) = (ArcSwap::default(), Arc::<Keys>::default());
        let tls = tls::config(Arc::clone(&keys)).map_err(io::Error::other)?;
        let all = ArcSwapOption::empty();
        Ok(Arc::new(Self { address, hosts, all, keys, unmatched: AtomicU64::new(0), tls, limits, tasks }))
    }
}
