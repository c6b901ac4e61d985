//! How far a command has come, from the row before it, the facts that it left and the row now. Pure.
//!
//! Effective only when pods, weights or selectors of the template that the command left moved, or its
//! controller took the change up: a field that our own patch wrote is no evidence.

use flightdeck_model::{Action, Arm, Fact, Phase, Ppm, Rollout, Run, Stage, Subject, TrafficSource};
use flightdeck_port::Followed;

/// A command about a run with the rows around it, or its stage where that follows without looking at what it does.
pub fn seen<'a>(followed: &'a Followed<'a>) -> Result<Seen<'a>, Stage> {
    let Subject::Run(run) = &followed.command.subject else { return Err(Stage::Accepted) };
    let Some(row) = followed.current else { return Err(Stage::superseded(format!("{} was deleted", run.target))) };
    if row.run.target != run.target {
        return Err(Stage::superseded(format!("{} was deleted and made anew", run.target)));
    }
    let seen = Seen { followed, run, before: followed.before.filter(|before| before.run.target == run.target), row };
    if followed.command.action == Action::LetThrough {
        if row.held_by().is_some() {
            return Err(Stage::Accepted);
        }
        if seen.paused() {
            let text = format!("no longer held; it stands still by a pause of its own; {}", pods(row));
            return Err(Stage::effective(text));
        }
    }
    Ok(seen)
}

/// A command and the rows around it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    followed: &'a Followed<'a>,
    pub run: &'a Run,
    /// Its row when it was asked.
    pub before: Option<&'a Rollout>,
    /// Its row now.
    pub row: &'a Rollout,
}

/// Whose template a workload has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// The one from before the command: the change has not come through yet.
    Before,
    /// The one that the command left there.
    Ours,
    /// Somebody else's.
    Other,
    /// A new one, and nobody can tell whose.
    Unknown,
}

impl<'a> Seen<'a> {
    /// What was asked.
    #[must_use]
    pub fn action(self) -> Action {
        self.followed.command.action
    }

    /// A fact as it was when the command was asked: as pinned, else as the row had it.
    #[must_use]
    pub fn then(self, fact: Fact) -> Option<&'a str> {
        let pinned = self.followed.command.pin.as_ref().and_then(|pin| pin.facts.get(&fact));
        pinned.or_else(|| self.before?.facts.0.get(&fact)).map(String::as_str)
    }

    /// A fact as it is.
    #[must_use]
    pub fn now(self, fact: Fact) -> Option<&'a str> {
        self.row.facts.0.get(&fact).map(String::as_str)
    }

    /// Paused by hand or by a hold?
    #[must_use]
    pub fn paused(self) -> bool {
        self.now(Fact::Pause).is_some_and(|pause| pause.split('+').any(|part| part == "paused"))
    }

    /// Has its controller yet to take up the newest change?
    #[must_use]
    pub fn unobserved(self) -> bool {
        self.now(Fact::Unobserved).is_some()
    }

    /// Whose template is it, for a command that sets one? Where the answer was lost, and what the command
    /// left with it, an undo on the way goes to stable, and a restart leaves the images as they were.
    #[must_use]
    pub fn template(self) -> Template {
        let left = self.followed.left.and_then(|left| left.0.get(&Fact::Candidate)).map(String::as_str);
        let (then, now, stable) = (self.then(Fact::Candidate), self.now(Fact::Candidate), self.then(Fact::Stable));
        let back = stable.filter(|stable| self.action() == Action::Rollback && Some(*stable) != then);
        match left.or(back) {
            Some(left) if now == Some(left) => Template::Ours,
            _ if now == then => Template::Before,
            Some(_) => Template::Other,
            None if self.action() == Action::Restart && self.same_versions() => Template::Ours,
            None => Template::Unknown,
        }
    }

    /// Does the newest template bring the version that was the newest one before?
    fn same_versions(self) -> bool {
        let newest = |row: &'a Rollout| row.arms.last().map(|arm| &arm.version);
        self.before.is_some_and(|before| newest(before) == newest(self.row))
    }
}

