//! A list of rollouts, kept in order while rows change: a change costs what finding its place costs. What
//! fits the words of its filter best comes first.

use super::filter::Fit;
use super::judged::{failing, fails, latest_judgements};
use super::ordered::Ordered;
use super::sort::{Key, Order, compare};
use super::{Board, Filter};
use flightdeck_model::{Phase, Rollout, Target};
use std::sync::Arc;

/// Which rollouts a list has, and in which order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// Those that it matches.
    pub filter: Filter,
    /// Leave out what is settled and healthy.
    pub in_flight_only: bool,
    /// Sorted by.
    pub order: Order,
    /// The other way round.
    pub reverse: bool,
}

/// Where a row was in a list, and where it is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Its index before; `None`: it was not there.
    pub from: Option<usize>,
    /// Its index now; `None`: it is not there.
    pub to: Option<usize>,
}

impl Moved {
    /// Does a window on the list look different now: so many rows from `top` on?
    #[must_use]
    pub fn seen(self, top: usize, height: usize) -> bool {
        match (self.from, self.to) {
            (None, None) => false,
            // The number of rows is written above them.
            (Some(_), None) | (None, Some(_)) => true,
            (Some(from), Some(to)) => from.min(to) < top + height && from.max(to) >= top,
        }
    }
}

/// Rollouts of a board in order; equal to sorting all of them anew, after any change.
#[derive(Debug, Clone)]
pub struct List {
    wanted: Wanted,
    rows: Ordered<Row>,
}

#[derive(Debug, Clone)]
struct Row {
    fit: Fit,
    key: Key,
    rollout: Arc<Rollout>,
}

impl List {
    /// Of all that the board has.
    #[must_use]
    pub fn of(board: &Board, wanted: Wanted) -> List {
        let latest = latest_judgements(board);
        let mut rows: Vec<Row> = board
            .shared_rollouts()
            .filter_map(|rollout| {
                let fit = wanted.fit(rollout)?;
                let failing = || latest.get(&rollout.run).is_some_and(|evidence| fails(evidence));
                let key = Key::of(board, wanted.order, rollout, failing);
                Some(Row { fit, key, rollout: Arc::clone(rollout) })
            })
            .collect();
        rows.sort_by(|a, b| wanted.compare(a, b));
        List { rows: Ordered::from_sorted(rows), wanted }
    }

    /// How many rows it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Has it none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The target there.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Target> {
        self.rows.get(index).map(|row| &row.rollout.run.target)
    }

    /// The targets from there on.
    pub fn from(&self, index: usize) -> impl Iterator<Item = &Target> {
        self.rows.from(index).map(|row| &row.rollout.run.target)
    }

    /// Where a target is.
    #[must_use]
    pub fn position(&self, board: &Board, target: &Target) -> Option<usize> {
        self.find(board, board.shared_rollout(target)?)
    }

    /// A row of the board changed. What else its place depends on is as before, or told by
    /// [`List::refresh`].
    pub fn change(&mut self, board: &Board, old: Option<&Arc<Rollout>>, new: Option<&Arc<Rollout>>) -> Moved {
        let from = old.and_then(|old| self.find(board, old));
        if let Some(from) = from {
            self.rows.remove(from);
        }
        let to = new.and_then(|new| self.row(board, new)).map(|new| self.insert(new));
        Moved { from, to }
    }

    /// What a target is sorted by may have changed, such as its errors.
    pub fn refresh(&mut self, board: &Board, target: &Target) -> Moved {
        let Some(rollout) = board.shared_rollout(target) else { return Moved::default() };
        self.change(board, Some(rollout), Some(rollout))
    }

    fn insert(&mut self, row: Row) -> usize {
        let at = self.rows.place(|other| self.wanted.compare(other, &row).is_lt());
        self.rows.insert(at, row);
        at
    }

    /// Looks where it should be; where its key has changed since it was put in, everywhere.
    fn find(&self, board: &Board, rollout: &Arc<Rollout>) -> Option<usize> {
        let wanted = self.row(board, rollout)?;
        let is = |row: &Row| row.rollout.run.target == rollout.run.target;
        let at = self.rows.place(|other| self.wanted.compare(other, &wanted).is_lt());
        if self.rows.get(at).is_some_and(is) {
            return Some(at);
        }
        self.rows.from(0).position(is)
    }

    /// Its row, if the list is to have one.
    fn row(&self, board: &Board, rollout: &Arc<Rollout>) -> Option<Row> {
        let fit = self.wanted.fit(rollout)?;
        let key = Key::of(board, self.wanted.order, rollout, || failing(board, &rollout.run));
        Some(Row { fit, key, rollout: Arc::clone(rollout) })
    }
}

impl Wanted {
    /// How well a rollout fits; `None`: the list does not have it.
    fn fit(&self, rollout: &Rollout) -> Option<Fit> {
        let settled = matches!(rollout.phase, Phase::Healthy | Phase::Superseded);
        if self.in_flight_only && settled { None } else { self.filter.fit(rollout) }
    }

    fn compare(&self, a: &Row, b: &Row) -> std::cmp::Ordering {
        let by_order = || compare(self.order, self.reverse, (&a.key, &a.rollout), (&b.key, &b.rollout));
        a.fit.cmp(&b.fit).then_with(by_order)
    }
}
