//! A Rollout as a row: arms, waits, what could be done to it.

use super::objects::{AnalysisRunStatus, ArgoRollout, Canary, PauseCondition, RolloutStatus};
use super::phase::{ArgoPhase, is_observed, is_workload_observed, phase};
use super::steps::{PauseSpan, pause_of, steps};
use super::weights;
use super::{RESOURCE, REVISION};
use crate::orchestrator::kubernetes::fields::{count, line, part, time};
use crate::orchestrator::kubernetes::images::Images;
use crate::orchestrator::kubernetes::pod_sets::ReplicaGroup;
use crate::orchestrator::kubernetes::row::{
    PAUSED, RowContext, Side, WorkloadStatus, arms_of, assemble, has_earlier, has_pods, older, pods_of, resume,
    revision, settled,
};
use flightdeck_model::{
    Action, ActionSet, Arm, ArmRole, BackendAnalysis, Fact, Facts, MetricVerdict, Phase, PodNames, Ppm, Replicas,
    Rollout, Strategy, Traffic, TrafficSource, Wait,
};
use jiff::{SignedDuration, Timestamp};

/// A Rollout with what every question about it needs.
struct Seen<'a> {
    object: &'a ArgoRollout,
    status: &'a RolloutStatus,
    groups: &'a [ReplicaGroup],
    /// What its own template describes; `None` where another workload does.
    template: Option<Images>,
}

/// The row of a Rollout.
#[must_use]
pub fn row(context: &RowContext<'_>, object: &ArgoRollout, groups: &[ReplicaGroup]) -> Rollout {
    let none = RolloutStatus::default();
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let template = object.spec.template.as_ref().map(|template| Images::of(template, name));
    let seen = Seen { object, status: object.status.as_ref().unwrap_or(&none), groups, template };
    let revision = revision(&object.metadata, REVISION);
    let plan = object.spec.strategy.canary.as_ref().map(steps).unwrap_or_default();
    let step = step(&seen, plan.len());
    let (mut arms, nonsense) = arms(&seen);
    for arm in &mut arms {
        arm.service = service(&seen, arm).filter(|name| !name.is_empty()).map(line);
    }
    let (phase, message) = model_phase(&seen, &arms);
    let message = [plainly(message)]
        .into_iter()
        .chain(refused(&seen))
        .chain(nonsense)
        .chain(overloaded(&seen, &arms))
        .chain(unscaled(object, seen.status))
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("; ");
    let since = since(&seen, phase);
    let status = WorkloadStatus {
        strategy: strategy(object),
        step,
        arms,
        phase,
        waits: waits(&seen, phase, since.unwrap_or(context.now)),
        message,
        started: started(&seen),
        since,
        facts: facts(&seen, plan.len()),
        steps: plan.into(),
        offers: offers(&seen, phase, &revision),
        // Past its deadline it goes on trying, and pods that come up take users.
        in_flight: phase.in_flight() || (in_flight(object) && phase != Phase::Aborted),
        analyses: analyses(&seen),
        revision,
    };
    assemble(context, RESOURCE, &object.metadata, status)
}

fn strategy(object: &ArgoRollout) -> Strategy {
    match (&object.spec.strategy.canary, &object.spec.strategy.blue_green) {
        (_, Some(_)) => Strategy::BlueGreen,
        (Some(canary), None) if canary.steps.is_empty() => Strategy::Rolling,
        (Some(_), None) => Strategy::Canary,
        (None, None) => Strategy::Other,
    }
}

/// Does it run two templates, or is it about to?
#[must_use]
pub fn in_flight(object: &ArgoRollout) -> bool {
    let Some(status) = &object.status else { return false };
    let current = status.current_pod_hash.as_deref().unwrap_or_default();
    !current.is_empty() && status.stable_rs.as_deref().unwrap_or_default() != current
}

