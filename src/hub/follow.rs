//! Following each command to its effect, and a while beyond.

use super::following::{Doing, Following, now};
use super::state::State;
use flightdeck_control::grade;
use flightdeck_model::{
    Action, ApprovalId, ApprovalState, CommandId, JobEnd, Listening, Place, Proof, Rollout, ServicePlace, SourceId,
    Stage, Subject, Target, Verdict,
};
use flightdeck_port::Followed;
use jiff::{SignedDuration, Timestamp};

/// A hold of at most so many targets is looked at with each change of one of them.
const AT_ONCE: usize = 64;

/// So long what a configuration ends may take for it: requests and connections are let go on as long as its `drain`.
const ENDS: SignedDuration = SignedDuration::from_mins(20);

/// How far a stage is; only progress is told.
pub(super) const fn rank(stage: &Stage) -> u8 {
    match stage {
        Stage::Requested => 0,
        Stage::Sent => 1,
        Stage::Accepted | Stage::Unknown { .. } => 2,
        Stage::Observed => 3,
        _ => 4,
    }
}

/// The end of the run that a command created tells what became of it, by whatever command, and a later
/// one in line behind it changes nothing.
fn ends_by_itself(new: &Following, old: &Following) -> bool {
    old.receipt.created.is_some() && !matches!(new.receipt.command.subject, Subject::Scope { .. })
}

impl State {
    /// Are two commands about the same target?
    pub fn meets(&self, new: &Following, old: &Following) -> bool {
        let (new, old) = (&new.receipt.command.subject, &old.receipt.command.subject);
        match (new, old) {
            (Subject::Scope { selector, .. }, _) => self.row(old).is_some_and(|rollout| selector.matches(rollout)),
            (Subject::Hold { .. }, Subject::Hold { .. }) => new == old,
            _ => self.target(new).is_some_and(|target| self.target(old) == Some(target)),
        }
    }

    /// An accepted command takes the place of unfinished contrary ones on its target.
    pub fn take_place(&mut self, id: &CommandId) {
        let Some(new) = self.commands.get(id) else { return };
        let by = format!("{} by {}", new.action().name(), new.receipt.actor.name);
        let asked = new.asked();
        let older: Vec<CommandId> = self
            .commands
            .iter()
            .filter(|(other, old)| {
                *other != id
                    && old.doing == Doing::Following
                    && old.asked() <= asked
                    && new.action().row().supersedes.contains(&old.action())
                    && self.meets(new, old)
                    && !ends_by_itself(new, old)
            })
            .map(|(id, _)| id.clone())
            .collect();
        for old in older {
            // What has taken effect already has: only the rest is superseded.
            self.evaluate(&old);
            if self.commands.get(&old).is_some_and(|following| following.doing == Doing::Following) {
                self.push(&old, Stage::Superseded { by: by.clone() });
                self.finish(&old);
            }
        }
    }

    /// A command whose answer came late, after a later contrary one was accepted, has lost its place.
    pub fn yield_place(&mut self, id: &CommandId) {
        let Some(old) = self.commands.get(id) else { return };
        let newer = self.commands.iter().filter(|(other, new)| {
            *other != id
                && new.asked() > old.asked()
                && new.action().row().supersedes.contains(&old.action())
                && matches!(new.receipt.stage(), Stage::Accepted | Stage::Observed | Stage::Effective { .. })
                && self.meets(new, old)
                && !ends_by_itself(new, old)
        });
        let by = newer.map(|(_, new)| format!("{} by {}", new.action().name(), new.receipt.actor.name)).next();
        let Some(by) = by else { return };
        self.evaluate(id);
        if self.commands.get(id).is_some_and(|following| following.doing == Doing::Following) {
            self.push(id, Stage::Superseded { by });
            self.finish(id);
        }
    }

    /// Something about a target changed: looks at every command that is about it.
    pub fn reevaluate(&mut self, target: &Target) {
        let commands = &self.commands;
        self.live.retain(|id| commands.get(id).is_some_and(|of| of.doing != Doing::Done || !of.settled));
        let all = self.live.iter().filter_map(|id| Some((id, self.commands.get(id)?)));
        let concerned = all.filter(|(_, following)| self.concerns(following, target));
        let ids: Vec<(CommandId, Doing)> = concerned.map(|(id, following)| (id.clone(), following.doing)).collect();
        for (id, doing) in ids {
            match doing {
                Doing::Following => self.evaluate(&id),
                Doing::Done => self.look_back(&id),
                Doing::Reading | Doing::Recording | Doing::Executing => {}
            }
        }
    }

    fn concerns(&self, following: &Following, target: &Target) -> bool {
        match &following.receipt.command.subject {
            // One that stops thousands is looked at once a second, not with each of their rows.
            Subject::Scope { .. } => following.receipt.targets.len() <= AT_ONCE,
            Subject::Hold { .. } => true,
            Subject::NewRollout { source, service, environment, .. } => {
                let row = self.board.rollout(target).filter(|row| row.run.target.source == *source);
                row.is_some_and(|row| row.service == *service && row.environment == *environment)
            }
            subject => self.target(subject) == Some(target),
        }
    }

