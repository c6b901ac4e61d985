//! What people ask for: pins first, then one function for each action.

use super::pools::warm_pool;
use super::project::facts_of;
use super::rollout::{Back, begin_rollback, covers, enqueue, placement, plan, previous, roll_back, settle_queued};
use super::state::{Counters, Kind, Pause, Pauses, Progress, RunState, Slot, State, Watched};
use super::step::{with, with_all};
use super::steps::{ahead, next_step, skip_steps};
use super::turn::{Turn, note, run_id, words};
use super::types::SlotKey;
use crate::model::{
    Action, Actor, ApprovalId, ApprovalState, Command, DeploymentOutcome, EnvironmentName, Fact, FactChange, Facts,
    Hold, HoldId, HoldTarget, Pin, Refusal, RefusalKind, ReleaseRef, Run, Selector, ServiceName, Step, Subject,
    Verdict, Version, Vote, sanitize_line,
};

type Done = Result<(), Refusal>;

/// Who asks what, and why.
struct Ask<'a> {
    action: Action,
    actor: &'a Actor,
    pin: Option<&'a Pin>,
    reason: Option<String>,
}

impl Ask<'_> {
    fn because(&self, what: &str) -> String {
        let because = self.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        format!("{what} by {}{because}", self.actor.name)
    }
}

pub(super) fn no(why: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::NotApplicable, why)
}

fn not_found(why: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::NotFound, why)
}

/// Checks the pin and carries the command out, or says why not; then nothing has changed.
pub(super) fn carry_out(state: &mut State, turn: &mut Turn, command: &Command, actor: &Actor) -> Done {
    let reason = command.reason.as_ref().map(|reason| sanitize_line(reason));
    let ask = Ask { action: command.action, actor, pin: command.pin.as_ref(), reason };
    match (&command.subject, command.action) {
        (Subject::Run(run), _) => on_run(state, turn, &ask, run),
        (Subject::Approval { id, run }, Action::Approve) => on_approval(state, turn, &ask, id, run, Verdict::Approved),
        (Subject::Approval { id, run }, Action::Reject) => on_approval(state, turn, &ask, id, run, Verdict::Rejected),
        (Subject::Scope { selector, .. }, Action::Hold) => hold(state, turn, &ask, selector),
        (Subject::Hold(id), Action::Release) => release_hold(state, turn, &ask, id),
        (Subject::Deployment { service, environment, version, from }, Action::Deploy) => {
            let key = SlotKey { service: service.clone(), environment: environment.clone() };
            deploy(state, turn, &ask, &key, version.as_ref(), from.as_ref())
        }
        (_, action) => Err(Refusal::new(
            RefusalKind::Invalid,
            format!("{} does not fit what it was asked for; nothing was done", action.name()),
        )),
    }
}

fn check_pin(ask: &Ask<'_>, facts: &Facts) -> Done {
    let Some(pin) = ask.pin else { return Ok(()) };
    if pin.action != ask.action {
        let why = format!("the pin is for {}, not for {}; nothing was done", pin.action.name(), ask.action.name());
        return Err(Refusal::new(RefusalKind::PinChanged, why));
    }
    let mut changes = pin.changes(facts);
    changes.extend(pin.missing(facts).into_iter().map(|fact: Fact| FactChange {
        fact,
        pinned: "not pinned".to_owned(),
        current: facts.0.get(&fact).cloned(),
    }));
    if changes.is_empty() { Ok(()) } else { Err(Refusal::pin(changes)) }
}

/// Which of a slot's rollouts is meant.
enum Place {
    Current,
    Queued(usize),
}

fn find_slot(state: &State, run: &Run) -> Result<SlotKey, Refusal> {
    let slot = state.slots.values().find(|slot| slot.target(&state.source) == run.target);
    slot.map(|slot| slot.key.clone()).ok_or_else(|| not_found(format!("there is no {} here", run.target)))
}

