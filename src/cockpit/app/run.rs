//! What is known of a run, and of the one that is opened: its row, its instances, what happened to it, what was
//! judged of it, what was asked of it.

use super::state::{Over, RolloutPanel, State};
use flightdeck_board as board;
use flightdeck_board::Health;
use flightdeck_model::time::age_changes;
use flightdeck_model::{
    Alert, Analysis, ArmRole, Detail, Evidence, Instance, InstanceState, Note, Receipt, ReceiptId, Revision, Rollout,
    Run, Subject, Target,
};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The opened rollout's row, while it is still of the same run.
#[must_use]
pub fn opened(state: &State) -> Option<&Rollout> {
    let page = state.rollout.as_ref()?;
    state.board.rollout(&page.run.target).filter(|row| row.run == page.run)
}

/// The alerts that concern the opened rollout, those that notify first.
#[must_use]
pub fn alerts(state: &State) -> Vec<&Arc<Alert>> {
    opened(state).map_or_else(Vec::new, |rollout| state.board.alerts_of(rollout))
}

/// What an alert is called among all of them.
#[must_use]
pub fn alert_key(alert: &Alert) -> String {
    format!("{} {}", alert.source, alert.fingerprint)
}

/// The instances of the opened rollout, all of them.
#[must_use]
pub fn instances(state: &State) -> Vec<&Instance> {
    let Some(page) = &state.rollout else { return Vec::new() };
    let of_it = |row: &&Instance| row.target == page.run.target;
    let mut rows: Vec<_> = state.board.instances().filter(of_it).collect();
    if rows.is_empty() {
        rows = detail(state).into_iter().flat_map(|detail| &detail.instances).filter(of_it).collect();
    }
    // What is wrong stands first.
    let well = |one: &Instance| match one.state {
        InstanceState::BackingOff { .. } | InstanceState::Unhealthy { .. } => 0,
        InstanceState::Starting => 1,
        _ => 2,
    };
    rows.sort_by(|a, b| (well(a), &a.role, &a.id).cmp(&(well(b), &b.role, &b.id)));
    rows
}

/// Are the opened rollout's instances and numbers told without being asked for?
#[must_use]
pub fn told(state: &State) -> bool {
    let Some(page) = &state.rollout else { return true };
    let target = &page.run.target;
    // Numbers of pods come from whoever measures those, and tell nothing of the pods.
    let has_pods = || opened(state).is_some_and(|rollout| rollout.arms.iter().any(|arm| arm.pods.is_some()));
    state.board.instances().any(|instance| instance.target == *target) || (measured(state) && !has_pods())
}

/// Are there numbers of the opened rollout?
#[must_use]
pub fn measured(state: &State) -> bool {
    let Some(page) = &state.rollout else { return false };
    [ArmRole::Stable, ArmRole::Candidate].iter().any(|role| state.board.samples(&page.run.target, role).is_some())
}

/// What the backend said of the opened rollout when it was asked.
#[must_use]
pub fn detail(state: &State) -> Option<&Detail> {
    state.rollout.as_ref()?.live.detail.as_deref()
}

/// The panels of the opened rollout: sets and revisions only where its backend may know of any.
#[must_use]
pub fn panels(state: &State) -> Vec<RolloutPanel> {
    let has = |len: fn(&Detail) -> usize| detail(state).map_or_else(|| !told(state), |detail| len(detail) > 0);
    let shown = |panel: &RolloutPanel| match panel {
        RolloutPanel::Sets => has(|detail| detail.groups.len()),
        RolloutPanel::Revisions => has(|detail| detail.history.len()),
        RolloutPanel::Alerts => !alerts(state).is_empty(),
        RolloutPanel::Plan => opened(state).is_some_and(|rollout| rollout.rollback_plan.is_some()),
        _ => true,
    };
    RolloutPanel::ALL.into_iter().filter(shown).collect()
}

/// What could not be read of the opened rollout, each as a sentence.
#[must_use]
pub fn gaps(state: &State) -> Vec<String> {
    let Some(live) = state.rollout.as_ref().map(|page| &page.live) else { return Vec::new() };
    let failed = live.failed.iter().map(|why| format!("not read: {why}"));
    failed.chain(live.detail.iter().flat_map(|detail| detail.gaps.iter().cloned())).collect()
}