/// `stable 1.9: 4 of 5 pods ready, 80 % of traffic; candidate 1.10: 1 of 1 pods ready, 20 % of traffic`.
#[must_use]
pub fn pods(row: &Rollout) -> String {
    let arms: Vec<String> = row.arms.iter().map(arm).collect();
    if arms.is_empty() { "no pods are known".to_owned() } else { arms.join("; ") }
}

fn arm(arm: &Arm) -> String {
    let how = match arm.traffic.how {
        TrafficSource::Replicas | TrafficSource::Instances => "",
        TrafficSource::Acknowledged => ", verified by the router",
        TrafficSource::Counted => ", counted",
        TrafficSource::Declared => ", as told to the router",
    };
    let share = arm.traffic.actual.map_or(String::new(), |share| format!(", {share} of traffic{how}"));
    format!("{} {}: {} of {} pods ready{share}", arm.role, arm.version, arm.replicas.ready, arm.replicas.desired)
}

/// Are all pods there that are to be?
#[must_use]
pub fn ready(arm: &Arm) -> bool {
    arm.replicas.ready >= arm.replicas.desired
}

/// It runs no pods and is to run none: nobody is served, whatever its template says.
#[must_use]
pub fn wants_none(row: &Rollout) -> bool {
    !row.arms.is_empty() && row.arms.iter().all(|arm| arm.replicas.desired == 0 && arm.replicas.ready == 0)
}

/// Are all pods of one version, and ready?
fn one_version(row: &Rollout) -> bool {
    matches!(row.arms.as_slice(), [arm] if arm.replicas.ready > 0 && ready(arm) && arm.traffic.actual == Some(Ppm::ALL))
}

/// Another template took the place of the one that the command was about.
#[must_use]
pub fn replaced(row: &Rollout) -> Stage {
    Stage::superseded(format!("revision {} took its place", row.run.revision))
}

/// The stage of a command about what replaces its pods by itself.
#[must_use]
pub fn rolling(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    match seen.action() {
        Action::Pause if !seen.paused() => Stage::Accepted,
        Action::Resume | Action::LetThrough if seen.paused() => Stage::Accepted,
        Action::Pause | Action::Resume | Action::LetThrough if seen.unobserved() => Stage::Observed,
        Action::Pause => Stage::effective(format!("paused; {}", pods(row))),
        Action::Resume | Action::LetThrough => {
            Stage::effective(format!("{}: {}; {}", row.phase.word(), row.message, pods(row)))
        }
        Action::Restart | Action::Rollback => match seen.template() {
            Template::Before => Stage::Accepted,
            Template::Other => replaced(row),
            Template::Unknown => Stage::Observed,
            Template::Ours => everywhere(seen),
        },
        other => Stage::Failed { why: format!("{} does not fit a {}", other.name(), seen.run.target.kind) },
    }
}

/// Does every pod run the template that the command left?
fn everywhere(seen: Seen<'_>) -> Stage {
    let (row, revision) = (seen.row, &seen.row.run.revision);
    if seen.unobserved() {
        return Stage::Observed;
    }
    match row.phase {
        Phase::Healthy if one_version(row) => {
            Stage::effective(format!("revision {revision} everywhere; {}", pods(row)))
        }
        Phase::Healthy if wants_none(row) => Stage::effective(format!(
            "its controller has taken up revision {revision}, which comes once pods are wanted again; none are now, so that nobody is served"
        )),
        // A partition keeps the others where they are: it goes no further by itself.
        Phase::Healthy if row.arms.len() > 1 => Stage::Failed { why: format!("{}; {}", row.message, pods(row)) },
        // It may be the failure of the revision before, which stands until the new one moves.
        Phase::Failed
            if seen.before.is_some_and(|before| before.phase != Phase::Failed || before.since != row.since) =>
        {
            Stage::Failed { why: format!("revision {revision}: {}", row.message) }
        }
        _ => Stage::Observed,
    }
}
