//! The palette: every command by its name, with its argument.

use super::actions::{availability, offers};
use super::command::{Bound, UiCommand};
use super::input::{Input, type_into};
use super::keymap::suggestion;
use super::list::Motion;
use super::pages::Page;
use super::state::{Completion, Overlay, Palette, State, Tone};
use super::{Effect, Key, begin, commands};
use flightdeck_board::Filter;
use flightdeck_model::{Action, EnvironmentName};
use std::collections::BTreeSet;

/// Lines of the history that are kept.
const HISTORY: usize = 100;
/// Completions that are offered.
const OFFERED: usize = 12;

/// Commands of the palette alone.
const THEME: (&str, &str) = ("theme", "Draw in other colours.");
const FILTER: (&str, &str) = ("filter", "Show only rows that match.");

/// What a typed line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asks {
    /// A command of the tables; with an argument where it takes one.
    Bound(Bound, String),
    Theme(String),
    Filter(String),
}

/// Is the command worth offering? Moving and typing are not.
fn offered(bound: Bound) -> bool {
    match bound {
        Bound::Act(action) => offers(action),
        Bound::Ui(UiCommand::Palette | UiCommand::Filter | UiCommand::NextPanel | UiCommand::PreviousPanel) => false,
        Bound::Ui(command) => command < UiCommand::Confirm && Motion::of(command).is_none(),
    }
}

/// How a command is written in the palette: as its label says it, which is its name in words.
fn spelled(bound: Bound) -> String {
    bound.name().replace('-', " ")
}

/// Reads a typed line.
fn parse(text: &str) -> Option<Asks> {
    let text = text.trim();
    for (name, ask) in [(THEME.0, Asks::Theme as fn(String) -> Asks), (FILTER.0, Asks::Filter)] {
        if let Some(rest) = after(text, name) {
            return Some(ask(rest.to_owned()));
        }
    }
    // The longest name that fits: `promote full` before `promote`.
    let names = Bound::all().filter(|bound| offered(*bound) || matches!(bound, Bound::Act(_)));
    let spellings = names.flat_map(|bound| {
        [spelled(bound), bound.name().to_owned(), bound.label().to_owned()].map(|name| (name, bound))
    });
    let found =
        spellings.filter_map(|(name, bound)| after(text, &name).map(|rest| (name.len(), bound, rest.to_owned())));
    found.max_by_key(|(length, ..)| *length).map(|(_, bound, rest)| Asks::Bound(bound, rest))
}

/// What follows a name: nothing, or an argument after a blank.
fn after<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let rest = text.strip_prefix(name)?;
    (rest.is_empty() || rest.starts_with(' ')).then(|| rest.trim())
}

/// Everything that could be typed, in the order of the tables.
fn candidates(state: &State, typed: &str) -> Vec<Completion> {
    let mut all = Vec::new();
    let line = |text: String, help: &str, bound: Option<Bound>| {
        let why = bound.and_then(|bound| availability(state, bound).err());
        Completion { text, available: why.is_none(), help: why.unwrap_or_else(|| help.to_owned()) }
    };
    for bound in Bound::all().filter(|bound| offered(*bound)) {
        match bound {
            Bound::Act(Action::ReleaseHold) => {
                all.extend(begin::hold_names(state).into_iter().map(|(name, hold)| {
                    let reason = hold.reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
                    let help = format!("{} by {}{reason}", hold.selector, hold.owner);
                    line(format!("{} {name}", spelled(bound)), &help, Some(bound))
                }));
            }
            Bound::Act(Action::Hold) => {
                all.push(line(format!("{} everything", spelled(bound)), bound.sentence(), Some(bound)));
                let names: BTreeSet<_> = state.board.environments().map(|environment| &environment.name).collect();
                all.extend(names.into_iter().map(|name| {
                    line(
                        format!("{} {name}", spelled(bound)),
                        &format!("Pause every rollout in {name} until it is released."),
                        Some(bound),
                    )
                }));
            }
            _ => all.push(line(spelled(bound), bound.sentence(), Some(bound))),
        }
    }
    let reconnect = Bound::Ui(UiCommand::Reconnect);
    all.extend(state.connections.iter().map(|connection| {
        line(format!("{} {}", spelled(reconnect), connection.name), reconnect.sentence(), Some(reconnect))
    }));
    all.extend(state.settings.themes.iter().map(|name| line(format!("{} {name}", THEME.0), THEME.1, None)));
    if typed.starts_with(FILTER.0) {
        all.extend(Filter::keys().map(|key| line(format!("{} {key}:", FILTER.0), FILTER.1, None)));
    } else {
        all.push(line(format!("{} ", FILTER.0), FILTER.1, None));
    }
    all
}