fn find_place(slot: &Slot, run: &Run) -> Result<Place, Refusal> {
    if slot.run.as_ref().is_some_and(|of| of.revision == run.revision) {
        return Ok(Place::Current);
    }
    if let Some(at) = slot.queue.iter().position(|of| of.revision == run.revision) {
        return Ok(Place::Queued(at));
    }
    let newest = slot.shown().map_or("nothing".to_owned(), words);
    match slot.history.iter().find(|of| of.revision == run.revision) {
        Some(old) => Err(no(format!("{} is {}; {newest} is there now", words(old), old.phase.word()))),
        None => Err(not_found(format!("there is no rollout {} of {}; {newest} is there now", run.revision, slot.key))),
    }
}

fn on_run(state: &mut State, turn: &mut Turn, ask: &Ask<'_>, run: &Run) -> Done {
    let key = find_slot(state, run)?;
    let done = with(state, &key, |state, slot| {
        if let Some(of) = slot.runs().find(|of| of.revision == run.revision) {
            check_pin(ask, &facts_of(slot, of))?;
        }
        match find_place(slot, run)? {
            Place::Current => on_current(state, slot, turn, ask),
            Place::Queued(at) => on_queued(state, slot, turn, ask, at),
        }
    });
    done.unwrap_or_else(|| Err(not_found("it is gone")))
}

fn on_current(state: &mut State, slot: &mut Slot, turn: &mut Turn, ask: &Ask<'_>) -> Done {
    match ask.action {
        Action::Promote => promote(state, slot, turn, ask),
        Action::PromoteFull => promote_full(state, slot, turn, ask),
        Action::Pause => pause(state, slot, turn, ask),
        Action::Resume => resume(state, slot, turn, ask),
        Action::Abort => abort(state, slot, turn, ask),
        Action::Rollback => rollback(state, slot, turn, ask),
        Action::Retry => retry(state, slot, turn, ask),
        Action::Restart => restart(state, slot, turn, ask),
        _ => Err(Refusal::new(RefusalKind::Invalid, format!("{} is not for a rollout", ask.action.name()))),
    }
}

/// The rollout in flight, if this may be done to it.
pub(super) fn in_flight(slot: &Slot, action: Action) -> Result<&RunState, Refusal> {
    let Some(run) = &slot.run else { return Err(not_found("there is no rollout")) };
    if !run.active() {
        return Err(no(format!("{} is {}: there is nothing to {}", words(run), run.phase.word(), action.row().label)));
    }
    Ok(run)
}

fn moving(slot: &Slot, action: Action) -> Result<&RunState, Refusal> {
    let run = in_flight(slot, action)?;
    if run.rolling_back() {
        return Err(no(format!("{} is on its way back to stable: {}", words(run), run.cause)));
    }
    Ok(run)
}

fn not_held(run: &RunState) -> Done {
    let holds: Vec<_> = run.pauses.holds.iter().map(ToString::to_string).collect();
    if holds.is_empty() {
        return Ok(());
    }
    Err(no(format!("{} is held by {}; release that first", words(run), holds.join(", "))))
}

fn not_paused_by_person(run: &RunState) -> Done {
    match &run.pauses.person {
        Some(pause) => Err(no(format!("{} is paused by {}; resume it first", words(run), pause.who))),
        None => Ok(()),
    }
}

/// May it go on by one step now?
pub(super) fn may_promote(slot: &Slot) -> Result<&RunState, Refusal> {
    let run = moving(slot, Action::Promote)?;
    not_held(run)?;
    not_paused_by_person(run)?;
    let at = format!("step {} of {}", run.step + 1, run.steps.len());
    match run.current_step() {
        Some(Step::Pause { .. } | Step::Analysis { .. }) => Ok(run),
        Some(Step::Approval { .. }) => Err(no(format!("{at} waits for an approval, which promote does not give"))),
        Some(Step::SetWeight(weight)) => {
            Err(no(format!("{at} is already on its way to {weight}; it waits for instances and the proxy")))
        }
        Some(Step::Other(_)) => Err(no(format!("{at} can't be skipped"))),
        None => Err(no(format!("{} has no step left to go past: it is on its way to all traffic", words(run)))),
    }
}