    /// Looks at every unfinished command: time alone may have moved it.
    pub fn tick(&mut self) {
        let unfinished: Vec<CommandId> = self.unfinished().map(|(id, _)| id.clone()).collect();
        for id in unfinished {
            self.evaluate(&id);
            self.expire(&id);
        }
    }

    pub fn unfinished(&self) -> impl Iterator<Item = (&CommandId, &Following)> {
        let live = self.live.iter().filter_map(|id| self.commands.get_key_value(id));
        live.filter(|(_, following)| following.doing == Doing::Following)
    }

    /// Is anything waited for that time alone may bring?
    pub fn is_waiting(&self) -> bool {
        self.unfinished().next().is_some()
    }

    /// How far is it now?
    pub fn evaluate(&mut self, id: &CommandId) {
        let Some(following) = self.commands.get(id).filter(|following| following.doing == Doing::Following) else {
            return;
        };
        let subject = &following.receipt.command.subject;
        let (stage, targets) = match subject {
            Subject::Scope { .. } => self.hold_stage(following),
            Subject::Hold { id, .. } => (self.release_stage(following, id), Vec::new()),
            _ => (self.progress(following), Vec::new()),
        };
        let Some(following) = self.commands.get_mut(id) else { return };
        if !targets.is_empty() && following.receipt.targets != targets {
            following.receipt.targets = targets;
            self.tell_receipt(id);
        }
        let outcome = self.commands.get(id).and_then(|following| self.outcome(following));
        let Some(following) = self.commands.get_mut(id) else { return };
        if rank(&stage) <= rank(following.receipt.stage()) {
            return;
        }
        following.receipt.outcome = outcome.or(following.receipt.outcome);
        let was_unknown = matches!(following.receipt.stage(), Stage::Unknown { .. });
        if stage.is_final() {
            let subject = following.receipt.command.subject.clone();
            let current = self.row(&subject).cloned();
            self.conclude(id, stage, current.as_ref());
        } else {
            self.push(id, stage);
        }
        if was_unknown {
            // Its answer was lost, but it did arrive: what it is contrary to has lost its place.
            self.take_place(id);
        }
    }

    fn conclude(&mut self, id: &CommandId, stage: Stage, current: Option<&Rollout>) {
        let Some(following) = self.commands.get_mut(id) else { return };
        if let (Stage::Effective { .. }, Some(forecast)) = (&stage, &following.receipt.forecast) {
            let took = now().duration_since(following.asked());
            following.receipt.grade = Some(grade(forecast, following.action(), took, current));
        }
        self.push(id, stage);
        self.finish(id);
    }

    /// What the backend's own rule says.
    fn progress(&self, following: &Following) -> Stage {
        let command = &following.receipt.command;
        let recipients = self.recipients(command.action, &command.subject);
        let Some(orchestrator) = recipients.first() else { return following.receipt.stage().clone() };
        let (created, left) = (following.receipt.created.as_ref(), following.receipt.left.as_ref());
        let before = following.before.as_ref();
        let current = self.row(&command.subject);
        let ended = following.receipt.run().and_then(|run| self.board.deployment(run));
        let stage = orchestrator.progress(&Followed { command, created, left, before, current, ended, now: now() });
        if rank(&stage) > rank(&Stage::Observed) {
            return match stage {
                Stage::Effective { proof } if command.action == Action::AddRelease => {
                    let notes = following.notes.iter().filter_map(|(_, note)| note.as_deref());
                    effective(notes.fold(proof.text, |text, note| text + ", " + note))
                }
                stage => stage,
            };
        }
        match (&command.subject, command.action) {
            (Subject::Approval { id, .. }, _) => self.vote_stage(following, id, stage),
            // These have no rollout to look at: the board's rows are the evidence.
            (Subject::Release { source, service, version }, Action::AddRelease | Action::RemoveRelease) => {
                let stored = self.board.release(source, service, version);
                match (stored, command.action) {
                    (Some(release), Action::AddRelease) => {
                        let digests: Vec<_> =
                            release.artifacts.iter().map(|artifact| artifact.digest.as_str()).collect();
                        effective(format!("stored: {}", digests.join(", ")))
                    }
                    (None, Action::RemoveRelease) => effective(format!("{service} {version} is no longer stored")),
                    _ => stage,
                }
            }
            (Subject::Alert { .. }, _) => self.silence_stage(following),
            (Subject::Silence { source, id }, _) => self.unsilence_stage(source, id),
            (Subject::Config { .. }, _) => self.config_stage(following),
            (Subject::Command { .. }, _) => self.run_stage(&command.subject, |place| {
                place.one_offs.iter().find(|of| of.command == command.id)?.ended.as_ref()
            }),
            (Subject::OneOff { id, .. }, _) => match self.run_stage(&command.subject, |place| place.ended(id)) {
                Stage::Failed { why } => effective(why),
                stage => stage,
            },
            _ => stage,
        }
    }

