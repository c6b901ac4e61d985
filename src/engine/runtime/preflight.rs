//! What can be seen of a release before anything of it is started.

use super::engine::Engine;
use crate::process::artifact;
use crate::process::launch::search;
use crate::store::Store;
use flightdeck_engine_core as core;
use flightdeck_engine_core::Programs;
use flightdeck_model::{Command, Refusal, RefusalKind, ServiceName, Subject, Version};
use flightdeck_port::NotDone;

impl Engine {
    /// Refuses a deployment whose programs can't be run. What is not stored or configured the core refuses.
    pub(super) async fn can_run(&self, command: &Command) -> Result<(), NotDone> {
        let Subject::NewRollout { service, environment, version, from, .. } = &command.subject else { return Ok(()) };
        let state = self.state().await?;
        let programs = core::programs(&state, service, environment, version.as_ref(), from.as_ref());
        let Some(programs) = programs else { return Ok(()) };
        let (version, place) = (programs.release.version.clone(), format!("{service} in {environment}"));
        let found = self.look(programs).await?;
        if found.is_empty() {
            return Ok(());
        }
        let why = format!("{version} can't run as {place}: {}; nothing was done", found.join("; "));
        Err(NotDone::Refused(Refusal::new(RefusalKind::NotApplicable, why)))
    }

    /// Where a release that was just stored can't be run as configured now, each in words.
    pub(super) async fn unfit(&self, service: &ServiceName, version: &Version) -> Result<Vec<String>, NotDone> {
        let state = self.state().await?;
        let Some(spec) = state.spec.services.get(service) else { return Ok(Vec::new()) };
        let mut all: Vec<(Vec<String>, Vec<String>)> = Vec::new();
        for environment in spec.placements.keys() {
            let Some(programs) = core::programs(&state, service, environment, Some(version), None) else { continue };
            let found = self.look(programs).await?;
            match all.iter_mut().find(|(of, _)| *of == found) {
                Some((_, environments)) => environments.push(environment.to_string()),
                None => all.push((found, vec![environment.to_string()])),
            }
        }
        let unfit = all.into_iter().filter(|(found, _)| !found.is_empty());
        Ok(unfit.map(|(found, at)| format!("it can't run in {}: {}", at.join(" and "), found.join("; "))).collect())
    }

    async fn look(&self, programs: Programs) -> Result<Vec<String>, NotDone> {
        let store = self.store.clone();
        let looked = tokio::task::spawn_blocking(move || look(&store, &programs)).await;
        looked.map_err(|error| NotDone::NotSent { why: error.to_string() })?
    }
}

fn look(store: &Store, programs: &Programs) -> Result<Vec<String>, NotDone> {
    let names: Vec<String> = programs.named.iter().map(|(_, program)| program.clone()).collect();
    let found = artifact::obstacles(store, &programs.release.digest, &names, &search(&programs.env));
    let found = found.map_err(|error| {
        NotDone::Refused(Refusal::new(RefusalKind::Internal, flightdeck_model::sanitize_line(&error.sentence())))
    })?;
    let each = programs.named.iter().zip(found);
    Ok(each.filter_map(|((what, _), cause)| cause.map(|cause| format!("{what}: {cause}"))).collect())
}
