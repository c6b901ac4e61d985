//! The Approvals page: what waits for a yes, over all sources.

use super::Page;
use crate::app::Effect;
use crate::app::command::UiCommand;
use crate::app::controller::{Controller, RolloutChange, unselected};
use crate::app::fresh::approval_freshness;
use crate::app::layout::{Arrange, Layout, Stack, framed};
use crate::app::list::{Cursor, Listing, Motion, Window, toggle};
use crate::app::nav::open_run;
use crate::app::run::health;
use crate::app::state::{OwnCommand, State, Tone};
use flightdeck_board::{Filter, Fit, Freshness, objectives};
use flightdeck_model::time::{age_changes, countdown_changes};
use flightdeck_model::{Approval, ApprovalId, ApprovalState, Body, Entity};
use jiff::Timestamp;
use std::cmp::Reverse;

/// A row of the page.
#[derive(Debug, Clone, PartialEq)]
pub struct ApprovalRow<'a> {
    pub approval: &'a Approval,
    /// Marked with space.
    pub marked: bool,
    /// Can it be believed?
    pub freshness: Freshness,
    /// One's newest command about it.
    pub own: Option<&'a OwnCommand>,
}

/// The ids in the order of the list: what is pending first, where most care is asked for and the oldest first;
/// then what is settled, the newest first.
pub fn ids(state: &State) -> &[ApprovalId] {
    state.approvals.list.get(|| {
        let filter = Filter::parse(&state.approvals.filter, state.now);
        let mut approvals: Vec<&Approval> =
            state.board.approvals().filter(|approval| matches(state, &filter, approval)).collect();
        approvals.sort_by_cached_key(|approval| {
            let pending = approval.state == ApprovalState::Pending;
            let environment = state.board.environment(&approval.run.target.source, &approval.environment);
            let tier = environment.map(|environment| environment.tier).unwrap_or_default();
            let asked = approval.requested.as_millisecond();
            let by = if pending { (Reverse(Some(tier)), asked) } else { (Reverse(None), -asked) };
            (!pending, by, approval.id.clone())
        });
        approvals.into_iter().map(|approval| approval.id.clone()).collect()
    })
}

fn matches(state: &State, filter: &Filter, approval: &Approval) -> bool {
    if filter.is_empty() {
        return true;
    }
    // An approval is found by what its rollout is found by; one whose rollout is gone by its names.
    let text = state.approvals.filter.to_lowercase();
    let names = format!("{} {}", approval.service, approval.environment).to_lowercase();
    state.board.rollout(&approval.run.target).map_or_else(|| names.contains(&text), |rollout| filter.matches(rollout))
}

fn listing(state: &State) -> Listing<'_, ApprovalId> {
    Listing::of(&state.approvals.cursor, ids(state))
}

/// The approvals on the screen.
#[must_use]
pub fn window(state: &State) -> Window<ApprovalRow<'_>> {
    let listing = listing(state);
    let height = usize::from(framed(state, arrange).list.height);
    let top = listing.top(height);
    let shown = ids(state).iter().skip(top).take(height).filter_map(|id| state.board.approval(id));
    let rows = shown.map(|approval| ApprovalRow {
        approval,
        marked: state.approvals.marks.contains(&approval.id),
        freshness: approval_freshness(state, approval),
        own: state.own_command(&approval.run),
    });
    listing.window(top, height, rows.collect(), state.board.approvals().count())
}

/// The approval that keys act on.
#[must_use]
pub fn selected(state: &State) -> Option<&Approval> {
    state.board.approval(listing(state).selected()?)
}

fn arrange(state: &State, free: &mut Stack, layout: &mut Layout) {
    free.border();
    layout.heading = Some(free.take(1));
    let wanted = u16::try_from(ids(state).len()).unwrap_or(u16::MAX);
    layout.list = free.take(wanted.clamp(1, (state.rows / 3).max(1)));
    free.border();
    layout.detail = Some(free.rest());
}

/// The page.
pub struct Approvals;

impl Controller for Approvals {
    fn arrange(&self) -> Arrange {
        arrange
    }

    fn motion(&self, state: &mut State, height: usize, by: Motion) {
        state.approvals.cursor = listing(state).moved(height, by);
    }

