//! What a yes does next, said beforehand, and how the outcome compares.

use super::context::DecisionContext;
use super::data::{self, Deploys};
use super::friction::before;
use super::plan::{self, Ahead};
use super::rollback_plan;
use flightdeck_board::Board;
use flightdeck_model::time::length;
use flightdeck_model::{
    Action, Actor, Alert, AlertSeverity, Approval, Forecast, Grade, Hold, InstanceState, Phase, Ppm, RollbackPath,
    Rollout, Run, Step, Strategy, Subject, Verdict, Version, Wait, times,
};
use jiff::{SignedDuration, Timestamp};

/// A route is swapped and acknowledged well within this.
const SWITCH: SignedDuration = SignedDuration::from_secs(2);

/// What an action would do, by what the board knows and the row that was read just now, if one was.
#[must_use]
pub fn forecast(
    board: &Board,
    live: Option<&Rollout>,
    actor: &Actor,
    action: Action,
    subject: &Subject,
    now: Timestamp,
) -> Forecast {
    forecast_of(DecisionContext { board, live, now }, actor, action, subject)
}

pub(super) fn forecast_of(seen: DecisionContext<'_>, actor: &Actor, action: Action, subject: &Subject) -> Forecast {
    match (subject, seen.rollout_of(subject)) {
        (Subject::Run(_) | Subject::Approval { .. }, Some(rollout)) => match action {
            Action::Promote => with_word(data::word_on(seen, rollout, true), promote(rollout)),
            Action::Resume => with_word(data::word_on(seen, rollout, false), resume(rollout)),
            Action::PromoteFull => promote_full(rollout),
            Action::Approve => approve(seen, actor, subject, rollout),
            Action::Abort | Action::Reject => match &rollout.rollback_plan {
                Some(way) => rollback_plan::abort(way, abort(rollout)),
                None => nothing_before(seen, rollout),
            },
            Action::Pause => pause(rollout),
            Action::Rollback => rollback(seen, rollout),
            Action::Retry => retry(rollout),
            Action::Restart => restart(rollout),
            Action::Drill => rollback_plan::drill(rollout),
            Action::LetThrough => let_through(seen, rollout),
            _ => Forecast::default(),
        },
        (Subject::Scope { .. }, _) => hold(seen, subject),
        (Subject::Hold { .. }, _) => release(seen, subject),
        (Subject::NewRollout { .. }, current) => deploy(seen, subject, current),
        (Subject::Migrations { .. }, _) => data::settle(seen, subject),
        (Subject::Command { service, environment, run, timeout, job, .. }, _) => {
            let bound = timeout.map_or(String::new(), |timeout| format!(", killed after {}", length(timeout)));
            let first = format!(
                "runs once, with what is stable in {service}@{environment}, its variables, secrets and user{bound}"
            );
            let shown: Vec<String> = run.iter().map(|word| format!("{word:?}")).collect();
            let counts =
                job.as_ref().map(|job| format!("it counts as a run of the job {job}, which is not started meanwhile"));
            Forecast { lines: [first, shown.join(" ")].into_iter().chain(counts).collect(), ..Forecast::default() }
        }
        (Subject::OneOff { id, .. }, _) => Forecast {
            lines: vec![format!("{id} is signalled, and killed if it has not ended after the grace of its service")],
            ..Forecast::default()
        },
        (Subject::Alert { source, fingerprint, run, lasts }, _) => {
            let (alert, ends) = (seen.board.alert(source, fingerprint), length(*lasts));
            silence(seen, alert.map(|alert| &**alert), run.as_ref(), &ends)
        }
        (Subject::Silence { source, id }, _) => {
            let owner = seen.board.silence(source, id).map_or("somebody", |silence| silence.owner.as_str());
            let lines = vec![format!("silence {id} of {owner} ends: while its alert fires it notifies again")];
            Forecast { lines, ..Forecast::default() }
        }
        (Subject::Receipt { .. }, _) => Forecast {
            lines: vec!["your words stand beside it in the ledger from now on; nothing else is done".to_owned()],
            ..Forecast::default()
        },
        (Subject::Config { name, text, .. }, _) if text.trim().is_empty() => Forecast {
            lines: vec![format!("the configuration {name} ends, with all that it brought")],
            ..Forecast::default()
        },
        (Subject::Config { name, path, .. }, _) => Forecast {
            lines: vec![format!("{path} is put into force as the configuration {name}, as a whole or not at all")],
            ..Forecast::default()
        },
        (Subject::Release { service, version, .. }, _) => {
            let line = if action == Action::RemoveRelease {
                format!("{service} {version} is deleted from the store and can't be deployed again")
            } else {
                format!("{service} {version} is stored; nothing is started")
            };
            Forecast { lines: vec![line], ..Forecast::default() }
        }
        (Subject::Run(run) | Subject::Approval { run, .. }, None) => {
            Forecast { warnings: vec![format!("nothing is known of {run} here")], ..Forecast::default() }
        }
    }
}