/// Its controller refuses its description, and takes nothing of it up until it is mended.
#[must_use]
pub fn is_invalid(object: &ArgoRollout) -> bool {
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|condition| condition.kind == "InvalidSpec" && condition.status != "False")
}

/// Does its controller follow its description as it is now?
fn is_taken_up(object: &ArgoRollout) -> bool {
    object.status.as_ref().is_some_and(|status| is_observed(object, status)) && !is_invalid(object)
}

/// Can the row be told only with its ReplicaSets? Where its description is not what runs: in flight, without
/// a template of its own, while a change is not taken up, and while old pods are still to go.
#[must_use]
pub fn needs_groups(object: &ArgoRollout) -> bool {
    let old = |status: &RolloutStatus| count(status.replicas) > count(status.updated_replicas);
    let routed = object.spec.strategy.canary.as_ref().is_none_or(|canary| canary.traffic_routing.is_some());
    in_flight(object)
        || object.spec.template.is_none()
        || (object.status.is_some() && !is_taken_up(object))
        || (!routed && object.status.as_ref().is_some_and(old))
}

/// Are the ReplicaSets of both templates that its status names among these?
#[must_use]
pub fn has_groups(object: &ArgoRollout, groups: &[ReplicaGroup]) -> bool {
    let Some(status) = &object.status else { return true };
    let has = |hash: &Option<String>| {
        let hash = hash.as_deref().unwrap_or_default();
        hash.is_empty() || groups.iter().any(|group| group.hash == hash)
    };
    has(&status.current_pod_hash) && has(&status.stable_rs)
}

impl Seen<'_> {
    fn current(&self) -> &str {
        self.status.current_pod_hash.as_deref().unwrap_or_default()
    }

    fn stable(&self) -> &str {
        self.status.stable_rs.as_deref().unwrap_or_default()
    }

    /// Two templates: the one that users had, and another.
    fn two(&self) -> bool {
        in_flight(self.object) && !self.stable().is_empty()
    }

    fn aborted(&self) -> bool {
        self.status.abort == Some(true)
    }

    fn group(&self, hash: &str) -> Option<&ReplicaGroup> {
        self.groups.iter().find(|group| group.hash == hash && !hash.is_empty())
    }

    /// Which pods are of that template: its controller calls ReplicaSets after the Rollout and the hash.
    fn pod_names(&self, hash: &str) -> Option<PodNames> {
        let name = self.object.metadata.name.as_deref().unwrap_or_default();
        (!hash.is_empty()).then(|| PodNames::Set(line(&format!("{name}-{hash}"))))
    }

    fn canary(&self) -> Option<&Canary> {
        self.object.spec.strategy.canary.as_ref()
    }

    fn is_blue_green(&self) -> bool {
        self.object.spec.strategy.blue_green.is_some()
    }

    /// Does the active service select that template?
    fn is_active(&self, hash: &str) -> bool {
        self.status.blue_green.active_selector.as_deref() == Some(hash)
    }

    fn desired(&self) -> u32 {
        self.object.spec.replicas.map_or(1, count)
    }

    /// The share of that many ready pods behind one load balancer.
    fn by_pods(&self, pods: u32) -> Option<Ppm> {
        let all = self.groups.iter().fold(0_u32, |sum, group| sum.saturating_add(group.replicas.ready));
        part(pods, all)
    }

    /// What the newest template that its controller has taken up runs.
    fn images_of_current(&self) -> Option<&Images> {
        let described = || self.template.as_ref().filter(|_| is_taken_up(self.object) || self.current().is_empty());
        described().or_else(|| self.group(self.current()).map(|group| &group.images))
    }

    /// Pods of neither of the two templates that its status names.
    fn others(&self) -> impl Iterator<Item = &ReplicaGroup> {
        let (current, stable) = (self.current(), self.stable());
        self.groups.iter().filter(move |group| has_pods(group) && group.hash != current && group.hash != stable)
    }

    fn condition(&self, kind: &str) -> Option<Timestamp> {
        let condition = self.status.conditions.iter().find(|condition| condition.kind == kind)?;
        time(condition.last_transition_time.as_ref())
    }
}

