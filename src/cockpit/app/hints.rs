//! The footer and the help page, made from the keymap and the tables of commands: nothing about a
//! key is written twice.

use super::actions::{availability, offers};
use super::command::{Bound, UiCommand};
use super::keymap::Context;
use super::pages::Page;
use super::panels::selected_alert;
use super::state::{OwnCommand, OwnProgress, State};
use flightdeck_model::Action;
use flightdeck_model::time::{age, age_changes};
use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

/// A key on the footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// First column.
    pub x: u16,
    /// Columns, from the key to the end of the words.
    pub width: u16,
    pub key: String,
    /// The words.
    pub label: &'static str,
    /// What it does.
    pub bound: Bound,
}

/// A line of the help page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelpLine {
    /// Its keys, such as `j, down`; empty: in the palette only.
    pub keys: String,
    /// Its name in the palette and in keymap.toml.
    pub name: &'static str,
    /// What it does.
    pub sentence: &'static str,
    /// Why it can't be done now.
    pub unavailable: Option<String>,
}

/// On every footer, whatever else has room: without them the rest can't be found.
const ALWAYS: [Bound; 3] = [Bound::Ui(UiCommand::Palette), Bound::Ui(UiCommand::Help), Bound::Ui(UiCommand::Leave)];

/// First where an alert is selected.
const OF_ALERT: [Bound; 2] = [Bound::Act(Action::Silence), Bound::Act(Action::Unsilence)];

/// One's own commands whose end nobody knows yet.
fn on_their_way(state: &State) -> impl DoubleEndedIterator<Item = &OwnCommand> {
    state.commands.iter().filter(|own| match &own.progress {
        OwnProgress::Sending | OwnProgress::Unknown(_) => true,
        OwnProgress::Receipt(receipt) => !receipt.stage().is_final(),
        OwnProgress::Refused(_) | OwnProgress::NotSent(_) => false,
    })
}

/// What the footer says of them until it is known: `abort sent 12 s`.
#[must_use]
pub fn under_way(state: &State, now: Timestamp) -> Option<String> {
    let own = on_their_way(state).next_back()?;
    let newest = format!("{} {} {}", own.action.row().label, own.progress.word(), age(own.sent, now));
    match on_their_way(state).count() {
        1 => Some(newest),
        n => Some(format!("{newest}, {} more", n - 1)),
    }
}

/// The key that shows in full what the footer had no room for.
#[must_use]
pub fn messages_key(state: &State) -> String {
    state.settings.keymap.first_key(&Context::on(state.page), Bound::Ui(UiCommand::Show(Page::Messages)))
}

/// When [`under_way`] changes next.
pub(super) fn under_way_changes(state: &State) -> Option<Timestamp> {
    on_their_way(state).next_back().map(|own| age_changes(own.sent, state.now))
}

/// The keys on the footer, as many as fit: of those that do something now. Any other says why it does nothing.
#[must_use]
pub fn footer(state: &State) -> Vec<Hint> {
    let contexts = Context::on(state.page);
    let hint = |bound: &Bound| {
        let key = state.settings.keymap.keys(&contexts, *bound).next()?;
        let width = u16::try_from(key.width() + 1 + bound.label().width()).ok()?;
        Some(Hint { x: 0, width, key, label: bound.label(), bound: *bound })
    };
    let always: Vec<Hint> = ALWAYS.iter().filter_map(hint).collect();
    let taken = under_way(state, state.now).map_or(0, |text| text.width() + 4);
    let mut free = state.columns.saturating_sub(1 + u16::try_from(taken).unwrap_or(u16::MAX));
    for hint in &always {
        free = free.saturating_sub(hint.width + 2);
    }
    let mut hints = Vec::new();
    let offered = |bound: &&Bound| availability(state, **bound).is_ok();
    let of_alert = selected_alert(state).into_iter().flat_map(|_| &OF_ALERT);
    for hint in of_alert.chain(state.page.row().footer).filter(offered).filter_map(hint) {
        if hint.width + 2 <= free {
            free -= hint.width + 2;
            hints.push(hint);
        }
    }
    hints.extend(always);
    let mut x = 1;
    for hint in &mut hints {
        hint.x = x;
        x += hint.width + 2;
    }
    hints
}

/// The lines of the help page: every key that holds on this page, then what only the palette has.
#[must_use]
pub fn help(state: &State) -> Vec<HelpLine> {
    let contexts = Context::on(state.page);
    let line = |bound: Bound, keys: Vec<String>| HelpLine {
        keys: keys.join(", "),
        name: bound.name(),
        sentence: bound.sentence(),
        unavailable: availability(state, bound).err(),
    };
    let keymap = &state.settings.keymap;
    let bound = keymap.bound(&contexts).map(|bound| line(bound, keymap.keys(&contexts, bound).collect()));
    let heavy = Action::TABLE.iter().filter(|row| row.key.is_none() && offers(row.action));
    bound.chain(heavy.map(|row| line(Bound::Act(row.action), Vec::new()))).collect()
}
