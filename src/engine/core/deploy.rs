//! Asking for a new rollout.

use super::context::{StepContext, ahead, run_id, span, words};
use super::migrations;
use super::pins::{Ask, check_pin, facts_of};
use super::plans::{enqueue, plan};
use super::refusals::{Done, no, not_found};
use super::slots::{placement, with};
use super::state::{Kind, Slot, State};
use super::types::SlotKey;
use flightdeck_model::{EnvironmentName, Probe, Refusal, RefusalKind, ReleaseRef, ServiceName, Version};
use jiff::SignedDuration;
use std::collections::BTreeMap;

pub(super) fn deploy(
    state: &mut State,
    ctx: &mut StepContext,
    ask: &Ask<'_>,
    key: &SlotKey,
    version: Option<&Version>,
    from: Option<&EnvironmentName>,
) -> Done {
    if placement(state, key).is_none() || state.slots.get(key).is_none_or(|slot| slot.removed) {
        return Err(not_found(format!("{} is not configured in {}", key.service, key.environment)));
    }
    let facts = state.slots.get(key).and_then(|slot| Some(facts_of(slot, slot.shown()?))).unwrap_or_default();
    check_pin(ask, &facts)?;
    let to = to_deploy(state, &key.service, version, from)?;
    promoted(state, key, &to)?;
    let done = with(state, key, |state, slot| {
        not_there_yet(slot, &to)?;
        migrations::can_be_run(state, slot, &to)?;
        let run = plan(state, slot, ctx, Kind::Canary, to.clone(), &ask.actor.name);
        let next = ahead(slot, &run, 0);
        let text = ask.because(&format!("deployment of {} asked for, first {next}", to.version));
        let revision = enqueue(state, slot, ctx, run, &text);
        ctx.created = Some(run_id(state, slot, &revision));
        Ok(())
    });
    done.unwrap_or_else(|| Err(not_found("it is gone")))
}

/// What a deployment would run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    pub release: ReleaseRef,
    /// `run`, or a hook's name, and its program, inside the artifact or absolute.
    pub named: Vec<(String, String)>,
    /// Variables of the service there.
    pub env: BTreeMap<String, String>,
}

/// What a deployment would run; `None` if it can't be asked for: then the command says why.
#[must_use]
pub fn programs(
    state: &State,
    service: &ServiceName,
    environment: &EnvironmentName,
    version: Option<&Version>,
    from: Option<&EnvironmentName>,
) -> Option<Programs> {
    let key = SlotKey { service: service.clone(), environment: environment.clone() };
    let program = state.spec.program(service, environment)?;
    let release = to_deploy(state, service, version, from).ok()?;
    let hooks = migrations::hooks(state, &key, Kind::Canary, &release);
    let filled = |text: &str| {
        let text = text.replace("{version}", release.version.as_str());
        text.replace("{environment}", environment.as_str()).replace("{service}", service.as_str())
    };
    let run = program.run.first().map(|program| ("run".to_owned(), filled(program)));
    let check = match &program.health.probe {
        Probe::Command { command } => command.first().map(|program| ("health.command".to_owned(), filled(program))),
        Probe::Runs { .. } | Probe::Http { .. } | Probe::Tcp {} => None,
    };
    let hooks = hooks.iter().flat_map(|hook| {
        let back = hook.migration.as_ref().and_then(|migration| migration.back.first());
        let name = format!("hook {}", hook.name);
        hook.run.first().into_iter().chain(back).map(move |program| (name.clone(), filled(program)))
    });
    // What only a start knows can't be looked at before.
    let named = run.into_iter().chain(check).chain(hooks).filter(|(_, program)| !program.contains('{')).collect();
    Some(Programs { release, named, env: program.env })
}

