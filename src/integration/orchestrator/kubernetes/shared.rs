//! What the parts of a source share: its settings, its connection, and what is known of its rights.

use super::access::Access;
use super::client::Cluster;
use super::settings::KubernetesSettings;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use std::sync::Arc;
use tokio::sync::watch::{Sender, channel};

#[expect(clippy::disallowed_methods, reason = "a source is a shell: it tells since when something is so")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// The cluster as it can be asked now, or the sentence why it can't.
pub type Connection = Result<Arc<Cluster>, String>;

/// What the watch keeps up to date for commands and reads.
pub struct Shared {
    /// As they are in force: without namespaces of their own, that of the context once it is known to be
    /// all that may be looked at.
    settings: ArcSwap<KubernetesSettings>,
    pub connection: Sender<Connection>,
    /// What is known of our rights.
    pub(super) access: ArcSwap<Access>,
}

impl Shared {
    #[must_use]
    pub fn new(settings: KubernetesSettings) -> Shared {
        let (connection, _) = channel(Err("not connected yet".to_owned()));
        Shared { settings: ArcSwap::from_pointee(settings), connection, access: ArcSwap::default() }
    }

    /// The cluster, if it can be asked now.
    pub fn cluster(&self) -> Connection {
        self.connection.borrow().clone()
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<KubernetesSettings> {
        self.settings.load_full()
    }

    /// Only this namespace is looked at from now on.
    pub fn narrow(&self, namespace: &str) {
        let namespaces = vec![namespace.to_owned()];
        self.settings.store(Arc::new(KubernetesSettings { namespaces, ..(*self.settings()).clone() }));
    }
}
