//! Prometheus' Alertmanager, API v2 (0.16 and newer): <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>.
//! Shows what fires, silenced or not, and makes and ends silences.
//!
//! `wire.rs` reads and writes what goes over the wire (pure), `execute.rs` makes and ends silences.

mod execute;
mod provider;
mod settings;
mod wire;

pub use provider::AlertmanagerProvider;

use super::client::{Client, Problem};
use super::labels::Naming;
use super::poll::{self, Looked, Seen};
use async_trait::async_trait;
use flightdeck_control::Authorized;
use flightdeck_model::{Action, Detail, Rollout, Run, Scoped, SourceId, Stage};
use flightdeck_port::{Accepted, Capabilities, Configured, Executor, Followed, InspectError, NotDone, WrongSetting};
use futures::stream::BoxStream;
use settings::Settings;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use wire::{WireAlert, WireSilence};

/// One Alertmanager.
#[derive(Debug, Clone)]
pub struct Alertmanager {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: SourceId,
    read_only: bool,
    client: Client,
    filter: Vec<String>,
    naming: Naming,
    every: Duration,
    /// Told with each silence that was made or ended: its effect is looked for at once.
    changed: watch::Sender<()>,
}

impl Shared {
    /// All alerts that fire, whoever keeps them quiet.
    async fn alerts(&self) -> Result<Vec<WireAlert>, Problem> {
        let filter = self.filter.iter().map(|matcher| ("filter", matcher.as_str()));
        let query: Vec<(&str, &str)> = filter.collect();
        self.client.get("api/v2/alerts", &query).await
    }
}

impl Alertmanager {
    /// Of its settings; reads its secret and connects nothing.
    ///
    /// # Errors
    /// The first key that is wrong, or whose secret can't be read.
    pub async fn open(configured: &Configured) -> Result<Alertmanager, WrongSetting> {
        let Settings { access, filter, every, naming } = Settings::of(&configured.settings)?;
        let shared = Shared {
            source: configured.name.clone(),
            read_only: configured.read_only,
            client: Client::open(access).await?,
            filter,
            naming,
            every,
            changed: watch::Sender::new(()),
        };
        Ok(Alertmanager { shared: Arc::new(shared) })
    }

    /// Looked at so often, whatever its settings say.
    #[must_use]
    pub fn looked_at_every(mut self, every: Duration) -> Alertmanager {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.every = every;
        }
        self
    }
}

#[async_trait]
impl Looked for Shared {
    fn source(&self) -> &SourceId {
        &self.source
    }

    fn every(&self) -> Duration {
        self.every
    }

    async fn look(&self) -> Result<Seen, Problem> {
        let alerts = self.alerts().await?;
        let silences: Vec<WireSilence> = self.client.get("api/v2/silences", &[]).await?;
        let in_force = silences.iter().filter(|silence| !silence.is_over());
        Ok(Seen {
            alerts: alerts.iter().map(|alert| alert.row(&self.source, &self.naming)).collect(),
            silences: in_force.map(|silence| silence.row(&self.source)).collect(),
        })
    }

    fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

#[async_trait]
impl Executor for Alertmanager {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            source: self.shared.source.clone(),
            actions: [Action::Silence, Action::Unsilence].into_iter().collect(),
            later: "Alertmanager knows no hold",
            read_only: self.shared.read_only,
        }
    }

    fn watch(&self) -> BoxStream<'static, Scoped> {
        poll::watch(Arc::clone(&self.shared) as Arc<dyn Looked>)
    }

    async fn execute(&self, authorized: &Authorized) -> Result<Accepted, NotDone> {
        let outcome = execute::execute(&self.shared, authorized).await;
        self.shared.changed.send_replace(());
        outcome
    }

    /// Its rows tell the rest: an alert that is silenced, a silence that is gone.
    fn progress(&self, _: &Followed<'_>) -> Stage {
        Stage::Accepted
    }

    async fn read(&self, run: &Run) -> Result<Rollout, InspectError> {
        Err(InspectError::NotFound(run.clone()))
    }

    async fn inspect(&self, run: &Run) -> Result<Detail, InspectError> {
        Err(InspectError::NotFound(run.clone()))
    }
}
