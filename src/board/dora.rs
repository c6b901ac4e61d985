//! The five figures of software delivery (DORA), and two of our own, from finished rollouts. Pure.
//!
//! What counts, by the definitions of dora.dev (January 2026):
//! - A deployment is a rollout or a rollback that reached users. Drills and restarts count nowhere.
//! - A failed deployment needed immediate intervention: it ended aborted, failed or rolled back after
//!   it had reached users, or what had succeeded was rolled back later.
//! - Rework is what an incident caused: each rollback, and the first deployment after a failed one.
//! - Recovery belongs to the failed deployment, and counts where that does.

use flightdeck_model::{DeploymentKind, DeploymentOutcome, EnvironmentName, Ppm, RolloutRecord, ServiceName, Target};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// The usual window, in days.
pub const DAYS: i64 = 30;

/// So many deployments at least make a rate.
pub const FEW: u64 = 5;
/// And so long at least must be known.
pub const SHORT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A span of time; a rollout is in it if it ended in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// From this moment on.
    pub from: Timestamp,
    /// Up to this one.
    pub to: Timestamp,
}

impl Window {
    /// The span before a moment.
    #[must_use]
    pub fn before(to: Timestamp, length: SignedDuration) -> Window {
        Window { from: to.checked_sub(length).unwrap_or(Timestamp::MIN), to }
    }

    /// How long it is.
    #[must_use]
    pub fn length(self) -> SignedDuration {
        self.to.duration_since(self.from)
    }

    fn holds(self, moment: Timestamp) -> bool {
        (self.from..=self.to).contains(&moment)
    }
}

/// A figure, and of how many it is. Of none there is no figure: never 0.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Figure<T> {
    /// The figure; `None`: no data.
    pub value: Option<T>,
    /// Of so many.
    pub n: u64,
}

/// A middle and what nine of ten stay within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Spread {
    /// Half are at most this; of an even number, halfway between the two in the middle.
    pub median: SignedDuration,
    /// The smallest that nine of ten are at most (nearest rank).
    pub p90: SignedDuration,
}

/// The figures of one service in one environment.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Dora {
    /// Change lead time: from a change's commit until it had all traffic here. n: rollouts that
    /// succeeded and whose commit's time is known.
    pub lead_time: Figure<Spread>,
    /// Deployment frequency: deployments a day over the window, or over what is known of it. n: deployments; fewer
    /// than [`FEW`], or all of them within [`SHORT`], make no rate.
    pub frequency: Figure<f64>,
    /// Failed deployment recovery time, the median: from when the deployment had failed until all
    /// traffic was at a version that held. One that was taken back on its way in had failed when that
    /// was decided; one that had succeeded, when it got all traffic: what it did from then on nobody
    /// can take out of its users' day. n: failed deployments that were recovered from.
    pub recovery: Figure<SignedDuration>,
    /// Change fail rate: the share of deployments that failed, 0 to 1. n: deployments.
    pub fail_rate: Figure<f64>,
    /// Deployment rework rate: the share of deployments that an incident caused, 0 to 1. n: deployments.
    pub rework_rate: Figure<f64>,
    /// Time to roll back, the median: from the decision until all traffic was back. n: times that this
    /// was measured.
    pub rollback: Figure<SignedDuration>,
    /// Steps that a person did, 0 to 1. n: steps of all deployments.
    pub manual: Figure<f64>,
    /// Rollouts that ended early without it being known whether they had reached users: in no figure.
    pub unknown: u64,
}

/// The figures of each service in each environment that has records, in the order of their names.
#[must_use]
pub fn by_place<'a>(
    deployments: impl Iterator<Item = &'a RolloutRecord>,
    window: Window,
) -> BTreeMap<(ServiceName, EnvironmentName), Dora> {
    let mut places: BTreeMap<_, Vec<&RolloutRecord>> = BTreeMap::new();
    for of in deployments {
        places.entry((of.service.clone(), of.environment.clone())).or_default().push(of);
    }
    places.into_iter().map(|(place, of)| (place, dora(of.into_iter(), window))).collect()
}

/// What a service was called when some of what its figures count ended: ` (shop then)`; empty if it had one name.
#[must_use]
pub fn then<'a>(
    deployments: impl Iterator<Item = &'a RolloutRecord>,
    service: &ServiceName,
    environment: &EnvironmentName,
) -> String {
    let of_it = deployments.filter(|of| of.service == *service && of.environment == *environment);
    let names: BTreeSet<&str> = of_it.filter_map(|of| of.called.as_ref()).map(ServiceName::as_str).collect();
    if names.is_empty() { String::new() } else { format!(" ({} then)", Vec::from_iter(names).join(", ")) }
}

