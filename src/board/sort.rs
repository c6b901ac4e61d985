//! Orders for lists of rollouts.

use super::judged::{fails, latest_judgements};
use super::{Board, freshness};
use flightdeck_model::{ArmRole, Phase, Ppm, Rollout, Tier};
use jiff::{SignedDuration, Timestamp};
use std::cmp::{Ordering, Reverse};

/// How far back a recent error rate looks from the newest window.
const RECENT: SignedDuration = SignedDuration::from_secs(30);

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// Most dangerous first.
    #[default]
    Risk,
    /// By service name.
    Service,
    /// In promotion order.
    Environment,
    /// Phase changed longest ago first.
    Age,
    /// Lowest candidate version first, numbers as numbers.
    Version,
    /// Most traffic at the candidate first.
    Traffic,
    /// Most errors at the candidate first; no data last.
    Errors,
}

impl Order {
    /// All, in the order that a key steps through.
    pub const ALL: [Order; 7] =
        [Order::Risk, Order::Service, Order::Environment, Order::Age, Order::Version, Order::Traffic, Order::Errors];

    /// The word that stands above a list.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Order::Risk => "risk",
            Order::Service => "service",
            Order::Environment => "environment",
            Order::Age => "age",
            Order::Version => "version",
            Order::Traffic => "traffic",
            Order::Errors => "errors",
        }
    }

    /// The one after it, round and round.
    #[must_use]
    pub fn next(self) -> Order {
        let mut all = Self::ALL.into_iter().cycle();
        all.find(|order| *order == self);
        all.next().unwrap_or_default()
    }
}

/// Sorts rollouts; ties are broken by service, environment and target, so that rows never jump.
pub fn sort(board: &Board, rollouts: &mut [&Rollout], order: Order, reverse: bool) {
    let latest = latest_judgements(board);
    let failing = |rollout: &Rollout| latest.get(&rollout.run).is_some_and(|evidence| fails(evidence));
    // Keys are computed once a row: some of them look at samples.
    let mut keyed: Vec<(Key, &Rollout)> =
        rollouts.iter().map(|rollout| (Key::of(board, order, rollout, || failing(rollout)), *rollout)).collect();
    keyed.sort_by(|(a, x), (b, y)| compare(order, reverse, (a, x), (b, y)));
    for (slot, (_, rollout)) in rollouts.iter_mut().zip(keyed) {
        *slot = rollout;
    }
}

/// What a row is sorted by, as far as the row alone does not say it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Nothing but its texts.
    Text,
    Risk(Reverse<(u8, Tier, Ppm, Option<u64>)>),
    Place(u32),
    Since(Timestamp),
    Share(Reverse<Ppm>),
    Errors(Reverse<Option<u64>>),
}

impl Key {
    pub(super) fn of(board: &Board, order: Order, rollout: &Rollout, failing: impl FnOnce() -> bool) -> Key {
        match order {
            Order::Risk => Key::Risk(Reverse(risk(board, rollout, failing))),
            Order::Service | Order::Version => Key::Text,
            Order::Environment => {
                let environment = board.environment(&rollout.run.target.source, &rollout.environment);
                Key::Place(environment.map_or(u32::MAX, |environment| environment.order))
            }
            Order::Age => Key::Since(rollout.since),
            Order::Traffic => Key::Share(Reverse(exposure(rollout))),
            Order::Errors => Key::Errors(Reverse(error_ppm(board, rollout))),
        }
    }
}

/// Which of two rows comes first; never equal for two targets.
pub(super) fn compare(order: Order, reverse: bool, (a, x): (&Key, &Rollout), (b, y): (&Key, &Rollout)) -> Ordering {
    let texts = || match order {
        Order::Service => x.service.cmp(&y.service),
        Order::Environment => x.environment.cmp(&y.environment),
        Order::Version => compare_versions(shown(x), shown(y)),
        Order::Risk | Order::Age | Order::Traffic | Order::Errors => Ordering::Equal,
    };
    let ordering = a.cmp(b).then_with(texts);
    let ordering = if reverse { ordering.reverse() } else { ordering };
    ordering.then_with(|| tie(x).cmp(&tie(y)))
}

