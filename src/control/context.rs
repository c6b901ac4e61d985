//! What a decision looks at: the board, and the live row where one was just read.

use flightdeck_board::{Board, Freshness, freshness};
use flightdeck_model::{
    Action, Approval, Environment, EnvironmentName, Hold, HoldId, Place, Refusal, RefusalKind, Rollout, Run,
    ServiceName, SourceId, Subject, Target, Tier,
};
use jiff::Timestamp;

/// The facts of a decision.
#[derive(Clone, Copy)]
pub(super) struct DecisionContext<'a> {
    pub board: &'a Board,
    /// Read from the backend just now; it stands in for the board's row of the same target.
    pub live: Option<&'a Rollout>,
    pub now: Timestamp,
}

impl<'a> DecisionContext<'a> {
    pub fn rollout(self, target: &Target) -> Option<&'a Rollout> {
        self.live.filter(|live| live.run.target == *target).or_else(|| self.board.rollout(target))
    }

    /// The rollout that a subject is about; for a deployment the one in its place now.
    pub fn rollout_of(self, subject: &Subject) -> Option<&'a Rollout> {
        match subject {
            Subject::Run(run) | Subject::Approval { run, .. } => self.rollout(&run.target),
            Subject::NewRollout { source, service, environment, .. }
            | Subject::Migrations { source, service, environment, .. }
            | Subject::Command { source, service, environment, .. }
            | Subject::OneOff { source, service, environment, .. } => self.place(source, service, environment),
            Subject::Scope { .. }
            | Subject::Hold { .. }
            | Subject::Release { .. }
            | Subject::Receipt { .. }
            | Subject::Alert { .. }
            | Subject::Silence { .. }
            | Subject::Config { .. } => None,
        }
    }

    pub fn place(self, source: &SourceId, service: &ServiceName, environment: &EnvironmentName) -> Option<&'a Rollout> {
        self.board.place(source, service, environment)
    }

    pub fn approval_of(self, subject: &Subject) -> Option<&'a Approval> {
        match subject {
            Subject::Approval { id, .. } => self.board.approval(id),
            _ => None,
        }
    }

    /// The holds of that id: at one source, or at each that has it.
    pub fn holds(self, source: Option<&SourceId>, id: &HoldId) -> impl Iterator<Item = &'a Hold> {
        self.board.holds().filter(move |hold| hold.id == *id && source.is_none_or(|source| *source == hold.source))
    }

    pub fn environment(self, rollout: &Rollout) -> Option<&'a Environment> {
        self.board.environment(&rollout.run.target.source, &rollout.environment)
    }

    /// What is known of a service in an environment beyond its rollouts.
    pub fn data(self, source: &SourceId, service: &ServiceName, environment: &EnvironmentName) -> Option<&'a Place> {
        let mut services = self.board.services().filter(|known| known.source == *source);
        services.find(|known| known.name == *service)?.place(environment)
    }

    /// The same for where a rollout happens.
    pub fn data_of(self, rollout: &Rollout) -> Option<&'a Place> {
        self.data(&rollout.run.target.source, &rollout.service, &rollout.environment)
    }

    /// How much care the subject's environment asks for; the highest of a scope.
    pub fn tier(self, subject: &Subject) -> Tier {
        let of = |source: &SourceId, name: &EnvironmentName| self.board.environment(source, name).map(|e| e.tier);
        match subject {
            Subject::NewRollout { source, environment, .. }
            | Subject::Migrations { source, environment, .. }
            | Subject::Command { source, environment, .. }
            | Subject::OneOff { source, environment, .. } => of(source, environment).unwrap_or_default(),
            Subject::Hold { source, id } => {
                let held = self.holds(source.as_ref(), id).flat_map(|hold| &hold.targets);
                let rollouts = held.filter_map(|target| self.rollout(&target.run.target));
                let tiers = rollouts.filter_map(|rollout| of(&rollout.run.target.source, &rollout.environment));
                tiers.max().unwrap_or_default()
            }
            _ => self
                .rollout_of(subject)
                .map_or(Tier::default(), |rollout| self.environment(rollout).map_or(Tier::default(), |e| e.tier)),
        }
    }

    /// Can what is known of the subject be believed?
    pub fn freshness(self, subject: &Subject) -> Freshness {
        match (self.rollout_of(subject), subject) {
            (Some(rollout), _) => freshness(self.board, rollout),
            (None, Subject::Run(run) | Subject::Approval { run, .. }) => {
                Freshness::of(Some(&self.board.link(&run.target.source)))
            }
            // One source that is stale does not keep a hold in force at the others.
            (None, Subject::Hold { source, id }) => {
                let of = |hold: &Hold| Freshness::of(Some(&self.board.link(&hold.source)));
                let known: Vec<Freshness> = self.holds(source.as_ref(), id).map(of).collect();
                let fresh = known.is_empty() || known.iter().any(Freshness::is_fresh);
                if fresh { Freshness::Fresh } else { known.into_iter().next().unwrap_or(Freshness::Fresh) }
            }
            (None, Subject::Alert { source, .. } | Subject::Silence { source, .. }) => {
                Freshness::of(Some(&self.board.link(source)))
            }
            (None, _) => Freshness::Fresh,
        }
    }
}

