//! One event at a time: what it changes and what the shell has to do.

use super::confirm;
use super::dispatch::of;
use super::pages::Page;
use super::state::Typing;
use super::state::{Asked, Connection, OUTPUT_LINES, OwnProgress, State, Tone};
use super::wake;
use super::{ConnectionId, ConnectionState, Effect, Event, Submitted, Token};
use super::{follow, keys, live, typing};
use flightdeck_board::Change;
use flightdeck_model::{Body, Entity, EntityRef, Envelope, LinkState, Receipt, Reply, Stage};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// Applies one event. [`State::visible_changed`] says whether the screen has to be drawn again.
pub fn update(state: &mut State, event: Event, now: Timestamp) -> Vec<Effect> {
    // A clock that was set back must not make ages negative or undo an ignored key.
    state.now = state.now.max(now);
    let mut effects = Vec::new();
    if !matches!(event, Event::Key(_) | Event::Burst(_) | Event::Paste(_)) {
        typing::alone(state, &mut effects);
    }
    let told = matches!(event, Event::Update { .. });
    let by_hand = matches!(event, Event::Key(_) | Event::Burst(_) | Event::Click { .. } | Event::Scroll { .. });
    match event {
        Event::Key(key) => typing::key(state, key, &mut effects),
        Event::Burst(keys) => typing::burst(state, &keys, &mut effects),
        Event::Paste(text) => {
            typing::overtaken(state);
            keys::paste(state, &text);
        }
        Event::Click { column, row } => keys::click(state, column, row, &mut effects),
        Event::Scroll { lines, at } => keys::scroll(state, lines, at),
        Event::Resize { columns, rows } => {
            (state.columns, state.rows) = (columns, rows);
            state.visible_changed = true;
        }
        Event::Wake => {
            state.visible_changed |= state.ticks.is_some_and(|at| at <= state.now);
            state.wake = None;
        }
        Event::Drawn => confirm::drawn(state),
        Event::Connection { id, name, state: new } => connection(state, id, name, new),
        Event::Update { id, envelope } => envelope_of(state, id, &envelope),
        Event::Reply { token, reply } => answer(state, token, reply),
        Event::Submitted { token, outcome } => submitted(state, token, outcome),
        Event::LogLine { token, line } => log_line(state, token, line),
        Event::LogEnded { token, why } => {
            if let Some(output) = state.output.as_mut().filter(|output| output.token == token) {
                output.ended = Some(why);
                state.visible_changed |= state.page == Page::Output;
            }
        }
        Event::LogRecords => state.visible_changed |= state.page == Page::Logs && state.logs.pages_back == 0,
        Event::Resumed => {
            // Whoever continued it typed elsewhere meanwhile.
            state.typing = Typing::default();
            state.visible_changed = true;
        }
        Event::Reloaded(text) => {
            state.say(Tone::Plain, text);
        }
        Event::Terminate => effects.push(Effect::Quit),
    }
    if state.notice.as_ref().is_some_and(|notice| notice.until <= state.now) {
        state.notice = None;
        state.visible_changed = true;
    }
    if state.attention.known().and_then(|needs| needs.lapses()).is_some_and(|at| at <= state.now) {
        state.attention.clear();
        state.visible_changed = true;
    }
    // In a list that is still being told the first row of now is none to stay at.
    if by_hand || !state.board.is_listing() {
        if !state.cursors_stay && !by_hand {
            // Sources come one after the other: the first row of the first of them is not the first of all.
            state.deck.cursor.key = None;
            state.deck.needs.key = None;
        }
        of(state.page).begin(state);
        state.cursors_stay |= by_hand || (state.deck.cursor.key.is_some() && !is_beginning(state));
    }
    live::keep_up(state, &mut effects);
    if told && state.unlooked && of(state.page).has_many_changes() {
        look_soon(state, &mut effects);
    } else {
        state.unlooked = false;
        state.ticks = wake::next(state);
        wake_at(state, state.ticks, &mut effects);
    }
    effects
}