fn tie(rollout: &Rollout) -> (&str, &str, &flightdeck_model::Target) {
    (rollout.service.as_str(), rollout.environment.as_str(), &rollout.run.target)
}

/// The version that a row is about: the candidate's, else stable's.
fn shown(rollout: &Rollout) -> &str {
    rollout.candidate().or_else(|| rollout.stable()).map_or("", |arm| arm.version.as_str())
}

/// The share of users that meets something other than stable: known where known, else asked for.
pub(super) fn exposure(rollout: &Rollout) -> Ppm {
    let shares = rollout.arms.iter().filter(|arm| !matches!(arm.role, ArmRole::Stable | ArmRole::Shadow));
    Ppm(shares.map(|arm| arm.traffic.actual.unwrap_or(arm.traffic.desired).0).sum::<u32>().min(Ppm::ALL.0))
}

/// The candidate's share of failed requests of late, in parts per million; `None`: no data.
pub(super) fn error_ppm(board: &Board, rollout: &Rollout) -> Option<u64> {
    let samples = board.samples(&rollout.run.target, &ArmRole::Candidate)?;
    let since = samples.back()?.at.checked_sub(RECENT).ok()?;
    let recent = samples.iter().rev().take_while(|sample| sample.at > since);
    let (requests, errors) = recent.fold((0, 0), |(r, e), sample| (r + sample.requests, e + sample.errors));
    (requests > 0).then(|| errors * 1_000_000 / requests)
}

/// How much care the environment asks for; `Standard` where it is not known.
pub(super) fn tier(board: &Board, rollout: &Rollout) -> Tier {
    board.environment(&rollout.run.target.source, &rollout.environment).map_or(Tier::default(), |e| e.tier)
}

/// Greater is more dangerous.
fn risk(board: &Board, rollout: &Rollout, failing: impl FnOnce() -> bool) -> (u8, Tier, Ppm, Option<u64>) {
    let class = match rollout.phase {
        Phase::RollingBack => 9,
        Phase::Progressing | Phase::Initializing | Phase::Degraded | Phase::Paused if !rollout.failing.is_empty() => 9,
        phase if phase.in_flight() && failing() => 9,
        Phase::Degraded => 8,
        Phase::Failed => 7,
        Phase::Progressing => 6,
        Phase::Paused => 5,
        Phase::Initializing | Phase::Unknown => 4,
        Phase::Queued => 3,
        Phase::Aborted => 2,
        Phase::Superseded => 1,
        Phase::Healthy => 0,
    };
    let unsure = u8::from(rollout.phase.in_flight() && !freshness(board, rollout).is_fresh());
    (class + unsure, tier(board, rollout), exposure(rollout), error_ppm(board, rollout))
}

/// Compares versions as people read them: runs of digits by value, the rest by text, and a
/// pre-release (`1.0.0-rc1`) before its release.
#[must_use]
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (x, rest_a) = part(a);
        let (y, rest_b) = part(b);
        let ordering = match (x.is_empty(), y.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return if y.starts_with('-') { Ordering::Greater } else { Ordering::Less },
            (false, true) => return if x.starts_with('-') { Ordering::Less } else { Ordering::Greater },
            (false, false) => compare_parts(x, y),
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The leading run of digits or of other characters, and the rest.
fn part(text: &str) -> (&str, &str) {
    let digit = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(text.len());
    text.split_at(end)
}

fn compare_parts(x: &str, y: &str) -> Ordering {
    let digits = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if digits(x) && digits(y) {
        let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
        return x.len().cmp(&y.len()).then_with(|| x.cmp(y));
    }
    x.cmp(y)
}
