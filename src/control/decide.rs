//! The decision: may this command be carried out now?

use super::approvals::may_vote;
use super::budgets::{self, Burning, burning};
use super::context::{DecisionContext, fits, identities};
use super::friction::direction_of;
use super::{Authorized, Policy};
use flightdeck_board::{Board, why_not};
use flightdeck_model::{
    Action, Actor, Command, Direction, EnvironmentName, Fact, FactChange, Facts, HoldId, Receipt, Refusal, RefusalKind,
    Rollout, Run, Service, ServiceName, SourceId, Subject, Tier, has_hidden,
};
use jiff::Timestamp;

/// Decides by what the board knows. An `Ok` is the only way to get something that a backend executes.
pub fn decide(
    policy: &Policy,
    board: &Board,
    actor: &Actor,
    command: &Command,
    now: Timestamp,
) -> Result<Authorized, Refusal> {
    decide_with(policy, DecisionContext { board, live: None, now }, actor, command)
}

/// Decides with a row that was read from the backend just now.
pub fn decide_live(
    policy: &Policy,
    board: &Board,
    live: &Rollout,
    actor: &Actor,
    command: &Command,
    now: Timestamp,
) -> Result<Authorized, Refusal> {
    decide_with(policy, DecisionContext { board, live: Some(live), now }, actor, command)
}

/// Does a decision depend on error budgets of which nobody has told anything yet?
#[must_use]
pub fn awaits_budget(board: &Board, action: Action, subject: &Subject, now: Timestamp) -> bool {
    budgets::unasked(DecisionContext { board, live: None, now }, action, subject)
}

fn decide_with(
    policy: &Policy,
    seen: DecisionContext<'_>,
    actor: &Actor,
    command: &Command,
) -> Result<Authorized, Refusal> {
    let Command { action, subject, reason, .. } = command;
    allowed(policy, seen, actor, *action, subject)?;
    match burning(policy, seen, actor, *action, subject) {
        Some(Burning::Refuse(refusal)) => return Err(refusal),
        Some(Burning::AskReason) if reason.as_ref().is_none_or(|text| text.trim().is_empty()) => {
            let why = "an error budget burns too fast there: who promotes all the same says why; nothing was done";
            return Err(Refusal::new(RefusalKind::Invalid, why));
        }
        Some(Burning::AskReason) | None => {}
    }
    if *action == Action::Annotate && reason.as_ref().is_none_or(|text| text.trim().is_empty()) {
        return Err(Refusal::new(RefusalKind::Invalid, "annotate adds a reason: say which; nothing was done"));
    }
    if *action == Action::Silence && reason.as_ref().is_none_or(|text| text.trim().is_empty()) {
        return Err(Refusal::new(RefusalKind::Invalid, "a silence needs a reason: say which; nothing was done"));
    }
    let mut command = command.clone();
    if let Some(facts) = facts(seen, subject) {
        let raises = direction_of(seen, *action, subject) == Direction::Raises;
        // What a deployment replaces may be pinned; it needs no pin, since it is about something new.
        let new = matches!(subject, Subject::NewRollout { .. });
        check_pin(&command, facts, raises && !(new && command.pin.is_none()))?;
        if !new {
            command.pin = command.pin.or_else(|| Some(facts.pin(command.action)));
        }
    }
    Ok(Authorized::new(command, actor.clone(), seen.now))
}