fn silence(seen: DecisionContext<'_>, alert: Option<&Alert>, run: Option<&Run>, ends: &str) -> Forecast {
    let Some(alert) = alert else {
        return Forecast { warnings: vec!["it does not fire any more".to_owned()], ..Forecast::default() };
    };
    let (name, severity) = (&alert.name, alert.severity.word());
    let until = match run {
        Some(run) if seen.board.rollout(&run.target).is_some() => {
            format!("until {} in {} has ended, {ends} at most", run.target.name, run.target.source)
        }
        // Whoever makes it is not whoever sees that rollout.
        Some(run) => format!("for {ends}: whoever tells of {} does not end it sooner", run.target),
        None => format!("for {ends}"),
    };
    let lines = vec![
        format!("{name} ({severity}) notifies nobody {until}"),
        "only this alert, by all of its labels; it stays in sight as silenced, and nothing else changes".to_owned(),
    ];
    let critical = alert.severity == AlertSeverity::Critical;
    let warnings = critical.then(|| format!("{name} is critical: nobody is called while it is silenced"));
    Forecast { lines, warnings: warnings.into_iter().collect(), ..Forecast::default() }
}

fn sides(rollout: &Rollout) -> (&str, &str) {
    (plan::version(rollout.stable()), plan::version(rollout.candidate()))
}

/// `25 % → 50 % of traffic to 1.10.0, then analysis golden for 2 m`.
fn goes_on(rollout: &Rollout, ahead: Ahead) -> Vec<String> {
    let (_, candidate) = sides(rollout);
    let now = plan::share(rollout);
    let mut lines = vec![if ahead.weight == now {
        format!("{candidate} keeps {}", plan::of(rollout, now))
    } else {
        format!("{candidate} goes from {now} to {}", plan::of(rollout, ahead.weight))
    }];
    let stops = rollout.steps.iter().enumerate().skip(ahead.step as usize);
    let next = stops.into_iter().find(|(_, step)| !matches!(step, Step::SetWeight(_)));
    lines.push(match next {
        Some((index, step)) => format!("then step {} of {}: {}", index + 1, rollout.steps.len(), plan::words(step)),
        None => format!("then it is done: {candidate} becomes stable"),
    });
    let gates = plan::gates_after(rollout, next.and_then(|(index, _)| u32::try_from(index).ok()));
    if !gates.is_empty() && next.is_some() {
        lines.push(format!("still ahead: {}", gates.join(", ")));
    }
    lines.push(abort_line(rollout));
    lines
}

fn abort_line(rollout: &Rollout) -> String {
    match rollout.stable() {
        Some(arm) if rollout.is_worker() => {
            let candidate = plan::version(rollout.candidate());
            format!("way back: abort ends {candidate}; {}", arm.running())
        }
        Some(arm) => format!(
            "way back: abort sends all traffic to {} ({} of {} ready)",
            arm.version, arm.replicas.ready, arm.replicas.desired
        ),
        None => "way back: none, there is no version before".to_owned(),
    }
}

