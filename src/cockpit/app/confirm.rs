//! From a key to a command: what is asked first, what opens a confirmation, what it takes to say
//! yes. Friction follows the direction of the action; what reduces exposure never waits for a server.

use super::command::{Bound, UiCommand};
use super::dialog::{Dialog, Field, Item, ReasonFor, SETTLE};
use super::input::{Input, LONGEST, type_into};
use super::items::anew;
use super::keymap::Context;
use super::run;
use super::state::{Asked, Overlay, OwnCommand, OwnProgress, State, Tone};
use super::{ConnectionState, Effect, Key, Token, superseded};
use flightdeck_board::Health;
use flightdeck_model::{
    Action, Command, CommandId, Decision, Direction, Fact, Facts, Friction, Pin, Prepared, Query, Refusal, RefusalKind,
    Reply, Run, Subject, has_hidden,
};
use jiff::Timestamp;

/// One's own commands that are remembered.
const REMEMBERED: usize = 200;

/// Opens the confirmation, and asks the servers what would happen. From here on it takes all keys: whatever
/// is typed while the answer is awaited must not act on the page below.
pub(super) fn start(state: &mut State, action: Action, items: Vec<Item>, effects: &mut Vec<Effect>) {
    if items.is_empty() {
        return state.say(Tone::Warn, format!("{}: nothing is left of what was marked", action.row().label));
    }
    if action == Action::Pause {
        return submit(state, action, &items, None, effects);
    }
    let id = state.token();
    for (item, of) in items.iter().enumerate() {
        let token = state.token();
        state.asked.insert(token, Asked::Item { dialog: id, item });
        let query = Query::Prepare { action, subject: of.subject.clone() };
        effects.push(Effect::Ask { connection: of.connection, token, query });
    }
    state.notice = None;
    state.overlay = Some(Overlay::Dialog(Box::new(Dialog {
        id,
        action,
        direction: action.direction(),
        items,
        shown: None,
        // What reduces exposure never asks more; for the rest the server says it.
        friction: Friction::Yes,
        field: field_of(action, &Friction::Yes),
        challenge: Input::default(),
        reason: Input::default(),
        said: None,
    })));
}

const fn field_of(action: Action, friction: &Friction) -> Field {
    match friction {
        _ if matches!(action, Action::Annotate | Action::Silence) => Field::Reason,
        Friction::None | Friction::Yes => Field::Keys,
        Friction::Challenge(_) | Friction::ChallengeAndReason(_) => Field::Challenge,
    }
}

/// `promote checkout in production (local)`, or `approve 3 targets`.
pub(super) fn title(action: Action, items: &[Item]) -> String {
    match items {
        [one] => format!("{} {}", action.row().label, one.target),
        many => format!("{} {} targets", action.row().label, many.len()),
    }
}

/// The answer for one item of a confirmation.
pub(super) fn answered(state: &mut State, dialog: Token, item: usize, reply: Result<Box<Reply>, String>) {
    let now = state.now;
    let run = state.dialog().and_then(|open| open.items.get(item)).and_then(Item::run);
    let heard = run.and_then(|run| superseded::heard(state, run));
    let Some(Overlay::Dialog(open)) = &mut state.overlay else { return };
    if open.id != dialog {
        return;
    }
    let asking = open.is_asking();
    if let Some(item) = open.items.get_mut(item) {
        take(item, reply, now);
        if !item.binds_row() {
            item.heard = item.heard.max(heard);
        }
    }
    if asking && !open.is_asking() {
        all_answered(open);
    } else {
        harden(open);
    }
    state.visible_changed = true;
}

/// A roll back that turns out to raise exposure asks as much as everything else that does.
/// Aborting never asks more than a `y`.
fn harden(dialog: &mut Dialog) {
    if dialog.action != Action::Rollback || dialog.direction == Direction::Raises {
        return;
    }
    let raising =
        dialog.items.iter().filter_map(|item| item.prepared.as_ref()).find(|p| p.direction == Direction::Raises);
    if let Some(prepared) = raising {
        dialog.direction = Direction::Raises;
        if let Decision::Allow { friction } = &prepared.decision {
            dialog.friction = if *friction == Friction::None { Friction::Yes } else { friction.clone() };
        }
        dialog.field = field_of(dialog.action, &dialog.friction);
        dialog.shown = None;
        dialog.said = Some("the server says that this raises exposure: look again".to_owned());
    }
}