fn promote(state: &mut State, slot: &mut Slot, turn: &mut Turn, ask: &Ask<'_>) -> Done {
    let run = may_promote(slot)?;
    let (revision, text) =
        (run.revision.clone(), format!("promoted past step {} of {}", run.step + 1, run.steps.len()));
    clear_analysis(slot);
    next_step(slot);
    note(state, slot, turn, &revision, &ask.actor.name, &ask.because(&text));
    Ok(())
}

fn clear_analysis(slot: &mut Slot) {
    if let Some(run) = &mut slot.run
        && run.pauses.analysis.take().is_some()
    {
        run.watched = Watched::default();
    }
}

/// May every step that is left be skipped now?
pub(super) fn may_promote_full<'a>(state: &State, slot: &'a Slot) -> Result<&'a RunState, Refusal> {
    let run = moving(slot, Action::PromoteFull)?;
    not_held(run)?;
    not_paused_by_person(run)?;
    if run.progress != Progress::Steps {
        return Err(no(format!("{} has no step left to skip", words(run))));
    }
    let id = run_id(state, slot, &run.revision);
    let granted = |step: u32| {
        state.approvals.iter().any(|asked| {
            asked.approval.run == id && asked.step == step && asked.approval.state == ApprovalState::Approved
        })
    };
    let gate = (run.step..).zip(run.steps.get(run.step as usize..).unwrap_or_default());
    let gate = gate.into_iter().find(|(at, step)| matches!(step, Step::Approval { .. }) && !granted(*at));
    match gate {
        Some((at, _)) => Err(no(format!(
            "step {} of {} needs an approval, which promote full does not skip",
            at + 1,
            run.steps.len()
        ))),
        None => Ok(run),
    }
}

fn promote_full(state: &mut State, slot: &mut Slot, turn: &mut Turn, ask: &Ask<'_>) -> Done {
    let run = may_promote_full(state, slot)?;
    let revision = run.revision.clone();
    clear_analysis(slot);
    skip_steps(slot);
    note(state, slot, turn, &revision, &ask.actor.name, &ask.because("promoted full: every step left is skipped"));
    Ok(())
}

fn pause(state: &mut State, slot: &mut Slot, turn: &mut Turn, ask: &Ask<'_>) -> Done {
    let run = moving(slot, Action::Pause)?;
    if run.pauses.person.is_some() {
        return Ok(());
    }
    let revision = run.revision.clone();
    slot.generation += 1;
    if let Some(run) = &mut slot.run {
        run.pauses.person = Some(Pause { who: ask.actor.name.clone(), why: ask.reason.clone(), since: turn.now });
    }
    note(state, slot, turn, &revision, &ask.actor.name, &ask.because("paused"));
    Ok(())
}

/// May a person's or an analysis's pause be ended now?
pub(super) fn may_resume(slot: &Slot) -> Result<&RunState, Refusal> {
    let run = moving(slot, Action::Resume)?;
    not_held(run)?;
    if run.pauses.person.is_none() && run.pauses.analysis.is_none() {
        return Err(no(format!("{} is not paused", words(run))));
    }
    Ok(run)
}

fn resume(state: &mut State, slot: &mut Slot, turn: &mut Turn, ask: &Ask<'_>) -> Done {
    let run = may_resume(slot)?;
    let (revision, measure) = (run.revision.clone(), run.pauses.analysis.is_some());
    slot.generation += 1;
    clear_analysis(slot);
    if let Some(run) = &mut slot.run {
        run.pauses.person = None;
        if measure && matches!(run.current_step(), Some(Step::Analysis { .. })) {
            // Measured anew over the whole span.
            run.elapsed = jiff::SignedDuration::ZERO;
            run.measured = super::state::Measured::default();
        }
    }
    note(state, slot, turn, &revision, &ask.actor.name, &ask.because("resumed"));
    Ok(())
}

/// May traffic be sent back to stable now? Asking again while it goes back is no error.
pub(super) fn may_abort(slot: &Slot) -> Result<&RunState, Refusal> {
    let run = in_flight(slot, Action::Abort)?;
    if run.kind == Kind::Rollback {
        return Err(no(format!("{} already takes users back; there is nothing safer to return to", words(run))));
    }
    Ok(run)
}