fn not_ready(rollout: &Rollout) -> Option<String> {
    let arm = rollout.candidate()?;
    (arm.replicas.ready < arm.replicas.desired)
        .then(|| format!("{} has {} of {} instances ready", arm.version, arm.replicas.ready, arm.replicas.desired))
}

fn promote(rollout: &Rollout) -> Forecast {
    let ahead = plan::after_step(rollout);
    let takes = Some(SWITCH).filter(|_| not_ready(rollout).is_none());
    let warnings = not_ready(rollout).into_iter().collect();
    Forecast { lines: goes_on(rollout, ahead), warnings, step: Some(ahead.step), takes, ..Forecast::default() }
}

fn resume(rollout: &Rollout) -> Forecast {
    let here = rollout.step.and_then(|index| rollout.steps.get(index as usize));
    let position = plan::position(rollout, rollout.step).unwrap_or_else(|| "where it stopped".to_owned());
    let mut lines = vec![match here {
        Some(step) => format!("goes on at {position}: {}", plan::words(step)),
        None => format!("goes on at {position}"),
    }];
    lines.push(abort_line(rollout));
    Forecast { lines, warnings: not_ready(rollout).into_iter().collect(), takes: Some(SWITCH), ..Forecast::default() }
}

fn promote_full(rollout: &Rollout) -> Forecast {
    let (_, candidate) = sides(rollout);
    let here = rollout.step.unwrap_or(0);
    let skipped = plan::gates_after(rollout, here.checked_sub(1));
    let lines = vec![
        format!("{candidate} goes from {} to {} and becomes stable", plan::share(rollout), plan::of(rollout, Ppm::ALL)),
        abort_line(rollout),
    ];
    let mut warnings: Vec<_> = not_ready(rollout).into_iter().collect();
    if !skipped.is_empty() {
        warnings.push(format!("skips {}", skipped.join(", ")));
    }
    let step = u32::try_from(rollout.steps.len()).ok();
    Forecast { lines, warnings, step, ..Forecast::default() }
}

fn approve(seen: DecisionContext<'_>, actor: &Actor, subject: &Subject, rollout: &Rollout) -> Forecast {
    let Some(approval) = seen.approval_of(subject) else { return promote(rollout) };
    let missing = votes_missing(approval, actor);
    let mut forecast = if missing == 0 {
        promote(rollout)
    } else {
        let line = format!("your yes is one of {}: {missing} more must agree", approval.requirement.count);
        Forecast { lines: vec![line], takes: Some(SWITCH), ..Forecast::default() }
    };
    forecast.lines.insert(0, format!("lets through {}", approval.what));
    if !approval.behind.is_empty() {
        forecast.lines.push(format!("queued behind it: {}", approval.behind.join(", ")));
    }
    forecast
}

/// How many more must agree after this actor's yes.
fn votes_missing(approval: &Approval, actor: &Actor) -> u32 {
    let others = approval.votes.iter().filter(|vote| vote.verdict == Verdict::Approved && vote.who != actor.name);
    approval.requirement.count.saturating_sub(u32::try_from(others.count()).unwrap_or(u32::MAX).saturating_add(1))
}

fn abort(rollout: &Rollout) -> Forecast {
    let (stable, candidate) = sides(rollout);
    let Some(arm) = rollout.stable() else {
        let warnings = vec![format!("there is no version before {candidate}: nothing will serve")];
        return Forecast {
            lines: vec![format!("{candidate} is taken out")],
            warnings,
            takes: Some(SWITCH),
            ..Forecast::default()
        };
    };
    let share = arm.traffic.actual.unwrap_or(arm.traffic.desired);
    let worker = rollout.is_worker();
    let first = if worker {
        format!("{candidate} is ended; {stable} goes on working")
    } else {
        format!("all traffic goes to {stable}, which has {share} now; {candidate} is ended")
    };
    let lines = vec![first, format!("{stable} has {} of {} instances ready", arm.replicas.ready, arm.replicas.desired)];
    let short = plan::short_stable(rollout);
    let warnings = short.map(|(ready, full, share)| {
        if worker {
            return format!("stable {ready} of {full} ready: the rest is started first");
        }
        format!(
            "stable {ready} of {full} ready: it will carry {} % of the traffic; the rest when it has scaled up",
            plan::percent(share)
        )
    });
    let takes = Some(SWITCH).filter(|_| short.is_none());
    Forecast { lines, warnings: warnings.into_iter().collect(), takes, ..Forecast::default() }
}

