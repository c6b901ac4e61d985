//! Candidate against stable, now: what speaks for or against giving the candidate more traffic, and what is
//! not known.

use super::Board;
use super::judged::latest_judgement;
use flightdeck_model::{ArmRole, ArmSample, BackendAnalysis, MetricVerdict, Rollout, ServiceKind};
use jiff::{SignedDuration, Timestamp};

/// Both arms are compared over so long, up to the newest window of either.
pub const COMPARED: SignedDuration = SignedDuration::from_secs(60);
/// With fewer requests than this a share of errors says little.
pub const ENOUGH_REQUESTS: u64 = 50;
/// One or two errors may be chance, however good stable is.
const ENOUGH_ERRORS: u64 = 5;
/// So much more of the requests must fail than at stable, as a ratio: less is for an analysis to judge.
const WORSE_BY: f64 = 0.01;
/// And by so many standard errors of the difference of the two ratios: then it is not by chance.
const STANDARD_ERRORS: f64 = 3.0;

/// How a candidate does against stable.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// What is counted: requests, of a TCP service connections.
    pub kind: ServiceKind,
    /// What the candidate did; `None`: no request reached it, or nothing is measured.
    pub candidate: Option<ArmNumbers>,
    /// What stable did over the same span.
    pub stable: Option<ArmNumbers>,
    /// End of the newest window of either arm: the numbers are as old as that.
    pub as_of: Option<Timestamp>,
    /// Until when they are of now: longer where windows are.
    pub of_now_until: Option<Timestamp>,
    /// The newest judgement of this run.
    pub verdict: Option<Judged>,
    /// What can't be said.
    pub unknown: Vec<Unknown>,
    /// Why the candidate fails, if it does.
    pub failing: Option<Failing>,
}

/// What one arm did over [`COMPARED`]; it had requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArmNumbers {
    /// Requests that ended.
    pub requests: u64,
    /// Of those, failed.
    pub errors: u64,
    /// Requests per second.
    pub per_second: f64,
    /// The highest 95th percentile of its windows in milliseconds: quantiles can't be added up.
    pub p95_ms: Option<f64>,
}

/// What an analysis said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub verdict: MetricVerdict,
    /// When; `None`: its backend's row does not tell.
    pub at: Option<Timestamp>,
    /// One sentence with the numbers.
    pub summary: String,
}

/// What can't be said of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Its source tells no numbers of anything.
    NoMetrics,
    /// Nothing was measured since the rollout began.
    NoNumbers,
    /// No request reached the candidate.
    CandidateIdle,
    /// No request reached stable.
    StableIdle,
    /// Nobody told how many requests reached the candidate, while stable is measured.
    CandidateUnmeasured,
    /// Nobody told how many requests reached stable, while the candidate is measured.
    StableUnmeasured,
    /// The candidate had requests, but fewer than [`ENOUGH_REQUESTS`].
    FewRequests,
    /// No analysis has looked yet.
    NotJudged,
    /// An analysis of the backend runs and has said nothing yet.
    BeingJudged,
}

/// Why a candidate is said to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// The newest analysis says so.
    Verdict,
    /// Clearly more of its requests fail than of stable's.
    Errors,
}

/// How the candidate of a rollout does, as far as the board has numbers and judgements of this run.
#[must_use]
pub fn health(board: &Board, rollout: &Rollout) -> Health {
    let (target, kind) = (&rollout.run.target, board.service_kind(rollout));
    // What was measured before it began is about another candidate.
    let measured = |role: &ArmRole| {
        let all = board.samples(target, role).into_iter().flatten().rev();
        all.take_while(|sample| sample.at > rollout.started)
    };
    let newest = |role: &ArmRole| measured(role).next();
    let newest = [newest(&ArmRole::Candidate), newest(&ArmRole::Stable)].into_iter().flatten().max_by_key(|s| s.at);
    let (as_of, of_now_until) = (newest.map(|sample| sample.at), newest.map(ArmSample::of_now_until));
    let since = as_of.and_then(|at| at.checked_sub(COMPARED).ok());
    let compared = |role: &ArmRole| measured(role).take_while(|sample| since.is_some_and(|since| sample.at > since));
    let arm = |role: &ArmRole| numbers(compared(role));
    let idle = |role: &ArmRole, idle, unmeasured| if compared(role).next().is_some() { idle } else { unmeasured };
    let (candidate, stable) = (arm(&ArmRole::Candidate), arm(&ArmRole::Stable));
    let evidence = latest_judgement(board, &rollout.run);
    let verdict = evidence.and_then(|evidence| {
        let verdict = evidence.analysis.as_ref()?.verdict;
        Some(Judged { verdict, at: Some(evidence.at), summary: evidence.summary.clone() })
    });
    let verdict = verdict.or_else(|| judged_by_backend(&rollout.analyses));
    let failing = if verdict.as_ref().is_some_and(|judged| judged.verdict == MetricVerdict::Fail) {
        Some(Failing::Verdict)
    } else {
        candidate.zip(stable).filter(|(candidate, stable)| clearly_worse(candidate, stable)).map(|_| Failing::Errors)
    };
    let mut unknown = Vec::new();
    match (as_of, candidate) {
        (None, _) if kind == ServiceKind::Worker || !board.measures(&target.source) => unknown.push(Unknown::NoMetrics),
        (None, _) => unknown.push(Unknown::NoNumbers),
        (Some(_), None) => {
            unknown.push(idle(&ArmRole::Candidate, Unknown::CandidateIdle, Unknown::CandidateUnmeasured));
        }
        (Some(_), Some(candidate)) if candidate.requests < ENOUGH_REQUESTS => unknown.push(Unknown::FewRequests),
        (Some(_), Some(_)) => {}
    }
    if as_of.is_some() && stable.is_none() {
        unknown.push(idle(&ArmRole::Stable, Unknown::StableIdle, Unknown::StableUnmeasured));
    }
    if rollout.analyses.iter().any(|analysis| analysis.verdict.is_none()) {
        unknown.push(Unknown::BeingJudged);
    } else if verdict.is_none() && kind == ServiceKind::Http {
        unknown.push(Unknown::NotJudged);
    }
    Health { kind, candidate, stable, as_of, of_now_until, verdict, unknown, failing }
}