/// Brings the completions up to what is typed.
pub(super) fn complete(state: &State, palette: &mut Palette) {
    let typed = palette.input.text.trim_start().to_lowercase();
    // A command may be typed by its name as well, which has hyphens for blanks.
    let plain = typed.replace('-', " ");
    let mut found: Vec<(u8, Completion)> = candidates(state, &typed)
        .into_iter()
        .filter_map(|completion| rank(&completion.text, &plain).map(|rank| (rank, completion)))
        .collect();
    // Of what fits alike, what was used last stands first.
    let used = |text: &str| state.history.iter().rev().position(|old| old == text.trim_end()).unwrap_or(usize::MAX);
    found.sort_by_cached_key(|(rank, completion)| (*rank, used(&completion.text)));
    // Letters in order are a guess, worth something only where nothing fits better.
    let fits = found.first().is_some_and(|(rank, _)| *rank < LETTERS);
    if fits {
        found.retain(|(rank, _)| *rank < LETTERS);
    }
    palette.completions = found.into_iter().map(|(_, completion)| completion).take(OFFERED).collect();
    // What is no command yet means the first that it is the beginning of; a guess is never run by itself.
    palette.selected = (fits && !plain.is_empty() && parse(&typed).is_none()).then_some(0);
}

/// The rank of a candidate that has the typed letters in order and no more.
const LETTERS: u8 = 2;

/// How well a candidate fits: by its beginning, by a word's beginning, by its letters in order.
fn rank(text: &str, typed: &str) -> Option<u8> {
    let lower = text.to_lowercase().replace('-', " ");
    if lower.starts_with(typed) {
        return Some(0);
    }
    if lower.split(' ').any(|word| word.starts_with(typed.trim())) {
        return Some(1);
    }
    let mut letters = lower.chars();
    typed.chars().filter(|c| *c != ' ').all(|c| letters.any(|letter| letter == c)).then_some(LETTERS)
}

/// A key in the palette, which was taken out of the state and is put back unless it closes. Gives the command
/// that is to be carried out.
pub(super) fn key(
    state: &mut State,
    mut palette: Palette,
    command: Option<UiCommand>,
    key: &Key,
    effects: &mut Vec<Effect>,
) -> Option<Bound> {
    match command {
        Some(UiCommand::Cancel) => return None,
        Some(UiCommand::Accept) => return accept(state, palette, effects),
        Some(UiCommand::Complete | UiCommand::CompleteBack) => {
            let back = command == Some(UiCommand::CompleteBack);
            let chosen = match palette.selected {
                Some(at) => palette.completions.get(at),
                None if back => palette.completions.last(),
                None => palette.completions.first(),
            };
            if let Some(chosen) = chosen.map(|completion| completion.text.clone()) {
                palette.input = Input::of(chosen);
                complete(state, &mut palette);
            }
        }
        Some(UiCommand::Earlier) => earlier(state, &mut palette),
        Some(UiCommand::Later) => later(state, &mut palette),
        command => {
            let before = palette.input.text.clone();
            type_into(&mut palette.input, command, key);
            if palette.input.text != before {
                palette.recalled = None;
                complete(state, &mut palette);
            }
        }
    }
    state.overlay = Some(Overlay::Palette(palette));
    None
}

