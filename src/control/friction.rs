//! How much a confirmation asks of a person: direction first, then blast radius.

use super::context::DecisionContext;
use super::plan;
use flightdeck_model::{Action, Confirmation, Direction, Friction, Hold, HoldId, Ppm, Rollout, Subject, Tier, Version};

/// How many users an action could reach: share of traffic that changes × tier × number of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blast {
    /// The share of traffic that changes.
    pub share: Ppm,
    /// How much care the environment asks for.
    pub tier: Tier,
    /// How many targets.
    pub targets: u32,
}

impl Blast {
    /// One number to compare by: 1.0 is all traffic of one workload where nobody is hurt. An
    /// environment that asks for more care counts ten times the one below it.
    #[must_use]
    pub fn radius(self) -> f64 {
        let weight = match self.tier {
            Tier::Low => 1.0,
            Tier::Standard => 10.0,
            Tier::Critical => 100.0,
        };
        self.share.fraction() * weight * f64::from(self.targets)
    }
}

/// Which way an action moves exposure here. Rolling back reduces it, unless the version to return
/// to was itself taken back or failed.
pub(super) fn direction_of(seen: DecisionContext<'_>, action: Action, subject: &Subject) -> Direction {
    if action == Action::Rollback
        && let Some(rollout) = seen.rollout_of(subject)
        && !rollout.phase.in_flight()
        && let Some(version) = before(seen, rollout)
        && known_bad(seen, rollout, &version)
    {
        return Direction::Raises;
    }
    action.direction()
}

/// Which way an action moves exposure, by what the board knows.
#[must_use]
pub fn direction(board: &flightdeck_board::Board, action: Action, subject: &Subject) -> Direction {
    direction_of(DecisionContext { board, live: None, now: jiff::Timestamp::UNIX_EPOCH }, action, subject)
}

/// The version that a rollback returns to: stable's while in flight, else what served before.
pub(super) fn before(seen: DecisionContext<'_>, rollout: &Rollout) -> Option<Version> {
    if rollout.phase.in_flight() {
        return rollout.stable().map(|arm| arm.version.clone());
    }
    if let Some(way) = &rollout.rollback_plan {
        return Some(way.to.clone());
    }
    if let Some(deployment) = seen.board.deployment(&rollout.run) {
        return deployment.from.clone();
    }
    // The deployment itself was forgotten: what came before it is the last other version that succeeded.
    let current = rollout.stable().or_else(|| rollout.candidate()).map(|arm| &arm.version);
    let earlier = seen.board.deployments().filter(|d| {
        d.run.target == rollout.run.target
            && d.outcome == flightdeck_model::DeploymentOutcome::Succeeded
            && Some(&d.to) != current
    });
    earlier.max_by_key(|deployment| deployment.ended).map(|deployment| deployment.to.clone())
}

/// Did this version end badly when it was last brought in or taken back? What a rollback returned to
/// is good, whatever its outcome is called; a drill says nothing of either.
fn known_bad(seen: DecisionContext<'_>, rollout: &Rollout, version: &Version) -> bool {
    use flightdeck_model::DeploymentKind::{Drill, Rollback};
    use flightdeck_model::DeploymentOutcome::{Aborted, Failed, RolledBack};
    let runs = seen.board.deployments().filter(|d| d.run.target == rollout.run.target && d.kind != Drill);
    let left = |d: &flightdeck_model::RolloutRecord| d.kind == Rollback && d.from.as_ref() == Some(version);
    let last = runs.filter(|d| d.to == *version || left(d)).max_by_key(|d| d.ended);
    last.is_some_and(|d| match (d.outcome, d.kind) {
        (RolledBack, Rollback) => left(d),
        (outcome, _) => d.to == *version && matches!(outcome, Aborted | Failed | RolledBack),
    })
}

