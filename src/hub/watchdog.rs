//! The watchdog: candidates in environments that have one are judged by their numbers, whoever steers them and whoever
//! measures them, and one that breaks a limit is answered once.
//!
//! It only ever reduces exposure, only on numbers of now, and never on a rollout that is not the one it judged. What
//! it sends goes the way of every command: decided, pinned, recorded, followed to its effect.

use super::following::now;
use super::inbox::Done;
use super::settings::WatchdogRule;
use super::state::State;
use flightdeck_analysis::{Measured, Running, Totals, summary};
use flightdeck_board::why_not;
use flightdeck_model::{
    Action, Actor, AnalysisReport, AnalysisTemplate, ArmRole, ArmSample, Body, Breach, BreachResponse, Command,
    CommandId, Direction, Entity, Evidence, Histogram, OnBreach, Ppm, Receipt, Refusal, Rollout, Run, Scoped, Stage,
    Subject, Target, Version, WatchdogMeasured, WatchdogStatus,
};
use flightdeck_port::ArmIncrease;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Its name in receipts and the ledger is `system:watchdog`.
const NAME: &str = "watchdog";
/// Numbers younger than this are of now, however short their windows are.
const OF_NOW: SignedDuration = SignedDuration::from_secs(30);
/// Between two words on numbers that say nothing new: of some sources they come each second.
const TOLD_EACH: SignedDuration = SignedDuration::from_secs(5);

/// One candidate under watch.
pub(super) struct Watching {
    run: Run,
    since: Timestamp,
    retried: Option<CommandId>,
    judge: Running,
    measured: Option<WatchdogMeasured>,
    breach: Option<Breach>,
    /// A command of it is on its way.
    sending: bool,
    told: Timestamp,
}

/// By target.
pub(super) type Watchdog = BTreeMap<Target, Watching>;

impl Watching {
    fn new(row: &Rollout, rule: &WatchdogRule, at: Timestamp) -> Watching {
        let judge = Running::new(&format!("watchdog {}", row.environment), rule.template.clone());
        let (run, told) = (row.run.clone(), Timestamp::UNIX_EPOCH);
        Watching { run, since: at, retried: None, judge, measured: None, breach: None, sending: false, told }
    }

    fn status(&self, on_breach: OnBreach) -> WatchdogStatus {
        let (since, retried, measured, breach) = (self.since, self.retried.clone(), self.measured, self.breach.clone());
        WatchdogStatus { on_breach, since, retried, measured, report: self.judge.report(), breach }
    }

    /// Was it answered, so that nothing more is done?
    fn is_answered(&self) -> bool {
        let answered =
            |breach: &Breach| matches!(breach.response, BreachResponse::Sent { .. } | BreachResponse::Notified);
        self.sending || self.breach.as_ref().is_some_and(answered)
    }
}

/// What both sides of one rollout did in one window.
#[derive(Default)]
struct Sides {
    /// With what it ran.
    candidate: Option<(Version, Totals)>,
    stable: Option<Totals>,
}

impl State {
    /// Watches over a row as its source tells it, and says so in the row.
    pub fn guard(&mut self, row: &mut Arc<Rollout>) {
        let Some(rule) = self.settings.watchdogs.get(&row.environment) else { return };
        let target = &row.run.target;
        if !row.in_flight() || row.candidate().is_none() {
            self.watchdog.remove(target);
            return;
        }
        if self.watchdog.get(target).is_none_or(|watching| watching.run != row.run) {
            let mut new = Watching::new(row, rule, now());
            let receipts = || self.commands.values().map(|following| &following.receipt);
            new.breach = answered_before(receipts(), &row.run);
            new.retried = retried(receipts(), &row.run);
            self.watchdog.insert(target.clone(), new);
        }
        let Some(watching) = self.watchdog.get(target) else { return };
        Arc::make_mut(row).watchdog = Some(Box::new(watching.status(rule.on_breach)));
    }

    /// What counters grew by, as a probe saw it.
    pub fn watch_increases(&mut self, increases: Vec<ArmIncrease>) {
        let mut windows: BTreeMap<(Target, Timestamp, Timestamp), Sides> = BTreeMap::new();
        for ArmIncrease { target, role, version, from, to, requests, errors, latency } in increases {
            let sides = windows.entry((target, from, to)).or_default();
            let totals = Totals { requests, errors, latency };
            match role {
                ArmRole::Candidate => sides.candidate = Some((version, totals)),
                ArmRole::Stable => sides.stable = Some(totals),
                ArmRole::Preview | ArmRole::Cohort(_) | ArmRole::Shadow => {}
            }
        }
        for ((target, from, to), sides) in windows {
            self.watch_window(&target, from, to, sides);
        }
    }

