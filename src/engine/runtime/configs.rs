//! Configurations: read beside those that are in force, compared with them, put into force.

use super::asks::Ask;
use super::engine::Engine;
use super::machine::ThisMachine;
use crate::journal::JournalError;
use crate::store::digest_of;
use flightdeck_config::services::{self, Machine, Surroundings};
use flightdeck_engine_core as core;
use flightdeck_engine_core::{Apply, Input};
use flightdeck_model::{Actor, ConfigName, ConfigRevision, InForce, Refusal, RefusalKind, ServicePlace, Spec};
use flightdeck_port::NotDone;
use std::path::Path;
use tokio::sync::oneshot;

/// What applying a configuration would come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// What would change, a line each; empty: nothing.
    pub lines: Vec<String>,
    /// Why it would be refused.
    pub refused: Option<Refusal>,
}

/// A configuration as it was sent.
#[derive(Debug, Clone)]
pub struct ConfigText {
    /// What it is to be.
    pub name: ConfigName,
    /// The text of `flightdeck.toml`.
    pub text: String,
    /// Where it lies.
    pub path: String,
}

impl ConfigText {
    /// Reads it beside the others; with a machine also what only that knows.
    ///
    /// # Errors
    /// All that is wrong with it, or its text calls it otherwise than it was sent.
    pub fn read(&self, machine: Option<&dyn Machine>, beside: &[InForce]) -> Result<Spec, Refusal> {
        let refused = |why: String| Refusal::new(RefusalKind::Invalid, why);
        let around = Surroundings { machine, beside, name: self.name.clone() };
        let spec = services::parse_in(&self.text, Path::new(&self.path), &around);
        let spec = spec.map_err(|error| refused(error.to_string()))?;
        if spec.name != self.name {
            let (said, sent) = (&spec.name, &self.name);
            return Err(refused(format!(
                "the configuration calls itself {said} and was sent as {sent}; nothing was done"
            )));
        }
        Ok(spec)
    }
}

fn ended() -> Refusal {
    Refusal::new(RefusalKind::Internal, "the engine has ended")
}

impl Engine {
    /// Reads a configuration to be put into force, with what only this machine knows.
    pub(super) async fn apply(
        &self,
        config: ConfigText,
        remove: Vec<ServicePlace>,
        reason: Option<String>,
        actor: Actor,
    ) -> Result<Input, NotDone> {
        let beside = self.configs_beside(&config.name).await.map_err(NotDone::Refused)?;
        let read = move || {
            let spec = config.read(Some(&ThisMachine), &beside).map_err(NotDone::Refused)?;
            let ConfigText { text, path, .. } = config;
            let digest = digest_of(text.as_bytes()).map_err(|error| NotDone::NotSent { why: error.to_string() })?;
            Ok(Input::Apply(Box::new(Apply { spec, text, path, digest, actor, reason, remove })))
        };
        tokio::task::spawn_blocking(read).await.map_err(|error| NotDone::NotSent { why: error.to_string() })?
    }

    /// What applying a configuration would change, and whether it would be refused. Compared on a thread of its
    /// own: the loop waits for no question.
    pub async fn diff(&self, spec: Spec, remove: Vec<ServicePlace>) -> Result<Changes, Refusal> {
        let state = self.state().await.map_err(|_| ended())?;
        let compared = tokio::task::spawn_blocking(move || Changes {
            lines: core::diff(&state, &spec),
            refused: core::why_not_apply(&state, &spec, &remove),
        });
        compared.await.map_err(|error| {
            Refusal::new(RefusalKind::Internal, format!("the configurations can't be compared: {error}"))
        })
    }

    /// The configurations that are in force beside the one of that name: what that is read against.
    pub async fn configs_beside(&self, name: &ConfigName) -> Result<Vec<InForce>, Refusal> {
        Ok(self.state().await.map_err(|_| ended())?.configs_beside(name))
    }

    /// The configurations that were put into force, newest first; of one revision with its text.
    ///
    /// # Errors
    /// The journal can't be read, or the engine has ended.
    pub async fn configs(&self, revision: Option<u64>) -> Result<Vec<ConfigRevision>, JournalError> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask::Configs(revision, answer)).await.map_err(|_| JournalError::Gone)?;
        let mut configs = answered.await.map_err(|_| JournalError::Gone)??;
        let state = self.state().await.map_err(|_| JournalError::Gone)?;
        for config in &mut configs {
            let of = state.configs.get(&config.name).filter(|of| of.revision == config.revision);
            config.in_force = of.is_some();
            // What it brought was not always recorded, and may be called otherwise since.
            if let Some(of) = of {
                config.services = of.services.iter().cloned().collect();
            }
        }
        Ok(configs)
    }
}
