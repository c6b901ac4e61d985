//! Lists of rows and lines of text: what is selected, which part is on the screen, how both move. The same for
//! every page.

use super::command::UiCommand;
use flightdeck_board::{About, AttentionSubject, List, Needs};
use flightdeck_model::Target;
use std::collections::BTreeSet;

/// A cursor that sticks to what it points at, not to where that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor<K> {
    /// What is selected; `None` until there is something.
    pub key: Option<K>,
    /// Where it was seen last: where the cursor goes when its row is gone.
    pub index: usize,
    /// First row on the screen, kept so that a list does not jump.
    pub top: usize,
}

impl<K> Default for Cursor<K> {
    fn default() -> Self {
        Cursor { key: None, index: 0, top: 0 }
    }
}

impl<K> Cursor<K> {
    /// On that row, wherever it is.
    pub const fn on(key: Option<K>) -> Cursor<K> {
        Cursor { key, index: 0, top: 0 }
    }
}

/// The part of a list that is on the screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Window<R> {
    /// The rows on the screen.
    pub rows: Vec<R>,
    /// Which row of the list the first of them is.
    pub top: usize,
    /// Which of `rows` is selected; `None`: nothing is, or its row is gone.
    pub selected: Option<usize>,
    /// Rows of the list, those that a filter hides not counted.
    pub matching: usize,
    /// All that there are.
    pub total: usize,
}

/// A list with its cursor, whatever keeps its rows.
pub struct Listing<'a, K> {
    cursor: &'a Cursor<K>,
    /// Rows that it has.
    pub len: usize,
    /// Where the selected row is; `None`: nothing is selected, or its row is gone.
    pub at: Option<usize>,
    keys: Keys<'a, K>,
}

/// What the rows of a list are called.
#[derive(Clone, Copy)]
enum Keys<'a, K> {
    Slice(&'a [K]),
    Kept(&'a dyn Kept<K>),
}

/// A list that is kept in order while its rows change.
pub trait Kept<K> {
    /// Rows that it has.
    fn count(&self) -> usize;
    /// What the row at an index is called.
    fn key(&self, index: usize) -> Option<K>;
}

impl Kept<Target> for List {
    fn count(&self) -> usize {
        self.len()
    }

    fn key(&self, index: usize) -> Option<Target> {
        self.get(index).cloned()
    }
}

impl Kept<AttentionSubject> for Needs {
    fn count(&self) -> usize {
        self.len()
    }

    fn key(&self, index: usize) -> Option<AttentionSubject> {
        self.get(index).map(About::subject)
    }
}

impl<'a, K: Clone + PartialEq> Listing<'a, K> {
    /// Of rows that are kept in order; `at`: where the selected one is.
    pub fn kept(cursor: &'a Cursor<K>, rows: &'a dyn Kept<K>, at: Option<usize>) -> Listing<'a, K> {
        Listing { cursor, len: rows.count(), at, keys: Keys::Kept(rows) }
    }

    /// Of rows whose keys stand in order.
    pub fn of(cursor: &'a Cursor<K>, keys: &'a [K]) -> Listing<'a, K> {
        Listing { cursor, len: keys.len(), at: position(cursor, keys), keys: Keys::Slice(keys) }
    }

    /// What is selected, while it is in the list.
    pub fn selected(&self) -> Option<&'a K> {
        self.at.and(self.cursor.key.as_ref())
    }

    /// The first row.
    #[must_use]
    pub fn first(&self) -> Option<K> {
        self.key(0)
    }

    fn key(&self, index: usize) -> Option<K> {
        match self.keys {
            Keys::Slice(keys) => keys.get(index).cloned(),
            Keys::Kept(rows) => rows.key(index),
        }
    }

    /// The first row, for a cursor that never stood anywhere. Later a cursor moves only by hand: it never slides
    /// to a neighbour when its row goes.
    #[must_use]
    pub fn begin(&self) -> Option<K> {
        if self.cursor.key.is_none() { self.first() } else { None }
    }

    /// The first row on a screen of that height.
    #[must_use]
    pub fn top(&self, height: usize) -> usize {
        scrolled(self.cursor.top, self.at, height, self.len)
    }

    /// The rows on the screen, of which `top` is the first; `total`: how many there are without a filter.
    pub fn window<R>(&self, top: usize, height: usize, rows: Vec<R>, total: usize) -> Window<R> {
        // A row that left the board after the list was made is left out; then the index would lie.
        let complete = rows.len() == height.min(self.len.saturating_sub(top));
        let selected = self.at.filter(|_| complete).and_then(|at| at.checked_sub(top));
        Window { rows, top, selected, matching: self.len, total }
    }

    /// The cursor after a motion.
    #[must_use]
    pub fn moved(&self, height: usize, by: Motion) -> Cursor<K> {
        let top = self.top(height);
        let bottom = self.len.saturating_sub(1);
        let index = match (by, self.at) {
            // Below the last row there is nothing to select.
            (Motion::Screen(row), _) if top + row >= self.len => return self.cursor.clone(),
            (Motion::Screen(row), _) => top + row,
            (by, Some(at)) => at.saturating_add_signed(by.rows(height)).min(bottom),
            // The row is gone: the first step goes to where it was, so that nothing is skipped unseen.
            (Motion::By(_), None) => self.cursor.index.min(bottom),
            (by, None) => self.cursor.index.min(bottom).saturating_add_signed(by.rows(height)).min(bottom),
        };
        let selected = self.key(index);
        let top = scrolled(top, selected.is_some().then_some(index), height, self.len);
        Cursor { key: selected.or_else(|| self.cursor.key.clone()), index, top }
    }
}

/// Where what is selected is now; `None`: nothing is selected, or it is gone.
fn position<K: PartialEq>(cursor: &Cursor<K>, keys: &[K]) -> Option<usize> {
    let wanted = cursor.key.as_ref()?;
    // Rows seldom move: look where it was first.
    if keys.get(cursor.index) == Some(wanted) {
        return Some(cursor.index);
    }
    keys.iter().position(|key| key == wanted)
}

/// The first row on the screen: as before, unless the selected one would be off it.
#[must_use]
pub fn scrolled(top: usize, selected: Option<usize>, height: usize, len: usize) -> usize {
    let last = len.saturating_sub(height);
    let top = top.min(last);
    match selected {
        Some(at) if at < top => at,
        Some(at) if height > 0 && at >= top + height => at + 1 - height,
        _ => top,
    }
}

/// The first line of a text after a motion.
#[must_use]
pub fn text(top: usize, len: usize, height: usize, by: Motion) -> usize {
    let last = len.saturating_sub(height);
    top.min(last).saturating_add_signed(by.rows(height)).min(last)
}

/// Marks a row, or takes its mark away.
pub fn toggle<K: Ord>(marks: &mut BTreeSet<K>, key: Option<K>) {
    if let Some(key) = key
        && !marks.remove(&key)
    {
        marks.insert(key);
    }
}

/// How far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
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

impl Motion {
    /// The motion of a command, where it is one.
    #[must_use]
    pub const fn of(command: UiCommand) -> Option<Motion> {
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

    /// Rows to go on a page of that height.
    #[must_use]
    pub fn rows(self, height: usize) -> isize {
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
