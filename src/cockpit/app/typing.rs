//! Tells keys that a person presses from text that arrives by itself: a paste without brackets (GNU screen,
//! serial consoles, old terminals), another program's output in the wrong window.
//!
//! Such text moves and fills fields of text, and does nothing else: no letter of it is a wish.

use super::keys;
use super::state::{Overlay, State, Tone};
use super::{Effect, Key};
use jiff::{SignedDuration, Timestamp};

/// Keys that follow each other faster come from no hand: a key held down repeats every 25 ms or so, a paste over
/// a serial line comes with a millisecond between its characters.
const APART: SignedDuration = SignedDuration::from_millis(15);
/// So many keys of one read may have been typed all the same: a slow line hands them over together. They are
/// text where text is asked for, also in a challenge; they still do nothing by themselves.
const HELD_BACK: usize = 3;

/// A key came by itself.
pub(super) fn key(state: &mut State, key: Key, effects: &mut Vec<Effect>) {
    let follows = follows(state);
    let dropped = state.typing.withheld.take();
    if follows {
        return together(state, dropped.is_some(), &[key], true, effects);
    }
    // A terminal sends Esc and a quick key behind it as it sends that key with Alt. Where nothing is bound to
    // the latter they are two keys.
    if let Some(second) = key.0.strip_prefix("alt-").filter(|_| dropped.is_none() && !state.settings.keymap.has(&key)) {
        let second = Key(second.to_owned());
        keys::key(state, &Key("esc".to_owned()), effects);
        return pressed(state, second, effects);
    }
    pressed(state, key, effects);
    if let Some((dropped, _)) = dropped {
        // Its moment passed while the screen was busy: whether it came alone is not known any more.
        say(state, format!("`{}` was not taken: another key came before it could be", dropped.0));
    }
}

/// A key was pressed. What sends something or ends the program waits until it is clear that it came alone.
fn pressed(state: &mut State, key: Key, effects: &mut Vec<Effect>) {
    if keys::sends(state, &key) {
        state.typing.withheld = Some((key, state.now.saturating_add(APART).unwrap_or(Timestamp::MAX)));
    } else {
        keys::key(state, &key, effects);
    }
}

/// Keys came together.
pub(super) fn burst(state: &mut State, keys: &[Key], effects: &mut Vec<Effect>) {
    let text = follows(state) || keys.len() > HELD_BACK;
    let dropped = state.typing.withheld.take();
    together(state, dropped.is_some(), keys, text, effects);
}

/// Something else than a key happened: a key that is withheld may have been alone for long enough.
pub(super) fn alone(state: &mut State, effects: &mut Vec<Effect>) {
    let now = state.now;
    if let Some((key, _)) = state.typing.withheld.take_if(|(_, due)| *due <= now) {
        keys::key(state, &key, effects);
    }
}

/// A paste came right behind a key that is withheld: it belongs to it.
pub(super) fn overtaken(state: &mut State) {
    state.typing.last = Some(state.now);
    state.typing.withheld = None;
}

/// Does this key follow the last one faster than a hand can?
fn follows(state: &mut State) -> bool {
    let now = state.now;
    state.typing.last.replace(now).is_some_and(|last| now.duration_since(last) < APART)
}

/// Does what keys of a burst may do, and says of the rest that nothing was done.
/// `dropped`: a key was withheld, which turns out to belong to them.
fn together(state: &mut State, dropped: bool, keys: &[Key], pasted: bool, effects: &mut Vec<Effect>) {
    let done: Vec<bool> = keys.iter().map(|key| keys::burst_key(state, key, pasted, effects)).collect();
    let ignored = usize::from(dropped) + done.iter().filter(|done| !**done).count();
    if ignored > 0 {
        let keys = if ignored == 1 { "1 key".to_owned() } else { format!("{ignored} keys") };
        say(state, format!("{keys} did nothing: they came at once, as pasted text does"));
    }
}

fn say(state: &mut State, text: String) {
    state.visible_changed = true;
    match &mut state.overlay {
        Some(Overlay::Dialog(dialog)) => dialog.said = Some(text),
        _ => state.say(Tone::Warn, text),
    }
}
