//! The History page: what has ended, in which order, the few rows on the screen, and what those of
//! one service in one environment add up to.

use super::layout::layout;
use super::rows::{self, Window, scrolled};
use super::state::{Cursor, Memo, State};
use flightdeck_board::dora::{self, DAYS, Dora};
use flightdeck_board::{EndedOrder, Filter, Freshness, ended};
use flightdeck_model::{
    EnvironmentName, Evidence, MetricResult, NOT_RECORDED, Note, RolloutRecord, Run, ServiceName, SourceId,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

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
    list: Memo<(Vec<Run>, usize)>,
    figures: Memo<Places>,
}

impl HistoryPage {
    /// Something ended, or another list is asked for.
    pub(super) fn forget(&mut self) {
        self.list.clear();
        self.figures.clear();
    }

    /// Sorts by the next column; gives its word.
    pub(super) fn sort_by_next(&mut self) -> &'static str {
        self.order = self.order.next();
        self.list.clear();
        self.order.word()
    }

    /// The other way round.
    pub(super) fn turn(&mut self) {
        self.reverse = !self.reverse;
        self.list.clear();
    }
}

fn list(state: &State) -> &(Vec<Run>, usize) {
    let page = &state.ended;
    page.list.get(|| {
        let runs = ended(&state.board, &Filter::parse(&page.filter, state.now), page.order, page.reverse);
        (runs, state.board.deployments().count())
    })
}

/// The runs of the list, in order.
pub fn runs(state: &State) -> &[Run] {
    &list(state).0
}

/// Where the selected one is; `None`: nothing is selected, or it is not in the list.
pub(super) fn position(state: &State) -> Option<usize> {
    state.ended.cursor.position(runs(state), |run| run)
}

/// The finished rollout that the cursor is on.
#[must_use]
pub fn selected(state: &State) -> Option<&RolloutRecord> {
    position(state)?;
    state.board.deployment(state.ended.cursor.key.as_ref()?)
}

/// The rows on the screen.
#[must_use]
pub fn window(state: &State) -> Window<&RolloutRecord> {
    let (runs, total) = list(state);
    let at = position(state);
    let height = usize::from(layout(state).list.height);
    let top = scrolled(state.ended.cursor.top, at, height, runs.len());
    let shown = runs.iter().skip(top).take(height);
    Window {
        rows: shown.filter_map(|run| state.board.deployment(run)).collect(),
        top,
        selected: at.map(|at| at - top),
        matching: runs.len(),
        total: *total,
    }
}

/// The figures of the service and environment that the cursor's row belongs to, over [`DAYS`] days.
#[must_use]
pub fn figures(state: &State) -> Option<&Dora> {
    let of = selected(state)?;
    let places = state.ended.figures.get(|| {
        let window = dora::Window::before(state.now, SignedDuration::from_hours(DAYS * 24));
        dora::by_place(state.board.deployments(), window)
    });
    places.get(&(of.service.clone(), of.environment.clone()))
}

/// Rows that the figures take.
#[must_use]
pub(super) const fn figure_rows(state: &State) -> u16 {
    match state.columns {
        0..100 => 4,
        100..160 => 3,
        _ => 2,
    }
}

/// The sources whose newest ends may be missing, and why.
#[must_use]
pub fn behind(state: &State) -> Vec<(&SourceId, String)> {
    let sources: BTreeSet<&SourceId> = state.owners.keys().collect();
    let problem = |source: &SourceId| {
        let connection = state.owners.get(source).and_then(|id| state.connections.get(*id));
        let freshness =
            connection.and_then(rows::lost).unwrap_or_else(|| Freshness::of(Some(&state.board.link(source))));
        match freshness {
            Freshness::Connecting => None,
            freshness => freshness.problem(state.now),
        }
    };
    sources.into_iter().filter_map(|source| problem(source).map(|why| (source, why))).collect()
}

/// A line of a whole record; the view writes times and lengths.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordLine<'a> {
    /// A name and its text.
    Text(&'static str, String),
    /// A name and a moment.
    At(&'static str, Timestamp),
    /// A name, a moment and what happened then.
    Moment(&'static str, Timestamp, String),
    /// A name and how long; `None`: not known.
    Took(&'static str, Option<SignedDuration>),
    /// Something that happened.
    Note(&'a Note),
    /// A judgement.
    Evidence(&'a Evidence),
    /// One of its limits.
    Metric(&'a MetricResult),
}

/// The whole record of the selected one, with its notes and evidence as far as they are still known.
#[must_use]
pub fn record(state: &State) -> Vec<RecordLine<'_>> {
    use RecordLine as L;
    let Some(of) = selected(state) else { return Vec::new() };
    let or_not = |text: Option<String>| text.unwrap_or_else(|| NOT_RECORDED.to_owned());
    let by_hand = of.steps.map(|steps| match steps {
        0 => "it had no steps".to_owned(),
        steps => format!("{} of {steps} steps were done by a person", of.manual_steps),
    });
    let mut lines = vec![
        L::Text("what", format!("{} {}", of.kind.word(), of.outcome.word())),
        L::Text("because", of.cause.clone()),
        L::Text("run", of.run.to_string()),
        L::Text("from", of.from.as_ref().map_or("nothing served".to_owned(), ToString::to_string)),
        L::Text("to", of.to.to_string()),
        L::Text("digest", or_not(of.digest.clone())),
        L::Text("by", of.who().into_owned()),
        L::At("began", of.started),
        L::At("ended", of.ended),
        L::Took("took", Some(of.ended.duration_since(of.started))),
        L::Took("for people", of.waited),
        L::Text("by hand", or_not(by_hand)),
        L::Text("users", or_not(of.reached.map(|share| format!("up to {share} met it")))),
        L::Took("rollback", of.rollback),
        L::Took("lead time", of.commit_at.map(|commit| of.ended.duration_since(commit))),
    ];
    lines.extend(of.called.as_ref().map(|called| L::Text("called", format!("{called} then"))));
    let notes = rows::notes(state, &of.run);
    if notes.is_empty() {
        lines.push(L::Text("events", "none is known any more".to_owned()));
    }
    // Read as a story: what happened first stands first.
    lines.extend(notes.into_iter().rev().map(L::Note));
    let evidence = rows::evidence(state, &of.run);
    if evidence.is_empty() {
        lines.push(L::Text("analysis", "none is known any more".to_owned()));
    }
    for one in evidence.into_iter().rev() {
        lines.push(L::Evidence(one));
        lines.extend(one.analysis.iter().flat_map(|report| &report.metrics).map(L::Metric));
    }
    lines
}

/// Are rows still being told?
#[must_use]
pub fn listing(state: &State) -> bool {
    state.board.is_listing()
}
