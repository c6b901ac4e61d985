//! `wait`: until a rollout is where it should be, whoever moves it. What `--wait=finished` waits for, too.

use super::act::{ActArgs, Until};
use super::follow::Follower;
use super::links::{Links, Need};
use super::output::{Table, say};
use super::target::{self, full_name};
use super::{Code, Context, Failure, complete};
use crate::board::{Board, Freshness, freshness};
use crate::client::Link;
use crate::model::{
    Action, Arm, DeploymentKind, DeploymentOutcome, Phase, Ppm, Rollout, RolloutRecord, Run, Wait, sanitize_line,
};
use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// How long an effect is waited for, unless it was said.
const EFFECT: SignedDuration = SignedDuration::from_mins(5);
/// How long an end is waited for, unless it was said.
const END: SignedDuration = SignedDuration::from_hours(1);
/// Lines of output that are shown of what failed.
const LAST_LINES: usize = 10;
/// So long after another run is shown the record of the one before may still be on its way.
const RECORD: Duration = Duration::from_secs(3);

/// Options of `wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// Which rollout: service@environment, source/environment/service, or service where it runs only once.
    #[arg(value_name = "TARGET", add = complete::rollouts(None))]
    pub target: String,
    /// For what.
    #[arg(long = "for", value_enum, value_name = "STATE", default_value_t)]
    pub state: WaitFor,
    /// How long to wait, such as 90s or 5m, for a person as well. Without it 1h, and not at all for a
    /// person: the exit code is 9 then.
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<SignedDuration>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// Users meet what is brought in: it has a share of the traffic, and an instance that is ready.
    Effect,
    /// The rollout that is shown ends: 0 only if it succeeded.
    #[default]
    Finished,
    /// Nothing is in flight, and everything that should be there is ready.
    Healthy,
    /// It stands still.
    Paused,
}

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// At most.
    pub within: SignedDuration,
    /// For what a person has to do as well.
    pub with_people: bool,
}

impl Patience {
    /// As options say.
    pub(super) fn of(args: &ActArgs) -> Patience {
        Patience::new(args.timeout, if args.wait == Some(Until::Finished) { END } else { EFFECT })
    }

    fn new(timeout: Option<SignedDuration>, unless: SignedDuration) -> Patience {
        Patience { within: timeout.unwrap_or(unless), with_people: timeout.is_some() }
    }

    pub(super) fn deadline(self) -> Instant {
        Instant::now() + Duration::try_from(self.within).unwrap_or(Duration::ZERO)
    }
}

/// What a board says of a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    /// It is there.
    There(String),
    /// It is not there, and why.
    Over(Failure),
    /// Another run is shown, and how the one that is waited for ended is not recorded.
    Unrecorded,
    /// Not yet.
    NotYet,
}

/// What a script gets.
#[derive(Debug, Serialize)]
struct Told {
    run: Run,
    seen: String,
}

/// Waits.
pub(super) async fn run(context: &Context, links: &Links, args: &WaitArgs) -> Result<(), Failure> {
    let rows = links.rows(Need::Named(&args.target)).await?;
    let found = target::rollout(&rows, &args.target)?;
    let (run, name) = (found.run.clone(), full_name(found));
    let link = links.of(Some(&run.target.source))?;
    let patience = Patience::new(args.timeout, END);
    let seen = until(link, &run, patience, |board| look(board, &run, args.state)).await?;
    let table = Table { heads: &["ROLLOUT", "SEEN"], rows: vec![vec![name.as_str().into(), seen.as_str().into()]] };
    context.output.data(&Told { run: run.clone(), seen }, &table, &[name])
}

/// Waits for the end of a run that a command is about, and gives it in words.
pub(super) async fn finished(link: &Link, run: &Run, action: Action, patience: Patience) -> Result<String, Failure> {
    let takes_away = matches!(action, Action::Abort | Action::Reject | Action::Rollback);
    let seen = until(link, run, patience, |board| match look(board, run, WaitFor::Finished) {
        // It was to end so.
        Seen::Over(failure) if takes_away && failure.code == Code::Aborted => Seen::There(failure.what),
        seen => seen,
    })
    .await?;
    say(&seen);
    Ok(seen)
}

