//! What can be done now, and why not: the same answer dims a key and is said when it is pressed.

use super::ConnectionState;
use super::command::{Bound, UiCommand, UiCommand as C};
use super::dispatch::{of, selected_receipt, selected_rollout};
use super::fresh::{approval_freshness, freshness};
use super::pages::{Page, approvals};
use super::panels::selected_alert;
use super::state::State;
use flightdeck_board::{Freshness, why_not};
use flightdeck_model::{Action, Alert, Approval, ApprovalState, Direction, Rollout, Run, Silence, Surface, Verdict};

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
            let approval = approvals::selected(state).ok_or_else(|| nothing_selected(state, action))?;
            on_approval(state, action, approval)
        }
        Action::Hold if state.connections.is_empty() => Err("hold: no server is known".to_owned()),
        Action::Hold => Ok(()),
        Action::ReleaseHold => match state.board.holds().next() {
            None => Err("release hold: there is no hold".to_owned()),
            Some(_) => Ok(()),
        },
        Action::Annotate => match selected_receipt(state) {
            Some(_) => Ok(()),
            None => Err(format!("{}: no command about it is known here", action.row().label)),
        },
        Action::Silence => selected_alert(state).map(drop).ok_or_else(|| no_alert(action)),
        Action::Unsilence => match selected_alert(state) {
            None => Err(no_alert(action)),
            Some(alert) => match own_silence(state, alert) {
                Some(_) => Ok(()),
                None => Err(format!("{}: no silence of it was made with flightdeck", action.row().label)),
            },
        },
        _ if action.row().surface == Surface::CommandLine => {
            Err(format!("{} is on the command line: flightdeck {} --help", action.row().label, cli_verb(action)))
        }
        _ => {
            let rollout = selected_rollout(state).ok_or_else(|| nothing_selected(state, action))?;
            on_rollout(state, action, rollout)
        }
    }
}

fn no_alert(action: Action) -> String {
    format!("{}: open a rollout and select one of its alerts (Tab)", action.row().label)
}

/// The silence of an alert that was made with this program; of several the one that lasts longest.
pub(super) fn own_silence<'a>(state: &'a State, alert: &Alert) -> Option<&'a Silence> {
    let own = |silence: &&Silence| silence.made.is_some() && alert.is_silenced_by(&silence.id);
    let all = state.board.silences().filter(|silence| silence.source == alert.source);
    all.filter(own).max_by_key(|silence| silence.until)
}

const fn cli_verb(action: Action) -> &'static str {
    match action {
        Action::AddRelease | Action::RemoveRelease => "release",
        Action::EndRun => "run",
        _ => action.name(),
    }
}

fn nothing_selected(state: &State, action: Action) -> String {
    format!("{}{}", action.row().label, of(state.page).without_rollout(state))
}

/// Can that be done to this rollout now?
pub fn on_rollout(state: &State, action: Action, rollout: &Rollout) -> Result<(), String> {
    let freshness = freshness(state, rollout);
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
        believable(state, action, &approval.run, &approval_freshness(state, approval))?;
        may_approve(state, approval).map_err(|why| format!("{label}: {why}"))?;
    }
    Ok(())
}

/// May *you* say yes, as far as this side can tell? The server decides.
pub fn may_approve(state: &State, approval: &Approval) -> Result<(), String> {
    let connection = state.owner(&approval.run).and_then(|id| state.connections.get(id));
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
    // These say themselves what they lack.
    let told = matches!(command, C::Open | C::Mark | C::NextPanel | C::PreviousPanel);
    if !state.page.takes(command)
        && !told
        && let Some(places) = Page::places(command)
    {
        return Err(format!("{label} works on {places}"));
    }
    if let Some(why) = of(state.page).refuses(state, command) {
        return Err(format!("{label}: {why}"));
    }
    let all_up = || state.connections.iter().all(|c| matches!(c.state, ConnectionState::Up { .. }));
    if command == C::Reconnect && all_up() {
        return Err(format!("{label}: every server is connected"));
    }
    Ok(())
}

/// Can that action be begun here? What needs a file or a version is on the command line.
#[must_use]
pub(super) fn offers(action: Action) -> bool {
    action.row().surface != Surface::CommandLine
}