    /// Numbers that a source tells of its own rows: counts of windows, which do not overlap. Of latencies it tells
    /// quantiles alone, which can't be added up.
    pub fn watch_samples(&mut self, samples: &[ArmSample]) {
        let totals = |sample: &ArmSample| {
            let ArmSample { requests, errors, .. } = *sample;
            Totals { requests, errors, latency: Histogram::default() }
        };
        for candidate in samples.iter().filter(|sample| sample.role == ArmRole::Candidate) {
            if !self.watchdog.contains_key(&candidate.target) {
                continue;
            }
            // A program may have read its clock once for each side.
            let apart = |of: &ArmSample| of.at.duration_since(candidate.at).abs();
            let same = |of: &&ArmSample| of.role == ArmRole::Stable && of.target == candidate.target;
            let near = |of: &&ArmSample| apart(of) * 2 <= candidate.window();
            let stable = samples.iter().filter(same).filter(near).min_by_key(|of| apart(of));
            let from = candidate.at.saturating_sub(candidate.window()).unwrap_or(candidate.at);
            let sides =
                Sides { candidate: Some((candidate.version.clone(), totals(candidate))), stable: stable.map(totals) };
            self.watch_window(&candidate.target, from, candidate.at, sides);
        }
    }

    fn watch_window(&mut self, target: &Target, from: Timestamp, to: Timestamp, sides: Sides) {
        let Some((version, candidate)) = sides.candidate else { return };
        let Some(row) = self.board.shared_rollout(target) else { return };
        // Asked before another candidate took its place: these numbers speak of that one.
        if row.candidate().is_none_or(|arm| arm.version != version) {
            return;
        }
        let share = row.candidate().map_or(Ppm::ZERO, |arm| arm.traffic.actual.unwrap_or(arm.traffic.desired));
        let run = row.run.clone();
        let Some(rule) = self.settings.watchdogs.get(&row.environment) else { return };
        // A side that nobody measured is not one without requests: there is nothing to compare with.
        let Some(stable) = sides.stable.or_else(|| (!compares(&rule.template)).then(Totals::default)) else { return };
        let Some(watching) = self.watchdog.get_mut(target).filter(|watching| watching.run == run) else { return };
        // What came before it is watched is of another try, such as the one that was aborted.
        if from < watching.since {
            return;
        }
        watching.judge.observe(Measured { from, to, share, candidate, stable });
        let lasts = OF_NOW.max(to.duration_since(from) * 3);
        let of_now_until = to.saturating_add(lasts).unwrap_or(Timestamp::MAX);
        watching.measured = Some(WatchdogMeasured { until: to, of_now_until });
        let at = now();
        let breach = watching.judge.breach().filter(|_| at <= of_now_until && !watching.is_answered());
        match breach {
            Some(report) => self.respond(target, &report, at),
            None if at.duration_since(watching.told) >= TOLD_EACH => self.tell_guarded(target),
            None => {}
        }
    }

    /// A limit is broken: says so, and does what the environment's rule says.
    fn respond(&mut self, target: &Target, report: &AnalysisReport, at: Timestamp) {
        let Some(row) = self.board.shared_rollout(target).cloned() else { return };
        let Some(on_breach) = self.settings.watchdogs.get(&row.environment).map(|rule| rule.on_breach) else { return };
        let sentence = summary(report);
        let first = self.watchdog.get(target).is_some_and(|watching| watching.breach.is_none());
        if first {
            self.tell_evidence(&row.run, report, &sentence, at);
        }
        let response = match on_breach.action() {
            None => BreachResponse::Notified,
            Some(wanted) => match offered(&row, wanted) {
                Some(action) => {
                    let command = self.send(&row, action, &sentence);
                    BreachResponse::Sent { action, command }
                }
                None => BreachResponse::NotOffered { action: wanted, why: why_not(&row, wanted) },
            },
        };
        if let Some(watching) = self.watchdog.get_mut(target) {
            // Said once, however often the next numbers find the same.
            if watching.breach.as_ref().is_none_or(|breach| breach.response != response) {
                tracing::warn!(run = %row.run, ?response, "the watchdog saw a limit broken: {sentence}");
            }
            watching.sending = matches!(response, BreachResponse::Sent { .. });
            let at = watching.breach.as_ref().map_or(at, |breach| breach.at);
            watching.breach = Some(Breach { at, sentence, response });
        }
        self.tell_guarded(target);
    }

    /// Submits a command as everybody does; what became of it comes back as [`Done::Guarded`].
    fn send(&mut self, row: &Rollout, action: Action, sentence: &str) -> CommandId {
        let id = CommandId(uuid::Uuid::now_v7().to_string());
        let command = Command {
            id: id.clone(),
            action,
            subject: Subject::Run(row.run.clone()),
            pin: Some(row.facts.pin(action)),
            reason: Some(format!("{NAME}: {sentence}")),
        };
        let (answer, answered) = oneshot::channel();
        self.submit(Actor::system(NAME), command, answer);
        let run = row.run.clone();
        self.tasks.spawn(async move {
            Done::Guarded { run, action, result: answered.await.ok().map(|answer| answer.map(Box::new)) }
        });
        id
    }