    /// A command that is run is through when it has ended with exit status 0.
    fn run_stage(&self, subject: &Subject, ended: impl Fn(&Place) -> Option<&(Timestamp, JobEnd)>) -> Stage {
        let (Subject::Command { source, service, environment, .. }
        | Subject::OneOff { source, service, environment, .. }) = subject
        else {
            return Stage::Observed;
        };
        let mut services = self.board.services().filter(|of| of.source == *source && of.name == *service);
        let place = services.find_map(|service| service.place(environment));
        match place.and_then(ended) {
            None => Stage::Observed,
            Some((_, how @ JobEnd::Exited(0))) => effective(how.to_string()),
            Some((_, how)) => Stage::Failed { why: how.to_string() },
        }
    }

    /// A configuration is effective when each of its addresses is as it should be.
    fn config_stage(&self, following: &Following) -> Stage {
        let notes: Vec<_> = following.notes.iter().filter_map(|(_, note)| note.clone()).collect();
        let in_force = if notes.is_empty() { "in force as a whole".to_owned() } else { notes.join("; ") };
        let of = |source: &SourceId| following.notes.iter().any(|(asked, _)| asked == source);
        let mut wrong = following.missed.clone();
        let mut pending = false;
        for service in self.board.services().filter(|service| of(&service.source)) {
            for address in &service.addresses {
                pending |= address.listening == Listening::Pending;
                if let (Listening::Refused { why }, true) = (&address.listening, following.missed.is_empty()) {
                    wrong.push(format!("{} in {} does not listen: {why}", service.name, address.environment));
                }
            }
        }
        pending |= !self.still_ending(following).is_empty();
        match (wrong.is_empty(), pending) {
            (false, _) => Stage::Failed { why: format!("{in_force}, but {}", wrong.join("; ")) },
            (true, true) => Stage::Observed,
            (true, false) => effective(ended_too(in_force, following)),
        }
    }

    /// What a configuration ends and is still there: a service's row names an environment until nothing is left in it.
    /// A hub that was started since does not have the backend's answer, but the place is gone from the row at once.
    fn still_ending(&self, following: &Following) -> Vec<String> {
        let Subject::Config { remove, .. } = &following.receipt.command.subject else { return Vec::new() };
        let of = |source: &SourceId| following.notes.iter().any(|(asked, _)| asked == source);
        let mut still = Vec::new();
        for service in self.board.services().filter(|service| of(&service.source)) {
            for environment in &service.environments {
                let means = |place: &ServicePlace| place.means(&service.name, environment);
                let told = following.ending.iter().any(|(source, place)| *source == service.source && means(place));
                if told || (service.place(environment).is_none() && remove.iter().any(means)) {
                    still.push(format!("{}@{environment}", service.name));
                }
            }
        }
        still
    }

    /// A vote that is not the last one has its effect once it is counted.
    fn vote_stage(&self, following: &Following, id: &ApprovalId, stage: Stage) -> Stage {
        let Some(approval) = self.board.approval(id) else { return stage };
        let voted = approval.votes.iter().any(|vote| vote.who == following.receipt.actor.name);
        match approval.state {
            ApprovalState::Pending if voted => {
                let yes = approval.votes.iter().filter(|vote| vote.verdict == Verdict::Approved).count();
                effective(format!("counted: {yes} of {} agree", approval.requirement.count))
            }
            ApprovalState::Approved | ApprovalState::Rejected if voted => Stage::Observed,
            _ => stage,
        }
    }

    /// The effect was not seen in time.
    fn expire(&mut self, id: &CommandId) {
        let Some(following) = self.commands.get(id).filter(|following| following.doing == Doing::Following) else {
            return;
        };
        let ends = (!following.ending.is_empty()).then_some(ENDS);
        if now().duration_since(following.watched)
            <= ends.or(following.action().row().effect_timeout).unwrap_or(SignedDuration::MAX)
        {
            return;
        }
        let stage = following.receipt.stage();
        let seen = self.row(&following.receipt.command.subject);
        let row = seen.map_or("no row".to_owned(), |r| format!("{}, {}", r.phase.word(), r.message));
        let ending = self.still_ending(following);
        let now = if ending.is_empty() {
            format!("the row says: {row}")
        } else {
            format!("still ending: {}", ending.join(", "))
        };
        let last = format!("{}{}; {now}", stage.word(), stage.detail().map_or(String::new(), |d| format!(" ({d})")));
        self.push(id, Stage::TimedOut { last });
        self.finish(id);
    }
}

/// What is in force, with what has ended by it.
fn ended_too(in_force: String, following: &Following) -> String {
    let ended: Vec<_> = following.ending.iter().map(|(_, place)| place.to_string()).collect();
    match ended.len() {
        0 => in_force,
        1 => format!("{in_force}; {} has ended", ended.concat()),
        _ => format!("{in_force}; {} have ended", ended.join(", ")),
    }
}

pub(super) fn effective(text: String) -> Stage {
    Stage::Effective { proof: Proof { text } }
}