/// The worst that the backend's own analyses say.
fn judged_by_backend(analyses: &[BackendAnalysis]) -> Option<Judged> {
    let of = |wanted: MetricVerdict| {
        let said = analyses.iter().find(|analysis| analysis.verdict == Some(wanted))?;
        Some(Judged { verdict: wanted, at: None, summary: said.sentence() })
    };
    of(MetricVerdict::Fail).or_else(|| of(MetricVerdict::Missing)).or_else(|| of(MetricVerdict::Pass))
}

/// Do clearly more of the candidate's requests fail than of stable's? With enough requests and errors, by a
/// percentage point at least, and by more than chance would do.
fn clearly_worse(candidate: &ArmNumbers, stable: &ArmNumbers) -> bool {
    if candidate.requests < ENOUGH_REQUESTS || candidate.errors < ENOUGH_ERRORS {
        return false;
    }
    let worse_by = candidate.error_ratio() - stable.error_ratio();
    let (of_candidate, of_stable) = (count(candidate.requests), count(stable.requests));
    let together = count(candidate.errors.saturating_add(stable.errors)) / (of_candidate + of_stable);
    let deviation = (together * (1.0 - together) * (1.0 / of_candidate + 1.0 / of_stable)).sqrt();
    worse_by >= WORSE_BY && worse_by > STANDARD_ERRORS * deviation
}

/// Several windows of one arm together; `None` without requests: no data is not zero.
fn numbers<'a>(windows: impl Iterator<Item = &'a ArmSample>) -> Option<ArmNumbers> {
    let (mut requests, mut errors, mut millis, mut p95) = (0_u64, 0_u64, 0.0, None);
    for window in windows {
        requests = requests.saturating_add(window.requests);
        errors = errors.saturating_add(window.errors);
        millis += f64::from(window.window_ms);
        p95 = p95.max(window.p95_us);
    }
    (requests > 0 && millis > 0.0).then(|| ArmNumbers {
        requests,
        errors,
        per_second: count(requests) * 1000.0 / millis,
        p95_ms: p95.map(|micros| f64::from(micros) / 1000.0),
    })
}

impl ArmNumbers {
    /// Share of its requests that failed, 0 to 1.
    #[must_use]
    pub fn error_ratio(&self) -> f64 {
        count(self.errors) / count(self.requests)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a minute are far below 2^52")]
fn count(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_clearly_worse_by_enough_errors_and_not_by_chance() {
        let arm = |requests, errors| ArmNumbers { requests, errors, per_second: 1.0, p95_ms: None };
        for (candidate, stable, worse) in [
            // 18 % against 0.5 %.
            (arm(100, 18), arm(2000, 10), true),
            // Too few requests, or too few errors among them.
            (arm(49, 9), arm(2000, 10), false),
            (arm(60, 4), arm(2000, 0), false),
            // As bad as stable, and better than it.
            (arm(100, 18), arm(2000, 360), false),
            (arm(1000, 5), arm(1000, 50), false),
            // Less than a point, though it is no chance.
            (arm(100_000, 900), arm(100_000, 100), false),
            // A point that may be chance.
            (arm(200, 6), arm(200, 3), false),
            (arm(2000, 80), arm(6000, 18), true),
        ] {
            assert_eq!(clearly_worse(&candidate, &stable), worse, "{candidate:?} against {stable:?}");
        }
    }
}
