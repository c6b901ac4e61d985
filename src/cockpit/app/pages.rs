//! What the cockpit's own commands do to pages: show, open, go back, mark, filter, follow.

use super::command::{Bound, UiCommand};
use super::keymap::{Context, suggestion};
use super::state::{
    Connection, Cursor, DeckPanel, Live, OutputPage, Over, Page, RolloutPage, RolloutPanel, State, Tone,
};
use super::{ConnectionState, Effect, history, live, rows};
use flightdeck_board::{About, AttentionSubject, Filter, Fit, JobRef};
use flightdeck_model::{Approval, ApprovalId, ApprovalState, Run};
use std::collections::{BTreeMap, VecDeque};

/// The filter of the page, where it has one.
pub(super) fn filter_of(state: &mut State) -> Option<&mut String> {
    match state.page {
        Page::Deck => Some(&mut state.deck.filter),
        Page::Approvals => Some(&mut state.approvals.filter),
        Page::History => Some(&mut state.ended.filter),
        _ => None,
    }
}

/// The filter of what did not succeed lately.
pub(super) const FAILURES: &str = "since:7d !outcome:succeeded !outcome:superseded";

/// Filters the page.
pub(super) fn filter(state: &mut State, text: &str) {
    if let Some(filter) = filter_of(state) {
        text.clone_into(filter);
    }
    state.deck.list.clear();
    state.approvals.list.clear();
    state.ended.forget();
    let parsed = Filter::parse(text, state.now);
    if parsed.is_empty() {
        return;
    }
    // A person who filters looks for something: what fits best is selected, and keys act there.
    match state.page {
        Page::Deck => {
            state.deck.panel = DeckPanel::Rollouts;
            state.deck.cursor = Cursor { key: rows::deck_list(state).get(0).cloned(), ..Cursor::default() };
        }
        Page::Approvals => {
            let fit = |id: &&ApprovalId| {
                let approval = state.board.approval(id)?;
                parsed.fit(state.board.rollout(&approval.run.target)?)
            };
            let best = rows::approval_ids(state).iter().min_by_key(|id| fit(id).unwrap_or(Fit::Initials));
            state.approvals.cursor = Cursor { key: best.cloned(), ..Cursor::default() };
        }
        Page::History => {
            let fit = |run: &&Run| state.board.deployment(run).and_then(|of| parsed.fit_ended(of));
            let best = history::runs(state).iter().min_by_key(|run| fit(run).unwrap_or(Fit::Initials));
            state.ended.cursor = Cursor { key: best.cloned(), ..Cursor::default() };
        }
        _ => {}
    }
}

/// Says what of a filter that was taken means nothing.
pub(super) fn filtered(state: &mut State, text: &str) {
    if let Some(problem) = Filter::parse(text, state.now).problem() {
        state.say(Tone::Warn, format!("filter: {problem}"));
    }
}

/// Selects the first row of lists whose cursor never stood anywhere. Later a cursor moves only by
/// hand: it never slides to a neighbour when its row goes.
pub(super) fn select_first(state: &mut State) {
    match state.page {
        Page::Deck => {
            if state.deck.cursor.key.is_none() {
                state.deck.cursor.key = rows::deck_list(state).get(0).cloned();
                state.visible_changed |= state.deck.cursor.key.is_some();
            }
            if state.deck.needs.key.is_none() {
                state.deck.needs.key = rows::attention(state).get(0).map(About::subject);
                state.visible_changed |= state.deck.needs.key.is_some();
            }
        }
        Page::Approvals if state.approvals.cursor.key.is_none() => {
            state.approvals.cursor.key = rows::approval_ids(state).first().cloned();
            state.visible_changed |= state.approvals.cursor.key.is_some();
        }
        Page::History if state.ended.cursor.key.is_none() => {
            state.ended.cursor.key = history::runs(state).first().cloned();
            state.visible_changed |= state.ended.cursor.key.is_some();
        }
        Page::Rollout => {
            let of = RolloutPanel::Instances;
            if state.rollout.as_ref().is_some_and(|page| page.panel == of && !page.cursors.contains_key(&of)) {
                let key = rows::panel_keys(state, of).into_iter().next();
                if let (Some(page), Some(key)) = (&mut state.rollout, key) {
                    page.cursors.insert(of, Cursor { key: Some(key), ..Cursor::default() });
                    state.visible_changed = true;
                }
            }
        }
        _ => {}
    }
}

