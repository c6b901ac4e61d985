//! Keys, pastes and clicks: which command they mean where, and what the cockpit's own commands do.

use super::command::{Bound, UiCommand};
use super::dialog::Field;
use super::dispatch::{layout, of};
use super::hints;
use super::input::{Input, type_into};
use super::keymap::{Context, Resolved};
use super::list::Motion;
use super::motion::motion;
use super::pages::Page;
use super::state::{DeckPanel, Overlay, Palette, State, Tone};
use super::{Effect, Key, actions, begin, commands, confirm, palette};
use flightdeck_model::Action;

/// Does the key write a character?
fn types(key: &Key) -> bool {
    key.0 == "space" || key.0.chars().count() == 1
}

/// Is the key one that pasted text comes as?
fn is_text(key: &Key) -> bool {
    types(key) || matches!(key.0.as_str(), "enter" | "tab")
}

/// The cockpit's own command that a key means in these sections.
fn command_of(state: &State, contexts: &[Context], key: &Key) -> Option<UiCommand> {
    match state.settings.keymap.resolve(contexts, std::slice::from_ref(key)) {
        Resolved::Bound(Bound::Ui(command)) => Some(command),
        _ => None,
    }
}

/// Does the key send a command or end the program, here and now? What can be typed by a paste has to come
/// alone for that.
pub(super) fn sends(state: &State, key: &Key) -> bool {
    if !is_text(key) {
        return false;
    }
    let ends = |command| match command {
        Some(UiCommand::Quit | UiCommand::Suspend) => true,
        Some(UiCommand::Leave) => !commands::leads_back(state),
        _ => false,
    };
    let global = || ends(command_of(state, &[Context::Global], key));
    match &state.overlay {
        _ if state.too_small() => global(),
        None => {
            let sequence: Vec<Key> = state.sequence.iter().chain([key]).cloned().collect();
            match state.settings.keymap.resolve(&Context::on(state.page), &sequence) {
                Resolved::Bound(Bound::Act(action)) => action == Action::Pause,
                Resolved::Bound(Bound::Ui(command)) => ends(Some(command)),
                _ => false,
            }
        }
        Some(Overlay::Help { .. }) => global(),
        Some(Overlay::Dialog(dialog)) => {
            let yes = match dialog.field {
                Field::Keys => command_of(state, &[Context::Dialog], key) == Some(UiCommand::Confirm),
                _ => !types(key) && command_of(state, &[Context::Input], key) == Some(UiCommand::Accept),
            };
            let leaves = dialog.field == Field::Keys && global();
            (yes && confirm::deaf(dialog, key, state.now).is_none()) || leaves
        }
        Some(Overlay::Filter { .. }) => false,
        Some(Overlay::Palette(_)) => {
            !types(key) && command_of(state, &[Context::Input], key) == Some(UiCommand::Accept)
        }
    }
}

/// A key of a burst: moves, edits a text, writes where text is asked for, leaves by a key that no text has.
/// True if it did. `pasted`: it came as only text does that nobody types.
pub(super) fn burst_key(state: &mut State, key: &Key, pasted: bool, effects: &mut Vec<Effect>) -> bool {
    state.visible_changed = true;
    let writes = match &state.overlay {
        _ if state.too_small() => false,
        None => return burst_on_page(state, key, effects),
        Some(Overlay::Help { .. }) => command_of(state, &[Context::Global], key).and_then(Motion::of).is_some(),
        Some(Overlay::Dialog(dialog)) if confirm::deaf(dialog, key, state.now).is_some() => false,
        // A challenge is typed, a reason may come from anywhere.
        Some(Overlay::Dialog(dialog)) => match dialog.field {
            Field::Keys => false,
            Field::Challenge => types(key) && !pasted,
            Field::Reason => types(key),
        },
        Some(Overlay::Filter { .. } | Overlay::Palette(_)) => types(key),
    };
    if writes || !is_text(key) {
        self::key(state, key, effects);
    }
    writes || !is_text(key)
}

fn burst_on_page(state: &mut State, key: &Key, effects: &mut Vec<Effect>) -> bool {
    state.sequence.push(key.clone());
    let bound = match state.settings.keymap.resolve(&Context::on(state.page), &state.sequence) {
        Resolved::Begun => return true,
        Resolved::Bound(bound) => Some(bound),
        Resolved::Nothing => None,
    };
    state.sequence.clear();
    let moves = match bound {
        Some(Bound::Ui(command)) => Motion::of(command).is_some() || !is_text(key),
        _ => false,
    };
    if let Some(bound) = bound.filter(|_| moves) {
        run(state, bound, effects);
    }
    moves
}

