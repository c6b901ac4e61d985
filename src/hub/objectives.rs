//! What services promise: counted by whoever measures rows, told in the rows, and asked of before something is promoted.
//!
//! Each probe has a task for it beside the one for its numbers of now, since a window of days takes it longer.

use super::following::now;
use super::inbox::{Probing, Questions, Tallied, Watched};
use super::settings::ObjectiveRule;
use super::state::State;
use flightdeck_control::awaits_budget;
use flightdeck_model::{
    Body, CommandId, Counted, Entity, Indicator, ObjectiveStatus, Rollout, Scoped, SourceId, Subject, Target,
    WindowStatus,
};
use flightdeck_port::{Probe, ProbeError, RowTally, TallyQuestion};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// No probe is asked more often.
const SHORTEST: Duration = Duration::from_secs(1);
/// Longer than the time limit that a probe has of its own.
const ANSWERED_WITHIN: Duration = Duration::from_mins(1);
/// At a start rows come a moment later: so often it is looked whether they are there, and so long between two looks.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);
/// A window is asked for so many times while it passes, but not more rarely than this.
const TIMES: i32 = 60;
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// Where numbers of some rows were missing they are asked for that much sooner.
const SOONER: i32 = 5;
/// Numbers are of now until so many answers failed to come.
const MISSED: i32 = 3;

/// By indicator and length: what a window holds, and who said so.
type Windows = BTreeMap<(Indicator, SignedDuration), (SourceId, WindowStatus)>;

/// What is known of services' objectives.
#[derive(Default)]
pub(super) struct Objectives {
    /// How many sources of metrics there are.
    pub probes: usize,
    /// Which of them have answered about a row.
    heard: BTreeMap<Target, BTreeSet<SourceId>>,
    /// What each row's windows hold.
    windows: BTreeMap<Target, Windows>,
    /// Since when a row's objective, by its place in the settings, burns its budget too fast.
    burning: BTreeMap<(Target, usize), Timestamp>,
    /// Commands that wait for a first answer, with the row as it was read for them.
    waiting: Vec<(CommandId, Option<Box<Rollout>>)>,
}

/// Asks a probe for as long as the hub runs.
pub(super) async fn ask(probe: Arc<dyn Probe>, updates: mpsc::Sender<Watched>) {
    for _ in 0..LOOKS {
        match questions(&updates).await {
            None => return,
            Some(questions) if !questions.windows.is_empty() => break,
            Some(_) => sleep(BETWEEN_LOOKS).await,
        }
    }
    let every = probe.every().max(SHORTEST);
    let mut asked: BTreeMap<SignedDuration, (Timestamp, BTreeSet<Target>)> = BTreeMap::new();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(Questions { windows, now }) = questions(&updates).await else { return };
        let mut tallied = Vec::new();
        for question in windows {
            let done = asked.get(&question.window);
            if done.is_some_and(|(until, rows)| now < *until && question.wanted.is_subset(rows)) {
                continue;
            }
            let result = timeout(ANSWERED_WITHIN, probe.tally(&question, now)).await.unwrap_or_else(|_| {
                Err(ProbeError::Unreachable { why: format!("nothing within {} s", ANSWERED_WITHIN.as_secs()) })
            });
            let pause = pause(question.window, every);
            let again = if lacks(&result) { (pause / SOONER).max(shortest(every)) } else { pause };
            let until = now.saturating_add(again).unwrap_or(Timestamp::MAX);
            asked.insert(question.window, (until, question.wanted.clone()));
            tallied.push(Tallied { question, lasts: pause * MISSED, result });
        }
        if tallied.is_empty() {
            continue;
        }
        let told = Probing::Tallied { source: probe.source().clone(), asked: now, tallied };
        if updates.send(Watched::Probing(told)).await.is_err() {
            return;
        }
    }
}

/// What to ask now; `None`: the hub has ended.
async fn questions(updates: &mpsc::Sender<Watched>) -> Option<Questions> {
    let (answer, questions) = oneshot::channel();
    updates.send(Watched::Probing(Probing::AsksObjectives(answer))).await.ok()?;
    questions.await.ok()
}

/// How long a window's numbers are good enough.
fn pause(window: SignedDuration, every: Duration) -> SignedDuration {
    let least = shortest(every);
    (window / TIMES).max(least).min(LONGEST_PAUSE.max(least))
}

fn shortest(every: Duration) -> SignedDuration {
    SignedDuration::try_from(every * 2).unwrap_or(LONGEST_PAUSE)
}

/// Was there an answer, and has it nothing of some rows, as of what has just been started?
fn lacks(result: &Result<Vec<RowTally>, ProbeError>) -> bool {
    result.as_ref().is_ok_and(|rows| rows.iter().any(|row| row.found.is_err()))
}

