//! What needs a person, most dangerous first.

use super::entry::{About, Attention, AttentionSubject, Severity};
use super::judged::{fails, latest_judgement};
use super::{Board, Freshness, jobs};
use flightdeck_model::{
    Alert, Approval, ApprovalState, Breach, BreachResponse, Evidence, Hold, HoldTarget, MetricVerdict, Phase, Rollout,
    Run, Scope, Wait,
};
use jiff::{SignedDuration, Timestamp};

/// A rollout that ended by its own judgement is worth a look for so long.
const RECENT_END: SignedDuration = SignedDuration::from_hours(1);

/// What was never allowed has no moment since when; it comes after all that have.
pub(super) const NEVER: Timestamp = Timestamp::MAX;

/// The words of one entry, as the board has it now.
#[must_use]
pub fn describe(board: &Board, about: &About) -> Option<Attention> {
    match about {
        About::Rollout(rollout) => of_rollout(board, rollout),
        About::Approval(id) => board.approval(id).map(of_approval),
        About::Hold(source, id) => board.hold(source, id).and_then(|hold| of_hold(board, hold)),
        About::Job(job) => jobs::describe(board, job),
        About::Source(scope) => of_link(scope, &Freshness::of(board.link_of(scope))),
    }
}

/// Why a rollout needs a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    RollingBack,
    /// A judgement says so.
    Failing,
    /// Instances do not get ready.
    Crashing,
    /// The watchdog saw it break a limit, and sent nothing.
    Breached,
    /// A critical alert concerns it.
    Alerting,
    Paused,
    Degraded,
    Failed,
    /// For a while only.
    Aborted,
    /// Its description still asks for the aborted version.
    StillAsked,
}

impl Why {
    pub(super) const fn severity(self) -> Severity {
        match self {
            Why::RollingBack | Why::Failing | Why::Crashing | Why::Breached | Why::Alerting => Severity::Failing,
            Why::Failed | Why::StillAsked => Severity::Failed,
            Why::Paused => Severity::Paused,
            Why::Degraded | Why::Aborted => Severity::Degraded,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Why::RollingBack => "rolling back",
            Why::Failing | Why::Crashing => "failing",
            Why::Breached => "limit broken",
            Why::Alerting => "critical alert",
            Why::Paused => "paused",
            Why::Degraded => "degraded",
            Why::Failed => "failed",
            Why::Aborted | Why::StillAsked => "aborted",
        }
    }

    /// What is said where neither a judgement nor the backend says it.
    const fn otherwise(self) -> &'static str {
        match self {
            Why::RollingBack => "it goes back to stable",
            Why::Failing => "its analysis fails",
            Why::Crashing => "its instances do not get ready",
            Why::Paused | Why::Breached | Why::Alerting => "",
            Why::Degraded => "not every instance is well",
            Why::Failed => "it could not come up",
            Why::Aborted => "its analysis failed; stable serves",
            Why::StillAsked => "its description still asks for the version that was aborted",
        }
    }
}

/// Why a rollout needs a person and since when, if it does. `judged` is the newest judgement of its
/// run, `asked` whether an approval of it is pending,
/// `alerting` since when a critical alert of it fires.
pub(super) fn why<'a>(
    rollout: &Rollout,
    judged: impl FnOnce() -> Option<&'a Evidence>,
    asked: impl FnOnce() -> bool,
    alerting: impl FnOnce() -> Option<Timestamp>,
) -> Option<(Why, Timestamp)> {
    let failed = || judged().filter(|evidence| fails(evidence));
    match rollout.phase {
        Phase::RollingBack => Some((Why::RollingBack, rollout.since)),
        Phase::Degraded | Phase::Progressing | Phase::Initializing | Phase::Paused if !rollout.failing.is_empty() => {
            Some((Why::Crashing, rollout.since))
        }
        Phase::Degraded => Some((Why::Degraded, rollout.since)),
        Phase::Failed => Some((Why::Failed, rollout.since)),
        Phase::Aborted if rollout.still_asked => Some((Why::StillAsked, rollout.since)),
        Phase::Aborted => failed().map(|_| (Why::Aborted, rollout.since)),
        phase if phase.in_flight() => match failed() {
            Some(evidence) => Some((Why::Failing, evidence.at)),
            None => match breach(rollout)
                .map(|breach| (Why::Breached, breach.at))
                .or_else(|| Some((Why::Alerting, alerting()?)))
            {
                Some(why) => Some(why),
                None if phase == Phase::Paused => paused_since(rollout, asked).map(|since| (Why::Paused, since)),
                None => None,
            },
        },
        _ => None,
    }
}

/// A broken limit that the watchdog only tells of, or could do nothing about.
fn breach(rollout: &Rollout) -> Option<&Breach> {
    let breach = rollout.watchdog.as_ref()?.breach.as_ref()?;
    (!matches!(breach.response, BreachResponse::Sent { .. })).then_some(breach)
}