/// The blast radius of an action.
pub(super) fn blast(seen: DecisionContext<'_>, action: Action, subject: &Subject) -> Blast {
    let tier = seen.tier(subject);
    let rollout = seen.rollout_of(subject);
    let now = rollout.map_or(Ppm::ZERO, plan::share);
    let gap = |to: Ppm| Ppm(to.0.abs_diff(now.0));
    let share = match (action, rollout) {
        (Action::Promote | Action::Approve | Action::Resume | Action::LetThrough, Some(rollout)) => {
            gap(plan::after_step(rollout).weight)
        }
        (Action::PromoteFull, _) => gap(Ppm::ALL),
        (Action::Abort | Action::Reject, _) => gap(Ppm::ZERO),
        (Action::Retry | Action::Deploy, Some(rollout)) => plan::from_step(rollout, 0).weight,
        (Action::Restart | Action::Rollback | Action::Drill | Action::Deploy, _) => Ppm::ALL,
        _ => Ppm::ZERO,
    };
    let targets = match subject {
        Subject::Scope { selector, .. } => seen.board.rollouts().filter(|rollout| selector.holds(rollout)).count(),
        Subject::Hold { source, id } => seen.holds(source.as_ref(), id).flat_map(Hold::held).count(),
        _ => 1,
    };
    Blast { share, tier, targets: u32::try_from(targets).unwrap_or(u32::MAX) }
}

/// How much the confirmation asks for.
pub(super) fn friction_of(seen: DecisionContext<'_>, action: Action, subject: &Subject) -> Friction {
    let (confirmation, blast) = (action.row().confirmation, || blast(seen, action, subject));
    let raises = direction_of(seen, action, subject) == Direction::Raises;
    let typed = match confirmation {
        _ if !raises => false,
        Confirmation::ChallengeAndReason => return typed_with_reason(seen, action, subject),
        Confirmation::Challenge => true,
        Confirmation::ByTier => blast().tier == Tier::Critical,
        Confirmation::Key | Confirmation::ForMany => blast().targets > 1,
    };
    match confirmation {
        _ if typed => Friction::Challenge(challenge(seen, action, subject)),
        Confirmation::Key if !raises => Friction::None,
        _ => Friction::Yes,
    }
}

/// The most that a confirmation asks for.
pub(super) fn typed_with_reason(seen: DecisionContext<'_>, action: Action, subject: &Subject) -> Friction {
    Friction::ChallengeAndReason(challenge(seen, action, subject))
}

/// How much the confirmation of an action asks for, by what the board knows.
#[must_use]
pub fn friction(board: &flightdeck_board::Board, action: Action, subject: &Subject) -> Friction {
    friction_of(DecisionContext { board, live: None, now: jiff::Timestamp::UNIX_EPOCH }, action, subject)
}

/// Columns of a name in a challenge. With two other words it has 40, and stands whole on a screen of 60.
const NAME: usize = 18;
/// Columns of a name in a challenge that is typed many times a day.
const SHORT: usize = 8;
/// Columns of each of the other words in a challenge.
const WORD: usize = 10;