/// Up: in what was typed before while nothing is typed, else in the completions.
fn earlier(state: &State, palette: &mut Palette) {
    let recalls = palette.input.text.is_empty() && palette.selected.is_none() && !state.history.is_empty();
    if recalls || palette.recalled.is_some() {
        let at = palette.recalled.map_or(0, |at| at + 1).min(state.history.len().saturating_sub(1));
        recall(state, palette, Some(at));
    } else if let Some(last) = palette.completions.len().checked_sub(1) {
        palette.selected = Some(palette.selected.map_or(last, |at| at.checked_sub(1).unwrap_or(last)));
    }
}

fn later(state: &State, palette: &mut Palette) {
    if let Some(at) = palette.recalled {
        recall(state, palette, at.checked_sub(1));
    } else if !palette.completions.is_empty() {
        palette.selected = Some(palette.selected.map_or(0, |at| (at + 1) % palette.completions.len()));
    }
}

fn recall(state: &State, palette: &mut Palette, at: Option<usize>) {
    let text = at.and_then(|at| state.history.iter().rev().nth(at)).cloned().unwrap_or_default();
    palette.input = Input::of(text);
    complete(state, palette);
    palette.recalled = at;
}

fn accept(state: &mut State, mut palette: Palette, effects: &mut Vec<Effect>) -> Option<Bound> {
    let chosen = palette.selected.and_then(|at| palette.completions.get(at)).map(|completion| completion.text.clone());
    let text = chosen.unwrap_or_else(|| palette.input.text.clone());
    let text = text.trim().to_owned();
    if text.is_empty() {
        return None;
    }
    let Some(asks) = parse(&text) else {
        let known: Vec<String> = Bound::all().filter(|bound| offered(*bound)).map(spelled).collect();
        let hint = suggestion(&text, known.iter().map(String::as_str));
        palette.input = Input::of(text.as_str());
        complete(state, &mut palette);
        state.overlay = Some(Overlay::Palette(palette));
        state.say(Tone::Warn, format!("there is no command `{text}`{hint}"));
        return None;
    };
    state.history.retain(|old| *old != text);
    state.history.push(text);
    if state.history.len() > HISTORY {
        state.history.remove(0);
    }
    match asks {
        Asks::Theme(name) => theme(state, &name),
        Asks::Filter(text) => {
            if !state.page.takes(UiCommand::Filter) {
                commands::show(state, Page::Deck, effects);
            }
            commands::filter(state, &text);
            commands::filtered(state, &text);
        }
        Asks::Bound(bound, argument) if argument.is_empty() && bound != Bound::Act(Action::ReleaseHold) => {
            return Some(bound);
        }
        Asks::Bound(bound, argument) => with_argument(state, bound, &argument, effects),
    }
    None
}

fn with_argument(state: &mut State, bound: Bound, argument: &str, effects: &mut Vec<Effect>) {
    match (bound, argument) {
        (Bound::Act(Action::ReleaseHold), name) => begin::release(state, name, effects),
        (Bound::Act(Action::Hold), "everything") => begin::hold(state, &BTreeSet::new(), effects),
        (Bound::Act(Action::Hold), name) => {
            let known: Vec<_> = state.board.environments().map(|environment| environment.name.clone()).collect();
            if known.iter().any(|known| known.0 == name) {
                begin::hold(state, &BTreeSet::from([EnvironmentName::from(name)]), effects);
            } else {
                let hint = suggestion(name, known.iter().map(EnvironmentName::as_str));
                state.say(Tone::Warn, format!("hold: there is no environment {name}{hint}"));
            }
        }
        (Bound::Ui(UiCommand::Reconnect), name) => commands::reconnect(state, Some(name), effects),
        (bound, argument) => {
            let text = format!("{} takes no argument, found `{argument}`; nothing was done", spelled(bound));
            state.say(Tone::Warn, text);
        }
    }
}

fn theme(state: &mut State, name: &str) {
    if state.settings.themes.iter().any(|known| known == name) {
        name.clone_into(&mut state.theme);
        state.say(Tone::Plain, format!("theme {name}"));
    } else {
        let hint = suggestion(name, state.settings.themes.iter().map(String::as_str));
        let known = state.settings.themes.join(", ");
        state.say(Tone::Warn, format!("there is no theme `{name}`{hint}; known: {known}"));
    }
}