fn abort(state: &mut State, slot: &mut Slot, turn: &mut Turn, ask: &Ask<'_>) -> Done {
    if may_abort(slot)?.rolling_back() {
        return Ok(());
    }
    let back = Back::new(DeploymentOutcome::Aborted, ask.because("aborted"));
    begin_rollback(state, slot, turn, &ask.actor.name, back);
    Ok(())
}

/// Where a rollback would go from here, if it may.
pub(super) fn may_rollback(state: &State, slot: &Slot) -> Result<ReleaseRef, Refusal> {
    let Some(run) = &slot.run else { return Err(not_found("there is no rollout")) };
    if !matches!(run.progress, Progress::Ended(DeploymentOutcome::Succeeded | DeploymentOutcome::RolledBack)) {
        return Err(no(format!("{} is {}: stable serves already", words(run), run.phase.word())));
    }
    let Some(to) = previous(slot).cloned() else {
        return Err(no(format!("there is no version before {} to roll back to", run.to.version)));
    };
    let stored = state.release(&slot.key.service, &to.version).is_some();
    if !stored && warm_pool(slot, &to).is_none() {
        return Err(no(format!("{} is neither up nor stored any more", to.version)));
    }
    Ok(to)
}

fn rollback(state: &mut State, slot: &mut Slot, turn: &mut Turn, ask: &Ask<'_>) -> Done {
    if slot.active().is_some() {
        return abort(state, slot, turn, ask);
    }
    let to = may_rollback(state, slot)?;
    roll_back(state, slot, turn, &to, &ask.actor.name, &ask.because("rolled back"));
    turn.note = slot.run.as_ref().map(|run| run.revision.clone());
    Ok(())
}

/// What a retry would start again, if it may.
pub(super) fn may_retry(state: &State, slot: &Slot) -> Result<ReleaseRef, Refusal> {
    let Some(run) = &slot.run else { return Err(not_found("there is no rollout")) };
    let over = matches!(run.progress, Progress::Ended(DeploymentOutcome::Aborted | DeploymentOutcome::Failed));
    if !over || run.kind == Kind::Rollback {
        return Err(no(format!(
            "{} is {}: only an aborted or failed rollout is retried",
            words(run),
            run.phase.word()
        )));
    }
    if let Some(queued) = slot.queue.front() {
        return Err(no(format!("{} is in line already", words(queued))));
    }
    if run.kind != Kind::Restart && state.release(&slot.key.service, &run.to.version).is_none() {
        return Err(no(format!("{} is not stored any more", run.to.version)));
    }
    Ok(run.to.clone())
}

fn retry(state: &mut State, slot: &mut Slot, turn: &mut Turn, ask: &Ask<'_>) -> Done {
    let to = may_retry(state, slot)?;
    let kind =
        if slot.run.as_ref().is_some_and(|run| run.kind == Kind::Restart) { Kind::Restart } else { Kind::Canary };
    let run = plan(state, slot, turn, kind, to, &ask.actor.name);
    turn.note = Some(enqueue(state, slot, turn, run, &ask.because("retried")));
    Ok(())
}

/// May every instance be replaced now?
pub(super) fn may_restart(slot: &Slot) -> Result<ReleaseRef, Refusal> {
    if let Some(run) = slot.active().or_else(|| slot.queue.front()) {
        return Err(no(format!("{} is in flight", words(run))));
    }
    slot.stable_pool().map(|pool| pool.release.clone()).ok_or_else(|| no("nothing runs here"))
}

fn restart(state: &mut State, slot: &mut Slot, turn: &mut Turn, ask: &Ask<'_>) -> Done {
    let to = may_restart(slot)?;
    let run = plan(state, slot, turn, Kind::Restart, to, &ask.actor.name);
    turn.note = Some(enqueue(state, slot, turn, run, &ask.because("restart asked for")));
    Ok(())
}