/// Waits until that is seen.
async fn until(link: &Link, run: &Run, patience: Patience, look: impl Fn(&Board) -> Seen) -> Result<String, Failure> {
    let deadline = patience.deadline();
    let mut follower = Follower::open(link).await?;
    let mut unrecorded = None;
    loop {
        let mut next = deadline;
        let mut waits = None;
        if follower.whole {
            match look(&follower.board) {
                Seen::There(text) => return Ok(text),
                Seen::Over(failure) => {
                    say_why(&follower.board, run);
                    return Err(failure);
                }
                Seen::Unrecorded => {
                    let since = *unrecorded.get_or_insert_with(Instant::now);
                    next = (since + RECORD).min(deadline);
                    if Instant::now() >= since + RECORD {
                        return Err(replaced(&follower.board, run));
                    }
                }
                Seen::NotYet => waits = person(&follower.board, run),
            }
        }
        if let Some(waits) = waits.clone().filter(|_| !patience.with_people) {
            return Err(waits);
        }
        match tokio::time::timeout_at(next, follower.hear()).await {
            Ok(Some(_)) => {}
            Ok(None) => return Err(Failure::new(Code::Unreachable, "the server ended before it was seen")),
            Err(_) if next < deadline => {}
            Err(_) => return Err(waits.unwrap_or_else(|| late(&follower, run, patience))),
        }
    }
}

/// What was found out about why it failed, beyond its cause: the last lines of what failed, and how to see more.
fn say_why(board: &Board, run: &Run) {
    let row = board.rollout(&run.target).filter(|row| row.run == *run);
    let ended = board.deployment(run);
    let found = ended.and_then(|of| of.diagnosis.as_deref()).or_else(|| row.and_then(|row| row.diagnosis.as_deref()));
    let place = ended.map(|of| (&of.service, &of.environment)).or(row.map(|row| (&row.service, &row.environment)));
    let (Some(found), Some((service, environment))) = (found, place) else { return };
    let what = found.hook.as_ref().map_or_else(|| found.output_of.clone(), |hook| format!("hook {hook}"));
    let more = format!("`flightdeck logs {service}@{environment} --rollout {}`", run.revision);
    if found.output.is_empty() {
        return say(&format!("{what} wrote nothing; all output of the rollout: {more}"));
    }
    let last = found.output.iter().rev().take(LAST_LINES).rev();
    say(&last.fold(format!("the last lines of {what} (all of it: {more}):"), |text, line| text + "\n  " + line));
}

fn replaced(board: &Board, run: &Run) -> Failure {
    let by = board.rollout(&run.target).map_or("nothing".to_owned(), |row| row.run.revision.clone());
    Failure::failed(format!("{} was replaced by {by}, and how it ended is not recorded", run.revision))
}

/// It did not come in time; whether it can be seen at all makes a difference.
fn late(follower: &Follower, run: &Run, patience: Patience) -> Failure {
    let row = follower.board.rollout(&run.target);
    let blind = follower.lost.clone().or_else(|| row.and_then(|row| freshness(&follower.board, row).problem(now())));
    let last = row.map_or("nothing is known of it".to_owned(), |row| format!("{}: {}", row.phase.word(), row.message));
    if let Some(why) = blind {
        let what = format!("{} can't be seen now ({why}); what was seen last: {last}", run.target);
        return Failure::new(Code::Unreachable, sanitize_line(&what));
    }
    let what = format!("not seen within {:#}; it is {last}. It may still come", patience.within);
    Failure::new(Code::TimedOut, sanitize_line(&what))
}

#[expect(clippy::disallowed_methods, reason = "the command line is a shell: it says for how long nothing is known")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// What a person must do before the run goes on, if it waits for one.
pub(super) fn person(board: &Board, run: &Run) -> Option<Failure> {
    let row = board.rollout(&run.target).filter(|row| row.run == *run && row.phase.in_flight())?;
    if !freshness(board, row).is_fresh() {
        return None;
    }
    let name = full_name(row);
    row.waits.iter().find_map(|wait| match wait {
        Wait::Human { what, who, .. } => {
            let who = who.as_ref().map_or(String::new(), |who| format!(" ({who})"));
            let verbs = [Action::Approve, Action::Promote, Action::Resume];
            let offered = verbs.into_iter().filter(|verb| row.offers.contains(*verb));
            let commands: Vec<_> = offered.map(|verb| format!("`flightdeck {} {name}`", verb.name())).collect();
            let all = commands.join(", ");
            let todo = (!commands.is_empty()).then(|| format!("{all}, or `flightdeck abort {name}`"));
            let what = format!("{name} waits for a person: {what}{who}; it is {}: {}", row.phase.word(), row.message);
            Some(Failure { todo, ..Failure::new(Code::Waits, sanitize_line(&what)) })
        }
        Wait::Hold(id) => {
            let what = format!("{name} is held by {id}: {}", row.message);
            Some(Failure::new(Code::Waits, sanitize_line(&what)).todo(format!("`flightdeck release {id}`")))
        }
        _ => None,
    })
}