fn take(item: &mut Item, reply: Result<Box<Reply>, String>, now: Timestamp) {
    match reply.map(|reply| *reply) {
        Ok(Reply::Prepared(prepared)) => {
            match &prepared.decision {
                Decision::Allow { .. } => {}
                Decision::Needs(kinds) => {
                    let why = format!("evidence is missing: {}", kinds.join(", "));
                    item.refused = Some(Refusal::new(RefusalKind::NotApplicable, why));
                }
                Decision::Refuse(refusal) => item.refused = Some(refusal.clone()),
            }
            if let (Some(row), Some(live)) = (item.wanted_pin(), &prepared.pin) {
                // Only what reduces exposure has a pin from the row by now that must still hold.
                if row.action.direction() == Direction::Reduces {
                    item.changes = row.changes(&Facts(live.facts.clone()));
                }
            }
            if item.freshness.is_fresh() && prepared.forecast.stale.is_none() && !item.binds_row() {
                item.seen = now;
            }
            item.prepared = Some(*prepared);
        }
        Ok(Reply::Refused(refusal)) => item.refused = Some(refusal),
        Ok(_) => item.unasked = Some("the server answered something else than was asked".to_owned()),
        Err(why) => item.unasked = Some(why),
    }
}

/// Asks what the servers want asked, now that the live objects were read.
fn all_answered(dialog: &mut Dialog) {
    let prepared = || dialog.items.iter().filter_map(|item| item.prepared.as_ref());
    if prepared().any(|prepared| prepared.direction == Direction::Raises) {
        dialog.direction = Direction::Raises;
    }
    let asked = |prepared: &Prepared| match &prepared.decision {
        Decision::Allow { friction } => Some(friction.clone()),
        _ => None,
    };
    let mut all = prepared().filter_map(asked);
    dialog.friction = if dialog.items.len() == 1 {
        all.next().unwrap_or(Friction::Yes)
    } else {
        let possible = dialog.items.iter().filter(|item| item.problem().is_none()).count();
        let text = format!("{} {possible}", dialog.action.name());
        let reason = all.any(|friction| matches!(friction, Friction::ChallengeAndReason(_)));
        if reason { Friction::ChallengeAndReason(text) } else { Friction::Challenge(text) }
    };
    dialog.field = field_of(dialog.action, &dialog.friction);
    // It says something new: it has to be read first.
    (dialog.shown, dialog.said) = (None, None);
}

/// Tells the open confirmation of a subject whose facts may have changed.
pub(super) fn recheck(state: &mut State) {
    let board = &state.board;
    let Some(Overlay::Dialog(dialog)) = &mut state.overlay else { return };
    for item in &mut dialog.items {
        let Some(pin) = item.wanted_pin() else { continue };
        let current = match &item.subject {
            Subject::Run(run) => board.rollout(&run.target).map(|rollout| &rollout.facts),
            Subject::Approval { id, .. } => board.approval(id).map(|approval| &approval.facts),
            _ => continue,
        };
        let none = Facts::default();
        let current = current.unwrap_or(&none);
        let changes = if older(&pin, current) { Vec::new() } else { pin.changes(current) };
        if !changes.is_empty() && item.changes != changes {
            item.changes = changes;
            state.visible_changed = true;
        }
    }
}

/// The reply came faster than the update: what the board has is older than what is pinned.
fn older(pin: &Pin, current: &Facts) -> bool {
    let number = |value: Option<&String>| value.and_then(|value| value.parse::<u64>().ok());
    match (number(current.0.get(&Fact::Generation)), number(pin.facts.get(&Fact::Generation))) {
        (Some(current), Some(pinned)) => current < pinned,
        _ => false,
    }
}

/// Why the open confirmation can't be said yes to, however much is typed.
#[must_use]
pub fn blocked(state: &State, dialog: &Dialog) -> Option<String> {
    let raises = dialog.direction == Direction::Raises;
    for item in &dialog.items {
        if let Some(why) = superseded::words(state, item) {
            return Some(why);
        }
        let connection = state.connections.get(item.connection);
        let down = connection.filter(|connection| !matches!(connection.state, ConnectionState::Up { .. }));
        if raises && let Some(down) = down {
            return Some(format!("{} is not connected; nothing that raises exposure is sent", down.name));
        }
        if raises && has_hidden(&item.target) {
            return Some("a name here holds characters that can't be seen".to_owned());
        }
        if let (true, Subject::Hold { source, id }) = (raises, &item.subject)
            && !state.board.holds().any(|hold| hold.id == *id && source.as_ref().is_none_or(|of| *of == hold.source))
        {
            return Some(format!("{id} was released meanwhile"));
        }
    }
    let only = dialog.items.iter().all(|item| item.problem().is_some());
    let why = dialog.items.iter().find_map(Item::problem);
    if raises && only { why } else { None }
}