fn step(seen: &Seen<'_>, steps: usize) -> Option<u32> {
    let last = u32::try_from(steps).ok().filter(|steps| *steps > 0)?;
    let settled = if seen.two() { 0 } else { last };
    Some(seen.status.current_step_index.map_or(settled, count).min(last))
}

fn facts(seen: &Seen<'_>, steps: usize) -> Facts {
    let mut facts = Facts::default();
    if !seen.current().is_empty() {
        facts = facts.with(Fact::Candidate, line(seen.current()));
    }
    if !seen.stable().is_empty() {
        facts = facts.with(Fact::Stable, line(seen.stable()));
    }
    if let Some(index) = seen.status.current_step_index.filter(|_| steps > 0) {
        facts = facts.with(Fact::Step, index.to_string());
    }
    if let Some(at) = &seen.object.spec.restart_at {
        // The controller writes it down once every pod is newer than that.
        let done = seen.status.restarted_at.as_ref().is_some_and(|done| done >= at);
        facts = facts.with(Fact::Restart, format!("{}{}", at.0, if done { "" } else { " pending" }));
    }
    let window = seen.object.spec.rollback_window.as_ref().and_then(|window| window.revisions);
    if let Some(window) = window.filter(|window| *window > 0) {
        facts = facts.with(Fact::Window, window.to_string());
    }
    if is_waited_for(seen) {
        facts = facts.with(Fact::Unobserved, seen.object.metadata.generation.unwrap_or(0).to_string());
    }
    let by_hand = seen.object.spec.paused.then(|| "paused".to_owned());
    let condition = seen.status.pause_conditions.first();
    let condition = condition.map(|of| format!("{}@{}", line(&of.reason), of.start_time.0));
    let pause: Vec<String> = by_hand.into_iter().chain(condition).collect();
    if pause.is_empty() { facts } else { facts.with(Fact::Pause, pause.join("+")) }
}

/// Has its controller yet to take up something that it was told? Commands write into the status, too: to
/// an abort, a retry and a promotion past a pause it answers in fields beside.
fn is_waited_for(seen: &Seen<'_>) -> bool {
    let status = seen.status;
    !is_observed(seen.object, status)
        || !is_workload_observed(seen.object, status)
        || seen.aborted() != status.aborted_at.is_some()
        || (status.controller_pause && status.pause_conditions.is_empty())
}

fn started(seen: &Seen<'_>) -> Option<Timestamp> {
    // Completed turns false when a template comes in, also when an older ReplicaSet is taken up again.
    let begun = seen.condition("Completed").filter(|_| in_flight(seen.object));
    begun.or_else(|| seen.group(seen.current()).and_then(|group| group.created))
}

fn since(seen: &Seen<'_>, phase: Phase) -> Option<Timestamp> {
    match phase {
        Phase::Paused => {
            let first = seen.status.pause_conditions.first().map(|pause| pause.start_time.0);
            first.or_else(|| seen.condition("Paused"))
        }
        Phase::Aborted | Phase::RollingBack => time(seen.status.aborted_at.as_ref()),
        Phase::Healthy => seen.condition("Healthy").or_else(|| seen.condition("Completed")),
        _ => seen.condition("Progressing"),
    }
}

