//! One rollout, opened: its panels, the selected row in full, and what its backend says when it is asked.

use super::output;
use crate::app::Effect;
use crate::app::clock::waits_change;
use crate::app::command::UiCommand;
use crate::app::controller::{Controller, RolloutChange};
use crate::app::layout::{Area, Arrange, CHARTS, Layout, Stack, framed, summary_rows};
use crate::app::list::{Cursor, Listing, Motion, text};
use crate::app::live;
use crate::app::panels::{panel_keys, panel_len, selected_instance, selected_key};
use crate::app::reading;
use crate::app::record;
use crate::app::run::{charts_age, gaps, measured, opened, over_lines, panels, told};
use crate::app::state::{Over, RolloutPanel, State, Tone};
use flightdeck_board::objectives;
use flightdeck_model as model;
use flightdeck_model::{Body, Entity, Run};
use jiff::Timestamp;

fn arrange(state: &State, free: &mut Stack, layout: &mut Layout) {
    layout.summary = Some(free.boxed(summary_rows(opened(state)).min(state.rows / 3)));
    // A backend that tells nothing by itself sends no samples either.
    if state.rows >= 24 && (told(state) || measured(state)) {
        // What has nothing to draw says so in one row.
        let worker = opened(state).is_some_and(model::Rollout::is_worker);
        layout.charts = Some(free.boxed(if worker { 1 } else { CHARTS.max(state.rows / 4) }));
    }
    free.border();
    let gaps = clamped(gaps(state).len());
    let gaps = gaps.min(if free.left() >= 9 { 4 } else { 2 }).min(free.left().saturating_sub(2));
    panel_and_row(state, free, gaps, layout);
    layout.gaps = (gaps > 0).then(|| free.take(gaps));
}

/// The rows of an opened rollout's panel, and below them, where there is room, the selected one in full. What has
/// few rows leaves more room for that.
fn panel_and_row(state: &State, free: &mut Stack, gaps: u16, layout: &mut Layout) {
    let room = free.left().saturating_sub(1 + gaps);
    let rows = state.rollout.as_ref().map_or(0, |page| panel_len(state, page.panel));
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
    let layout = framed(state, arrange);
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
    let below = framed(state, arrange).gaps.map_or(0, |gaps| gaps.height).min(area.height - above);
    Area { y: area.y + above, height: area.height - above - below, ..area }
}

/// The page.
pub struct Rollout;

impl Controller for Rollout {
    fn arrange(&self) -> Arrange {
        arrange
    }

    fn motion(&self, state: &mut State, height: usize, by: Motion) {
        let Some(page) = &state.rollout else { return };
        let panel = page.panel;
        if page.over.is_some() {
            return move_over(state, by);
        }
        let keys = panel_keys(state, panel);
        // Without a selection that is the first row.
        let before = page.cursors.get(&panel).cloned().unwrap_or_else(|| Cursor::on(keys.first().cloned()));
        let cursor = Listing::of(&before, &keys).moved(height, by);
        if let Some(page) = &mut state.rollout {
            page.cursors.insert(panel, cursor);
        }
    }

    fn command(&self, state: &mut State, command: UiCommand, effects: &mut Vec<Effect>) -> bool {
        match command {
            UiCommand::Open if selected_key(state).is_none() => {
                state.say(Tone::Plain, "nothing is selected that could be opened");
            }
            UiCommand::Open => {
                if let Some(page) = &mut state.rollout {
                    page.over = Some(Over::Record { top: 0 });
                }
            }
            UiCommand::NextPanel => go_on(state, 1),
            UiCommand::PreviousPanel => go_on(state, -1),
            UiCommand::Output => output::follow(state, effects),
            UiCommand::Timeline => {
                if let Some(page) = &mut state.rollout {
                    (page.panel, page.over) = (RolloutPanel::Timeline, None);
                }
            }
            UiCommand::ReadEarlier => reading::go(state, -1),
            UiCommand::ReadLater => reading::go(state, 1),
            UiCommand::Raw => lay_over(state, Over::Raw { top: 0 }, effects),
            UiCommand::Diff => lay_over(state, Over::Diff { revision: None, top: 0 }, effects),
            _ => return false,
        }
        true
    }

    fn refuses(&self, state: &State, command: UiCommand) -> Option<String> {
        match command {
            UiCommand::Output => match selected_instance(state) {
                Some(instance) if told(state) || instance.logs.is_some() => None,
                Some(_) => Some("this backend tells no output of its instances".to_owned()),
                None => Some("no instance is selected".to_owned()),
            },
            UiCommand::ReadEarlier | UiCommand::ReadLater if !measured(state) => {
                Some("there are no numbers of this rollout".to_owned())
            }
            UiCommand::Raw | UiCommand::Diff => match opened(state).map(|rollout| state.owner(&rollout.run)) {
                Some(Some(_)) => None,
                Some(None) => Some("no server speaks for this rollout".to_owned()),
                None => Some("this rollout is gone".to_owned()),
            },
            _ => None,
        }
    }

