//! The History page: what has ended, in which order, the few rows on the screen, and what those of
//! one service in one environment add up to.

use crate::app::Effect;
use crate::app::command::UiCommand;
use crate::app::controller::Controller;
use crate::app::fresh::source_freshness;
use crate::app::layout::{Arrange, Layout, Stack, framed};
use crate::app::list::{Cursor, Listing, Motion, Window, text};
use crate::app::record::{RecordLine, fitted};
use crate::app::run::{evidence, notes};
use crate::app::state::{State, Tone};
use flightdeck_board::dora::{self, DAYS, Dora};
use flightdeck_board::{Filter, Fit, Freshness, ended};
use flightdeck_model::{Body, Entity, NOT_RECORDED, RolloutRecord, Run, SourceId};
use jiff::SignedDuration;
use std::collections::BTreeSet;

/// The filter of what did not succeed lately.
const FAILURES: &str = "since:7d !outcome:succeeded !outcome:superseded";

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

fn listing(state: &State) -> Listing<'_, Run> {
    Listing::of(&state.ended.cursor, runs(state))
}

/// The finished rollout that the cursor is on.
#[must_use]
pub fn selected(state: &State) -> Option<&RolloutRecord> {
    state.board.deployment(listing(state).selected()?)
}

/// The rows on the screen.
#[must_use]
pub fn window(state: &State) -> Window<&RolloutRecord> {
    let (runs, total) = list(state);
    let listing = listing(state);
    let height = usize::from(framed(state, arrange).list.height);
    let top = listing.top(height);
    let shown = runs.iter().skip(top).take(height).filter_map(|run| state.board.deployment(run));
    listing.window(top, height, shown.collect(), *total)
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
const fn figure_rows(state: &State) -> u16 {
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
    let problem = |source: &SourceId| match source_freshness(state, source) {
        Freshness::Connecting => None,
        freshness => freshness.problem(state.now),
    };
    sources.into_iter().filter_map(|source| problem(source).map(|why| (source, why))).collect()
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
    lines.extend(of.commit.clone().map(|commit| L::Text("commit", commit)));
    lines.extend(of.pipeline_run.clone().map(|run| L::Text("built by", run)));
    lines.extend(of.called.as_ref().map(|called| L::Text("called", format!("{called} then"))));
    let notes = notes(state, &of.run);
    if notes.is_empty() {
        lines.push(L::Text("events", "none is known any more".to_owned()));
    }
    // Read as a story: what happened first stands first.
    lines.extend(notes.into_iter().rev().map(L::Note));
    let evidence = evidence(state, &of.run);
    if evidence.is_empty() {
        lines.push(L::Text("analysis", "none is known any more".to_owned()));
    }
    for one in evidence.into_iter().rev() {
        lines.push(L::Evidence(one));
        lines.extend(one.analysis.iter().flat_map(|report| &report.metrics).map(L::Metric));
    }
    lines
}

/// The whole record in lines of the width of the page.
#[must_use]
pub fn shown(state: &State) -> Vec<RecordLine<'_>> {
    fitted(state, record(state))
}

/// Are rows still being told?
#[must_use]
pub fn is_listing(state: &State) -> bool {
    state.board.is_listing()
}

fn arrange(state: &State, free: &mut Stack, layout: &mut Layout) {
    layout.summary = Some(free.boxed(figure_rows(state)));
    free.border();
    if state.ended.record.is_none() {
        layout.heading = Some(free.take(1));
    }
    layout.list = free.rest();
}

/// The page.
pub struct History;

impl Controller for History {
    fn arrange(&self) -> Arrange {
        arrange
    }

    fn motion(&self, state: &mut State, height: usize, by: Motion) {
        match state.ended.record {
            Some(top) => state.ended.record = Some(text(top, shown(state).len(), height, by)),
            None => state.ended.cursor = listing(state).moved(height, by),
        }
    }

    fn command(&self, state: &mut State, command: UiCommand, _: &mut Vec<Effect>) -> bool {
        match command {
            UiCommand::Open => match selected(state) {
                Some(_) => state.ended.record = Some(state.ended.record.unwrap_or(0)),
                None => state.say(Tone::Plain, "no finished rollout is selected"),
            },
            UiCommand::Sort => {
                let word = state.ended.sort_by_next();
                state.say(Tone::Plain, format!("sorted by {word}"));
            }
            UiCommand::SortReverse => state.ended.turn(),
            UiCommand::Failures => {
                let all = state.ended.filter == FAILURES;
                self.set_filter(state, if all { "" } else { FAILURES });
            }
            _ => return false,
        }
        true
    }

    fn begin(&self, state: &mut State) {
        if let Some(first) = listing(state).begin() {
            state.ended.cursor.key = Some(first);
            state.visible_changed = true;
        }
    }

    fn shown(&self, state: &mut State) {
        // What has ended is counted up to now.
        state.ended.forget();
        state.ended.record = None;
    }

    fn is_deeper(&self, state: &State) -> bool {
        state.ended.record.is_some()
    }

    fn close(&self, state: &mut State) {
        state.ended.record = None;
    }

    fn filter<'a>(&self, state: &'a State) -> Option<&'a str> {
        Some(&state.ended.filter)
    }

    fn set_filter(&self, state: &mut State, text: &str) {
        text.clone_into(&mut state.ended.filter);
        state.ended.forget();
        let parsed = Filter::parse(text, state.now);
        if parsed.is_empty() {
            return;
        }
        let fit = |run: &&Run| state.board.deployment(run).and_then(|of| parsed.fit_ended(of));
        let best = runs(state).iter().min_by_key(|run| fit(run).unwrap_or(Fit::Initials));
        state.ended.cursor = Cursor::on(best.cloned());
    }

    fn copied(&self, state: &State) -> Option<String> {
        selected(state).map(|of| of.run.to_string())
    }

    fn sees(&self, state: &State, body: &Body) -> bool {
        let record = state.ended.cursor.key.as_ref().filter(|_| state.ended.record.is_some());
        match body {
            Body::Upsert(Entity::Evidence(evidence)) => record == Some(&evidence.run),
            Body::Upsert(Entity::Note(note)) => record == Some(&note.run),
            Body::Upsert(Entity::RolloutRecord(_)) => true,
            _ => false,
        }
    }
}
