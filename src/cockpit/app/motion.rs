//! Moving: selections in lists, first lines of texts.

use super::command::UiCommand;
use super::hints;
use super::history;
use super::layout::{layout, over_text};
use super::live;
use super::record;
use super::rows::{self, scrolled};
use super::state::{Cursor, DeckPanel, Over, Overlay, Page, State};
use flightdeck_board::About;

/// How far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Motion {
    /// So many rows; negative is up.
    By(isize),
    /// So many lines of what is shown, by the wheel; where nothing else is scrolled, as rows.
    Lines(isize),
    /// So many half pages.
    Halves(isize),
    First,
    Last,
    /// To this row of the screen.
    Screen(usize),
}

/// The motion of a command, where it is one.
pub(super) const fn of(command: UiCommand) -> Option<Motion> {
    Some(match command {
        UiCommand::MoveDown => Motion::By(1),
        UiCommand::MoveUp => Motion::By(-1),
        UiCommand::First => Motion::First,
        UiCommand::Last => Motion::Last,
        UiCommand::PageDown => Motion::Halves(2),
        UiCommand::PageUp => Motion::Halves(-2),
        UiCommand::HalfPageDown => Motion::Halves(1),
        UiCommand::HalfPageUp => Motion::Halves(-1),
        _ => return None,
    })
}

impl Motion {
    /// Rows to go on a page of that height.
    fn rows(self, height: usize) -> isize {
        let half = isize::try_from((height / 2).max(1)).unwrap_or(1);
        match self {
            Motion::By(rows) | Motion::Lines(rows) => rows,
            Motion::Halves(halves) => halves.saturating_mul(half),
            Motion::First => isize::MIN,
            Motion::Last => isize::MAX,
            Motion::Screen(_) => 0,
        }
    }
}

/// Moves on what is shown.
pub(super) fn motion(state: &mut State, by: Motion) {
    let height = usize::from(layout(state).list.height);
    match (&state.overlay, state.page) {
        (Some(Overlay::Help { top }), _) => {
            let top = text(*top, hints::help(state).len(), height, by);
            state.overlay = Some(Overlay::Help { top });
        }
        (_, Page::Deck) if state.deck.panel == DeckPanel::Needs => {
            let height = layout(state).needs.map_or(0, |area| usize::from(area.height));
            let list = rows::attention(state);
            let key = |index| list.get(index).map(About::subject);
            state.deck.needs = list_step(&state.deck.needs, rows::needs_position(state), list.len(), key, height, by);
        }
        (_, Page::Deck) => {
            let list = rows::deck_list(state);
            let key = |index| list.get(index).cloned();
            state.deck.cursor = list_step(&state.deck.cursor, rows::deck_position(state), list.len(), key, height, by);
        }
        (_, Page::Approvals) => {
            let list = rows::approval_ids(state);
            let (at, key) = (state.approvals.cursor.position(list, |id| id), |index: usize| list.get(index).cloned());
            state.approvals.cursor = list_step(&state.approvals.cursor, at, list.len(), key, height, by);
        }
        (_, Page::History) => ended(state, height, by),
        (_, Page::Rollout) => rollout(state, height, by),
        (_, Page::Messages) => {
            state.messages_top = text(state.messages_top, record::messages(state).len(), height, by);
        }
        (_, Page::Logs) => {
            let pages = &mut state.logs.pages_back;
            *pages = match by {
                Motion::Last => 0,
                by if by.rows(2) < 0 => *pages + 1,
                _ => pages.saturating_sub(1),
            };
        }
        (_, Page::Output) => output(state, height, by),
    }
}

fn ended(state: &mut State, height: usize, by: Motion) {
    if let Some(top) = state.ended.record {
        state.ended.record = Some(text(top, record::shown(state).len(), height, by));
        return;
    }
    let list = history::runs(state);
    let key = |index: usize| list.get(index).cloned();
    state.ended.cursor = list_step(&state.ended.cursor, history::position(state), list.len(), key, height, by);
}

fn rollout(state: &mut State, height: usize, by: Motion) {
    let Some(page) = &state.rollout else { return };
    let panel = page.panel;
    if page.over.is_some() {
        over(state, by);
    } else {
        let keys = rows::panel_keys(state, panel);
        let (_, at) = rows::panel_view(state, panel, height);
        let before = page.cursors.get(&panel).cloned().unwrap_or_default();
        let cursor = list_step(&before, at, keys.len(), |index| keys.get(index).cloned(), height, by);
        if let Some(page) = &mut state.rollout {
            page.cursors.insert(panel, cursor);
        }
    }
}

/// Up and down select a revision; the longer ways scroll.
fn over(state: &mut State, by: Motion) {
    let height = usize::from(over_text(state).height);
    let record = matches!(state.rollout.as_ref().and_then(|page| page.over.as_ref()), Some(Over::Record { .. }));
    let len = if record { record::shown(state).len() } else { rows::over_lines(state).len() };
    let Some(page) = &mut state.rollout else { return };
    match (&mut page.over, by) {
        (Some(Over::Diff { .. }), Motion::By(rows)) => live::step(page, rows),
        (Some(Over::Record { top } | Over::Raw { top } | Over::Diff { top, .. }), by) => {
            *top = text(*top, len, height, by);
        }
        (None, _) => {}
    }
}

/// Scrolling up ends the following, going to the last line starts it.
fn output(state: &mut State, height: usize, by: Motion) {
    let Some(output) = &mut state.output else { return };
    if by == Motion::Last {
        output.follow = true;
        return;
    }
    let first = rows::output_top(output, height);
    let top = text(first, output.lines.len(), height, by);
    if top < first || !output.follow {
        output.follow = false;
        output.top = output.dropped + top as u64;
    }
}

/// The first line of a text after a motion.
fn text(top: usize, len: usize, height: usize, by: Motion) -> usize {
    let last = len.saturating_sub(height);
    top.min(last).saturating_add_signed(by.rows(height)).min(last)
}

/// The cursor of a list of so many rows after a motion; `at`: where it is, `key`: what is there.
fn list_step<K: Clone>(
    cursor: &Cursor<K>,
    at: Option<usize>,
    len: usize,
    key: impl Fn(usize) -> Option<K>,
    height: usize,
    by: Motion,
) -> Cursor<K> {
    let top = scrolled(cursor.top, at, height, len);
    let bottom = len.saturating_sub(1);
    let index = match (by, at) {
        // Below the last row there is nothing to select.
        (Motion::Screen(row), _) if top + row >= len => return cursor.clone(),
        (Motion::Screen(row), _) => top + row,
        (by, Some(at)) => at.saturating_add_signed(by.rows(height)).min(bottom),
        // The row is gone: the first step goes to where it was, so that nothing is skipped unseen.
        (Motion::By(_), None) => cursor.index.min(bottom),
        (by, None) => cursor.index.min(bottom).saturating_add_signed(by.rows(height)).min(bottom),
    };
    let selected = key(index);
    let top = scrolled(top, selected.is_some().then_some(index), height, len);
    Cursor { key: selected.or_else(|| cursor.key.clone()), index, top }
}
