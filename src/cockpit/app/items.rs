//! What an action is about, as a confirmation shows it.

use super::actions::{on_approval, on_rollout};
use super::dialog::Item;
use super::fresh::{approval_freshness, freshness, lost};
use super::run;
use super::state::State;
use super::superseded;
use super::{ConnectionId, ConnectionState};
use flightdeck_board::Freshness;
use flightdeck_model::time::{age, length};
use flightdeck_model::{
    Action, Alert, Approval, EnvironmentName, Hold, HoldId, Phase, Receipt, Rollout, Run, Selector, Silence, SourceId,
    Subject, USUAL_SILENCE, counted,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// As of when a row is what it was: now, or since nothing was heard of it.
fn seen(state: &State, freshness: &Freshness) -> Timestamp {
    match freshness {
        Freshness::Stale { since, .. } => *since,
        _ => state.now,
    }
}

/// A rollout as a target of an action.
pub(super) fn rollout_item(state: &State, action: Action, rollout: &Rollout) -> Option<Item> {
    let versions = match (rollout.stable(), rollout.candidate()) {
        (Some(stable), Some(candidate)) => Some(format!("{} → {}", stable.version, candidate.version)),
        (one, other) => one.or(other).map(|arm| arm.version.to_string()),
    };
    let share = rollout.candidate().map(|arm| arm.traffic.actual.unwrap_or(arm.traffic.desired));
    let change = match (versions, share) {
        (Some(versions), Some(share)) => Some(format!("{versions}, candidate at {share}")),
        (versions, _) => versions,
    };
    Some(Item {
        subject: Subject::Run(rollout.run.clone()),
        connection: state.owner(&rollout.run)?,
        target: format!(
            "{} in {} ({})",
            state.board.service_name(rollout),
            rollout.environment,
            rollout.run.target.source
        ),
        change,
        pin: Some(rollout.facts.pin(action)),
        seen: seen(state, &freshness(state, rollout)),
        heard: superseded::heard(state, &rollout.run),
        freshness: freshness(state, rollout),
        prepared: None,
        refused: None,
        unasked: None,
        changes: Vec::new(),
    })
}

/// An approval as a target of an action.
pub(super) fn approval_item(state: &State, action: Action, approval: &Approval) -> Option<Item> {
    let change = match &approval.from {
        Some(from) => format!("{} → {}", from.version, approval.to.version),
        // A source that counts votes itself does not tell what serves.
        None if approval.reviewers.is_some() => approval.to.version.to_string(),
        None => format!("nothing → {}", approval.to.version),
    };
    Some(Item {
        subject: Subject::Approval { id: approval.id.clone(), run: approval.run.clone() },
        connection: state.owner(&approval.run)?,
        target: format!("{} in {} ({})", approval.service, approval.environment, approval.run.target.source),
        change: Some(format!("{change}; {}", approval.what)),
        pin: Some(approval.facts.pin(action)),
        seen: seen(state, &approval_freshness(state, approval)),
        heard: superseded::heard(state, &approval.run),
        freshness: approval_freshness(state, approval),
        prepared: None,
        refused: None,
        unasked: None,
        changes: Vec::new(),
    })
}

/// A command that was given before, as something to add a reason to.
pub(super) fn receipt_item(state: &State, receipt: &Receipt, run: &Run) -> Option<Item> {
    let asked = receipt.stages.first().map(|record| age(record.at, state.now));
    let ago = asked.map_or(String::new(), |age| format!(" {age} ago"));
    let reason = receipt.command.reason.as_deref().unwrap_or("none was given");
    let (label, target) = (receipt.command.action.row().label, &run.target);
    Some(Item {
        subject: Subject::Receipt { id: receipt.id.clone() },
        connection: state.owner(run)?,
        target: format!("to: {label} {} ({})", target.name, target.source),
        change: Some(format!("asked by {}{ago}; its reason: {reason}", receipt.actor.name)),
        pin: None,
        seen: state.now,
        heard: None,
        freshness: Freshness::Fresh,
        prepared: None,
        refused: None,
        unasked: None,
        changes: Vec::new(),
    })
}

/// An alert as something to silence: while the opened rollout goes on for as long as that, else for a while.
pub(super) fn alert_item(state: &State, alert: &Alert) -> Option<Item> {
    let run = run::opened(state).filter(|rollout| rollout.in_flight()).map(|rollout| rollout.run.clone());
    let ends = if run.is_some() { ", or until the rollout has ended" } else { "" };
    let subject = Subject::Alert {
        source: alert.source.clone(),
        fingerprint: alert.fingerprint.clone(),
        run,
        lasts: USUAL_SILENCE,
    };
    let change = format!("{}, for {}{ends}", alert.severity.word(), length(USUAL_SILENCE));
    beside(state, &alert.source, format!("{} ({})", alert.name, alert.source), change, subject)
}

/// The silence of an alert as something to end.
pub(super) fn silence_item(state: &State, alert: &Alert, silence: &Silence) -> Option<Item> {
    let subject = Subject::Silence { source: silence.source.clone(), id: silence.id.clone() };
    let target = format!("of {} ({})", alert.name, alert.source);
    beside(state, &silence.source, target, format!("by {}: {}", silence.owner, silence.reason), subject)
}

/// What is about no rollout, at the source that tells of it.
fn beside(state: &State, source: &SourceId, target: String, change: String, subject: Subject) -> Option<Item> {
    let freshness = Freshness::of(Some(&state.board.link(source)));
    Some(Item {
        subject,
        connection: *state.owners.get(source)?,
        target,
        change: Some(change),
        pin: None,
        seen: seen(state, &freshness),
        heard: None,
        freshness,
        prepared: None,
        refused: None,
        unasked: None,
        changes: Vec::new(),
    })
}

/// The environments that the Deck's filter names with `env:`; none: it names none.
pub(super) fn filtered_environments(state: &State) -> BTreeSet<EnvironmentName> {
    let mut found = BTreeSet::new();
    for word in state.deck.filter.split_whitespace() {
        let Some((key, value)) = word.split_once(':') else { continue };
        if matches!(key.to_ascii_lowercase().as_str(), "env" | "environment") && !value.is_empty() {
            let value = value.to_lowercase();
            let names = state.board.rollouts().map(|rollout| &rollout.environment);
            let known = state.board.environments().map(|environment| &environment.name).chain(names);
            found.extend(known.filter(|name| name.0.to_lowercase().contains(&value)).cloned());
        }
    }
    found
}

/// What `H` means now: one item a server and environment. `environments` empty: everything.
pub(super) fn hold_items(state: &mut State, environments: &BTreeSet<EnvironmentName>) -> Vec<Item> {
    // One id for all of it, so that one release ends all of it.
    let token = state.token();
    let fresh = HoldId::of(&format!("{}-{token}", state.settings.session));
    let id = again(state, environments).unwrap_or(fresh);
    let state = &*state;
    let mut items = Vec::new();
    for connection in (0..state.connections.len()).filter(|id| !state.unmissed(*id)) {
        if environments.is_empty() {
            items.push(hold_item(state, connection, Selector::default(), &id));
        }
        for environment in environments {
            items.push(hold_item(
                state,
                connection,
                Selector { environment: Some(environment.clone()), ..Selector::default() },
                &environment_id(&id, environments.len(), environment),
            ));
        }
    }
    items
}

/// Several environments are several holds.
fn environment_id(id: &HoldId, count: usize, environment: &EnvironmentName) -> HoldId {
    if count > 1 { HoldId::of(&format!("{id} {environment}")) } else { id.clone() }
}

/// One's own hold of the same scope is the same hold once more.
fn again(state: &State, environments: &BTreeSet<EnvironmentName>) -> Option<HoldId> {
    let selector = match environments.iter().collect::<Vec<_>>().as_slice() {
        [] => Selector::default(),
        [one] => Selector { environment: Some((*one).clone()), ..Selector::default() },
        _ => return None,
    };
    let mine = state.connections.iter().filter_map(|connection| match &connection.state {
        ConnectionState::Up { actor, .. } => Some(actor.name.as_str()),
        _ => None,
    });
    let mine: BTreeSet<&str> = mine.collect();
    let same = |hold: &&Hold| hold.selector == selector && mine.contains(hold.owner.as_str());
    state.board.holds().find(same).map(|hold| hold.id.clone())
}

fn hold_item(state: &State, connection: ConnectionId, selector: Selector, id: &HoldId) -> Item {
    let mine = |rollout: &&Rollout| state.owner(&rollout.run) == Some(connection) && selector.holds(rollout);
    let frozen: Vec<Run> = state.board.rollouts().filter(mine).map(|rollout| rollout.run.clone()).collect();
    let moving = state.board.rollouts().filter(mine).filter(|rollout| rollout.phase != Phase::Paused).count();
    let standing = match frozen.len() - moving {
        0 => String::new(),
        n => format!(", {n} of {} stand already", frozen.len()),
    };
    let again = state
        .board
        .holds()
        .find(|hold| hold.selector == selector && state.owners.get(&hold.source) == Some(&connection));
    let again = again.map_or(String::new(), |hold| format!("; {} by {} holds it already", hold.id, hold.owner));
    let name = state.connections.get(connection).map_or("", |connection| connection.name.as_str());
    let freshness = state.connections.get(connection).and_then(lost).unwrap_or(Freshness::Fresh);
    Item {
        target: format!("{selector} on {name}"),
        change: Some(format!("pauses {}{standing}{again}", counted(moving, "rollout"))),
        subject: Subject::Scope { selector, frozen, hold: Some(id.clone()) },
        connection,
        pin: None,
        seen: seen(state, &freshness),
        heard: None,
        freshness,
        prepared: None,
        refused: None,
        unasked: None,
        changes: Vec::new(),
    }
}

/// A hold as something to release, one item a server that has it; `source`: at that source alone.
pub(super) fn release_items(state: &State, id: &HoldId, source: Option<&SourceId>) -> Vec<Item> {
    let meant = |hold: &&Hold| hold.id == *id && source.is_none_or(|source| *source == hold.source);
    let mut by_server: BTreeMap<ConnectionId, Vec<&Hold>> = BTreeMap::new();
    for hold in state.board.holds().filter(meant) {
        if let Some(connection) = state.owners.get(&hold.source) {
            by_server.entry(*connection).or_default().push(hold);
        }
    }
    by_server.into_iter().filter_map(|(connection, holds)| release_item(state, connection, &holds)).collect()
}

fn release_item(state: &State, connection: ConnectionId, holds: &[&Hold]) -> Option<Item> {
    let first = holds.first()?;
    let count: usize = holds.iter().map(|hold| hold.held().count()).sum();
    let sources: Vec<&str> = holds.iter().map(|hold| hold.source.as_str()).collect();
    let reason = first.reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
    // Where one source has it, older servers understand it, too.
    let source = if let [one] = holds { Some(one.source.clone()) } else { None };
    let freshness = state.connections.get(connection).and_then(lost).unwrap_or(Freshness::Fresh);
    Some(Item {
        subject: Subject::Hold { source, id: first.id.clone() },
        connection,
        target: format!("{} of {} ({})", first.id, first.owner, sources.join(", ")),
        change: Some(format!("{}, {} held{reason}", first.selector, counted(count, "rollout"))),
        pin: None,
        seen: seen(state, &freshness),
        heard: None,
        freshness,
        prepared: None,
        refused: None,
        unasked: None,
        changes: Vec::new(),
    })
}

/// What a confirmation is about, as it is now. `Err`: it can't be done to that any more, and why.
pub(super) fn anew(state: &State, action: Action, item: &Item) -> Result<Item, String> {
    let gone = || format!("{}: it is gone", action.row().label);
    match &item.subject {
        Subject::Run(run) => {
            let rollout = state.board.rollout(&run.target).ok_or_else(gone)?;
            on_rollout(state, action, rollout)?;
            rollout_item(state, action, rollout).ok_or_else(gone)
        }
        Subject::Approval { id, .. } => {
            let approval = state.board.approval(id).ok_or_else(gone)?;
            on_approval(state, action, approval)?;
            approval_item(state, action, approval).ok_or_else(gone)
        }
        // Nothing else has a pin that could change.
        _ => Ok(item.clone()),
    }
}
