//! What can be done now, and why not: the same answer dims a key and is said when it is pressed.

use super::age::age;
use super::command::{Bound, UiCommand};
use super::dialog::Item;
use super::rows;
use super::state::{DeckPanel, OwnProgress, Page, State};
use super::superseded;
use super::{ConnectionId, ConnectionState};
use flightdeck_board::{Freshness, why_not};
use flightdeck_model::{
    Action, Approval, ApprovalState, Direction, EnvironmentName, Hold, HoldId, Phase, Receipt, Rollout, Run, Selector,
    SourceId, Subject, Surface, Verdict, counted,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Can that be done now? `Err` says why not, in one line.
pub fn availability(state: &State, bound: Bound) -> Result<(), String> {
    match bound {
        Bound::Act(action) => act(state, action),
        Bound::Ui(command) => ui(state, command),
    }
}

fn act(state: &State, action: Action) -> Result<(), String> {
    if state.settings.read_only {
        return Err(format!("{}: this cockpit is read-only", action.row().label));
    }
    match action {
        Action::Approve | Action::Reject => {
            if state.page != Page::Approvals {
                return Err(format!("{} works on the Approvals page", action.row().label));
            }
            let approval = rows::selected_approval(state).ok_or_else(|| nothing_selected(state, action))?;
            on_approval(state, action, approval)
        }
        Action::Hold if state.connections.is_empty() => Err("hold: no server is known".to_owned()),
        Action::Hold => Ok(()),
        Action::ReleaseHold => match state.board.holds().next() {
            None => Err("release hold: there is no hold".to_owned()),
            Some(_) => Ok(()),
        },
        Action::Annotate => match rows::selected_receipt(state) {
            Some(_) => Ok(()),
            None => Err(format!("{}: no command about it is known here", action.row().label)),
        },
        _ if action.row().surface == Surface::CommandLine => {
            Err(format!("{} is on the command line: flightdeck {} --help", action.row().label, cli_verb(action)))
        }
        _ => {
            let rollout = rows::selected_rollout(state).ok_or_else(|| nothing_selected(state, action))?;
            on_rollout(state, action, rollout)
        }
    }
}

const fn cli_verb(action: Action) -> &'static str {
    match action {
        Action::AddRelease | Action::RemoveRelease => "release",
        Action::EndRun => "run",
        _ => action.name(),
    }
}

fn nothing_selected(state: &State, action: Action) -> String {
    let label = action.row().label;
    let gone = match state.page {
        Page::Deck if state.deck.panel == DeckPanel::Rollouts => {
            state.deck.cursor.key.as_ref().map(ToString::to_string)
        }
        Page::Approvals => state.approvals.cursor.key.as_ref().map(|id| format!("approval {id}")),
        Page::Rollout => {
            return match &state.rollout {
                Some(page) if state.board.rollout(&page.run.target).is_some() => {
                    format!("{label}: a newer rollout took this one's place; go back and open it")
                }
                _ => format!("{label}: this rollout is gone"),
            };
        }
        Page::Deck => None,
        Page::History | Page::Logs | Page::Messages | Page::Output => {
            return format!("{label} works on a rollout: go to the Deck first");
        }
    };
    gone.map_or_else(
        || format!("{label}: no row is selected that it works on"),
        |gone| format!("{label}: {gone} is no longer in the list; select a row"),
    )
}

/// Can that be done to this rollout now?
pub fn on_rollout(state: &State, action: Action, rollout: &Rollout) -> Result<(), String> {
    let freshness = rows::freshness(state, rollout);
    let reduces = action.direction() == Direction::Reduces;
    believable(state, action, &rollout.run, &freshness)?;
    if let Some(why) = rollout.denial(action) {
        return Err(format!("{}: {why}", action.row().label));
    }
    // What a stale row offers may be wrong both ways: what reduces exposure is asked all the same.
    if (freshness.is_fresh() || !reduces) && !rollout.offers.contains(action) {
        return Err(format!("{}: {}", action.row().label, why_not(rollout, action)));
    }
    Ok(())
}

/// Raising exposure needs a live row; reducing it is never locked out.
fn believable(state: &State, action: Action, run: &Run, freshness: &Freshness) -> Result<(), String> {
    let source = &run.target.source;
    match freshness.problem(state.now) {
        Some(problem) if action.direction() == Direction::Raises => {
            Err(format!("{}: {source} is {problem}", action.row().label))
        }
        _ => Ok(()),
    }
}

/// Can that be done to this approval now?
pub fn on_approval(state: &State, action: Action, approval: &Approval) -> Result<(), String> {
    let label = action.row().label;
    match &approval.state {
        ApprovalState::Pending => {}
        ApprovalState::Approved => return Err(format!("{label}: it is approved already")),
        ApprovalState::Rejected => return Err(format!("{label}: it is rejected already")),
        ApprovalState::Expired => return Err(format!("{label}: it has expired")),
        ApprovalState::Superseded { by } => return Err(format!("{label}: superseded by {by}")),
    }
    if action == Action::Approve {
        believable(state, action, &approval.run, &rows::approval_freshness(state, approval))?;
        may_approve(state, approval).map_err(|why| format!("{label}: {why}"))?;
    }
    Ok(())
}