/// How the candidate does that a yes to this item gives more of the traffic; `None`: it is about no such.
#[must_use]
pub fn health(state: &State, dialog: &Dialog, item: &Item) -> Option<Health> {
    if dialog.direction != Direction::Raises || !dialog.raises_candidate() {
        return None;
    }
    run::health(state, item.run()?)
}

/// Does a yes need a reason?
///
/// That a failing candidate needs one is the cockpit's own rule, and asked of a person alone: it is for whoever
/// says yes against what the screen shows, and for those who ask about it later. What the server lets through is
/// its policy's business, and no script that promotes is held up by it.
#[must_use]
pub fn reason_for(state: &State, dialog: &Dialog) -> Option<ReasonFor> {
    if matches!(dialog.friction, Friction::ChallengeAndReason(_))
        || matches!(dialog.action, Action::Annotate | Action::Silence)
    {
        return Some(ReasonFor::Friction);
    }
    let mut sent = dialog.items.iter().filter(|item| item.problem().is_none());
    let failing = |item| health(state, dialog, item).is_some_and(|health| health.failing.is_some());
    sent.any(failing).then_some(ReasonFor::Failing)
}

/// Until when keys are ignored, while they are; one that was not drawn yet is counted from now.
#[must_use]
pub fn settles(dialog: &Dialog, now: Timestamp) -> Option<Timestamp> {
    let until = dialog.shown.unwrap_or(now).saturating_add(SETTLE).ok()?;
    (now < until).then_some(until)
}

/// Why a key is ignored now, whichever it is.
pub(super) fn deaf(dialog: &Dialog, key: &Key, now: Timestamp) -> Option<String> {
    if dialog.is_asking() {
        return Some(format!("`{}` was ignored: the server is still asked what a yes would do", key.0));
    }
    settles(dialog, now)?;
    let shown = dialog.shown.map_or(0, |shown| now.duration_since(shown).as_millis());
    let enough = SETTLE.as_millis();
    Some(format!("`{}` was ignored: it came {shown} ms after this was shown, and counts after {enough}", key.0))
}

/// What changed is on the screen: an open confirmation can be read from now on.
pub(super) fn drawn(state: &mut State) {
    let now = state.now;
    if let Some(Overlay::Dialog(dialog)) = &mut state.overlay {
        dialog.shown.get_or_insert(now);
    }
}

/// A key in a confirmation.
pub(super) fn key(state: &mut State, command: Option<UiCommand>, key: &Key, effects: &mut Vec<Effect>) {
    let now = state.now;
    let Some(Overlay::Dialog(dialog)) = &mut state.overlay else { return };
    if command == Some(UiCommand::Cancel) {
        state.overlay = None;
        return;
    }
    dialog.said = None;
    if let Some(why) = deaf(dialog, key, now) {
        dialog.said = Some(why);
        return;
    }
    if command == Some(UiCommand::Reopen) && dialog.items.iter().any(|item| !item.changes.is_empty()) {
        return reopen(state, effects);
    }
    match (command, dialog.field) {
        (Some(UiCommand::NextPanel | UiCommand::PreviousPanel), field) => {
            dialog.field = match (field, field_of(dialog.action, &dialog.friction)) {
                (Field::Reason, first) => first,
                _ => Field::Reason,
            };
        }
        (Some(UiCommand::Confirm), Field::Keys) | (Some(UiCommand::Accept), Field::Challenge | Field::Reason) => {
            yes(state, effects);
        }
        (command, Field::Challenge | Field::Reason) => {
            let input = if dialog.field == Field::Reason { &mut dialog.reason } else { &mut dialog.challenge };
            if !type_into(input, command, key) {
                dialog.said = Some(format!("`{}` does nothing here", key.0));
            }
        }
        (_, Field::Keys) => {
            let label = dialog.action.row().label;
            let yes = state.settings.keymap.first_key(&[Context::Dialog], Bound::Ui(UiCommand::Confirm));
            dialog.said = Some(format!("`{}` does nothing here: {yes} to {label}, Esc to leave", key.0));
        }
    }
}