/// A key was pressed.
pub(super) fn key(state: &mut State, key: &Key, effects: &mut Vec<Effect>) {
    state.visible_changed = true;
    state.notice = None;
    if state.too_small() {
        // Nobody acts on what can't be seen.
        return leave(state, key, effects);
    }
    let one = std::slice::from_ref(key);
    let ui = |resolved| match resolved {
        Resolved::Bound(Bound::Ui(command)) => Some(command),
        _ => None,
    };
    let keymap = &state.settings.keymap;
    match &state.overlay {
        None => page_key(state, key, effects),
        Some(Overlay::Help { .. }) => match ui(keymap.resolve(&[Context::Global], one)) {
            Some(UiCommand::Back | UiCommand::Help | UiCommand::Leave) => state.overlay = None,
            Some(UiCommand::Quit | UiCommand::Suspend) => leave(state, key, effects),
            _ => sequence_in_help(state, key),
        },
        Some(Overlay::Dialog(dialog)) if dialog.field == Field::Keys => {
            let command = ui(keymap.resolve(&[Context::Dialog], one));
            match ui(keymap.resolve(&[Context::Global], one)) {
                Some(UiCommand::Quit | UiCommand::Suspend) if command.is_none() => leave(state, key, effects),
                Some(UiCommand::Leave) if command.is_none() => {
                    confirm::key(state, Some(UiCommand::Cancel), key, effects);
                }
                _ => confirm::key(state, command, key, effects),
            }
        }
        Some(Overlay::Dialog(_)) => {
            let contexts: &[Context] = if types(key) { &[] } else { &[Context::Dialog, Context::Input] };
            let command = ui(keymap.resolve(contexts, one));
            if command.is_none() && !types(key) {
                leave(state, key, effects);
            }
            confirm::key(state, command, key, effects);
        }
        Some(Overlay::Filter { .. } | Overlay::Palette(_)) => {
            let contexts: &[Context] = if types(key) { &[] } else { &[Context::Input] };
            let command = ui(keymap.resolve(contexts, one));
            if command.is_none() && !types(key) {
                return leave(state, key, effects);
            }
            input_key(state, command, key, effects);
        }
    }
}

/// Keys that hold wherever one is: quit and suspend.
fn leave(state: &mut State, key: &Key, effects: &mut Vec<Effect>) {
    match state.settings.keymap.resolve(&[Context::Global], std::slice::from_ref(key)) {
        // Where nothing is shown there is nothing to go back to.
        Resolved::Bound(Bound::Ui(UiCommand::Quit | UiCommand::Leave)) => effects.push(Effect::Quit),
        Resolved::Bound(Bound::Ui(UiCommand::Suspend)) => effects.push(Effect::Suspend),
        _ => {}
    }
}

/// `g g` moves in the help as well.
fn sequence_in_help(state: &mut State, key: &Key) {
    state.sequence.push(key.clone());
    match state.settings.keymap.resolve(&[Context::Global], &state.sequence) {
        Resolved::Begun => return,
        Resolved::Bound(Bound::Ui(command)) => {
            if let Some(by) = Motion::of(command) {
                motion(state, by);
            }
        }
        _ => {
            let back = state.settings.keymap.first_key(&[Context::Global], Bound::Ui(UiCommand::Back));
            state.say(Tone::Plain, format!("`{}` does nothing in the help; {back} leaves it", key.0));
        }
    }
    state.sequence.clear();
}

fn page_key(state: &mut State, key: &Key, effects: &mut Vec<Effect>) {
    state.sequence.push(key.clone());
    match state.settings.keymap.resolve(&Context::on(state.page), &state.sequence) {
        Resolved::Begun => {}
        Resolved::Bound(bound) => {
            state.sequence.clear();
            run(state, bound, effects);
        }
        Resolved::Nothing => {
            let keys: Vec<_> = state.sequence.drain(..).map(|key| key.0).collect();
            // Esc takes back a sequence that has begun.
            if keys.len() == 1 || key.0 != "esc" {
                let help = state.settings.keymap.first_key(&[Context::Global], Bound::Ui(UiCommand::Help));
                state.say(
                    Tone::Plain,
                    format!("`{}` does nothing on this page; {help} shows what does", keys.join(" ")),
                );
            }
        }
    }
}