/// The figures of all these records; those before the window tell what those in it belong to.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn dora<'a>(deployments: impl Iterator<Item = &'a RolloutRecord>, window: Window) -> Dora {
    let (mut known, mut unknown) = (Vec::new(), 0);
    let mut oldest = window.to;
    let seen = deployments.inspect(|of| oldest = oldest.min(of.started));
    for of in seen.filter(|of| matches!(of.kind, DeploymentKind::Deploy | DeploymentKind::Rollback)) {
        let reached = reached_users(of);
        unknown += u64::from(reached.is_none() && window.holds(of.ended));
        let counts = reached == Some(true);
        // A rollback that could not come up reached nobody, but somebody had to intervene.
        if counts || of.kind == DeploymentKind::Rollback {
            known.push(Known { deployment: of, counts });
        }
    }
    known.sort_by_key(|of| (of.deployment.ended, of.deployment.started));
    let judged = judge(&known);
    let counted: Vec<_> = judged.iter().filter(|of| window.holds(of.deployment.ended)).collect();
    let n = counted.len() as u64;
    let share = |count: usize| Figure { value: (n > 0).then(|| count as f64 / n as f64), n };
    let observed = window.to.duration_since(oldest).min(window.length());
    let days = observed.as_secs_f64() / 86_400.0;
    let recorded = |of: &RolloutRecord| of.steps.unwrap_or(0);
    let steps: u64 = counted.iter().map(|of| u64::from(recorded(of.deployment))).sum();
    let by_hand = |of: &RolloutRecord| of.manual_steps.min(recorded(of));
    let manual: u64 = counted.iter().map(|of| u64::from(by_hand(of.deployment))).sum();
    Dora {
        lead_time: spread(counted.iter().filter_map(|of| lead_time(of.deployment)).collect()),
        frequency: Figure { value: (n >= FEW && observed >= SHORT).then(|| n as f64 / days), n },
        recovery: median(counted.iter().filter_map(|of| of.recovery).collect()),
        fail_rate: share(counted.iter().filter(|of| of.failed).count()),
        rework_rate: share(counted.iter().filter(|of| of.rework).count()),
        rollback: median(counted.iter().filter_map(|of| of.deployment.rollback).collect()),
        manual: Figure { value: (steps > 0).then(|| manual as f64 / steps as f64), n: steps },
        unknown,
    }
}

/// Did it reach users? What arrived did, whatever share its record names: that of a rollback is the
/// share of what it left. Of the rest a record may not tell.
fn reached_users(of: &RolloutRecord) -> Option<bool> {
    if arrived(of) { Some(true) } else { of.reached.map(|share| share > Ppm::ZERO) }
}

/// A deployment, and what it turned out to be.
struct Judged<'a> {
    deployment: &'a RolloutRecord,
    failed: bool,
    rework: bool,
    recovery: Option<SignedDuration>,
}

/// Did it bring all traffic to its version?
fn arrived(of: &RolloutRecord) -> bool {
    match of.kind {
        DeploymentKind::Rollback => {
            matches!(of.outcome, DeploymentOutcome::Succeeded | DeploymentOutcome::RolledBack)
        }
        _ => of.outcome == DeploymentOutcome::Succeeded,
    }
}

/// A record that tells something.
struct Known<'a> {
    deployment: &'a RolloutRecord,
    /// It is a deployment itself.
    counts: bool,
}

/// What each deployment was; the places of several backends are told apart.
fn judge<'a>(known: &[Known<'a>]) -> Vec<Judged<'a>> {
    let mut places: BTreeMap<&Target, Vec<&Known<'a>>> = BTreeMap::new();
    for of in known {
        places.entry(&of.deployment.run.target).or_default().push(of);
    }
    let mut judged = Vec::new();
    for line in places.into_values() {
        let mut after_failed = false;
        for (at, of) in line.iter().enumerate().filter(|(_, of)| of.counts) {
            let has_failed = failed(&line, at);
            let held = line.iter().enumerate().skip(at + 1);
            let held = held.filter(|(later, of)| of.counts && arrived(of.deployment) && !failed(&line, *later));
            let held = held.map(|(_, of)| of.deployment).next();
            judged.push(Judged {
                deployment: of.deployment,
                failed: has_failed,
                rework: of.deployment.kind == DeploymentKind::Rollback || after_failed,
                recovery: recovery(of.deployment, held).filter(|_| has_failed),
            });
            after_failed = has_failed;
        }
    }
    judged
}

/// Did it need an intervention? `line`: all of its place, oldest first; `at`: which it is.
fn failed(line: &[&Known<'_>], at: usize) -> bool {
    use DeploymentOutcome::{Aborted, Failed, RolledBack};
    let Some(of) = line.get(at).map(|of| of.deployment) else { return false };
    if !arrived(of) {
        return matches!(of.outcome, Aborted | Failed | RolledBack);
    }
    // What came after it and did not arrive left it where it was.
    let mut later = line.iter().skip(at + 1).map(|later| later.deployment);
    let next = later.find(|later| later.kind == DeploymentKind::Rollback || arrived(later));
    next.is_some_and(|next| {
        next.kind == DeploymentKind::Rollback && next.from.as_ref().is_none_or(|from| *from == of.to)
    })
}

/// How long its failure lasted; `held`: the next that stayed.
fn recovery(of: &RolloutRecord, held: Option<&RolloutRecord>) -> Option<SignedDuration> {
    let taken_back = of.rollback.filter(|_| !arrived(of));
    let held = held.map(|held| held.ended.duration_since(of.ended).max(SignedDuration::ZERO));
    taken_back.or(held)
}

fn lead_time(of: &RolloutRecord) -> Option<SignedDuration> {
    let counts = of.kind == DeploymentKind::Deploy && of.outcome == DeploymentOutcome::Succeeded;
    let took = of.ended.duration_since(of.commit_at.filter(|_| counts)?);
    // A commit from the future is a wrong clock, not a fast change.
    (took >= SignedDuration::ZERO).then_some(took)
}

fn spread(mut all: Vec<SignedDuration>) -> Figure<Spread> {
    all.sort_unstable();
    let rank = (all.len() * 9).div_ceil(10).checked_sub(1);
    let p90 = rank.and_then(|rank| all.get(rank)).copied();
    let middle = middle(&all);
    let value = middle.zip(p90).map(|(median, p90)| Spread { median, p90 });
    Figure { value, n: all.len() as u64 }
}

fn median(mut all: Vec<SignedDuration>) -> Figure<SignedDuration> {
    all.sort_unstable();
    Figure { value: middle(&all), n: all.len() as u64 }
}

/// The middle of what is sorted.
fn middle(sorted: &[SignedDuration]) -> Option<SignedDuration> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get((sorted.len() / 2).checked_sub(1)?)?;
    Some(lower.saturating_add(upper.saturating_sub(lower) / 2))
}
