//! Where things are on the screen. The view draws into these areas and clicks are looked up in
//! them, so both always agree; a page down is as long as the list that it moves.

use super::state::State;
use flightdeck_model::Rollout;

/// A rectangle of cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Area {
    /// First column.
    pub x: u16,
    /// First row.
    pub y: u16,
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl Area {
    /// Is that cell inside?
    #[must_use]
    pub const fn contains(self, column: u16, row: u16) -> bool {
        column >= self.x && row >= self.y && column - self.x < self.width && row - self.y < self.height
    }
}

/// The areas of the page that is shown. Content only: the row above an area holds the border with
/// its title, or the names of its columns where [`Layout::heading`] says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layout {
    /// Name, sources, holds, who: the first row.
    pub header: Area,
    /// The strip of environments (Deck, where there is room).
    pub environments: Option<Area>,
    /// "Needs you" (Deck).
    pub needs: Option<Area>,
    /// Who, what and where of a rollout; steps, traffic, waits (Rollout; Deck, where there is room). The
    /// figures of what has ended (History).
    pub summary: Option<Area>,
    /// Charts (Rollout, Deck, where there is room).
    pub charts: Option<Area>,
    /// The names of the columns of `list`.
    pub heading: Option<Area>,
    /// The page's list: rollouts, approvals, the panel of a rollout, lines.
    pub list: Area,
    /// What could not be read of a rollout (Rollout, where there is something).
    pub gaps: Option<Area>,
    /// Everything about the selected row (Approvals; Rollout, where there is room).
    pub detail: Option<Area>,
    /// Hints, or the notice, or the filter while it is typed: the last row.
    pub footer: Area,
}

/// Objectives that the summary of a rollout has a row for, the worst first.
pub(crate) const OBJECTIVES: usize = 2;

/// Rows that the summary of a rollout takes.
pub(super) fn summary_rows(rollout: Option<&Rollout>) -> u16 {
    let objectives = rollout.map_or(0, |rollout| rollout.objectives.len().min(OBJECTIVES));
    let watched = rollout.is_some_and(|rollout| rollout.watchdog.is_some());
    6 + u16::from(watched) + u16::try_from(objectives).unwrap_or(0)
}

/// Fewest rows of charts that show anything.
pub(super) const CHARTS: u16 = 6;

/// How a page divides what is between the header and the footer.
pub type Arrange = fn(&State, &mut Stack, &mut Layout);

/// The areas of a page.
pub(super) fn framed(state: &State, arrange: Arrange) -> Layout {
    let mut free = Stack { y: 1, bottom: state.rows.saturating_sub(1), columns: state.columns };
    let mut layout = Layout {
        header: Area { x: 0, y: 0, width: state.columns, height: 1.min(state.rows) },
        footer: Area { x: 0, y: free.bottom, width: state.columns, height: 1.min(state.rows) },
        ..Layout::default()
    };
    arrange(state, &mut free, &mut layout);
    layout
}

/// A page of lines and nothing else.
pub(super) fn lines(_: &State, free: &mut Stack, layout: &mut Layout) {
    free.border();
    layout.list = free.rest();
}

/// What is left between the header and the footer, taken from the top.
pub struct Stack {
    y: u16,
    bottom: u16,
    columns: u16,
}

impl Stack {
    pub(crate) fn border(&mut self) {
        self.y = (self.y + 1).min(self.bottom);
    }

    pub(crate) fn left(&self) -> u16 {
        self.bottom.saturating_sub(self.y)
    }

    pub(crate) fn take(&mut self, rows: u16) -> Area {
        let height = rows.min(self.bottom.saturating_sub(self.y));
        let area = Area { x: 1, y: self.y, width: self.columns.saturating_sub(2), height };
        self.y += height;
        area
    }

    pub(crate) fn boxed(&mut self, rows: u16) -> Area {
        self.border();
        self.take(rows)
    }

    /// All but the last border.
    pub(crate) fn rest(&mut self) -> Area {
        self.take(self.bottom.saturating_sub(self.y).saturating_sub(1))
    }
}
