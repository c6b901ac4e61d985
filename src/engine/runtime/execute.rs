//! Commands: carried out, and what there is to say of them besides.

use super::asks::{Ask, Silent};
use super::clock::clock;
use super::configs::ConfigText;
use super::engine::{Engine, gone};
use crate::store::StoreError;
use flightdeck_control::Authorized;
use flightdeck_engine_core::Input;
use flightdeck_model::{
    Action, Actor, Command, Direction, Refusal, RefusalKind, Release, ServiceName, Subject, Version, sanitize_line,
};
use flightdeck_port::{Accepted, NotDone};
use std::time::Duration;
use tokio::sync::oneshot;

impl Engine {
    /// Carries out one command: it is journalled, with all that follows from it, when this gives `Ok`.
    pub async fn execute(&self, authorized: &Authorized) -> Result<Accepted, NotDone> {
        let (command, actor) = (authorized.command(), authorized.actor());
        let input = match (command.action, &command.subject) {
            (Action::Apply, Subject::Config { name, text, path, remove }) => {
                let config = ConfigText { name: name.clone(), text: text.clone(), path: path.clone() };
                let input = self.apply(config, remove.clone(), command.reason.clone(), actor.clone()).await?;
                let accepted = self.input(input, Direction::Raises).await?;
                // An engine that ended says so in its own answers.
                let ending = self.state().await.map(|state| state.ending(remove)).unwrap_or_default();
                return Ok(Accepted { lacking: self.not_listening().await, ending, ..accepted });
            }
            (Action::AddRelease, Subject::Release { service, version, .. }) => {
                let input = self.add_release(command, service, version, actor).await?;
                let accepted = self.input(input, command.action.direction()).await?;
                let unfit = self
                    .unfit(service, version)
                    .await
                    .unwrap_or_else(|error| vec![format!("whether it can run could not be looked at: {error}")]);
                let note = (!unfit.is_empty()).then(|| format!("but {}", unfit.join("; ")));
                return Ok(Accepted { note: note.or(accepted.note), ..accepted });
            }
            (Action::RemoveRelease, Subject::Release { service, version, .. }) => {
                Input::ReleaseRemoved { service: service.clone(), version: version.clone() }
            }
            (Action::Apply | Action::AddRelease | Action::RemoveRelease, _) => {
                return Err(invalid(format!("{} is not about that", command.action.name())));
            }
            (Action::Deploy, _) => {
                self.can_run(command).await?;
                Input::Command { command: command.clone(), actor: actor.clone(), decided: authorized.at() }
            }
            _ => Input::Command { command: command.clone(), actor: actor.clone(), decided: authorized.at() },
        };
        self.input(input, command.action.direction()).await
    }

    async fn input(&self, input: Input, direction: Direction) -> Result<Accepted, NotDone> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Input { input: Box::new(input), direction, answer };
        if direction == Direction::Reduces {
            self.urgent.send(ask).map_err(|_| gone())?;
        } else {
            self.asks.send(ask).await.map_err(|_| gone())?;
        }
        answered.await.map_err(|_| NotDone::Unknown { why: "the engine ended before it answered".into() })?
    }

    async fn add_release(
        &self,
        command: &Command,
        service: &ServiceName,
        version: &Version,
        actor: &Actor,
    ) -> Result<Input, NotDone> {
        let (answer, answered) = oneshot::channel();
        self.urgent.send(Ask::TakeStaged(command.id.clone(), answer)).map_err(|_| gone())?;
        let staged = answered.await.map_err(|_| gone())?;
        let staged = staged.ok_or_else(|| invalid("no artifact was uploaded for this command"))?;
        let (store, upload) = (self.store.clone(), self.stage_upload(&command.id));
        let expected = staged.expected_digest;
        let taken = tokio::task::spawn_blocking(move || store.take(&upload, expected.as_deref())).await;
        let artifact = taken.map_err(|error| NotDone::NotSent { why: error.to_string() })?.map_err(|error| {
            let kind =
                if matches!(error, StoreError::Io { .. }) { RefusalKind::Internal } else { RefusalKind::Invalid };
            NotDone::Refused(Refusal::new(kind, sanitize_line(&error.sentence())))
        })?;
        Ok(Input::ReleaseAdded(Release {
            source: self.source.clone(),
            service: service.clone(),
            version: version.clone(),
            artifacts: vec![artifact],
            commit: staged.commit.as_deref().map(sanitize_line),
            commit_at: staged.commit_at,
            pipeline_run: staged.pipeline_run.as_deref().map(sanitize_line),
            author: actor.name.clone(),
            added: clock(),
            migrations: staged.migrations,
        }))
    }

    /// What does not listen as configured once the proxy has answered, each in words. A configuration is in
    /// force only as far as its addresses are.
    async fn not_listening(&self) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + ACKNOWLEDGED;
        loop {
            let (answer, answered) = oneshot::channel();
            if self.urgent.send(Ask::Listening(answer)).is_err() {
                return Vec::new(); // an engine that ended says so in its own answers
            }
            let silent = answered.await.unwrap_or_default();
            let waits = silent.iter().any(|of| of.why.is_none());
            if !waits || tokio::time::Instant::now() >= deadline {
                return silent.into_iter().map(Silent::in_words).collect();
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Silent {
    fn in_words(self) -> String {
        let Silent { place, address, why } = self;
        match why {
            Some(why) => format!("{place} does not listen on {address}: {why}"),
            None => format!(
                "{place} does not listen on {address} yet: the proxy did not acknowledge it within {} s",
                ACKNOWLEDGED.as_secs()
            ),
        }
    }
}

/// So long the proxy has to acknowledge the routes of a new configuration.
const ACKNOWLEDGED: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

fn invalid(why: impl Into<String>) -> NotDone {
    NotDone::Refused(Refusal::new(RefusalKind::Invalid, why))
}
