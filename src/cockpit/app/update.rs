//! One event at a time: what it changes and what the shell has to do.

use super::confirm;
use super::state::{Asked, Connection, OUTPUT_LINES, OwnProgress, Page, State, Tone};
use super::wake;
use super::{ConnectionId, ConnectionState, Effect, Event, Submitted, Token};
use super::{keys, live, pages};
use crate::model::{Body, Entity, EntityRef, Envelope, Receipt, Reply, Run, Stage};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;

/// Applies one event. [`State::visible_changed`] says whether the screen has to be drawn again.
pub fn update(state: &mut State, event: Event, now: Timestamp) -> Vec<Effect> {
    // A clock that was set back must not make ages negative or undo an ignored key.
    state.now = state.now.max(now);
    let mut effects = Vec::new();
    let told = matches!(event, Event::Update { .. });
    match event {
        Event::Key(key) => keys::key(state, &key, &mut effects),
        Event::Paste(text) => keys::paste(state, &text),
        Event::Click { column, row } => keys::click(state, column, row, &mut effects),
        Event::Scroll { lines } => keys::scroll(state, lines),
        Event::Resize { columns, rows } => {
            (state.columns, state.rows) = (columns, rows);
            state.visible_changed = true;
        }
        Event::Wake => {
            state.visible_changed |= state.ticks.is_some_and(|at| at <= state.now);
            state.wake = None;
        }
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
        Event::Resumed => state.visible_changed = true,
        Event::Reloaded(text) => {
            state.say(Tone::Plain, text);
        }
        Event::Terminate => effects.push(Effect::Quit),
    }
    if state.notice.as_ref().is_some_and(|notice| notice.until <= state.now) {
        state.notice = None;
        state.visible_changed = true;
    }
    if told && state.lists_forgotten() {
        look_soon(state, &mut effects);
    } else {
        pages::select_first(state);
        live::keep_up(state, &mut effects);
        state.ticks = wake::next(state);
        wake_at(state, state.ticks, &mut effects);
    }
    effects
}

/// After so long what ticks is looked at again when rows changed.
const LOOK: SignedDuration = SignedDuration::from_millis(100);

/// Rows come by the thousand: putting them in order after each would cost the square of them. The
/// frame does it once; what ticks is looked at shortly after.
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
        connection.since = now;
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
    if !state.board.apply(&envelope.scoped) {
        return;
    }
    let body = &envelope.scoped.body;
    match body {
        Body::Samples(_) if state.deck.order == crate::board::Order::Errors => state.deck.list.clear(),
        Body::Samples(_) => {}
        Body::Upsert(entity) => forget(state, &entity.key()),
        Body::Remove(key) => forget(state, key),
        _ => state.forget_lists(),
    }
    if matches!(body, Body::SnapshotEnd | Body::Upsert(Entity::Note(_) | Entity::Evidence(_) | Entity::Receipt(_))) {
        state.untrimmed += 1;
        if state.untrimmed >= TRIM_EVERY {
            state.untrimmed = 0;
            state.board.trim();
        }
    }
    // Where a frame is due anyway, nothing has to be looked at.
    state.visible_changed = state.visible_changed || visible(state, body);
    match body {
        Body::Upsert(Entity::Receipt(receipt)) => receipt_of(state, receipt),
        Body::Upsert(Entity::Rollout(row)) => {
            if let Some(page) = state.rollout.as_mut().filter(|page| page.run == row.run) {
                page.live.changed = true;
            }
        }
        Body::Upsert(Entity::Instance(instance)) => {
            // The first that comes to a page without any is selected.
            if let Some(page) = state.rollout.as_mut().filter(|page| page.run.target == instance.target) {
                page.instance.key.get_or_insert_with(|| instance.id.clone());
            }
        }
        _ => {}
    }
    confirm::recheck(state);
}

/// Old rows are dropped after so many that may have become too many.
const TRIM_EVERY: u32 = 256;

/// Drops the lists that a row is part of or sorted by.
fn forget(state: &mut State, key: &EntityRef) {
    match key {
        EntityRef::Rollout(_) | EntityRef::Environment(..) | EntityRef::Evidence(..) | EntityRef::Hold(..) => {
            state.forget_lists();
        }
        EntityRef::Approval(_) => {
            state.attention.clear();
            state.approvals.list.clear();
        }
        _ => {}
    }
}

/// Can the change be seen on the page that is shown?
fn visible(state: &State, body: &Body) -> bool {
    let opened = state.rollout.as_ref().filter(|_| state.page == Page::Rollout).map(|page| &page.run.target);
    let of_opened = |run: &Run| opened == Some(&run.target);
    match body {
        Body::Samples(samples) => match state.page {
            Page::Rollout => samples.iter().any(|sample| opened == Some(&sample.target)),
            Page::Deck => {
                let window = super::rows::deck(state);
                samples.iter().any(|sample| window.rows.iter().any(|row| row.rollout.run.target == sample.target))
            }
            _ => false,
        },
        Body::Upsert(entity) => match entity {
            Entity::Hold(_) => true,
            Entity::Rollout(rollout) => match state.page {
                Page::Rollout => of_opened(&rollout.run),
                page => matches!(page, Page::Deck | Page::Approvals),
            },
            Entity::Approval(approval) => match state.page {
                Page::Rollout => of_opened(&approval.run),
                page => matches!(page, Page::Deck | Page::Approvals),
            },
            Entity::Environment(_) => matches!(state.page, Page::Deck | Page::Approvals | Page::Rollout),
            Entity::Evidence(evidence) => match state.page {
                Page::Rollout => of_opened(&evidence.run),
                page => matches!(page, Page::Deck | Page::Approvals),
            },
            Entity::Instance(instance) => opened == Some(&instance.target),
            Entity::Note(note) => of_opened(&note.run),
            Entity::Deployment(deployment) => of_opened(&deployment.run),
            Entity::Receipt(_) => opened.is_some(),
            Entity::Release(_) => matches!(state.page, Page::Deck | Page::Rollout),
            Entity::Service(_) => false,
        },
        // Rows that go are rare, and their keys don't say of what they were.
        Body::Remove(EntityRef::Service(..)) => false,
        Body::Remove(_) | Body::SnapshotBegin | Body::SnapshotEnd | Body::Link(_) => true,
    }
}

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
