//! What a command sends to a Rollout. Source: the official plugin's commands, with tests added and
//! mended where it loses a command; see each.

use super::super::{Asked, Live, deployment};
use super::objects::ArgoRollout;
use super::phase::is_observed;
use super::{EPHEMERAL, HASH, REVISION};
use crate::orchestrator::kubernetes::plan::{
    Ops, Plan, Request, Rest, Revisions, Side, Target, check_hold, let_through, refused, seconds, take_ephemeral, text,
    words,
};
use crate::orchestrator::kubernetes::resource::Resource;
use flightdeck_model::{Action, Refusal, sanitize_line};

/// The numbers that a ReplicaSet had before it was taken up again.
const HISTORY: &str = "rollout.argoproj.io/revision-history";

/// The parts of a Rollout that commands turn on.
#[derive(Debug, Clone, Copy)]
struct Facts<'a> {
    candidate: &'a str,
    stable: &'a str,
    paused: bool,
    /// Its controller has taken up its newest change.
    observed: bool,
    aborted: bool,
    full: bool,
    /// Index of the current step and how many there are; canaries with steps only.
    step: Option<(usize, usize)>,
    /// Stands at a pause of its own.
    waits: bool,
}

impl Facts<'_> {
    fn of(rollout: &ArgoRollout) -> Facts<'_> {
        let status = rollout.status.as_ref();
        let steps = rollout.spec.strategy.canary.as_ref().map_or(0, |canary| canary.steps.len());
        let index = status.and_then(|status| status.current_step_index).unwrap_or(0);
        Facts {
            candidate: status.and_then(|s| s.current_pod_hash.as_deref()).unwrap_or_default(),
            stable: status.and_then(|s| s.stable_rs.as_deref()).unwrap_or_default(),
            paused: rollout.spec.paused,
            observed: status.is_none_or(|status| is_observed(rollout, status)),
            aborted: status.is_some_and(|status| status.abort == Some(true)),
            full: status.is_some_and(|status| status.promote_full == Some(true)),
            step: (steps > 0).then(|| (usize::try_from(index).unwrap_or(0), steps)),
            waits: status.is_some_and(|status| !status.pause_conditions.is_empty()),
        }
    }

    /// Does another template than the one before serve or stand ready to?
    fn in_flight(self) -> bool {
        !self.candidate.is_empty() && self.candidate != self.stable
    }
}

/// What to send, or why nothing is sent.
pub fn plan(asked: &Asked<'_>, rollout: &ArgoRollout) -> Result<Plan, Refusal> {
    let (live, facts) = (asked.live, Facts::of(rollout));
    if let Some(why) = refused_spec(rollout) {
        return Err(refused(format!(
            "the controller of {} carries nothing out until its description is mended: {why}",
            live.place()
        )));
    }
    let brings = matches!(asked.action, Action::Promote | Action::PromoteFull | Action::Retry | Action::Restart);
    if brings && rollout.spec.replicas == Some(0) {
        return Err(refused(format!("{} wants no pods: nothing would serve; scale it up first", live.place())));
    }
    match asked.action {
        Action::Promote => promote(live, rollout, facts),
        Action::PromoteFull => promote_full(live, facts),
        Action::Pause => pause(live, facts),
        Action::Resume => resume(live, facts),
        Action::Abort => abort(live, facts),
        Action::Retry => retry(live, facts),
        Action::Restart => restart(asked, rollout),
        Action::LetThrough => let_through(live),
        Action::Rollback => undo(asked, rollout, facts),
        other => Err(refused(format!("{} is a Rollout, which knows no {}", live.place(), other.name()))),
    }
}

/// Why the controller refuses the description as it stands; nothing if it takes it.
fn refused_spec(rollout: &ArgoRollout) -> Option<String> {
    let status = rollout.status.as_ref()?;
    let invalid = status.conditions.iter().find(|of| of.kind == "InvalidSpec" && of.status == "True")?;
    is_observed(rollout, status).then(|| sanitize_line(&invalid.message))
}

/// What is left to do once a command's first part went through, by the object as it is now. `candidate`
/// is the template that the command was about, `target` the one that it goes back to by a full promotion.
///
/// Where `spec.paused` still stands it must go, or nothing of the command takes effect.
#[must_use]
pub fn rest(action: Action, live: &Live, rollout: &ArgoRollout, candidate: &str, target: Option<&str>) -> Rest {
    let request = match target {
        Some(target) => return all_the_way(live, rollout, candidate, target),
        None => unpause(action, live, Facts::of(rollout), candidate),
    };
    request.map_or(Rest::Nothing, Rest::Send)
}