/// Everything but the pin: rights, shape, existence, freshness, offers, eligibility.
pub(super) fn allowed(
    policy: &Policy,
    seen: DecisionContext<'_>,
    actor: &Actor,
    action: Action,
    subject: &Subject,
) -> Result<(), Refusal> {
    policy.allows(actor, action, subject)?;
    fits(action, subject)?;
    let reduces = direction_of(seen, action, subject) == Direction::Reduces;
    if !reduces && identities(seen, subject).into_iter().any(has_hidden) {
        return Err(Refusal::new(
            RefusalKind::Invalid,
            "its name holds characters that can't be seen, so nobody can say what is meant; nothing was done",
        ));
    }
    let freshness = seen.freshness(subject);
    if let Some(problem) = freshness.problem(seen.now).filter(|_| !reduces) {
        return Err(Refusal::new(
            RefusalKind::Stale,
            format!("what is known of it is {problem}; only what reduces exposure is possible until it is live again"),
        ));
    }
    match subject {
        Subject::Run(_) => rollout_takes(seen, action, subject, reduces && !freshness.is_fresh()),
        Subject::Approval { id, run } => match seen.board.approval(id) {
            Some(approval) if approval.run == *run => may_vote(approval, actor, action, seen.now),
            Some(approval) => Err(not_found(format!("approval {id} is for {}, not for {run}", approval.run))),
            None if reduces && !freshness.is_fresh() => Ok(()),
            None => Err(not_found(format!("there is no approval {id}"))),
        },
        Subject::Hold { source, id } if seen.holds(source.as_ref(), id).next().is_none() => {
            Err(not_found(no_hold(seen, source.as_ref(), id)))
        }
        Subject::NewRollout { .. } => deployment_possible(seen, subject),
        Subject::Migrations { source, service, environment, .. }
        | Subject::Command { source, service, environment, .. }
        | Subject::OneOff { source, service, environment, .. } => {
            runs_in(seen, source, service, environment).map(|_| ())
        }
        Subject::Receipt { id } => match seen.board.receipts().find(|receipt| receipt.id == *id) {
            None => Err(not_found(format!(
                "there is no receipt {id} among the newest; `flightdeck get receipts` lists those"
            ))),
            Some(Receipt { command: Command { subject: Subject::Receipt { id: of }, .. }, .. }) => Err(Refusal::new(
                RefusalKind::NotApplicable,
                format!("{id} is itself an addition to {of}: add to that"),
            )),
            Some(_) => Ok(()),
        },
        Subject::Alert { source, fingerprint, run, .. } => alert_silenced(seen, source, fingerprint, run.as_ref()),
        Subject::Silence { source, id } => match seen.board.silence(source, id) {
            None => Err(not_found(format!("there is no silence {id} in force at {source}"))),
            Some(silence) if silence.made.is_none() => Err(Refusal::new(
                RefusalKind::Denied,
                format!("silence {id} of {} was not made with flightdeck: end it where it was made", silence.owner),
            )),
            Some(_) => Ok(()),
        },
        Subject::Release { source, service, version } if action == Action::RemoveRelease => {
            let stored = seen.board.release(source, service, version).map(|_| ());
            stored.ok_or_else(|| not_found(format!("there is no stored release {service} {version}")))
        }
        Subject::Hold { .. } | Subject::Scope { .. } | Subject::Release { .. } | Subject::Config { .. } => Ok(()),
    }
}

/// Does it fire, and does the rollout still go on that it is to be silenced for, as far as that is seen here?
fn alert_silenced(
    seen: DecisionContext<'_>,
    source: &SourceId,
    fingerprint: &str,
    run: Option<&Run>,
) -> Result<(), Refusal> {
    if seen.board.alert(source, fingerprint).is_none() {
        return Err(not_found(format!(
            "no alert {fingerprint} fires at {source}; `flightdeck get alerts` lists those"
        )));
    }
    let Some((run, row)) = run.and_then(|run| Some((run, seen.board.rollout(&run.target)?))) else { return Ok(()) };
    if row.run == *run && row.in_flight() {
        return Ok(());
    }
    let why = format!("{run} has ended: there is no rollout to silence it for");
    Err(Refusal::new(RefusalKind::NotApplicable, why))
}

fn not_found(why: String) -> Refusal {
    Refusal::new(RefusalKind::NotFound, why)
}