/// Analyses of the opened rollout, newest first.
pub fn analyses(state: &State) -> impl Iterator<Item = &Analysis> {
    detail(state).into_iter().flat_map(|detail| detail.analyses.iter().rev())
}

/// The revision of the opened rollout that is compared.
#[must_use]
pub fn compared(state: &State) -> Option<&Revision> {
    let Some(Over::Diff { revision: Some(revision), .. }) = &state.rollout.as_ref()?.over else { return None };
    detail(state)?.history.iter().find(|one| one.revision == *revision)
}

/// The lines of what lies over the opened rollout's panels.
#[must_use]
pub fn over_lines(state: &State) -> &[String] {
    match state.rollout.as_ref().map(|page| (page, &page.over)) {
        Some((page, Some(Over::Raw { .. }))) => &page.live.raw,
        Some((_, Some(Over::Diff { .. }))) => compared(state).map_or(&[], |revision| revision.diff.as_slice()),
        _ => &[],
    }
}

/// What happened to a run, newest first.
#[must_use]
pub fn notes<'a>(state: &'a State, run: &Run) -> Vec<&'a Note> {
    let asked = detail(state).into_iter().flat_map(|detail| &detail.notes);
    let mut rows: Vec<_> = state.board.notes().chain(asked).filter(|note| note.run == *run).collect();
    // What is told by itself may be in the answer as well.
    let mut seen = BTreeSet::new();
    rows.retain(|note| seen.insert(&note.id));
    rows.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    rows
}

/// What was judged of a run, newest first.
#[must_use]
pub fn evidence<'a>(state: &'a State, run: &Run) -> Vec<&'a Evidence> {
    let mut rows: Vec<_> = state.board.evidence().filter(|evidence| evidence.run == *run).collect();
    rows.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    rows
}

/// How the candidate of a run does; `None`: its row is of another run by now.
#[must_use]
pub fn health(state: &State, run: &Run) -> Option<Health> {
    let row = state.board.rollout(&run.target).filter(|row| row.run == *run)?;
    Some(board::health(&state.board, row))
}

/// Commands about a run and what was added to them, newest first.
#[must_use]
pub fn receipts<'a>(state: &'a State, run: &Run) -> Vec<&'a Receipt> {
    let about = |receipt: &&Receipt| match &receipt.command.subject {
        Subject::Run(of) | Subject::Approval { run: of, .. } | Subject::Alert { run: Some(of), .. } => of == run,
        _ => receipt.created.as_ref() == Some(run) || receipt.targets.iter().any(|target| target.run == *run),
    };
    let mut rows: Vec<_> = state.board.receipts().filter(about).collect();
    let commands: BTreeSet<_> = rows.iter().map(|receipt| &receipt.id).collect();
    let added = |receipt: &&Receipt| added_to(receipt).is_some_and(|of| commands.contains(of));
    let more: Vec<_> = state.board.receipts().filter(added).collect();
    rows.extend(more);
    let begun = |receipt: &Receipt| receipt.stages.first().map(|record| record.at);
    rows.sort_by(|a, b| (begun(b), &b.id).cmp(&(begun(a), &a.id)));
    rows
}

/// The command that something was added to; `None`: it is a command of its own.
#[must_use]
pub const fn added_to(receipt: &Receipt) -> Option<&ReceiptId> {
    match &receipt.command.subject {
        Subject::Receipt { id } => Some(id),
        _ => None,
    }
}

/// What was added to a command afterwards, oldest first.
#[must_use]
pub fn additions<'a>(state: &'a State, to: &ReceiptId) -> Vec<&'a Receipt> {
    let mut all: Vec<_> = state.board.receipts().filter(|receipt| added_to(receipt) == Some(to)).collect();
    all.sort_by_key(|receipt| receipt.stages.first().map(|record| record.at));
    all
}

/// When charts get old; once they are, when their age changes.
pub(super) fn charts_age(state: &State, target: &Target) -> Option<Timestamp> {
    let age = board::numbers_age(&state.board, target)?;
    Some(if state.now < age.old_from { age.old_from } else { age_changes(age.at, state.now) })
}