/// An abort whose way the backend does not plan: often since there is no version to return to.
fn nothing_before(seen: DecisionContext<'_>, rollout: &Rollout) -> Forecast {
    let mut forecast = abort(rollout);
    forecast.warnings.extend(data::no_rollback(seen, rollout));
    forecast
}

/// What going on says beside what it does comes first.
fn with_word(word: Option<String>, mut forecast: Forecast) -> Forecast {
    if let Some(word) = word {
        forecast.lines.insert(0, word);
    }
    forecast
}

fn pause(rollout: &Rollout) -> Forecast {
    let (_, candidate) = sides(rollout);
    let at = plan::position(rollout, rollout.step).map_or(String::new(), |position| format!(" at {position}"));
    let mut lines = vec![format!("stands still{at}: {candidate} keeps {}", plan::of(rollout, plan::share(rollout)))];
    lines.extend((!rollout.is_worker()).then(|| "a failing analysis still takes it back".to_owned()));
    Forecast { lines, takes: Some(SWITCH), ..Forecast::default() }
}

fn rollback(seen: DecisionContext<'_>, rollout: &Rollout) -> Forecast {
    let in_flight = rollout.phase.in_flight();
    if let Some(way) = &rollout.rollback_plan {
        return rollback_plan::rollback(way, in_flight.then(|| abort(rollout)));
    }
    if in_flight {
        return Forecast { path: Some(RollbackPath::Warm), ..nothing_before(seen, rollout) };
    }
    let Some(version) = before(seen, rollout) else {
        return Forecast {
            warnings: vec!["which version comes back is not known here".to_owned()],
            ..Forecast::default()
        };
    };
    let ready = warm(seen, rollout, &version);
    let current = plan::version(rollout.stable().or_else(|| rollout.candidate()));
    if ready > 0 {
        let lines =
            vec![format!("{version} is still up ({ready} ready): all traffic goes from {current} to it in one switch")];
        return Forecast { lines, takes: Some(SWITCH), path: Some(RollbackPath::Warm), ..Forecast::default() };
    }
    let lines = vec![
        format!("{version} is started first, then all traffic goes from {current} to it"),
        "no step of the plan is waited for".to_owned(),
    ];
    let warnings = vec![format!("until {version} is ready, {current} keeps serving")];
    Forecast { lines, warnings, path: Some(RollbackPath::Start), ..Forecast::default() }
}

/// Ready instances of a version.
fn warm(seen: DecisionContext<'_>, rollout: &Rollout, version: &Version) -> usize {
    let of_version = seen.board.instances().filter(|i| i.target == rollout.run.target && i.version == *version);
    of_version.filter(|instance| instance.state == InstanceState::Ready).count()
}

fn retry(rollout: &Rollout) -> Forecast {
    let candidate = plan::version(rollout.candidate());
    let all = if rollout.is_worker() { "all instances at once" } else { "all traffic at once" };
    let first = rollout.steps.first().map_or_else(|| all.to_owned(), plan::words);
    let mut lines = vec![format!("{candidate} starts again from its first step: {first}")];
    let gates = plan::gates_after(rollout, None);
    if !gates.is_empty() {
        lines.push(format!("ahead: {}", gates.join(", ")));
    }
    if !rollout.message.is_empty() {
        lines.push(format!("it ended with: {}", rollout.message));
    }
    Forecast { lines, step: Some(0), ..Forecast::default() }
}