/// The release that is meant, with its digest.
fn to_deploy(
    state: &State,
    service: &ServiceName,
    version: Option<&Version>,
    from: Option<&EnvironmentName>,
) -> Result<ReleaseRef, Refusal> {
    let source = match from {
        None => None,
        Some(from) => {
            let key = SlotKey { service: service.clone(), environment: from.clone() };
            let succeeded = state.slots.get(&key).and_then(|slot| slot.lineage.last());
            let succeeded = succeeded.map(|of| &of.release);
            Some(succeeded.ok_or_else(|| no(format!("nothing of {service} has succeeded in {from} yet")))?)
        }
    };
    let Some(version) = version.or(source.map(|source| &source.version)) else {
        return Err(Refusal::new(RefusalKind::Invalid, "say which version, or from which environment"));
    };
    let Some(release) = state.release(service, version) else {
        return Err(not_found(format!("there is no stored release {service} {version}")));
    };
    let Some(artifact) = release.artifacts.first() else {
        return Err(no(format!("{service} {version} has no artifact")));
    };
    if let (Some(source), Some(from)) = (source, from)
        && (source.digest != artifact.digest || source.version != *version)
    {
        return Err(no(format!(
            "what succeeded in {from} is {} ({}), not {version} ({}); nothing was done",
            source.version, source.digest, artifact.digest
        )));
    }
    Ok(ReleaseRef { version: version.clone(), digest: artifact.digest.clone() })
}

/// Does a version still have to serve for longer before another environment takes it? Then time matters
/// even where nothing is in flight.
#[must_use]
pub fn soaking(state: &State) -> bool {
    state.spec.environments.values().any(|of| {
        of.promote_from.as_ref().is_some_and(|from| {
            let slots = state.slots.values().filter(|slot| slot.key.environment == *from);
            slots.filter_map(|slot| slot.served.last()).any(|(_, served)| *served < of.soak)
        })
    })
}

/// Where the environment takes only what succeeded elsewhere: did it, by its digest, for long enough?
fn promoted(state: &State, key: &SlotKey, to: &ReleaseRef) -> Done {
    let Some(of) = state.spec.environments.get(&key.environment) else { return Ok(()) };
    let Some(from) = &of.promote_from else { return Ok(()) };
    let below = SlotKey { service: key.service.clone(), environment: from.clone() };
    if placement(state, &below).is_none() {
        return Ok(());
    }
    let takes = format!("{} takes only what succeeded in {from}", key.environment);
    let slot = state.slots.get(&below).filter(|slot| slot.lineage.iter().any(|of| of.release == *to));
    let Some(slot) = slot else {
        let mut succeeded = state.slots.get(&below).into_iter().flat_map(|slot| &slot.lineage).map(|of| &of.release);
        let other = succeeded.find(|of| of.version == to.version);
        return Err(no(match other {
            Some(other) => format!("{takes}: there {} was {}, not {}", to.version, other.digest, to.digest),
            None => format!("{takes}: {} did not, or was rolled back; deploy it there first", to.version),
        }));
    };
    let served = slot.served.iter().find(|(of, _)| of == to).map_or(SignedDuration::ZERO, |(_, served)| *served);
    if served < of.soak {
        let left = of.soak.saturating_sub(served);
        return Err(no(format!(
            "{takes} and served there for {}: {} has for {}, {} are left",
            span(of.soak),
            to.version,
            span(served),
            span(left)
        )));
    }
    Ok(())
}

fn not_there_yet(slot: &Slot, to: &ReleaseRef) -> Done {
    let flying = slot.active().filter(|run| !run.rolling_back() && run.kind != Kind::Restart);
    if let Some(run) = flying.into_iter().chain(&slot.queue).find(|run| run.to == *to && run.kind != Kind::Restart) {
        return Err(no(format!("{} is on its way already", words(run))));
    }
    // On the way back from it, the version can be asked for again.
    let leaving = slot.active().is_some_and(|run| run.kind == Kind::Rollback);
    if slot.stable_pool().is_some_and(|pool| pool.release == *to) && !leaving && slot.queue.is_empty() {
        return Err(match flying {
            Some(run) => no(format!("{} is stable there; abort {} to return to it", to.version, words(run))),
            None => no(format!("{} serves there already; restart replaces its instances", to.version)),
        });
    }
    Ok(())
}