/// Opens a confirmation anew whose row has changed. What was typed for the challenge is gone, since that is about
/// what it was; the reason stays.
fn reopen(state: &mut State, effects: &mut Vec<Effect>) {
    let Some(Overlay::Dialog(mut dialog)) = state.overlay.take() else { return };
    let items = dialog.items.iter().map(|item| anew(state, dialog.action, item));
    match items.collect::<Result<Vec<_>, _>>() {
        Ok(items) => {
            let reason = std::mem::take(&mut dialog.reason);
            start(state, dialog.action, items, effects);
            if let Some(Overlay::Dialog(opened)) = &mut state.overlay {
                opened.reason = reason;
            }
        }
        Err(why) => {
            dialog.said = Some(why);
            state.overlay = Some(Overlay::Dialog(dialog));
        }
    }
}

/// Text was pasted into a confirmation: a reason takes it, what decides is typed.
pub(super) fn paste(dialog: &mut Dialog, text: &str) {
    // Line breaks come as either sign, and a copied line often ends with one.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    dialog.said = match dialog.field {
        Field::Reason if dialog.reason.insert(&text) => None,
        Field::Reason => Some(format!("pasted text was ignored: a reason has at most {LONGEST} bytes")),
        Field::Keys | Field::Challenge => Some("pasted text was ignored: a confirmation is typed".to_owned()),
    };
}

/// The person said yes.
fn yes(state: &mut State, effects: &mut Vec<Effect>) {
    let Some(Overlay::Dialog(mut dialog)) = state.overlay.take() else { return };
    let label = dialog.action.row().label;
    let reason = dialog.reason.text.trim().to_owned();
    let typed = dialog.challenge.text.trim();
    let challenged = match &dialog.friction {
        Friction::Challenge(text) | Friction::ChallengeAndReason(text) if !dialog.friction.accepts(typed) => {
            let arrow = if text.contains('→') { "   (-> will do for →)" } else { "" };
            Some(format!("to {label}, type exactly: {text}{arrow}"))
        }
        _ => None,
    };
    let mut refused = blocked(state, &dialog).or(challenged);
    if let (None, true, Some(asked)) = (&refused, reason.is_empty(), reason_for(state, &dialog)) {
        dialog.field = Field::Reason;
        let why = if asked == ReasonFor::Failing { ": the candidate is failing" } else { "" };
        refused = Some(format!("to {label}, give a reason{why}"));
    }
    if let Some(why) = refused {
        dialog.said = Some(why);
        state.overlay = Some(Overlay::Dialog(dialog));
        return;
    }
    // What raises exposure and was refused beforehand is left out; the dialog said so.
    let raises = dialog.direction == Direction::Raises;
    // Where nothing can be held nothing is asked.
    let unable = |item: &Item| item.refused.as_ref().is_some_and(|no| no.kind == RefusalKind::NotApplicable);
    let left_out =
        |item: &Item| (raises && item.problem().is_some()) || (dialog.action == Action::Hold && unable(item));
    let items: Vec<Item> = dialog.items.iter().filter(|item| !left_out(item)).cloned().collect();
    if items.is_empty() {
        dialog.said = dialog.items.iter().find_map(Item::problem);
        state.overlay = Some(Overlay::Dialog(dialog));
        return;
    }
    submit(state, dialog.action, &items, Some(reason.as_str()).filter(|reason| !reason.is_empty()), effects);
}

fn submit(state: &mut State, action: Action, items: &[Item], reason: Option<&str>, effects: &mut Vec<Effect>) {
    for item in items {
        let token = state.token();
        let id = CommandId(format!("{}-{token}", state.settings.session));
        let command = Command {
            id: id.clone(),
            action,
            subject: item.subject.clone(),
            pin: item.wanted_pin(),
            reason: reason.map(str::to_owned),
        };
        state.commands.push(OwnCommand {
            id,
            token,
            connection: item.connection,
            action,
            subject: item.subject.clone(),
            title: format!("{} {}", action.row().label, item.target),
            sent: state.now,
            progress: OwnProgress::Sending,
        });
        match &item.subject {
            Subject::Run(Run { target, .. }) => drop(state.deck.marks.remove(target)),
            Subject::Approval { id, .. } => drop(state.approvals.marks.remove(id)),
            _ => {}
        }
        effects.push(Effect::Submit { connection: item.connection, token, command });
    }
    if state.commands.len() > REMEMBERED {
        let old = state.commands.len() - REMEMBERED;
        state.commands.drain(..old);
    }
    state.say(Tone::Plain, format!("{}: sending", title(action, items)));
}
