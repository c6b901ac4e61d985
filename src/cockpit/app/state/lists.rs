//! The Deck, the Approvals page and the History page: what is selected, marked, filtered and in which order.

use super::widest::Widest;
use crate::app::list::Cursor;
use crate::app::memo::Memo;
use flightdeck_board::dora::Dora;
use flightdeck_board::{EndedOrder, List, Order};
use flightdeck_model::{ApprovalId, EnvironmentName, Run, ServiceName, Target};
use std::collections::{BTreeMap, BTreeSet};

/// Where Tab is on the Deck.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeckPanel {
    /// The list of what needs a person.
    Needs,
    /// The list of rollouts.
    #[default]
    Rollouts,
}

/// The Deck's state. Rows come from `pages/deck.rs`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeckPage {
    /// Where Tab is.
    pub panel: DeckPanel,
    /// Selection in the list of rollouts.
    pub cursor: Cursor<Target>,
    /// Selection in "Needs you".
    pub needs: Cursor<flightdeck_board::AttentionSubject>,
    /// Marked with space; they stay marked when a filter hides them.
    pub marks: BTreeSet<Target>,
    /// What was typed after `/`.
    pub filter: String,
    /// Sorted by.
    pub order: Order,
    /// The other way round.
    pub reverse: bool,
    /// Leave out what is settled and healthy.
    pub in_flight_only: bool,
    /// What the columns have had to hold.
    pub widest: Widest,
    /// The list, in order; computed when asked for, kept in step with rows, dropped when all of it changes.
    pub(crate) list: Memo<List>,
}

/// The Approvals page's state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ApprovalsPage {
    /// Selection.
    pub cursor: Cursor<ApprovalId>,
    /// Marked with space.
    pub marks: BTreeSet<ApprovalId>,
    /// What was typed after `/`.
    pub filter: String,
    /// Ids in the order of the list; pending first, then settled ones of late.
    pub(crate) list: Memo<Vec<ApprovalId>>,
}

/// The figures of each place.
type Places = BTreeMap<(ServiceName, EnvironmentName), Dora>;

/// The page's state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistoryPage {
    /// Selection.
    pub cursor: Cursor<Run>,
    /// What was typed after `/`.
    pub filter: String,
    /// Sorted by.
    pub order: EndedOrder,
    /// The other way round.
    pub reverse: bool,
    /// The selected one's whole record is shown: its first line on the screen.
    pub record: Option<usize>,
    /// The list in order, and how many there are without the filter.
    pub(crate) list: Memo<(Vec<Run>, usize)>,
    pub(crate) figures: Memo<Places>,
}

impl HistoryPage {
    /// Something ended, or another list is asked for.
    pub(crate) fn forget(&mut self) {
        self.list.clear();
        self.figures.clear();
    }

    /// Sorts by the next column; gives its word.
    pub(crate) fn sort_by_next(&mut self) -> &'static str {
        self.order = self.order.next();
        self.list.clear();
        self.order.word()
    }

    /// The other way round.
    pub(crate) fn turn(&mut self) {
        self.reverse = !self.reverse;
        self.list.clear();
    }
}