fn on_queued(state: &mut State, slot: &mut Slot, turn: &mut Turn, ask: &Ask<'_>, at: usize) -> Done {
    let Some(run) = slot.queue.get_mut(at) else { return Err(not_found("it is gone")) };
    let (revision, name) = (run.revision.clone(), words(run));
    let text = match ask.action {
        Action::Pause if run.pauses.person.is_some() => return Ok(()),
        Action::Pause => {
            run.pauses.person = Some(Pause { who: ask.actor.name.clone(), why: ask.reason.clone(), since: turn.now });
            "paused in line"
        }
        Action::Resume => {
            not_held(run)?;
            run.pauses.person.take().ok_or_else(|| no(format!("{name} is not paused; it waits in line")))?;
            "resumed in line"
        }
        Action::Abort | Action::Rollback => {
            if let Some(run) = slot.queue.remove(at) {
                let why = ask.because("aborted in line");
                settle_queued(state, slot, turn, run, DeploymentOutcome::Aborted, &why);
                note(state, slot, turn, &revision, &ask.actor.name, &why);
            }
            return Ok(());
        }
        action => return Err(no(format!("{name} waits in line: it can't {} yet", action.row().label))),
    };
    slot.generation += 1;
    note(state, slot, turn, &revision, &ask.actor.name, &ask.because(text));
    Ok(())
}

fn on_approval(
    state: &mut State,
    turn: &mut Turn,
    ask: &Ask<'_>,
    id: &ApprovalId,
    run: &Run,
    verdict: Verdict,
) -> Done {
    let Some(at) = state.approvals.iter().position(|asked| asked.approval.id == *id && asked.approval.run == *run)
    else {
        return Err(not_found(format!("there is no approval {id} for {run}")));
    };
    let key = find_slot(state, run)?;
    let done = with(state, &key, |state, slot| {
        if let Some(of) = slot.runs().find(|of| of.revision == run.revision) {
            check_pin(ask, &facts_of(slot, of).with(Fact::Approval, id.as_str()))?;
        }
        vote(state, turn, ask, at, verdict)?;
        settle_votes(state, slot, turn, ask, at);
        Ok(())
    });
    done.unwrap_or_else(|| Err(not_found("it is gone")))
}

/// Takes one person's word, if it counts.
fn vote(state: &mut State, turn: &Turn, ask: &Ask<'_>, at: usize, verdict: Verdict) -> Done {
    let Some(asked) = state.approvals.get_mut(at) else { return Err(not_found("it is gone")) };
    let (approval, who) = (&mut asked.approval, &ask.actor.name);
    let lapsed = approval.expires.is_some_and(|expires| turn.now >= expires);
    match &approval.state {
        ApprovalState::Pending if lapsed => return Err(no(format!("{} has expired", approval.id))),
        ApprovalState::Pending => {}
        ApprovalState::Superseded { by } => {
            return Err(no(format!("{} waits no more: {by}", approval.id)));
        }
        ApprovalState::Approved => return Err(no(format!("{} is approved already", approval.id))),
        ApprovalState::Rejected => return Err(no(format!("{} is rejected already", approval.id))),
        ApprovalState::Expired => return Err(no(format!("{} has expired", approval.id))),
    }
    if approval.votes.iter().any(|vote| vote.who == *who && vote.verdict == verdict) {
        return Err(no(format!(
            "{who} has said so already; {} needs {} different people",
            approval.id, approval.requirement.count
        )));
    }
    if verdict == Verdict::Approved {
        let denied = |why: String| Err(Refusal::new(RefusalKind::Denied, why));
        if *who == approval.author && !approval.requirement.allow_self {
            return denied(format!("{who} asked for this rollout and may not approve it"));
        }
        let from = &approval.requirement.from;
        let counts = from.is_empty() || from.iter().any(|of| of == who || ask.actor.roles.contains(of));
        if !counts {
            return denied(format!("{} takes the yes of {} only", approval.id, from.join(", ")));
        }
    }
    approval.votes.push(Vote { who: who.clone(), verdict, at: turn.now, reason: ask.reason.clone() });
    Ok(())
}