/// May *you* say yes, as far as this side can tell? The server decides.
pub fn may_approve(state: &State, approval: &Approval) -> Result<(), String> {
    let connection = owner(state, &approval.run).and_then(|id| state.connections.get(id));
    let Some(ConnectionState::Up { actor, .. }) = connection.map(|connection| &connection.state) else {
        return Err("not connected, so it is not known who you are".to_owned());
    };
    if let Some(why) = approval.reviewers.as_ref().and_then(|reviewers| reviewers.denied.as_ref()) {
        return Err(why.clone());
    }
    let requirement = &approval.requirement;
    if actor.name == approval.author && !requirement.allow_self {
        return Err(format!("you asked for it yourself; somebody else has to say yes in {}", approval.environment));
    }
    if let Some(vote) = approval.votes.iter().find(|vote| vote.who == actor.name && vote.verdict == Verdict::Approved) {
        return Err(format!("you said yes already, {}", vote.at));
    }
    let named = |who: &String| *who == actor.name || actor.roles.contains(who);
    if !requirement.from.is_empty() && !requirement.from.iter().any(named) {
        return Err(format!("it needs {}, and you are {}", requirement.from.join(" or "), actor.name));
    }
    Ok(())
}

fn ui(state: &State, command: UiCommand) -> Result<(), String> {
    let label = command.row().label;
    match command {
        UiCommand::Output | UiCommand::Raw | UiCommand::Diff | UiCommand::Timeline if state.page != Page::Rollout => {
            Err(format!("{label} works on an opened rollout: select one and open it"))
        }
        UiCommand::Open | UiCommand::Mark
            if state.page == Page::Deck
                && state.deck.panel == DeckPanel::Rollouts
                && rows::deck_list(state).is_empty() =>
        {
            Err(format!("{label}: there is no row"))
        }
        UiCommand::Output => match rows::selected_instance(state) {
            Some(instance) if rows::told(state) || instance.logs.is_some() => Ok(()),
            Some(_) => Err(format!("{label}: this backend tells no output of its instances")),
            None => Err(format!("{label}: no instance is selected")),
        },
        UiCommand::Raw | UiCommand::Diff => match rows::opened(state).map(|rollout| owner(state, &rollout.run)) {
            Some(Some(_)) => Ok(()),
            Some(None) => Err(format!("{label}: no server speaks for this rollout")),
            None => Err(format!("{label}: this rollout is gone")),
        },
        UiCommand::Filter if !matches!(state.page, Page::Deck | Page::Approvals | Page::History) => {
            Err(format!("{label} works on the Deck, the Approvals and the History page"))
        }
        UiCommand::Sort | UiCommand::SortReverse if !matches!(state.page, Page::Deck | Page::History) => {
            Err(format!("{label} works on the Deck and the History page"))
        }
        UiCommand::Failures if state.page != Page::History => Err(format!("{label} works on the History page")),
        UiCommand::InFlight if state.page != Page::Deck => Err(format!("{label} works on the Deck")),
        UiCommand::Reconnect if state.connections.iter().all(|c| matches!(c.state, ConnectionState::Up { .. })) => {
            Err(format!("{label}: every server is connected"))
        }
        _ => Ok(()),
    }
}

/// Which server speaks for a run's source.
#[must_use]
pub fn owner(state: &State, run: &Run) -> Option<ConnectionId> {
    state.owners.get(&run.target.source).copied()
}

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
        connection: owner(state, &rollout.run)?,
        target: format!(
            "{} in {} ({})",
            state.board.service_name(rollout),
            rollout.environment,
            rollout.run.target.source
        ),
        change,
        pin: Some(rollout.facts.pin(action)),
        seen: seen(state, &rows::freshness(state, rollout)),
        heard: superseded::heard(state, &rollout.run),
        freshness: rows::freshness(state, rollout),
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
        connection: owner(state, &approval.run)?,
        target: format!("{} in {} ({})", approval.service, approval.environment, approval.run.target.source),
        change: Some(format!("{change}; {}", approval.what)),
        pin: Some(approval.facts.pin(action)),
        seen: seen(state, &rows::approval_freshness(state, approval)),
        heard: superseded::heard(state, &approval.run),
        freshness: rows::approval_freshness(state, approval),
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
        connection: owner(state, run)?,
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
    let mine = |rollout: &&Rollout| owner(state, &rollout.run) == Some(connection) && selector.holds(rollout);
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
    let freshness = state.connections.get(connection).and_then(rows::lost).unwrap_or(Freshness::Fresh);
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
    let freshness = state.connections.get(connection).and_then(rows::lost).unwrap_or(Freshness::Fresh);
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

impl OwnProgress {
    /// Will more come?
    #[must_use]
    pub fn is_open(&self) -> bool {
        match self {
            OwnProgress::Sending | OwnProgress::Unknown(_) => true,
            OwnProgress::Receipt(receipt) => !receipt.stage().is_final(),
            OwnProgress::Refused(_) | OwnProgress::NotSent(_) => false,
        }
    }

    /// The word that stands on rows.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            OwnProgress::Sending => "sending",
            OwnProgress::Receipt(receipt) => receipt.stage().word(),
            OwnProgress::Refused(_) => "refused",
            OwnProgress::NotSent(_) => "not sent",
            OwnProgress::Unknown(_) => "unknown",
        }
    }
}
