//! What is shown, by the table of pages.

use super::controller::Controller;
use super::layout::{Layout, framed};
use super::pages::{Page, pages};
use super::panels::selected_key;
use super::run::{added_to, receipts};
use super::state::State;
use flightdeck_model::{Receipt, Rollout, Run};

macro_rules! controllers {
    ($($page:ident $file:ident $row:ident $doc:literal;)*) => {
        /// What that page does.
        pub(super) fn of(page: Page) -> &'static dyn Controller {
            match page {
                $(Page::$page => &super::pages::$file::$page,)*
            }
        }
    };
}
pages!(controllers);

/// The areas of the page that is shown.
#[must_use]
pub fn layout(state: &State) -> Layout {
    framed(state, of(state.page).arrange())
}

/// The rollout that keys act on, on this page.
#[must_use]
pub fn selected_rollout(state: &State) -> Option<&Rollout> {
    of(state.page).rollout(state)
}

/// Marked rows that the filter hides: nothing is done to what can't be seen.
#[must_use]
pub fn hidden_marks(state: &State) -> usize {
    of(state.page).hidden_marks(state)
}

/// The command that a reason would be added to, and the run that it is about: the selected one, else the newest
/// about the selected rollout.
#[must_use]
pub fn selected_receipt(state: &State) -> Option<(&Receipt, &Run)> {
    let run = match (state.page, &state.rollout) {
        (Page::Rollout, Some(page)) => &page.run,
        _ => &selected_rollout(state)?.run,
    };
    let all: Vec<_> = receipts(state, run).into_iter().filter(|receipt| added_to(receipt).is_none()).collect();
    let key = selected_key(state).filter(|_| state.page == Page::Rollout);
    // A timeline's rows have a word before the id.
    let meant = |receipt: &&Receipt| key.as_deref().and_then(|key| key.rsplit(' ').next()) == Some(&receipt.id.0);
    let receipt = all.iter().copied().find(|receipt| meant(receipt)).or_else(|| all.first().copied())?;
    Some((receipt, run))
}
