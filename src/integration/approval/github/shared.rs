//! What watch and calls share.

use super::client::{Client, Problem, now};
use super::gate::{Gate, Key};
use super::look::Looking;
use super::row::{Context, settle};
use super::settings::Settings;
use flightdeck_model::SourceId;
use std::collections::BTreeMap;
use tokio::sync::watch::Sender;

/// What watch and calls share.
#[derive(Debug)]
pub(super) struct Shared {
    pub source: SourceId,
    pub read_only: bool,
    pub settings: Settings,
    pub client: Client,
    /// Whose token it is, once GitHub has said so.
    pub login: Sender<Option<String>>,
    /// Every gate as it was last seen, written by the watch alone. An input like the rows are: what became of a gate
    /// is asked by the name of its environment, which a run does not tell any more once it waits no more.
    pub known: Sender<BTreeMap<Key, Gate>>,
    /// Told with each review that was sent: its effect is looked for at once.
    pub decided: Sender<()>,
}

impl Shared {
    pub fn context<'a>(&'a self, login: Option<&'a str>) -> Context<'a> {
        Context { source: &self.source, read_only: self.read_only, login }
    }

    /// A gate as GitHub has it now; nothing where its run is gone, or never waited.
    pub async fn live(&self, repository: &str, key: Key) -> Result<Option<Gate>, Problem> {
        let (known, at) = (self.known.borrow().get(&key).cloned(), now());
        let mut gate = self.looking(repository).one(key, known.as_ref(), at).await?;
        if let Some(gate) = &mut gate {
            settle(gate, known.as_ref(), at);
        }
        Ok(gate)
    }

    pub fn looking<'a>(&'a self, repository: &'a str) -> Looking<'a> {
        Looking { client: &self.client, repository, environments: &self.settings.environments }
    }
}