    fn begin(&self, state: &mut State) {
        let of = RolloutPanel::Instances;
        if state.rollout.as_ref().is_some_and(|page| page.panel == of && !page.cursors.contains_key(&of)) {
            let key = panel_keys(state, of).into_iter().next();
            if let (Some(page), Some(key)) = (&mut state.rollout, key) {
                page.cursors.insert(of, Cursor::on(Some(key)));
                state.visible_changed = true;
            }
        }
    }

    fn is_deeper(&self, state: &State) -> bool {
        state.rollout.as_ref().is_some_and(|page| page.over.is_some() || page.reading.is_some())
    }

    fn close(&self, state: &mut State) {
        if let Some(page) = &mut state.rollout {
            // What lies over the charts goes first.
            if page.over.take().is_some() {
                state.shift = 0;
            } else {
                page.reading = None;
            }
        }
    }

    fn is_wide(&self, state: &State) -> bool {
        let over = state.rollout.as_ref().and_then(|page| page.over.as_ref());
        matches!(over, Some(Over::Raw { .. } | Over::Diff { .. }))
    }

    fn copied(&self, state: &State) -> Option<String> {
        state.rollout.as_ref().map(|page| page.run.target.to_string())
    }

    fn rollout<'a>(&self, state: &'a State) -> Option<&'a model::Rollout> {
        opened(state)
    }

    fn without_rollout(&self, state: &State) -> String {
        match &state.rollout {
            Some(page) if state.board.rollout(&page.run.target).is_some() => {
                ": a newer rollout took this one's place; go back and open it".to_owned()
            }
            _ => ": this rollout is gone".to_owned(),
        }
    }

    fn sees_rollout(&self, state: &State, change: &RolloutChange<'_>) -> bool {
        state.rollout.as_ref().is_some_and(|page| page.run.target == *change.target)
    }

    fn sees(&self, state: &State, body: &Body) -> bool {
        let Some(opened) = state.rollout.as_ref().map(|page| &page.run.target) else {
            return matches!(body, Body::Upsert(Entity::Release(_)));
        };
        let of_opened = |run: &Run| *opened == run.target;
        match body {
            Body::Samples(samples) => samples.iter().any(|sample| *opened == sample.target),
            Body::Upsert(entity) => match entity {
                Entity::Rollout(rollout) => of_opened(&rollout.run),
                Entity::Approval(approval) => of_opened(&approval.run),
                Entity::Evidence(evidence) => of_opened(&evidence.run),
                Entity::Instance(instance) => instance.target == *opened,
                Entity::Note(note) => of_opened(&note.run),
                Entity::RolloutRecord(ended) => of_opened(&ended.run),
                // A service says what its rows are: a worker, a TCP service. What an alert concerns its labels say, and
                // when a silence ends stands beside it.
                Entity::Environment(_)
                | Entity::Service(_)
                | Entity::Receipt(_)
                | Entity::Release(_)
                | Entity::Alert(_)
                | Entity::Silence(_) => true,
                Entity::Hold(_) => false,
            },
            _ => false,
        }
    }

    fn ticks(&self, state: &State, moments: &mut Vec<Timestamp>) {
        let opened = opened(state);
        moments.extend(opened.and_then(|rollout| waits_change(rollout, state.now)));
        moments.extend(live::due(state));
        moments.extend(opened.and_then(|rollout| objectives::changes(&rollout.objectives, state.now)));
        moments.extend(opened.and_then(|rollout| charts_age(state, &rollout.run.target)));
    }
}

/// Tab: to the next panel.
fn go_on(state: &mut State, step: isize) {
    let all = panels(state);
    if let Some(page) = &mut state.rollout {
        let at = all.iter().position(|panel| *panel == page.panel).unwrap_or(0);
        let next = if step > 0 { at + 1 } else { at + all.len() - 1 } % all.len();
        page.panel = all.get(next).copied().unwrap_or_default();
        page.over = None;
    }
}

/// Up and down select a revision; the longer ways scroll.
fn move_over(state: &mut State, by: Motion) {
    let height = usize::from(over_text(state).height);
    let record = matches!(state.rollout.as_ref().and_then(|page| page.over.as_ref()), Some(Over::Record { .. }));
    let len = if record { record::shown(state).len() } else { over_lines(state).len() };
    let Some(page) = &mut state.rollout else { return };
    match (&mut page.over, by) {
        (Some(Over::Diff { .. }), Motion::By(rows)) => live::step(page, rows),
        (Some(Over::Record { top } | Over::Raw { top } | Over::Diff { top, .. }), by) => {
            *top = text(*top, len, height, by);
        }
        (None, _) => {}
    }
}

/// Lays the raw object or a comparison over the panels and reads it anew; what was read before is
/// shown until the answer is there.
fn lay_over(state: &mut State, over: Over, effects: &mut Vec<Effect>) {
    if let Some(page) = &mut state.rollout {
        page.over = Some(over);
        live::choose(page);
    }
    live::ask(state, effects);
}