/// Every side, stable first, and what is wrong with the weights if they can't be.
fn arms(seen: &Seen<'_>) -> (Vec<Arm>, Option<String>) {
    let (available, desired) = (count(seen.status.available_replicas), seen.desired());
    if seen.current().is_empty() {
        // Nothing was ever taken up, so nothing is stable.
        let traffic = Traffic { desired: Ppm::ALL, actual: None, how: TrafficSource::Replicas };
        let replicas = Replicas { ready: available, desired };
        let side = Side { role: ArmRole::Candidate, images: seen.images_of_current(), replicas, traffic, pods: None };
        return (arms_of(vec![side]), None);
    }
    if !in_flight(seen.object) {
        return (arms_of(at_rest(seen, available, desired)), None);
    }
    let of_current = replicas(seen, seen.current());
    let mine = Pods { images: seen.images_of_current(), replicas: of_current, names: seen.pod_names(seen.current()) };
    if !seen.two() {
        // The first version ever: it has what is ready.
        let actual = (mine.replicas.ready > 0).then_some(Ppm::ALL);
        let traffic = Traffic { desired: Ppm::ALL, actual, how: TrafficSource::Replicas };
        return (arms_of(vec![mine.side(ArmRole::Candidate, traffic)]), None);
    }
    let images = seen.group(seen.stable()).map(|group| &group.images);
    let mut theirs = Pods { images, replicas: replicas(seen, seen.stable()), names: seen.pod_names(seen.stable()) };
    if seen.aborted() {
        // It is to carry everything again, and pods that its ReplicaSet is about to end don't count.
        let staying = theirs.replicas.ready.min(theirs.replicas.desired);
        theirs.replicas = Replicas { ready: staying, desired };
    }
    let mut mine = mine;
    if let Some(wanted) = wanted_while_paused(seen) {
        theirs.replicas.desired = desired.saturating_sub(wanted);
        mine.replicas.desired = wanted;
    }
    let (sides, nonsense) = match seen.canary() {
        Some(canary) if !seen.is_blue_green() => {
            let share = weights::share(seen.object, canary, seen.groups);
            let traffic = |desired, actual| Traffic { desired, actual, how: share.how };
            let stable = theirs.side(ArmRole::Stable, traffic(share.desired.rest(), share.stable));
            let candidate = mine.side(ArmRole::Candidate, traffic(share.desired, share.actual));
            // A router knows two sides only.
            let of_others =
                |pods: u32| if canary.traffic_routing.is_some() { Some(Ppm::ZERO) } else { seen.by_pods(pods) };
            let others = seen.others().map(|group| older(group, traffic(Ppm::ZERO, of_others(group.replicas.ready))));
            ([stable, candidate].into_iter().chain(others).collect(), share.nonsense)
        }
        _ => (two_sides(seen, theirs, mine), None),
    };
    (arms_of(sides), nonsense)
}

/// The Service behind which the pods of that side alone stand: its controller makes it select their template.
fn service<'a>(seen: &Seen<'a>, arm: &Arm) -> Option<&'a str> {
    let is_of = |hash: &str| !hash.is_empty() && arm.pods == seen.pod_names(hash);
    let selects = |selector: &Option<String>| selector.as_deref().is_some_and(is_of);
    let strategy = &seen.object.spec.strategy;
    if let Some(blue_green) = &strategy.blue_green {
        let status = &seen.status.blue_green;
        if selects(&status.active_selector) {
            return Some(&blue_green.active_service);
        }
        return blue_green.preview_service.as_deref().filter(|_| selects(&status.preview_selector));
    }
    let canary = strategy.canary.as_ref()?;
    if is_of(seen.stable()) {
        return canary.stable_service.as_deref();
    }
    canary.service.as_deref().filter(|_| is_of(seen.current()))
}

/// One template, and pods of older ones that are still to go: without a router users meet those too.
fn at_rest<'a>(seen: &'a Seen<'_>, available: u32, desired: u32) -> Vec<Side<'a>> {
    let routed = seen.canary().is_some_and(|canary| canary.traffic_routing.is_some());
    let how = if routed { TrafficSource::Declared } else { TrafficSource::Replicas };
    let current = seen.group(seen.current());
    let others: Vec<&ReplicaGroup> = seen.others().filter(|_| !routed && !seen.is_blue_green()).collect();
    let Some(current) = current.filter(|_| !others.is_empty()) else {
        return vec![settled(seen.images_of_current(), available, desired, how, seen.pod_names(seen.current()))];
    };
    let traffic = |desired, pods| Traffic { desired, actual: seen.by_pods(pods), how };
    let replicas = Replicas { desired, ..current.replicas };
    let mine = Pods { images: Some(&current.images), replicas, names: Some(pods_of(current)) };
    let stable = mine.side(ArmRole::Stable, traffic(Ppm::ALL, current.replicas.ready));
    let others = others.into_iter().map(|group| older(group, traffic(Ppm::ZERO, group.replicas.ready)));
    [stable].into_iter().chain(others).collect()
}