/// What was broken, and why nothing was sent.
fn breached(rollout: &Rollout) -> String {
    let Some(breach) = breach(rollout) else { return String::new() };
    let what = &breach.sentence;
    match &breach.response {
        BreachResponse::Notified | BreachResponse::Sent { .. } => format!("{what}; nothing is done by itself"),
        BreachResponse::Refused { action, why } => format!("{what}; {} was refused: {why}", action.name()),
        BreachResponse::NotOffered { action, why } => format!("{what}; {} is not possible: {why}", action.name()),
    }
}

/// When a rollout no longer needs a person though nothing changes.
pub(super) fn lapses(why: Why, rollout: &Rollout) -> Option<Timestamp> {
    (why == Why::Aborted).then(|| rollout.since.saturating_add(RECENT_END).unwrap_or(Timestamp::MAX))
}

fn of_rollout(board: &Board, rollout: &Rollout) -> Option<Attention> {
    let judged = latest_judgement(board, &rollout.run);
    let alert = board.critical_alert(rollout).filter(|_| rollout.in_flight());
    let (why, since) = why(rollout, || judged, || asked(board, &rollout.run), || alert.map(|alert| alert.since))?;
    let failed = judged.filter(|evidence| fails(evidence)).map(numbers);
    let said = failed.or_else(|| (!rollout.message.is_empty()).then(|| rollout.message.clone()));
    Some(Attention {
        subject: AttentionSubject::Rollout(rollout.run.clone()),
        name: rollout.service.0.clone(),
        environment: Some(rollout.environment.clone()),
        severity: why.severity(),
        word: why.word(),
        sentence: with_alert(
            alert.filter(|_| why != Why::Alerting).map(|alert| &**alert),
            match why {
                Why::Alerting => alert.map_or_else(String::new, |alert| said_by(alert)),
                Why::Breached => breached(rollout),
                Why::Paused => paused(board, rollout),
                Why::StillAsked => still_asked(rollout),
                // A judgement may be of before: what is so now is said.
                Why::Crashing => rollout.message.clone(),
                why => said.unwrap_or_else(|| why.otherwise().to_owned()),
            },
        ),
        // What is held goes on by nothing but its release.
        deadline: (matches!(why, Why::Failing | Why::Paused | Why::Breached | Why::Alerting)
            && rollout.held_by().is_none())
        .then(|| deadline(rollout))
        .flatten(),
        since,
    })
}

/// An alert in its own words.
fn said_by(Alert { name, summary, .. }: &Alert) -> String {
    if summary.is_empty() { name.clone() } else { format!("{name}: {summary}") }
}

/// What is so, and the critical alert that fires besides.
fn with_alert(alert: Option<&Alert>, sentence: String) -> String {
    match alert {
        Some(alert) if sentence.is_empty() => format!("critical alert {}", said_by(alert)),
        Some(alert) => format!("{sentence}; critical alert {}", said_by(alert)),
        None => sentence,
    }
}

/// What is asked for still, and why it was aborted.
fn still_asked(rollout: &Rollout) -> String {
    let version = rollout.candidate().map_or("the aborted version", |arm| arm.version.as_str());
    let asks = format!("its description still asks for {version}: revert it there, or retry");
    if rollout.message.is_empty() { asks } else { format!("{}; {asks}", rollout.message) }
}

/// The first failing metric with its numbers, else the summary.
fn numbers(evidence: &Evidence) -> String {
    let metrics = evidence.analysis.iter().flat_map(|analysis| &analysis.metrics);
    metrics
        .filter(|metric| metric.verdict == MetricVerdict::Fail)
        .map(|metric| metric.why.clone())
        .next()
        .unwrap_or_else(|| evidence.summary.clone())
}

/// Is an approval of the run pending?
pub(super) fn asked(board: &Board, run: &Run) -> bool {
    board.approvals().any(|approval| approval.run == *run && approval.state == ApprovalState::Pending)
}

fn human(rollout: &Rollout) -> Option<(&str, Option<&str>, Timestamp)> {
    rollout.waits.iter().find_map(|wait| match wait {
        Wait::Human { what, who, since } => Some((what.as_str(), who.as_deref(), *since)),
        _ => None,
    })
}

/// Since when a pause lasts that only a person ends. `None`: it waits for an approval, which has an
/// entry of its own, or goes on by itself.
fn paused_since(rollout: &Rollout, asked: impl FnOnce() -> bool) -> Option<Timestamp> {
    if rollout.held_by().is_some() {
        return Some(rollout.since);
    }
    match human(rollout) {
        Some((_, _, since)) => (!asked()).then_some(since),
        // Nothing that ends it by itself: it waits for a person, whatever the backend calls it.
        None => rollout.waits.is_empty().then_some(rollout.since),
    }
}