/// Shows a page; what is followed on the page that is left is let go.
pub(super) fn show(state: &mut State, page: Page, effects: &mut Vec<Effect>) {
    state.back.clear();
    enter(state, page, effects);
    // What has ended is counted up to now.
    state.ended.forget();
    state.ended.record = None;
    // Who comes to the queue comes for what waits, not for what was settled since: the first row is selected anew.
    let settled = |approval: &Approval| approval.state != ApprovalState::Pending;
    if page == Page::Approvals && rows::selected_approval(state).is_some_and(settled) {
        state.approvals.cursor = Cursor::default();
    }
}

/// Is there something to go back from, so that leaving does not end the program?
pub(super) fn leads_back(state: &State) -> bool {
    let over = state.page == Page::Rollout && state.rollout.as_ref().is_some_and(|page| page.over.is_some());
    let record = state.page == Page::History && state.ended.record.is_some();
    over || record || !state.back.is_empty()
}

/// Shows what lies further left or right of a text that is wider than the screen.
pub(super) fn shift(state: &mut State, right: bool) {
    let text = match state.page {
        Page::Output => true,
        Page::Rollout => {
            let over = state.rollout.as_ref().and_then(|page| page.over.as_ref());
            matches!(over, Some(Over::Raw { .. } | Over::Diff { .. }))
        }
        _ => false,
    };
    if !text {
        let open = state.settings.keymap.first_key(&[Context::Rollout], Bound::Ui(UiCommand::Open));
        return state.say(Tone::Plain, format!("nothing here scrolls sideways; {open} shows a row in full"));
    }
    let half = state.columns / 2;
    state.shift = if right { state.shift.saturating_add(half) } else { state.shift.saturating_sub(half) };
}

fn enter(state: &mut State, page: Page, effects: &mut Vec<Effect>) {
    state.shift = 0;
    if page != Page::Output
        && let Some(output) = state.output.take()
    {
        effects.push(Effect::Unfollow { token: output.token });
    }
    state.page = page;
}

pub(super) fn descend(state: &mut State, page: Page, effects: &mut Vec<Effect>) {
    state.back.push(state.page);
    enter(state, page, effects);
}

pub(super) fn back(state: &mut State, effects: &mut Vec<Effect>) {
    if state.page == Page::History && state.ended.record.is_some() {
        state.ended.record = None;
    } else if let Some(page) = state.rollout.as_mut().filter(|page| state.page == Page::Rollout && page.over.is_some())
    {
        page.over = None;
        state.shift = 0;
    } else if let Some(page) = state.back.pop() {
        enter(state, page, effects);
    } else if let Some(text) = filter_of(state).map(std::mem::take).filter(|text| !text.is_empty()) {
        filter(state, "");
        state.say(Tone::Plain, format!("dropped the filter /{text}"));
    } else {
        let marks = match state.page {
            Page::Deck => std::mem::take(&mut state.deck.marks).len(),
            Page::Approvals => std::mem::take(&mut state.approvals.marks).len(),
            _ => 0,
        };
        match (marks, state.page) {
            (0, Page::Deck) => {}
            (0, _) => enter(state, Page::Deck, effects),
            (1, _) => state.say(Tone::Plain, "unmarked 1 row"),
            (marks, _) => state.say(Tone::Plain, format!("unmarked {marks} rows")),
        }
    }
}

