//! Holds and their release over several sources: whom they go to, and how far each is.

use super::follow::effective;
use super::following::{Following, HeldThere};
use super::state::State;
use flightdeck_model::{
    Action, Hold, HoldId, HoldTarget, LinkState, Phase, Ppm, RefusalKind, Rollout, Selector, SourceId, SourceResult,
    Stage, Subject, TargetResult, Wait,
};
use flightdeck_port::{Accepted, Executor, Holding, NotDone};
use std::sync::Arc;

/// Sources where nothing can be held, each with the reason.
type Unable = Vec<(SourceId, String)>;

impl State {
    /// The backends in a hold's scope that can be asked for it, and those that can't.
    pub fn holders(&self, selector: &Selector) -> (Vec<Arc<dyn Executor>>, Unable) {
        let (mut able, mut unable) = (Vec::new(), Vec::new());
        for backend in &self.orchestrators {
            let said = backend.capabilities();
            match said.no_holds() {
                _ if !selector.reaches(&said.source) => {}
                Some(why) => unable.push((said.source, why)),
                None => able.push(Arc::clone(backend)),
            }
        }
        (able, unable)
    }

    /// The backends that may have a hold to release: those that show it, and those that nobody sees now.
    pub fn releasers(&self, source: Option<&SourceId>, id: &HoldId) -> Vec<Arc<dyn Executor>> {
        let may = |backend: &&Arc<dyn Executor>| {
            let said = backend.capabilities();
            let meant = source.is_none_or(|source| *source == said.source);
            let shown = self.board.hold(&said.source, id).is_some()
                || !matches!(self.board.link(&said.source), LinkState::Live { .. });
            meant && said.actions.contains(Action::ReleaseHold) && !said.read_only && (source.is_some() || shown)
        };
        self.orchestrators.iter().filter(may).cloned().collect()
    }

    /// What each source said to a hold or its release, as the receipt tells it; those in scope that could not
    /// be asked are told, too.
    pub fn by_source(&self, subject: &Subject, results: &[(SourceId, Result<Accepted, NotDone>)]) -> Vec<SourceResult> {
        let mut sources: Vec<SourceResult> = results
            .iter()
            .map(|(source, result)| {
                let stage = match result {
                    Ok(_) => Stage::Accepted,
                    Err(NotDone::Refused(refusal)) => Stage::Refused { why: refusal.why.clone() },
                    Err(NotDone::NotSent { why }) => Stage::Failed { why: format!("not reached: {why}") },
                    Err(NotDone::Unknown { why }) => Stage::Unknown { why: why.clone() },
                };
                SourceResult { source: source.clone(), stage }
            })
            .collect();
        if let Subject::Scope { selector, .. } = subject {
            let (_, unable) = self.holders(selector);
            let refused = |(source, why)| SourceResult { source, stage: Stage::Refused { why } };
            sources.extend(unable.into_iter().map(refused));
        }
        sources
    }

    /// A hold is effective when everything that it was asked to stop stands still. What goes on is named.
    pub fn hold_stage(&self, following: &Following) -> (Stage, Vec<TargetResult>) {
        let Subject::Scope { selector, .. } = &following.receipt.command.subject else {
            return (Stage::Accepted, Vec::new());
        };
        let (mut targets, mut ids, mut idle) = (Vec::new(), Vec::new(), Vec::new());
        for there in &following.held {
            let told = || there.told.iter();
            match self.hold_of(following, selector, there) {
                Some(hold) => {
                    // Marks come one by one, and may still tell of before: what the backend says that it held is
                    // awaited.
                    let newer = |of: &&HoldTarget| told().any(|told| told.held && !of.held && told.run == of.run);
                    let known: Vec<&HoldTarget> = hold.targets.iter().filter(|of| !newer(of)).collect();
                    let shown = |told: &&HoldTarget| known.iter().any(|of| of.run.target == told.run.target);
                    targets.extend(known.iter().map(|target| self.held(&hold.id, target)));
                    targets.extend(told().filter(|told| !shown(told)).map(|target| self.held(&hold.id, target)));
                    if !ids.contains(&hold.id) {
                        ids.push(hold.id.clone());
                    }
                }
                None if there.holding == Holding::Nothing => {
                    targets.extend(told().map(|target| self.held(&HoldId(String::new()), target)));
                    idle.push(there.source.as_str());
                }
                // Its rows have yet to show it.
                None => return (Stage::Accepted, Vec::new()),
            }
        }
        let waits = targets.iter().any(|target| !target.stage.is_final());
        let tried = targets.iter().filter(|target| matches!(target.stage, Stage::Failed { .. })).count();
        let unasked = self.unasked(selector, &following.receipt.sources);
        let words = words_of(following, &ids, &targets, &unasked, &idle);
        let failed = tried > 0 || !following.missed.is_empty();
        targets.extend(unasked);
        let stage = match (waits, failed) {
            (true, _) => Stage::Observed,
            (false, true) => Stage::Failed { why: words },
            (false, false) => effective(words),
        };
        (stage, targets)
    }