/// The active side has everything, the others nothing.
fn two_sides<'a>(seen: &'a Seen<'_>, theirs: Pods<'a>, mine: Pods<'a>) -> Vec<Side<'a>> {
    let switched = seen.is_active(seen.current());
    let known = seen.status.blue_green.active_selector.as_deref().is_some_and(|hash| !hash.is_empty());
    let traffic = |hash: &str| {
        let share = if seen.is_active(hash) { Ppm::ALL } else { Ppm::ZERO };
        let wanted = if seen.aborted() && hash == seen.current() { Ppm::ZERO } else { share };
        Traffic { desired: wanted, actual: known.then_some(share), how: TrafficSource::Replicas }
    };
    let role = if switched { ArmRole::Candidate } else { ArmRole::Preview };
    let (of_stable, of_current) = (traffic(seen.stable()), traffic(seen.current()));
    // A preview may be smaller; what users meet is to have all its pods.
    let wanted = if switched { mine.replicas.desired.max(seen.desired()) } else { mine.replicas.desired };
    let mine = Pods { replicas: Replicas { desired: wanted, ..mine.replicas }, ..mine };
    let others = seen.others().map(|group| older(group, traffic(&group.hash)));
    [theirs.side(ArmRole::Stable, of_stable), mine.side(role, of_current)].into_iter().chain(others).collect()
}

/// The pods of one template.
struct Pods<'a> {
    images: Option<&'a Images>,
    replicas: Replicas,
    names: Option<PodNames>,
}

impl<'a> Pods<'a> {
    fn side(self, role: ArmRole, traffic: Traffic) -> Side<'a> {
        Side { role, images: self.images, replicas: self.replicas, traffic, pods: self.names }
    }
}

/// Pods of a template: by its ReplicaSet, else as few as the status allows to think.
fn replicas(seen: &Seen<'_>, hash: &str) -> Replicas {
    if let Some(group) = seen.group(hash) {
        return group.replicas;
    }
    let status = seen.status;
    let (all, updated, available) =
        (count(status.replicas), count(status.updated_replicas), count(status.available_replicas));
    // Only blue/green counts the active side alone.
    let old = all.saturating_sub(updated);
    let mine = if seen.is_blue_green() { 0 } else { available.saturating_sub(old).min(updated) };
    if hash == seen.current() {
        Replicas { ready: mine, desired: updated }
    } else {
        Replicas { ready: available.saturating_sub(mine).min(old), desired: old }
    }
}

/// Is it scaled to another size than its ReplicaSets are, and paused so that it does not get there?
fn is_scaling_halted(seen: &Seen<'_>) -> bool {
    let told = seen.groups.iter().fold(0_u32, |sum, group| sum.saturating_add(group.replicas.desired));
    let there = if seen.groups.is_empty() { count(seen.status.replicas) } else { told };
    let plain = seen.canary().is_some_and(|canary| canary.traffic_routing.is_none());
    // With a router or two full sides there may be more pods than are wanted, and rightly so.
    let short = if plain { there != seen.desired() } else { there < seen.desired() };
    seen.object.spec.paused && !seen.current().is_empty() && !seen.aborted() && short
}