fn look(board: &Board, run: &Run, state: WaitFor) -> Seen {
    let Some(row) = board.rollout(&run.target) else {
        return board.deployment(run).map_or_else(
            || {
                Seen::Over(Failure::failed(format!(
                    "{} is gone, and how {} ended is not recorded",
                    run.target, run.revision
                )))
            },
            |record| ended(record, None, state),
        );
    };
    if matches!(freshness(board, row), Freshness::Denied { .. }) {
        let why = freshness(board, row).problem(now()).unwrap_or_default();
        return Seen::Over(Failure::new(Code::Unreachable, why));
    }
    if !freshness(board, row).is_fresh() {
        // What it says may be over.
        return Seen::NotYet;
    }
    if state == WaitFor::Healthy {
        return healthy(row);
    }
    if let Some(record) = board.deployment(run) {
        let next = Some(&row.run).filter(|next| *next != run).and_then(|next| board.deployment(next));
        return ended(record, next, state);
    }
    if row.run != *run {
        return Seen::Unrecorded;
    }
    match (row.phase.outcome(), state) {
        (Some(outcome), _) => over(outcome, &row.message, state),
        (None, WaitFor::Effect) => met(row),
        (None, WaitFor::Paused) if row.phase == Phase::Paused => {
            Seen::There(format!("it stands still: {}", row.message))
        }
        (None, _) => Seen::NotYet,
    }
}

fn ended(record: &RolloutRecord, next: Option<&RolloutRecord>, state: WaitFor) -> Seen {
    if let Some(next) = next.filter(|next| next.takes_back(record)) {
        return over(DeploymentOutcome::RolledBack, &next.cause, state);
    }
    match (record.outcome, record.kind) {
        // A rollback that has ended has done what it was for.
        (DeploymentOutcome::RolledBack, DeploymentKind::Rollback) => {
            over(DeploymentOutcome::Succeeded, &record.cause, state)
        }
        (outcome, _) => over(outcome, &record.cause, state),
    }
}

fn over(outcome: DeploymentOutcome, cause: &str, state: WaitFor) -> Seen {
    let cause = sanitize_line(cause);
    let (code, what) = match outcome {
        DeploymentOutcome::Succeeded if state == WaitFor::Paused => (Code::Failed, "it ended without a pause"),
        DeploymentOutcome::Succeeded => return Seen::There(format!("it succeeded: {cause}")),
        DeploymentOutcome::Failed => (Code::Failed, "it failed"),
        DeploymentOutcome::Superseded => (Code::Failed, "it was superseded"),
        DeploymentOutcome::Aborted => (Code::Aborted, "it was aborted"),
        DeploymentOutcome::RolledBack => (Code::RolledBack, "it was rolled back"),
    };
    Seen::Over(Failure::new(code, format!("{what}: {cause}")))
}

/// Do users meet what is brought in?
fn met(row: &Rollout) -> Seen {
    let share = |arm: &Arm| arm.traffic.actual.filter(|share| *share > Ppm::ZERO && arm.replicas.ready > 0);
    match row.candidate().and_then(|arm| Some((arm, share(arm)?))) {
        Some((arm, _)) if row.is_worker() => Seen::There(arm.running()),
        Some((arm, share)) => Seen::There(format!("{} has {share}, {} ready", arm.version, arm.replicas.ready)),
        None => Seen::NotYet,
    }
}

fn healthy(row: &Rollout) -> Seen {
    let stable = row.stable();
    let ready = |arm: &Arm| arm.replicas.ready > 0 && arm.replicas.ready >= arm.replicas.desired;
    match (row.phase, stable) {
        (Phase::Healthy, Some(arm)) if ready(arm) => {
            let Arm { version, replicas, .. } = arm;
            Seen::There(format!("{version}: {} of {} ready", replicas.ready, replicas.desired))
        }
        (Phase::Aborted | Phase::Failed | Phase::Superseded, _) => {
            row.phase.outcome().map_or(Seen::NotYet, |outcome| over(outcome, &row.message, WaitFor::Healthy))
        }
        _ => Seen::NotYet,
    }
}

#[cfg(test)]
#[path = "wait_tests.rs"]
mod tests;