/// Has some source not told yet what it has, or why it can't?
fn is_beginning(state: &State) -> bool {
    state.connections.iter().any(|connection| connection.state == ConnectionState::Connecting)
        || state.board.links().any(|(_, link)| *link == LinkState::Connecting)
}

/// After so long what ticks is looked at again when rows changed.
const LOOK: SignedDuration = SignedDuration::from_millis(100);

/// Rows come by the thousand: what ticks is looked at once for many.
fn look_soon(state: &mut State, effects: &mut Vec<Effect>) {
    let soon = state.now.saturating_add(LOOK).unwrap_or(Timestamp::MAX);
    if state.wake.is_none_or(|at| at > soon) {
        wake_at(state, Some(soon), effects);
    }
}

fn wake_at(state: &mut State, wake: Option<Timestamp>, effects: &mut Vec<Effect>) {
    if wake != state.wake {
        state.wake = wake;
        effects.push(Effect::WakeAt(wake));
    }
}

fn connection(state: &mut State, id: ConnectionId, name: String, new: ConnectionState) {
    while state.connections.len() <= id {
        state.connections.push(Connection {
            name: String::new(),
            state: ConnectionState::Connecting,
            since: state.now,
            hub: None,
            epoch: 0,
            seq: 0,
            disputed: BTreeSet::new(),
            scopes: BTreeSet::new(),
        });
    }
    let now = state.now;
    let Some(connection) = state.connections.get_mut(id) else { return };
    let up = |state: &ConnectionState| matches!(state, ConnectionState::Up { .. });
    // While it is tried again and again, what it told is stale since it was lost.
    if up(&connection.state) || up(&new) || connection.name.is_empty() {
        connection.since = match &new {
            ConnectionState::Down { heard: Some(heard), .. } => (*heard).min(now),
            _ => now,
        };
    }
    connection.name = name;
    connection.state = new;
    state.forget_lists();
    state.visible_changed = true;
}

fn envelope_of(state: &mut State, id: ConnectionId, envelope: &Envelope) {
    let Some(connection) = state.connections.get_mut(id) else { return };
    connection.hub = Some(envelope.hub.clone());
    connection.epoch = envelope.epoch;
    connection.seq = envelope.seq;
    let scope = &envelope.scoped.scope;
    let owner = *state.owners.entry(scope.source.clone()).or_insert(id);
    if owner != id {
        if connection.disputed.insert(scope.source.clone()) {
            let name = connection.name.clone();
            let other = state.connections.get(owner).map_or("another server", |owner| owner.name.as_str());
            let source = &scope.source;
            let text = format!("{name} tells of {source} too, which {other} already does: its rows of it are left out");
            state.say(Tone::Warn, text);
        }
        return;
    }
    state.visible_changed |= connection.scopes.insert(scope.clone());
    let measured = state.board.measures(&scope.source);
    let change = state.board.take(&envelope.scoped);
    if change == Change::Nothing {
        return;
    }
    let body = &envelope.scoped.body;
    let seen = follow::follow(state, body, &change);
    if matches!(body, Body::SnapshotEnd | Body::Upsert(Entity::Note(_) | Entity::Evidence(_) | Entity::Receipt(_))) {
        state.untrimmed += 1;
        if state.untrimmed >= TRIM_EVERY {
            state.untrimmed = 0;
            // What speaks against a run decides where it stands.
            if state.board.trim().iter().any(|(_, key)| matches!(key, EntityRef::Evidence(..))) {
                state.forget_lists();
            }
        }
    }
    state.visible_changed |= seen;
    if !measured && state.board.measures(&scope.source) {
        state.measured = true;
        state.visible_changed = true;
    }
    match body {
        Body::Upsert(Entity::Receipt(receipt)) => receipt_of(state, receipt),
        // Something came into the record late: said while it is news.
        Body::Upsert(Entity::Note(note))
            if envelope.scoped.scope.part == "hub" && state.now.duration_since(note.at) < NEWS =>
        {
            let text = format!("{}: {}", note.run.target.name, note.text);
            state.say(Tone::Warn, text);
        }
        Body::Upsert(Entity::Rollout(row)) => {
            let name = state.board.service_name(row);
            state.visible_changed |= state.deck.widest.note(&name, state.board.kind_word(row), row);
            if let Some(page) = state.rollout.as_mut().filter(|page| page.run == row.run) {
                page.live.changed = true;
            }
        }
        Body::Upsert(Entity::Service(service)) => {
            let kind = service.kind.unwrap_or_default();
            state.visible_changed |= state.deck.widest.note_kind(kind.noun());
        }
        Body::Samples(samples) => state.visible_changed |= state.deck.widest.count(samples),
        _ => {}
    }
    confirm::recheck(state);
}

