//! What the loop owns.

use super::asks::{Ask, StagedRelease};
use super::handover::ProxyHome;
use super::link::{LinkEvent, LinkOrder};
use super::publish::Publisher;
use super::settings::Settings;
use super::spilled::Spilled;
use super::windows::{Counters, PoolMetrics};
use crate::journal::{Journal, Spill};
use crate::process::context::{Drain, Report};
use crate::process::supervisor::Supervisor;
use crate::store::Store;
use flightdeck_engine_core as core;
use flightdeck_engine_core::State;
use flightdeck_model::{CommandId, ConfigRevision, RolloutRecord};
use flightdeck_platform::files::LockFile;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The engine's loop. Nothing happens before it runs.
#[derive(Debug)]
pub struct EngineTask {
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) journal: Journal,
    /// Finished rollouts that the journal does not have yet.
    pub(super) ended: Vec<RolloutRecord>,
    /// The configuration that came into force and is not in the journal yet.
    pub(super) config: Option<Box<ConfigRevision>>,
    /// Finished rollouts that were not told yet.
    pub(super) news: Vec<RolloutRecord>,
    /// Taken while a line is being written.
    pub(super) spill: Option<Spill>,
    pub(super) spilled: Vec<Spilled>,
    pub(super) store: Store,
    pub(super) room: Supervisor,
    pub(super) publisher: Publisher,
    pub(super) counters: Counters,
    pub(super) metrics: watch::Sender<Vec<PoolMetrics>>,
    pub(super) unmatched: watch::Sender<Vec<(SocketAddr, u64)>>,
    pub(super) staged: Vec<(CommandId, StagedRelease)>,
    pub(super) urgent: mpsc::UnboundedReceiver<Ask>,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
    pub(super) link: Option<Link>,
    pub(super) link_parts: Option<(ProxyHome, mpsc::UnboundedReceiver<Drain>)>,
    pub(super) tasks: JoinSet<()>,
    /// The proxy is connected.
    pub(super) up: bool,
    /// Until every instance from before has answered.
    pub(super) adopting: Option<Adopting>,
    /// The state in memory is newer than the journal's.
    pub(super) unsaved: bool,
    /// The rows may have changed since they were told.
    pub(super) dirty: bool,
    pub(super) last_renew: Option<Instant>,
    pub(super) last_sweep: Option<Instant>,
    pub(super) _lock: LockFile,
}

/// The loop's ends of the link to the proxy.
#[derive(Debug)]
pub struct Link {
    pub(super) orders: mpsc::UnboundedSender<LinkOrder>,
    pub(super) events: mpsc::UnboundedReceiver<LinkEvent>,
}

pub(super) fn send(link: Option<&Link>, order: LinkOrder) {
    if let Some(link) = link {
        let _ = link.orders.send(order); // a link that ended ends the loop
    }
}

/// Instances from before that have not answered yet.
#[derive(Debug)]
pub(super) struct Adopting {
    pub(super) all: usize,
    pub(super) left: BTreeSet<String>,
    pub(super) since: Instant,
}

impl EngineTask {
    pub(super) fn instances(&self) -> impl Iterator<Item = &core::InstanceRecord> {
        self.state.slots.values().flat_map(|slot| slot.pools.values()).flat_map(|pool| pool.instances.values())
    }

    pub(super) fn send(&self, order: LinkOrder) {
        send(self.link.as_ref(), order);
    }

    pub(super) fn renew(&mut self) {
        self.last_renew = Some(Instant::now());
        self.send(LinkOrder::Renew(self.settings.lease));
    }
}
