//! When the screen changes by itself next. Nothing that counts means no wake: a quiet screen
//! writes nothing.

use super::age::{age_changes, clock, clock_changes, countdown_changes, waits_change};
use super::confirm::{health, settles};
use super::header::sources;
use super::hints::under_way_changes;
use super::layout::layout;
use super::live;
use super::rows;
use super::state::{Page, State};
use flightdeck_board::{Freshness, Severity, numbers_age};
use flightdeck_model::{ApprovalState, Target};
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
    }
    match state.page {
        Page::Deck => {
            for rows::NeedRow { entry, freshness } in rows::needs(state).rows {
                // Nobody knows whether what may be old still goes on by itself.
                let deadline = entry.deadline.filter(|_| freshness.is_fresh());
                moments.extend(deadline.and_then(|at| countdown_changes(at, now)));
                // A source's age ticks with the header; what is denied has none.
                if entry.severity != Severity::Stale {
                    moments.push(age_changes(entry.since, now));
                }
            }
            let shown = rows::deck(state).rows;
            moments.extend(shown.iter().filter_map(|row| clock_changes(clock(row.rollout), now)));
            let old = |row: &rows::DeckRow<'_>| Some(numbers_age(&state.board, &row.rollout.run.target)?.old_from);
            moments.extend(shown.iter().filter_map(old).filter(|old| *old > now));
            if layout(state).charts.is_some() {
                moments.extend(rows::selected_rollout(state).and_then(|row| charts_age(state, &row.run.target)));
            }
            if layout(state).summary.is_some() {
                moments.extend(rows::selected_rollout(state).and_then(|rollout| waits_change(rollout, now)));
            }
        }
        Page::Approvals => {
            let window = rows::approvals(state);
            let pending = window.rows.iter().map(|row| row.approval).filter(|a| a.state == ApprovalState::Pending);
            let shown = rows::selected_approval(state).and_then(|approval| rows::health(state, &approval.run));
            moments.extend(shown.and_then(|health| health.as_of).map(|at| age_changes(at, now)));
            for approval in pending {
                moments.push(age_changes(approval.requested, now));
                moments.extend(approval.expires.and_then(|at| countdown_changes(at, now)));
            }
        }
        Page::Rollout => {
            moments.extend(rows::opened(state).and_then(|rollout| waits_change(rollout, now)));
            moments.extend(live::due(state));
            moments.extend(rows::opened(state).and_then(|rollout| charts_age(state, &rollout.run.target)));
        }
        // What has ended has its times, and no ages.
        Page::History | Page::Logs | Page::Messages | Page::Output => {}
    }
    moments.into_iter().min()
}

/// When charts get old; once they are, when their age changes.
fn charts_age(state: &State, target: &Target) -> Option<Timestamp> {
    let age = numbers_age(&state.board, target)?;
    Some(if state.now < age.old_from { age.old_from } else { age_changes(age.at, state.now) })
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