    /// What moves at sources in scope that can't be held at all.
    fn unasked(&self, selector: &Selector, sources: &[SourceResult]) -> Vec<TargetResult> {
        let (_, unable) = self.holders(selector);
        let unable = unable.iter().filter(|(source, _)| sources.iter().any(|of| of.source == *source));
        let rows = unable.flat_map(|(source, why)| {
            let there = move |row: &&Rollout| row.run.target.source == *source && selector.holds(row);
            let refused =
                move |row: &Rollout| TargetResult { run: row.run.clone(), stage: Stage::Refused { why: why.clone() } };
            self.board.rollouts().filter(there).map(refused)
        });
        rows.collect()
    }

    /// The row of the hold that a backend put into force.
    fn hold_of(&self, following: &Following, selector: &Selector, there: &HeldThere) -> Option<&Hold> {
        match &there.holding {
            Holding::InForce(id) => self.board.hold(&there.source, id),
            Holding::Nothing => None,
            Holding::Unsaid => {
                let owner = &following.receipt.actor.name;
                let of_source = self.board.holds().filter(|hold| hold.source == there.source);
                let alike = of_source.filter(|hold| hold.selector == *selector && hold.owner == *owner);
                alike.max_by_key(|hold| hold.since)
            }
        }
    }

    fn held(&self, hold: &HoldId, target: &HoldTarget) -> TargetResult {
        let run = target.run.clone();
        if !target.held {
            return TargetResult { run, stage: Stage::Failed { why: target.note.clone() } };
        }
        let stage = match self.board.rollout(&run.target).filter(|rollout| rollout.run == run) {
            Some(rollout) if rollout.waits.contains(&Wait::Hold(hold.clone())) || rollout.phase == Phase::Paused => {
                let share =
                    rollout.candidate().map_or(Ppm::ZERO, |arm| arm.traffic.actual.unwrap_or(arm.traffic.desired));
                effective(format!("stands still at {share}"))
            }
            Some(rollout) if !rollout.in_flight() => effective(format!("had ended: {}", rollout.phase.word())),
            Some(_) => Stage::Observed,
            None => effective("is gone".to_owned()),
        };
        TargetResult { run, stage }
    }

    /// A release is effective when no source that took it shows the hold any more.
    pub fn release_stage(&self, following: &Following, id: &HoldId) -> Stage {
        let asked: Vec<&SourceId> = match &following.receipt.command.subject {
            Subject::Hold { source: Some(source), .. } => vec![source],
            _ => following.notes.iter().map(|(source, _)| source).collect(),
        };
        if asked.iter().any(|source| self.board.hold(source, id).is_some()) {
            return Stage::Accepted;
        }
        if following.missed.is_empty() {
            effective(format!("hold {id} is no longer in force"))
        } else {
            Stage::Failed { why: format!("hold {id} is released, but not everywhere: {}", following.missed.join("; ")) }
        }
    }
}

/// A hold at a source that has it no more is not in the way of its release elsewhere.
pub(super) fn is_gone(result: &Result<Accepted, NotDone>) -> bool {
    matches!(result, Err(NotDone::Refused(refusal)) if refusal.kind == RefusalKind::NotFound)
}

/// `hold H-1: 3 rollouts stand still; not held: shop/store: a StatefulSet can't be paused; …`.
fn words_of(
    following: &Following,
    ids: &[HoldId],
    targets: &[TargetResult],
    unasked: &[TargetResult],
    idle: &[&str],
) -> String {
    let still = targets.iter().filter(|target| matches!(target.stage, Stage::Effective { .. })).count();
    let still = if still == 1 { "1 rollout stands".to_owned() } else { format!("{still} rollouts stand") };
    let names: Vec<&str> = ids.iter().map(HoldId::as_str).collect();
    let mut words = match (names.is_empty(), idle.is_empty()) {
        (false, _) => format!("hold {}: {still} still", names.join(", ")),
        (true, false) => format!("nothing is in flight at {} that could be held", idle.join(", ")),
        (true, true) => "nothing is held".to_owned(),
    };
    let failed = targets.iter().filter(|target| matches!(target.stage, Stage::Failed { .. }));
    let not: Vec<String> = failed
        .chain(unasked)
        .map(|target| format!("{}: {}", target.run.target, target.stage.detail().unwrap_or_default()))
        .chain(following.missed.iter().cloned())
        .collect();
    if !not.is_empty() {
        words = format!("{words}; not held: {}", not.join("; "));
    }
    let refused = following.receipt.sources.iter().filter(|of| matches!(of.stage, Stage::Refused { .. }));
    let silent = refused.filter(|of| !unasked.iter().any(|target| target.run.target.source == of.source));
    let silent: Vec<&str> = silent.filter_map(|of| of.stage.detail()).collect();
    if !silent.is_empty() && following.missed.is_empty() {
        words = format!("{words}; {}", silent.join("; "));
    }
    words
}