pub(super) fn open(state: &mut State, effects: &mut Vec<Effect>) {
    match state.page {
        Page::Deck if state.deck.panel == DeckPanel::Needs => match rows::selected_need(state).cloned() {
            Some(AttentionSubject::Rollout(run)) => open_run(state, run, effects),
            Some(AttentionSubject::Approval(id)) => {
                descend(state, Page::Approvals, effects);
                state.approvals.cursor = Cursor { key: Some(id), ..Cursor::default() };
                if rows::selected_approval(state).is_none() {
                    // A filter hid it.
                    state.approvals.filter.clear();
                    state.approvals.list.clear();
                }
            }
            Some(AttentionSubject::Hold(..)) => {
                match rows::selected_rollout(state).map(|rollout| rollout.run.clone()) {
                    Some(run) => open_run(state, run, effects),
                    None => state.say(Tone::Plain, "what goes on there is not on the board"),
                }
            }
            Some(AttentionSubject::Job(JobRef { service, environment, name, .. })) => {
                let shows = format!("flightdeck logs {service}@{environment} --hook {name} shows what it wrote");
                state.say(Tone::Plain, shows);
            }
            Some(AttentionSubject::Source(scope)) => {
                let key = state.settings.keymap.first_key(&[Context::Global], Bound::Ui(UiCommand::Reconnect));
                state.say(Tone::Plain, format!("{}: its server keeps trying; {key} tries at once", scope.source));
            }
            None if rows::attention(state).is_empty() => state.say(Tone::Plain, "nothing needs you"),
            None => state.say(Tone::Plain, "no entry is selected"),
        },
        Page::Deck => match rows::selected_rollout(state).map(|rollout| rollout.run.clone()) {
            Some(run) => open_run(state, run, effects),
            None => state.say(Tone::Plain, "no rollout is selected"),
        },
        Page::Approvals => match rows::selected_approval(state).map(|approval| approval.run.clone()) {
            Some(run) => open_run(state, run, effects),
            None => state.say(Tone::Plain, "no approval is selected"),
        },
        Page::History => match history::selected(state) {
            Some(_) => state.ended.record = Some(state.ended.record.unwrap_or(0)),
            None => state.say(Tone::Plain, "no finished rollout is selected"),
        },
        Page::Rollout if rows::selected_key(state).is_none() => {
            state.say(Tone::Plain, "nothing is selected that could be opened");
        }
        Page::Rollout => {
            if let Some(page) = &mut state.rollout {
                page.over = Some(Over::Record { top: 0 });
            }
        }
        _ => {}
    }
}

fn open_run(state: &mut State, run: Run, effects: &mut Vec<Effect>) {
    state.rollout = Some(RolloutPage {
        run,
        panel: RolloutPanel::default(),
        cursors: BTreeMap::new(),
        live: Live::default(),
        over: None,
    });
    descend(state, Page::Rollout, effects);
}

pub(super) fn panel(state: &mut State, step: isize) {
    match state.page {
        Page::Deck => {
            state.deck.panel = match state.deck.panel {
                DeckPanel::Needs => DeckPanel::Rollouts,
                DeckPanel::Rollouts => DeckPanel::Needs,
            };
            // Whoever comes here sees at once which entry keys are about.
            if state.deck.panel == DeckPanel::Needs && rows::needs_position(state).is_none() {
                let first = rows::attention(state).from(0).next().map(About::subject);
                state.deck.needs = Cursor { key: first, ..Cursor::default() };
            }
        }
        Page::Rollout => {
            let all = rows::panels(state);
            if let Some(page) = &mut state.rollout {
                let at = all.iter().position(|panel| *panel == page.panel).unwrap_or(0);
                let next = if step > 0 { at + 1 } else { at + all.len() - 1 } % all.len();
                page.panel = all.get(next).copied().unwrap_or_default();
                page.over = None;
            }
        }
        _ => {}
    }
}

pub(super) fn mark(state: &mut State) {
    match state.page {
        Page::Deck if state.deck.panel == DeckPanel::Rollouts => {
            if let Some(target) = rows::selected_rollout(state).map(|rollout| rollout.run.target.clone())
                && !state.deck.marks.remove(&target)
            {
                state.deck.marks.insert(target);
            }
        }
        Page::Approvals => {
            if let Some(id) = rows::selected_approval(state).map(|approval| approval.id.clone())
                && !state.approvals.marks.remove(&id)
            {
                state.approvals.marks.insert(id);
            }
        }
        _ => state.say(Tone::Plain, "rows are marked in the list of rollouts (Tab)"),
    }
}