/// Carries out what a key, a click on the footer or the palette asked for.
pub(super) fn run(state: &mut State, bound: Bound, effects: &mut Vec<Effect>) {
    let command = match bound {
        Bound::Act(action) => return begin::action(state, action, effects),
        Bound::Ui(command) => command,
    };
    if let Err(why) = actions::availability(state, bound) {
        return state.say(Tone::Warn, why);
    }
    if let Some(by) = Motion::of(command) {
        return motion(state, by);
    }
    if of(state.page).command(state, command, effects) {
        return;
    }
    match command {
        UiCommand::Show(page) => commands::show(state, page, effects),
        UiCommand::ScrollLeft => commands::shift(state, false),
        UiCommand::ScrollRight => commands::shift(state, true),
        UiCommand::Leave if commands::leads_back(state) => commands::back(state, effects),
        UiCommand::Back => commands::back(state, effects),
        UiCommand::Mark => state.say(Tone::Plain, "rows are marked in the list of rollouts (Tab)"),
        UiCommand::Filter => {
            let before = of(state.page).filter(state).unwrap_or_default().to_owned();
            // What is typed is a filter of its own; Esc brings back the one before.
            state.overlay = Some(Overlay::Filter { input: Input::default(), before });
        }
        UiCommand::Copy => commands::copy(state, effects),
        UiCommand::Reconnect => commands::reconnect(state, None, effects),
        UiCommand::Palette => {
            let mut typed = Palette::default();
            palette::complete(state, &mut typed);
            state.overlay = Some(Overlay::Palette(typed));
        }
        UiCommand::Help => state.overlay = Some(Overlay::Help { top: 0 }),
        UiCommand::Suspend => effects.push(Effect::Suspend),
        UiCommand::Leave | UiCommand::Quit => effects.push(Effect::Quit),
        // The rest belongs to pages, and to confirmations and typing, which have the keys while they are open.
        _ => {}
    }
}

fn input_key(state: &mut State, command: Option<UiCommand>, key: &Key, effects: &mut Vec<Effect>) {
    match state.overlay.take() {
        Some(Overlay::Filter { mut input, before }) => match command {
            Some(UiCommand::Accept) => commands::filtered(state, &input.text),
            Some(UiCommand::Cancel) => commands::filter(state, &before),
            command => {
                type_into(&mut input, command, key);
                commands::filter(state, &input.text);
                state.overlay = Some(Overlay::Filter { input, before });
            }
        },
        Some(Overlay::Palette(typed)) => {
            if let Some(bound) = palette::key(state, typed, command, key, effects) {
                run(state, bound, effects);
            }
        }
        other => state.overlay = other,
    }
}

/// Text was pasted.
pub(super) fn paste(state: &mut State, text: &str) {
    state.visible_changed = true;
    match state.overlay.take() {
        Some(Overlay::Filter { mut input, before }) => {
            input.insert(text);
            commands::filter(state, &input.text);
            state.overlay = Some(Overlay::Filter { input, before });
        }
        Some(Overlay::Palette(mut typed)) => {
            typed.input.insert(text);
            palette::complete(state, &mut typed);
            state.overlay = Some(Overlay::Palette(typed));
        }
        Some(Overlay::Dialog(mut dialog)) => {
            confirm::paste(&mut dialog, text);
            state.overlay = Some(Overlay::Dialog(dialog));
        }
        other => {
            state.overlay = other;
            state.say(Tone::Plain, "pasted text was ignored: nothing takes text here");
        }
    }
}

/// A click: on a row it selects, on a hint it does what the hint says.
pub(super) fn click(state: &mut State, column: u16, row: u16, effects: &mut Vec<Effect>) {
    if state.too_small() {
        return;
    }
    state.visible_changed = true;
    if let Some(Overlay::Dialog(dialog)) = &mut state.overlay {
        dialog.said = Some("the click was ignored: use the keys shown here".to_owned());
        return;
    }
    if state.overlay.is_some() {
        return;
    }
    let areas = layout(state);
    if areas.footer.contains(column, row) {
        let hint = hints::footer(state).into_iter().find(|hint| column >= hint.x && column < hint.x + hint.width);
        if let Some(hint) = hint {
            state.notice = None;
            run(state, hint.bound, effects);
        }
    } else if areas.list.contains(column, row) {
        if state.page == Page::Deck {
            state.deck.panel = DeckPanel::Rollouts;
        }
        motion(state, Motion::Screen(usize::from(row - areas.list.y)));
    } else if let Some(needs) = areas.needs.filter(|area| area.contains(column, row)) {
        state.deck.panel = DeckPanel::Needs;
        motion(state, Motion::Screen(usize::from(row - needs.y)));
    }
}

/// The wheel moves what is under it, whichever panel has the keys.
pub(super) fn scroll(state: &mut State, lines: i16, (column, row): (u16, u16)) {
    let free = matches!(state.overlay, None | Some(Overlay::Help { .. }));
    if !free || state.too_small() {
        return;
    }
    state.visible_changed = true;
    let lines = Motion::Lines(isize::from(lines));
    let needs = layout(state).needs.filter(|_| state.page == Page::Deck && state.overlay.is_none());
    let Some(needs) = needs else { return motion(state, lines) };
    let keys = state.deck.panel;
    state.deck.panel = if needs.contains(column, row) { DeckPanel::Needs } else { DeckPanel::Rollouts };
    motion(state, lines);
    state.deck.panel = keys;
}