/// A revision that users had before is promoted in full as soon as its controller works on it: by the
/// steps of a plan most users would stay on what is left behind, at the first pause for ever.
fn all_the_way(live: &Live, rollout: &ArgoRollout, left: &str, target: &str) -> Rest {
    let facts = Facts::of(rollout);
    match facts.candidate {
        candidate if candidate == left && facts.stable == left => Rest::NotYet,
        // Aborted, or promoted by somebody else in between: theirs is newer.
        candidate if candidate != target || !facts.in_flight() || facts.aborted || facts.full || facts.paused => {
            Rest::Nothing
        }
        _ => Rest::Send(one(live, true, as_seen(live).set("/status/promoteFull", true), "promote full").request),
    }
}

fn unpause(action: Action, live: &Live, facts: Facts<'_>, candidate: &str) -> Option<Request> {
    let ops = Ops::on(&live.raw).test("/spec/paused", true);
    let (ops, what) = match action {
        // Only while the abort stands: otherwise it would let the candidate go on.
        Action::Abort if facts.aborted && facts.candidate == candidate => {
            let ops = ops.test("/status/currentPodHash", candidate).test("/status/abort", true);
            (live.without_mark(ops), "unpause, so that the candidate's pods go")
        }
        // An undo came between and its controller forgot the abort; only stable's template is left.
        Action::Abort if facts.candidate != candidate && facts.candidate == facts.stable => {
            let ops = ops.as_read("/status/currentPodHash").as_read("/status/stableRS").as_read("/spec/template");
            (live.without_mark(ops), "unpause, so that the candidate's pods go")
        }
        Action::Rollback => (live.without_mark(ops), "unpause, so that the version before comes back"),
        Action::Promote | Action::PromoteFull if !facts.aborted && facts.candidate == candidate => {
            (ops.test("/status/currentPodHash", candidate).as_read("/status/abort"), "unpause")
        }
        _ => return None,
    };
    facts.paused.then(|| live.request(false, ops.set("/spec/paused", false).body(), what))
}

fn one(live: &Live, status: bool, ops: Ops<'_>, what: impl Into<String>) -> Plan {
    let body = ops.body();
    let mut request = live.request(status, body.clone(), what);
    // Old installations have no status subresource: there the main resource takes the same.
    request.fallback = status.then_some(body);
    Plan { request, finish: false, target: None, note: None }
}

/// Everything that a promotion was decided on.
fn as_seen(live: &Live) -> Ops<'_> {
    Ops::on(&live.raw)
        .as_read("/status/currentPodHash")
        .as_read("/status/stableRS")
        .as_read("/status/currentStepIndex")
        .as_read("/status/pauseConditions/0/reason")
        .as_read("/status/pauseConditions/0/startTime")
        .as_read("/status/abort")
        .as_read("/spec/paused")
}

/// A patch of the status and, where it is paused by hand, the unpausing after it.
fn and_unpause(live: &Live, facts: Facts<'_>, ops: Ops<'_>, what: impl Into<String>) -> Plan {
    let mut plan = one(live, true, ops.clone(), what);
    if facts.paused {
        plan.request.fallback = Some(ops.set("/spec/paused", false).body());
    }
    Plan { finish: facts.paused, ..plan }
}

fn no_flight(place: &str) -> Refusal {
    refused(format!("{place} has no rollout in flight: stable is the newest version"))
}

fn promotable(live: &Live, facts: Facts<'_>, name: &str) -> Result<(), Refusal> {
    let place = live.place();
    check_hold(live)?;
    if facts.aborted {
        // The controller ignores a promotion then, and promote full would ship what was aborted.
        return Err(refused(format!("{place} was aborted: retry first, then {name}")));
    }
    if facts.full {
        let paused = if facts.paused { "; it is paused by hand: resume lets it go on" } else { "" };
        return Err(refused(format!("{place} is being promoted in full already{paused}")));
    }
    if facts.in_flight() { Ok(()) } else { Err(no_flight(&place)) }
}

