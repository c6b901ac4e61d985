//! The Deck: what needs a person, and all rollouts. Both lists are kept in step with the rows; a frame costs what
//! the rows on it cost.

use super::approvals;
use crate::app::Effect;
use crate::app::clock::{clock, clock_changes, waits_change};
use crate::app::command::{Bound, UiCommand};
use crate::app::controller::{Controller, RolloutChange, unselected};
use crate::app::fresh::{approval_freshness, freshness, source_freshness};
use crate::app::keymap::Context;
use crate::app::layout::{Arrange, CHARTS, Layout, Stack, framed, summary_rows};
use crate::app::list::{Cursor, Listing, Motion, Window, toggle};
use crate::app::nav::open_run;
use crate::app::run::charts_age;
use crate::app::state::{DeckPage, DeckPanel, OwnCommand, State, Tone};
use flightdeck_board as board;
use flightdeck_board::{
    Attention, AttentionSubject, Filter, Freshness, JobRef, List, Moved, Needs, Order, Severity, Wanted, numbers_age,
    objectives,
};
use flightdeck_model::time::{age_changes, countdown_changes};
use flightdeck_model::{ArmSample, Body, Entity, Rollout, Target};
use jiff::Timestamp;

/// The most telling rows of a summary, where there is no room for all.
const SHORT: u16 = 2;

/// A row of the list of rollouts.
#[derive(Debug, Clone, PartialEq)]
pub struct DeckRow<'a> {
    pub rollout: &'a Rollout,
    /// Marked with space.
    pub marked: bool,
    /// Can it be believed?
    pub freshness: Freshness,
    /// One's newest command about it.
    pub own: Option<&'a OwnCommand>,
}

/// An entry of "Needs you".
#[derive(Debug, Clone, PartialEq)]
pub struct NeedRow {
    /// What it says.
    pub entry: Attention,
    /// Can what it is about be believed?
    pub freshness: Freshness,
}

/// What needs a person, most dangerous first.
pub fn attention(state: &State) -> &Needs {
    state.attention.get(|| Needs::of(&state.board, state.now))
}

/// The list of rollouts.
pub fn list(state: &State) -> &List {
    state.deck.list.get(|| {
        let DeckPage { filter, order, reverse, in_flight_only, .. } = &state.deck;
        let filter = Filter::parse(filter, state.now);
        let wanted = Wanted { filter, in_flight_only: *in_flight_only, order: *order, reverse: *reverse };
        List::of(&state.board, wanted)
    })
}

fn rollouts(state: &State) -> Listing<'_, Target> {
    let (cursor, list) = (&state.deck.cursor, list(state));
    let at = cursor.key.as_ref().and_then(|target| list.position(&state.board, target));
    Listing::kept(cursor, list, at)
}

fn entries(state: &State) -> Listing<'_, AttentionSubject> {
    let (cursor, needs) = (&state.deck.needs, attention(state));
    let at = cursor.key.as_ref().and_then(|subject| needs.position(&state.board, subject));
    Listing::kept(cursor, needs, at)
}

/// The first of the rollouts on the screen, and how many fit.
fn view(state: &State) -> (usize, usize) {
    let height = usize::from(framed(state, arrange).list.height);
    (rollouts(state).top(height), height)
}

/// The first entry of "Needs you" on the screen, and how many fit.
fn needs_view(state: &State) -> (usize, usize) {
    let height = framed(state, arrange).needs.map_or(0, |area| usize::from(area.height));
    (entries(state).top(height), height)
}

/// The rollouts on the screen.
#[must_use]
pub fn window(state: &State) -> Window<DeckRow<'_>> {
    let (top, height) = view(state);
    let shown = list(state).from(top).take(height).filter_map(|target| state.board.rollout(target));
    let rows = shown.map(|rollout| DeckRow {
        rollout,
        marked: state.deck.marks.contains(&rollout.run.target),
        freshness: freshness(state, rollout),
        own: state.own_command(&rollout.run),
    });
    rollouts(state).window(top, height, rows.collect(), state.board.rollout_count())
}