    fn command(&self, state: &mut State, command: UiCommand, effects: &mut Vec<Effect>) -> bool {
        match command {
            UiCommand::Open => match selected(state).map(|approval| approval.run.clone()) {
                Some(run) => open_run(state, run, effects),
                None => state.say(Tone::Plain, "no approval is selected"),
            },
            UiCommand::Mark => {
                let id = selected(state).map(|approval| approval.id.clone());
                toggle(&mut state.approvals.marks, id);
            }
            _ => return false,
        }
        true
    }

    fn begin(&self, state: &mut State) {
        if let Some(first) = listing(state).begin() {
            state.approvals.cursor.key = Some(first);
            state.visible_changed = true;
        }
    }

    fn shown(&self, state: &mut State) {
        // Who comes to the queue comes for what waits, not for what was settled since: the first row is selected
        // anew.
        if selected(state).is_some_and(|approval| approval.state != ApprovalState::Pending) {
            state.approvals.cursor = Cursor::default();
        }
    }

    fn filter<'a>(&self, state: &'a State) -> Option<&'a str> {
        Some(&state.approvals.filter)
    }

    fn set_filter(&self, state: &mut State, text: &str) {
        text.clone_into(&mut state.approvals.filter);
        state.approvals.list.clear();
        let parsed = Filter::parse(text, state.now);
        if parsed.is_empty() {
            return;
        }
        let fit = |id: &&ApprovalId| {
            let approval = state.board.approval(id)?;
            parsed.fit(state.board.rollout(&approval.run.target)?)
        };
        let best = ids(state).iter().min_by_key(|id| fit(id).unwrap_or(Fit::Initials));
        state.approvals.cursor = Cursor::on(best.cloned());
    }

    fn unmark(&self, state: &mut State) -> usize {
        std::mem::take(&mut state.approvals.marks).len()
    }

    fn hidden_marks(&self, state: &State) -> usize {
        let shown = ids(state).iter().filter(|id| state.approvals.marks.contains(id)).count();
        state.approvals.marks.len() - shown
    }

    fn copied(&self, state: &State) -> Option<String> {
        selected(state).map(|approval| approval.id.to_string())
    }

    fn without_rollout(&self, state: &State) -> String {
        unselected(state.approvals.cursor.key.as_ref().map(|id| format!("approval {id}")))
    }

    fn sees_rollout(&self, _: &State, change: &RolloutChange<'_>) -> bool {
        change.asked_for
    }

    fn sees(&self, state: &State, body: &Body) -> bool {
        match body {
            Body::Samples(samples) => selected(state)
                .is_some_and(|approval| samples.iter().any(|sample| sample.target == approval.run.target)),
            Body::Upsert(entity) => matches!(
                entity,
                Entity::Rollout(_)
                    | Entity::Approval(_)
                    | Entity::Evidence(_)
                    | Entity::Environment(_)
                    | Entity::Service(_)
            ),
            _ => false,
        }
    }

    fn ticks(&self, state: &State, moments: &mut Vec<Timestamp>) {
        let now = state.now;
        let window = window(state);
        let pending = window.rows.iter().map(|row| row.approval).filter(|a| a.state == ApprovalState::Pending);
        let shown = selected(state).and_then(|approval| health(state, &approval.run));
        moments.extend(shown.and_then(|health| health.as_of).map(|at| age_changes(at, now)));
        let row = selected(state).and_then(|approval| state.board.rollout(&approval.run.target));
        moments.extend(row.and_then(|row| objectives::changes(&row.objectives, now)));
        for approval in pending {
            moments.push(age_changes(approval.requested, now));
            moments.extend(approval.expires.and_then(|at| countdown_changes(at, now)));
        }
    }

    fn has_many_changes(&self) -> bool {
        true
    }
}

/// Goes there, to one request.
pub(super) fn descend(state: &mut State, id: ApprovalId, effects: &mut Vec<Effect>) {
    crate::app::nav::descend(state, Page::Approvals, effects);
    state.approvals.cursor = Cursor::on(Some(id));
    if selected(state).is_none() {
        // A filter hid it.
        state.approvals.filter.clear();
        state.approvals.list.clear();
    }
}