/// How many pods of the newest template a paused canary would have if it went on: its controller keeps
/// both ReplicaSets as they are while `spec.paused` stands.
fn wanted_while_paused(seen: &Seen<'_>) -> Option<u32> {
    let canary = seen.canary().filter(|canary| canary.traffic_routing.is_none())?;
    let scaled_by_hand = canary.steps.iter().any(|step| step.set_canary_scale.is_some());
    let halted = is_scaling_halted(seen) && !scaled_by_hand;
    let share = weights::share(seen.object, canary, seen.groups).desired;
    // The controller rounds up.
    let wanted = (u64::from(seen.desired()) * u64::from(share.0)).div_ceil(1_000_000);
    halted.then(|| u32::try_from(wanted).unwrap_or(u32::MAX))
}

/// What its controller refused to bring in.
fn refused(seen: &Seen<'_>) -> Option<String> {
    let described = seen.template.as_ref().filter(|_| is_invalid(seen.object))?;
    let running = seen.group(seen.current()).map(|group| &group.images);
    (running != Some(described)).then(|| format!("{} was not taken up", described.version()))
}

/// More than twice the share of traffic that its pods are a share of all.
fn overloaded(seen: &Seen<'_>, arms: &[Arm]) -> Option<String> {
    seen.canary()?.traffic_routing.as_ref()?;
    let arm = arms.iter().find(|arm| arm.role == ArmRole::Candidate)?;
    let (share, ready, all) = (arm.traffic.actual?, arm.replicas.ready, seen.desired());
    let of_pods = u64::from(ready) * 1_000_000;
    (u64::from(share.0) * u64::from(all) > 2 * of_pods && seen.two())
        .then(|| format!("{} has {share} of traffic on {ready} pods of {all}", arm.version))
}

/// A pause by hand or by a hold halts scaling as well.
fn unscaled(object: &ArgoRollout, status: &RolloutStatus) -> Option<String> {
    let wanted = object.spec.replicas.map_or(1, count);
    let there = count(status.replicas);
    // More than are wanted may be a candidate's beside a whole stable side.
    let waits = there < wanted || (wanted == 0 && there > 0);
    let pods = if wanted == 1 { "1 pod is".to_owned() } else { format!("{wanted} pods are") };
    (object.spec.paused && waits).then(|| format!("not scaled while it is paused: {pods} wanted, {there} are there"))
}

/// Did everything go back to stable? By what users get, never by the controller's word alone: a
/// paused Rollout says that it is aborted while its canary stays.
fn went_back(seen: &Seen<'_>, arms: &[Arm]) -> Result<(), String> {
    let current = arms.iter().find(|arm| matches!(arm.role, ArmRole::Candidate | ArmRole::Preview));
    let Some(arm) = current else { return Ok(()) };
    let halted = if seen.object.spec.paused { "; being paused, it does not move" } else { "" };
    if seen.status.aborted_at.is_none() {
        // It may still take the abort back, as it does during a full promotion.
        return Err("aborted, but its controller has yet to take it up".to_owned());
    }
    if seen.is_blue_green() {
        let stays = format!("aborted, but the active service still selects {}{halted}", arm.version);
        return if seen.is_active(seen.stable()) { Ok(()) } else { Err(stays) };
    }
    let routed = seen.canary().is_some_and(|canary| canary.traffic_routing.is_some());
    if routed {
        // Its pods may stay for a while, so that a retry is quick.
        return match arm.traffic.actual {
            Some(Ppm::ZERO) => Ok(()),
            Some(share) => Err(format!("aborted, but {} still has {share} of traffic{halted}", arm.version)),
            None if seen.status.canary.weights.is_none() && count(seen.status.updated_replicas) == 0 => Ok(()),
            None => Err(format!("aborted; what {} still has is not known{halted}", arm.version)),
        };
    }
    // The status leaves a count out when it is none.
    let pods = count(seen.status.updated_replicas).max(seen.group(seen.current()).map_or(0, |of| of.replicas.ready));
    if pods == 0 {
        return Ok(());
    }
    let (word, serve) = if pods == 1 { ("pod", "serves") } else { ("pods", "serve") };
    Err(format!("aborted, but {pods} {word} of {} still {serve}{halted}", arm.version))
}

