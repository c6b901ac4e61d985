//! Which processes listen where.

use flightdeck_model::{PortOwner, sanitize_line};
use listeners::{Listener, Protocol, SocketState};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// Where these processes listen, in order; what can't be looked at is not among them.
#[must_use]
pub fn of(pids: &[u32]) -> Vec<SocketAddr> {
    let theirs = listening().filter(|listener| pids.contains(&listener.process.pid));
    theirs.map(address).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Who listens on a port of this machine; `None`: nobody, or a process of another user.
#[must_use]
pub fn owner(port: u16) -> Option<PortOwner> {
    let process = listening().find(|listener| listener.socket.port() == port)?.process;
    Some(PortOwner { pid: process.pid, name: sanitize_line(&process.name) })
}

fn listening() -> impl Iterator<Item = Listener> {
    let all = listeners::get_all().unwrap_or_default().into_iter();
    all.filter(|listener| listener.protocol == Protocol::TCP && listener.state == SocketState::Listen)
}

fn address(listener: Listener) -> SocketAddr {
    SocketAddr::new(listener.socket.ip().to_canonical(), listener.socket.port())
}