fn settle_votes(state: &mut State, slot: &mut Slot, turn: &mut Turn, ask: &Ask<'_>, at: usize) {
    let Some(asked) = state.approvals.get_mut(at) else { return };
    let approval = &mut asked.approval;
    let (id, revision) = (approval.id.clone(), approval.run.revision.clone());
    let who = &ask.actor.name;
    if approval.votes.iter().any(|vote| vote.verdict == Verdict::Rejected) {
        approval.state = ApprovalState::Rejected;
        let back = Back::new(DeploymentOutcome::Aborted, ask.because(&format!("{id} rejected")));
        begin_rollback(state, slot, turn, who, back);
        return;
    }
    let yes = approval.votes.iter().filter(|vote| vote.verdict == Verdict::Approved).count();
    let count = approval.requirement.count as usize;
    if yes >= count {
        approval.state = ApprovalState::Approved;
        slot.generation += 1;
    }
    note(state, slot, turn, &revision, who, &ask.because(&format!("{id} approved ({yes} of {count})")));
}

fn hold(state: &mut State, turn: &mut Turn, ask: &Ask<'_>, selector: &Selector) -> Done {
    check_pin(ask, &Facts::default())?;
    if selector.source.as_ref().is_some_and(|source| *source != state.source) {
        return Err(no(format!("this is {}; {selector} is not here", state.source)));
    }
    let owner = ask.actor.name.clone();
    if let Some(hold) = state.holds.iter().find(|hold| hold.owner == owner && hold.selector == *selector) {
        turn.note = Some(hold.id.to_string());
        return Ok(());
    }
    let id = HoldId::from(format!("H-{}", Counters::next(&mut state.counters.hold)));
    let mut hold = Hold {
        id: id.clone(),
        source: state.source.clone(),
        selector: selector.clone(),
        owner,
        reason: ask.reason.clone(),
        since: turn.now,
        targets: Vec::new(),
    };
    let text = ask.because(&format!("held by {id}"));
    with_all(state, |state, slot| {
        if covers(state, &hold, &slot.key) {
            hold.targets.extend(hold_slot(state, slot, turn, &id, ask, &text));
        }
    });
    state.holds.push(hold);
    turn.note = Some(id.to_string());
    Ok(())
}

fn hold_slot(
    state: &mut State,
    slot: &mut Slot,
    turn: &mut Turn,
    id: &HoldId,
    ask: &Ask<'_>,
    text: &str,
) -> Vec<HoldTarget> {
    let mut targets = Vec::new();
    let runs = slot.run.iter_mut().filter(|run| run.active()).chain(&mut slot.queue);
    let mut held = Vec::new();
    for run in runs {
        let back = run.rolling_back();
        if !back {
            run.pauses.holds.insert(id.clone());
            held.push(run.revision.clone());
        }
        let note = if back { "on its way back to stable: not held" } else { "held" };
        targets.push((run.revision.clone(), !back, note.to_owned()));
    }
    for revision in held {
        slot.generation += 1;
        note(state, slot, turn, &revision, &ask.actor.name, text);
    }
    let target =
        |(revision, held, note): (String, bool, String)| HoldTarget { run: run_id(state, slot, &revision), held, note };
    targets.into_iter().map(target).collect()
}

fn release_hold(state: &mut State, turn: &mut Turn, ask: &Ask<'_>, id: &HoldId) -> Done {
    check_pin(ask, &Facts::default())?;
    let Some(at) = state.holds.iter().position(|hold| hold.id == *id) else {
        return Err(not_found(format!("there is no hold {id}")));
    };
    state.holds.remove(at);
    let text = ask.because(&format!("{id} released"));
    with_all(state, |state, slot| {
        let runs = slot.run.iter_mut().chain(&mut slot.queue);
        let freed: Vec<_> = runs.filter_map(|run| run.pauses.holds.remove(id).then(|| run.revision.clone())).collect();
        for revision in freed {
            slot.generation += 1;
            note(state, slot, turn, &revision, &ask.actor.name, &text);
        }
    });
    Ok(())
}

