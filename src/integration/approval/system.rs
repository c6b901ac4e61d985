//! What a system of approvals does itself.

use super::client::{Cache, Client, Problem};
use super::gate::{Gate, Key};
use async_trait::async_trait;
use flightdeck_model::Verdict;
use flightdeck_port::NotDone;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

/// How long a gate is shown after its end.
const SHOWN: SignedDuration = SignedDuration::from_hours(1);

/// All gates of a place, and whether some were left out.
pub(super) struct Seen {
    pub gates: BTreeMap<Key, Gate>,
    /// What alone is in them, in words; none: all.
    pub only: Option<String>,
}

/// What was known before, and whose token asks.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub login: Option<&'a str>,
    pub now: Timestamp,
}

/// A yes or no that was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Decided {
    /// What is worth a word.
    pub note: Option<String>,
    /// It counts, and its job still has to be started by somebody.
    pub unstarted: bool,
}

impl Decided {
    pub fn noting(note: &str) -> Decided {
        Decided { note: Some(note.to_owned()), unstarted: false }
    }
}

/// What a system calls things.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    /// The system: `GitHub`.
    pub system: &'static str,
    /// What is looked at each by itself: `project`.
    pub place: &'static str,
    /// The backend's word for what is rolled out: `workflow`.
    pub kind: &'static str,
    /// What a token must be allowed to read of a place, and where that is documented.
    pub rights: (&'static str, &'static str),
    /// Does it say beforehand whose yes it takes?
    pub says_who_may: bool,
    /// Does it tell afterwards who said what? Without it only what was said from here is known, and how the run ended.
    pub tells_reviews: bool,
    /// What a later one of the same run is: `attempt`.
    pub attempt: &'static str,
    /// Why nothing can be held.
    pub no_hold: &'static str,
    /// What comes after the yes, in the order of a row's steps: `a runner`, `deployment`.
    pub begins: &'static str,
    pub job: &'static str,
}

/// One system with one token.
#[async_trait]
pub(super) trait ApprovalSystem: Debug + Send + Sync + 'static {
    fn words(&self) -> Words;

    /// What is looked at each by itself, so that one that can't be read makes no other stale: repositories, projects.
    fn places(&self) -> &[String];

    /// How often.
    fn every(&self) -> Duration;

    fn client(&self) -> &Client;

    /// As whom it takes what is sent; `None`: it does not say.
    async fn login(&self, cache: &mut Cache) -> Result<Option<String>, Problem>;

    /// What waits in a place, and what became of those that were known to wait.
    async fn look(
        &self,
        place: &str,
        cache: &mut Cache,
        gates: &BTreeMap<Key, Gate>,
        known: Known<'_>,
    ) -> Result<Seen, Problem>;

    /// One gate as it is now; nothing where it never waited, or is gone.
    async fn one(&self, key: &Key, gate: Option<&Gate>, known: Known<'_>) -> Result<Option<Gate>, Problem>;

    /// Sends a yes or no.
    async fn decide(&self, gate: &Gate, verdict: Verdict, comment: &str) -> Result<Decided, NotDone>;

    /// What a yes or no does there, a sentence each. `unstarted`: only the start of its job is missing.
    fn consequences(&self, environment: &str, login: &str, verdict: Verdict, unstarted: bool) -> Vec<String>;
}

/// Is one that was known before still shown?
pub(super) fn is_shown(gate: &Gate, now: Timestamp) -> bool {
    !gate.standing().is_over() || now.duration_since(gate.since) <= SHOWN
}

/// What became of those that were known before and wait no more.
pub(super) async fn follow(
    system: &dyn ApprovalSystem,
    seen: &mut Seen,
    before: &BTreeMap<Key, Gate>,
    known: Known<'_>,
) -> Result<(), Problem> {
    for (key, gate) in before {
        if seen.gates.contains_key(key) || !is_shown(gate, known.now) {
            continue;
        }
        let over = gate.standing().is_over();
        let now = if over { Some(gate.clone()) } else { system.one(key, Some(gate), known).await? };
        seen.gates.extend(now.map(|gate| (key.clone(), gate)));
    }
    Ok(())
}
