//! What a system of approvals does itself.

use super::client::{Cache, Client, Problem};
use super::gate::{Gate, Key};
use async_trait::async_trait;
use flightdeck_model::Verdict;
use flightdeck_port::NotDone;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

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

    /// What a yes or no does there, a sentence each.
    fn consequences(&self, environment: &str, login: &str, verdict: Verdict) -> Vec<String>;
}