fn model_phase(seen: &Seen<'_>, arms: &[Arm]) -> (Phase, String) {
    let (told, message) = phase(seen.object);
    if seen.aborted() && in_flight(seen.object) && seen.two() {
        return match went_back(seen, arms) {
            Ok(()) => {
                (Phase::Aborted, with_stable(if message.is_empty() { "aborted".to_owned() } else { message }, arms))
            }
            Err(why) => (Phase::RollingBack, why),
        };
    }
    let message = if seen.aborted() { format!("aborted with nothing in flight: {message}") } else { message };
    let phase = match told {
        // Where nothing is wanted nothing is missing; its steps are still to be taken.
        ArgoPhase::Healthy if seen.two() => Phase::Progressing,
        ArgoPhase::Healthy => Phase::Healthy,
        ArgoPhase::Paused => Phase::Paused,
        ArgoPhase::Degraded => Phase::Degraded,
        ArgoPhase::Unknown => Phase::Unknown,
        ArgoPhase::Progressing if seen.stable().is_empty() => Phase::Initializing,
        ArgoPhase::Progressing => Phase::Progressing,
    };
    let message = if phase == Phase::Paused && seen.object.spec.paused && message.is_empty() {
        PAUSED.to_owned()
    } else {
        message
    };
    (phase, message)
}

/// Traffic that went back needs pods that take it.
fn with_stable(message: String, arms: &[Arm]) -> String {
    match arms.iter().find(|arm| arm.role == ArmRole::Stable).map(|arm| arm.replicas) {
        Some(Replicas { ready, desired }) if ready < desired => {
            format!("{message}; {ready} of {desired} pods of stable are ready")
        }
        _ => message,
    }
}

fn waits(seen: &Seen<'_>, phase: Phase, since: Timestamp) -> Vec<Wait> {
    let mut waits = Vec::new();
    if seen.object.spec.paused {
        waits.push(resume(seen.condition("Paused").unwrap_or(since)));
    }
    if matches!(phase, Phase::RollingBack | Phase::Aborted) {
        if phase == Phase::RollingBack && waits.is_empty() {
            waits.push(Wait::Health);
        }
        return waits;
    }
    waits.extend(seen.status.pause_conditions.iter().map(|pause| pause_wait(seen, pause)));
    waits.extend(
        analysis_runs(seen)
            .filter(|run| is_running(run))
            .map(|run| Wait::Analysis { name: line(&run.name), until: None }),
    );
    if waits.is_empty() && matches!(phase, Phase::Progressing | Phase::Initializing) {
        waits.push(Wait::Health);
    }
    waits
}

/// Those of the rollout in flight: its status keeps them beyond its end.
fn analysis_runs<'a>(seen: &Seen<'a>) -> impl Iterator<Item = &'a AnalysisRunStatus> + use<'a> {
    let canary = &seen.status.canary;
    let blue_green = &seen.status.blue_green;
    let runs: [&Option<AnalysisRunStatus>; 4] = [
        &canary.current_step_analysis_run_status,
        &canary.current_background_analysis_run_status,
        &blue_green.pre_promotion_analysis_run_status,
        &blue_green.post_promotion_analysis_run_status,
    ];
    let moving = in_flight(seen.object);
    runs.into_iter().flatten().filter(move |_| moving)
}

fn analyses(seen: &Seen<'_>) -> Vec<BackendAnalysis> {
    let told = |run: &AnalysisRunStatus| BackendAnalysis {
        name: line(&run.name),
        phase: if run.status.is_empty() { "Pending".to_owned() } else { line(&run.status) },
        verdict: match run.status.as_str() {
            "Successful" => Some(MetricVerdict::Pass),
            "Failed" => Some(MetricVerdict::Fail),
            _ if is_running(run) => None,
            // Of an error and of what is inconclusive nobody knows.
            _ => Some(MetricVerdict::Missing),
        },
        message: line(run.message.as_deref().unwrap_or_default()),
    };
    analysis_runs(seen).map(told).collect()
}