/// The entries of "Needs you" on the screen.
#[must_use]
pub fn needs(state: &State) -> Window<NeedRow> {
    let needs = attention(state);
    let (top, height) = needs_view(state);
    let rows = needs.from(top).take(height).filter_map(|about| {
        let freshness = need_freshness(state, &about.subject());
        Some(NeedRow { entry: board::describe(&state.board, about)?, freshness })
    });
    entries(state).window(top, height, rows.collect(), needs.len())
}

/// How fresh what an entry is about is; one about a source says itself how that is.
fn need_freshness(state: &State, subject: &AttentionSubject) -> Freshness {
    match subject {
        AttentionSubject::Rollout(run) => {
            state.board.rollout(&run.target).map_or(Freshness::Fresh, |rollout| freshness(state, rollout))
        }
        AttentionSubject::Approval(id) => {
            state.board.approval(id).map_or(Freshness::Fresh, |approval| approval_freshness(state, approval))
        }
        AttentionSubject::Hold(source, _) | AttentionSubject::Job(JobRef { source, .. }) => {
            source_freshness(state, source)
        }
        AttentionSubject::Source(_) => Freshness::Fresh,
    }
}

/// The rollout that keys act on. A row that a filter hides is not selected, nor is an entry that is over.
#[must_use]
pub fn selected(state: &State) -> Option<&Rollout> {
    if state.deck.panel == DeckPanel::Rollouts {
        return state.board.rollout(rollouts(state).selected()?);
    }
    match entries(state).selected()? {
        AttentionSubject::Rollout(run) => state.board.rollout(&run.target).filter(|row| row.run == *run),
        AttentionSubject::Approval(id) => {
            state.board.approval(id).and_then(|approval| state.board.rollout(&approval.run.target))
        }
        AttentionSubject::Hold(source, id) => {
            let target = state.board.hold(source, id)?.undone().next()?;
            state.board.rollout(&target.run.target)
        }
        AttentionSubject::Job(_) | AttentionSubject::Source(_) => None,
    }
}