/// So long a hub's own note is news.
const NEWS: SignedDuration = SignedDuration::from_mins(1);

/// Old rows are dropped after so many that may have become too many.
const TRIM_EVERY: u32 = 256;

fn answer(state: &mut State, token: Token, reply: Result<Box<Reply>, String>) {
    match state.asked.remove(&token) {
        Some(Asked::Item { dialog, item }) => confirm::answered(state, dialog, item, reply),
        Some(Asked::Detail(run)) => live::answered(state, &run, reply),
        None => {}
    }
}

fn submitted(state: &mut State, token: Token, outcome: Submitted) {
    let Some(own) = state.commands.iter_mut().find(|own| own.token == token) else { return };
    let title = own.title.clone();
    // An update may have brought a receipt before the answer came.
    let has_receipt = matches!(own.progress, OwnProgress::Receipt(_));
    match outcome {
        Submitted::Taken(receipt) => receipt_of(state, &receipt),
        Submitted::Refused(refusal) => {
            own.progress = OwnProgress::Refused(refusal.clone());
            state.say(Tone::Bad, format!("{title}: refused: {}", refusal.why));
        }
        Submitted::NotSent(why) => {
            own.progress = OwnProgress::NotSent(why.clone());
            state.say(Tone::Bad, format!("{title}: not sent: {why}; nothing was done"));
        }
        Submitted::Unknown(why) => {
            if !has_receipt {
                own.progress = OwnProgress::Unknown(why.clone());
            }
            state.say(
                Tone::Warn,
                format!("{title}: it is not known whether it arrived ({why}); watching for its effect"),
            );
        }
    }
}

/// A receipt; one's own is shown as it goes on.
fn receipt_of(state: &mut State, receipt: &Receipt) {
    let Some(own) = state.commands.iter_mut().find(|own| own.id.0 == receipt.id.0) else { return };
    if let OwnProgress::Receipt(known) = &own.progress
        && (known.stages.len() > receipt.stages.len() || **known == *receipt)
    {
        return;
    }
    let before = match &own.progress {
        OwnProgress::Receipt(known) => Some(known.stage().clone()),
        _ => None,
    };
    own.progress = OwnProgress::Receipt(Box::new(receipt.clone()));
    state.visible_changed = true;
    let reached = receipt.stage();
    if before.as_ref() == Some(reached) {
        return;
    }
    let tone = match reached {
        Stage::Effective { .. } => Tone::Good,
        Stage::Requested | Stage::Sent | Stage::Accepted | Stage::Observed => Tone::Plain,
        Stage::Superseded { .. } | Stage::Unknown { .. } => Tone::Warn,
        Stage::Refused { .. } | Stage::Failed { .. } | Stage::Reverted { .. } | Stage::TimedOut { .. } => Tone::Bad,
    };
    let detail = reached.detail().map_or(String::new(), |detail| format!(": {detail}"));
    let text = format!("{}: {}{detail}", own.title, reached.word());
    state.say(tone, text);
}

fn log_line(state: &mut State, token: Token, line: String) {
    let Some(output) = state.output.as_mut().filter(|output| output.token == token) else { return };
    output.lines.push_back(line);
    if output.lines.len() > OUTPUT_LINES {
        output.lines.pop_front();
        output.dropped += 1;
    }
    // While scrolled back only the number of lines below the screen changes.
    state.visible_changed |= state.page == Page::Output;
}