fn restart(rollout: &Rollout) -> Forecast {
    let arm = rollout.stable().or_else(|| rollout.candidate());
    let count = arm.map_or(0, |arm| arm.replicas.desired);
    let version = plan::version(arm);
    let keeps = if rollout.is_worker() { "" } else { "; it keeps all traffic" };
    let lines = vec![match count {
        1 => format!("the instance of {version} is replaced{keeps}"),
        count => format!("{count} instances of {version} are replaced, one after the other{keeps}"),
    }];
    let warnings = if count == 1 {
        vec!["there is one instance only: its replacement must be ready first".to_owned()]
    } else {
        Vec::new()
    };
    Forecast { lines, warnings, ..Forecast::default() }
}

fn hold(seen: DecisionContext<'_>, subject: &Subject) -> Forecast {
    let Subject::Scope { selector, .. } = subject else { return Forecast::default() };
    let mut names: Vec<_> = seen
        .board
        .rollouts()
        .filter(|rollout| selector.holds(rollout))
        .map(|rollout| format!("{} in {}", rollout.service, rollout.environment))
        .collect();
    names.sort();
    // What happens to those that begin later differs from backend to backend: the hub adds it.
    let lines = vec![match names.len() {
        0 => "nothing is in flight there now".to_owned(),
        1 => format!("1 rollout stands still: {}", names.join(", ")),
        n => format!("{n} rollouts stand still: {}", names.join(", ")),
    }];
    Forecast { lines, takes: Some(SWITCH), ..Forecast::default() }
}

fn release(seen: DecisionContext<'_>, subject: &Subject) -> Forecast {
    let Subject::Hold { source, id } = subject else { return Forecast::default() };
    let holds: Vec<&Hold> = seen.holds(source.as_ref(), id).collect();
    let Some(first) = holds.first() else { return Forecast::default() };
    let why = first.reason.as_deref().map_or(String::new(), |why| format!(": {why}"));
    let mut lines = vec![format!("{} held {}{why}", first.owner, first.selector)];
    if holds.len() > 1 {
        let sources: Vec<_> = holds.iter().map(|hold| hold.source.as_str()).collect();
        lines.push(format!("it ends at {}", sources.join(", ")));
    }
    let mut warnings = Vec::new();
    for target in holds.iter().flat_map(|hold| hold.held()) {
        match seen.rollout(&target.run.target).filter(|rollout| rollout.run == target.run && rollout.in_flight()) {
            Some(rollout) => lines.push(format!(
                "{} in {} goes on at {}",
                rollout.service,
                rollout.environment,
                plan::share(rollout)
            )),
            None => warnings.push(format!("{} has ended meanwhile", target.run)),
        }
    }
    let here = |other: &&Hold| source.as_ref().is_none_or(|source| other.source == *source) && other.id != *id;
    let mut others: Vec<_> = seen.board.holds().filter(here).map(|other| other.id.as_str()).collect();
    others.sort_unstable();
    others.dedup();
    if !others.is_empty() {
        warnings.push(format!("still in force: {}", others.join(", ")));
    }
    Forecast { lines, warnings, takes: Some(SWITCH), ..Forecast::default() }
}

/// One goes on, the rest of its hold stays.
fn let_through(seen: DecisionContext<'_>, rollout: &Rollout) -> Forecast {
    let mut lines = vec![format!(
        "{} in {} goes on at {}, {}",
        rollout.service,
        rollout.environment,
        plan::share(rollout),
        plan::position(rollout, rollout.step).unwrap_or_else(|| "where it stopped".to_owned())
    )];
    let by = rollout.waits.iter().filter_map(|wait| match wait {
        Wait::Hold(id) => Some(id),
        _ => None,
    });
    for id in by {
        let others = seen.holds(None, id).flat_map(Hold::held).filter(|target| target.run != rollout.run).count();
        let of = seen.holds(None, id).next().map_or(String::new(), |hold| format!(" of {}", hold.owner));
        lines.push(format!("{id}{of} stays in force: {others} others stay held"));
    }
    lines.push(abort_line(rollout));
    Forecast { lines, warnings: not_ready(rollout).into_iter().collect(), ..Forecast::default() }
}