fn arrange(state: &State, free: &mut Stack, layout: &mut Layout) {
    if state.rows >= 16 {
        layout.environments = Some(free.boxed(1));
    }
    let wanted = u16::try_from(attention(state).len()).unwrap_or(u16::MAX);
    layout.needs = Some(free.boxed(wanted.clamp(1, (state.rows / 5).max(1))));
    free.border();
    layout.heading = Some(free.take(1));
    // Which row is selected, and what is the matter with it, is always there; room below the last row shows more.
    let rows = match list(state).len() {
        0 => u16::MAX,
        rows => u16::try_from(rows).unwrap_or(u16::MAX),
    };
    let spare = free.left().saturating_sub(1).saturating_sub(rows);
    let whole = summary_rows(selected(state));
    let least = match state.rows {
        _ if rows == u16::MAX => 0,
        36.. => whole,
        24.. => SHORT,
        _ => 0,
    };
    let summary = if spare > whole { whole } else { least };
    let fits = |rows: &u16| spare > whole + 1 + rows;
    // Where nothing has metrics one row says so.
    let none = selected(state).is_some() && !state.measured;
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

/// The page.
pub struct Deck;

impl Controller for Deck {
    fn arrange(&self) -> Arrange {
        arrange
    }

    fn motion(&self, state: &mut State, height: usize, by: Motion) {
        match state.deck.panel {
            DeckPanel::Needs => state.deck.needs = entries(state).moved(needs_view(state).1, by),
            DeckPanel::Rollouts => state.deck.cursor = rollouts(state).moved(height, by),
        }
    }

    fn command(&self, state: &mut State, command: UiCommand, effects: &mut Vec<Effect>) -> bool {
        match command {
            UiCommand::Open => open(state, effects),
            UiCommand::NextPanel | UiCommand::PreviousPanel => panel(state),
            UiCommand::Mark if state.deck.panel == DeckPanel::Rollouts => {
                let target = selected(state).map(|rollout| rollout.run.target.clone());
                toggle(&mut state.deck.marks, target);
            }
            UiCommand::Filter => {
                // Keys act on what the filter shows, not on another panel beside it.
                state.deck.panel = DeckPanel::Rollouts;
                return false;
            }
            UiCommand::Sort => {
                state.deck.order = state.deck.order.next();
                state.deck.list.clear();
                let word = state.deck.order.word();
                state.say(Tone::Plain, format!("sorted by {word}"));
            }
            UiCommand::SortReverse => {
                state.deck.reverse = !state.deck.reverse;
                state.deck.list.clear();
            }
            UiCommand::InFlight => {
                state.deck.in_flight_only = !state.deck.in_flight_only;
                state.deck.list.clear();
            }
            _ => return false,
        }
        true
    }

    fn refuses(&self, state: &State, command: UiCommand) -> Option<String> {
        let rowless = state.deck.panel == DeckPanel::Rollouts && list(state).is_empty();
        (matches!(command, UiCommand::Open | UiCommand::Mark) && rowless).then(|| "there is no row".to_owned())
    }

    fn begin(&self, state: &mut State) {
        if let Some(first) = rollouts(state).begin() {
            state.deck.cursor.key = Some(first);
            state.visible_changed = true;
        }
        if let Some(first) = entries(state).begin() {
            state.deck.needs.key = Some(first);
            state.visible_changed = true;
        }
    }

    fn filter<'a>(&self, state: &'a State) -> Option<&'a str> {
        Some(&state.deck.filter)
    }

    fn set_filter(&self, state: &mut State, text: &str) {
        text.clone_into(&mut state.deck.filter);
        state.deck.list.clear();
        if !Filter::parse(text, state.now).is_empty() {
            state.deck.panel = DeckPanel::Rollouts;
            state.deck.cursor = Cursor::on(rollouts(state).first());
        }
    }

    fn unmark(&self, state: &mut State) -> usize {
        std::mem::take(&mut state.deck.marks).len()
    }

    fn hidden_marks(&self, state: &State) -> usize {
        let list = list(state);
        state.deck.marks.iter().filter(|target| list.position(&state.board, target).is_none()).count()
    }

    fn copied(&self, state: &State) -> Option<String> {
        selected(state).map(|rollout| rollout.run.target.to_string())
    }

    fn rollout<'a>(&self, state: &'a State) -> Option<&'a Rollout> {
        selected(state)
    }

    fn without_rollout(&self, state: &State) -> String {
        let key = state.deck.cursor.key.as_ref().filter(|_| state.deck.panel == DeckPanel::Rollouts);
        unselected(key.map(ToString::to_string))
    }

    fn sees_rollout(&self, state: &State, change: &RolloutChange<'_>) -> bool {
        change.replaced
            || change.counted
            || selected(state).is_some_and(|row| row.run.target == *change.target)
            || change.list.is_none_or(|moved| on_list(state, moved))
            || change.needs.as_ref().is_none_or(|needs| needs.iter().any(|moved| on_needs(state, *moved)))
    }

    fn sees(&self, state: &State, body: &Body) -> bool {
        match body {
            Body::Samples(samples) => {
                let window = window(state);
                samples.iter().any(|sample| window.rows.iter().any(|row| row.rollout.run.target == sample.target))
            }
            Body::Upsert(entity) => matches!(
                entity,
                Entity::Rollout(_)
                    | Entity::Approval(_)
                    | Entity::Evidence(_)
                    | Entity::Environment(_)
                    | Entity::Service(_)
                    | Entity::Release(_)
                    | Entity::Alert(_)
            ),
            _ => false,
        }
    }

    fn ticks(&self, state: &State, moments: &mut Vec<Timestamp>) {
        let now = state.now;
        for NeedRow { entry, freshness } in needs(state).rows {
            // Nobody knows whether what may be old still goes on by itself.
            let deadline = entry.deadline.filter(|_| freshness.is_fresh());
            moments.extend(deadline.and_then(|at| countdown_changes(at, now)));
            // A source's age ticks with the header; what is denied has none.
            if entry.severity != Severity::Stale {
                moments.push(age_changes(entry.since, now));
            }
        }
        let shown = window(state).rows;
        moments.extend(shown.iter().filter_map(|row| clock_changes(clock(row.rollout), now)));
        moments.extend(shown.iter().filter_map(|row| objectives::changes(&row.rollout.objectives, now)));
        let old = |row: &DeckRow<'_>| Some(numbers_age(&state.board, &row.rollout.run.target)?.old_from);
        moments.extend(shown.iter().filter_map(old).filter(|old| *old > now));
        let (layout, selected) = (framed(state, arrange), selected(state));
        if layout.charts.is_some() {
            moments.extend(selected.and_then(|row| charts_age(state, &row.run.target)));
        }
        if layout.summary.is_some() {
            moments.extend(selected.and_then(|rollout| waits_change(rollout, now)));
        }
    }

    fn has_many_changes(&self) -> bool {
        true
    }
}

