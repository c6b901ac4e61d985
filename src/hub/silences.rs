//! Silences of alerts: how far one is that was asked for, and the end of those whose rollout has ended.

use super::endings::Ending;
use super::follow::effective;
use super::following::{Following, now};
use super::state::State;
use flightdeck_model::{
    Action, Actor, Command, CommandId, LinkState, Run, Scope, Silence, SilenceId, SourceId, Stage, Subject, Target,
};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

/// Before a silence that could not be ended is tried again; doubled with each try.
const AGAIN: SignedDuration = SignedDuration::from_mins(1);
/// A silence lasts a day at most: tried more often it would end by itself.
const TRIES: u32 = 6;

/// What silences of ended rollouts are ended by, as the ledger names it.
const WHO: &str = "rollout-end";

impl State {
    /// A silence is effective when its alert is read back as silenced by it.
    pub fn silence_stage(&self, following: &Following) -> Stage {
        let command = &following.receipt.command;
        let Subject::Alert { source, fingerprint, .. } = &command.subject else { return Stage::Accepted };
        let made = |silence: &&Silence| {
            silence.source == *source && silence.made.as_ref().is_some_and(|made| made.command == command.id)
        };
        let Some(silence) = self.board.silences().find(made) else { return Stage::Accepted };
        match self.board.alert(source, fingerprint) {
            Some(alert) if alert.is_silenced_by(&silence.id) => {
                effective(format!("silenced by {} until {}", silence.id, silence.until.strftime("%H:%M:%S UTC")))
            }
            None if self.sees_alerts(source) => Stage::superseded("the alert does not fire any more".to_owned()),
            _ => Stage::Observed,
        }
    }

    /// Its end is effective when its source, which is read, does not have it any more.
    pub fn unsilence_stage(&self, source: &SourceId, id: &SilenceId) -> Stage {
        if self.sees_alerts(source) && self.board.silence(source, id).is_none() {
            return effective(format!("silence {id} is no longer in force"));
        }
        Stage::Accepted
    }

    fn sees_alerts(&self, source: &SourceId) -> bool {
        let scope = Scope { source: source.clone(), part: Scope::ALERTS_PART.to_owned() };
        matches!(self.board.link_of(&scope), Some(LinkState::Live { .. }))
    }

    /// A target that is gone has no rollout any more that a silence could be for.
    pub fn silences_of_gone(&mut self, target: &Target) {
        let of = |silence: &&Silence| made_for(silence).is_some_and(|run| run.target == *target);
        let gone: Vec<_> = self.board.silences().filter(of).map(key).collect();
        for key in gone {
            self.endings.entry(key).or_insert(Ending::NEW);
        }
        self.end_silences();
    }

    /// Ends the silences whose rollout has ended: each by a command of its own, which is decided and recorded as every
    /// other.
    pub fn end_silences(&mut self) {
        if self.board.silences().next().is_none() {
            return self.endings.clear();
        }
        let (board, now) = (&self.board, now());
        self.endings.retain(|(source, id), _| board.silence(source, id).is_some());
        let ended = board.silences().filter(|silence| made_for(silence).is_some_and(|run| self.has_ended(run)));
        let ended: Vec<_> = ended.map(key).collect();
        for key in ended {
            self.endings.entry(key).or_insert(Ending::NEW);
        }
        let due = self.endings.iter().filter(|(_, ending)| ending.next <= now && ending.tries < TRIES);
        let due: Vec<_> = due.map(|(key, ending)| (key.clone(), ending.tries)).collect();
        for ((source, id), tries) in due {
            let able = self.orchestrator(&source).is_some_and(|of| !of.capabilities().read_only);
            if !able || self.settings.policy.read_only || !self.sees_alerts(&source) {
                continue;
            }
            if let Some(ending) = self.endings.get_mut(&(source.clone(), id.clone())) {
                ending.tries += 1;
                ending.next = now.saturating_add(AGAIN * 2_i32.saturating_pow(tries)).unwrap_or(Timestamp::MAX);
            }
            self.end_silence(source, id, tries);
        }
    }

    /// Its id is made of the silence's: several hubs that share a ledger end it once.
    fn end_silence(&mut self, source: SourceId, id: SilenceId, tries: u32) {
        let again = if tries > 0 { format!("-{tries}") } else { String::new() };
        let command = Command {
            id: CommandId(format!("unsilence-{id}{again}")),
            action: Action::Unsilence,
            subject: Subject::Silence { source, id },
            pin: None,
            reason: Some("its rollout has ended".to_owned()),
        };
        // Its receipt is in the ledger and on the board: nobody waits for it.
        let (answer, _) = oneshot::channel();
        self.submit(Actor::system(WHO), command, answer);
    }

    /// Has it, as far as this hub can see? What it cannot see has not.
    fn has_ended(&self, run: &Run) -> bool {
        match self.board.rollout(&run.target) {
            Some(row) => row.run != *run || !row.in_flight(),
            // It may have been tried again since: while its source has yet to tell, nobody knows.
            None => self.board.deployment(run).is_some() && self.board.link(&run.target.source).is_complete(),
        }
    }
}

fn made_for(silence: &Silence) -> Option<&Run> {
    silence.made.as_ref()?.run.as_ref()
}

fn key(silence: &Silence) -> (SourceId, SilenceId) {
    (silence.source.clone(), silence.id.clone())
}