fn promote(live: &Live, rollout: &ArgoRollout, facts: Facts<'_>) -> Result<Plan, Refusal> {
    promotable(live, facts, "promote")?;
    let place = live.place();
    let status = rollout.status.as_ref();
    let next = facts.step.filter(|(index, steps)| index < steps).map(|(index, _)| index + 1);
    let ops = as_seen(live);
    if facts.waits {
        let step = status.and_then(|status| status.canary.current_step_analysis_run_status.as_ref());
        let inconclusive = step.is_some_and(|run| run.status == "Inconclusive")
            && status.is_some_and(|status| status.controller_pause);
        let ops = ops.remove("/status/pauseConditions");
        return Ok(match next {
            // Without the step a pause step behind the analysis would take this one's pause for its own.
            Some(next) if inconclusive => {
                let ops = ops.set("/status/controllerPause", false).set("/status/currentStepIndex", next);
                and_unpause(live, facts, ops, "promote past an inconclusive analysis")
            }
            _ => and_unpause(live, facts, ops, "promote past its pause"),
        });
    }
    let why = match (next, facts.step) {
        // Past a pause by hand there may be a step that nobody means to skip.
        _ if facts.paused => format!("{place} is paused by hand: resume lets it go on"),
        (Some(next), _) => {
            let what = format!("promote past step {next}");
            return Ok(and_unpause(live, facts, ops.set("/status/currentStepIndex", next), what));
        }
        (None, Some((_, steps))) => {
            format!("{place} is past the last of its {steps} steps: it is done when its pods are available")
        }
        (None, None) => format!("{place} does not wait for a promotion"),
    };
    Err(refused(why))
}

fn promote_full(live: &Live, facts: Facts<'_>) -> Result<Plan, Refusal> {
    promotable(live, facts, "promote full")?;
    Ok(and_unpause(live, facts, as_seen(live).set("/status/promoteFull", true), "promote full"))
}

/// Somebody changed it in flight and its controller has yet to take that up: perhaps a way back.
fn may_go_back(facts: Facts<'_>) -> bool {
    facts.in_flight() && !facts.observed
}

/// Why a hold must leave it alone; nothing if it need not.
#[must_use]
pub fn unheld(rollout: &ArgoRollout) -> Option<&'static str> {
    may_go_back(Facts::of(rollout)).then_some("its controller has yet to take up its newest change, perhaps a way back")
}

fn pause(live: &Live, facts: Facts<'_>) -> Result<Plan, Refusal> {
    let place = live.place();
    if facts.paused {
        return Err(refused(format!("{place} is paused already")));
    }
    if facts.aborted && facts.in_flight() {
        return Err(refused(format!(
            "{place} is on its way back to stable, and a pause would keep the candidate's pods where they are"
        )));
    }
    if may_go_back(facts) {
        return Err(refused(format!(
            "the controller of {place} has yet to take up its newest change, which a pause would stop, \
             even one back to stable: look again"
        )));
    }
    let ops = Ops::on(&live.raw)
        .as_read("/metadata/generation")
        .as_read("/status/currentPodHash")
        .as_read("/status/abort")
        .as_read("/spec/paused")
        .set("/spec/paused", true);
    Ok(one(live, false, ops, "pause"))
}

fn resume(live: &Live, facts: Facts<'_>) -> Result<Plan, Refusal> {
    let place = live.place();
    check_hold(live)?;
    if !facts.paused {
        let why = if facts.waits { "it stands at a pause of its own plan: promote it" } else { "it goes on by itself" };
        return Err(refused(format!("{place} was not paused by a person: {why}")));
    }
    let ops = Ops::on(&live.raw)
        .as_read("/status/currentPodHash")
        .as_read("/status/currentStepIndex")
        .as_read("/status/abort")
        .test("/spec/paused", true)
        .set("/spec/paused", false);
    Ok(one(live, false, live.without_mark(ops), "resume"))
}