/// Who paused it, and where.
fn paused(board: &Board, rollout: &Rollout) -> String {
    let at = match (rollout.step, rollout.steps.len()) {
        (Some(step), total) if total > 0 => format!(" at step {} of {total}", (step as usize + 1).min(total)),
        _ => String::new(),
    };
    if let Some(id) = rollout.held_by() {
        let hold = board.hold(&rollout.run.target.source, id);
        return format!("held{at} by {id}{}", hold.map_or(String::new(), |hold| format!(" of {}", hold.owner)));
    }
    let (by, what) = match human(rollout) {
        Some((what, who, _)) => (who.map_or(String::new(), |who| format!(" by {who}")), what),
        None => (String::new(), rollout.message.as_str()),
    };
    let what = if what.is_empty() { String::new() } else { format!(": {what}") };
    format!("paused{at}{by}{what}")
}

/// When something happens by itself.
fn deadline(rollout: &Rollout) -> Option<Timestamp> {
    rollout
        .waits
        .iter()
        .filter_map(|wait| match wait {
            Wait::Until { at } => Some(*at),
            Wait::Analysis { until, .. } => *until,
            _ => None,
        })
        .min()
}

fn of_approval(approval: &Approval) -> Attention {
    let yes = approval.votes.iter().filter(|vote| vote.verdict == flightdeck_model::Verdict::Approved).count();
    let count = approval.requirement.count;
    // Several of one service may wait for one environment.
    let mut sentence = format!("{} waits for approval", approval.to.version);
    if count > 1 {
        sentence = format!("{sentence} ({yes} of {count})");
    }
    if !approval.requirement.from.is_empty() {
        sentence.push_str(" by ");
        sentence.push_str(&approval.requirement.from.join(" or "));
    }
    match approval.behind.len() {
        0 => {}
        1 => sentence.push_str("; 1 release queues behind it"),
        n => sentence = format!("{sentence}; {n} releases queue behind it"),
    }
    Attention {
        subject: AttentionSubject::Approval(approval.id.clone()),
        name: approval.service.0.clone(),
        environment: Some(approval.environment.clone()),
        severity: Severity::Approval,
        word: "approval",
        sentence,
        deadline: approval.expires,
        since: approval.requested,
    }
}

/// What goes on, and how somebody undid its hold.
fn of_hold(board: &Board, hold: &Hold) -> Option<Attention> {
    let undone: Vec<&HoldTarget> = hold.undone().collect();
    let first = undone.first()?;
    let name = |target: &HoldTarget| {
        let row = board.rollout(&target.run.target);
        row.map_or_else(|| target.run.target.to_string(), |row| format!("{} in {}", row.service, row.environment))
    };
    let goes_on: Vec<String> = undone.iter().map(|target| name(target)).collect();
    let still = hold.held().count();
    let environment = board.rollout(&first.run.target).map(|row| row.environment.clone());
    Some(Attention {
        subject: AttentionSubject::Hold(hold.source.clone(), hold.id.clone()),
        name: hold.id.to_string(),
        environment,
        severity: Severity::Undone,
        word: "hold undone",
        sentence: format!("{}: {}; {still} still held; hold again or let it be", goes_on.join(", "), first.note),
        deadline: None,
        since: hold.since,
    })
}

fn of_link(scope: &Scope, freshness: &Freshness) -> Option<Attention> {
    let numbers = scope.part == Scope::METRICS_PART;
    let alerts = scope.part == Scope::ALERTS_PART;
    let (word, sentence, since) = match freshness {
        Freshness::Fresh | Freshness::Connecting => return None,
        Freshness::Stale { since, why } if numbers => ("stale", format!("its numbers are old: {why}"), *since),
        Freshness::Never { since, why } if numbers => ("never reached", format!("it told no numbers: {why}"), *since),
        Freshness::Stale { since, why } if alerts => {
            ("stale", format!("which alerts fire is not known: {why}"), *since)
        }
        Freshness::Never { since, why } if alerts => ("never reached", format!("no alert is known: {why}"), *since),
        Freshness::Stale { since, why } => ("stale", format!("what is shown may be old: {why}"), *since),
        Freshness::Never { since, why } => ("never reached", format!("nothing of it was ever seen: {why}"), *since),
        Freshness::Denied { verb, resource } => ("denied", format!("you lack {verb} on {resource}"), NEVER),
    };
    let name = if scope.part.is_empty() { scope.source.0.clone() } else { format!("{} {}", scope.source, scope.part) };
    Some(Attention {
        subject: AttentionSubject::Source(scope.clone()),
        name,
        environment: None,
        severity: Severity::Stale,
        word,
        sentence,
        deadline: None,
        since,
    })
}
