//! What needs a person, most dangerous first.

use super::sort::{exposure, tier};
use super::{Board, Freshness};
use crate::model::{
    Approval, ApprovalId, ApprovalState, EnvironmentName, Evidence, MetricVerdict, Phase, Ppm, Rollout, Run, Scope,
    Tier, Wait,
};
use jiff::{SignedDuration, Timestamp};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A rollout that ended by its own judgement is worth a look for so long.
const RECENT_END: SignedDuration = SignedDuration::from_hours(1);

/// What an entry is about; opening it leads there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttentionSubject {
    /// A rollout.
    Rollout(Run),
    /// An approval.
    Approval(ApprovalId),
    /// A watch that is not live.
    Source(Scope),
}

/// Why it needs a person. Ordered, most dangerous first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Users are hurt now, or it is being taken back.
    Failing,
    /// Somebody's yes is missing.
    Approval,
    /// It stands still until a person lets it go on.
    Paused,
    /// It is up but not well, or it ended without success.
    Degraded,
    /// What is shown may be old.
    Stale,
}

impl Severity {
    /// One column wide.
    #[must_use]
    pub const fn glyph(self) -> &'static str {
        match self {
            Severity::Failing => "✗",
            Severity::Approval => "?",
            Severity::Paused => "⏸",
            Severity::Degraded => "!",
            Severity::Stale => "◌",
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attention {
    /// What it is about.
    pub subject: AttentionSubject,
    /// The service, or the source's name.
    pub name: String,
    /// Where; `None` for a source.
    pub environment: Option<EnvironmentName>,
    /// Why.
    pub severity: Severity,
    /// Beside the glyph: `failing`, `rolling back`, `approval`, `paused`, …
    pub word: &'static str,
    /// One sentence without ages, which tick: `since` has those.
    pub sentence: String,
    /// When something happens by itself.
    pub deadline: Option<Timestamp>,
    /// Since when.
    pub since: Timestamp,
}

/// Everything that needs a person, most dangerous first: by severity, then by how much care the
/// environment asks for, by the share of users concerned, and the oldest first.
#[must_use]
pub fn rank(board: &Board, now: Timestamp) -> Vec<Attention> {
    let latest = latest_judgements(board);
    let mut entries: Vec<(Tier, Ppm, Attention)> = Vec::new();
    for rollout in board.rollouts() {
        if let Some(attention) = of_rollout(board, rollout, latest.get(&rollout.run).copied(), now) {
            entries.push((tier(board, rollout), exposure(rollout), attention));
        }
    }
    for approval in board.approvals().filter(|approval| approval.state == ApprovalState::Pending) {
        let environment = board.environment(&approval.run.target.source, &approval.environment);
        let tier = environment.map_or(Tier::default(), |environment| environment.tier);
        let share = board.rollout(&approval.run.target).map_or(Ppm::ZERO, exposure);
        entries.push((tier, share, of_approval(approval)));
    }
    let sources = board.links().filter_map(|(scope, link)| of_link(scope, &Freshness::of(Some(link)), now));
    entries.extend(sources.map(|attention| (Tier::Low, Ppm::ZERO, attention)));
    entries.sort_by(|(tier_a, share_a, a), (tier_b, share_b, b)| {
        let key = |tier: &Tier, share: &Ppm, entry: &Attention| {
            (entry.severity, Reverse(*tier), Reverse(*share), entry.since)
        };
        key(tier_a, share_a, a).cmp(&key(tier_b, share_b, b)).then_with(|| a.subject.cmp(&b.subject))
    });
    entries.into_iter().map(|(_, _, attention)| attention).collect()
}

/// The newest judgement of each run.
pub(super) fn latest_judgements(board: &Board) -> BTreeMap<&Run, &Evidence> {
    let mut latest: BTreeMap<&Run, &Evidence> = BTreeMap::new();
    for evidence in board.evidence().filter(|evidence| evidence.analysis.is_some()) {
        let newest = latest.entry(&evidence.run).or_insert(evidence);
        if evidence.at >= newest.at {
            *newest = evidence;
        }
    }
    latest
}

/// Does it say that a limit is broken?
pub(super) fn fails(evidence: &Evidence) -> bool {
    evidence.analysis.as_ref().is_some_and(|report| report.verdict == MetricVerdict::Fail)
}

fn of_rollout(board: &Board, rollout: &Rollout, evidence: Option<&Evidence>, now: Timestamp) -> Option<Attention> {
    let failed = evidence.filter(|evidence| fails(evidence));
    let entry = |severity, word, sentence, deadline, since| {
        Some(Attention {
            subject: AttentionSubject::Rollout(rollout.run.clone()),
            name: rollout.service.0.clone(),
            environment: Some(rollout.environment.clone()),
            severity,
            word,
            sentence,
            deadline,
            since,
        })
    };
    let said = |fallback: &str| {
        failed
            .map(numbers)
            .or_else(|| (!rollout.message.is_empty()).then(|| rollout.message.clone()))
            .unwrap_or_else(|| fallback.to_owned())
    };
    match rollout.phase {
        Phase::RollingBack => {
            let sentence = said("all traffic goes back to stable");
            entry(Severity::Failing, "rolling back", sentence, None, rollout.since)
        }
        phase if phase.in_flight() && failed.is_some() => {
            let since = failed.map_or(rollout.since, |evidence| evidence.at);
            entry(Severity::Failing, "failing", said("its analysis fails"), deadline(rollout), since)
        }
        Phase::Paused => paused(board, rollout)
            .and_then(|(sentence, since)| entry(Severity::Paused, "paused", sentence, deadline(rollout), since)),
        Phase::Degraded => {
            entry(Severity::Degraded, "degraded", said("not every instance is well"), None, rollout.since)
        }
        Phase::Failed => entry(Severity::Degraded, "failed", said("it could not come up"), None, rollout.since),
        Phase::Aborted if failed.is_some() && now.duration_since(rollout.since) < RECENT_END => {
            let sentence = said("its analysis failed; stable serves");
            entry(Severity::Degraded, "aborted", sentence, None, rollout.since)
        }
        _ => None,
    }
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

/// A pause that only a person ends: who and where. `None`: it waits for an approval, which has an
/// entry of its own, or goes on by itself.
fn paused(board: &Board, rollout: &Rollout) -> Option<(String, Timestamp)> {
    let asked = board.approvals().any(|a| a.run == rollout.run && a.state == ApprovalState::Pending);
    let at = match (rollout.step, rollout.steps.len()) {
        (Some(step), total) if total > 0 => format!(" at step {} of {total}", (step as usize + 1).min(total)),
        _ => String::new(),
    };
    let human = rollout.waits.iter().find_map(|wait| match wait {
        Wait::Human { what, who, since } => Some((what, who, *since)),
        _ => None,
    });
    let hold = rollout.waits.iter().find_map(|wait| match wait {
        Wait::Hold(id) => Some(id),
        _ => None,
    });
    if let Some(id) = hold {
        let owner =
            board.hold(&rollout.run.target.source, id).map_or(String::new(), |hold| format!(" of {}", hold.owner));
        return Some((format!("held{at} by {id}{owner}"), rollout.since));
    }
    match human {
        Some(_) if asked => None,
        Some((what, who, since)) => {
            let by = who.as_ref().map_or(String::new(), |who| format!(" by {who}"));
            let what = if what.is_empty() { String::new() } else { format!(": {what}") };
            Some((format!("paused{at}{by}{what}"), since))
        }
        // Nothing that ends it by itself: it waits for a person, whatever the backend calls it.
        None if rollout.waits.is_empty() => {
            let why = if rollout.message.is_empty() { String::new() } else { format!(": {}", rollout.message) };
            Some((format!("paused{at}{why}"), rollout.since))
        }
        None => None,
    }
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
    let yes = approval.votes.iter().filter(|vote| vote.verdict == crate::model::Verdict::Approved).count();
    let count = approval.requirement.count;
    let mut sentence =
        if count > 1 { format!("waits for approval ({yes} of {count})") } else { "waits for approval".to_owned() };
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

fn of_link(scope: &Scope, freshness: &Freshness, now: Timestamp) -> Option<Attention> {
    let (word, sentence, since) = match freshness {
        Freshness::Fresh | Freshness::Connecting => return None,
        Freshness::Stale { since, why } => ("stale", format!("what is shown may be old: {why}"), *since),
        Freshness::Denied { verb, resource } => ("denied", format!("you lack {verb} on {resource}"), now),
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
