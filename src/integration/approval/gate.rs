//! What a system told of one request for a yes, and where that stands. Pure.

use flightdeck_model::{Run, Verdict};
use jiff::Timestamp;

/// Which gate: one request of one attempt of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    /// Where it is: a repository, a project.
    pub place: String,
    /// The uid of its target, which all attempts share; its system knows what it is made of.
    pub uid: String,
    pub attempt: u64,
}

impl Key {
    /// Of a run.
    pub fn of(run: &Run) -> Option<Key> {
        let (place, attempt) = (run.target.namespace.clone()?, run.revision.parse().ok()?);
        Some(Key { place, uid: run.target.uid.clone(), attempt })
    }

    /// The same, whatever the attempt.
    pub fn is_at(&self, other: &Key) -> bool {
        (&self.place, &self.uid) == (&other.place, &other.uid)
    }
}

/// One request, as its system last told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gate {
    pub key: Key,
    /// Its id among the approvals of its source.
    pub approval: String,
    /// The newest attempt of its run: a later one makes this one moot.
    pub newest_attempt: u64,
    /// What people call its run: `Deploy #42`.
    pub title: String,
    /// The name of its target: unique within its place, and short enough to be typed.
    pub name: String,
    pub service: String,
    pub environment: String,
    /// The commit in full, and as people write it; the number of its run where its system tells no commit.
    pub commit: String,
    pub version: String,
    /// Where people see it.
    pub url: String,
    pub author: Option<String>,
    /// What a yes lets through, in words.
    pub what: String,
    /// When its run began.
    pub began: Timestamp,
    /// When it was asked.
    pub asked: Timestamp,
    /// Of two that wait for one environment that with the higher number came later.
    pub sequence: u64,
    /// Those who were asked, also once it waits no more; empty: no person is.
    pub reviewers: Vec<String>,
    /// How many must say yes.
    pub required: u32,
    pub reviews: Vec<Review>,
    /// When its reviews were seen, where their system tells no time of them.
    pub reviewed: Option<Timestamp>,
    /// There while it waits.
    pub waiting: Option<Waiting>,
    /// How far what it lets through is.
    pub job: Option<Job>,
    /// How its run ended.
    pub ended: Option<Ended>,
    /// No yes is missing: somebody has to start its job.
    pub unstarted: bool,
    /// Who started its job, where that was all that was missing.
    pub started_by: Option<String>,
    /// A later run that has all that this one has: `run #43`. Nobody is to decide on this one.
    pub newer: Option<String>,
    /// Since when it stands so.
    pub since: Timestamp,
    /// Its run as its system told it, for whoever looks at it in full.
    pub raw: serde_json::Value,
}

/// A yes or no that its system has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Review {
    pub verdict: Verdict,
    pub who: String,
    pub comment: String,
    pub at: Option<Timestamp>,
}

/// What it waits with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// When its wait timer ends.
    pub until: Option<Timestamp>,
    /// Why neither a yes nor a no would be taken from here.
    pub denied: Option<String>,
    /// Why no yes would be taken from here, though a no would.
    pub yes_denied: Option<String>,
}

/// How far the job is that a yes lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// It has yet to be taken up.
    Queued,
    Running,
    Succeeded,
    Failed,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    /// In its system's word.
    pub conclusion: String,
    pub well: bool,
    /// As a no ends it there, where its system does not tell who said no.
    pub stopped: bool,
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// For people to say yes or no.
    Asks,
    /// For a timer, or for the rule of an app: no person is asked.
    Timer,
    /// A yes is there, and a timer or a rule still holds it.
    Held,
    /// It waits no more, and no review of it is told.
    Unreviewed,
    /// A yes; its job has not begun.
    Approved,
    /// Its job runs.
    Deploying,
    /// Its job did what it had to.
    Deployed,
    /// Its job did not.
    Failed,
    /// A no; its run has not ended.
    Rejected,
    /// A no, and the end of it; or an end as a no makes it, and nobody tells who made it.
    Stopped,
    /// Its run ended, by no review.
    Ended,
    /// The run was started again since.
    Rerun,
}

impl Standing {
    /// Nothing more will come.
    pub const fn is_over(self) -> bool {
        matches!(self, Standing::Deployed | Standing::Failed | Standing::Stopped | Standing::Ended | Standing::Rerun)
    }

    /// Something that was decided is on its way.
    pub const fn moves(self) -> bool {
        !self.is_over() && !matches!(self, Standing::Asks | Standing::Timer | Standing::Held)
    }
}

impl Gate {
    /// How many said yes.
    pub fn approvals(&self) -> usize {
        self.reviews.iter().filter(|review| review.verdict == Verdict::Approved).count()
    }

    fn is_approved(&self) -> bool {
        self.approvals() >= usize::try_from(self.required.max(1)).unwrap_or(usize::MAX)
    }

    fn is_rejected(&self) -> bool {
        self.reviews.iter().any(|review| review.verdict == Verdict::Rejected)
    }

    pub fn standing(&self) -> Standing {
        if self.newest_attempt > self.key.attempt {
            return Standing::Rerun;
        }
        let (yes, no) = (self.is_approved(), self.is_rejected());
        if self.waiting.is_some() {
            return match (yes, self.reviewers.is_empty()) {
                (true, _) => Standing::Held,
                (false, true) => Standing::Timer,
                (false, false) => Standing::Asks,
            };
        }
        let ended = self.ended.as_ref();
        match self.job {
            Some(Job::Succeeded) => Standing::Deployed,
            Some(Job::Running) => Standing::Deploying,
            job if no && (job == Some(Job::Failed) || ended.is_some()) => Standing::Stopped,
            _ if no => Standing::Rejected,
            Some(Job::Failed) => Standing::Failed,
            // Not every job of an environment makes a deployment: then its run tells.
            _ if ended.is_some_and(|ended| ended.well) => Standing::Deployed,
            _ if ended.is_some() && yes => Standing::Failed,
            _ if ended.is_some_and(|ended| ended.stopped) => Standing::Stopped,
            _ if ended.is_some() => Standing::Ended,
            _ if yes => Standing::Approved,
            _ => Standing::Unreviewed,
        }
    }

    /// When its wait timer ends.
    pub fn until(&self) -> Option<Timestamp> {
        self.waiting.as_ref()?.until
    }

    /// Why its system would take neither a yes nor a no from here.
    pub fn denied(&self) -> Option<&str> {
        self.waiting.as_ref()?.denied.as_deref()
    }

    /// Why it would take no yes from here, though a no.
    pub fn yes_denied(&self) -> Option<&str> {
        self.waiting.as_ref()?.yes_denied.as_deref()
    }
}
