//! Deployments. Source: kubectl's own rules for `rollout pause|resume|restart|undo`.

use super::super::{Asked, Live};
use super::{HASH, REVISION};
use crate::orchestrator::kubernetes::meta::HOLD_ANNOTATION;
use crate::orchestrator::kubernetes::plan::{
    Ops, Plan, Revisions, Side, check_hold, let_through, no_pods, refused, restart, text, words,
};
use flightdeck_model::{Action, Refusal};
use serde_json::{Map, Value};

/// Annotations that are the Deployment's own whatever revision it runs.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
];

pub(super) fn plan(asked: &Asked<'_>) -> Result<Plan, Refusal> {
    let live = asked.live;
    let place = live.place();
    match asked.action {
        Action::Pause if live.paused() => Err(refused(format!("{place} is paused already"))),
        Action::Pause => Ok(paused(live, true, "pause")),
        Action::Resume => {
            check_hold(live)?;
            if live.paused() {
                Ok(paused(live, false, "resume"))
            } else {
                Err(refused(format!("{place} is not paused")))
            }
        }
        Action::Restart if live.paused() => {
            Err(refused(format!("{place} is paused: a restart would wait; resume it first")))
        }
        Action::Restart if live.raw.pointer("/spec/replicas") == Some(&Value::from(0)) => Err(no_pods(&place)),
        Action::Restart => Ok(restart(live, asked.now)),
        Action::Rollback => undo(asked),
        Action::LetThrough => let_through(live),
        Action::Abort => {
            Err(refused(format!("{place} is a Deployment, which knows no abort: roll back (b) undoes it")))
        }
        Action::Promote | Action::PromoteFull => {
            Err(refused(format!("{place} is a Deployment: it has no steps and goes on by itself")))
        }
        Action::Retry => Err(refused(format!("{place} is a Deployment: it goes on trying by itself"))),
        other => Err(refused(format!("{place} is a Deployment, which knows no {}", other.name()))),
    }
}

fn paused(live: &Live, paused: bool, what: &str) -> Plan {
    let ops = Ops::unchanged(&live.raw).set("/spec/paused", paused);
    // A mark on what was resumed by other means holds nothing any more.
    let ops = if paused { ops } else { live.without_mark(ops) };
    Plan { request: live.request(false, ops.body(), what), finish: false, target: None, note: None }
}

/// What it runs now, and what it returns to: while it is in flight the revision that still serves,
/// else the one before.
fn sides<'a>(live: &Live, revisions: &Revisions<'a>) -> (Option<Side<'a>>, Option<Side<'a>>) {
    let wanted = live.raw.pointer("/spec/template");
    let is_current = |side: &&Side<'_>| side.template(HASH).as_ref() == wanted;
    let created = |side: &Side<'a>| text(side.raw, "/metadata/creationTimestamp").to_owned();
    let equal = revisions.0.iter().filter(is_current);
    let current = equal.min_by_key(|side| (created(side), side.name().to_owned())).copied();
    let others = || revisions.0.iter().filter(|side| current.is_none_or(|current| current.name() != side.name()));
    let serving = others().filter(|side| side.ready() > 0).max_by_key(|side| (side.ready(), side.number));
    (current, serving.or_else(|| others().next()).copied())
}

fn undo(asked: &Asked<'_>) -> Result<Plan, Refusal> {
    let live = asked.live;
    let place = live.place();
    if live.paused() {
        check_hold(live)?;
        return Err(refused(format!("{place} is paused, and a paused Deployment can't be undone: resume it first")));
    }
    let revisions = Revisions::of_replica_sets(asked.history, REVISION);
    let (current, target) = sides(live, &revisions);
    let Some(target) = target else { return Err(refused(revisions.none_left(&place, &live.raw))) };
    let Some(template) = target.template(HASH) else {
        return Err(refused(format!("revision {} of {place} has no template", target.number)));
    };
    if live.raw.pointer("/spec/template") == Some(&template) {
        return Err(refused(format!("{place} runs the template of revision {} already", target.number)));
    }
    let back = words(target, &template);
    let ops = Ops::unchanged(&live.raw)
        .set("/spec/template", template)
        .set("/metadata/annotations", annotations(&live.raw, target.raw));
    let from = current.map_or(String::new(), |current| format!(" from revision {}", current.number));
    let note = format!("back to {back}{from}");
    Ok(Plan { request: live.request(false, ops.body(), note.clone()), finish: false, target: None, note: Some(note) })
}

/// The Deployment's own ones, and all others as that revision had them. A hold's mark is copied to
/// ReplicaSets by the controller: it is none of a revision's.
fn annotations(deployment: &Value, replica_set: &Value) -> Value {
    let of = |raw: &Value| raw.pointer("/metadata/annotations").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut kept: Map<String, Value> = of(deployment);
    kept.retain(|key, _| OWN.contains(&key.as_str()));
    let theirs = of(replica_set).into_iter();
    kept.extend(theirs.filter(|(key, _)| !OWN.contains(&key.as_str()) && key != HOLD_ANNOTATION));
    Value::Object(kept)
}
