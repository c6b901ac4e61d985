//! What the requests for one service share.

use super::Limits;
use super::budget::Budget;
use super::route::Routing;
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// What an address leads to.
#[derive(Debug, Clone)]
pub enum Lead {
    Service(Arc<Backend>),
    /// The same address over TLS.
    Redirect {
        /// Where TLS is spoken.
        port: u16,
    },
}

/// A service behind its addresses.
#[derive(Debug)]
pub struct Backend {
    /// `service@environment`.
    pub name: String,
    /// What is in force.
    pub routing: ArcSwap<Routing>,
    /// Bounds.
    pub limits: Limits,
    /// How much may be tried again.
    pub budget: Budget,
    /// Owns connections to instances and tunnels.
    pub tasks: TaskTracker,
}

impl Backend {
    /// One that nothing leads to yet.
    pub fn new(name: &str, routing: Routing, limits: Limits, tasks: TaskTracker) -> Arc<Self> {
        let routing = ArcSwap::from_pointee(routing);
        Arc::new(Self { name: name.to_owned(), routing, limits, budget: Budget::default(), tasks })
    }
}
