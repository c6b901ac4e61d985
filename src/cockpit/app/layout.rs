//! Where things are on the screen. The view draws into these areas and clicks are looked up in
//! them, so both always agree; a page down is as long as the list that it moves.

use super::history;
use super::rows;
use super::state::{Over, Page, State};
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

/// Rows that the summary of a rollout takes.
const SUMMARY: u16 = 6;
/// The most telling of them, where there is no room for all.
const SHORT: u16 = 2;
/// Fewest rows of charts that show anything.
const CHARTS: u16 = 6;

/// The areas of the page that is shown.
#[must_use]
pub fn layout(state: &State) -> Layout {
    let mut free = Stack { y: 1, bottom: state.rows.saturating_sub(1), columns: state.columns };
    let mut layout = Layout {
        header: Area { x: 0, y: 0, width: state.columns, height: 1.min(state.rows) },
        footer: Area { x: 0, y: free.bottom, width: state.columns, height: 1.min(state.rows) },
        ..Layout::default()
    };
    match state.page {
        Page::Deck => {
            if state.rows >= 16 {
                layout.environments = Some(free.boxed(1));
            }
            let wanted = u16::try_from(rows::attention(state).len()).unwrap_or(u16::MAX);
            layout.needs = Some(free.boxed(wanted.clamp(1, (state.rows / 5).max(1))));
            free.border();
            layout.heading = Some(free.take(1));
            // Which row is selected, and what is the matter with it, is always there; room below the last row
            // shows more.
            let rows = match rows::deck_list(state).len() {
                0 => u16::MAX,
                rows => u16::try_from(rows).unwrap_or(u16::MAX),
            };
            let spare = free.left().saturating_sub(1).saturating_sub(rows);
            let least = match state.rows {
                _ if rows == u16::MAX => 0,
                36.. => SUMMARY,
                24.. => SHORT,
                _ => 0,
            };
            let summary = if spare > SUMMARY { SUMMARY } else { least };
            let fits = |rows: &u16| spare > SUMMARY + 1 + rows;
            // Where nothing has metrics one row says so.
            let none = rows::selected_rollout(state).is_some() && !state.measured;
            let heights = if none { [1, 1] } else { [(state.rows / 4).max(CHARTS), CHARTS] };
            let charts = heights.into_iter().find(fits);
            if summary > 0 {
                let below = summary + 1 + charts.map_or(0, |charts| charts + 1);
                layout.list = free.take(free.left().saturating_sub(1 + below));
                layout.summary = Some(free.boxed(summary));
                layout.charts = charts.map(|charts| free.boxed(charts));
            } else {
                layout.list = free.rest();
            }
        }
        Page::Approvals => {
            free.border();
            layout.heading = Some(free.take(1));
            let wanted = u16::try_from(rows::approval_ids(state).len()).unwrap_or(u16::MAX);
            layout.list = free.take(wanted.clamp(1, (state.rows / 3).max(1)));
            free.border();
            layout.detail = Some(free.rest());
        }
        Page::History => {
            layout.summary = Some(free.boxed(history::figure_rows(state)));
            free.border();
            if state.ended.record.is_none() {
                layout.heading = Some(free.take(1));
            }
            layout.list = free.rest();
        }
        Page::Rollout => {
            layout.summary = Some(free.boxed(SUMMARY.min(state.rows / 3)));
            // A backend that tells nothing by itself sends no samples either.
            if state.rows >= 24 && (rows::told(state) || rows::measured(state)) {
                // What has nothing to draw says so in one row.
                let worker = rows::opened(state).is_some_and(Rollout::is_worker);
                layout.charts = Some(free.boxed(if worker { 1 } else { CHARTS.max(state.rows / 4) }));
            }
            free.border();
            let gaps = u16::try_from(rows::gaps(state).len()).unwrap_or(u16::MAX);
            let gaps = gaps.min(if free.left() >= 9 { 4 } else { 2 }).min(free.left().saturating_sub(2));
            panel(state, &mut free, gaps, &mut layout);
            layout.gaps = (gaps > 0).then(|| free.take(gaps));
        }
        Page::Logs | Page::Messages | Page::Output => {
            free.border();
            layout.list = free.rest();
        }
    }
    layout
}

/// The rows of an opened rollout's panel, and below them, where there is room, the selected one in full. What has
/// few rows leaves more room for that.
fn panel(state: &State, free: &mut Stack, gaps: u16, layout: &mut Layout) {
    let room = free.left().saturating_sub(1 + gaps);
    let rows = state.rollout.as_ref().map_or(0, |page| rows::panel_len(state, page.panel));
    let below = (room * 2 / 5).max(room.saturating_sub(1).saturating_sub(clamped(rows).max(3)));
    if room >= 9 && rows > 0 {
        layout.list = free.take(room - 1 - below);
        free.border();
        layout.detail = Some(free.take(below));
    } else {
        layout.list = free.take(room);
    }
}

fn clamped(rows: usize) -> u16 {
    u16::try_from(rows).unwrap_or(u16::MAX)
}

/// Over the panels of an opened rollout: the whole of it.
#[must_use]
pub fn over(state: &State) -> Area {
    let layout = layout(state);
    let top = layout.charts.map_or(layout.list.y, |charts| charts.y);
    let last = layout.gaps.or(layout.detail).unwrap_or(layout.list);
    let bottom = last.y + last.height;
    Area { y: top, height: bottom.saturating_sub(top), ..layout.list }
}

/// Over the panels of an opened rollout: the revisions, where they are compared.
#[must_use]
pub fn over_revisions(state: &State) -> Option<Area> {
    let page = state.rollout.as_ref()?;
    matches!(page.over, Some(Over::Diff { .. })).then(|| {
        let area = over(state);
        let known = page.live.detail.as_ref().map_or(0, |detail| detail.history.len());
        let wanted = u16::try_from(known).unwrap_or(u16::MAX);
        Area { height: wanted.min((area.height / 3).max(1)), ..area }
    })
}

/// Over the panels of an opened rollout: the text that is scrolled.
#[must_use]
pub fn over_text(state: &State) -> Area {
    let area = over(state);
    // Below the revisions a line says what the signs mean.
    let above = over_revisions(state).map_or(0, |revisions| revisions.height + 1).min(area.height);
    let below = layout(state).gaps.map_or(0, |gaps| gaps.height).min(area.height - above);
    Area { y: area.y + above, height: area.height - above - below, ..area }
}

/// What is left between the header and the footer, taken from the top.
struct Stack {
    y: u16,
    bottom: u16,
    columns: u16,
}

impl Stack {
    fn border(&mut self) {
        self.y = (self.y + 1).min(self.bottom);
    }

    fn left(&self) -> u16 {
        self.bottom.saturating_sub(self.y)
    }

    fn take(&mut self, rows: u16) -> Area {
        let height = rows.min(self.bottom.saturating_sub(self.y));
        let area = Area { x: 1, y: self.y, width: self.columns.saturating_sub(2), height };
        self.y += height;
        area
    }

    fn boxed(&mut self, rows: u16) -> Area {
        self.border();
        self.take(rows)
    }

    /// All but the last border.
    fn rest(&mut self) -> Area {
        self.take(self.bottom.saturating_sub(self.y).saturating_sub(1))
    }
}