/// In one patch with the end of a full promotion, since while that stands the controller takes every
/// abort back. Paused rollouts are unpaused afterwards: `spec.paused` keeps the candidate's pods, and
/// without a traffic router users stay on them.
fn abort(live: &Live, facts: Facts<'_>) -> Result<Plan, Refusal> {
    let place = live.place();
    if !facts.in_flight() {
        // Aborting what has finished takes pods from stable or leaves it degraded.
        return Err(refused(format!(
            "{place} has no rollout in flight: there is nothing to abort; roll back (b) returns to the version before"
        )));
    }
    if facts.stable.is_empty() {
        return Err(refused(format!("{place} brings in its first version: there is none to return to")));
    }
    if facts.aborted {
        return match unpause(Action::Abort, live, facts, facts.candidate) {
            Some(request) => Ok(Plan { request, finish: false, target: None, note: None }),
            None => Err(refused(format!("{place} is aborted already"))),
        };
    }
    let ops = Ops::on(&live.raw)
        .test("/status/currentPodHash", facts.candidate)
        .test("/status/stableRS", facts.stable)
        .set("/status/abort", true)
        .set("/status/promoteFull", false);
    let mut plan = one(live, true, ops.clone(), "abort");
    if facts.paused {
        plan.request.fallback = Some(live.without_mark(ops).set("/spec/paused", false).body());
    }
    // Always: somebody may pause it between the read and the patch.
    Ok(Plan { finish: true, ..plan })
}

fn retry(live: &Live, facts: Facts<'_>) -> Result<Plan, Refusal> {
    check_hold(live)?;
    if !facts.aborted {
        return Err(refused(format!("{} was not aborted: there is nothing to retry", live.place())));
    }
    let ops = Ops::on(&live.raw)
        .as_read("/status/currentPodHash")
        .as_read("/status/stableRS")
        .test("/status/abort", true)
        .set("/status/abort", false);
    let note = facts.paused.then(|| "it is paused by hand and goes on once it is resumed".to_owned());
    Ok(Plan { note, ..one(live, true, ops, "retry") })
}

fn restart(asked: &Asked<'_>, rollout: &ArgoRollout) -> Result<Plan, Refusal> {
    let live = asked.live;
    let done = rollout.status.as_ref().and_then(|status| status.restarted_at.as_ref());
    let pending = rollout.spec.restart_at.as_ref().filter(|at| done.is_none_or(|done| done < at));
    if let Some(at) = pending {
        return Err(refused(format!("{} is being restarted since {}", live.place(), at.0)));
    }
    let at = seconds(asked.now);
    let ops = Ops::on(&live.raw)
        .as_read("/status/currentPodHash")
        .as_read("/spec/restartAt")
        .set("/spec/restartAt", at.as_str());
    Ok(one(live, false, ops, format!("restart at {at}")))
}

fn undo(asked: &Asked<'_>, rollout: &ArgoRollout, facts: Facts<'_>) -> Result<Plan, Refusal> {
    let (live, place) = (asked.live, asked.live.place());
    let revisions = Revisions::of_replica_sets(asked.history, REVISION);
    let back_to_stable = facts.in_flight();
    if back_to_stable && facts.stable.is_empty() {
        return Err(refused(format!("{place} brings in its first version: there is none to return to")));
    }
    if facts.paused && !back_to_stable {
        check_hold(live)?;
        return Err(refused(format!(
            "{place} is paused, so that the version before could not come back: resume it first"
        )));
    }
    let before = (!back_to_stable).then(|| before(&revisions, facts.candidate)).flatten();
    let target = if back_to_stable {
        let stable = revisions.0.iter().find(|side| side.label(HASH) == facts.stable).copied();
        stable.ok_or_else(|| refused(format!("the ReplicaSet of stable {} is gone", sanitize_line(facts.stable))))?
    } else {
        before.map(Before::side).ok_or_else(|| refused(revisions.none_left(&place, &live.raw)))?
    };
    let template =
        template(target).ok_or_else(|| refused(format!("revision {} of {place} has no template", target.number)))?;
    let steps = facts.step.is_some() || rollout.spec.strategy.blue_green.is_some();
    let through = steps && matches!(before, Some(Before::Served(_)));
    let how = match (back_to_stable, steps, through) {
        (true, ..) => "stable, so that no steps are taken",
        (false, true, true) => "promoted in full as soon as its controller works on it, since it served before",
        (false, true, false) => {
            "this begins by the steps of its plan, since nothing shows that it served everybody before; \
             promote full lets it through"
        }
        (false, false, _) => "pod by pod",
    };
    let note = format!("back to {}: {how}", words(target, &template));
    let request = if rollout.spec.workload_ref.is_some() {
        of_reference(asked, rollout, template, &note)?
    } else {
        let ops = Ops::on(&live.raw)
            .as_read("/status/currentPodHash")
            .as_read("/status/stableRS")
            .as_read("/spec/paused")
            .as_read("/spec/template")
            .set("/spec/template", template);
        // One patch: what is paused would keep the candidate's pods whatever its template says.
        let ops = if facts.paused { live.without_mark(ops).set("/spec/paused", false) } else { ops };
        live.request(false, ops.body(), note.clone())
    };
    let hash = target.label(HASH).to_owned();
    Ok(Plan { request, finish: facts.paused || through, target: Some(Target { hash, through }), note: Some(note) })
}