fn deploy(
    state: &mut State,
    turn: &mut Turn,
    ask: &Ask<'_>,
    key: &SlotKey,
    version: Option<&Version>,
    from: Option<&EnvironmentName>,
) -> Done {
    if placement(state, key).is_none() || state.slots.get(key).is_none_or(|slot| slot.removed) {
        return Err(not_found(format!("{} is not configured in {}", key.service, key.environment)));
    }
    let facts = state.slots.get(key).and_then(|slot| Some(facts_of(slot, slot.shown()?))).unwrap_or_default();
    check_pin(ask, &facts)?;
    let to = to_deploy(state, &key.service, version, from)?;
    let done = with(state, key, |state, slot| {
        not_there_yet(slot, &to)?;
        let run = plan(state, slot, turn, Kind::Canary, to.clone(), &ask.actor.name);
        let next = ahead(&run, 0);
        let text = ask.because(&format!("deployment of {} asked for, first {next}", to.version));
        turn.note = Some(enqueue(state, slot, turn, run, &text));
        Ok(())
    });
    done.unwrap_or_else(|| Err(not_found("it is gone")))
}

/// The release that is meant, with its digest.
fn to_deploy(
    state: &State,
    service: &ServiceName,
    version: Option<&Version>,
    from: Option<&EnvironmentName>,
) -> Result<ReleaseRef, Refusal> {
    let source = match from {
        None => None,
        Some(from) => {
            let key = SlotKey { service: service.clone(), environment: from.clone() };
            let succeeded = state.slots.get(&key).and_then(|slot| slot.lineage.last());
            Some(succeeded.ok_or_else(|| no(format!("nothing of {service} has succeeded in {from} yet")))?)
        }
    };
    let Some(version) = version.or(source.map(|source| &source.version)) else {
        return Err(Refusal::new(RefusalKind::Invalid, "say which version, or from which environment"));
    };
    let Some(release) = state.release(service, version) else {
        return Err(not_found(format!("there is no stored release {service} {version}")));
    };
    let Some(artifact) = release.artifacts.first() else {
        return Err(no(format!("{service} {version} has no artifact")));
    };
    if let (Some(source), Some(from)) = (source, from)
        && (source.digest != artifact.digest || source.version != *version)
    {
        return Err(no(format!(
            "what succeeded in {from} is {} ({}), not {version} ({}); nothing was done",
            source.version, source.digest, artifact.digest
        )));
    }
    Ok(ReleaseRef { version: version.clone(), digest: artifact.digest.clone() })
}

fn not_there_yet(slot: &Slot, to: &ReleaseRef) -> Done {
    let flying = slot.active().filter(|run| !run.rolling_back() && run.kind != Kind::Restart);
    if let Some(run) = flying.into_iter().chain(&slot.queue).find(|run| run.to == *to && run.kind != Kind::Restart) {
        return Err(no(format!("{} is on its way already", words(run))));
    }
    // On the way back from it, the version can be asked for again.
    let leaving = slot.active().is_some_and(|run| run.kind == Kind::Rollback);
    if slot.stable_pool().is_some_and(|pool| pool.release == *to) && !leaving && slot.queue.is_empty() {
        return Err(match flying {
            Some(run) => no(format!("{} is stable there; abort {} to return to it", to.version, words(run))),
            None => no(format!("{} serves there already; restart replaces its instances", to.version)),
        });
    }
    Ok(())
}

/// What a person stops is told apart from what the program stops.
pub(super) fn pauses_in_words(pauses: &Pauses) -> Option<String> {
    let mut words = Vec::new();
    if let Some(pause) = &pauses.person {
        let why = pause.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
        words.push(format!("paused by {}{why}", pause.who));
    }
    words.extend(pauses.holds.iter().map(|hold| format!("held by {hold}")));
    words.extend(pauses.analysis.iter().map(|pause| pause.why.clone().unwrap_or_else(|| "no data".to_owned())));
    (!words.is_empty()).then(|| words.join("; "))
}
