//! Whoever is at the other end of a connection, and how many connections an address has.

use hyper::header::HeaderValue;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedSemaphorePermit;

/// Whoever is at the other end of a connection: a user, or a proxy before this one.
#[derive(Debug)]
pub struct User {
    /// Where the connection comes from.
    pub peer: IpAddr,
    /// The same for `X-Forwarded-For`.
    pub address: HeaderValue,
    /// What is known of it where the connection is encrypted.
    pub tls: Option<Encrypted>,
    closing: Arc<AtomicBool>,
    /// Speaks another protocol from here on.
    tunnel: AtomicBool,
    /// Requests of which at least a byte came.
    begun: AtomicU64,
    /// Of those, given to whoever answers.
    taken: AtomicU64,
    /// Of those, answered to the last byte, or as far as anybody wanted.
    answered: AtomicU64,
    _place: Place,
}

/// An encrypted connection.
#[derive(Debug, Default)]
pub struct Encrypted {
    /// The name that was asked for before any request.
    pub server_name: Option<String>,
}

/// A connection's part of the bounds; a tunnel keeps it.
#[derive(Debug)]
pub struct Place {
    /// Of the address's.
    _share: Share,
    /// Of all.
    _slot: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// One of the address's connections, and one of all.
    pub const fn new(share: Share, slot: Option<OwnedSemaphorePermit>) -> Self {
        Self { _share: share, _slot: slot }
    }
}

impl User {
    /// Nobody asked for anything yet. `closing` is set once every answer is to say so.
    pub fn new(peer: IpAddr, tls: Option<Encrypted>, closing: Arc<AtomicBool>, place: Place) -> Arc<Self> {
        let address = HeaderValue::try_from(peer.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
        Arc::new(Self {
            peer,
            address,
            tls,
            closing,
            tunnel: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            _place: place,
        })
    }

    /// Is every answer to say that its connection closes?
    pub fn leaving(&self) -> bool {
        self.closing.load(Relaxed)
    }

    /// So many requests have begun to come.
    pub fn has_begun(&self, requests: u64) {
        self.begun.store(requests, Relaxed);
    }

    /// One more is given to whoever answers.
    pub fn take(&self) {
        self.taken.fetch_add(1, Relaxed);
    }

    /// Requests that were given to whoever answers.
    pub fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }

    /// Counts a request as answered once it is dropped.
    pub fn answering(self: &Arc<Self>) -> Answering {
        Answering(Arc::clone(self))
    }

    /// Is nothing of what came still to be answered?
    pub fn waits(&self) -> bool {
        let taken = self.taken();
        taken == self.answered.load(Relaxed) && taken == self.begun.load(Relaxed)
    }

    /// Did anything come behind the request that is being answered?
    pub fn is_ahead(&self) -> bool {
        self.begun.load(Relaxed) > self.taken()
    }

    /// What follows is no HTTP/1.1.
    pub fn begin_tunnel(&self) {
        self.tunnel.store(true, Relaxed);
    }

    /// Is what comes no HTTP/1.1 any more?
    pub fn tunnels(&self) -> bool {
        self.tunnel.load(Relaxed)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Answering(Arc<User>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answered.fetch_add(1, Relaxed);
    }
}

/// Connections by address.
pub type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One of an address's connections.
#[derive(Debug)]
pub struct Share {
    address: IpAddr,
    counts: Counts,
}

impl Share {
    /// `None` when the address has as many as it may: so many at most, and never more than three times what is
    /// free. Alone it gets three quarters, as behind a reverse proxy, from which all users come; and however
    /// many addresses take what they can, something is left for the next one.
    pub fn take(counts: &Counts, address: IpAddr, bound: usize, free: usize) -> Option<Self> {
        let mut by_address = counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_address.get(&address).copied().unwrap_or_default();
        if count >= bound.min(free.saturating_mul(3)) {
            return None;
        }
        by_address.insert(address, count + 1);
        Some(Self { address, counts: Arc::clone(counts) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) =
            self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(self.address)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_alone_gets_three_quarters_and_many_leave_something() {
        for (addresses, most, least_left) in [(1, 3072, 1024), (2, 1757, 580), (10, 400, 120)] {
            let counts = Counts::default();
            let mut taken = Vec::new();
            // In turns, as long as anybody gets one.
            loop {
                let before = taken.len();
                for address in 0..addresses {
                    let address = IpAddr::from([10, 0, 0, address]);
                    taken.extend(Share::take(&counts, address, 4096, 4096 - taken.len()));
                }
                if taken.len() == before {
                    break;
                }
            }
            let each = counts.lock().unwrap().values().copied().max().unwrap();
            let left = 4096 - taken.len();
            assert!(each <= most && left >= least_left, "{addresses} addresses: {each} each, {left} left");
            assert!(addresses > 1 || each == most, "{each}");
            assert!(Share::take(&counts, IpAddr::from([10, 0, 1, 0]), 4096, left).is_some());
        }
        let counts = Counts::default();
        let two: Vec<_> = (0..3).filter_map(|_| Share::take(&counts, IpAddr::from([10, 0, 0, 1]), 2, 4096)).collect();
        assert_eq!(two.len(), 2, "a bound of its own counts as well");
    }
}