/// Where a settled Rollout goes back to.
#[derive(Debug, Clone, Copy)]
enum Before<'a> {
    /// Users had it before the one that they have now.
    Served(Side<'a>),
    /// The newest other revision. It may have been given up on its way.
    Newest(Side<'a>),
}

impl<'a> Before<'a> {
    fn side(self) -> Side<'a> {
        match self {
            Before::Served(side) | Before::Newest(side) => side,
        }
    }
}

/// The revision before the one of that hash.
///
/// No object says which revisions were ever stable. But stable has pods all the time: where only one other
/// ReplicaSet still had pods when the current one was made, that was stable then. And the first of all
/// became stable at once. A current one that was taken up again is older than its last coming, which tells
/// nothing.
fn before<'a>(revisions: &Revisions<'a>, current: &str) -> Option<Before<'a>> {
    let others = || revisions.0.iter().filter(|side| side.label(HASH) != current && side.number > 0).copied();
    let newest = others().next()?;
    let now = revisions.0.iter().find(|side| side.label(HASH) == current);
    let came = now.filter(|side| side.annotation(HISTORY).is_empty()).and_then(|side| side.created());
    let with_pods: Vec<_> =
        came.map(|came| others().filter(|side| side.had_pods_since(came)).collect()).unwrap_or_default();
    let first = newest.number == 1 || newest.annotation(HISTORY).split(',').any(|number| number == "1");
    Some(match with_pods.as_slice() {
        [stable] => Before::Served(*stable),
        _ if first => Before::Served(newest),
        _ => Before::Newest(newest),
    })
}

/// A ReplicaSet's template as its Rollout wrote it. The official plugin leaves in what the controller
/// injected, which makes it another template than the one that it means.
fn template(side: Side<'_>) -> Option<serde_json::Value> {
    let mut template = side.template(HASH)?;
    let listed = side.raw.pointer("/metadata/annotations").and_then(|all| all.get(EPHEMERAL)?.as_str());
    if let Some(listed) = listed {
        take_ephemeral(&mut template, listed);
    }
    Some(template)
}

/// What a `workloadRef` of that kind names, and where its template stands.
pub fn referenced(kind: &str) -> Option<(Resource, &'static str)> {
    let all = [
        (deployment::RESOURCE, "/spec/template"),
        (Resource::REPLICA_SETS, "/spec/template"),
        (Resource::POD_TEMPLATES, "/template"),
    ];
    all.into_iter().find(|(resource, _)| resource.kind == kind)
}

/// A Rollout that takes its template from another workload is undone there.
fn of_reference(
    asked: &Asked<'_>,
    rollout: &ArgoRollout,
    template: serde_json::Value,
    note: &str,
) -> Result<Request, Refusal> {
    let place = asked.live.place();
    let named = rollout.spec.workload_ref.clone().unwrap_or_default();
    let Some((resource, path)) = referenced(&named.kind) else {
        let kind = sanitize_line(&named.kind);
        return Err(refused(format!("{place} takes its template from a {kind}, which is not known here")));
    };
    let what = sanitize_line(&format!("{} {}", named.kind, named.name));
    let raw =
        asked.reference.ok_or_else(|| refused(format!("{what}, which {place} takes its template from, is gone")))?;
    if raw.pointer(path) == Some(&template) {
        return Err(refused(format!("{what}, which {place} takes its template from, has that template already")));
    }
    Ok(Request {
        resource,
        namespace: text(raw, "/metadata/namespace").to_owned(),
        name: text(raw, "/metadata/name").to_owned(),
        status: false,
        body: Ops::unchanged(raw).set(path, template).body(),
        fallback: None,
        what: format!("{note}, in {what}"),
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