impl State {
    /// What is asked of every probe: a question a window, about all rows that promise something over it.
    pub fn objective_questions(&self) -> Questions {
        let rows: Vec<Arc<Rollout>> = self.board.shared_rollouts().cloned().collect();
        let mut windows: BTreeMap<SignedDuration, (BTreeSet<Target>, BTreeSet<Indicator>)> = BTreeMap::new();
        for rule in &self.settings.objectives {
            let wanted: Vec<&Target> =
                rows.iter().filter(|row| rule.concerns(row)).map(|row| &row.run.target).collect();
            if wanted.is_empty() {
                continue;
            }
            for window in spans(rule) {
                let (targets, indicators) = windows.entry(window).or_default();
                targets.extend(wanted.iter().copied().cloned());
                indicators.insert(rule.objective.indicator);
            }
        }
        let question =
            |(window, (wanted, indicators))| TallyQuestion { rows: rows.clone(), wanted, window, indicators };
        Questions { windows: windows.into_iter().map(question).collect(), now: now() }
    }

    /// Says in a row what its service promises, and what is known of that.
    pub fn promise(&self, row: &mut Arc<Rollout>) {
        if self.settings.objectives.iter().any(|rule| rule.concerns(row)) {
            Arc::make_mut(row).objectives = self.promised(row).into_iter().map(|(_, status)| status).collect();
        }
    }

    /// With the place of each in the settings.
    fn promised(&self, row: &Rollout) -> Vec<(usize, ObjectiveStatus)> {
        let target = &row.run.target;
        let known = self.objectives.windows.get(target);
        let on_burn = self.settings.on_burn.get(&row.environment).copied().unwrap_or_default();
        let rules = self.settings.objectives.iter().enumerate().filter(|(_, rule)| rule.concerns(row));
        let status = |(place, rule): (usize, &ObjectiveRule)| {
            let objective = rule.objective.clone();
            let window = |span| {
                let (_, window) = known?.get(&(objective.indicator, span))?;
                Some(window.clone())
            };
            let [budget, long, short] = spans(rule).map(|span| window(span).unwrap_or_default());
            let burning_since = self.objectives.burning.get(&(target.clone(), place)).copied();
            (place, ObjectiveStatus { objective, on_burn, budget, long, short, burning_since })
        };
        rules.map(status).collect()
    }

    /// A probe has counted windows, or could not.
    pub fn tallied(&mut self, probe: &SourceId, asked: Timestamp, tallied: Vec<Tallied>) {
        let board = &self.board;
        let objectives = &mut self.objectives;
        objectives.windows.retain(|target, _| board.rollout(target).is_some());
        objectives.heard.retain(|target, _| board.rollout(target).is_some());
        objectives.burning.retain(|(target, _), _| board.rollout(target).is_some());
        let targets: BTreeSet<Target> = tallied.iter().flat_map(|one| &one.question.wanted).cloned().collect();
        // What was old in between is not seen to have burnt all the time.
        self.settle_burning(&targets);
        for Tallied { question, lasts, result } in tallied {
            let of_now_until = asked.saturating_add(lasts).unwrap_or(Timestamp::MAX);
            for RowTally { target, indicator, found } in answers(&question, result) {
                let new = match found {
                    Ok(tally) => WindowStatus { counted: Some(Counted { tally, at: asked, of_now_until }), why: None },
                    Err(why) => WindowStatus { counted: None, why: Some(why) },
                };
                let windows = self.objectives.windows.entry(target).or_default();
                let kept = windows.entry((indicator, question.window));
                take(kept.or_insert_with(|| (probe.clone(), WindowStatus::default())), probe, new);
            }
        }
        for target in &targets {
            self.objectives.heard.entry(target.clone()).or_default().insert(probe.clone());
        }
        self.settle_burning(&targets);
        for target in &targets {
            self.tell_objectives(target);
        }
        self.resume_waiting();
    }

    /// Notes since when budgets burn too fast, by what is known now.
    fn settle_burning(&mut self, targets: &BTreeSet<Target>) {
        let at = now();
        for target in targets {
            let Some(row) = self.board.shared_rollout(target).cloned() else { continue };
            for (place, status) in self.promised(&row) {
                let key = (target.clone(), place);
                if status.burns_too_fast(at) == Ok(true) {
                    self.objectives.burning.entry(key).or_insert(at);
                } else {
                    self.objectives.burning.remove(&key);
                }
            }
        }
    }

    /// Tells a row again where what is known of its objectives changed.
    fn tell_objectives(&mut self, target: &Target) {
        let Some(row) = self.board.shared_rollout(target).cloned() else { return };
        let Some(scope) = self.board.rollout_scope(target).cloned() else { return };
        let mut new = Arc::clone(&row);
        self.promise(&mut new);
        if new.objectives != row.objectives {
            self.tell(Scoped { scope, body: Body::Upsert(Entity::Rollout(new)) });
        }
    }

