//! What a command could not see, in words and as an exit code. An answer that is not whole never looks so.

use super::get::at;
use super::output::say;
use super::target::Rows;
use super::{Code, Failure};
use crate::board::Unseen;
use crate::model::{Entity, LinkState, SourceId};
use std::collections::BTreeMap;

/// How somebody comes to read what they may not.
const CURE: &str = "name the namespaces and kinds that you may read in config.toml: `namespaces = [\"NAME\"]`, \
    `kinds = [\"rollouts\"]` in the table [sources.NAME]; or have the role of config/kubernetes/reader.yaml bound to you";

/// Why nothing, or only a part, could be seen: one sentence, then a line a source.
pub(super) fn failure(unseen: &[Unseen], code: Code, what: &str) -> Failure {
    let lines: Vec<String> = std::iter::once(what.to_owned()).chain(sentences(unseen)).collect();
    let failure = Failure::new(code, lines.join("\n"));
    let denied = unseen.iter().any(|unseen| matches!(unseen.state, LinkState::Denied { .. }));
    if denied { failure.todo(CURE) } else { failure }
}

/// A line for each source that could not be seen, with the reason; its parts share a line where they
/// share the reason.
pub(super) fn sentences(unseen: &[Unseen]) -> Vec<String> {
    /// What stands before a reason, and what after.
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    enum Reason {
        Lacks(String),
        Other(String),
    }
    let mut lines: BTreeMap<(&str, Reason), Vec<&str>> = BTreeMap::new();
    for Unseen { source, part, state } in unseen {
        let (reason, what) = match state {
            LinkState::Denied { verb, resource } => (Reason::Lacks(verb.clone()), resource.as_str()),
            LinkState::Stale { why, never: true, .. } => {
                (Reason::Other(format!("could not be reached: {why}")), part.as_str())
            }
            LinkState::Stale { since, why, never: false } => {
                let why = format!("was last heard at {}, what is shown may be old: {why}", at(*since));
                (Reason::Other(why), part.as_str())
            }
            LinkState::Connecting => (Reason::Other("has not told all that it knows yet".to_owned()), part.as_str()),
            LinkState::Live { .. } | LinkState::Absent { .. } => continue,
        };
        lines.entry((source, reason)).or_default().push(what);
    }
    let words = |((source, reason), parts): ((&str, Reason), Vec<&str>)| {
        let parts = parts.join(", ");
        match reason {
            Reason::Lacks(verb) => format!("{source}: you lack {verb} on {parts}"),
            Reason::Other(why) if parts.is_empty() => format!("{source}: {why}"),
            Reason::Other(why) => format!("{source}, {parts}: {why}"),
        }
    };
    lines.into_iter().map(words).collect()
}

impl Rows {
    /// Nothing of what runs could be seen, or a part; receipts are the hub's own and tell nothing of it.
    fn code(&self) -> Code {
        let rows = self.entities.iter().any(|entity| !matches!(entity, Entity::Receipt(_)));
        if self.sight.seen == 0 && !rows { Code::Unreachable } else { Code::Partial }
    }

    /// Was all of it seen? Else the exit code and what was not.
    pub(super) fn whole(&self) -> Result<(), Failure> {
        self.whole_at(None)
    }

    /// The same of one source, where one is meant.
    pub(super) fn whole_at(&self, source: Option<&SourceId>) -> Result<(), Failure> {
        self.say_only();
        let meant = |unseen: &&Unseen| source.is_none_or(|source| unseen.source == source.as_str());
        let unseen: Vec<Unseen> = self.sight.unseen.iter().filter(meant).cloned().collect();
        if unseen.is_empty() {
            return Ok(());
        }
        let code = self.code();
        let what = if code == Code::Partial { "only a part could be seen" } else { "nothing could be seen" };
        Err(failure(&unseen, code, what))
    }

    /// The same as a remark, for a command that goes on with what was seen.
    pub(super) fn say_unseen(&self) {
        self.say_only();
        for line in sentences(&self.sight.unseen) {
            say(&line);
        }
    }

    /// Less than was asked for is looked at, since no more is allowed: that is no failure, and it is said.
    fn say_only(&self) {
        for (source, only) in &self.sight.only {
            say(&format!(
                "{source}: only {only} is looked at, since you may not list all namespaces; \
                 `namespaces = [\"NAME\"]` in the table [sources.NAME] of config.toml names others"
            ));
        }
    }

    /// What is not among what was seen, such as `rollout "shop"`, may be where nothing could be seen; else
    /// it is not there.
    pub(super) fn absent(&self, name: &str, absent: Failure) -> Failure {
        if self.sight.unseen.is_empty() {
            return absent;
        }
        let code = self.code();
        let what = match code {
            Code::Partial => format!("{name} is not among what could be seen"),
            _ => format!("nothing could be seen, so nothing is known of {name}"),
        };
        failure(&self.sight.unseen, code, &what)
    }
}