/// Does the action go with that sort of subject?
pub(super) fn fits(action: Action, subject: &Subject) -> Result<(), Refusal> {
    let about = action.row().about;
    let wrong = || Refusal::new(RefusalKind::Invalid, format!("{} needs {}", action.name(), about.words()));
    (subject.kind() == about).then_some(()).ok_or_else(wrong)
}

/// The texts that say who or what is meant; a person must be able to see them for what they are.
pub(super) fn identities<'a>(seen: DecisionContext<'a>, subject: &'a Subject) -> Vec<&'a str> {
    fn of_run(run: &Run) -> Vec<&str> {
        let target = &run.target;
        let mut texts = vec![target.source.as_str(), target.name.as_str(), run.revision.as_str()];
        texts.extend(target.namespace.as_deref());
        texts
    }
    let mut texts = match subject {
        Subject::Run(run) | Subject::Approval { run, .. } => of_run(run),
        Subject::Scope { .. } | Subject::Config { .. } => Vec::new(),
        Subject::Receipt { id } => vec![id.0.as_str()],
        Subject::Alert { source, fingerprint, run, .. } => {
            let run = run.iter().flat_map(of_run);
            [source.as_str(), fingerprint.as_str()].into_iter().chain(run).collect()
        }
        Subject::Silence { source, id } => vec![source.as_str(), id.as_str()],
        Subject::Hold { source, id } => source.iter().map(SourceId::as_str).chain([id.as_str()]).collect(),
        Subject::NewRollout { source, service, environment, version, from } => {
            let mut texts = vec![source.as_str(), service.as_str(), environment.as_str()];
            texts.extend(version.as_ref().map(flightdeck_model::Version::as_str));
            texts.extend(from.as_ref().map(EnvironmentName::as_str));
            texts
        }
        Subject::Migrations { source, service, environment, names, .. } => {
            let names = names.iter().map(String::as_str);
            [source.as_str(), service.as_str(), environment.as_str()].into_iter().chain(names).collect()
        }
        Subject::Command { source, service, environment, run, .. } => {
            let run = run.iter().map(String::as_str);
            [source.as_str(), service.as_str(), environment.as_str()].into_iter().chain(run).collect()
        }
        Subject::OneOff { source, service, environment, id } => {
            vec![source.as_str(), service.as_str(), environment.as_str(), id.as_str()]
        }
        Subject::Release { source, service, version } => vec![source.as_str(), service.as_str(), version.as_str()],
    };
    if let Some(rollout) = seen.rollout_of(subject) {
        texts.extend([rollout.service.as_str(), rollout.environment.as_str()]);
        texts.extend(rollout.arms.iter().map(|arm| arm.version.as_str()));
    }
    if let Some(approval) = seen.approval_of(subject) {
        texts.extend([approval.service.as_str(), approval.to.version.as_str(), approval.author.as_str()]);
    }
    texts
}
