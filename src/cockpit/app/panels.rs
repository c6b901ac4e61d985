//! The rows of the panels of the opened rollout.

use super::list::Listing;
use super::rollback_plan;
use super::run::{alert_key, alerts, analyses, detail, evidence, instances, receipts};
use super::state::{RolloutPanel, State};
use super::timeline::{Moment, timeline};
use flightdeck_model::{Alert, Instance};
use std::sync::Arc;

/// What the rows of a panel of the opened rollout are called, in order.
#[must_use]
pub fn panel_keys(state: &State, panel: RolloutPanel) -> Vec<String> {
    let Some(page) = &state.rollout else { return Vec::new() };
    let detail = || detail(state).into_iter();
    match panel {
        RolloutPanel::Instances => instances(state).into_iter().map(|one| one.id.clone()).collect(),
        RolloutPanel::Sets => detail().flat_map(|detail| &detail.groups).map(|one| one.name.clone()).collect(),
        RolloutPanel::Timeline => timeline(state, &page.run).iter().map(Moment::key).collect(),
        RolloutPanel::Analysis => {
            let judged = evidence(state, &page.run).into_iter().map(|one| one.id.clone());
            judged.chain(analyses(state).map(|one| one.name.clone())).collect()
        }
        RolloutPanel::Alerts => alerts(state).into_iter().map(|one| alert_key(one)).collect(),
        RolloutPanel::Revisions => {
            detail().flat_map(|detail| &detail.history).map(|one| one.revision.clone()).collect()
        }
        RolloutPanel::Actions => receipts(state, &page.run).into_iter().map(|one| one.id.to_string()).collect(),
        RolloutPanel::Plan => (0..rollback_plan::plan(state).len()).map(|index| index.to_string()).collect(),
    }
}

/// Which rows of a panel of the opened rollout fit on a screen of that height: the first of them, and where the
/// selected one is in the panel. Without a selection that is the first row.
#[must_use]
pub fn panel_view(state: &State, panel: RolloutPanel, height: usize) -> (usize, Option<usize>) {
    let keys = panel_keys(state, panel);
    let cursor = state.rollout.as_ref().and_then(|page| page.cursors.get(&panel));
    let Some(cursor) = cursor else { return (0, (!keys.is_empty()).then_some(0)) };
    let listing = Listing::of(cursor, &keys);
    (listing.top(height), listing.at)
}

/// What the selected row of the panel that takes the keys is called.
#[must_use]
pub fn selected_key(state: &State) -> Option<String> {
    let page = state.rollout.as_ref()?;
    match page.cursors.get(&page.panel) {
        Some(cursor) => cursor.key.clone(),
        None => panel_keys(state, page.panel).into_iter().next(),
    }
}

/// The opened rollout's selected instance.
#[must_use]
pub fn selected_instance(state: &State) -> Option<&Instance> {
    let (_, selected) = panel_view(state, RolloutPanel::Instances, usize::MAX);
    instances(state).get(selected?).copied()
}

/// The selected one of the alerts that concern the opened rollout, where Tab is on those.
#[must_use]
pub fn selected_alert(state: &State) -> Option<&Arc<Alert>> {
    let on_alerts = state.rollout.as_ref().is_some_and(|page| page.panel == RolloutPanel::Alerts);
    let key = selected_key(state).filter(|_| on_alerts)?;
    alerts(state).into_iter().find(|alert| alert_key(alert) == key)
}

/// Rows of the panel of the opened rollout that Tab is on.
#[must_use]
pub fn panel_len(state: &State, panel: RolloutPanel) -> usize {
    let Some(page) = &state.rollout else { return 0 };
    match panel {
        RolloutPanel::Instances => instances(state).len(),
        RolloutPanel::Sets => detail(state).map_or(0, |detail| detail.groups.len()),
        RolloutPanel::Timeline => timeline(state, &page.run).len(),
        RolloutPanel::Analysis => evidence(state, &page.run).len() + analyses(state).count(),
        RolloutPanel::Alerts => alerts(state).len(),
        RolloutPanel::Revisions => detail(state).map_or(0, |detail| detail.history.len()),
        RolloutPanel::Actions => receipts(state, &page.run).len(),
        RolloutPanel::Plan => rollback_plan::plan(state).len(),
    }
}