pub(super) fn output(state: &mut State, effects: &mut Vec<Effect>) {
    let Some(instance) = rows::selected_instance(state) else { return };
    let Some(connection) = state.owners.get(&instance.target.source).copied() else { return };
    let opened = state.rollout.as_ref().map(|page| page.run.target.to_string()).unwrap_or_default();
    let title = format!("{} {} of {opened}", instance.id, instance.version);
    let (instance, logs) = (instance.id.clone(), instance.logs.clone());
    let token = state.token();
    let mut page = OutputPage {
        copies: instance.clone(),
        title,
        token,
        connection,
        lines: VecDeque::new(),
        dropped: 0,
        follow: true,
        top: 0,
        ended: None,
    };
    match logs {
        None => effects.push(Effect::Follow { connection, token, instance }),
        Some(command) => {
            let key = state.settings.keymap.first_key(&[Context::Global], Bound::Ui(UiCommand::Copy));
            let said = [
                "flightdeck does not read the output of pods yet. This command line does:",
                "",
                &command,
                "",
                &format!("{key} copies it."),
            ];
            page.lines = said.map(str::to_owned).into();
            page.ended = Some("not read".to_owned());
            page.copies = command;
        }
    }
    descend(state, Page::Output, effects);
    state.output = Some(page);
}

/// Lays the raw object or a comparison over the panels and reads it anew; what was read before is
/// shown until the answer is there.
pub(super) fn over(state: &mut State, over: Over, effects: &mut Vec<Effect>) {
    if let Some(page) = &mut state.rollout {
        page.over = Some(over);
        live::choose(page);
    }
    live::ask(state, effects);
}

pub(super) fn copy(state: &mut State, effects: &mut Vec<Effect>) {
    let text = match state.page {
        Page::Approvals => rows::selected_approval(state).map(|approval| approval.id.to_string()),
        Page::History => history::selected(state).map(|of| of.run.to_string()),
        Page::Output => state.output.as_ref().map(|output| output.copies.clone()),
        Page::Rollout => state.rollout.as_ref().map(|page| page.run.target.to_string()),
        Page::Messages => state.messages.back().map(|(_, _, text)| text.clone()),
        Page::Deck | Page::Logs => rows::selected_rollout(state).map(|rollout| rollout.run.target.to_string()),
    };
    match text {
        Some(text) => {
            state.say(Tone::Plain, format!("copied {text}"));
            effects.push(Effect::Copy(text));
        }
        None => state.say(Tone::Plain, "nothing is selected that could be copied"),
    }
}

/// Tries lost connections now: the named one, or all.
pub(super) fn reconnect(state: &mut State, name: Option<&str>, effects: &mut Vec<Effect>) {
    let wanted = |connection: &&Connection| name.is_none_or(|name| connection.name == name);
    if let Some(name) = name.filter(|_| !state.connections.iter().any(|connection| wanted(&connection))) {
        let hint = suggestion(name, state.connections.iter().map(|connection| connection.name.as_str()));
        return state.say(Tone::Warn, format!("reconnect: no server is called {name}{hint}"));
    }
    let lost = state
        .connections
        .iter()
        .enumerate()
        .filter(|(_, connection)| wanted(connection) && !matches!(connection.state, ConnectionState::Up { .. }));
    let lost: Vec<_> = lost.map(|(id, connection)| (id, connection.name.clone())).collect();
    let names: Vec<_> = lost.iter().map(|(_, name)| name.as_str()).collect();
    if names.is_empty() {
        state.say(Tone::Plain, "reconnect: it is connected");
    } else {
        state.say(Tone::Plain, format!("trying {}", names.join(", ")));
    }
    effects.extend(lost.into_iter().map(|(connection, _)| Effect::Reconnect { connection }));
}
