//! When the screen changes by itself next. Nothing that counts means no wake: a quiet screen
//! writes nothing.

use super::confirm::{health, settles};
use super::dispatch::of;
use super::header::sources;
use super::hints::under_way_changes;
use super::state::State;
use flightdeck_board::{Freshness, objectives};
use flightdeck_model::time::age_changes;
use jiff::{SignedDuration, Timestamp};

/// The next moment at which something visible changes without an event.
#[must_use]
pub fn next(state: &State) -> Option<Timestamp> {
    let now = state.now;
    let mut moments: Vec<Timestamp> = Vec::new();
    moments.extend(state.notice.as_ref().map(|notice| notice.until));
    moments.extend(state.typing.due());
    moments.extend(under_way_changes(state));
    if state.too_small() {
        return moments.into_iter().min();
    }
    moments.extend(sources(state).iter().filter_map(|source| match &source.freshness {
        // Only its age in the header ticks: there are no rows.
        Freshness::Never { since, .. } => Some(age_changes(*since, now)),
        freshness => stale(freshness, now),
    }));
    if let Some(dialog) = state.dialog() {
        moments.extend(dialog.shown.and_then(|_| settles(dialog, now)));
        moments.extend(dialog.items.iter().filter_map(|item| stale(&item.freshness, now)));
        let measured = dialog.items.iter().filter_map(|item| health(state, dialog, item)?.as_of);
        moments.extend(measured.map(|at| age_changes(at, now)));
        let rows = dialog.items.iter().filter_map(|item| state.board.rollout(&item.run()?.target));
        moments.extend(rows.filter_map(|row| objectives::changes(&row.objectives, now)));
    }
    of(state.page).ticks(state, &mut moments);
    moments.into_iter().min()
}

/// Rows and refusals say `stale for 131 s`, so this ticks each second.
fn stale(freshness: &Freshness, now: Timestamp) -> Option<Timestamp> {
    match freshness {
        Freshness::Stale { since, .. } | Freshness::Never { since, .. } => {
            let seconds = now.duration_since(*since).as_secs().max(0);
            since.saturating_add(SignedDuration::from_secs(seconds + 1)).ok()
        }
        _ => None,
    }
}