    /// Keeps a command whose decision depends on budgets of which not every probe has told yet, as in the first moments
    /// of a hub; with the row as it was read for it.
    pub fn awaits_budget(&mut self, id: &CommandId, live: Option<&Rollout>) -> bool {
        let Some(following) = self.commands.get(id) else { return false };
        let (action, subject) = (following.action(), &following.receipt.command.subject);
        if !awaits_budget(&self.board, action, subject, now()) || !self.is_still_asked(subject) {
            return false;
        }
        self.objectives.waiting.push((id.clone(), live.cloned().map(Box::new)));
        true
    }

    fn is_still_asked(&self, subject: &Subject) -> bool {
        let Some(target) = self.target(subject) else { return false };
        self.objectives.heard.get(target).map_or(0, BTreeSet::len) < self.objectives.probes
    }

    /// Decides what waited, or lets it wait on.
    fn resume_waiting(&mut self) {
        for (id, live) in std::mem::take(&mut self.objectives.waiting) {
            self.resume(&id, live.as_deref());
        }
    }
}

/// The windows of an objective: its own, and the two of its burn rates.
fn spans(rule: &ObjectiveRule) -> [SignedDuration; 3] {
    [rule.objective.window, rule.objective.burn.long, rule.objective.burn.short]
}

/// One answer a row and an indicator; where nothing was answered at all why not.
fn answers(question: &TallyQuestion, result: Result<Vec<RowTally>, ProbeError>) -> Vec<RowTally> {
    result.unwrap_or_else(|error| {
        let why = error.to_string();
        let of = |target: &Target| {
            let one = |indicator: &Indicator| RowTally {
                target: target.clone(),
                indicator: *indicator,
                found: Err(why.clone()),
            };
            question.indicators.iter().map(one).collect::<Vec<_>>()
        };
        question.wanted.iter().flat_map(of).collect()
    })
}

/// What a probe says of a window takes the place of what it said before. Of another's words only those without numbers
/// of now yield, to numbers.
fn take(kept: &mut (SourceId, WindowStatus), probe: &SourceId, new: WindowStatus) {
    let (by, window) = kept;
    let known = new.counted.map_or(Timestamp::MIN, |counted| counted.at);
    let others = *by != *probe;
    match (&new.counted, window.known(known)) {
        (Some(_), Ok(_)) if others => {}
        (Some(_), _) => *kept = (probe.clone(), new),
        // The numbers stay, with their age.
        (None, _) if !others => window.why = new.why,
        (None, _) if window.counted.is_none() && window.why.is_none() => *kept = (probe.clone(), new),
        (None, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_model::Tally;

    fn counted(second: i64) -> WindowStatus {
        let at = Timestamp::from_second(second).unwrap();
        let of_now_until = Timestamp::from_second(second + 90).unwrap();
        let tally = Tally { requests: 10.0, bad: 0.0, covers: None };
        WindowStatus { counted: Some(Counted { tally, at, of_now_until }), why: None }
    }

    fn failed(why: &str) -> WindowStatus {
        WindowStatus { counted: None, why: Some(why.to_owned()) }
    }

    #[test]
    fn a_failure_keeps_the_numbers_and_nobody_elses_failure_touches_them() {
        let mut kept = ("east".into(), WindowStatus::default());
        let mut after = |probe: &str, new: &WindowStatus| {
            take(&mut kept, &probe.into(), new.clone());
            let (by, window) = kept.clone();
            (by.as_str().to_owned(), window.counted.map(|of| of.at.as_second()), window.why)
        };
        let of = |by: &str, at, why: Option<&str>| (by.to_owned(), at, why.map(str::to_owned));
        assert_eq!(after("east", &failed("no series")), of("east", None, Some("no series")));
        assert_eq!(after("west", &failed("401")), of("east", None, Some("no series")));
        assert_eq!(after("west", &counted(100)), of("west", Some(100), None));
        assert_eq!(after("east", &failed("no series")), of("west", Some(100), None));
        assert_eq!(after("east", &counted(150)), of("west", Some(100), None), "they are of now");
        assert_eq!(after("west", &failed("503")), of("west", Some(100), Some("503")));
        assert_eq!(after("east", &counted(191)), of("east", Some(191), None), "they were old");
    }

    #[test]
    fn a_window_is_asked_for_as_often_as_it_changes() {
        let every = Duration::from_secs(15);
        for (minutes, seconds) in [(5, 30), (60, 60), (6 * 60, 300), (30 * 24 * 60, 300)] {
            let pause = pause(SignedDuration::from_mins(minutes), every);
            assert_eq!(pause, SignedDuration::from_secs(seconds), "{minutes}");
        }
        assert_eq!(pause(SignedDuration::from_mins(5), Duration::from_mins(5)), SignedDuration::from_mins(10));
    }
}
