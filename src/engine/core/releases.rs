//! Stored releases: a version never changes, and what is needed stays.

use super::refusals::{invalid, no};
use super::state::State;
use flightdeck_model::{Refusal, RefusalKind, Release, ServiceName, Version};

/// Stores a release.
pub(super) fn added(state: &mut State, release: &Release) -> Result<(), Refusal> {
    let digest = |release: &Release| release.artifacts.first().map(|artifact| artifact.digest.clone());
    if release.artifacts.is_empty() {
        return Err(invalid(&format!("{} {} has no artifact", release.service, release.version)));
    }
    if let Some(name) = release.migrations.iter().flatten().find(|name| !is_name(name)) {
        return Err(invalid(&format!("{name:?} is no name of a migration")));
    }
    if let Some(known) = state.release(&release.service, &release.version) {
        if digest(known) == digest(release) {
            // What it brings may be said later, not otherwise.
            return match (&known.migrations, &release.migrations) {
                (Some(before), Some(now)) if before != now => Err(no(format!(
                    "{} {} is stored already and brings {}; a version never changes, give it another one",
                    release.service,
                    release.version,
                    if before.is_empty() { "no migration".to_owned() } else { before.join(", ") }
                ))),
                (None, Some(_)) => {
                    let of_service = state.releases.get_mut(&release.service);
                    if let Some(known) = of_service.and_then(|of| of.get_mut(&release.version)) {
                        known.migrations.clone_from(&release.migrations);
                    }
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        return Err(no(format!(
            "{} {} is stored already with other content ({}); a version never changes, give it another one",
            release.service,
            release.version,
            digest(known).unwrap_or_default()
        )));
    }
    let of_service = state.releases.entry(release.service.clone()).or_default();
    of_service.insert(release.version.clone(), release.clone());
    Ok(())
}

/// As a configuration names them.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    !name.is_empty() && name.len() <= 63 && name.chars().all(plain)
}

/// Forgets a release that nothing needs.
pub(super) fn removed(state: &mut State, service: &ServiceName, version: &Version) -> Result<(), Refusal> {
    if state.release(service, version).is_none() {
        return Err(Refusal::new(RefusalKind::NotFound, format!("there is no stored release {service} {version}")));
    }
    for slot in state.slots.values().filter(|slot| slot.key.service == *service) {
        let needed = if slot.pools.values().any(|pool| pool.release.version == *version) {
            "runs"
        } else if slot.queue.iter().any(|run| run.to.version == *version) {
            "is in line"
        } else if slot.previous().is_some_and(|previous| previous.version == *version) {
            "is what a rollback returns to"
        } else {
            continue;
        };
        return Err(no(format!("{service} {version} {needed} in {}; it stays stored", slot.key.environment)));
    }
    if let Some(of_service) = state.releases.get_mut(service) {
        of_service.remove(version);
    }
    Ok(())
}