fn deploy(seen: DecisionContext<'_>, subject: &Subject, current: Option<&Rollout>) -> Forecast {
    let Subject::NewRollout { source, service, environment, version, from } = subject else {
        return Forecast::default();
    };
    let what = match (version, from) {
        (Some(version), _) => version.0.clone(),
        (None, Some(from)) => format!("what succeeded in {from}"),
        (None, None) => "nothing".to_owned(),
    };
    let mut lines = vec![match current {
        Some(rollout) => format!("{service} in {environment}: {} → {what}", plan::version(rollout.stable())),
        None => format!("{service} in {environment}: {what} comes up, the first version there"),
    }];
    let mut warnings = Vec::new();
    if let Some(rollout) = current.filter(|rollout| rollout.strategy == Strategy::Recreate) {
        let measured = rollout.rollback_plan.as_ref().filter(|way| way.path == RollbackPath::Recreate);
        let how_long = match measured.and_then(|way| Some((way.estimate?, way.measured))) {
            Some((down, measured)) => format!("about {}, as measured {}", length(down), times(measured)),
            None => "how long was never measured here".to_owned(),
        };
        let stable = plan::version(rollout.stable());
        warnings.push(format!("nothing serves from the end of {stable} until {what} is ready: {how_long}"));
    }
    let deploys = Deploys::of(seen, source, service, environment, version.as_ref(), from.as_ref());
    let (steps, known) = match (deploys.steps(), current) {
        (Some(steps), _) => (steps, "ahead"),
        (None, current) => {
            (current.map(|rollout| rollout.steps.to_vec()).unwrap_or_default(), "ahead, as configured for the last one")
        }
    };
    lines.extend(steps.first().map(|first| format!("begins with {}", plan::words(first))));
    let gates = plan::gates(&steps);
    if !gates.is_empty() {
        lines.push(format!("{known}: {}", gates.join(", ")));
    }
    if let Some(rollout) = current.filter(|rollout| rollout.phase.in_flight()) {
        let busy = format!("{} is in flight there ({})", plan::version(rollout.candidate()), rollout.phase.word());
        warnings.push(format!("{busy}: it is replaced or waited for, as configured"));
    }
    let holds = seen.board.holds().filter(|hold| {
        hold.source == *source
            && hold.selector.environment.as_ref().is_none_or(|name| name == environment)
            && hold.selector.service.as_ref().is_none_or(|name| name == service)
    });
    warnings.extend(
        holds.map(|hold| format!("hold {} of {} is in force: it waits until that is released", hold.id, hold.owner)),
    );
    let mut forecast = Forecast { lines, warnings, step: Some(0), ..Forecast::default() };
    deploys.tell(&mut forecast, &what, &format!("{service}@{environment}"));
    forecast
}

/// How the outcome compares with what was said, given the row once the command was effective.
#[must_use]
pub fn grade(forecast: &Forecast, action: Action, took: SignedDuration, current: Option<&Rollout>) -> Grade {
    let mut off = Vec::new();
    if let (Some(step), Some(rollout)) = (forecast.step, current) {
        let reached = rollout.step.unwrap_or(0);
        if reached < step && rollout.phase != Phase::Healthy {
            off.push(format!("it is at step {}, not {}", reached + 1, step + 1));
        }
    }
    let returns = matches!(action, Action::Abort | Action::Reject);
    if let Some(rollout) = current.filter(|rollout| returns && plan::share(rollout) > Ppm::ZERO) {
        let still = plan::of(rollout, plan::share(rollout));
        off.push(format!("{} still has {still}", plan::version(rollout.candidate())));
    }
    let slack = |takes: SignedDuration| takes.saturating_mul(2).max(takes.saturating_add(SWITCH));
    if let Some(takes) = forecast.takes.filter(|takes| took > slack(*takes)) {
        off.push(format!("it took {} instead of {}", length(took), length(takes)));
    }
    let as_forecast = off.is_empty();
    let text = if as_forecast { format!("as forecast, in {}", length(took)) } else { off.join("; ") };
    Grade { as_forecast, text }
}