    /// A command of the watchdog was answered. One that was refused is tried again with the next numbers, if they
    /// still say so: what refused it may have passed.
    pub fn was_guarded(&mut self, run: &Run, action: Action, result: Option<Result<Box<Receipt>, Refusal>>) {
        let Some(watching) = self.watchdog.get_mut(&run.target).filter(|watching| watching.run == *run) else { return };
        watching.sending = false;
        if let (Some(Err(refusal)), Some(breach)) = (result, &mut watching.breach) {
            breach.response = BreachResponse::Refused { action, why: refusal.why };
            self.tell_guarded(&run.target);
        }
    }

    /// The judgement, so that it stands at the rollout, in dialogs that would give it more traffic, and in the ledger.
    fn tell_evidence(&mut self, run: &Run, report: &AnalysisReport, sentence: &str, at: Timestamp) {
        let evidence = Evidence {
            id: format!("{NAME} {run} {}", at.as_millisecond()),
            run: run.clone(),
            at,
            kind: "analysis".to_owned(),
            analysis: Some(report.clone()),
            summary: format!("failed: {NAME}: {sentence}"),
        };
        let (scope, entity) = (self.own(), Entity::Evidence(Box::new(evidence)));
        self.observe(&scope, &entity);
        self.untrimmed += 1;
        self.tell(Scoped { scope, body: Body::Upsert(entity) });
    }

    /// Tells a row again, with what the watchdog knows by now.
    fn tell_guarded(&mut self, target: &Target) {
        let Some(row) = self.board.shared_rollout(target).cloned() else { return };
        let Some(scope) = self.board.rollout_scope(target).cloned() else { return };
        let Some(on_breach) = self.settings.watchdogs.get(&row.environment).map(|rule| rule.on_breach) else { return };
        let Some(watching) = self.watchdog.get_mut(target) else { return };
        watching.told = now();
        let row = Rollout { watchdog: Some(Box::new(watching.status(on_breach))), ..(*row).clone() };
        self.tell(Scoped { scope, body: Body::Upsert(Entity::Rollout(Arc::new(row))) });
    }
}

/// Does any of its limits compare with stable?
fn compares(template: &AnalysisTemplate) -> bool {
    template.limits.iter().any(|limit| limit.over_stable.is_some() || limit.ratio_to_stable.is_some())
}

/// What a row takes of what is wanted: where it can't be aborted it can stand still. Only what reduces exposure.
fn offered(row: &Rollout, wanted: Action) -> Option<Action> {
    let less = [wanted, Action::Pause];
    let takes = |action: &Action| action.direction() == Direction::Reduces && row.offers.contains(*action);
    less.into_iter().find(takes)
}

/// What a watchdog before this one did about a run: a hub that was started again does not do it a second time. Whoever
/// had it tried again since then wants it watched anew.
fn answered_before<'a>(receipts: impl Iterator<Item = &'a Receipt>, run: &Run) -> Option<Breach> {
    let own = Actor::system(NAME).name;
    let newest = receipts
        .filter(|receipt| is_about(receipt, run))
        .filter(|receipt| receipt.actor.name == own || receipt.command.action == Action::Retry)
        .max_by_key(|receipt| asked(receipt))?;
    let at = asked(newest).filter(|_| newest.actor.name == own)?;
    let (action, command) = (newest.command.action, newest.command.id.clone());
    let sentence = newest.command.reason.clone().unwrap_or_default();
    let sentence = sentence.strip_prefix(&format!("{NAME}: ")).map_or_else(|| sentence.clone(), str::to_owned);
    Some(Breach { at, sentence, response: BreachResponse::Sent { action, command } })
}

/// The command by which a run was begun again last.
fn retried<'a>(receipts: impl Iterator<Item = &'a Receipt>, run: &Run) -> Option<CommandId> {
    let refused = |receipt: &Receipt| matches!(receipt.stage(), Stage::Refused { .. } | Stage::Failed { .. });
    let retries = receipts
        .filter(|receipt| receipt.command.action == Action::Retry && is_about(receipt, run) && !refused(receipt));
    Some(retries.max_by_key(|receipt| asked(receipt))?.command.id.clone())
}

fn is_about(receipt: &Receipt, run: &Run) -> bool {
    matches!(&receipt.command.subject, Subject::Run(of) if of == run)
}

fn asked(receipt: &Receipt) -> Option<Timestamp> {
    receipt.stages.first().map(|stage| stage.at)
}