fn no_hold(seen: DecisionContext<'_>, source: Option<&SourceId>, id: &HoldId) -> String {
    let of_source = seen.board.holds().filter(|hold| source.is_none_or(|source| *source == hold.source));
    let mut ids: Vec<_> = of_source.map(|hold| hold.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let known = if ids.is_empty() { "none is in force".to_owned() } else { format!("in force: {}", ids.join(", ")) };
    let place = source.map_or(String::new(), |source| format!(" at {source}"));
    format!("there is no hold {id}{place}; {known}")
}

/// Is it the run that is meant, and does it take the action as it stands? Where the row may be
/// old, a command that reduces exposure goes through: the backend knows better.
fn rollout_takes(seen: DecisionContext<'_>, action: Action, subject: &Subject, lenient: bool) -> Result<(), Refusal> {
    let Subject::Run(run) = subject else { return Ok(()) };
    let Some(rollout) = seen.rollout(&run.target) else {
        return if lenient { Ok(()) } else { Err(not_found(format!("there is no rollout {run}"))) };
    };
    if rollout.run.revision != run.revision {
        let current = Some(rollout.run.revision.clone());
        return Err(Refusal::pin(vec![FactChange { fact: Fact::Revision, pinned: run.revision.clone(), current }]));
    }
    if action == Action::Drill && seen.tier(subject) == Tier::Critical {
        let place = &rollout.environment;
        let why = format!("{place} is critical, and a drill sends its users back and forth: rehearse it below");
        return Err(Refusal::new(RefusalKind::Denied, why));
    }
    if let Some(why) = rollout.denial(action).filter(|_| !lenient) {
        return Err(Refusal::new(RefusalKind::Denied, why));
    }
    if rollout.offers.contains(action) || lenient {
        return Ok(());
    }
    Err(Refusal::new(RefusalKind::NotApplicable, why_not(rollout, action)))
}

fn deployment_possible(seen: DecisionContext<'_>, subject: &Subject) -> Result<(), Refusal> {
    let Subject::NewRollout { source, service, environment, version, from } = subject else { return Ok(()) };
    let known = runs_in(seen, source, service, environment)?;
    match (version, from) {
        (None, None) => Err(Refusal::new(
            RefusalKind::Invalid,
            "deploy needs a version, or an environment to take the version from",
        )),
        (_, Some(from)) if from == environment => {
            Err(Refusal::new(RefusalKind::Invalid, format!("{environment} can't take a version from itself")))
        }
        (_, Some(from)) if !known.environments.contains(from) => {
            Err(not_found(format!("{service} does not run in {from}")))
        }
        (Some(version), _) => {
            let of_service = seen.board.releases().filter(|r| r.source == *source && r.service == *service);
            let stored: Vec<_> = of_service.map(|release| release.version.as_str()).collect();
            let why =
                || not_found(format!("there is no stored release {service} {version}; stored: {}", list(&stored)));
            stored.contains(&version.as_str()).then_some(()).ok_or_else(why)
        }
        (None, Some(_)) => Ok(()),
    }
}

/// The service, if it is configured to run there.
fn runs_in<'a>(
    seen: DecisionContext<'a>,
    source: &SourceId,
    service: &ServiceName,
    environment: &EnvironmentName,
) -> Result<&'a Service, Refusal> {
    let services = || seen.board.services().filter(|known| known.source == *source);
    let Some(known) = services().find(|known| known.name == *service) else {
        let names: Vec<_> = services().map(|service| service.name.as_str()).collect();
        return Err(not_found(format!("there is no service {service}; known: {}", list(&names))));
    };
    if !known.environments.contains(environment) {
        let names: Vec<_> = known.environments.iter().map(EnvironmentName::as_str).collect();
        return Err(not_found(format!("{service} does not run in {environment}; it runs in {}", list(&names))));
    }
    Ok(known)
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The facts that a pin on the subject is made of; `None` where it does not exist yet or its id is
/// all there is to it.
pub(super) fn facts<'a>(seen: DecisionContext<'a>, subject: &Subject) -> Option<&'a Facts> {
    match subject {
        Subject::Run(_) | Subject::NewRollout { .. } => seen.rollout_of(subject).map(|rollout| &rollout.facts),
        Subject::Approval { id, .. } => seen.board.approval(id).map(|approval| &approval.facts),
        _ => None,
    }
}

fn check_pin(command: &Command, facts: &Facts, raises: bool) -> Result<(), Refusal> {
    let invalid = |why: String| Err(Refusal::new(RefusalKind::Invalid, why));
    let name = command.action.name();
    let Some(pin) = &command.pin else {
        return if raises {
            invalid(format!(
                "{name} needs a pin that says what you saw: `flightdeck get rollouts -o json` prints one for each action"
            ))
        } else {
            Ok(())
        };
    };
    if pin.action != command.action {
        return invalid(format!(
            "that pin is for {}, not for {name}: each pin is good for one action",
            pin.action.name()
        ));
    }
    let missing: Vec<_> = pin.missing(facts).into_iter().map(Fact::word).collect();
    if raises && !missing.is_empty() {
        return invalid(format!("that pin leaves out {}: take a new one", missing.join(", ")));
    }
    let changes = pin.changes(facts);
    if changes.is_empty() { Ok(()) } else { Err(Refusal::pin(changes)) }
}