fn is_running(run: &AnalysisRunStatus) -> bool {
    matches!(run.status.as_str(), "Running" | "Pending" | "")
}

/// What a controller calls a pause that stands in its plan says nothing to people.
fn plainly(message: String) -> String {
    match message.as_str() {
        "CanaryPauseStep" => "its plan pauses here".to_owned(),
        "BlueGreenPause" => "its plan waits before it switches".to_owned(),
        _ => message,
    }
}

/// Who or what ends a pause.
fn pause_wait(seen: &Seen<'_>, pause: &PauseCondition) -> Wait {
    let since = pause.start_time.0;
    let human = |what: &str| Wait::Human { what: what.to_owned(), who: None, since };
    let after = |span: SignedDuration, what: &str| {
        since.checked_add(span).map_or_else(|_| human(what), |at| Wait::Until { at })
    };
    match pause.reason.as_str() {
        "CanaryPauseStep" => {
            let canary = seen.canary();
            let at = canary.and_then(|of| weights::current(of, seen.status));
            let step = canary.and_then(|of| of.steps.get(at?));
            let ahead = canary.zip(at).and_then(|(of, at)| of.steps.get(at + 1..));
            let weight = ahead.into_iter().flatten().find_map(|step| step.set_weight);
            let promote =
                weight.map_or("promote to all traffic".to_owned(), |of| format!("promote to {of} % of traffic"));
            match step.and_then(|step| step.pause.as_ref()).map(pause_of) {
                Some(PauseSpan::For(span)) => after(span, &promote),
                Some(PauseSpan::Unreadable(text)) => human(&format!("promotion: its pause of {text} is no duration")),
                Some(PauseSpan::Endless) | None => human(&promote),
            }
        }
        "BlueGreenPause" => {
            let plan = seen.object.spec.strategy.blue_green.as_ref();
            let by_hand = plan.is_none_or(|plan| plan.auto_promotion_enabled == Some(false));
            let seconds = plan.and_then(|plan| plan.auto_promotion_seconds).unwrap_or(0);
            let what = "promote to all traffic";
            if by_hand { human(what) } else { after(SignedDuration::from_secs(i64::from(seconds)), what) }
        }
        "InconclusiveAnalysisRun" => human("a decision: its analysis is inconclusive"),
        "InconclusiveExperiment" => human("a decision: its experiment is inconclusive"),
        other => human(&format!("an end of {}", line(other))),
    }
}

fn offers(seen: &Seen<'_>, phase: Phase, revision: &str) -> ActionSet {
    let paused = seen.object.spec.paused;
    let (two, aborted) = (seen.two(), seen.aborted());
    // A controller that refuses the description does nothing with it.
    let goes_on = in_flight(seen.object) && !aborted && !is_invalid(seen.object);
    let full = seen.status.promote_full == Some(true);
    let waits = !seen.status.pause_conditions.is_empty();
    let has_step = seen.canary().is_some_and(|canary| weights::current(canary, seen.status).is_some());
    // A pause by hand is ended by resuming; past it there may be a step that nobody meant to skip.
    let promotes = waits || (has_step && two && !paused);
    let halted = aborted && phase == Phase::RollingBack && paused;
    let may = [
        (Action::Promote, goes_on && promotes && !full),
        (Action::PromoteFull, goes_on && two && !full),
        (Action::Pause, !paused && !aborted),
        // An abort that a pause keeps from moving is completed by abort, which ends the pause too.
        (Action::Resume, paused),
        (Action::Abort, two && (!aborted || halted) && !is_invalid(seen.object)),
        (Action::Rollback, two || has_earlier(revision)),
        (Action::Retry, aborted),
        (Action::Restart, !in_flight(seen.object) && !paused && !aborted && !is_invalid(seen.object)),
    ];
    may.into_iter().filter_map(|(action, may)| may.then_some(action)).collect()
}