/// What a person types: it names the target and what changes, so that it is another one each time. Long names
/// are there by their end, which tells them apart; the dialog above it has them in full.
fn challenge(seen: DecisionContext<'_>, action: Action, subject: &Subject) -> String {
    let arrow = |from: Ppm, to: Ppm| format!("{}→{}", plan::percent(from), plan::percent(to));
    match (subject, seen.rollout_of(subject)) {
        (Subject::Hold { source, id }, _) => {
            let held = seen.holds(source.as_ref(), id).flat_map(Hold::held).count();
            format!("release {} of {held}", end(id.as_str(), NAME))
        }
        (Subject::NewRollout { service, environment, version, from, .. }, _) => {
            let (service, environment) = (end(service.as_str(), NAME), end(environment.as_str(), WORD));
            match (version, from) {
                (Some(version), _) => format!("{service} {environment} {}", start(version.as_str(), WORD)),
                (None, Some(from)) => format!("{service} {}→{environment}", end(from.as_str(), WORD)),
                (None, None) => format!("{service} {environment}"),
            }
        }
        (Subject::Command { service, environment, run, .. }, _) => {
            let program = run.first().map_or("", |program| end(program, WORD));
            format!("{} {} {program}", end(service.as_str(), NAME), end(environment.as_str(), WORD))
        }
        (Subject::OneOff { id, .. }, _) => format!("{} {}", action.name(), end(id, NAME)),
        (_, Some(rollout)) => {
            let (service, share) = (end(rollout.service.as_str(), NAME), plan::share(rollout));
            let short = end(rollout.service.as_str(), SHORT);
            let version = plan::version(rollout.candidate().or_else(|| rollout.stable()));
            let version = start(version, WORD);
            match action {
                Action::PromoteFull => format!("{service} {}", arrow(share, Ppm::ALL)),
                Action::Promote | Action::Approve => {
                    let ahead = plan::after_step(rollout);
                    if plan::percent(ahead.weight) == plan::percent(share) {
                        // The next step moves no traffic: the steps tell it from the one before.
                        return format!("{short} {}/{}", ahead.step + 1, rollout.steps.len());
                    }
                    // What is promoted many times a day is short: which one, and to what share.
                    format!("{short} {}", plan::percent(ahead.weight))
                }
                Action::Rollback => {
                    let back = before(seen, rollout).map_or_else(|| "-".to_owned(), |version| version.0);
                    format!("{service} {version}→{}", start(&back, WORD))
                }
                // In an incident, and with a reason to be written besides: which hold it passes.
                Action::LetThrough => end(rollout.held_by().map_or("-", HoldId::as_str), SHORT).to_owned(),
                _ => format!("{service} {} {version}", action.name()),
            }
        }
        (Subject::Approval { id, .. }, None) => format!("{} {}", action.name(), end(id.as_str(), NAME)),
        (Subject::Run(run), None) => format!("{} {}", action.name(), end(&run.target.name, NAME)),
        (Subject::Scope { selector, .. }, None) => format!("{} {}", action.name(), end(&selector.to_string(), NAME)),
        (Subject::Release { service, version, .. }, None) => {
            format!("{} {}", end(service.as_str(), NAME), start(version.as_str(), WORD))
        }
        (Subject::Migrations { service, .. }, None) => format!("{} {}", action.name(), end(service.as_str(), NAME)),
        (Subject::Alert { fingerprint, .. }, None) => format!("{} {}", action.name(), end(fingerprint, NAME)),
        (Subject::Silence { id, .. }, None) => format!("{} {}", action.name(), end(id.as_str(), NAME)),
        (Subject::Receipt { id }, None) => format!("{} {}", action.name(), end(&id.0, NAME)),
        (Subject::Config { name, text, .. }, None) if text.trim().is_empty() => {
            format!("remove {}", end(name.as_str(), NAME))
        }
        (Subject::Config { path, .. }, None) => format!("{} {}", action.name(), end(path, NAME)),
    }
}

/// The end of a name that is too long, from a word's beginning where one is near.
fn end(name: &str, most: usize) -> &str {
    let cut = name.char_indices().rev().nth(most.saturating_sub(1)).map_or(0, |(at, _)| at);
    let tail = name.get(cut..).unwrap_or(name);
    if cut == 0 {
        return name;
    }
    let word = tail.find(['-', '_', '.', '/', ':']).map_or(0, |at| at + 1);
    // A word of two letters tells nothing apart, nor does a short one where there is room for more.
    let least = if most > SHORT { most / 2 } else { 3 };
    tail.get(word..).filter(|rest| rest.chars().count() >= least).unwrap_or(tail)
}

/// The beginning of a version that is too long: digests and commits are told apart by it.
fn start(version: &str, most: usize) -> &str {
    let version = version.strip_prefix("sha256:").unwrap_or(version);
    version.char_indices().nth(most).map_or(version, |(at, _)| version.get(..at).unwrap_or(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_names_its_target_in_few_columns() {
        assert_eq!(end("checkout", NAME), "checkout");
        assert_eq!(end("payments-gateway-eu-west-1", NAME), "gateway-eu-west-1");
        assert_eq!(end("shop/payments-gateway-worker", NAME), "gateway-worker");
        assert_eq!(end("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-b", NAME), "aaaaaaaaaaaaaaaa-b");
        assert_eq!(end("payments-recommendation-api", SHORT), "api");
        assert_eq!(end("payments-eu", SHORT), "ments-eu");
        assert_eq!(end("\u{e9}".repeat(40).as_str(), NAME).chars().count(), NAME);
        assert_eq!(start("1.10.0", WORD), "1.10.0");
        assert_eq!(start("sha256:0123456789abcdef", WORD), "0123456789");
    }
}