fn open(state: &mut State, effects: &mut Vec<Effect>) {
    let run = selected(state).map(|rollout| rollout.run.clone());
    if state.deck.panel == DeckPanel::Rollouts {
        return match run {
            Some(run) => open_run(state, run, effects),
            None => state.say(Tone::Plain, "no rollout is selected"),
        };
    }
    match entries(state).selected().cloned() {
        Some(AttentionSubject::Rollout(run)) => open_run(state, run, effects),
        Some(AttentionSubject::Approval(id)) => approvals::descend(state, id, effects),
        Some(AttentionSubject::Hold(..)) => match run {
            Some(run) => open_run(state, run, effects),
            None => state.say(Tone::Plain, "what goes on there is not on the board"),
        },
        Some(AttentionSubject::Job(JobRef { service, environment, name, .. })) => {
            let shows = format!("flightdeck logs {service}@{environment} --hook {name} shows what it wrote");
            state.say(Tone::Plain, shows);
        }
        Some(AttentionSubject::Source(scope)) => {
            let key = state.settings.keymap.first_key(&[Context::Global], Bound::Ui(UiCommand::Reconnect));
            state.say(Tone::Plain, format!("{}: its server keeps trying; {key} tries at once", scope.source));
        }
        None if attention(state).is_empty() => state.say(Tone::Plain, "nothing needs you"),
        None => state.say(Tone::Plain, "no entry is selected"),
    }
}

/// Tab: from one list to the other.
fn panel(state: &mut State) {
    state.deck.panel = match state.deck.panel {
        DeckPanel::Needs => DeckPanel::Rollouts,
        DeckPanel::Rollouts => DeckPanel::Needs,
    };
    // Whoever comes here sees at once which entry keys are about.
    if state.deck.panel == DeckPanel::Needs && entries(state).at.is_none() {
        state.deck.needs = Cursor::on(entries(state).first());
    }
}

fn on_list(state: &State, moved: Moved) -> bool {
    let (top, height) = view(state);
    moved.seen(top, height)
}

fn on_needs(state: &State, moved: Moved) -> bool {
    let (top, height) = needs_view(state);
    moved.seen(top, height)
}

/// Numbers move rows where numbers are sorted by. True if that could be seen here.
pub(crate) fn resorted(state: &mut State, samples: &[ArmSample]) -> bool {
    if !matches!(state.deck.order, Order::Errors | Order::Risk) {
        return false;
    }
    let (board, mut seen) = (&state.board, Vec::new());
    if let Some(list) = state.deck.list.known() {
        let mut last: Option<&Target> = None;
        for sample in samples {
            // The arms of a target are told together.
            if last != Some(&sample.target) {
                seen.push(list.refresh(board, &sample.target));
                last = Some(&sample.target);
            }
        }
    }
    seen.into_iter().any(|moved| moved.from != moved.to && on_list(state, moved))
}

/// A judgement on a rollout: it may need a person now, and stand elsewhere. True if that could be seen here.
pub(crate) fn judged(state: &mut State, target: &Target) -> bool {
    let (board, now) = (&state.board, state.now);
    let list = state.deck.list.known().map(|list| list.refresh(board, target));
    let needs = state.attention.known().map(|needs| needs.refresh(board, target, now));
    state.unlooked = true;
    list.is_none_or(|moved| on_list(state, moved)) || needs.is_none_or(|moved| on_needs(state, moved))
}
